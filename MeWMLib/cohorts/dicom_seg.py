"""Liver and tumour masks out of DICOM segmentations (highdicom), on the grid of the CT they belong to.

Segments are known by their coded type where it says liver, tumour or vessel, else by their label.
"""
# mypy: allow-untyped-calls

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MeWMLib.core.errors import GeometryError, LabelError, UnreadableFileError, optional_packages
from MeWMLib.core.structures import Structure, structure_of
from MeWMLib.core.volume import Geometry, LabelMap
from MeWMLib.perception.preprocess import resample

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Segmentation:
    """One DICOM SEG file.

    Attributes:
        path: the file.
        structures: segment number to what it shows; segments of anything else are left out.
        automatic: every segment was made by an algorithm alone.
        sources: SOPInstanceUIDs of the slices it was drawn on.
    """

    path: Path
    structures: dict[int, Structure]
    automatic: bool
    sources: frozenset[str]


def read_segmentation(path: Path) -> Segmentation:
    """Read what a DICOM SEG file holds, without its voxels.

    Raises:
        UnreadableFileError: damaged, or not a segmentation that highdicom reads.
        LabelError: it holds neither liver nor tumour.
        DependencyError: highdicom is not installed.
    """
    data = _open(path)
    found: dict[int, Structure] = {}
    other: list[str] = []
    algorithms = set()
    for number in data.segment_numbers:
        segment = data.get_segment_description(number)
        label = str(segment.segment_label)
        structure = structure_of(label, str(segment.segmented_property_type.value))
        algorithms.add(str(segment.get("SegmentAlgorithmType", "")))
        if structure is None:
            other.append(label)
        else:
            found[int(number)] = structure
    if all(structure.label is None for structure in found.values()):
        raise LabelError(what="The segmentation holds neither liver nor tumour", given=", ".join(other)[:80])
    sources = frozenset(str(uids[2]) for uids in data.get_source_image_uids())
    return Segmentation(path, found, algorithms == {"AUTOMATIC"}, sources)


def masks_on(found: Segmentation, grid: Geometry) -> tuple[LabelMap, NDArray[np.bool_]]:
    """Labels and vessels of a segmentation on the grid of its CT, by nearest neighbour (exact where the grids agree).

    Tumour wins over liver; tumour outside of the liver segment counts as liver's too, as everywhere in MeWM.

    Returns:
        Labels, and the mask of the segments that are vessels.

    Raises:
        UnreadableFileError: voxels that cannot be decoded or form no regular grid.
        GeometryError: no voxel of the segmentation is on the grid.
    """
    data = _open(found.path)
    labels, vessels = np.zeros(grid.shape, np.uint8), np.zeros(grid.shape, bool)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            volume = data.get_volume(segment_numbers=list(found.structures), combine_segments=False)
        source = _geometry(volume.array.shape[:3], np.asarray(volume.affine))
        drawn = [(s, volume.array[..., n] > 0) for n, s in enumerate(found.structures.values())]
    except GeometryError:
        raise
    except Exception as error:  # highdicom raises many kinds
        raise UnreadableFileError(
            what="The voxels of the segmentation form no regular grid or cannot be decoded", given=type(error).__name__
        ) from error
    for structure, layer in drawn:
        mask = resample(layer, source, grid, "nearest", 0)
        if structure.label is None:
            vessels |= mask
        else:
            labels[mask] = np.maximum(labels[mask], structure.label)  # tumour wins
    if any(layer.any() for _, layer in drawn) and not (labels.any() or vessels.any()):
        raise GeometryError(what="The segmentation is not where its CT is", given=source.describe())
    return LabelMap(labels, grid), vessels


def choose(segmentations: Sequence[Segmentation], slices: frozenset[str]) -> Segmentation | None:
    """The segmentation that belongs to a stack with these SOPInstanceUIDs; drawn by people before drawn by programs.

    Among equals the one with more tumour and liver segments counts.
    """
    mine = [one for one in segmentations if len(one.sources & slices) > 0.5 * len(one.sources)]
    return min(mine, key=lambda one: (one.automatic, -len(set(one.structures.values())), str(one.path)), default=None)


def _geometry(shape: tuple[int, ...], affine: NDArray[np.float64]) -> Geometry:
    """Our grid from highdicom's affine, which maps (slice, row, column) to LPS."""
    ras = _LPS_TO_RAS @ affine
    ours = np.eye(4)
    ours[:3, :3] = ras[:3, 2::-1]
    ours[:3, 3] = ras[:3, 3]
    return Geometry((int(shape[0]), int(shape[1]), int(shape[2])), ours)


def _open(path: Path) -> Any:
    with optional_packages("Reading DICOM segmentations", "import"):
        import highdicom
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return highdicom.seg.segread(str(path))
    except Exception as error:  # pydicom and highdicom raise many kinds
        raise UnreadableFileError(
            what="The DICOM segmentation is damaged or of a kind that highdicom does not read",
            given=f"{path} ({type(error).__name__})",
        ) from error
