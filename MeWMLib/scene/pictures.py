"""What the report shows: slices before and after, difference, uncertainty, protocols side by side, surfaces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from MeWMLib.core.volume import LabelMap, Volume
from MeWMLib.scene.annotate import Annotator
from MeWMLib.scene.colours import ColourMap, deviation_map, difference_map, round_limit
from MeWMLib.scene.core_app import SlicerCore
from MeWMLib.scene.nodes import show_in_window, volume_to_node
from MeWMLib.scene.plan_folder import Simulated
from MeWMLib.scene.segmentations import (
    COLOUR_AFTER,
    COLOUR_BEFORE,
    draw_as_outline,
    labels_to_segmentation,
)
from MeWMLib.scene.surfaces import render_surfaces
from MeWMLib.scene.target import MARGIN_MM, Target, find_target
from MeWMLib.scene.views import AXIAL, CORONAL, Framing, Pixels, SliceView

SIZE = 560
GROUPS = ("axial", "coronal", "protocols", "surfaces")
#: A map covers the CT so far that its colours can be read off the legend; the CT below only gives the place.
_MAP_OPACITY = 0.8
_BEFORE_KEY = ("lesion before", COLOUR_BEFORE)
_AFTER_KEY = ("lesion simulated", COLOUR_AFTER)
Progress = Callable[[float, str], None]


@dataclass(frozen=True, eq=False)
class Picture:
    """One picture.

    Attributes:
        group: one of `GROUPS`.
        name: file name without its ending.
        caption: what it shows, for the report and for readers who cannot see it.
        pixels: (H, W, 3) uint8.
    """

    group: str
    name: str
    caption: str
    pixels: Pixels


def make_pictures(
    core: SlicerCore, before: Volume, labels: LabelMap, simulated: Sequence[Simulated], gl: bool, progress: Progress
) -> list[Picture]:
    """Make all pictures of a plan.

    Args:
        core: a running core, whose scene is used and left as it was.
        before: the CT before treatment.
        labels: liver and tumour on it.
        simulated: the kept candidates, best first; may be empty.
        gl: False for pictures without OpenGL; then the surfaces are left out.
        progress: called with the finished share (0 to 1) and a message.
    """
    target = find_target(labels)
    studio = _Studio(core, before, labels, target)
    pictures: list[Picture] = []
    try:
        with SliceView(core, SIZE) as view:
            for orientation in (AXIAL, CORONAL):
                progress(len(pictures) / 14, f"{orientation} pictures")
                pictures += studio.comparison(view, orientation, simulated[0] if simulated else None)
            progress(0.6, "Protocols side by side")
            pictures += studio.side_by_side(view, simulated)
        if gl:
            progress(0.8, "Surfaces")
            pictures += studio.surfaces(simulated[0] if simulated else None)
    finally:
        studio.close()
    return pictures


class _Studio:
    """The nodes that pictures are taken of."""

    def __init__(self, core: SlicerCore, before: Volume, labels: LabelMap, target: Target) -> None:
        self.core, self.before, self.labels, self.target = core, before, labels, target
        self._nodes: list[Any] = []
        self.ct = self._keep(volume_to_node(core.scene, before, "CT"))
        self.lesion = self._outline(labels, COLOUR_BEFORE)
        self._maps: dict[str, tuple[Any, ColourMap]] = {}

    def close(self) -> None:
        """Take all nodes out of the scene."""
        for node in reversed(self._nodes):
            for index in reversed(range(node.GetNumberOfDisplayNodes() if hasattr(node, "GetNthDisplayNode") else 0)):
                self.core.scene.RemoveNode(node.GetNthDisplayNode(index))
            self.core.scene.RemoveNode(node)

    def comparison(self, view: Any, orientation: str, best: Simulated | None) -> list[Picture]:
        """Before; and, where there is a simulated CT: simulated, difference and, axial only, deviation."""
        framing, group = self.target.liver_framing(orientation), orientation.lower()
        note = Annotator(view.render(framing, self.ct, outlines=[self.lesion]))
        self._finish(note, framing, "CT before treatment", [_BEFORE_KEY])
        text = f"{orientation} CT before treatment; the lesion is outlined"
        pictures = [Picture(group, f"{group}_before", text, note.pixels)]
        if best is None:
            return pictures
        ct, after = self._simulated(best)
        rank = best.candidate.rank
        note = Annotator(view.render(framing, ct, outlines=[self.lesion, after]))
        self._finish(note, framing, "Simulated CT", [_BEFORE_KEY, _AFTER_KEY], best)
        text = f"{orientation} CT as simulated after the protocol of rank {rank}"
        pictures.append(Picture(group, f"{group}_simulated", text, note.pixels))
        node, colours = self._difference(best)
        note = Annotator(view.render(framing, self.ct, node, _MAP_OPACITY, [self.lesion, after]))
        self._finish(note, framing, "Difference", [_BEFORE_KEY, _AFTER_KEY], best)
        note.legend(colours)
        text = "Difference in HU over the CT: orange is brighter after treatment, blue darker, grey unchanged"
        pictures.append(Picture(group, f"{group}_difference", text, note.pixels))
        if best.sd is not None and orientation == AXIAL:
            node, colours = self._deviation(best.sd)
            note = Annotator(view.render(framing, self.ct, node, _MAP_OPACITY, [after]))
            self._finish(note, framing, "Uncertainty (SD)", [_AFTER_KEY], best)
            note.legend(colours)
            text = "Standard deviation over the replicas in HU: bright is where the simulations disagree"
            pictures.append(Picture(group, f"{group}_deviation", text, note.pixels))
        return pictures

    def side_by_side(self, view: Any, simulated: Sequence[Simulated]) -> list[Picture]:
        """The same slice in the same window before treatment and after each protocol."""
        if len(simulated) < 2:
            return []
        framing = self.target.lesion_framing()
        note = Annotator(view.render(framing, self.ct, outlines=[self.lesion]), scale=1.35)
        self._finish(note, framing, "Before", [])
        pictures = [Picture("protocols", "protocol_00_before", "Before treatment", note.pixels)]
        for one in simulated:
            ct, after = self._simulated(one)
            note = Annotator(view.render(framing, ct, outlines=[self.lesion, after]), scale=1.35)
            self._finish(note, framing, f"Rank {one.candidate.rank}", [], one)
            text = f"Rank {one.candidate.rank}: {one.candidate.protocol}"
            pictures.append(Picture("protocols", f"protocol_{one.candidate.rank:02d}", text, note.pixels))
        return pictures

    def surfaces(self, best: Simulated | None) -> list[Picture]:
        """Liver and lesion in 3D before, and as simulated."""
        extent = np.subtract(self.target.liver_high, self.target.liver_low)
        width = float(max(extent[0], extent[2])) + 2 * MARGIN_MM
        pictures = []
        todo: list[tuple[LabelMap, Simulated | None]] = [(self.labels, None)]
        if best is not None:
            todo.append((best.labels, best))
        for labels, one in todo:
            colour = COLOUR_BEFORE if one is None else COLOUR_AFTER
            note = Annotator(render_surfaces(labels, colour, self.target.liver_centre, width, SIZE))
            when = "before" if one is None else "simulated"
            note.title("Before treatment" if one is None else "Simulated")
            if one is not None:
                note.simulated(one.candidate.protocol, self._seed(one))
            text = f"Liver (transparent) and lesion in 3D, {when}; seen from the front"
            pictures.append(Picture("surfaces", f"surfaces_{when}", text, note.pixels))
        return pictures

    def _finish(
        self,
        note: Annotator,
        framing: Framing,
        title: str,
        key: Sequence[tuple[str, tuple[float, float, float]]],
        simulated: Simulated | None = None,
    ) -> None:
        note.title(title)
        note.key(key)
        note.orientation(framing)
        note.scale_bar(framing)
        if simulated is not None:
            note.simulated(simulated.candidate.protocol, self._seed(simulated))

    @staticmethod
    def _seed(simulated: Simulated) -> int:
        assert simulated.ct.simulated is not None  # `PlanFolder.read_simulated` sees to it
        return simulated.ct.simulated.seed

    def _keep(self, node: Any) -> Any:
        self._nodes.append(node)
        return node

    def _outline(self, labels: LabelMap, colour: tuple[float, float, float]) -> Any:
        node = self._keep(labels_to_segmentation(self.core.scene, labels, "lesion", None, colour))
        draw_as_outline(node, liver=False)
        return node

    def _simulated(self, one: Simulated) -> tuple[Any, Any]:
        name = f"rank {one.candidate.rank}"
        found = [n for n in self._nodes if n.GetAttribute("MeWM.Picture") == name]
        if not found:
            found = [volume_to_node(self.core.scene, one.ct, name), self._outline(one.labels, COLOUR_AFTER)]
            self._keep(found[0])
            for node in found:
                node.SetAttribute("MeWM.Picture", name)
            return found[0], found[1]
        volume, segmentation = sorted(found, key=lambda n: n.GetClassName() == "vtkMRMLSegmentationNode")
        return volume, segmentation

    def _difference(self, one: Simulated) -> tuple[Any, ColourMap]:
        if "difference" not in self._maps:
            array = np.subtract(one.ct.array, self.before.array, dtype=np.float32)
            colours = difference_map(round_limit(array[array != 0]))
            self._maps["difference"] = self._map_node(self.before.with_array(array), colours), colours
        return self._maps["difference"]

    def _deviation(self, sd: Volume) -> tuple[Any, ColourMap]:
        if "deviation" not in self._maps:
            colours = deviation_map(round_limit(sd.array[sd.array > 0]))
            self._maps["deviation"] = self._map_node(sd, colours), colours
        return self._maps["deviation"]

    def _map_node(self, volume: Volume, colours: ColourMap) -> Any:
        node = self._keep(volume_to_node(self.core.scene, volume, colours.name))
        table = self._keep(colours.to_node(self.core.scene))
        show_in_window(node, colours.high - colours.low, (colours.high + colours.low) / 2, table.GetID())
        return node
