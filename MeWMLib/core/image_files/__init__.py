"""NIfTI, NRRD and MetaImage files. Private to `core/`: `core/io.py` is the front.

`nifti`, `nrrd` and `metaimage` read a header into a `Layout` and refuse what readers would have to guess; `voxels`
reads the bytes that it declares, checked to the last one.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from MeWMLib.core.errors import GeometryError, UnreadableFileError
from MeWMLib.core.image_files import metaimage, nifti, nrrd, voxels
from MeWMLib.core.image_files.layout import AGAIN, Layout
from MeWMLib.core.image_files.seal import copy_sealed, require_seal
from MeWMLib.core.volume import Geometry

_FORMATS: dict[str, Callable[[Path], Layout]] = {
    **dict.fromkeys((".nii", ".nii.gz", ".hdr"), nifti.read_layout),
    **dict.fromkeys((".nrrd", ".nhdr"), nrrd.read_layout),
    **dict.fromkeys((".mha", ".mhd"), metaimage.read_layout),
}
SUFFIXES = tuple(_FORMATS)
#: Their voxels are in other files.
DETACHED = (".hdr", ".nhdr", ".mhd")


@dataclass(frozen=True, eq=False)
class ImageFile:
    """An image file as it is: voxels (K, J, I) or (K, J, I, C), their RAS grid, and further keys of the header."""

    array: NDArray[Any]
    geometry: Geometry
    metadata: dict[str, str]


def read_image_file(path: Path) -> ImageFile:
    """Read a NIfTI, NRRD or MetaImage file.

    Raises:
        UnreadableFileError: missing, cut, damaged, or of an unknown format.
        InputError: it declares more voxels than are read by default.
        NotCTError: not three-dimensional, or of values that readers do not agree on.
        GeometryError: a grid that is not usable, not there, or given twice.
    """
    with _opened(path) as layout:
        geometry = Geometry(layout.shape, layout.affine)
        return ImageFile(voxels.read_voxels(layout), geometry, layout.metadata)


def read_header(path: Path) -> tuple[tuple[int, ...], Geometry, dict[str, str]]:
    """The shape of the voxels of an image file, their grid, and further keys, without the voxels.

    Raises:
        MeWMError: as `read_image_file`.
    """
    with _opened(path) as layout:
        values = () if layout.channels is None else (layout.sizes[layout.channels],)
        return (*layout.shape, *values), Geometry(layout.shape, layout.affine), layout.metadata


def read_slices(path: Path) -> Iterator[NDArray[Any]]:
    """The voxels of an image file, a slice (J, I) after the other, for what would take too much memory as a whole.

    Raises:
        MeWMError: as `read_image_file`; for a damaged stream maybe after the last slice.
    """
    with _opened(path) as layout:
        yield from voxels.read_slices(layout)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Layout]:
    """The header of a file whose checksum holds; errors of the block name the file."""
    if not path.exists():
        raise UnreadableFileError(what="There is no such file or folder", given=str(path), remedy="Check the path")
    try:
        require_seal(path)
        yield _layout(path)
    except GeometryError as error:
        place = "" if str(path) in error.given else f"{path}: "
        raise GeometryError(error.what, given=place + error.given, remedy=error.remedy) from error
    except OSError as error:
        raise UnreadableFileError(
            what=f"The file cannot be read ({error.strerror})", given=str(path), remedy="Check its permissions"
        ) from error


def copy_written(source: Path, target: Path, array: NDArray[Any]) -> None:
    """Check that a file which was just written holds `array` to its end, and copy it with a checksum of all its bytes.

    Raises:
        UnreadableFileError: it does not hold them; see `voxels.require_written`.
        OSError: the copy cannot be written.
    """
    voxels.require_written(_layout(source), array)
    copy_sealed(source, target)


def _layout(path: Path) -> Layout:
    name = path.name.lower()
    suffix = next((s for s in SUFFIXES if name.endswith(s)), "")
    if not suffix:
        raise UnreadableFileError(
            what="The file is of a format that MeWM does not read",
            given=str(path),
            remedy="Give the folder of the series"
            if path.suffix.lower() in (".dcm", ".ima")
            else "Give a DICOM folder or a file that ends in " + ", ".join(SUFFIXES),
        )
    try:
        return _FORMATS[suffix](path)
    except (EOFError, struct.error, ValueError, OverflowError) as error:
        raise UnreadableFileError(what="The file cannot be read", given=f"{path} ({error})", remedy=AGAIN) from error
