"""Damage to JSON texts, drawn from a seed: what editors, broken disks, other programs and attackers make of them."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

#: What stands in the place of a value, as JSON text; the last ones are no strict JSON.
VALUES = (
    "null", "true", "false", "0", "-1", "1", "-0.0", "1.5", "1e308", "2147483648", "9223372036854775808", "1" * 39,
    '""', '" "', '"x"', '"../../etc/passwd"', '"/etc/passwd"', '"C:\\\\x"', '"."', '"' + "long " * 2000 + '"',
    "[]", "[[]]", "[null]", "{}", '{"a": 1}', '{"": null}', "[1, 2, 3, 4]", '["a", "b"]', "[" * 50 + "]" * 50,
)  # fmt: skip
REFUSED_VALUES = (
    "NaN", "Infinity", "-Infinity", "1e999", "9" * 5000, '"\\ud800"', '"a\\u0000b"', "[" * 90 + "]" * 90, "01", "'x'",
    "undefined", "[1,]", '{"a": 1, "a": 2}', '"\n"', "0x10", "[" * 100_000,
)  # fmt: skip


class Raw(str):
    """Text that stands in the damaged JSON as it is."""


def dumped(value: Any) -> str:
    """JSON text of a value, `Raw` parts as they are; a dictionary may be a list of pairs under the key None."""
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)}: {dumped(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(dumped, value)) + "]"
    return json.dumps(value)


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(value, dict):
        for key, entry in value.items():
            yield from _places(entry, (*path, key))
    elif isinstance(value, list):
        for n, entry in enumerate(value):
            yield from _places(entry, (*path, n))


def _replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = _replaced(value[path[0]], path[1:], new)
    return copy


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        value = value[step]
    return value


def _edited(data: Any, rng: random.Random) -> tuple[str, bool]:
    """The text after one change of its structure, and whether it is still strict JSON."""
    path = rng.choice(list(_places(data)))
    old, kind = _at(data, path), rng.randrange(8)
    if kind == 0:
        return dumped(_replaced(data, path, Raw(rng.choice(REFUSED_VALUES)))), False
    if kind == 1 and isinstance(old, dict) and old:
        key = rng.choice(list(old))
        pairs = ", ".join(f"{json.dumps(k)}: {dumped(v)}" for k, v in [*old.items(), (key, old[key])])
        return dumped(_replaced(data, path, Raw("{" + pairs + "}"))), False
    if kind == 2 and isinstance(old, dict) and old:
        return dumped(_replaced(data, path, {k: v for k, v in old.items() if k != rng.choice(list(old))})), True
    if kind == 3 and isinstance(old, dict):
        return dumped(_replaced(data, path, {**old, "unknown": Raw(rng.choice(VALUES))})), True
    if kind == 4 and isinstance(old, list):
        return dumped(_replaced(data, path, rng.choice([old * 2, old[:-1], old[::-1], [old]]))), True
    if kind == 5:
        return dumped(_replaced(data, path, _at(data, rng.choice(list(_places(data)))))), True
    return dumped(_replaced(data, path, Raw(rng.choice(VALUES)))), True


def _bytes_changed(text: str, rng: random.Random) -> tuple[bytes, bool]:
    """The bytes after damage to them, and whether they are still strict JSON as far as that is certain."""
    data = text.encode()
    at = rng.randrange(len(data))
    kind = rng.randrange(8)
    if kind == 0:
        return data[:at], False
    if kind == 1:
        return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :], True
    if kind == 2:
        return text.encode(rng.choice(["utf-16", "utf-16-le", "utf-32"])), False
    if kind == 3:
        return b"\xef\xbb\xbf" + data, True
    if kind == 4:
        return data[:at] + b"\0" * rng.randrange(1, 9) + data[at:], False
    if kind == 5:
        return data + rng.choice([b"x", b"{}", data, b"\0", b"]"]), False
    if kind == 6:
        return data[:at] + "\u00e4".encode("cp1252") + data[at:], False
    return bytes(rng.randrange(256) for _ in range(rng.randrange(40))), False


def mutants(text: str, seed: int, count: int) -> Iterator[tuple[bytes, bool]]:
    """Damaged forms of a JSON text, and whether each may still be strict JSON; where not, it must be refused."""
    rng, data = random.Random(seed), json.loads(text)
    for _ in range(count):
        if rng.random() < 0.3:
            yield _bytes_changed(text, rng)
        else:
            changed, may = _edited(data, rng)
            yield changed.encode(), may
