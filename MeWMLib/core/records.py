"""JSON in and out: the one place where files and messages are parsed, checked, and turned into dataclasses.

Whatever is wrong with a text (no JSON, not UTF-8, too large, too deep, a number of a thousand digits, a key twice, half
a character, a missing field, a wrong type) becomes one of MeWM's errors that names the place inside it.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import re
import types
from collections.abc import Callable, Collection, Mapping
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
#: Digits of a whole number; more is no number of ours, and beyond 308 it would not fit into a float.
MAX_DIGITS = 40
#: Whole numbers of a record fit into what NumPy counts with.
_MAX_INT = 2**63
_BRACKET = re.compile(r'"(?:\\.|[^"\\])*"|[\[\]{}]')
#: Escapes that a text may hold and no file name or output: the null byte, and half of a pair of UTF-16.
_NO_CHARACTER = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")
_UNUSABLE = re.compile("[\0\ud800-\udfff]")


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
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as problem:  # a null byte in the path is a ValueError
        why = getattr(problem, "strerror", None) or str(problem)
        raise error(what=f"{what} cannot be read", given=f"{str(path)!r} ({why})", remedy=remedy) from problem
    if len(data) > MAX_BYTES:
        raise error(what=f"{what} is too large", given=f"{path}, more than {MAX_BYTES} bytes", remedy=remedy)
    return data


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
        whole = text.decode("utf-8-sig") if isinstance(text, bytes) else text.removeprefix("\ufeff")
        if _depth(whole) > MAX_DEPTH:
            raise ValueError("it is nested too deeply")  # noqa: EM101, TRY301
        data = _DECODER.decode(whole)
        _require_characters(data, whole)
        if require is not None:
            _require(data, require)
    except (ValueError, RecursionError) as problem:
        shown = given or repr(text[:80])
        raise error(what=f"{what} cannot be read as JSON", given=f"{shown} ({problem})", remedy=remedy) from problem
    return data


def find_json(text: str, keys: Collection[str], most: int = 20) -> dict[str, Any] | None:
    """The first JSON object inside of a longer text that has one of the keys; None if there is none.

    Its texts are as they were sent, null bytes and halves of characters among them.

    Args:
        text: such as the answer of a language model, with thoughts before the object.
        keys: names, of which it has at least one.
        most: how many opening brackets are tried.
    """
    for start in itertools.islice(re.finditer(r"\{", text), most):
        with contextlib.suppress(ValueError, RecursionError):
            data, end = _DECODER.raw_decode(text, start.start())
            if _depth(text[start.start() : end]) <= MAX_DEPTH and not set(keys).isdisjoint(data):
                return dict(data)
    return None


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
        told = ". ".join(said for said in (misfit.remedy, remedy) if said)
        raise error(misfit.problem, given=misfit.given, remedy=told) from None


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
    try:
        return cls(**values)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as problem:
        # its own checks compare and count with what the fields hold, and cannot foresee every value
        raise _MisfitError(problem=f"{where} is not possible", given=str(problem)[:80]) from problem


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
    if not fits or (hint is float and not math.isfinite(value)) or (hint is int and abs(value) >= _MAX_INT):
        raise _MisfitError(problem=f"{where} must be {name}", given=repr(value)[:80])
    return float(value) if hint is float else value


def _require(data: Any, keys: Mapping[str, type | tuple[type, ...]]) -> None:
    if not isinstance(data, dict):
        raise ValueError("it must be one JSON object")  # noqa: EM101
    for key, wanted in keys.items():
        if key not in data:
            message = f"there is no {key!r} in it"
            raise ValueError(message)
        types_ = wanted if isinstance(wanted, tuple) else (wanted,)
        if not isinstance(data[key], types_) or (isinstance(data[key], bool) and bool not in types_):
            message = f"{key!r} is of a wrong type: {data[key]!r:.80}"
            raise ValueError(message)


def _refuse_constant(name: str) -> Any:
    message = f"{name} is not JSON"
    raise ValueError(message)


def _whole_number(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError("a number has too many digits")  # noqa: EM101
    return int(digits)


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError("a number is too large")  # noqa: EM101
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        message = f"the key {twice[:60]!r} is in one object twice"
        raise ValueError(message)
    return found


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_constant=_refuse_constant, parse_float=_finite, parse_int=_whole_number
)


def _require_characters(data: Any, text: str) -> None:
    """Raise if a text or a key in the data holds what is no character; `text` is what the data was read from."""
    if not _NO_CHARACTER.search(text) and not _UNUSABLE.search(text):
        return
    waiting = [data]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            waiting += [*one, *one.values()]
        elif isinstance(one, list):
            waiting += one
        elif isinstance(one, str) and _UNUSABLE.search(one):
            raise ValueError("a text in it holds a null byte or half a character")  # noqa: EM101


def _depth(text: str) -> int:
    """How deeply brackets are nested at most, those inside of texts left out."""
    deepest = depth = 0
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return 0
    for match in _BRACKET.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(match[0], 0)
        deepest = max(deepest, depth)
    return deepest
