"""What a run keeps: results under a checksum of what they depend on, so that a run that was killed goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import MeWMLib
from MeWMLib.core.errors import InputError, UnreadableFileError, output_error
from MeWMLib.core.io import atomic_path, write_json
from MeWMLib.core.records import parse_json, read_json

RESULT, ARRAYS = "result.json", "arrays.npz"
Array = NDArray[Any]


def checksum(value: Any) -> str:
    """SHA-256 of a JSON-ready value, the order of whose keys does not count."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def file_checksum(path: Path) -> str:
    """SHA-256 of a file, or "" where there is none.

    Raises:
        UnreadableFileError: it is there and cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while part := file.read(1 << 20):
                digest.update(part)
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise UnreadableFileError(what="A file of the cohort cannot be read", given=f"{path} ({error})") from error
    return digest.hexdigest()


def key_of(*parts: Any) -> str:
    """Key of a result: of the version of MeWM and of everything that it depends on."""
    return checksum([MeWMLib.__version__, *parts])


@dataclass(frozen=True)
class Kept:
    """One result on disk: a folder with a JSON object, arrays and pictures.

    Attributes:
        folder: of the result.
        key: of what it depends on.
    """

    folder: Path
    key: str

    def read(self) -> dict[str, Any] | None:
        """What was kept under this very key, else None: a damaged or older result is computed again."""
        try:
            stored: dict[str, Any] = read_json(self.folder / RESULT, error=InputError, require={"key": str})
        except InputError:
            return None
        if stored["key"] != self.key:
            return None
        sums = stored.get("files", {})
        whole = all(file_checksum(self.folder / name) == value for name, value in sums.items())
        return stored["result"] if whole else None

    def arrays(self) -> dict[str, Array]:
        """The arrays of a result; empty where it has none."""
        path = self.folder / ARRAYS
        if not path.exists():
            return {}
        with np.load(path, allow_pickle=False) as data:
            return {name: data[name] for name in data.files}

    def write(
        self, result: Any, arrays: Mapping[str, Array] | None = None, pictures: Mapping[str, Path] | None = None
    ) -> None:
        """Keep a result; its JSON comes last, so that a result is whole or absent.

        Args:
            result: JSON-ready.
            arrays: by name.
            pictures: files that lie in the folder already, by name.

        Raises:
            OutputError: it cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / RESULT).unlink(missing_ok=True)
            sums = {name: file_checksum(path) for name, path in (pictures or {}).items()}
            (self.folder / ARRAYS).unlink(missing_ok=True)
            if arrays:
                with atomic_path(self.folder / ARRAYS) as part, part.open("wb") as file:
                    values: dict[str, Any] = {name: np.asarray(value) for name, value in arrays.items()}
                    np.savez_compressed(file, **values)
                sums[ARRAYS] = file_checksum(self.folder / ARRAYS)
        except OSError as error:
            raise output_error(error, self.folder) from error
        write_json({"key": self.key, "files": sums, "result": result}, self.folder / RESULT)

    def or_compute(self, compute: Callable[[], Any]) -> Any:
        """What was kept, or else what is computed now and kept."""
        if (known := self.read()) is not None:
            return known
        result = parse_json(json.dumps(compute()))
        self.write(result)
        return result
