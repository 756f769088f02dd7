"""Reading and writing volumes, labels and JSON. The one place where ITK's LPS becomes our RAS.

Bad input ends here with an error that says what is wrong: `image_files` looks at the bytes of a file, `dicom` at a
folder of slices, `_checks` at the values, `_segments` at the meaning of labels.
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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from MeWMLib.core._checks import PADDING_HU, require_ct_range, require_one_ct
from MeWMLib.core._segments import Values, merge_segments, require_liver, segment_metadata
from MeWMLib.core._segments import parse_label_values as parse_label_values  # callers know this module only
from MeWMLib.core.dicom.assemble import read_stack
from MeWMLib.core.dicom.segmentation import labels_on, segmentation_in
from MeWMLib.core.dicom.series import Phase, choose, holds_volume
from MeWMLib.core.dicom.stacks import Stack
from MeWMLib.core.errors import (
    GeometryMismatchError,
    NotCTError,
    OutcomeError,
    OutputError,
    UnreadableFileError,
    output_error,
)
from MeWMLib.core.grids import placed_on, turned_like
from MeWMLib.core.image_files import DETACHED, SUFFIXES, copy_written, read_header, read_image_file
from MeWMLib.core.itk_state import quiet_itk
from MeWMLib.core.marks import marks_of, provenance_of, provenance_of_series
from MeWMLib.core.records import to_plain
from MeWMLib.core.tissue_labels import first_layer, layered
from MeWMLib.core.volume import PHASES, Geometry, LabelMap, Provenance, Volume

IMAGE_SUFFIXES = SUFFIXES
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


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
    """Return an ITK image (LPS) of voxels (K, J, I) or (K, J, I, C) of any type; their number need not be that of the
    grid."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(array), isVector=array.ndim == 4)
    lps = _LPS_TO_RAS @ geometry.affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    return image


def read_volume(path: Path, series: str | None = None, phase_of: Callable[[Volume], Phase] | None = None) -> Volume:
    """Read a CT from a DICOM folder or a NIfTI, NRRD or MetaImage file.

    Direction and type of the voxels are kept; padding below -1024 HU becomes -1024. The phase is "unknown"
    unless MeWM wrote the file and knew it. A simulated volume comes back with its `Provenance`.

    Args:
        path: a file (of DICOM only an enhanced CT), or a folder that holds one CT series, itself or in a sub-folder.
        series: which one where a folder holds several: SeriesNumber, SeriesInstanceUID, or, where a series holds
            several volumes, "4/2" (acquisition 2 of series 4) or "4/part2", as the error that lists them says.
        phase_of: guesses the contrast phase of each series where several are listed, with `phase` and `confidence`:
            `perception.phase.guess_phase`. It is not asked about the one that is returned, since that takes longer
            than reading.

    Raises:
        UnreadableFileError: missing, cut, damaged or of an unknown format.
        InputError: it declares more voxels than are read by default (`core.limits`).
        SeriesError: not exactly one whole, evenly spaced series; slices that do not agree.
        NotCTError: another modality, 4-D, in colour, NaN, or values that are not HU.
        GeometryError: zero or absurd spacing, sheared axes, or a place that the header does not give or gives twice.
    """
    path = Path(path)
    if path.is_dir() or (not path.name.lower().endswith(IMAGE_SUFFIXES) and holds_volume(path)):
        with _reading(path):
            stack = choose(path, series, None if phase_of is None else lambda one: phase_of(read_dicom_stack(one)[0]))
            return read_dicom_stack(stack)[0]
    file = read_image_file(path)
    array, geometry, metadata = file.array, file.geometry, file.metadata
    require_one_ct(array, metadata, path)
    phase = metadata.get("MeWM_phase", "unknown")
    return _as_ct(Volume(array, geometry, phase if phase in PHASES else "unknown", provenance_of(metadata)))


def read_dicom_stack(stack: Stack) -> tuple[Volume, float]:
    """Read one stack of CT slices, whose headers were read before.

    Returns:
        The volume, padding clamped as in `read_volume`, and the lowest value in the files.

    Raises:
        UnreadableFileError, SeriesError, NotCTError, GeometryError, InputError: as `read_volume`.
    """
    with _reading(stack.slices[0].file.path):
        array, geometry, lowest = read_stack(stack)
    require_ct_range(array)
    return Volume(array, geometry, simulated=stack.simulated), lowest


def _as_ct(volume: Volume) -> Volume:
    array = volume.array
    if float(array.min()) < PADDING_HU:
        volume = volume.with_array(np.maximum(array, np.array(PADDING_HU, dtype=array.dtype)))
    require_ct_range(volume.array)
    return volume


def labels_made_by(path: Path) -> Provenance | None:
    """Of which simulated outcome a file says that it holds the labels; None for any other one.

    Raises:
        MeWMError: as `read_labels`.
    """
    path = Path(path)
    with _reading(path):
        segmentation = segmentation_in(path)
    if segmentation is not None:
        # every DICOM SEG is derived
        return provenance_of_series(segmentation.description, ("DERIVED",))
    return provenance_of(read_header(path)[2])


