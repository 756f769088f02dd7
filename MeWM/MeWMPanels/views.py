"""How a comparison is shown: layers, layouts, map with legend, outlines, surfaces, and the mark SIMULATED."""

import logging

import qt
import slicer
from slicer.i18n import tr as _

from MeWMLib.scene import surfaces
from MeWMLib.scene.comparison import slice_nodes
from MeWMLib.scene.nodes import SIMULATED_MARK
from MeWMLib.scene.views import set_layers
from MeWMPanels.corner_marks import CornerMarks

STANDARD = ("Red", "Green", "Yellow")
_SCALAR = "vtkMRMLScalarVolumeNode"
MAPS = ("difference", "uncertainty")
SIDE_BY_SIDE = ("MeWM-Before", "MeWM-Simulated", "MeWM-Difference")
#: Slicer asks extensions to use numbers that nobody else uses.
LAYOUT_NUMBER = 24117
_VIEW = (
    '<item><view class="vtkMRMLSliceNode" singletontag="{}">'
    '<property name="orientation" action="default">Axial</property>'
    '<property name="viewlabel" action="default">{}</property></view></item>'
)
FLICKER_MS = 500
MAP_OPACITY = 0.8
LESION_MM = 90.0


def rank_of(node):
    """The rank that a node of a comparison belongs to; None for a node that is not there."""
    return int(node.GetAttribute("MeWM.Rank") or 0) if node is not None else None


def map_of(comparison, name):
    """The node of a map for the rank that is shown, or None: the uncertainty is known for one rank only."""
    node = comparison.node(name) if name in MAPS else None
    return node if rank_of(node) == comparison.shown_rank else None


def results_of(scene):
    """Every node of a comparison in a scene."""
    nodes = (scene.GetNthNode(n) for n in range(scene.GetNumberOfNodes()))
    return [node for node in nodes if node.GetAttribute("MeWM.Comparison")]


