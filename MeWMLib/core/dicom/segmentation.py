"""Liver and tumour out of DICOM segmentations (BINARY, FRACTIONAL, LABELMAP), on the grid of a CT.

Segments are known by their coded type where it says liver, tumour or vessel, else by their label. highdicom unpacks
the voxels and finds their grid; of a FRACTIONAL segment the voxels count that are at half of the largest value or more.
"""
# mypy: allow-untyped-calls

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MeWMLib.core._segments import Segment, Values, answered, left_out, require_sure
from MeWMLib.core.dicom.headers import is_dicom, read_object
from MeWMLib.core.dicom.packages import package
from MeWMLib.core.dicom.scan import scan
from MeWMLib.core.errors import GeometryError, GeometryMismatchError, LabelError, MeWMError, UnreadableFileError
from MeWMLib.core.grids import turned_like
from MeWMLib.core.limits import require_declared_size
from MeWMLib.core.structures import Structure, meaning_of
from MeWMLib.core.volume import Geometry, LabelMap

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
#: Voxels lie on the CT's own if they are nearer to them than this share of a voxel.
_SAME_VOXEL = 0.05
#: Positions of slices are printed with few digits: a frame and the CT's own grid may be this far apart (mm) along them,
#: and by this share of the distance of slices.
_PRINTED_MM, _PRINTED_SHARE = 0.11, 0.25


@dataclass(frozen=True)
class Segmentation:
    """One DICOM SEG file.

    Attributes:
        path: the file.
        structures: segment number to what it surely shows; segments of anything else are left out.
        segments: every segment with its meaning (`core._segments`), also where that is not sure.
        automatic: every segment was made by an algorithm alone.
        sources: SOPInstanceUIDs of the slices it was drawn on; it may name none.
        frame_of_reference: FrameOfReferenceUID, or "".
        positions: first voxel (LPS mm) of every frame (F, 3).
        description: SeriesDescription, or "".
    """

    path: Path
    structures: dict[int, Structure]
    automatic: bool
    sources: frozenset[str]
    segments: tuple[Segment, ...] = ()
    frame_of_reference: str = ""
    positions: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 3)), repr=False, compare=False)
    description: str = ""


def read_segmentation(path: Path) -> Segmentation:
    """Read what a DICOM SEG file holds, without its voxels.

    Raises:
        UnreadableFileError: damaged, or not a segmentation.
        LabelError: it holds neither liver nor tumour.
        DependencyError: pydicom is not installed.
    """
    found = describe(path)
    if all(structure.label is None for structure in found.structures.values()):
        raise LabelError(
            what="The segmentation holds neither liver nor tumour",
            given="; ".join(one.shown for one in found.segments)[:200],
        )
    return found


def describe(path: Path) -> Segmentation:
    """As `read_segmentation`, whatever its segments show."""
    pydicom = package("pydicom")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            data = pydicom.dcmread(path, stop_before_pixels=True)
            return _described(path, data)
    except (MeWMError, OSError):
        raise
    except Exception as error:  # pydicom raises whatever a broken value makes it raise
        raise _damaged(path, error) from error


