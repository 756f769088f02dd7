"""A case of a reader study in the slice views, with the notice of the study in every one of them."""

import slicer

from MeWMLib.core.reader_study import NOTICE
from MeWMLib.core.structures import VIEW_LEVEL_HU, VIEW_WINDOW_HU
from MeWMLib.scene.comparison import slice_nodes
from MeWMLib.scene.nodes import fill_volume_node, show_in_window
from MeWMLib.scene.views import set_layers
from MeWMPanels.corner_marks import CornerMarks
from MeWMPanels.views import STANDARD

_GREY = "vtkMRMLColorTableNodeGrey"


class ReaderViews:
    """Shows one case at a time. Nothing of a case stays in the scene when it is put away.

    Args:
        views: those of the front; a comparison that is shown gives way.
    """

    def __init__(self, views):
        self._views, self._node, self._marks = views, None, CornerMarks(NOTICE, (0.62, 0.85, 1.0))

    @property
    def seen(self):
        """True while the case is what the views show."""
        return self._node is not None and self._node.GetScene() is not None and all(map(self._shows, STANDARD))

    def _shows(self, view):
        return slice_nodes(slicer.mrmlScene, view)[1].GetBackgroundVolumeID() == self._node.GetID()

    def show(self, volume, name):
        """Show a case with the same window, place and zoom as every other."""
        self.put_away()
        scene = slicer.mrmlScene
        self._node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
        # so that nobody plans on it, and no scene keeps it
        self._node.SetHideFromEditors(True)
        self._node.SetSaveWithScene(False)
        self._node.CreateDefaultDisplayNodes()
        self._node.GetDisplayNode().SetSaveWithScene(False)
        show_in_window(self._node, VIEW_WINDOW_HU, VIEW_LEVEL_HU, _GREY)
        # without its header's note that it may be simulated: every picture says so, and the node is like any other
        fill_volume_node(self._node, type(volume)(volume.array, volume.geometry))
        self._views.show_ct(self._node)
        # the lesion is in the middle of every case
        size = max(n * s for n, s in zip(volume.array.shape, volume.geometry.spacing, strict=True))
        for view in STANDARD:
            node = slice_nodes(scene, view)[0]
            node.JumpSliceByCentering(0.0, 0.0, 0.0)
            width, height, depth = node.GetFieldOfView()
            node.SetFieldOfView(size, size * height / width if width else size, depth)
            node.SetXYZOrigin(0, 0, 0)
        self._marks.show(lambda name: True)

    def put_away(self):
        """Take the case out of views and scene."""
        if self._node is not None and self._node.GetScene() is not None:
            for view in filter(self._shows, STANDARD):
                set_layers(slice_nodes(slicer.mrmlScene, view)[1], None, None, 0.0)
            slicer.mrmlScene.RemoveNode(self._node)
        self._node = None
        self._marks.show(lambda name: False)

    def place(self):
        """What is looked at, as one text: the offsets of the views, and the window."""
        offsets = [f"{view} {slice_nodes(slicer.mrmlScene, view)[0].GetSliceOffset():.1f}" for view in STANDARD]
        display = self._node.GetDisplayNode()
        return " ".join([*offsets, f"W{display.GetWindow():.0f}", f"L{display.GetLevel():.0f}"])

    def close(self):
        """Take everything away."""
        self.put_away()
        self._marks.remove()
