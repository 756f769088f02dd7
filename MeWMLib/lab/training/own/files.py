"""Checksums of a patient's files, by which what was made of them is found again."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from MeWMLib.cohorts.layout import Cohort


def files_key(cohort: Cohort, patient: str, names: Sequence[str], *more: object) -> str:
    """A checksum (64 hex digits) of the contents of some of a patient's files, and of what else is given.

    Args:
        cohort, patient: of the table.
        names: such as `layout.PRE`; files that are not there count as such.
        more: whatever else the result follows from.
    """
    digest = hashlib.sha256(repr((patient, more)).encode())
    for name in names:
        path = cohort.file(patient, name)
        digest.update(f"{name} {'' if path is None else path.stat().st_size}\n".encode())
        if path is not None:
            with path.open("rb") as stream:
                while part := stream.read(1 << 20):
                    digest.update(part)
    return digest.hexdigest()