def _described(path: Path, data: Any) -> Segmentation:
    structures, segments, algorithms = {}, [], set()
    for item in data.SegmentSequence:
        number = int(item.SegmentNumber)
        if number == 0:
            continue  # the background, which label maps may describe too
        name = str(item.get("SegmentLabel") or f"segment {number}")
        algorithms.add(str(item.get("SegmentAlgorithmType", "")))
        code, scheme = _code(item, "SegmentedPropertyTypeCodeSequence")
        region, region_scheme = _code(item, "AnatomicRegionSequence")
        category, _ = _code(item, "SegmentedPropertyCategoryCodeSequence")
        meaning = meaning_of(name, code, scheme=scheme, category=category, region=region, region_scheme=region_scheme)
        segments.append(Segment(number, number, 0, name, meaning.label, meaning.why))
        if meaning.structure is not None:
            structures[number] = meaning.structure
    groups = list(data.get("PerFrameFunctionalGroupsSequence") or ())
    frames = int(data.get("NumberOfFrames") or 1)
    bits = int(data.Rows) * int(data.Columns) * frames * int(data.BitsAllocated)
    syntax = data.file_meta.TransferSyntaxUID
    packed = syntax.is_compressed or syntax.is_deflated
    if len(groups) != frames or (not packed and path.stat().st_size < (bits + 7) // 8):
        raise UnreadableFileError(
            what="The DICOM segmentation is cut, or damaged",
            given=f"{path}, {frames} frames declared, {len(groups)} described",
            remedy="Export it again",
        )
    require_declared_size((bits + 7) // 8, str(path))
    shared = list(data.get("SharedFunctionalGroupsSequence") or ())
    places = [_first(one, "PlanePositionSequence") or _first(shared, "PlanePositionSequence") for one in groups]
    positions = [[float(v) for v in place.ImagePositionPatient] for place in places if place is not None]
    return Segmentation(
        path,
        structures,
        algorithms == {"AUTOMATIC"},
        _sources(data, groups),
        tuple(segments),
        str(data.get("FrameOfReferenceUID") or ""),
        np.array(positions).reshape(-1, 3),
        str(data.get("SeriesDescription") or ""),
    )


def _first(place: Any, name: str) -> Any:
    """The first item of a sequence; None where there is none."""
    items = [item for one in (place if isinstance(place, list) else [place]) for item in one.get(name) or ()]
    return items[0] if items else None


def _code(item: Any, name: str) -> tuple[str, str]:
    """Value and scheme of the first code of a sequence."""
    found = _first(item, name)
    if found is None:
        return "", ""
    value = found.get("CodeValue") or found.get("LongCodeValue") or ""
    return str(value), str(found.get("CodingSchemeDesignator") or "")


def _sources(data: Any, groups: list[Any]) -> frozenset[str]:
    """Slices that the frames name; those that the whole file names where no frame does."""
    found = {
        str(source.ReferencedSOPInstanceUID)
        for one in groups
        for derivation in one.get("DerivationImageSequence") or ()
        for source in derivation.get("SourceImageSequence") or ()
    }
    if not found:
        found = {
            str(one.ReferencedSOPInstanceUID)
            for series in data.get("ReferencedSeriesSequence") or ()
            for one in series.get("ReferencedInstanceSequence") or ()
        }
    return frozenset(found)


def segmentation_in(path: Path) -> Segmentation | None:
    """The DICOM SEG that a path names: the file itself, or the one in a folder; None if the file is not DICOM.

    Raises:
        UnreadableFileError: a folder without a SEG or with several, or a DICOM file of another kind.
    """
    if path.is_dir():
        found = scan(path).segmentations
        if len(found) != 1:
            listed = "; ".join(f"{one.path.name} {one.description}".strip() for one in found[:12])
            raise UnreadableFileError(
                what="The folder holds more than one DICOM segmentation"
                if found
                else "The folder holds no DICOM segmentation",
                given=f"{path}: {listed}" if found else str(path),
                remedy="Give the file of one DICOM SEG, a .seg.nrrd or a NIfTI file as labels",
            )
        return describe(found[0].path)
    if not path.is_file():
        return None
    with path.open("rb") as file:
        if not is_dicom(file.read(132)):
            return None
    one = read_object(path)
    if one is None or one.header.kind != "segmentation":
        raise UnreadableFileError(
            what="The DICOM file is no segmentation by voxels (DICOM SEG)",
            given=f"{path}, {one.header.modality or 'no modality' if one else 'damaged'}",
            remedy="Give a DICOM SEG, a .seg.nrrd or a NIfTI file; 3D Slicer turns contours (RTSTRUCT) into one",
        )
    return describe(path)


def labels_on(
    found: Segmentation, grid: Geometry, resample: bool = False, values: Values | None = None
) -> tuple[LabelMap, tuple[str, ...]]:
    """Labels of a DICOM SEG on the grid of a CT; exact where its voxels lie on those of the CT.

    Args:
        found: the segmentation; it need not name any slice of the CT.
        grid: of the CT.
        resample: accept another grid (nearest neighbour), and another frame of reference.
        values: segment number or name to 0, 1 or 2, where codes and names do not say it.

    Returns:
        Labels, and sentences on segments that were left out.

    Raises:
        LabelError: no liver and no tumour, or segments of which nobody knows what they are.
        GeometryMismatchError: another grid or frame of reference, and `resample` is False.
        GeometryError: nothing of it lies on the grid.
        UnreadableFileError: voxels that cannot be unpacked.
    """
    segments = answered(list(found.segments), values or {})
    require_sure(segments, segments)
    frames = (found.frame_of_reference, grid.frame_of_reference)
    if all(frames) and frames[0] != frames[1] and not resample:
        raise GeometryMismatchError(
            what="The segmentation was drawn in another frame of reference than the CT, on another examination",
            given=f"{found.path.name}: {frames[0]}, the CT: {frames[1]}",
            remedy="Give the segmentation of this CT, or --resample-labels if both show one scan",
        )
    labels, source = _drawn(found, {one.key: one.meaning for one in segments if one.meaning}, grid)
    placed = _exact(labels, source, grid)
    if placed is None and not resample:
        raise GeometryMismatchError(
            what="The labels are not on the grid of the CT",
            given=f"{found.path}, CT and labels differ: {grid.differences(turned_like(labels, source, grid)[1])}",
            remedy="Resample them with --resample-labels if both show one scan, or export them from the same series",
        )
    placed = _nearest(labels, source, grid) if placed is None else placed
    _require_there(labels, placed, source)
    return LabelMap(placed, grid), left_out(segments)


def masks_on(found: Segmentation, grid: Geometry) -> tuple[LabelMap, NDArray[np.bool_]]:
    """Labels and vessels of a segmentation on the grid of its CT: exact where the voxels agree, else the nearest.

    Tumour wins over liver; tumour outside of the liver segment counts as liver's too, as everywhere in MeWM.

    Returns:
        Labels, and the mask of the segments that are vessels.

    Raises:
        UnreadableFileError: voxels that cannot be decoded or form no regular grid.
        GeometryError: no voxel of the segmentation is on the grid.
    """
    labels, vessels = np.zeros(grid.shape, np.uint8), np.zeros(grid.shape, bool)
    sure = {one.key for one in found.segments if one.meaning is not None}
    kinds = {number: s.label for number, s in found.structures.items() if number in sure}
    for wanted in ({n: v for n, v in kinds.items() if v is not None}, {n: 1 for n, v in kinds.items() if v is None}):
        if not wanted:
            continue
        drawn, source = _drawn(found, wanted, grid)
        placed = _exact(drawn, source, grid)
        placed = _nearest(drawn, source, grid) if placed is None else placed
        _require_there(drawn, placed, source)
        if None in [kinds[n] for n in wanted]:
            vessels = placed > 0
        else:
            labels = placed
    return LabelMap(labels, grid), vessels


def _require_there(drawn: NDArray[np.uint8], placed: NDArray[np.uint8], source: Geometry) -> None:
    if drawn.any() and not placed.any():
        raise GeometryError(what="The segmentation is not where its CT is", given=source.describe())


def _drawn(found: Segmentation, wanted: Mapping[int, int], reference: Geometry) -> tuple[NDArray[np.uint8], Geometry]:
    """Segments as labels on their own grid; where segments overlap, tumour wins over liver."""
    highdicom = package("highdicom")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            plain = package("pydicom").dcmread(found.path)
            if "FrameOfReferenceUID" not in plain:  # highdicom asks for one where frames have a place
                plain.FrameOfReferenceUID = highdicom.UID()
            _even_out(plain, reference)
            data = highdicom.seg.Segmentation.from_dataset(plain, copy=False)
            grid = data.get_volume_geometry()
            if grid is None:
                message = "the frames form no regular grid"
                raise ValueError(message)
            # two frames far apart make a high volume of nothing
            require_declared_size(int(np.prod(grid.spatial_shape)) * len(wanted), str(found.path))
            volume = data.get_volume(segment_numbers=list(wanted), combine_segments=False, rescale_fractional=False)
        half = int(data.get("MaximumFractionalValue") or 1) / 2 if data.SegmentationType == "FRACTIONAL" else 0.5
        source = _geometry(volume.array.shape[:3], np.asarray(volume.affine))
        labels = np.zeros(source.shape, np.uint8)
        for n, label in enumerate(wanted.values()):
            np.maximum(labels, np.where(volume.array[..., n] >= half, np.uint8(label), np.uint8(0)), out=labels)
    except (MeWMError, MemoryError):
        raise
    except Exception as error:  # highdicom raises many kinds
        raise UnreadableFileError(
            what="The voxels of the segmentation form no regular grid or cannot be decoded",
            given=f"{found.path} ({type(error).__name__}: {str(error)[:120]})",
            remedy="Export it again as a DICOM SEG of type BINARY, or as .seg.nrrd",
        ) from error
    return labels, source


def _even_out(data: Any, grid: Geometry) -> None:
    """Put frames on the voxels of a CT if all of them are there but for the digits of their positions.

    A CT of 0.625 mm whose positions are printed as 0.6 and 1.3 is even all the same, and so is what was drawn on it;
    highdicom finds no grid in such frames.
    """
    places = [_first(one, "PlanePositionSequence") for one in data.get("PerFrameFunctionalGroupsSequence") or ()]
    if not places or None in places:
        return
    there = grid.to_kji(np.array([one.ImagePositionPatient for one in places], np.float64) @ _LPS_TO_RAS[:3, :3])
    index = np.rint(there)
    along = max(_SAME_VOXEL, min(_PRINTED_SHARE, _PRINTED_MM / grid.spacing[0]))
    if (np.abs(there - index) <= (along, _SAME_VOXEL, _SAME_VOXEL)).all():
        for one, position in zip(places, grid.to_ras(index) @ _LPS_TO_RAS[:3, :3], strict=True):
            one.ImagePositionPatient = [f"{v:.10g}" for v in position]


def _exact(labels: NDArray[np.uint8], source: Geometry, grid: Geometry) -> NDArray[np.uint8] | None:
    """Labels on the grid, voxel by voxel; None if a voxel that is drawn has none of its own there."""
    several = np.array(source.shape[::-1]) > 1  # along one slice there is no step to compare
    steps = (np.linalg.inv(grid.affine) @ source.affine)[:3, :3][:, several]
    whole = np.round(steps)
    if np.abs(steps - whole).max() > _SAME_VOXEL or (np.abs(whole).sum(0) != 1).any():
        return None
    drawn = np.argwhere(labels)
    if len(drawn) == 0:
        return np.zeros(grid.shape, np.uint8)
    there = grid.to_kji(source.to_ras(drawn))
    index = np.rint(there).astype(np.intp)
    if np.abs(there - index).max() > _SAME_VOXEL or (index < 0).any() or (index >= grid.shape).any():
        return None
    placed = np.zeros(grid.shape, np.uint8)
    placed[tuple(index.T)] = labels[tuple(drawn.T)]
    return placed


def _nearest(labels: NDArray[np.uint8], source: Geometry, grid: Geometry) -> NDArray[np.uint8]:
    """Labels on the grid by nearest neighbour, slice by slice."""
    placed = np.zeros(grid.shape, np.uint8)
    rows, columns = np.indices(grid.shape[1:])
    for k in range(grid.shape[0]):
        kji = np.stack([np.full(rows.shape, k), rows, columns], -1)
        index = np.rint(source.to_kji(grid.to_ras(kji))).astype(np.intp)
        inside = ((index >= 0) & (index < source.shape)).all(-1)
        placed[k][inside] = labels[tuple(index[inside].T)]
    return placed


def _geometry(shape: tuple[int, ...], affine: NDArray[np.float64]) -> Geometry:
    """Our grid from highdicom's affine, which maps (slice, row, column) to LPS."""
    ras = _LPS_TO_RAS @ affine
    ours = np.eye(4)
    ours[:3, :3] = ras[:3, 2::-1]
    ours[:3, 3] = ras[:3, 3]
    return Geometry((int(shape[0]), int(shape[1]), int(shape[2])), ours)


def _damaged(path: Path, error: Exception) -> UnreadableFileError:
    return UnreadableFileError(
        what="The DICOM segmentation is damaged, or of a kind that is not read",
        given=f"{path} ({type(error).__name__})",
        remedy="Export it again",
    )
