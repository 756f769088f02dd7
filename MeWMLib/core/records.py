"""JSON in and out: the one place where files and messages are parsed, checked, and turned into dataclasses.

Whatever is wrong with a text (no JSON, too large, too deep, a number of a thousand digits, a missing field, a wrong
type) becomes one of MeWM's errors that names the place inside it.
"""

from __future__ import annotations

import json
import math
import re
import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from MeWMLib.core.errors import InputError, MeWMError, UnreadableFileError

T = TypeVar("T")
#: A JSON file larger than this is not one of ours.
MAX_BYTES = 64 * 2**20
#: Nesting beyond this would end the parser, not the text.
MAX_DEPTH = 60
#: Digits of a whole number; Python needs quadratic time for more.
MAX_DIGITS = 400
_BRACKET = re.compile(r'"(?:\\.|[^"\\])*"|[\[\]{}]')


def read_json(
    path: Path | str,
    what: str = "The file",
    error: type[MeWMError] = UnreadableFileError,
    remedy: str = "",
    require: Mapping[str, type | tuple[type, ...]] | None = None,
) -> Any:
    """Read a JSON file.

    Args:
        path: UTF-8 text.
        what: names it in an error, such as "The plan".
        error: type of the error.
        remedy: what the user can do.
        require: makes the file one object with these keys, each of the given type.

    Raises:
        MeWMError: of type `error`: missing, unreadable, no JSON, beyond the limits above, or a key is not as required.
    """
    return parse_json(read_bytes(path, what, error, remedy), what, error, remedy, require, given=str(path))


