"""A picture of a registration: three slices through the tumour, before, after, and fields of both in turn."""

# mypy: allow-untyped-calls
from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from MeWMLib.core.io import atomic_path
from MeWMLib.core.volume import LabelMap, Volume
from MeWMLib.perception.preprocess import box_geometry, resample
from MeWMLib.perception.registration import Registered

#: Width 400 HU about 40, as abdominal CT is read.
WINDOW_HU = (-160.0, 240.0)
#: Edge of a field of the checkerboard, and of a pixel.
FIELD_MM, PIXEL_MM = 25.0, 0.8
#: Shown around the liver.
MARGIN_MM = 25.0
SLICES = 3
#: Liver before, liver after, tumour before, tumour after.
COLOURS = ((90, 230, 90), (255, 80, 60), (255, 220, 0), (255, 90, 255))
LEGEND = (
    "Rows: three slices through the tumour. Columns: before; after, registered; fields of both in turn. Outlines: "
    "liver before green, after red; tumour before yellow, after violet."
)

#: Length of the scale; height of a line of text and of its letters, in pixels.
SCALE_MM, _LINE, _LETTER = 50.0, 20, 13
_WHITE = (255, 255, 255)
_TITLES = ("before", "after, registered", "fields of both in turn")
#: Below the picture: words with their colours, line by line; short ones, since a picture of a small liver is narrow.
_KEY = (
    (("liver before", COLOURS[0]), ("after", COLOURS[1]), ("tumour before", COLOURS[2]), ("after", COLOURS[3])),
    ((f"window {WINDOW_HU[1] - WINDOW_HU[0]:.0f}, level {sum(WINDOW_HU) / 2:.0f} HU; research use only", _WHITE),),
)

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]


def registration_picture(before: Volume, labels: LabelMap, found: Registered, after: LabelMap | None) -> Pixels:
    """Draw the picture; `LEGEND` says what it shows.

    Args:
        before, labels: on one grid.
        found: the scan after, registered to it.
        after: labels after on that grid, or None.

    Returns:
        (H, W, 3) in radiological order: the patient's right is on the left, as letters say; with a scale and a key.
    """
    slice_mm = float(max(before.geometry.spacing))
    grid = box_geometry(before.geometry, (slice_mm, PIXEL_MM, PIXEL_MM))
    images = [resample(v.array.astype(np.float32), v.geometry, grid) for v in (before, found.ct)]
    maps = [None if m is None else resample(m.array, m.geometry, grid, "nearest", 0) for m in (labels, after)]
    mine = maps[0]
    assert mine is not None
    where = mine == 2 if (mine == 2).any() else mine > 0
    at = np.flatnonzero(where.any((1, 2))) if where.any() else np.arange(len(mine))
    chosen = at[np.linspace(0, len(at) - 1, SLICES + 2).astype(int)[1:-1]]
    rows, columns = (_span(mine > 0, axis) for axis in (1, 2))
    lines = []
    for k in chosen.tolist():
        first, second = (_grey(image[k]) for image in images)
        j, i = np.indices(first.shape[:2])
        fields = ((j * PIXEL_MM // FIELD_MM + i * PIXEL_MM // FIELD_MM) % 2 == 0)[..., None]
        board = np.where(fields, first, second).astype(np.uint8)
        outlines = [(m[k] >= value, COLOURS[2 * (value - 1) + n]) for value in (1, 2) for n, m in enumerate(maps)
                    if m is not None]  # fmt: skip
        tiles = [_outlined(first, outlines), _outlined(second, outlines), board]
        lines.append(np.concatenate([tile[rows, columns] for tile in tiles], axis=1))
    return _lettered(np.concatenate(lines, axis=0), SLICES)


def _lettered(pixels: Pixels, rows: int) -> Pixels:
    """The picture between a line of titles and a key, with the patient's sides in every tile and a scale."""
    from PIL import Image, ImageDraw, ImageFont  # highdicom brings Pillow

    high, wide = pixels.shape[:2]
    tile_high, tile_wide = high / rows, wide / len(_TITLES)
    image = Image.new("RGB", (wide, _LINE + high + len(_KEY) * _LINE))
    image.paste(Image.fromarray(pixels), (0, _LINE))
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(_LETTER)

    def write(x: float, y: float, text: str, anchor: str, colour: tuple[int, int, int] = _WHITE) -> None:
        draw.text((x, y), text, colour, font, anchor, stroke_width=1, stroke_fill=(0, 0, 0))

    for n, title in enumerate(_TITLES):
        write((n + 0.5) * tile_wide, _LINE / 2, title, "mm")
        for row in range(rows):
            middle = _LINE + (row + 0.5) * tile_high
            write(n * tile_wide + 4, middle, "R", "lm")
            write((n + 1) * tile_wide - 4, middle, "L", "rm")
    right, foot = wide - 8, _LINE + high - 8
    draw.line((right - SCALE_MM / PIXEL_MM, foot, right, foot), fill=_WHITE, width=3)
    write(right, foot - 4, f"{SCALE_MM:.0f} mm", "rs")
    for n, line in enumerate(_KEY):
        x, y = 6.0, _LINE + high + (n + 0.5) * _LINE
        for text, colour in line:
            write(x, y, text, "lm", colour)
            x += font.getlength(f"{text}   ")
    return np.array(image)


def write_picture(pixels: Pixels, path: Path) -> None:
    """Write a PNG.

    Raises:
        OutputError: it cannot be written.
    """
    with atomic_path(path) as temporary:
        sitk.WriteImage(sitk.GetImageFromArray(np.ascontiguousarray(pixels), isVector=True), str(temporary))


def _grey(hu: NDArray[np.float32]) -> Pixels:
    low, high = WINDOW_HU
    grey = np.clip((hu - low) / (high - low) * 255, 0, 255).astype(np.uint8)
    return np.asarray(np.repeat(grey[..., None], 3, axis=2), np.uint8)


def _outlined(tile: Pixels, outlines: list[tuple[Mask, tuple[int, int, int]]]) -> Pixels:
    drawn: Pixels = tile.copy()
    for mask, colour in outlines:
        drawn[mask & ~ndimage.binary_erosion(mask, border_value=1)] = colour
    return drawn


def _span(mask: Mask, axis: int) -> slice:
    """The liver and what is around it along an axis; all of it without a liver."""
    at = np.flatnonzero(mask.any(tuple(n for n in range(3) if n != axis)))
    if not len(at):
        return slice(None)
    margin = int(MARGIN_MM / PIXEL_MM)
    return slice(max(0, int(at[0]) - margin), int(at[-1]) + margin + 1)