def read_labels(
    path: Path,
    reference: Geometry,
    resample: bool = False,
    values: Values | None = None,
    *,
    tumour_alone: bool = False,
    notes: list[str] | None = None,
) -> LabelMap:
    """Read a segmentation of liver and tumour onto the grid of a CT.

    The segments of a `.seg.nrrd` or a DICOM SEG are known by their terminology and their names. Slicer may store only
    the part of the grid that is in use, other programs another order or direction of the axes; such a file is put into
    its place without resampling.

    Args:
        path: `.seg.nrrd`, NRRD, NIfTI or MetaImage; a DICOM SEG, or a folder that holds one.
        reference: grid of the CT.
        resample: bring labels of another grid onto `reference` by nearest neighbour.
        values: value in the file, or name of a segment, to 0, 1 or 2 (see `parse_label_values`); the default is
            1 liver, 2 tumour.
        tumour_alone: accept labels that hold tumour and no liver.
        notes: is given a sentence on segments that were left out because they are surely something else.

    Raises:
        UnreadableFileError: missing, cut, damaged or of an unknown format.
        LabelError: values or segments of which it is not sure what they are; tumour without liver.
        GeometryMismatchError: another grid, and `resample` is False.
    """
    path = Path(path)
    with _reading(path):
        segmentation = segmentation_in(path)
    if segmentation is not None:
        labels, left_out = labels_on(segmentation, reference, resample, values)
        if notes is not None:
            notes.extend(left_out)
        if not tumour_alone:
            require_liver(labels.array, path.name)
        return labels
    file = read_image_file(path)
    array, geometry, metadata = file.array, file.geometry, file.metadata  # (K, J, I), or (K, J, I, channels)
    layers = [array] if array.ndim == 3 else list(np.moveaxis(array, -1, 0))
    layers, metadata = first_layer(layers, metadata)
    if len(layers) > 1 and not any(key.startswith("Segment0_") for key in metadata):
        raise NotCTError(what="The labels hold several channels", given=f"{path}, {len(layers)} values for each voxel")
    found = merge_segments(layers, metadata, values)
    merged = found.labels
    if notes is not None:
        notes.extend(found.notes)
    if not tumour_alone:
        require_liver(merged, path.name)
    if (placed := placed_on(merged, geometry, reference)) is not None:
        return LabelMap(placed, reference)
    if not resample:
        raise GeometryMismatchError(
            what="The labels are not on the grid of the CT",
            given=f"{path}, CT and labels differ: {reference.differences(turned_like(merged, geometry, reference)[1])}",
            remedy="Resample them with --resample-labels if both show one scan, or export them from the same series",
        )
    target = image_of(np.zeros(reference.shape, dtype=np.uint8), reference)
    moved = sitk.Resample(
        image_of(merged, geometry), target, sitk.Transform(), sitk.sitkNearestNeighbor, 0, sitk.sitkUInt8
    )
    return LabelMap(sitk.GetArrayFromImage(moved), reference)


def write_volume(volume: Volume, path: Path, packed: bool = True) -> None:
    """Write a volume with its type, grid, phase and provenance.

    Args:
        volume: a scan or a simulated volume.
        path: `.nrrd`; a scan may also go to another image format.
        packed: compressed, which takes about 2 s of the processor for 512 x 512 x 300 voxels; a file that another
            process of this computer reads at once, and nobody keeps, need not be.

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
        for key, value in marks_of(volume.simulated).items():
            image.SetMetaData(key, value)
    if volume.phase != "unknown":
        image.SetMetaData("MeWM_phase", volume.phase)
    _write_image(image, path, packed)


def write_outcome_labels(
    labels: LabelMap, tissue: Mapping[str, NDArray[np.bool_] | None], simulated: Provenance, path: Path
) -> None:
    """Write the labels of a simulated outcome as `.seg.nrrd`: liver, tumour, and what the tumour consists of.

    Args:
        labels, tissue: as for `tissue_labels.layered`.
        simulated: marks the file as simulated.
        path: `.seg.nrrd`.

    Raises:
        OutputError: the file cannot be written.
    """
    array, keys = layered(labels, tissue, marks_of(simulated))
    write_values(array, labels.geometry, keys, path)


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


def write_values(array: NDArray[Any], geometry: Geometry, metadata: Mapping[str, str], path: Path) -> None:
    """Write values of any meaning, (K, J, I) or layers of them (K, J, I, C), with keys of the header.

    Raises:
        OutputError: the file cannot be written.
    """
    image = image_of(array, geometry)
    for key, value in metadata.items():
        image.SetMetaData(key, value)
    _write_image(image, path)


def write_json(data: Any, path: Path) -> None:
    """Write JSON in UTF-8, in the order of `data`; dataclasses become objects.

    Raises:
        OutputError: the file cannot be written, or `data` has no form in JSON (NaN, infinity, arrays).
    """
    text = json_text(data, path)
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def json_text(data: Any, path: Path) -> str:
    """What `write_json` writes to `path`; the same errors."""
    try:
        return json.dumps(to_plain(data), ensure_ascii=False, indent=1, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise OutputError(
            what="A result has no JSON form", given=f"{path} ({error})", remedy="Report this as a bug"
        ) from error


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


def _write_image(image: sitk.Image, path: Path, packed: bool = True) -> None:
    if path.name.lower().endswith(DETACHED):
        raise OutputError(
            what="An image is written as one file", given=str(path), remedy="Write .nrrd, .nii.gz or .mha instead"
        )
    with atomic_path(Path(path)) as temporary:
        written = temporary.with_name(f".{temporary.name}")
        try:
            sitk.WriteImage(image, str(written), useCompression=packed)
            copy_written(written, temporary, sitk.GetArrayViewFromImage(image))
        except UnreadableFileError as error:  # some ITK writers do not notice a full disk
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        finally:
            written.unlink(missing_ok=True)


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Keep ITK quiet while the block reads `path`, and translate an error of the operating system.

    What ITK's warnings speak of is checked by us: the headers of image files and of DICOM are read here by hand.
    """
    try:
        with quiet_itk:
            yield
    except OSError as error:
        raise UnreadableFileError(
            what=f"The file or folder cannot be read ({error.strerror})",
            given=str(path),
            remedy="Check its permissions",
        ) from error
