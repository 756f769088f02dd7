"""Liver and tumour masks out of DICOM segmentations (highdicom), on the grid of the CT they belong to.

Segments are known by their coded type where it says liver, tumour or vessel, else by their label.
"""
# mypy: allow-untyped-calls

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MeWMLib.core.errors import DependencyError, GeometryError, LabelError, UnreadableFileError
from MeWMLib.core.volume import LIVER, TUMOUR, Geometry, LabelMap
from MeWMLib.perception.preprocess import resample

VESSEL = "vessel"
#: What a segment's label may say; searched as words, the first that fits counts.
_WORDS = (
    ("tumour", r"tumou?r|mass|lesion|hcc|neoplasm|carcinoma|metasta\w*"),
    (VESSEL, r"portal vein|hepatic vein|vena cava|aorta|vessels?|arter\w+|vein"),
    ("liver", r"liver|hepar|hepatic parenchyma"),
)
#: Codes of the segmented property type: SNOMED CT, and SNOMED RT as older files have it.
_CODES = {
    **dict.fromkeys(("10200004", "T-62000"), "liver"),
    **dict.fromkeys(("4147007", "M-03000", "108369006", "M-8FFFF", "52988006", "M-01100", "25370001"), "tumour"),
    **dict.fromkeys(("32764006", "T-48810", "7832008", "T-42500", "15825003", "T-42000", "8887007", "T-48600"), VESSEL),
}
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Segmentation:
    """One DICOM SEG file.

    Attributes:
        path: the file.
        meanings: segment number to "liver", "tumour" or "vessel"; other segments are left out.
        other: labels of the segments that are none of these.
        automatic: every segment was made by an algorithm alone.
        sources: SOPInstanceUIDs of the slices it was drawn on.
    """

    path: Path
    meanings: dict[int, str]
    other: tuple[str, ...]
    automatic: bool
    sources: frozenset[str]


def read_segmentation(path: Path) -> Segmentation:
    """Read what a DICOM SEG file holds, without its voxels.

    Raises:
        UnreadableFileError: damaged, or no segmentation that highdicom reads.
        LabelError: it holds neither liver nor tumour.
        DependencyError: highdicom is not installed.
    """
    data = _open(path)
    meanings: dict[int, str] = {}
    other: list[str] = []
    algorithms = set()
    for number in data.segment_numbers:
        segment = data.get_segment_description(number)
        label = str(segment.segment_label)
        meaning = meaning_of(label, str(segment.segmented_property_type.value))
        algorithms.add(str(segment.get("SegmentAlgorithmType", "")))
        if meaning is None:
            other.append(label)
        else:
            meanings[int(number)] = meaning
    if not {"liver", "tumour"} & set(meanings.values()):
        raise LabelError(what="The segmentation holds neither liver nor tumour", given=", ".join(other)[:80])
    sources = frozenset(str(uids[2]) for uids in data.get_source_image_uids())
    return Segmentation(path, meanings, tuple(other), algorithms == {"AUTOMATIC"}, sources)


def meaning_of(label: str, code: str = "") -> str | None:
    """ "liver", "tumour" or "vessel" by code, else by label; None if it is nothing of these."""
    if code in _CODES:
        return _CODES[code]
    text = re.sub(r"[_\-]+", " ", label.lower())
    return next((meaning for meaning, words in _WORDS if re.search(rf"\b(?:{words})\b", text)), None)


def masks_on(found: Segmentation, grid: Geometry) -> tuple[LabelMap, NDArray[np.bool_]]:
    """Labels and vessels of a segmentation on the grid of its CT, by nearest neighbour (exact where the grids agree).

    Tumour wins over liver; tumour outside of the liver segment counts as liver's too, as everywhere in MeWM.

    Returns:
        Labels, and the mask of the segments that are vessels.

    Raises:
        UnreadableFileError: voxels that cannot be decoded or form no regular grid.
        GeometryError: no voxel of the segmentation lies on the grid.
    """
    data = _open(found.path)
    labels, vessels = np.zeros(grid.shape, np.uint8), np.zeros(grid.shape, bool)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            volume = data.get_volume(segment_numbers=list(found.meanings), combine_segments=False)
        source = _geometry(volume.array.shape[:3], np.asarray(volume.affine))
        layers = {n: volume.array[..., place] > 0 for place, n in enumerate(found.meanings)}
    except GeometryError:
        raise
    except Exception as error:  # highdicom raises many kinds
        raise UnreadableFileError(
            what="The voxels of the segmentation form no regular grid or cannot be decoded", given=type(error).__name__
        ) from error
    for wanted in ("liver", "tumour", VESSEL):
        for number, meaning in found.meanings.items():
            if meaning != wanted:
                continue
            mask = resample(layers[number], source, grid, "nearest", 0)
            if meaning == VESSEL:
                vessels |= mask
            else:
                labels[mask] = LIVER if meaning == "liver" else TUMOUR
    if any(layer.any() for layer in layers.values()) and not (labels.any() or vessels.any()):
        raise GeometryError(what="The segmentation lies elsewhere than its CT", given=source.describe())
    return LabelMap(labels, grid), vessels


def choose(segmentations: Sequence[Segmentation], slices: frozenset[str]) -> Segmentation | None:
    """The segmentation that belongs to a stack with these SOPInstanceUIDs; drawn by people before drawn by programs.

    Among equals the one with more tumour and liver segments counts.
    """
    mine = [one for one in segmentations if len(one.sources & slices) > 0.5 * len(one.sources)]
    return min(mine, key=lambda one: (one.automatic, -len(set(one.meanings.values())), str(one.path)), default=None)


def _geometry(shape: tuple[int, ...], affine: NDArray[np.float64]) -> Geometry:
    """Our grid from highdicom's affine, which maps (slice, row, column) to LPS."""
    ras = _LPS_TO_RAS @ affine
    ours = np.eye(4)
    ours[:3, :3] = ras[:3, 2::-1]
    ours[:3, 3] = ras[:3, 3]
    return Geometry((int(shape[0]), int(shape[1]), int(shape[2])), ours)


def _open(path: Path) -> Any:
    try:
        import highdicom
    except ImportError as error:
        raise DependencyError(
            what="Reading DICOM segmentations needs the packages of the extra `import`",
            given=str(error),
            remedy='Install them: pip install "mewm[import]"',
        ) from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return highdicom.seg.segread(str(path))
    except Exception as error:  # pydicom and highdicom raise many kinds
        raise UnreadableFileError(
            what="The DICOM segmentation is damaged or of a kind that highdicom does not read",
            given=f"{path} ({type(error).__name__})",
        ) from error
