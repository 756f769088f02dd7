"""A checksum in the image files that MeWM writes, so that no bit of them can change unnoticed.

The checksum of a compressed stream does not cover all of its bytes (time and system in the head of a gzip stream, bits
that fill up its last byte), and none covers the header of a NRRD or MetaImage file. So the SHA-256 of all other bytes
stands in a comment: a comment line of a NRRD, the field Comment of a MetaImage, the comment of a gzip stream. Every
reader passes over it, and no program carries it over when it writes the image again, changed or not.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import BinaryIO

from MeWMLib.core.image_files.layout import unreadable

_TEXT = b"MeWM, SHA-256 of all other bytes: "
_HEX = 64
#: Ending to what comes before and after the checksum; it stands behind the first line, for gzip behind the first bytes.
_AROUND = {".nrrd": (b"# " + _TEXT, b"\n"), ".mha": (b"Comment = " + _TEXT, b"\n"), ".nii.gz": (_TEXT, b"\0")}
_GZIP_HEAD, _GZIP_COMMENT = 10, 0x10


def copy_sealed(source: Path, target: Path) -> None:
    """Copy a file that was just written, with the checksum put in; a format without a place for it stays as it is."""
    ending = _ending(source)
    with source.open("rb") as file, target.open("wb") as copy:
        if ending is not None:
            before, after = _AROUND[ending]
            head = _head(file, ending)
            if ending == ".nii.gz":
                assert head[3] == 0, "SimpleITK writes neither name nor comment"
                head = head[:3] + bytes([_GZIP_COMMENT]) + head[4:]
            copy.write(head + before + _digest(head, file) + after)
            file.seek(len(head))
        shutil.copyfileobj(file, copy, 1 << 20)


def require_seal(path: Path) -> None:
    """Check the checksum of a file that has one.

    Raises:
        UnreadableFileError: a bit of the file, or of its checksum, is not as it was written.
    """
    ending = _ending(path)
    if ending is None:
        return
    before, after = _AROUND[ending]
    with path.open("rb") as file:
        head = _head(file, ending)
        found = file.read(len(before) + _HEX + len(after))
        # a wrong bit in the words must not make a file one without a checksum
        like = sum(a == b for a, b in zip(found, before, strict=False))
        if like < len(before) - 2:
            return
        digest = found[len(before) : len(before) + _HEX]
        if found != before + digest + after or digest != _digest(head, file):
            raise unreadable(
                path,
                "is not as MeWM wrote it",
                "its checksum is wrong",
                "Copy it again from where it was written; if you changed its bytes on purpose, write it again with a "
                "program for images",
            )


def _ending(path: Path) -> str | None:
    return next((ending for ending in _AROUND if path.name.lower().endswith(ending)), None)


def _head(file: BinaryIO, ending: str) -> bytes:
    return file.read(_GZIP_HEAD) if ending == ".nii.gz" else file.readline(1 << 10)


def _digest(head: bytes, rest: BinaryIO) -> bytes:
    digest = hashlib.sha256(head)
    while block := rest.read(1 << 20):
        digest.update(block)
    return digest.hexdigest().encode()
