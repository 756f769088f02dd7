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
        self.setup.widget.deleteLater()
