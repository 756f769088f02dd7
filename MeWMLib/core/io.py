"""Reading and writing volumes, labels and JSON. The one place where ITK's LPS becomes our RAS.

Bad input ends here with an error that says what is wrong: `_checks` looks at the bytes, `_dicom` at a folder of slices,
`_segments` at the meaning of label values.
"""
# mypy: allow-untyped-calls
# SimpleITK's wrapper carries no types.

from __future__ import annotations

import contextlib
import csv
import errno
import json
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from MeWMLib.core._checks import PADDING_HU, require_ct_range, require_whole_file
from MeWMLib.core._dicom import assemble, read_series
from MeWMLib.core._segments import merge_segments, segment_metadata
from MeWMLib.core._segments import parse_label_values as parse_label_values  # callers know this module only
from MeWMLib.core.dicom_slices import SliceRecord
from MeWMLib.core.errors import (
    GeometryError,
    GeometryMismatchError,
    NotCTError,
    OutcomeError,
    OutputError,
    UnreadableFileError,
    output_error,
)
from MeWMLib.core.records import to_plain
from MeWMLib.core.volume import PHASES, Geometry, LabelMap, Provenance, Volume

IMAGE_SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_GRID_TOLERANCE_VOXELS = 1e-2


def from_sitk(image: sitk.Image) -> tuple[NDArray[Any], Geometry]:
    """Return the voxels (K, J, I) and the RAS grid of a 3-D scalar ITK image.

    Raises:
        GeometryError: the grid is not usable.
    """
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    i, j, k = image.GetSize()
    return sitk.GetArrayFromImage(image), Geometry((k, j, i), _LPS_TO_RAS @ affine)


def to_sitk(source: Volume | LabelMap) -> sitk.Image:
    """Return an ITK image (LPS) with the voxels and the grid of `source`."""
    return image_of(source.array, source.geometry)


