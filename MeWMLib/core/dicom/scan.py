"""Every file of a folder: slices of CT, segmentations, what is neither, and what cannot be read."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from MeWMLib.core.dicom.headers import look_at
from MeWMLib.core.dicom.records import BadFile, DicomObject, FileHeader, SliceRecord
from MeWMLib.core.errors import UnreadableFileError

#: Suffixes that promise a DICOM file.
SUFFIXES = (".dcm", ".dicom", ".ima")


@dataclass(frozen=True)
class Scan:
    """All that a folder holds.

    Attributes:
        objects: CT files with their slices, segmentations, and images of other kinds.
        bad: what could not be read, and says that it is a CT or does not say what it is.
        documents: reports, plans and other DICOM files that are no images.
        other: files that are not DICOM by their bytes.
    """

    objects: tuple[DicomObject, ...] = ()
    bad: tuple[BadFile, ...] = ()
    documents: tuple[FileHeader, ...] = ()
    other: tuple[Path, ...] = field(default=(), repr=False)

    @property
    def slices(self) -> list[SliceRecord]:
        """All CT slices."""
        return [one for found in self.objects for one in found.slices]

    @property
    def segmentations(self) -> list[FileHeader]:
        """Headers of DICOM SEG files."""
        return [one.header for one in self.objects if one.header.kind == "segmentation"]


def scan(root: Path, on_step: Callable[[int], None] | None = None, deep: bool = True) -> Scan:
    """Read the header of every file of a folder.

    Args:
        root: the folder.
        on_step: called with the number of files that were looked at.
        deep: go into sub-folders.

    Raises:
        UnreadableFileError: there is no such folder, or it cannot be listed.
    """
    if not root.is_dir():
        raise UnreadableFileError(what="There is no such folder", given=str(root), remedy="Check the path")
    return _gathered(_files(root, deep), root, on_step)


def scan_files(paths: Iterable[Path]) -> Scan:
    """Read the headers of some files, as `scan` does."""
    return _gathered(((path, None) for path in paths), None, None)


def _gathered(
    files: Iterable[tuple[Path, OSError | None]], root: Path | None, on_step: Callable[[int], None] | None
) -> Scan:
    objects: list[DicomObject] = []
    bad: list[BadFile] = []
    documents: list[FileHeader] = []
    other: list[Path] = []
    for n, (path, unlisted) in enumerate(files):
        if on_step is not None:
            on_step(n + 1)
        try:
            if unlisted is not None:
                raise unlisted
            found = look_at(path)
        except OSError as error:
            reason = error.strerror or "unknown reason"
            if path == root:
                raise UnreadableFileError(what=f"The folder cannot be read ({reason})", given=str(root)) from error
            kind = "file" if unlisted is None else "folder"
            bad.append(BadFile(path, f"the {kind} cannot be read ({reason})", opened=False))
            continue
        if found is None:
            other.append(path)
        elif isinstance(found, BadFile):
            bad.append(found)
        elif found.header.kind == "document":
            documents.append(found.header)
        else:
            objects.append(found)
    return Scan(tuple(objects), tuple(bad), tuple(documents), tuple(other))


def _files(root: Path, deep: bool) -> Iterator[tuple[Path, OSError | None]]:
    """Every file in a fixed order, then the folders that cannot be listed with the error that says why."""
    failed: list[OSError] = []
    seen = {os.path.realpath(root)}
    for folder, names, files in os.walk(root, onerror=failed.append, followlinks=True):
        # a link may lead to a folder above it, or to one that is listed anyway
        real = {name: os.path.realpath(Path(folder, name)) for name in names}
        names[:] = sorted(name for name in names if real[name] not in seen)
        seen.update(real[name] for name in names)
        paths = (Path(folder) / name for name in sorted(files) if name.upper() != "DICOMDIR")
        yield from ((path, None) for path in paths if path.is_file() or not path.exists())
        if not deep:
            break
    yield from ((Path(error.filename), error) for error in failed)


def suspects(found: Scan, members: Iterable[SliceRecord]) -> list[BadFile]:
    """Files that may be missing slices of a stack: of its series by their header, or by where and how they are named.

    A file that was cut to nothing does not say what it was; beside the slices and named like them, it is taken for one
    of them. Results and documents never are.
    """
    members = list(members)
    series = {one.file.series for one in members}
    patterns: dict[Path, set[str]] = {}
    for one in members:
        patterns.setdefault(one.file.path.parent, set()).add(_pattern(one.file.path))

    def like_them(path: Path) -> bool:
        if path.name.startswith("._"):
            return False  # where macOS keeps what other disks cannot hold of the file that is called the same
        return path.suffix.lower() in SUFFIXES or _pattern(path) in patterns[path.parent]

    mine = [
        bad
        for bad in found.bad
        if (
            bad.series in series
            if bad.series
            else bad.path.parent in patterns and not bad.path.is_dir() and (bad.opened or like_them(bad.path))
        )
    ]
    for path in found.other:
        if path.parent in patterns and like_them(path):
            empty = path.stat().st_size == 0
            reason = "a file is empty" if empty else "a file is not DICOM, whatever its name says: it is damaged"
            mine.append(BadFile(path, reason))
    return mine


def _pattern(path: Path) -> str:
    return re.sub(r"\d+", "#", path.name)
