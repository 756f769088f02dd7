"""The module where packages are missing: the panel Setup alone, with the button that installs them."""

import qt
import slicer
from slicer.i18n import tr as _

from MeWMPanels.messages import Messages
from MeWMPanels.setup import SetupPanel


class BareFront:
    """Takes the place of `front.Front`, of which the panel Setup uses a little.

    Args:
        layout: where the panel goes.
        resource: gives the full path of a file in the module's Resources.
        installed: called when nothing is missing any more.
    """

    def __init__(self, layout, resource, installed):
        from MeWMPanels.parameters import MeWMParameterNode

        self.resource, self._installed = resource, installed
        self.desk = None
        self.messages = Messages()
        self._node = slicer.vtkMRMLScriptedModuleNode()
        self.parameters = MeWMParameterNode(self._node)
        #: The user wants to plan: that goes on when everything is installed.
        self.wants_plan = False
        self.plan_button = qt.QPushButton(_("&Plan for this CT"))
        self.plan_button.setToolTip(_("Install what is missing, then plan for the CT in the scene"))
        self.plan_button.clicked.connect(lambda *_args: self.guard(self._plan))
        layout.addWidget(self.plan_button)
        self.label = qt.QLabel(_("MeWM needs Python packages that do not come with Slicer. Press Install packages."))
        self.label.setWordWrap(True)
        layout.addWidget(self.label)
        self.setup = SetupPanel(self)
        self.setup.connect_parameters(self.parameters)
        layout.addWidget(self.setup.widget)
        self.setup.refresh()

    def guard(self, function):
        """Call what a button does; an error becomes the one dialog."""
        try:
            function()
        except Exception as error:
            self.messages.show(error)

    def _plan(self):
        self.wants_plan = True
        try:
            self.setup.install()
        finally:
            self.wants_plan = False

    def after_install(self):
        """Go on to the whole module, if nothing is missing now."""
        from MeWMPanels import install

        if install.missing(install.FOR_PANELS):
            self.setup.refresh()
        else:
            self._installed()

    def close(self):
        """Remove the panel."""
        self.setup.connect_parameters(None)
        self.label.deleteLater()
        self.plan_button.deleteLater()
        self.setup.widget.deleteLater()
