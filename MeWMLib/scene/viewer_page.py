"""The viewer in the report: its script in one piece, the hash that lets this script alone run, and its texts."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from MeWMLib.core.structures import VIEW_LEVEL_HU, VIEW_WINDOW_HU
from MeWMLib.scene.colours import DIVERGING, SEQUENTIAL
from MeWMLib.scene.segmentations import COLOUR_AFTER, COLOUR_BEFORE
from MeWMLib.scene.viewer_pack import Packed

_FOLDER = Path(__file__).with_name("viewer")
#: In the order in which they stand in the page.
_SCRIPTS = ("decode.js", "slices.js", "pane.js", "viewer.js", "input.js", "files.js", "toolbar.js", "controls.js")
#: What a page of its own takes of them, and the names that it uses.
_SHARED = tuple(name for name in _SCRIPTS if name != "controls.js")
_EXPORTED = ("Viewer", "connectToolbar", "volumeOf", "masksOf", "limitOf", "mapped", "PLANES", "add")
#: Window presets by key: title, width and level in HU. The first is that of the pictures.
WINDOWS = {
    "liver": ("Liver", VIEW_WINDOW_HU, VIEW_LEVEL_HU),
    "soft": ("Soft tissue", 400.0, 40.0),
    "lipiodol": ("Lipiodol", 1500.0, 500.0),
    "bone": ("Bone", 2000.0, 400.0),
}
#: What the keys, the mouse and fingers do, for the page; docs/REPORT.md has the same list.
KEYS = (
    ("\N{UPWARDS ARROW} \N{DOWNWARDS ARROW}, wheel", "next slice (Page Up, Page Down: ten)"),
    ("Shift + arrows, click", "move the cross-hair"),
    ("\N{LEFTWARDS ARROW} \N{RIGHTWARDS ARROW}", "fade between before and simulated"),
    ("1 2 3 4", "before, simulated, difference, spread of the simulations"),
    ("[ ]", "protocol above or below in the ranking"),
    ("L T I B", "window: liver, soft tissue, Lipiodol, bone"),
    ("right drag", "window: width across, level up and down"),
    ("F, O, R, ?", "flicker, outlines, reset, this list"),
    ("M, Measure + drag", "tape: begin, end; Escape takes it away"),
    ("+ \N{MINUS SIGN}, Ctrl + wheel", "zoom; double click: all of it"),
    ("Shift + drag", "move the picture"),
    ("fingers", "drag: slices; tap: cross-hair; two: zoom and move"),
)
LEFT_OUT = "No volumes are in this page, since it was made with --no-volumes. There are pictures of slices instead."


class PageParts:
    """What the templates of all pages with the viewer put in: its script, style sheet and policy.

    Attributes:
        scripts: the files of the script, in the order in which they stand in the page.
        keys: keys and what they do.
    """

    scripts: ClassVar[tuple[str, ...]] = _SCRIPTS
    keys: ClassVar[Sequence[tuple[str, str]]] = KEYS

    @property
    def script(self) -> str:
        """The whole script."""
        return script_of(self.scripts)

    @property
    def style(self) -> str:
        """The style sheet."""
        return (_FOLDER / "viewer.css").read_text(encoding="utf-8")

    @property
    def policy(self) -> str:
        """Content security policy: this script and pictures in the page, and nothing from anywhere else."""
        digest = base64.b64encode(hashlib.sha256(self.script.encode()).digest()).decode("ascii")
        return (
            f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data:; "
            "base-uri 'none'; form-action 'none'"
        )


@dataclass(frozen=True)
class ViewerParts(PageParts):
    """What the template puts into the page.

    Attributes:
        packed: the volumes, or None where they were left out.
        without: why they were, for the reader.
        files: which files of the plan's folder show the whole scan.
    """

    packed: Packed | None
    without: str
    files: str

    @property
    def header(self) -> dict[str, Any]:
        """What the script reads beside the volumes."""
        own = self.packed.header if self.packed else {"outcomes": []}
        windows = {name: one["hu"] for name, one in self.windows.items()}
        maps = {"difference": _anchors(DIVERGING), "deviation": _anchors(SEQUENTIAL)}
        return own | {"windows": windows, "colours": self.colours, "maps": maps}

    @property
    def windows(self) -> dict[str, dict[str, Any]]:
        """Window presets by key: title, and width and level in HU."""
        return {name: {"title": title, "hu": [width, level]} for name, (title, width, level) in WINDOWS.items()}

    @property
    def colours(self) -> dict[str, str]:
        """Of the lesion's outlines."""
        return {"before": _css(COLOUR_BEFORE), "after": _css(COLOUR_AFTER)}


@cache
def viewer_module() -> str:
    """The viewer without the report around it, as a module for a page of another kind (`app/`)."""
    parts = [(_FOLDER / name).read_text(encoding="utf-8") for name in _SHARED]
    return "\n".join([*parts, f"export {{ {', '.join(_EXPORTED)} }};\n"])


@cache
def script_of(names: tuple[str, ...]) -> str:
    """Files of the viewer as one script, in this order."""
    parts = [(_FOLDER / name).read_text(encoding="utf-8") for name in names]
    return '"use strict";\n(() => {\n' + "\n".join(parts) + "})();\n"


def _css(colour: Sequence[float]) -> str:
    return "rgb({}, {}, {})".format(*(round(255 * c) for c in colour))


def _anchors(colours: Sequence[Sequence[float]]) -> list[list[int]]:
    return [[round(255 * c) for c in one] for one in colours]
