"""What a search has simulated so far, on disk, so that a run killed at any moment goes on where it was.

One JSON object a line, only ever appended: a header that says what the numbers belong to, then one record a batch.
Each line carries the sha256 of the line before it and of its own content, so a torn or altered line, and everything
behind it, is found and dropped. A batch stands there whole or not at all: after a resume the search asks for the same
batches as before, each is answered from here or computed with the same neighbours, and the plan is the same to the bit.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from MeWMLib.core.errors import output_error
from MeWMLib.planning.search import Batch

FORMAT = "mewm-journal/1"


class Journal:
    """The journal of one search.

    Args:
        path: the file; it is made where it is absent.
        key: what the results depend on (patient, bundle, settings, seeds, versions). A journal with another key, or one
            that cannot be read, is begun anew.

    Attributes:
        recalled: number of batches that were answered from the file.

    Raises:
        OutputError: the file cannot be written.
    """

    def __init__(self, path: Path, key: Mapping[str, Any]) -> None:
        self._path = path
        self._known: dict[str, list[Any]] = {}
        self.recalled = 0
        header = {"format": FORMAT, "key": dict(key)}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            good = self._read(header)
            self._file: BinaryIO = path.open("r+b" if good else "wb")
            self._file.truncate(good)
            self._file.seek(good)
            if not good:
                self._last = ""
                self._write(header)
        except OSError as error:
            raise output_error(error, path) from error

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Write no more."""
        self._file.close()

    def __len__(self) -> int:
        """Number of batches in it."""
        return len(self._known)

    def recall(self, batch: Batch) -> list[Any] | None:
        """What was recorded for a batch, one JSON value a trial; None if it is not there."""
        found = self._known.get(_name(batch))
        self.recalled += found is not None
        return found

    def record(self, batch: Batch, results: list[Any]) -> None:
        """Append the results of a batch; on return they are on disk.

        Raises:
            OutputError: the file cannot be written.
        """
        trials = [[p.text, n] for p, n in batch]
        try:
            self._write({"trials": trials, "results": results})
        except OSError as error:
            raise output_error(error, self._path) from error
        self._known[_name(batch)] = results

    def _write(self, body: dict[str, Any]) -> None:
        text = json.dumps(body, separators=(",", ":"), sort_keys=True, allow_nan=False)
        digest = _digest(self._last, text)
        self._file.write(f'{{"sha256":"{digest}","body":{text}}}\n'.encode())
        self._file.flush()
        os.fsync(self._file.fileno())
        self._last = digest

    def _read(self, header: dict[str, Any]) -> int:
        """Read the good lines; returns how many bytes they take, 0 if the journal must be begun anew."""
        try:
            lines = self._path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return 0
        good, last = 0, ""
        # what stands behind the last line break was torn
        for number, line in enumerate(lines[:-1]):
            body = _checked(line, last)
            if body is None:
                break
            if number == 0 and body != json.loads(json.dumps(header)):
                return 0
            if number:
                self._known[_name_of(body["trials"])] = body["results"]
            last = json.loads(line)["sha256"]
            good += len(line) + 1
        self._last = last
        return good


def _checked(line: bytes, last: str) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
        body: dict[str, Any] = entry["body"]
        text = json.dumps(body, separators=(",", ":"), sort_keys=True, allow_nan=False)
        return body if entry["sha256"] == _digest(last, text) else None
    except (ValueError, KeyError, TypeError):
        return None


def _digest(last: str, text: str) -> str:
    return hashlib.sha256(f"{last}\n{text}".encode()).hexdigest()


def _name(batch: Batch) -> str:
    return _name_of([[p.text, n] for p, n in batch])


def _name_of(trials: Any) -> str:
    return json.dumps(trials)
