"""One input, and the class that it falls into when the public reader is given it.

What counts. The oracle is the image (or table) that was written. An input is a valid one, or one with a single damage
of a kind that a reader can notice: by a checksum (gzip, zlib), by a number of bytes that does not fit the header, by
two statements of the header that contradict each other, or by a statement that must be there and is not. Damage that
nobody can notice is never drawn: a bit of voxels without a checksum, a field that turns the header into another valid
one. So an accepted input must be the truth, and anything else is silently wrong; a valid input must be accepted.
"""

from __future__ import annotations

import contextlib
import signal
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from MeWMLib.core.errors import MeWMError

CLEAN, RIGHT, FOREIGN, LATE, WRONG, REFUSED = (
    "clean error", "accepted and right", "foreign traceback", "time-out", "silently wrong", "valid one refused"
)  # fmt: skip
CLASSES = (CLEAN, RIGHT, FOREIGN, LATE, WRONG, REFUSED)
BAD = (FOREIGN, LATE, WRONG, REFUSED)
#: For one input of some hundred voxels.
SECONDS = 5.0


@dataclass(frozen=True, eq=False)
class Case:
    """An input.

    Attributes:
        files: name in a folder to content.
        read: reads the folder; what it returns is given to `right`.
        right: whether that is the truth.
        valid: it must be accepted.
        told: the truth in words.
    """

    files: dict[str, bytes]
    read: Callable[[Path], Any]
    right: Callable[[Any], bool]
    valid: bool = False
    told: str = ""


#: Draws a case from a seeded generator.
Draw = Callable[[Random], Case]


@dataclass(frozen=True)
class Group:
    """Kinds of damage to one kind of input, by name."""

    name: str
    kinds: dict[str, Draw] = field(default_factory=dict)

    def kind(self, name: str) -> Callable[[Draw], Draw]:
        """Register a kind of damage."""

        def add(draw: Draw) -> Draw:
            self.kinds[name] = draw
            return draw

        return add


class _LateError(Exception):
    pass


@contextlib.contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Raise in this thread after so many seconds, where the system can."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def late(*_: Any) -> None:
        raise _LateError

    former = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)


def classify(case: Case) -> tuple[str, str]:
    """The class of a case, and what the reader said."""
    with tempfile.TemporaryDirectory(prefix="mewm-property-") as name:
        folder = Path(name)
        for file, data in case.files.items():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_bytes(data)
        try:
            with _limited(SECONDS):
                found = case.read(folder)
        except _LateError:
            return LATE, f"more than {SECONDS:g} s"
        except MeWMError as error:
            return (REFUSED if case.valid else CLEAN), str(error)
        except Exception:
            return FOREIGN, traceback.format_exc(limit=-3)
    return (RIGHT, "") if case.right(found) else (WRONG, f"{found!r:.300}; {case.told}")
