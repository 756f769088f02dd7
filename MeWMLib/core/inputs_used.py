"""Which files a result was computed from, by checksums: found again, they can be told to be the same."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from MeWMLib.core.sealed import sha256_of
from MeWMLib.core.volume import Volume


@dataclass(frozen=True)
class InputUsed:
    """One input.

    Attributes:
        name: base name of the file or folder, or sample:NAME; never a path.
        sha256: of a file's bytes; "" for a folder or a sample.
        voxels_sha256: of an image's voxels as they were read, by `voxels_sha256`; "" for what is no CT.
    """

    name: str
    sha256: str = ""
    voxels_sha256: str = ""

    @classmethod
    def of(cls, name: str, path: Path | None = None, image: Volume | None = None) -> InputUsed:
        """Take the checksums of an input that was read."""
        digest = sha256_of(path) if path is not None and path.is_file() else ""
        return cls(name, digest, "" if image is None else voxels_sha256(image))


def voxels_sha256(ct: Volume) -> str:
    """SHA-256 of shape, type and voxels of an image: the same for the same scan, and it says nothing of the person."""
    digest = hashlib.sha256(json.dumps([list(ct.array.shape), str(ct.array.dtype)]).encode())
    digest.update(ct.array.tobytes())
    return digest.hexdigest()