def image_of(array: NDArray[Any], geometry: Geometry) -> sitk.Image:
    """Return an ITK image (LPS) of voxels (K, J, I) of any type; their number need not be that of the grid."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(array))
    lps = _LPS_TO_RAS @ geometry.affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    return image


def read_volume(path: Path, series: str | None = None) -> Volume:
    """Read a CT from a DICOM folder or a NIfTI, NRRD or MetaImage file.

    Direction and type of the voxels are kept; padding below -1024 HU becomes -1024. The phase is "unknown"
    unless MeWM wrote the file and knew it. A simulated volume comes back with its `Provenance`.

    Args:
        path: a file, or a folder that holds one CT series (itself or in one of its sub-folders).
        series: SeriesNumber or SeriesInstanceUID where a folder holds several; "4/2" is acquisition 2 of series 4.

    Raises:
        UnreadableFileError: missing, cut, damaged or of an unknown format.
        SeriesError: not exactly one whole, evenly spaced series.
        NotCTError: another modality, 4-D, in colour, NaN, or values that are not HU.
        GeometryError: zero or absurd spacing, sheared axes.
    """
    path = Path(path)
    if path.is_dir():
        with _reading(path):
            array, geometry = read_series(path, series)
        metadata: dict[str, str] = {}
    else:
        image = _read_image(path)
        if image.GetNumberOfComponentsPerPixel() != 1:
            raise NotCTError(
                what="The image is in colour or holds several channels",
                given=f"{path}, {image.GetNumberOfComponentsPerPixel()} values for each voxel",
                remedy="Give the CT itself, one value for each voxel",
            )
        array, geometry = from_sitk(image)
        metadata = {key: image.GetMetaData(key) for key in image.GetMetaDataKeys() if key.startswith("MeWM_")}
    phase = metadata.get("MeWM_phase", "unknown")
    return _as_ct(Volume(array, geometry, phase if phase in PHASES else "unknown", _provenance(metadata)))


def read_dicom_slices(slices: Sequence[SliceRecord]) -> tuple[Volume, float]:
    """Read one stack of axial CT slices, whose headers were read before.

    Returns:
        The volume, padding clamped as in `read_volume`, and the lowest value in the files.

    Raises:
        UnreadableFileError, SeriesError, NotCTError, GeometryError: as `read_volume`.
    """
    with _reading(slices[0].path):
        array, geometry = assemble(slices, slices[0].path.parent)
    return _as_ct(Volume(array, geometry)), float(array.min())


def _as_ct(volume: Volume) -> Volume:
    array = volume.array
    if float(array.min()) < PADDING_HU:
        volume = volume.with_array(np.maximum(array, np.array(PADDING_HU, dtype=array.dtype)))
    require_ct_range(volume.array)
    return volume


def read_labels(
    path: Path, reference: Geometry, resample: bool = False, values: Mapping[int, int] | None = None
) -> LabelMap:
    """Read a segmentation of liver and tumour onto the grid of a CT.

    The segments of a `.seg.nrrd` are known by their names. Slicer may store only the part of the grid that is in use;
    such a file is put back into its place without resampling.

    Args:
        path: `.seg.nrrd`, NRRD, NIfTI or MetaImage.
        reference: grid of the CT.
        resample: bring labels of another grid onto `reference` by nearest neighbour.
        values: value in the file to 0, 1 or 2 (see `parse_label_values`); the default is 1 liver, 2 tumour.

    Raises:
        UnreadableFileError: missing, cut, damaged or of an unknown format.
        LabelError: values or segments that are neither liver nor tumour.
        GeometryMismatchError: another grid, and `resample` is False.
    """
    path = Path(path)
    if path.is_dir():
        raise UnreadableFileError(
            what="Labels are read from a file, not from a folder",
            given=str(path),
            remedy="Give a .seg.nrrd or NIfTI file; 3D Slicer turns a DICOM SEG into one",
        )
    image = _read_image(path)
    metadata = {key: image.GetMetaData(key) for key in image.GetMetaDataKeys()}
    array, geometry = from_sitk(image)  # (K, J, I), or (K, J, I, channels)
    layers = [array] if array.ndim == 3 else list(np.moveaxis(array, -1, 0))
    if len(layers) > 1 and not any(key.startswith("Segment0_") for key in metadata):
        raise NotCTError(what="The labels hold several channels", given=f"{path}, {len(layers)} values for each voxel")
    merged = merge_segments(layers, metadata, values)
    if geometry.same_as(reference):
        return LabelMap(merged, reference)
    if not resample and not _is_part_of(geometry, reference):
        raise GeometryMismatchError(
            what="The labels are not on the grid of the CT",
            given=f"CT {reference.describe()}; labels {geometry.describe()}",
            remedy="Resample them with --resample-labels if both show one scan, or export them from the same series",
        )
    target = image_of(np.zeros(reference.shape, dtype=np.uint8), reference)
    moved = sitk.Resample(
        image_of(merged, geometry), target, sitk.Transform(), sitk.sitkNearestNeighbor, 0, sitk.sitkUInt8
    )
    return LabelMap(sitk.GetArrayFromImage(moved), reference)


def write_volume(volume: Volume, path: Path) -> None:
    """Write a volume, compressed, with its type, grid, phase and provenance.

    Args:
        volume: a scan or a simulated volume.
        path: `.nrrd`; a scan may also go to another image format.

    Raises:
        OutcomeError: a simulated volume would lose its mark in this format.
        OutputError: the file cannot be written.
    """
    image = to_sitk(volume)
    if volume.simulated is not None:
        if path.suffix.lower() != ".nrrd":
            raise OutcomeError(
                what="A simulated volume must keep its mark, which only NRRD files carry",
                given=str(path),
                remedy="Write .nrrd",
            )
        marks = volume.simulated.to_json()
        image.SetMetaData("MeWM_SIMULATED", "1")
        for key in ("protocol", "seed", "bundle", "bundle_sha256"):
            image.SetMetaData(f"MeWM_{key}", str(marks[key]))
        image.SetMetaData("MeWM_versions", json.dumps(marks["versions"]))
        if volume.simulated.forbidden:
            image.SetMetaData("MeWM_forbidden", volume.simulated.forbidden)
    if volume.phase != "unknown":
        image.SetMetaData("MeWM_phase", volume.phase)
    _write_image(image, path)


def write_labels(labels: LabelMap, path: Path) -> None:
    """Write labels; as `.seg.nrrd` 3D Slicer opens them as a segmentation with names, colours and SNOMED CT codes.

    Raises:
        OutputError: the file cannot be written.
    """
    image = to_sitk(labels)
    if path.name.lower().endswith(".seg.nrrd"):
        for key, value in segment_metadata(labels).items():
            image.SetMetaData(key, value)
    _write_image(image, path)


def write_json(data: Any, path: Path) -> None:
    """Write JSON in UTF-8, in the order of `data`; dataclasses become objects.

    Raises:
        OutputError: the file cannot be written, or `data` has no form in JSON (NaN, infinity, arrays).
    """
    try:
        text = json.dumps(to_plain(data), ensure_ascii=False, indent=1, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise OutputError(
            what="A result has no JSON form", given=f"{path} ({error})", remedy="Report this as a bug"
        ) from error
    with atomic_path(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def write_csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]], path: Path) -> None:
    """Write a table as CSV in UTF-8.

    Raises:
        OutputError: the file cannot be written.
    """
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a path beside `path` to write to; it is moved to `path` at the end, or removed if anything goes wrong.

    Missing parent folders are made. The temporary name ends as `path` does, since ITK takes the format from there.

    Raises:
        OutputError: the operating system, or ITK, could not write.
    """
    path = Path(path)
    temporary = path.with_name(f".{uuid.uuid4().hex[:8]}.{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()  # a read-only folder shows here as what it is; ITK would only say RuntimeError
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise output_error(error, path) from error
    except RuntimeError as error:
        if "ITK" not in str(error):
            raise
        raise output_error(_as_os_error(error, path), path) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _as_os_error(error: RuntimeError, path: Path) -> OSError:
    """ITK says RuntimeError for all; only the state of the disk tells a full one."""
    with contextlib.suppress(OSError):
        if shutil.disk_usage(path.parent).free < 1 << 20:
            return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return OSError(errno.EIO, str(error).strip().splitlines()[-1][:200])


def _write_image(image: sitk.Image, path: Path) -> None:
    with atomic_path(Path(path)) as temporary:
        sitk.WriteImage(image, str(temporary), useCompression=True)
        try:
            require_whole_file(temporary)  # some ITK writers do not notice a full disk
        except UnreadableFileError as error:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Keep ITK quiet while the block reads `path`, and translate an error of the operating system.

    ITK prints its warnings to standard error, past every handler; what matters of them is checked here by hand.
    """
    before = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        yield
    except OSError as error:
        raise UnreadableFileError(
            what=f"The file or folder cannot be read ({error.strerror})",
            given=str(path),
            remedy="Check its permissions",
        ) from error
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(before)


def _read_image(path: Path) -> sitk.Image:
    if not path.exists():
        raise UnreadableFileError(what="There is no such file or folder", given=str(path), remedy="Check the path")
    if not path.name.lower().endswith(IMAGE_SUFFIXES):
        raise UnreadableFileError(
            what="The file is of a format that MeWM does not read",
            given=str(path),
            remedy="Give the folder of the series"
            if path.suffix.lower() in (".dcm", ".ima")
            else "Give a DICOM folder or a file that ends in " + ", ".join(IMAGE_SUFFIXES),
        )
    try:
        with _reading(path):
            require_whole_file(path)
            image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        if "orthonormal" in str(error):
            raise GeometryError(
                what="The image axes are sheared",
                given=str(path),
                remedy="Resample the image to an orthogonal grid first",
            ) from error
        raise UnreadableFileError(
            what="The file is truncated, damaged or not in the format that its name suggests",
            given=f"{path} ({str(error).strip().splitlines()[-1][:160]})",
            remedy="Copy or export the file again",
        ) from error
    if image.GetDimension() == 4 and image.GetSize()[3] == 1:
        image = image[:, :, :, 0]
    if image.GetDimension() != 3:
        raise NotCTError(
            what=f"The image has {image.GetDimension()} dimensions",
            given=f"{path}, {' x '.join(map(str, image.GetSize()))}",
            remedy="Give one 3-D phase" if image.GetDimension() > 3 else "Give the whole volume, not one slice",
        )
    return image


def _provenance(metadata: Mapping[str, str]) -> Provenance | None:
    if metadata.get("MeWM_SIMULATED") != "1":
        return None
    try:
        seed, versions = int(metadata["MeWM_seed"]), json.loads(metadata.get("MeWM_versions", "{}"))
        return Provenance(
            metadata["MeWM_protocol"], seed, metadata["MeWM_bundle"], metadata["MeWM_bundle_sha256"], dict(versions),
            metadata.get("MeWM_forbidden", ""),
        )  # fmt: skip
    except (KeyError, ValueError, TypeError) as error:
        raise UnreadableFileError(
            what="The file is marked as simulated but does not say by what",
            given=f"MeWM header keys: {', '.join(sorted(metadata))}",
            remedy="Use the file that MeWM wrote",
        ) from error


def _is_part_of(geometry: Geometry, reference: Geometry) -> bool:
    """True if `geometry` is `reference` moved and cut by whole voxels."""
    if not np.allclose(geometry.affine[:3, :3], reference.affine[:3, :3], atol=1e-4):
        return False
    start = reference.to_kji(geometry.affine[:3, 3])
    end = reference.to_kji(geometry.to_ras(np.array(geometry.shape) - 1))
    inside = bool((start > -0.5).all() and (end < np.array(reference.shape) - 0.5).all())
    return inside and bool(np.abs(start - np.round(start)).max() < _GRID_TOLERANCE_VOXELS)
