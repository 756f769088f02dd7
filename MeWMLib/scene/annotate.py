"""Text, scale bar, orientation letters and colour legend, burned into pictures.

They are drawn with Pillow and not by VTK, so that slices need no OpenGL.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from MeWMLib.scene.colours import ColourMap
from MeWMLib.scene.nodes import SIMULATED_MARK
from MeWMLib.scene.views import Framing, Pixels

_LETTERS = {"Axial": ("R", "L", "A", "P"), "Coronal": ("R", "L", "S", "I"), "Sagittal": ("A", "P", "S", "I")}
Point, Colour = tuple[float, float], tuple[int, ...]
_WHITE, _YELLOW, _BLACK = (255, 255, 255), (255, 221, 87), (0, 0, 0)


@cache
def _font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name), size)


def wrap(text: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """Break a text at blanks into lines of at most `width` pixels."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


class Annotator:
    """Draws onto a copy of a picture.

    Args:
        pixels: (H, W, 3) uint8.
        scale: size of the marks; more than 1 for pictures that a report shows small.
    """

    def __init__(self, pixels: Pixels, scale: float = 1.0) -> None:
        self._image = Image.fromarray(pixels)
        self._draw = ImageDraw.Draw(self._image)
        self.width, self.height = self._image.size
        self._unit = max(scale * self.width / 560, 0.5)

    @property
    def pixels(self) -> Pixels:
        """The picture with what was drawn."""
        return np.array(self._image)

    def _text(self, at: Point, text: str, size: int, anchor: str, bold: bool = False, colour: Colour = _WHITE) -> None:
        # A dark rim keeps the text readable on bone and lipiodol.
        font = _font(round(size * self._unit), bold)
        self._draw.text(at, text, colour, font, anchor, stroke_width=round(2 * self._unit), stroke_fill=_BLACK)

    def title(self, text: str) -> None:
        """Name the picture in its upper left corner."""
        self._text((12 * self._unit, 10 * self._unit), text, 19, "la", True)

    def simulated(self, protocol: str, seed: int) -> None:
        """Mark a simulated picture in its lower left corner: that it is not a scan, its protocol and seed."""
        lines = [*wrap(protocol, _font(round(14 * self._unit)), round(self.width * 0.66)), f"seed {seed}"]
        y = self.height - (12 + (len(lines) - 1) * 18) * self._unit
        for number, line in enumerate(lines):
            self._text((12 * self._unit, y + number * 18 * self._unit), line, 14, "ls")
        self._text((12 * self._unit, y - 20 * self._unit), SIMULATED_MARK, 15, "ls", True, _YELLOW)

    def orientation(self, framing: Framing) -> None:
        """Write the letters of the patient's directions at the middle of the four sides."""
        left, right, top, bottom = _LETTERS[framing.orientation]
        inset = 12 * self._unit
        for letter, at, anchor in (
            (left, (inset, self.height / 2), "lm"),
            (right, (self.width - inset, self.height / 2), "rm"),
            (top, (self.width / 2, inset), "ma"),
            (bottom, (self.width / 2, self.height - inset), "ms"),
        ):
            self._text(at, letter, 17, anchor, True)

    def scale_bar(self, framing: Framing) -> None:
        """Draw a bar of a round length in mm in the lower right corner."""
        length_mm = next(mm for mm in (100, 50, 20, 10, 5, 1) if mm <= framing.width_mm * 0.3 or mm == 1)
        length = length_mm * self.width / framing.width_mm
        right, y, tick = self.width - 14 * self._unit, self.height - 14 * self._unit, 5 * self._unit
        for colour, thick in ((_BLACK, 5), (_WHITE, 2)):
            width = round(thick * self._unit)
            self._draw.line((right - length, y, right, y), fill=colour, width=width)
            for x in (right - length, right):
                self._draw.line((x, y - tick, x, y + tick), fill=colour, width=width)
        self._text((right - length / 2, y - 8 * self._unit), f"{length_mm} mm", 14, "ms")

    def legend(self, colours: ColourMap) -> None:
        """Draw the colours of a map with its limits along the right side."""
        height, bar = round(self.height * 0.36), round(13 * self._unit)
        right, top = self.width - round(14 * self._unit), round(44 * self._unit)
        values = np.linspace(colours.high, colours.low, height)
        strip = np.repeat(colours.of(values)[:, None], bar, axis=1)
        box = (right - bar - 1, top - 1, right, top + height)
        self._draw.rectangle(box, fill=_BLACK, outline=_WHITE)
        self._image.paste(Image.fromarray(strip), (right - bar, top))
        for value in (colours.low, (colours.low + colours.high) / 2, colours.high):
            y = top + (colours.high - value) / (colours.high - colours.low) * (height - 1)
            sign = "+" if colours.low < 0 < value else ""
            text = f"{sign}{value:.0f}".replace("-", "\N{MINUS SIGN}")
            self._text((right - bar - 8 * self._unit, y), text, 13, "rm")
        self._text((right, top - 8 * self._unit), "HU", 13, "rs")

    def key(self, entries: Sequence[tuple[str, Sequence[float]]]) -> None:
        """Say what the outlines mean, below the title; colours are RGB, 0 to 1."""
        for number, (text, colour) in enumerate(entries):
            x, y, thick = 12 * self._unit, (46 + number * 21) * self._unit, 2 * self._unit
            rgb = tuple(round(255 * c) for c in colour)
            self._draw.rectangle((x, y - thick, x + 20 * self._unit, y + thick), fill=rgb, outline=_BLACK)
            self._text((x + 27 * self._unit, y), text, 13, "lm")


def png_bytes(pixels: Pixels) -> bytes:
    """Return a picture (H, W, 3) as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", compress_level=4)
    return buffer.getvalue()
