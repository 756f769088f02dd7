"""The mark that is burned into a simulated CT: the word SIMULATED, outside of the body, in every slice.

A viewer shows the description of a series in small letters or not at all; nobody overlooks a word in the image. It is
put where every slice shows air, so that no voxel of the patient changes; where there is no such place, no mark is
burned in, and the attributes say alone what the image is. Its rectangle is recorded, so that comparisons leave it out.
"""
# mypy: allow-untyped-calls

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

WORD = "SIMULATED"
#: HU of the letters: white in the windows in which a liver is looked at.
LETTER_HU = 400
#: What is denser than this in any slice is body, table or clothes.
AIR_BELOW_HU = -500
#: Heights of the letters that are tried, in pixels; smaller ones cannot be read.
_HEIGHTS = (28, 24, 20, 16, 12, 10)
#: No letter is nearer than so many pixels to anything.
_CLEAR = 2


@dataclass(frozen=True)
class Mark:
    """Where the mark is: the first row and column, and the letters (H, W)."""

    row: int
    column: int
    letters: NDArray[np.bool_]

    def to_json(self) -> dict[str, int]:
        """Rows and columns of its rectangle, from 0, the ends excluded."""
        height, width = self.letters.shape
        ends = {"row_end": self.row + height, "column_end": self.column + width}
        return {k: v for k, v in asdict(self).items() if k != "letters"} | ends

    def burn(self, image: NDArray[np.int16]) -> None:
        """Write the letters into one slice (J, I)."""
        height, width = self.letters.shape
        image[self.row : self.row + height, self.column : self.column + width][self.letters] = LETTER_HU


class HiddenError(Exception):
    """A mark would hide something; never leaves the export."""


def clear_of(
    mark: Mark | None, planes: Iterable[tuple[int, NDArray[np.int16]]]
) -> Iterator[tuple[int, NDArray[np.int16]]]:
    """The same slices, by their numbers.

    Raises:
        HiddenError: a slice shows something where the mark belongs.
    """
    for n, plane in planes:
        if mark is not None:
            height, width = mark.letters.shape
            inside = plane[mark.row : mark.row + height, mark.column : mark.column + width]
            if (inside > AIR_BELOW_HU).any():
                raise HiddenError
        yield n, plane


def mark_for(occupied: NDArray[np.bool_]) -> Mark | None:
    """The largest mark that fits beside what is occupied; None where none does.

    Args:
        occupied: (J, I), true where any slice shows something denser than `AIR_BELOW_HU`.
    """
    rows, columns = occupied.shape
    total = np.zeros((rows + 1, columns + 1), np.int64)
    total[1:, 1:] = occupied.cumsum(0).cumsum(1)
    for height in _HEIGHTS:
        letters = _letters(height)
        high, wide = letters.shape[0] + 2 * _CLEAR, letters.shape[1] + 2 * _CLEAR
        if high > rows or wide > columns:
            continue
        inside = total[high:, wide:] - total[:-high, wide:] - total[high:, :-wide] + total[:-high, :-wide]
        free = np.argwhere(inside == 0)
        if len(free):
            row, column = free[0]  # as near to the upper edge as there is room
            return Mark(int(row) + _CLEAR, int(column) + _CLEAR, letters)
    return None


def occupied_by(planes: Iterable[NDArray[np.int16]]) -> NDArray[np.bool_]:
    """Where (J, I) any slice of a CT shows something; slice by slice, without a mask of the volume."""
    dense = np.zeros((0, 0), bool)
    for n, one in enumerate(planes):
        dense = one > AIR_BELOW_HU if n == 0 else dense | (one > AIR_BELOW_HU)
    return dense


def told(marked: int, simulated: int) -> str:
    """One sentence on how simulated CTs are told from scans, from how many of them have the mark."""
    name = f"the description of their series begins with {WORD}"
    if marked == simulated:
        return f"{name}, and the word is burned into every slice." if simulated else "none was written."
    if marked == 0:
        return f"{name}, and no word is burned into their slices."
    return f"{name}, and the word is burned into the slices of {marked} of {simulated}."


def _letters(height: int) -> NDArray[np.bool_]:
    """The word as pixels (H, W), cut to the letters."""
    from PIL import Image, ImageDraw, ImageFont  # highdicom brings Pillow

    font = ImageFont.load_default(size=height)
    left, top, right, bottom = font.getbbox(WORD)
    picture = Image.new("L", (int(right - left) + 4, int(bottom - top) + 4))
    ImageDraw.Draw(picture).text((2 - left, 2 - top), WORD, fill=255, font=font)
    lit = np.asarray(picture) > 127
    down, across = np.flatnonzero(lit.any(1)), np.flatnonzero(lit.any(0))
    return lit[down[0] : down[-1] + 1, across[0] : across[-1] + 1]
