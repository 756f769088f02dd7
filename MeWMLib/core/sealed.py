"""JSON files that carry a checksum of themselves and of files beside them, so that a single wrong bit is noticed.

The last field is the SHA-256 of every byte before it; the field `FILES` names files of the same folder with theirs. A
file that has one of the two must have both and be as it was written: a wrong bit in the name of one leaves the other.
Files of earlier versions have neither.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from MeWMLib.core.errors import UnreadableFileError
from MeWMLib.core.io import atomic_path, json_text
from MeWMLib.core.records import parse_json, read_bytes

#: The field with the checksums of other files: name to SHA-256.
FILES = "files_sha256"
_SEAL = re.compile(rb',\n "sha256": "([0-9a-f]{64})"\n\}\n\Z')
_SEAL_BYTES = len(',\n "sha256": ""\n}\n') + 64
_CHANGED = "Run the job again, or copy the folder again from where it was written; delete what you changed on purpose"


def write_sealed(data: Mapping[str, Any], path: Path) -> None:
    """Write JSON with its own checksum at the end.

    Args:
        data: holds `FILES`, maybe empty.
        path: the file.

    Raises:
        OutputError: as `io.write_json`.
    """
    head = json_text({**data, FILES: dict(data[FILES])}, path).removesuffix("\n}\n").encode()
    seal = f',\n "sha256": "{hashlib.sha256(head).hexdigest()}"\n}}\n'.encode()
    with atomic_path(path) as temporary:
        temporary.write_bytes(head + seal)


def read_sealed(path: Path, what: str, remedy: str) -> Any:
    """Read JSON and check its own checksum, if it is of a version that writes one.

    Args:
        path: the file.
        what: names it in an error.
        remedy: what the user can do if it cannot be read.

    Raises:
        UnreadableFileError: missing, no JSON, or changed since it was written.
    """
    content = read_bytes(path, what, UnreadableFileError, remedy)
    seal = _SEAL.search(content, max(0, len(content) - _SEAL_BYTES))
    if seal is not None and hashlib.sha256(content[: seal.start()]).hexdigest().encode() != seal[1]:
        raise _changed(path)
    data = parse_json(content, what, UnreadableFileError, remedy, given=str(path))
    if seal is None and isinstance(data, dict) and FILES in data:
        raise _changed(path)
    return data


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hex.

    Raises:
        UnreadableFileError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            digest = hashlib.sha256()
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise UnreadableFileError(
            what=f"The file cannot be read ({error.strerror})", given=str(path), remedy="Check its permissions"
        ) from error
    return digest.hexdigest()


def require_unchanged(folder: Path, sums: Mapping[str, str], names: Iterable[str]) -> None:
    """Check files against their checksums; one that is not there is left to whoever needs it.

    Args:
        folder: where they are.
        sums: name to SHA-256; a name without one is of an earlier version and is not checked.
        names: which of them to check.

    Raises:
        UnreadableFileError: a file is not as it was written.
    """
    for name in names:
        path = folder / name
        if name in sums and path.is_file() and sha256_of(path) != sums[name]:
            raise _changed(path)


def _changed(path: Path) -> UnreadableFileError:
    return UnreadableFileError(
        what="A file of the results is not as it was written: its checksum is wrong", given=str(path), remedy=_CHANGED
    )
