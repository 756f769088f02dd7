"""Pictures of simulated beside true outcomes, drawn with matplotlib. SIMULATED stands in every simulated tile."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from MeWMLib.core.errors import GeometryMismatchError, InputError
from MeWMLib.core.io import atomic_path

#: Width 400 HU about 40, as abdominal CT is read.
SOFT_TISSUE_HU = (-160.0, 240.0)
#: A difference of this much is drawn in the full colour.
DIFFERENCE_HU = 200.0
MARK = "SIMULATED"
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

    def __post_init__(self) -> None:
        outlines = [m.shape for m in (self.outline, self.lesion) if m is not None]
        if np.ndim(self.image) != 2 or any(shape != self.image.shape for shape in outlines):
            raise GeometryMismatchError(
                what="A tile needs a 2D image and an outline of the same shape",
                given=f"{np.shape(self.image)} and {outlines}",
                remedy="Cut one axial slice out of the image and of the labels",
            )


@dataclass(frozen=True, eq=False)
class MontageRow:
    """One patient: the CT before, N simulated protocols, and the truth of each, all (H, W) of one axial slice.

    Attributes:
        name: of the patient.
        before: HU.
        outline: lesion before treatment.
        protocols: N texts.
        simulated, truths: N images each.
        outlines_simulated, outlines_truths: N lesions each after treatment, or empty to draw the one before.

    Raises:
        InputError: not as many images or outlines as protocols.
        GeometryMismatchError: an image of another shape.
    """

    name: str
    before: FloatArray
    outline: Mask
    protocols: Sequence[str]
    simulated: Sequence[FloatArray]
    truths: Sequence[FloatArray]
    outlines_simulated: Sequence[Mask] = ()
    outlines_truths: Sequence[Mask] = ()

    def __post_init__(self) -> None:
        count = len(self.protocols)
        given = (len(self.simulated), len(self.truths))
        outlines = (len(self.outlines_simulated), len(self.outlines_truths))
        if not count or given != (count, count) or any(n not in (0, count) for n in outlines):
            raise InputError(
                what="A row of the montage needs one simulated and one true image for each protocol",
                given=f"{count} protocols, {given[0]} simulated, {given[1]} true, {outlines} outlines",
                remedy="Give N of each, N at least 1",
            )
        for image in (self.outline, *self.simulated, *self.truths):
            if np.shape(image) != np.shape(self.before):
                raise GeometryMismatchError(
                    what="The images of a row are not of one shape",
                    given=f"{np.shape(image)} beside {np.shape(self.before)}",
                    remedy="Cut the same slice out of all of them",
                )

    def tiles(self, difference: bool) -> list[list[Tile | None]]:
        """Lines of tiles: simulated, truth, and simulated minus truth if that is wanted."""
        wanted = len(self.protocols)
        after = self.outlines_simulated or [self.outline] * wanted
        true_after = self.outlines_truths or [self.outline] * wanted
        lines: list[list[Tile | None]] = [
            [
                Tile(self.before, f"{self.name}\nbefore", self.outline),
                *(
                    Tile(image, protocol, outline, simulated=True)
                    for image, protocol, outline in zip(self.simulated, self.protocols, after, strict=True)
                ),
            ],
            [None, *(Tile(i, "truth", o) for i, o in zip(self.truths, true_after, strict=True))],
        ]
        if difference:
            pairs = zip(self.simulated, self.truths, true_after, strict=True)
            lines.append(
                [
                    None,
                    *(
                        Tile(np.asarray(s - t, np.float32), "simulated minus truth", o, simulated=True, difference=True)
                        for s, t, o in pairs
                    ),
                ]
            )
        return lines


def write_montage(path: Path, rows: Sequence[MontageRow], difference: bool = False) -> None:
    """Write a PNG: a patient a row; before, then the protocols, under each the truth.

    Args:
        path: of the PNG.
        rows: patients.
        difference: adds a line with simulated minus truth.

    Raises:
        InputError: no rows.
        OutputError: the file cannot be written.
    """
    write_tiles(path, [line for row in rows for line in row.tiles(difference)])


def write_tiles(path: Path, lines: Sequence[Sequence[Tile | None]], inches: float = TILE_INCHES) -> None:
    """Write lines of tiles, each so many inches wide, as one PNG; None leaves a place empty.

    Raises:
        InputError: no tiles.
        OutputError: the file cannot be written.
    """
    content, _ = render_tiles(lines, inches)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def render_tiles(
    lines: Sequence[Sequence[Tile | None]], inches: float = TILE_INCHES
) -> tuple[bytes, list[list[tuple[int, int, int, int] | None]]]:
    """Draw lines of tiles.

    Returns:
        The PNG, and for each place the box of its image in pixels (top, bottom, left, right), None if it is empty.

    Raises:
        InputError: no tiles.
    """
    if not any(tile is not None for line in lines for tile in line):
        raise InputError(what="A montage of no images", given=f"{len(lines)} lines", remedy="Give at least one patient")
    columns = max(len(line) for line in lines)
    # A protocol is text: a dollar sign in it is no formula.
    with mpl.rc_context({"font.family": "DejaVu Sans", "text.parse_math": False}):
        # No pyplot: its figures are global, and they would live on in a long-running process.
        letters = int(LETTERS * inches / TILE_INCHES)
        titles = [_title_lines(line, letters) for line in lines]
        heights = [inches + 0.13 * n + 0.1 for n in titles]
        width, height = inches * columns + 0.1 * (columns + 1), sum(heights) + 0.1
        figure = Figure(figsize=(width, height), facecolor="black")
        canvas = FigureCanvasAgg(figure)
        places: list[list[Any]] = []
        top = height - 0.05
        for line, room in zip(lines, heights, strict=True):
            places.append([])
            for column, tile in enumerate(line):
                left = 0.1 + column * (inches + 0.1)
                box = (left / width, (top - room + 0.05) / height, inches / width, inches / height)
                places[-1].append(None if tile is None else _draw(figure, box, tile, letters))
            top -= room
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=DPI, facecolor="black")
        # savefig sets its own resolution back; the boxes are asked for at that of the file
        figure.set_dpi(DPI)
        canvas.draw()
        pixels = [[None if axes is None else _pixels(axes, figure) for axes in line] for line in places]
    return buffer.getvalue(), pixels


def _draw(figure: Figure, box: tuple[float, float, float, float], tile: Tile, letters: int) -> Any:
    axes = figure.add_axes(box)
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
    if tile.simulated:
        text = axes.text(0.03, 0.03, MARK, transform=axes.transAxes, color=MARK_COLOUR, fontsize=7, weight="bold")
        text.set_path_effects([withStroke(linewidth=1.5, foreground="black")])
    axes.set_title(_wrapped(tile.title, letters), color="white", fontsize=6, pad=2)
    return axes


def _wrapped(text: str, width: int) -> str:
    """Break at the plus signs of a protocol where possible."""
    lines: list[str] = []
    for paragraph in text.split("\n"):
        line = ""
        for part in paragraph.split(" + "):
            longer = f"{line} + {part}" if line else part
            if line and len(longer) > width:
                lines.extend(textwrap.wrap(f"{line} +", width))
                line = part
            else:
                line = longer
        lines.extend(textwrap.wrap(line, width))
    return "\n".join(lines)


def _title_lines(line: Sequence[Tile | None], letters: int) -> int:
    return max((_wrapped(tile.title, letters).count("\n") + 1 for tile in line if tile is not None), default=1)


def _pixels(axes: Any, figure: Figure) -> tuple[int, int, int, int]:
    extent = axes.get_window_extent()
    height = round(figure.get_figheight() * DPI)
    return round(height - extent.y1), round(height - extent.y0), round(extent.x0), round(extent.x1)
