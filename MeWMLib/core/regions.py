"""Regions of the liver that somebody drew: the region that is fed, and Couinaud's segments, on the grid of a CT.

Unlike liver and tumour (`io.read_labels`) they are known by the names of their segments alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MeWMLib.core.errors import GeometryMismatchError, LabelError, NotCTError, TerritoryError
from MeWMLib.core.grids import placed_on, turned_like
from MeWMLib.core.image_files import read_image_file
from MeWMLib.core.io import write_values
from MeWMLib.core.territory import SEGMENTS, Territory, expand, in_words
from MeWMLib.core.volume import Geometry

Mask = NDArray[np.bool_]
_NUMBER = re.compile(r"[^\W_]+")
_SAVE = "Save it as .seg.nrrd, .nrrd or .nii.gz on the grid of the CT (in 3D Slicer: Segmentations, Export)"


@dataclass(frozen=True, eq=False)
class Drawn:
    """One segment of a file: its name ("" where the file has none), its value, and its voxels (K, J, I)."""

    name: str
    value: int
    mask: Mask

    @property
    def shown(self) -> str:
        """Name, or value where there is no name."""
        return self.name or f"value {self.value}"


def read_drawn(path: Path, reference: Geometry) -> tuple[Drawn, ...]:
    """Every segment of a label file, on the grid of a CT.

    Args:
        path: `.seg.nrrd`, NRRD, NIfTI or MetaImage.
        reference: grid of the CT; a part of it, or another order of its axes, is put into its place.

    Raises:
        UnreadableFileError: missing, cut, damaged or of an unknown format; a DICOM SEG among them.
        GeometryMismatchError: another grid.
        LabelError: fractions or negative values, or a header that does not fit.
    """
    path = Path(path)
    file = read_image_file(path)
    layers = [file.array] if file.array.ndim == 3 else list(np.moveaxis(file.array, -1, 0))
    numbers = sorted({int(m[1]) for key in file.metadata if (m := re.match(r"Segment(\d+)_", key))})
    if len(layers) > 1 and not numbers:
        raise NotCTError(what="The file holds several channels", given=f"{path.name}, {len(layers)}", remedy=_SAVE)
    placed = [_placed(layer, file.geometry, reference, path) for layer in layers]
    if not numbers:
        return tuple(Drawn("", int(value), placed[0] == value) for value in np.unique(placed[0]) if value)
    found = []
    for number in numbers:
        key = f"Segment{number}_"
        try:
            value = int(file.metadata.get(f"{key}LabelValue", "1"))
            layer = placed[int(file.metadata.get(f"{key}Layer", "0"))]
        except (ValueError, IndexError):
            raise LabelError(
                what="A segment has no label value, or a layer that does not exist",
                given=f"{path.name}, segment {number}",
                remedy="Save it again in Slicer",
            ) from None
        found.append(Drawn(file.metadata.get(f"{key}Name", ""), value, layer == value))
    return tuple(found)


def _placed(layer: NDArray[Any], geometry: Geometry, reference: Geometry, path: Path) -> NDArray[Any]:
    values = np.unique(layer)
    if layer.dtype.kind == "f" and not (np.isfinite(values).all() and (values == np.rint(values)).all()):
        raise LabelError(what="The file holds fractions, not labels", given=path.name, remedy=_SAVE)
    if values.size and values[0] < 0:
        raise LabelError(what="The labels hold negative values", given=f"{path.name}, {values[0]:g}", remedy=_SAVE)
    placed = placed_on(layer, geometry, reference)
    if placed is None:
        raise GeometryMismatchError(
            what="The region is not on the grid of the CT",
            given=f"{path.name}, they differ: {reference.differences(turned_like(layer, geometry, reference)[1])}",
            remedy="Draw it on the CT that is given, or resample it to that CT",
        )
    return placed


def read_region(path: Path, reference: Geometry, name: str = "") -> Mask:
    """The region (K, J, I) that somebody painted: everything that is not 0, or the segment of a name.

    Raises:
        LabelError: nothing is painted, or no segment has the name.
        MeWMError: as `read_drawn`.
    """
    drawn = read_drawn(path, reference)
    if name:
        wanted = [one for one in drawn if one.name.strip().casefold() == name.strip().casefold()]
        if not wanted:
            raise LabelError(
                what="No segment of the painted region has this name",
                given=name,
                remedy="The segments are called "
                + (", ".join(one.shown for one in drawn) or "nothing: there are none"),
            )
        drawn = tuple(wanted)
    mask = np.zeros(reference.shape, bool)
    for one in drawn:
        mask |= one.mask
    if not mask.any():
        raise LabelError(
            what="The painted region is empty", given=Path(path).name, remedy="Paint what the artery feeds"
        )
    return mask


def read_segments(path: Path, reference: Geometry) -> NDArray[np.uint8]:
    """Couinaud's segments that somebody drew: 0, or 1 + the place in `SEGMENTS`.

    Names such as "liver_segment_1", "S8", "Segment IVa" are read; what is named otherwise is left out. A file without
    names has the numbers of the segments as its values, 1 to 8. A segment 4 that is not divided is 4a.

    Returns:
        (K, J, I) on the grid of the CT.

    Raises:
        LabelError: no segment of the file is one of Couinaud's, or two overlap.
        MeWMError: as `read_drawn`.
    """
    drawn = read_drawn(path, reference)
    named = [(one, _segment_of(one)) for one in drawn]
    known = [(one, segment) for one, segment in named if segment]
    if not known:
        raise LabelError(
            what="The file holds none of Couinaud's segments",
            given=f"{Path(path).name}: {', '.join(one.shown for one in drawn) or 'nothing'}",
            remedy="Name its segments liver_segment_1 to liver_segment_8 (4a and 4b where they are divided), or use "
            "the values 1 to 8",
        )
    codes = np.zeros(reference.shape, np.uint8)
    for one, segment in known:
        code = 1 + SEGMENTS.index(expand(segment)[0])
        if (codes[one.mask] != 0).any() and (codes[one.mask] != code).any():
            raise LabelError(
                what="Two of Couinaud's segments overlap",
                given=f"{one.shown} and another one",
                remedy="Draw them so that each voxel is in one",
            )
        codes[one.mask] = code
    if not codes.any():
        raise LabelError(what="The segments of the liver are empty", given=Path(path).name, remedy="Draw them")
    return codes


def _segment_of(one: Drawn) -> str:
    """Couinaud's number of a drawn segment: "8", "4a"; "" if it is none."""
    if not one.name:
        return str(one.value) if 1 <= one.value <= 8 else ""
    try:
        found = Territory.parse(" ".join(_NUMBER.findall(one.name)))
    except TerritoryError:
        return ""
    fed = found.segments or frozenset()
    if not found.parts[0].startswith("segment"):
        return ""
    return "4" if fed == {"4a", "4b"} else next(iter(fed)) if len(fed) == 1 else ""


def write_region(mask: Mask, geometry: Geometry, path: Path) -> None:
    """Write a painted region as a label file that `read_region` reads."""
    write_values(mask.astype(np.uint8), geometry, {}, path)


def write_segments(codes: NDArray[np.uint8], geometry: Geometry, path: Path) -> None:
    """Write segments as a label file with names that `read_segments` reads."""
    keys: dict[str, str] = {}
    for n, segment in enumerate(SEGMENTS):
        if (codes == n + 1).any():
            keys |= {f"Segment{n}_Name": in_words([segment]), f"Segment{n}_LabelValue": str(n + 1)}
            keys[f"Segment{n}_Layer"] = "0"
    write_values(codes, geometry, keys, path)