class Views:
    """Shows one comparison at a time; holds no node of it between calls.

    Args:
        poller: computes surfaces on a thread.
    """

    def __init__(self, poller):
        self._poller, self._drawing = poller, set()
        self._marks = CornerMarks(SIMULATED_MARK, (1.0, 0.87, 0.34))
        self._flicker = qt.QTimer()
        self._flicker.setInterval(FLICKER_MS)
        self._flicker.timeout.connect(self._toggle)
        self._flicker_on = False

    def show(self, comparison, pack):
        """Show a comparison as the view settings say."""
        simulated = comparison.node("simulated")
        side_by_side = pack.layout == "side by side"
        self._lay_out(side_by_side)
        shown_map = map_of(comparison, pack.map)
        over = (shown_map, MAP_OPACITY) if shown_map is not None else (simulated, pack.fade)
        layers = {name: (comparison.ct, *over) for name in STANDARD}
        if side_by_side:
            before, after, difference = SIDE_BY_SIDE
            layers[before], layers[after] = (comparison.ct, None, 0.0), (simulated, None, 0.0)
            layers[difference] = (comparison.ct, map_of(comparison, "difference"), MAP_OPACITY)
        for name, shown in layers.items():
            composite = slice_nodes(slicer.mrmlScene, name)[1]
            set_layers(composite, *shown)
            composite.SetLinkedControl(True)
        self._legend(comparison, shown_map, side_by_side)
        self._segmentations(comparison, pack)
        self._mark(simulated is not None)

    def show_ct(self, ct):
        """Show a CT alone, in place of whatever comparison was shown."""
        self._lay_out(False)
        shown = results_of(slicer.mrmlScene)
        for name in STANDARD:
            composite = slice_nodes(slicer.mrmlScene, name)[1]
            set_layers(composite, ct, None, 0.0)
        for node in shown:
            if node.IsA("vtkMRMLSegmentationNode") and node.GetDisplayNode() is not None:
                node.GetDisplayNode().SetVisibility(False)
            legend = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(node) if node.IsA(_SCALAR) else None
            if legend is not None:
                legend.SetVisibility(False)
        self._mark(False)

    def flicker(self, on):
        """Let the simulated CT come and go, twice a second."""
        if on:
            self._flicker.start()
        else:
            self._flicker.stop()

    def to_lesion(self, centre):
        """Move all slices to the lesion and show 9 cm around it."""
        there = [name for name in SIDE_BY_SIDE if slicer.mrmlScene.GetSingletonNode(name, "vtkMRMLSliceNode")]
        for name in (*STANDARD, *there):
            node = slice_nodes(slicer.mrmlScene, name)[0]
            node.JumpSliceByCentering(*centre)
            width, height, depth = node.GetFieldOfView()
            node.SetFieldOfView(LESION_MM, LESION_MM * height / width if width else LESION_MM, depth)
            node.SetXYZOrigin(0, 0, 0)

    def close(self):
        """Stop what still runs and take the marks away."""
        self.flicker(False)
        self._marks.remove()

    def leave(self):
        """Go back from MeWM's own layout to Slicer's usual one: its views would be made again in an empty scene."""
        self._lay_out(False)

    def _toggle(self):
        self._flicker_on = not self._flicker_on
        for name in STANDARD:
            slice_nodes(slicer.mrmlScene, name)[1].SetForegroundOpacity(float(self._flicker_on))

    def _lay_out(self, side_by_side):
        manager = slicer.app.layoutManager()
        node = manager.layoutLogic().GetLayoutNode()
        if side_by_side and not node.IsLayoutDescription(LAYOUT_NUMBER):
            titles = (_("before"), _("SIMULATED"), _("difference"))
            views = "".join(_VIEW.format(tag, title) for tag, title in zip(SIDE_BY_SIDE, titles, strict=True))
            node.AddLayoutDescription(LAYOUT_NUMBER, f'<layout type="horizontal" split="true">{views}</layout>')
        if side_by_side:
            manager.setLayout(LAYOUT_NUMBER)
        elif node.GetViewArrangement() == LAYOUT_NUMBER:
            manager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)

    def _legend(self, comparison, shown_map, side_by_side):
        """Colours with their HU beside the slices, for the map that is shown."""
        logic = slicer.vtkSlicerColorLogic
        for role in MAPS:
            node = comparison.node(role)
            legend = logic.GetColorLegendDisplayNode(node) if node is not None else None
            visible = node is not None and (node is shown_map or (side_by_side and role == "difference"))
            if visible and legend is None:
                legend = logic.AddDefaultColorLegendDisplayNode(node)
                legend.SetTitleText("HU")
            if legend is not None:
                legend.SetVisibility(visible)

    def _segmentations(self, comparison, pack):
        before, shown = comparison.labels, comparison.shown_rank
        for node in (before, *comparison.outlines):
            if node is None or node.GetDisplayNode() is None:
                continue
            display = node.GetDisplayNode()
            mine = node is before or rank_of(node) == shown
            display.SetVisibility(mine and (pack.outlines or pack.surfaces))
            display.SetVisibility2DOutline(pack.outlines)
            display.SetVisibility2DFill(False)
            display.SetVisibility3D(pack.surfaces)
            if pack.surfaces and mine:
                self._draw_surfaces(node)

    def _draw_surfaces(self, node):
        """Compute the surfaces of a segmentation on a thread: Slicer's own way takes seconds in a large CT."""
        name = node.GetID()
        if surfaces.drawn(node) or name in self._drawing:
            return
        held = surfaces.hold(node)
        self._drawing.add(name)

        def add(made):
            self._drawing.discard(name)
            if node.GetScene() is not None:
                surfaces.add(node, made)
                node.GetDisplayNode().Modified()

        def failed(error):
            self._drawing.discard(name)
            logging.error("MeWM: the surfaces cannot be drawn: %s", error)

        self._poller.run(lambda: surfaces.compute(held), add, failed)

    def _mark(self, on):
        """Mark each view that shows a simulated CT as such, in its corner."""
        self._marks.show(lambda name: on and name != SIDE_BY_SIDE[0])
