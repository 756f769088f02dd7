"""Jobs and events as JSON: what the command line, the Slicer panel, the server and the worker say to each other."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from MeWMLib.core.errors import InputError, MeWMError
from MeWMLib.core.records import dump_json, from_plain, parse_json, read_json, record_to_plain
from MeWMLib.jobs.table import kind_of

VERSION = 1
EVENT_KINDS = ("progress", "partial", "log", "result", "error")
#: The one line that a runner writes to a worker of one job.
CANCEL_LINE = '{"command":"cancel"}\n'
#: Argument of a worker that stays for more than one job.
STAY = "--stay"
M = TypeVar("M", bound="Message")


def job_line(file: Path) -> str:
    """The line by which a worker that stays begins with the job of a file."""
    return json.dumps({"command": "job", "file": str(file)}) + "\n"


class Message:
    """What a job and an event have in common: their form as JSON."""

    def to_json(self) -> str:
        """One JSON object without a line break; `from_json` reads it."""
        return dump_json(self.to_plain())

    def to_plain(self) -> dict[str, Any]:
        """The same as an object."""
        return {"version": VERSION, **record_to_plain(self)}

    @classmethod
    def from_json(cls: type[M], text: str) -> M:
        """Read one.

        Raises:
            InputError: not JSON, another version, an unknown field or an impossible value.
        """
        return cls.from_plain(parse_json(text, f"The {cls.__name__.lower()}", require={}))

    @classmethod
    def load(cls: type[M], path: Path) -> M:
        """Read a file that holds one; as `from_json`."""
        return cls.from_plain(read_json(path, f"The file of the {cls.__name__.lower()}", InputError, require={}))

    @classmethod
    def from_plain(cls: type[M], data: dict[str, Any]) -> M:
        """As `from_json`, from the object that the JSON held."""
        what = cls.__name__.lower()
        version = data.get("version")
        if version != VERSION:
            raise InputError(
                what=f"This {what} is of another version than {VERSION}",
                given=repr(version)[:80],
                remedy="Use the same version of MeWM on both sides",
            )
        fields = {key: value for key, value in data.items() if key != "version"}
        return from_plain(cls, fields, f"the {what}")


@dataclass(frozen=True)
class Job(Message):
    """Something that the worker is to do.

    Attributes:
        kind: one of `MeWMLib.jobs.table.KINDS`.
        inputs: what it works on, as the kind says; paths are absolute.
        out: folder or file to write, or None.
        seed: seed of every random draw.
        device: one of `MeWMLib.core.devices.DEVICES`.
        bundle: name or folder of a model bundle; None is the default one.
        settings: fields of `PlanSettings` that differ from their defaults.
    """

    kind: str
    inputs: dict[str, Any] = field(default_factory=dict, hash=False)
    out: str | None = None
    seed: int = 0
    device: str = "auto"
    bundle: str | None = None
    settings: dict[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        kind_of(self.kind)
        if not 0 <= self.seed < 2**31:
            raise InputError(what="The seed must be a whole number from 0 to 2147483647", given=repr(self.seed))


@dataclass(frozen=True)
class Event(Message):
    """Something that the worker says.

    Attributes:
        kind: one of `EVENT_KINDS`.
        stage: what is being done: "read", "load", "segment", "propose", "plan", "simulate", "write", ...
        fraction: how much of the stage is done, 0 to 1.
        eta_s: seconds that the stage will still take.
        memory_mb: memory of the worker now.
        message: one sentence for people.
        data: a partial or final result, or an error in the form of `MeWMError.to_json`.
    """

    kind: str
    stage: str = ""
    fraction: float | None = None
    eta_s: float | None = None
    memory_mb: float | None = None
    message: str = ""
    data: dict[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if self.kind not in EVENT_KINDS:
            raise InputError(what="Unknown kind of event", given=self.kind[:80], remedy="Use " + ", ".join(EVENT_KINDS))
        # NaN fails this comparison too
        if self.fraction is not None and not 0.0 <= self.fraction <= 1.0:
            raise InputError(what="The fraction of an event must be between 0 and 1", given=repr(self.fraction))
        if not all(math.isfinite(value) for value in (self.eta_s, self.memory_mb) if value is not None):
            raise InputError(what="The numbers of an event must be finite", given=repr((self.eta_s, self.memory_mb)))


def error_event(error: MeWMError, details: str = "") -> Event:
    """The event that carries an error; `details` is a traceback for developers."""
    data = dict(error.to_json())
    if details:
        data["traceback"] = details
    return Event("error", message=str(error), data=data)
