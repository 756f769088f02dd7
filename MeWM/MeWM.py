"""MeWM in 3D Slicer: simulate a liver tumour after TACE, judge it, search the best protocol. Research use only.

This file is read whenever Slicer starts, so it imports nothing of MeWM at its top. The panels are in MeWMPanels, the
work is in MeWMLib, and whatever needs a network runs in a worker process.
"""

import importlib.util
import logging
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


#: The first Slicer whose Python (3.12) runs MeWM; this file is read by older ones too, to say so.
OLDEST_SLICER = (5, 10)


def too_old():
    """One sentence where this Slicer is older than what MeWM runs in, or ""."""
    here = (slicer.app.majorVersion, slicer.app.minorVersion)
    if here >= OLDEST_SLICER:
        return ""
    needed, found = (".".join(map(str, version)) for version in (OLDEST_SLICER, here))
    return _("MeWM needs Slicer {needed} or later; this is Slicer {found}.").format(needed=needed, found=found)


class MeWM(ScriptedLoadableModule):
    """What Slicer shows of the module before it is opened."""

    def __init__(self, parent):
        super().__init__(parent)
        parent.title = "MeWM"
        parent.categories = [_("Simulation")]
        parent.dependencies = ["Segmentations", "SubjectHierarchy"]
        parent.contributors = ["The MeWM maintainers"]
        parent.helpText = _(
            "Simulates how a liver tumour (HCC) will look after a TACE protocol, predicts the risk by survival "
            "analysis and searches for the protocol with the lowest risk. Start with Load sample in the panel Patient. "
            "Research use only."
        )
        parent.acknowledgementText = _(
            "The method is that of the Medical World Model (arXiv 2506.02327). MeWM contains none of its authors' code."
        )
        if too_old():
            logging.error(too_old())
            parent.helpText = too_old()
            return
        slicer.app.startupCompleted.connect(register_sample_data)
        slicer.app.startupCompleted.connect(go_on_installing)

    def setup(self):
        """Called by Slicer when all that this module depends on is there."""
        if not too_old():
            register_hierarchy_plugin()


def register_hierarchy_plugin():
    """Put "MeWM: simulate TACE" into the context menu of the module Data, once."""
    if hasattr(slicer, "MeWMSubjectHierarchyPlugin"):
        return
    # it makes the plugins' base class importable
    import SubjectHierarchyPlugins  # noqa: F401

    plugin = slicer.qSlicerSubjectHierarchyScriptedPlugin(None)
    plugin.setPythonSource(str(Path(__file__).parent / "MeWMPanels" / "MeWMSubjectHierarchyPlugin.py"))


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
        self._entered = self._imported = self._resumed = False

    def setup(self):
        """Called by Slicer when the module is opened for the first time."""
        super().setup()
        if too_old():
            import qt

            self.old = qt.QLabel(too_old())
            self.old.setWordWrap(True)
            self.layout.addWidget(self.old)
            return
        find_library()
        from MeWMPanels import install

        if install.missing(install.FOR_PANELS):
            from MeWMPanels.bare import BareFront

            self.bare = BareFront(self.layout, self.resourcePath, self._installed)
        else:
            self._build()

    def _installed(self):
        """The packages are there now: build the panels without a restart, and plan where that was wanted."""
        wants_plan = self.bare.wants_plan
        self.bare.close()
        self.bare = None
        self._build()
        self.initialize_parameters()
        if wants_plan:
            self.front.guard(self.front.plan)

    def _build(self):
        from MeWMPanels.front import Front

        self.logic = MeWMLogic()
        self.front = Front(self.layout, self.resourcePath)
        scene = slicer.mrmlScene
        for event, function in (
            (scene.StartCloseEvent, self.on_scene_start_close),
            (scene.EndCloseEvent, self.on_scene_end_close),
            (scene.EndImportEvent, self.on_scene_end_import),
            (scene.NodeAddedEvent, self.on_node_added),
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
        self._entered = True
        if self.front is None and self.bare is None:
            return
        if self.front is not None:
            self.front.shown = True
        self.initialize_parameters()
        if self.front is not None:
            # another module may have changed what the panels show
            self.front.refresh()
        if not self._resumed:
            self._resumed = True
            (self.front or self.bare).guard(self._resume_install)
            if self.front is not None:
                self.front.left.look()

    def exit(self):
        """Called by Slicer whenever another module is shown instead."""
        self._entered = False
        if self.front is not None:
            self.front.shown = False

    def simulate(self, node):
        """Plan for a CT, or for the CT of a segmentation; called from the context menu of the module Data."""
        if self.front is not None:
            self.front.guard(lambda: self.front.plan_for(node))
        elif self.bare is not None:
            self.bare.plan_button.click()

    def _resume_install(self):
        """Go on with what was being installed when Slicer had to be restarted."""
        from MeWMPanels import install

        if install.resume(slicer.app.temporaryPath):
            (self.front or self.bare).after_install()

    def initialize_parameters(self):
        """Read the parameter node of the scene, or make one; show what the scene holds."""
        if self.front is not None and (self.front.parameters is None or self._imported):
            self._imported = False
            self.front.set_parameters(self.logic.getParameterNode())

    def on_scene_start_close(self, caller, event):
        """The scene is about to lose its nodes."""
        self.front.scene_closes()

    def on_scene_end_close(self, caller, event):
        """The scene is empty: nothing of MeWM is left in it, unless the module is open."""
        self.front.leave_scene()
        if self._entered:
            self.front.set_parameters(self.logic.getParameterNode())

    def on_scene_end_import(self, caller, event):
        """Another scene was read. Its comparison is shown when the module is; until then the views stay as they are."""
        self._imported = not self._entered
        if self._entered:
            self.front.set_parameters(self.logic.getParameterNode())

    def on_node_added(self, caller, event):
        """A node is new: it may be the CT. While a job adds its results, they are shown at its end."""
        if self._entered and not self.front.desk.busy:
            self.front.refresh_soon()

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
    """Runs inside Slicer; the same steps run without it in the tests of the stand-in host."""

    def setUp(self):
        slicer.mrmlScene.Clear()

    def runTest(self):
        """Called by Slicer's test runner."""
        if too_old():
            self.skipTest(too_old())
        find_library()
        from MeWMPanels import self_test

        self.setUp()
        self_test.run(self, MeWMLogic())
        self.setUp()
