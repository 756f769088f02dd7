"""Jobs and events as JSON. The command line, the Slicer panel and the worker speak in these words only."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from MeWMLib.core.errors import InputError, MeWMError

VERSION = 1
JOB_KINDS = ("segment", "propose", "simulate", "assess", "plan")
EVENT_KINDS = ("progress", "partial", "log", "result", "error")
#: The one line that a runner writes to a worker.
CANCEL_LINE = '{"command":"cancel"}\n'


@dataclass(frozen=True)
class Job:
    """Something that the worker shall do.

    Attributes:
        kind: one of `JOB_KINDS`.
        inputs: what it works on; paths are absolute. See `MeWMLib.jobs.inputs.KNOWN_INPUTS`.
        out: folder or file to write, or None.
        seed: seed of every random draw.
        device: "auto", "cpu", "cuda" or "mps".
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
        _require(self.kind in JOB_KINDS, "Unknown kind of job", self.kind, "Use " + ", ".join(JOB_KINDS))
        _require(isinstance(self.inputs, dict), "The inputs of a job must be one object", self.inputs)
        _require(isinstance(self.settings, dict), "The settings of a job must be one object", self.settings)
        whole = isinstance(self.seed, int) and not isinstance(self.seed, bool)
        _require(whole and 0 <= self.seed < 2**31, "The seed must be a whole number from 0 to 2147483647", self.seed)
        _require(isinstance(self.device, str), "The device must be a text", self.device)
        for name in ("out", "bundle"):
            _require(isinstance(getattr(self, name), str | None), f"{name} must be a text", getattr(self, name))

    def to_json(self) -> str:
        """One JSON object; `from_json` reads it."""
        return _dump({"version": VERSION, **asdict(self)})

    @classmethod
    def from_json(cls, text: str) -> Job:
        """Read a job.

        Raises:
            InputError: no JSON, another version, an unknown field or an impossible value.
        """
        return cls(**_load(text, "job", [f.name for f in fields(cls)], ["kind"]))


@dataclass(frozen=True)
class Event:
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
        _require(self.kind in EVENT_KINDS, "Unknown kind of event", self.kind, "Use " + ", ".join(EVENT_KINDS))
        _require(isinstance(self.stage, str), "The stage of an event must be a text", self.stage)
        _require(isinstance(self.message, str), "The message of an event must be a text", self.message)
        _require(isinstance(self.data, dict), "The data of an event must be one object", self.data)
        for name in ("fraction", "eta_s", "memory_mb"):
            value = getattr(self, name)
            number = isinstance(value, int | float) and not isinstance(value, bool)
            _require(value is None or (number and math.isfinite(value)), f"{name} must be a number", value)
        in_range = self.fraction is None or 0.0 <= self.fraction <= 1.0
        _require(in_range, "The fraction of an event must lie between 0 and 1", self.fraction)

    def to_json(self) -> str:
        """One JSON object without a line break; `from_json` reads it."""
        return _dump({"version": VERSION, **asdict(self)})

    @classmethod
    def from_json(cls, text: str) -> Event:
        """Read an event.

        Raises:
            InputError: no JSON, another version, an unknown field or an impossible value.
        """
        return cls(**_load(text, "event", [f.name for f in fields(cls)], ["kind"]))


def error_event(error: MeWMError, details: str = "") -> Event:
    """The event that carries an error; `details` is a traceback for developers."""
    data = dict(error.to_json())
    if details:
        data["traceback"] = details
    return Event("error", message=str(error), data=data)


def _require(good: bool, what: str, given: Any, remedy: str = "") -> None:
    if not good:
        raise InputError(what, given=repr(given)[:200], remedy=remedy)


def _dump(data: dict[str, Any]) -> str:
    """Strict JSON in ASCII: a console's encoding cannot break it, and NaN (which JSON does not know) is refused."""
    try:
        return json.dumps(data, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise InputError(what="A job or an event holds something that JSON does not know", given=str(error)) from error


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")  # noqa: EM102


def _load(text: str, what: str, known: list[str], needed: list[str]) -> dict[str, Any]:
    try:
        data = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise InputError(what=f"This is no {what} in JSON", given=f"{text[:80]!r} ({error})") from error
    if not isinstance(data, dict):
        raise InputError(what=f"A {what} must be one JSON object", given=repr(data)[:200])
    version = data.pop("version", None)
    update = "Use the same version of MeWM on both sides"
    _require(version == VERSION, f"This {what} is of another version than {VERSION}", version, update)
    unknown = sorted(set(data) - set(known))
    _require(not unknown, f"Unknown field of a {what}", ", ".join(unknown), "Known fields: " + ", ".join(known))
    missing = [name for name in needed if name not in data]
    _require(not missing, f"A {what} lacks a field", ", ".join(missing))
    return data
