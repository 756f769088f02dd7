"""What a search has simulated so far, on disk, so that a run killed at any moment resumes where it was.

One JSON object on each line, only ever appended: a header that says what the numbers belong to, then one record for
each batch. Each line carries the sha256 of the previous line's and of its own content, so a torn or altered line is
found, and it and everything after it are dropped. A batch is recorded whole or not at all: after a resume the search
asks for the same batches as before, each is answered from here or computed with the same neighbours, and the plan is
the same to the bit.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from MeWMLib.core.errors import InputError, output_error
from MeWMLib.core.records import dump_json, from_plain, parse_json, to_plain
from MeWMLib.planning.search import Batch

FORMAT = "mewm-journal/1"
_LINE = re.compile(rb'\{"sha256":"([0-9a-f]{64})","body":(.*)\}')
#: Text of each protocol and number of each replica.
_Name = tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class _Entry:
    """One batch: its trials, and what came out of each."""

    trials: _Name
    results: list[Any]

    def __post_init__(self) -> None:
        if len(self.trials) != len(self.results):
            raise InputError(what="A batch has another number of results than of trials")


class Journal(AbstractContextManager["Journal"]):
    """The journal of one search.

    Args:
        path: the file; it is created where it is absent.
        key: what the results depend on (patient, bundle, settings, seeds, versions). A journal with another key, or one
            that cannot be read, starts afresh.

    Attributes:
        recalled: number of batches that were answered from the file.

    Raises:
        OutputError: the file cannot be written.
    """

    def __init__(self, path: Path, key: Mapping[str, Any]) -> None:
        self._path = path
        self._known: dict[_Name, list[Any]] = {}
        self.recalled, self._last = 0, ""
        header = {"format": FORMAT, "key": dict(key)}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            good = self._read(header)
            self._file: BinaryIO = path.open("r+b" if good else "wb")
            self._file.truncate(good)
            self._file.seek(good)
            if not good:
                self._write(header)
        except OSError as error:
            raise output_error(error, path) from error

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Write no more."""
        self._file.close()

    def __len__(self) -> int:
        """Number of batches in it."""
        return len(self._known)

    def recall(self, batch: Batch) -> list[Any] | None:
        """What was recorded for a batch, one JSON value for each trial; None if it was not recorded."""
        found = self._known.get(_name(batch))
        self.recalled += found is not None
        return found

    def record(self, batch: Batch, results: list[Any]) -> None:
        """Append the results of a batch; on return they are on disk.

        Raises:
            OutputError: the file cannot be written.
        """
        try:
            self._write({"trials": _name(batch), "results": results})
        except OSError as error:
            raise output_error(error, self._path) from error
        self._known[_name(batch)] = results

    def _write(self, body: dict[str, Any]) -> None:
        text = dump_json(body).encode()
        self._last = _digest(self._last, text)
        self._file.write(b'{"sha256":"%s","body":%s}\n' % (self._last.encode(), text))
        self._file.flush()
        os.fsync(self._file.fileno())

    def _read(self, header: dict[str, Any]) -> int:
        """Read the good lines; returns how many bytes they take, 0 if the journal must start afresh."""
        try:
            lines = self._path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return 0
        good = 0
        # what follows the last line break was torn
        for number, line in enumerate(lines[:-1]):
            found = _LINE.fullmatch(line)
            if found is None or found[1].decode() != _digest(self._last, found[2]):
                break
            try:
                body = parse_json(found[2], require={})
            except InputError:
                break
            if number == 0 and body != to_plain(header):
                return 0
            if number:
                try:
                    entry = from_plain(_Entry, body, "a line of the journal")
                except InputError:
                    break
                self._known[entry.trials] = entry.results
            self._last = found[1].decode()
            good += len(line) + 1
        return good


def is_whole(path: Path) -> bool:
    """True if every line of a journal is as it was written: each carries the checksum of itself and the one before."""
    content, last = path.read_bytes(), ""
    for line in content.splitlines(keepends=True):
        found = _LINE.fullmatch(line.rstrip(b"\n"))
        if found is None or not line.endswith(b"\n") or _digest(last, found[2]) != found[1].decode():
            return False
        last = found[1].decode()
    return True


def _digest(last: str, text: bytes) -> str:
    return hashlib.sha256(last.encode() + b"\n" + text).hexdigest()


def _name(batch: Batch) -> _Name:
    return tuple((protocol.text, replica) for protocol, replica in batch)