def read_bytes(path: Path | str, what: str, error: type[MeWMError], remedy: str) -> bytes:
    """The bytes of a file that is to be parsed; arguments and errors as `read_json`."""
    path = Path(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise error(what=f"{what} is too large", given=f"{path}, {path.stat().st_size} bytes", remedy=remedy)
        return path.read_bytes()
    except OSError as problem:
        raise error(what=f"{what} cannot be read", given=f"{path} ({problem.strerror})", remedy=remedy) from problem


def parse_json(
    text: str | bytes,
    what: str = "The text",
    error: type[MeWMError] = InputError,
    remedy: str = "",
    require: Mapping[str, type | tuple[type, ...]] | None = None,
    given: str = "",
) -> Any:
    """Parse JSON; as `read_json`, but for a text. `given` says in an error where it came from."""
    try:
        if len(text) > MAX_BYTES:
            raise ValueError("it is too large")  # noqa: EM101, TRY301
        whole = text.decode("utf-8") if isinstance(text, bytes) else text
        if _depth(whole) > MAX_DEPTH:
            raise ValueError("it is nested too deeply")  # noqa: EM101, TRY301
        data = json.loads(whole, parse_constant=_refuse_constant, parse_int=_whole_number)
        if require is not None:
            _require(data, require)
    except (ValueError, RecursionError) as problem:
        shown = given or repr(text[:80])
        raise error(what=f"{what} cannot be read as JSON", given=f"{shown} ({problem})", remedy=remedy) from problem
    return data


def dump_json(value: Any, error: type[MeWMError] = InputError) -> str:
    """One line of strict JSON in ASCII: a console's encoding cannot break it, and NaN (which JSON lacks) is refused.

    Raises:
        MeWMError: of type `error`: it holds something that JSON has no form for.
    """
    try:
        return json.dumps(to_plain(value), allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as problem:
        raise error(what="This cannot be written as JSON", given=str(problem)) from problem


def to_plain(value: Any) -> Any:
    """Dataclasses become objects, tuples become arrays; what has a `to_json` of its own is asked for it."""
    if hasattr(value, "to_json") and not isinstance(value, type):
        return to_plain(value.to_json())
    if is_dataclass(value) and not isinstance(value, type):
        return record_to_plain(value)
    if isinstance(value, Mapping):
        return {str(key): to_plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(entry) for entry in value]
    return value


def record_to_plain(record: Any) -> dict[str, Any]:
    """The fields of a dataclass as a JSON-ready object; for a `to_json` that adds to them."""
    return {field.name: to_plain(getattr(record, field.name)) for field in fields(record)}


def from_plain(
    cls: type[T], data: Any, what: str = "", error: type[MeWMError] = InputError, remedy: str = "", strict: bool = True
) -> T:
    """Build a dataclass from a JSON object: every field is checked against its annotation.

    Args:
        cls: fields of numbers, texts, flags, tuples, lists, dictionaries, other dataclasses, unions of these with None;
            classes with a `from_json` of their own are given the raw value.
        data: the object.
        what: names it in an error; the name of the class if left out.
        error: type of the error.
        remedy: what the user can do.
        strict: refuse unknown fields; else they are passed over, for files of a later version.

    Raises:
        MeWMError: of type `error`: no object, an unknown or missing field, a wrong type; or what the class raises.
    """
    name = what or cls.__name__
    try:
        return _record(cls, data, name, strict)
    except _MisfitError as misfit:
        raise error(misfit.problem, given=misfit.given, remedy=remedy or misfit.remedy) from None


class _MisfitError(Exception):
    def __init__(self, problem: str, given: str = "", remedy: str = "") -> None:
        super().__init__(problem)
        self.problem, self.given, self.remedy = problem, given, remedy


@cache
def _hints(cls: Any) -> dict[str, Any]:
    return get_type_hints(cls)


def _record(cls: type[T], data: Any, where: str, strict: bool) -> T:
    if not isinstance(data, dict):
        raise _MisfitError(problem=f"{where} must be one JSON object", given=repr(data)[:80])
    known: dict[str, Field[Any]] = {field.name: field for field in fields(cls) if field.init}  # type: ignore[arg-type]
    unknown = sorted(str(key) for key in set(data) - set(known))
    if unknown and strict:
        raise _MisfitError(
            problem=f"Unknown field of {where}",
            given=", ".join(unknown)[:200],
            remedy="Known fields: " + ", ".join(known),
        )
    missing = [n for n, f in known.items() if n not in data and f.default is MISSING and f.default_factory is MISSING]
    if missing:
        raise _MisfitError(problem=f"{where} lacks a field", given=", ".join(missing))
    hints = _hints(cls)  # type: ignore[arg-type]
    values = {n: _value(hints[n], data[n], f"{n} of {where}", strict) for n in known if n in data}
    return cls(**values)


def _value(hint: Any, value: Any, where: str, strict: bool) -> Any:
    """The value in the form that an annotation asks for."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if origin in (Union, types.UnionType):
        if value is None and type(None) in inner:
            return None
        rest = [h for h in inner if h is not type(None)]
        for choice in rest[:-1]:
            try:
                return _value(choice, value, where, strict)
            except _MisfitError:
                continue
        return _value(rest[-1], value, where, strict)
    if origin in (tuple, list):
        return _sequence(origin, inner, value, where, strict)
    if origin in (dict, Mapping) or hint is dict:
        if not isinstance(value, dict):
            raise _MisfitError(problem=f"{where} must be one JSON object", given=repr(value)[:80])
        return {k: _value(inner[1], v, f"{k} of {where}", strict) if inner else v for k, v in value.items()}
    if isinstance(hint, type) and hasattr(hint, "from_json"):
        reader: Callable[[Any], Any] = hint.from_json
        return reader(value)
    if is_dataclass(hint) and isinstance(hint, type):
        return _record(hint, value, where, strict)
    return _scalar(hint, value, where)


def _sequence(origin: type, inner: tuple[Any, ...], value: Any, where: str, strict: bool) -> Any:
    if not isinstance(value, list | tuple):
        raise _MisfitError(problem=f"{where} must be a list", given=repr(value)[:80])
    repeated = origin is list or (len(inner) == 2 and inner[1] is Ellipsis)
    if not repeated and len(value) != len(inner):
        raise _MisfitError(problem=f"{where} must hold {len(inner)} values", given=repr(value)[:80])
    hints = [inner[0]] * len(value) if repeated else list(inner)
    return origin(
        _value(h, v, f"{where}, entry {n}", strict) for n, (h, v) in enumerate(zip(hints, value, strict=True))
    )


#: Annotation to the types of JSON that fit, and their name in an error.
_SCALARS: dict[type, tuple[tuple[type, ...], str]] = {
    bool: ((bool,), "true or false"),
    int: ((int,), "a whole number"),
    float: ((int, float), "a number"),
    str: ((str,), "a text"),
    type(None): ((type(None),), "null"),
}


def _scalar(hint: Any, value: Any, where: str) -> Any:
    types_, name = _SCALARS.get(hint, ((hint,), getattr(hint, "__name__", str(hint))))
    fits = isinstance(value, types_) and (hint is bool or not isinstance(value, bool))
    if not fits or (hint is float and not math.isfinite(value)):
        raise _MisfitError(problem=f"{where} must be {name}", given=repr(value)[:80])
    return float(value) if hint is float else value


def _require(data: Any, keys: Mapping[str, type | tuple[type, ...]]) -> None:
    if not isinstance(data, dict):
        raise ValueError("it must be one JSON object")  # noqa: EM101
    for key, wanted in keys.items():
        if key not in data:
            message = f"there is no {key!r} in it"
            raise ValueError(message)
        if not isinstance(data[key], wanted):
            message = f"{key!r} is of a wrong type: {data[key]!r:.80}"
            raise ValueError(message)


def _refuse_constant(name: str) -> Any:
    message = f"{name} is not JSON"
    raise ValueError(message)


def _whole_number(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError("a number has too many digits")  # noqa: EM101
    return int(digits)


def _depth(text: str) -> int:
    """How deeply brackets are nested at most, those inside of texts left out."""
    deepest = depth = 0
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return 0
    for match in _BRACKET.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(match[0], 0)
        deepest = max(deepest, depth)
    return deepest
