"""MeWM in 3D Slicer: simulate a liver tumour after TACE, judge it, search the best protocol. Research use only.

This file is read whenever Slicer starts, so it imports nothing of MeWM at its top. The panels are in MeWMPanels, the
work is in MeWMLib, and whatever needs a network runs in a worker process.
"""

import importlib.util
import sys
from pathlib import Path

import slicer
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin


def find_library():
    """Make MeWMLib importable: installed it is beside this file, in the source tree beside this folder."""
    if importlib.util.find_spec("MeWMLib") is not None:
        return
    here = Path(__file__).resolve().parent
    folder = next((f for f in (here, here.parent) if (f / "MeWMLib" / "__init__.py").is_file()), None)
    if folder is None:
        message = f"The folder MeWMLib is neither in {here} nor in {here.parent}"
        raise ImportError(message)
    sys.path.append(str(folder))


class MeWM(ScriptedLoadableModule):
    """What Slicer shows of the module before it is opened."""

    def __init__(self, parent):
        super().__init__(parent)
        parent.title = "MeWM"
        parent.categories = [_("Oncology")]
        parent.contributors = ["The MeWM maintainers"]
        parent.helpText = _(
            "Simulates how a liver tumour (HCC) will look after a TACE protocol, predicts the risk by survival "
            "analysis and searches for the protocol with the lowest risk. Start with Load sample in the panel Patient. "
            "Research use only."
        )
        parent.acknowledgementText = _(
            "The method is that of the Medical World Model (arXiv 2506.02327). MeWM contains none of its authors' code."
        )
        slicer.app.startupCompleted.connect(register_sample_data)
        slicer.app.startupCompleted.connect(go_on_installing)


def go_on_installing():
    """Open the module if a restart has interrupted an installation: it goes on there."""
    if slicer.app.userSettings().contains("MeWM/PendingInstall"):
        slicer.util.selectModule("MeWM")


def register_sample_data():
    """Show the samples in Slicer's module Sample Data, if there is one. Slicer's start waits for this."""
    try:
        import SampleData
    except ImportError:
        return
    find_library()
    from MeWMPanels import sample_data

    icon = Path(__file__).parent / "Resources" / "Icons" / "MeWM.png"
    sample_data.register(SampleData.SampleDataLogic, str(icon))


class MeWMWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel: builds the front and tells it what happens to the scene."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = self.front = self.bare = None
        self._resumed = False

    def setup(self):
        """Called by Slicer when the module is opened for the first time."""
        super().setup()
        find_library()
        from MeWMPanels import install

        if install.missing(install.FOR_PANELS):
            from MeWMPanels.bare import BareFront

            self.bare = BareFront(self.layout, self.resourcePath, self._installed)
        else:
            self._build()

    def _installed(self):
        """The packages are there now: build the panels without a restart."""
        self.bare.close()
        self.bare = None
        self._build()
        self.initialize_parameters()

    def _build(self):
        from MeWMPanels.front import Front

        self.logic = MeWMLogic()
        self.front = Front(self.layout, self.resourcePath)
        scene = slicer.mrmlScene
        for event, function in (
            (scene.StartCloseEvent, self.on_scene_start_close),
            (scene.EndCloseEvent, self.on_scene_end_close),
            (scene.EndImportEvent, self.on_scene_end_close),
            (scene.NodeRemovedEvent, self.on_node_removed),
        ):
            self.addObserver(scene, event, function)

    def cleanup(self):
        """Called by Slicer before the module is unloaded, also when Slicer ends."""
        self.removeObservers()
        if self.front is not None:
            self.front.close()

    def enter(self):
        """Called by Slicer whenever the module is shown."""
        self.initialize_parameters()
        if self.front is not None:
            # another module may have changed what the panels show
            self.front.refresh()
        if not self._resumed:
            self._resumed = True
            (self.front or self.bare).guard(self._resume_install)

    def _resume_install(self):
        """Go on with what was being installed when Slicer had to be restarted."""
        from MeWMPanels import install

        if install.resume(slicer.app.temporaryPath):
            (self.front or self.bare).after_install()

    def initialize_parameters(self):
        """Read the parameter node of the scene, or make one."""
        if self.front is not None and self.front.parameters is None:
            self.front.set_parameters(self.logic.getParameterNode())

    def on_scene_start_close(self, caller, event):
        """The scene is about to lose its nodes."""
        self.front.scene_closes()

    def on_scene_end_close(self, caller, event):
        """The scene is empty, or another one was read."""
        self.front.set_parameters(self.logic.getParameterNode())

    def on_node_removed(self, caller, event):
        """A node is gone; what shows it must not."""
        if not slicer.mrmlScene.IsClosing():
            self.front.refresh_soon()


class MeWMLogic(ScriptedLoadableModuleLogic):
    """Gives the typed parameter node; the work is in MeWMPanels.tasks and MeWMLib."""

    def getParameterNode(self):
        """The typed parameter node of the scene."""
        from MeWMPanels.parameters import MeWMParameterNode

        return MeWMParameterNode(super().getParameterNode())


class MeWMTest(ScriptedLoadableModuleTest):
    """Runs inside Slicer; the same steps run without it in Testing/slicer."""

    def setUp(self):
        slicer.mrmlScene.Clear()

    def runTest(self):
        """Called by Slicer's test runner."""
        find_library()
        from MeWMPanels import self_test

        self.setUp()
        self_test.run(self, MeWMLogic())
        self.setUp()
