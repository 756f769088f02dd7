"""The entry of MeWM in the context menu of the module Data: right-click on a CT or its segmentation.

Slicer wants the file, the class and its name as they are. It reads them at its start, so nothing of MeWM is imported
before the entry is used.
"""

import qt
import slicer
from AbstractScriptedSubjectHierarchyPlugin import AbstractScriptedSubjectHierarchyPlugin
from slicer.i18n import tr as _

#: Attribute of every simulated volume and segmentation (`MeWMLib.scene.nodes`): those are no patients.
_SIMULATED = "MeWM.Simulated"
_CLASSES = ("vtkMRMLScalarVolumeNode", "vtkMRMLSegmentationNode")


class MeWMSubjectHierarchyPlugin(AbstractScriptedSubjectHierarchyPlugin):
    """Owns no items; adds one action to those of others."""

    #: Slicer makes the plugin from this file.
    filePath = __file__

    def __init__(self, scriptedPlugin):  # noqa: N803 - Slicer's own name
        scriptedPlugin.name = "MeWM"
        AbstractScriptedSubjectHierarchyPlugin.__init__(self, scriptedPlugin)
        self.action = qt.QAction(_("MeWM: simulate TACE"), scriptedPlugin)
        self.action.setToolTip(_("Plan for this CT: find liver and tumour, propose, simulate and show the overlay"))
        self.action.triggered.connect(lambda *_args: self.simulate())

    def roleForPlugin(self):  # noqa: N802
        """It has no role, since it owns nothing."""
        return "N/A"

    def canOwnSubjectHierarchyItem(self, itemID):  # noqa: N802, N803
        """It owns no item."""
        return 0.0

    def itemContextMenuActions(self):  # noqa: N802
        """All that it may show."""
        return [self.action]

    def showContextMenuActionsForItem(self, itemID):  # noqa: N802, N803
        """Show the action for scans and for segmentations, simulated ones not among them. All are hidden before."""
        if itemID and _is_of_a_patient(_node_of(itemID)):
            self.action.visible = True

    def simulate(self):
        """Open MeWM on what was clicked, and begin."""
        item = slicer.qSlicerSubjectHierarchyPluginHandler.instance().currentItem()
        node = _node_of(item) if item else None
        slicer.util.selectModule("MeWM")
        slicer.util.getModuleWidget("MeWM").simulate(node)


def _node_of(item):
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    return hierarchy.GetItemDataNode(item)


def _is_of_a_patient(node):
    # a label map is a kind of scalar volume
    known = node is not None and node.GetClassName() in _CLASSES
    return known and node.GetAttribute(_SIMULATED) is None and node.GetAttribute("MeWM.Comparison") is None
