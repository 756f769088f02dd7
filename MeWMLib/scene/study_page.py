"""The browser page of a reader study: one file for a session, for all its readers, without the solution."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import jinja2
import numpy as np
from numpy.typing import NDArray

from MeWMLib.core.io import atomic_path
from MeWMLib.core.reader_study import CONFIDENCES, NOTICE, Study
from MeWMLib.core.volume import centred_grid
from MeWMLib.scene.colours import DIVERGING, SEQUENTIAL
from MeWMLib.scene.viewer_page import WINDOWS, PageParts
from MeWMLib.scene.volume_code import INT16, base64_text, coded

_SCRIPTS = ("decode.js", "slices.js", "pane.js", "viewer.js", "input.js", "study_log.js", "study.js")
#: What keys and fingers do, for the page.
KEYS = (
    ("R, S", "this is real, this is simulated"),
    ("1 to 5", "how sure"),
    ("Enter, P", "next case, pause"),
    ("\N{UPWARDS ARROW} \N{DOWNWARDS ARROW}, wheel", "next slice (Page Up, Page Down: ten)"),
    ("Shift + arrows, click", "move the cross-hair"),
    ("L T I B", "window: liver, soft tissue, Lipiodol, bone"),
    ("right drag", "window: width across, level up and down"),
    ("M, Measure + drag", "tape: begin, end; Escape takes it away"),
    ("+ \N{MINUS SIGN}, Ctrl + wheel", "zoom; double click: all of it"),
    ("Shift + drag", "move the picture"),
    ("fingers", "drag: slices; tap: cross-hair; two: zoom and move"),
)
#: Gzip (RFC 1952): bytes of the plain header, where its flags are, and the flag of a comment.
_GZIP_HEADER, _FLAGS, _COMMENT = 10, 3, 0x10


@dataclass(frozen=True)
class StudyPage(PageParts):
    """What the template puts into the page.

    Attributes:
        study: of which this is one session.
        session: from 1.
        blobs: case and its voxels, all of one length.
    """

    scripts: ClassVar[tuple[str, ...]] = _SCRIPTS
    keys: ClassVar[Sequence[tuple[str, str]]] = KEYS

    study: Study
    session: int
    blobs: Sequence[tuple[str, str]]

    @property
    def title(self) -> str:
        """Of the page."""
        return f"{self.study.title}, session {self.session}"

    @property
    def sessions(self) -> int:
        """How many there are."""
        return len(self.study.sessions)

    @property
    def count(self) -> int:
        """Cases of this one."""
        return len(self.study.sessions[self.session - 1])

    @property
    def header(self) -> dict[str, Any]:
        """What the script reads."""
        spacing = np.array(self.study.spacing_mm[::-1])
        affine = centred_grid(np.zeros(3), self.study.shape, spacing).affine
        return {
            "study": self.study.id,
            "session": self.session,
            "readers": list(self.study.readers),
            "orders": {reader: list(order[self.session - 1]) for reader, order in self.study.orders.items()},
            "shape": list(self.study.shape),
            "affine": affine.ravel().tolist(),
            "code": INT16,
            "notice": NOTICE,
            "titleOfScan": "CT after TACE",
            "layout": "three",
            "windows": {name: [width, level] for name, (_, width, level) in WINDOWS.items()},
            "colours": {},
            "maps": {"difference": list(DIVERGING), "deviation": list(SEQUENTIAL)},
        }

    @property
    def windows(self) -> Mapping[str, Mapping[str, str]]:
        """Window presets by key."""
        return {name: {"title": title} for name, (title, _, _) in WINDOWS.items()}

    @property
    def confidences(self) -> Sequence[int]:
        """From a guess to certain."""
        return CONFIDENCES


def packed(cases: Mapping[str, NDArray[np.int16]]) -> dict[str, bytes]:
    """Voxels of cases as the page holds them, gzip-compressed, each of the same number of bytes.

    How well a picture compresses says how noisy it is. What a file lacks to the longest one is a comment in its gzip
    header, which every program passes over.
    """
    data = {name: coded(array)[1] for name, array in cases.items()}
    longest = max(map(len, data.values()))
    return {name: _padded(one, longest + 1) for name, one in data.items()}


def _padded(data: bytes, size: int) -> bytes:
    """The same gzip file with a comment, `size` bytes long; the comment's end takes one byte."""
    head = bytearray(data[:_GZIP_HEADER])
    head[_FLAGS] |= _COMMENT
    return bytes(head) + b" " * (size - len(data) - 1) + b"\0" + data[_GZIP_HEADER:]


def write_study_page(path: Path, study: Study, session: int, blobs: Mapping[str, bytes]) -> None:
    """Write the page of a session.

    Args:
        path: the HTML file.
        study: with its readers and their orders.
        session: from 1.
        blobs: of `packed`.

    Raises:
        OutputError: it cannot be written.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    names = study.sessions[session - 1]
    page = StudyPage(study, session, [(name, base64_text(blobs[name])) for name in names])
    parts: Iterator[str] = environment.get_template("study.html.j2").generate(page=page)
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        for part in parts:
            file.write(part)
