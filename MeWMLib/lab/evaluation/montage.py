"""Pictures of simulated beside true outcomes, drawn with matplotlib. Every simulated tile says SIMULATED.

A scan of a drawn patient may say DRAWN in its place, so that a model's simulation is told from what the world drew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from MeWMLib.core.errors import GeometryMismatchError, InputError
from MeWMLib.core.io import atomic_path
from MeWMLib.scene.charts import short

#: Width 400 HU about 40, as abdominal CT is read.
SOFT_TISSUE_HU = (-160.0, 240.0)
#: A difference of this much is drawn in the full colour.
DIFFERENCE_HU = 200.0
MARK, DRAWN = "SIMULATED", "DRAWN"
MARK_COLOUR, OUTLINE_COLOUR, LESION_COLOUR = "#ffd400", "#35d0ff", "#ff5a36"
DPI = 110
TILE_INCHES = 1.75
#: Letters of a title that fit over a tile.
LETTERS = 27
#: Width of a tile where a border is to be judged by eye.
LARGE_INCHES = 3.4

FloatArray = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Tile:
    """One picture of a montage.

    Attributes:
        image: (H, W) HU; of a difference, the difference in HU. Rows run to posterior, columns to the patient's left.
        title: text over the tile.
        outline: (H, W) what is outlined, or None.
        lesion: (H, W) outlined in another colour, or None.
        simulated: burns the mark into the tile.
        drawn: burns the mark of a drawn patient's scan into the tile.
        difference: draws it in blue (darker) and red (brighter).

    Raises:
        GeometryMismatchError: the image is not 2D, or an outline is not of its shape.
    """

    image: FloatArray
    title: str = ""
    outline: Mask | None = None
    simulated: bool = False
    difference: bool = False
    lesion: Mask | None = None
    drawn: bool = False

    def __post_init__(self) -> None:
        outlines = [m.shape for m in (self.outline, self.lesion) if m is not None]
        if np.ndim(self.image) != 2 or any(shape != self.image.shape for shape in outlines):
            raise GeometryMismatchError(
                what="A tile needs a 2D image and an outline of the same shape",
                given=f"{np.shape(self.image)} and {outlines}",
                remedy="Cut one axial slice out of the image and of the labels",
            )


def slices_through(mask: NDArray[np.bool_], count: int) -> list[int]:
    """Numbers of `count` slices spread through a mask (D, H, W), without the first and last, which show little."""
    at = np.flatnonzero(mask.any((1, 2)))
    return [int(k) for k in at[np.linspace(0, len(at) - 1, count + 2).astype(int)[1:-1]]] if len(at) else []


def write_tiles(path: Path, lines: Sequence[Sequence[Tile | None]], inches: float = TILE_INCHES) -> None:
    """Write lines of tiles, each so many inches wide, as one PNG; None leaves a place empty.

    Raises:
        InputError: no tiles.
        OutputError: the file cannot be written.
    """
    if not any(tile is not None for line in lines for tile in line):
        raise InputError(what="A montage of no images", given=f"{len(lines)} lines", remedy="Give at least one patient")
    width, height, corners = layout(lines, inches)
    # A protocol is text: a dollar sign in it is not a formula.
    with mpl.rc_context({"font.family": "DejaVu Sans", "text.parse_math": False}):
        # No pyplot: its figures are global, and they would stay in memory.
        figure = Figure(figsize=(width, height), facecolor="black")
        FigureCanvasAgg(figure)
        for line, places in zip(lines, corners, strict=True):
            for tile, (left, bottom) in zip(line, places, strict=True):
                if tile is not None:
                    box = (left / width, bottom / height, inches / width, inches / height)
                    _draw(figure.add_axes(box), tile, inches)
        with atomic_path(path) as temporary:
            figure.savefig(temporary, format="png", dpi=DPI, facecolor="black")


def layout(
    lines: Sequence[Sequence[Tile | None]], inches: float
) -> tuple[float, float, list[list[tuple[float, float]]]]:
    """Width and height of a montage, and the left and bottom edge of each tile, all in inches."""
    columns = max(len(line) for line in lines)
    titles = [[_title(tile, inches) for tile in line if tile is not None] for line in lines]
    heights = [inches + 0.13 * max((t.count("\n") + 1 for t in shown), default=1) + 0.1 for shown in titles]
    height = top = sum(heights) + 0.1
    corners = []
    for line, room in zip(lines, heights, strict=True):
        top -= room
        corners.append([(0.1 + column * (inches + 0.1), top) for column in range(len(line))])
    return inches * columns + 0.1 * (columns + 1), height, corners


def _title(tile: Tile, inches: float) -> str:
    """The title in lines that fit over the tile, broken at the plus signs of a protocol where possible."""
    return "\n".join(short(part, int(LETTERS * inches / TILE_INCHES)) for part in tile.title.split("\n"))


def _draw(axes: Axes, tile: Tile, inches: float) -> None:
    axes.set_axis_off()
    if tile.difference:
        limits, colours = (-DIFFERENCE_HU, DIFFERENCE_HU), "RdBu_r"
    else:
        limits, colours = SOFT_TISSUE_HU, "gray"
    axes.imshow(tile.image, cmap=colours, vmin=limits[0], vmax=limits[1], interpolation="nearest", aspect="equal")
    for mask, colour in ((tile.outline, OUTLINE_COLOUR), (tile.lesion, LESION_COLOUR)):
        if mask is not None and mask.any() and not mask.all():
            shown = "black" if tile.difference else colour
            axes.contour(mask.astype(float), levels=[0.5], colors=[shown], linewidths=0.6)
    if tile.simulated or tile.drawn:
        mark = DRAWN if tile.drawn else MARK
        text = axes.text(0.03, 0.03, mark, transform=axes.transAxes, color=MARK_COLOUR, fontsize=7, weight="bold")
        text.set_path_effects([withStroke(linewidth=1.5, foreground="black")])
    axes.set_title(_title(tile, inches), color="white", fontsize=6, pad=2)
