"""What the report shows: slices before and after, difference, uncertainty, protocols side by side, surfaces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from MeWMLib.core.plan_folder import KeptCandidate
from MeWMLib.core.structures import VIEW_LEVEL_HU, VIEW_WINDOW_HU
from MeWMLib.core.volume import LabelMap, Volume
from MeWMLib.scene.annotate import Annotator, png_bytes
from MeWMLib.scene.colours import ColourMap, deviation_map, difference_map, round_limit
from MeWMLib.scene.core_app import SlicerCore
from MeWMLib.scene.framing import MOST_BLACK, black_share, framing_of, position_text
from MeWMLib.scene.nodes import show_in_window, volume_to_node
from MeWMLib.scene.segmentations import (
    COLOUR_AFTER,
    COLOUR_BEFORE,
    draw_as_outline,
    labels_to_segmentation,
)
from MeWMLib.scene.surfaces import SurfaceView
from MeWMLib.scene.target import MARGIN_MM, Target, find_target
from MeWMLib.scene.views import AXIAL, CORONAL, SAGITTAL, Framing, Pixels, SliceView

SIZE = 560
GROUPS = ("axial", "coronal", "sagittal", "protocols", "surfaces")
#: The window, as every picture of a slice says it.
WINDOW = f"window {VIEW_WINDOW_HU:.0f}, level {VIEW_LEVEL_HU:.0f} HU"
#: A map covers the CT so far that its colours can be read off the legend; the CT below only gives the place.
_MAP_OPACITY = 0.8
_BEFORE_KEY = ("lesion before", COLOUR_BEFORE)
_AFTER_KEY = ("lesion simulated", COLOUR_AFTER)
Progress = Callable[[float, str], None]
Colour = tuple[float, float, float]
#: What an outline means, and its colour.
Key = tuple[str, Colour]


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

    @cached_property
    def png(self) -> bytes:
        """As the bytes of a PNG, made once."""
        return png_bytes(self.pixels)


def make_pictures(
    core: SlicerCore,
    before: Volume,
    labels: LabelMap,
    simulated: Sequence[KeptCandidate],
    gl: bool,
    progress: Progress,
    near: Sequence[float] | None = None,
) -> list[Picture]:
    """Make all pictures of a plan.

    Args:
        core: a running core, whose scene is used and left as it was.
        before: the CT before treatment.
        labels: liver and tumour on it.
        simulated: the kept candidates, best first; may be empty.
        gl: False for pictures without OpenGL; then the surfaces are left out.
        progress: called with the finished share (0 to 1) and a message.
        near: where the lesion is that is treated, RAS mm; the largest one is shown without it.
    """
    target = find_target(labels, near)
    studio = _Studio(core, before, labels, target)
    pictures: list[Picture] = []
    try:
        with SliceView(core, SIZE) as view:
            for orientation in (AXIAL, CORONAL, SAGITTAL):
                progress(len(pictures) / 18, f"{orientation} pictures")
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
        self._shown: dict[int, tuple[Any, Any]] = {}
        self._maps: dict[str, tuple[Any, ColourMap]] = {}

    def close(self) -> None:
        """Take all nodes out of the scene."""
        for node in reversed(self._nodes):
            for index in reversed(range(node.GetNumberOfDisplayNodes() if hasattr(node, "GetNthDisplayNode") else 0)):
                self.core.scene.RemoveNode(node.GetNthDisplayNode(index))
            self.core.scene.RemoveNode(node)

    def comparison(self, view: Any, orientation: str, best: KeptCandidate | None) -> list[Picture]:
        """Before; and, where there is a simulated CT: simulated, difference and, axial only, deviation."""
        framing, group = framing_of(self.target, self.before, orientation), orientation.lower()
        where = f" at {position_text(framing)}, {WINDOW}"

        def take(name: str, caption: str, title: str, key: Sequence[Key], *layers: Any, **more: Any) -> Picture:
            pixels = self._slice(view, framing, title, key, *layers, **more)
            return Picture(group, f"{group}_{name}", caption, pixels)

        caption = f"{orientation} CT before treatment{where}; the lesion is outlined"
        pictures = [take("before", caption, "CT before treatment", [_BEFORE_KEY], self.ct, [self.lesion])]
        if best is None:
            return pictures
        ct, after = self._simulated(best)
        both, outlines = [_BEFORE_KEY, _AFTER_KEY], [self.lesion, after]
        caption = f"{orientation} CT as simulated after {best.candidate.described}{where}"
        pictures.append(take("simulated", caption, "Simulated CT", both, ct, outlines, simulated=best))
        caption = "Difference in HU over the CT: orange is brighter after treatment, blue darker, grey unchanged"
        over = self._difference(best)
        pictures.append(take("difference", caption, "Difference", both, self.ct, outlines, simulated=best, over=over))
        if best.sd is not None and orientation == AXIAL:
            caption = "Standard deviation over the replicas in HU: bright is where the simulations disagree"
            title, over = "Spread (SD)", self._deviation(best.sd)
            pictures.append(
                take("deviation", caption, title, [_AFTER_KEY], self.ct, [after], simulated=best, over=over)
            )
        return pictures

    def side_by_side(self, view: Any, simulated: Sequence[KeptCandidate]) -> list[Picture]:
        """The same slice in the same window before treatment and after each protocol."""
        if len(simulated) < 2:
            return []
        near = self.target.lesion_framing()
        # a large lesion at the border of a scan leaves its own framing half black
        framing = min((near, framing_of(self.target, self.before, AXIAL)), key=lambda one: _blackness(self.before, one))
        pixels = self._slice(view, framing, "Before", [], self.ct, [self.lesion], scale=1.35)
        pictures = [Picture("protocols", "protocol_00_before", "Before treatment", pixels)]
        for one in simulated:
            rank, (ct, after) = one.candidate.rank, self._simulated(one)
            outlines = [self.lesion, after]
            pixels = self._slice(view, framing, f"Rank {rank}", [], ct, outlines, simulated=one, scale=1.35)
            caption = f"Rank {rank}: {one.candidate.protocol.text}"
            pictures.append(Picture("protocols", f"protocol_{rank:02d}", caption, pixels))
        return pictures

    def surfaces(self, best: KeptCandidate | None) -> list[Picture]:
        """Liver and lesion in 3D before, and as simulated."""
        extent = np.subtract(self.target.liver_high, self.target.liver_low)
        width = float(max(extent[0], extent[2])) + 2 * MARGIN_MM
        pictures = []
        todo: list[tuple[str, str, LabelMap, Colour, KeptCandidate | None]] = [
            ("before", "Before treatment", self.labels, COLOUR_BEFORE, None)
        ]
        if best is not None:
            todo.append(("simulated", "Simulated", best.labels, COLOUR_AFTER, best))
        with SurfaceView(SIZE) as view:
            for when, title, labels, colour, one in todo:
                note = Annotator(view.render(labels, colour, self.target.liver_centre, width))
                note.title(title)
                _sign(note, one)
                caption = f"Liver (transparent) and lesion in 3D, {when}; seen from the front"
                pictures.append(Picture("surfaces", f"surfaces_{when}", caption, note.pixels))
        return pictures

    def _slice(
        self,
        view: Any,
        framing: Framing,
        title: str,
        key: Sequence[Key],
        volume: Any,
        outlines: Sequence[Any],
        *,
        simulated: KeptCandidate | None = None,
        over: tuple[Any, ColourMap] | None = None,
        scale: float = 1.0,
    ) -> Pixels:
        """One slice with its legends; `over` is a map that is laid over the volume."""
        layers = (volume,) if over is None else (volume, over[0], _MAP_OPACITY)
        note = Annotator(view.render(framing, *layers, outlines=outlines), scale=scale)
        note.title(title)
        note.key(key)
        note.orientation(framing)
        note.scale_bar(framing)
        _sign(note, simulated)
        if over is not None:
            note.legend(over[1])
        return note.pixels

    def _keep(self, node: Any) -> Any:
        self._nodes.append(node)
        return node

    def _outline(self, labels: LabelMap, colour: Colour) -> Any:
        node = self._keep(labels_to_segmentation(self.core.scene, labels, "lesion", None, colour))
        draw_as_outline(node, liver=False)
        return node

    def _simulated(self, one: KeptCandidate) -> tuple[Any, Any]:
        """Volume and outline of a candidate."""
        rank = one.candidate.rank
        if rank not in self._shown:
            volume = self._keep(volume_to_node(self.core.scene, one.ct, f"rank {rank}"))
            self._shown[rank] = volume, self._outline(one.labels, COLOUR_AFTER)
        return self._shown[rank]

    def _difference(self, one: KeptCandidate) -> tuple[Any, ColourMap]:
        if "difference" not in self._maps:
            array = np.subtract(one.ct.array, self.before.array, dtype=np.float32)
            colours = difference_map(round_limit(array[array != 0]))
            self._maps["difference"] = self._map_node(self.before.with_array(array), colours), colours
        return self._maps["difference"]

    def _deviation(self, sd: Volume) -> tuple[Any, ColourMap]:
        colours = deviation_map(round_limit(sd.array[sd.array > 0]))
        return self._map_node(sd, colours), colours

    def _map_node(self, volume: Volume, colours: ColourMap) -> Any:
        node = self._keep(volume_to_node(self.core.scene, volume, colours.name))
        table = self._keep(colours.to_node(self.core.scene))
        show_in_window(node, colours.high - colours.low, (colours.high + colours.low) / 2, table.GetID())
        return node


def _blackness(ct: Volume, framing: Framing) -> tuple[float, float]:
    """Sort key: how far a picture is blacker than one may be, then its width."""
    return max(0.0, black_share(ct, framing) - MOST_BLACK), framing.width_mm


def _sign(note: Annotator, simulated: KeptCandidate | None) -> None:
    """Say in a picture that it is simulated, and by what."""
    if simulated is not None:
        assert simulated.ct.simulated is not None  # `PlanFolder.read_kept` sees to it
        note.simulated(simulated.candidate.protocol.text, simulated.ct.simulated.seed)
