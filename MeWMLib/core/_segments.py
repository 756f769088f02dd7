"""From the values of a segmentation file to 0 background, 1 liver, 2 tumour. Private to `core/io.py`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MeWMLib.core.errors import LabelError
from MeWMLib.core.structures import BY_LABEL, structure_of
from MeWMLib.core.volume import BACKGROUND, LIVER, TUMOUR, LabelMap

#: What may follow the "=" of a label value.
_NAMES = {
    **{str(value): value for value in (BACKGROUND, *BY_LABEL)},
    **{structure.name: value for value, structure in BY_LABEL.items()},
    "background": BACKGROUND,
    "tumor": TUMOUR,
}
_EXAMPLE = '--label-values "1=liver,2=tumour,3=liver,4=background"'


def parse_label_values(text: str) -> dict[int, int]:
    """Read "1=liver,2=tumour,3=liver,4=background" into {1: 1, 2: 2, 3: 1, 4: 0}.

    Raises:
        LabelError: a part is not NUMBER=NAME, or a number is named twice.
    """
    values: dict[int, int] = {}
    for part in text.split(","):
        number, _, name = (p.strip().lower() for p in part.partition("="))
        if not number.isdecimal() or name not in _NAMES:
            raise LabelError(
                what="The label values cannot be read",
                given=repr(text),
                remedy=f"Write NUMBER=liver, NUMBER=tumour or NUMBER=background, such as {_EXAMPLE}",
            )
        if int(number) in values:
            raise LabelError(what="A label value is named twice", given=repr(text), remedy="Name each value once")
        values[int(number)] = _NAMES[name]
    return values


def map_values(array: NDArray[Any], values: Mapping[int, int] | None) -> NDArray[np.uint8]:
    """Map the values of a file; 0 is background, and without `values` 1 is liver and 2 is tumour.

    Args:
        array: (K, J, I) as read.
        values: value in the file to label; every value that occurs must be named.

    Raises:
        LabelError: a value that is not named, or not a whole number.
    """
    mapping = {0: BACKGROUND, **(values if values is not None else {LIVER: LIVER, TUMOUR: TUMOUR})}
    found = np.unique(array)
    unknown = [v for v in found.tolist() if v not in mapping]
    if unknown:
        shown = ", ".join(f"{v:g}" for v in found[:12].tolist()) + (" ..." if found.size > 12 else "")
        raise LabelError(
            what="The labels hold values that are neither liver nor tumour"
            if all(float(v).is_integer() for v in unknown[:1000])
            else "The file holds fractions, not labels",
            given=f"values {shown}",
            remedy=f"Say what each value is, for example {_EXAMPLE}",
        )
    labels = np.zeros(array.shape, dtype=np.uint8)
    for value in found.tolist():
        if mapping[value] not in (BACKGROUND, LIVER, TUMOUR):
            raise LabelError(
                what="A label value must mean 0, 1 or 2", given=f"{value}={mapping[value]}", remedy=f"Use {_EXAMPLE}"
            )
        if mapping[value]:
            labels[array == value] = mapping[value]
    return labels


def merge_segments(
    layers: list[NDArray[Any]], metadata: Mapping[str, str], values: Mapping[int, int] | None
) -> NDArray[np.uint8]:
    """Merge the segments of a Slicer segmentation; where segments overlap, tumour wins over liver.

    Args:
        layers: each (K, J, I); `SegmentN_Layer` says which one a segment is in.
        metadata: header keys of the `.seg.nrrd` file.
        values: overrides the names. It speaks of `SegmentN_LabelValue`; in a file with several layers, where these
            values repeat, of the place of the segment in the list, from 1.

    Raises:
        LabelError: a segment whose name says neither liver nor tumour, or the header lacks its value.
    """
    numbers = sorted({int(m[1]) for key in metadata if (m := re.match(r"Segment(\d+)_", key))})
    if not numbers:
        return map_values(layers[0], values)
    several = len(layers) > 1
    segments = [_segment(metadata, number, place, several) for place, number in enumerate(numbers, start=1)]
    for one in segments:
        if not 0 <= one.layer < len(layers):
            raise LabelError(what="A segment is in a layer that does not exist", given=f"{one.name}, layer {one.layer}")
    if values is None:
        values = {one.key: one.meaning for one in segments if one.meaning is not None}
    unknown = [one for one in segments if one.key not in values]
    if unknown:
        names = ("background", *(structure.name for structure in BY_LABEL.values()))
        guess = ",".join(f"{one.key}={names[one.meaning or BACKGROUND]}" for one in segments)
        raise LabelError(
            what="Segments are neither liver nor tumour by their names",
            given="; ".join(f"{one.name} (number {one.key})" for one in unknown[:12]),
            remedy=f'Rename them, or say what each is, for example --label-values "{guess}"',
        )
    labels = np.zeros(layers[0].shape, dtype=np.uint8)
    for one in segments:
        drawn = np.where(layers[one.layer] == one.value, np.uint8(values[one.key]), np.uint8(BACKGROUND))
        np.maximum(labels, drawn, out=labels)
    return labels


@dataclass(frozen=True)
class _Segment:
    """One segment: the number that people call it by, its value in its layer, and what its name means."""

    key: int
    value: int
    layer: int
    name: str
    meaning: int | None


def _segment(metadata: Mapping[str, str], number: int, place: int, several: bool) -> _Segment:
    try:
        value = int(metadata.get(f"Segment{number}_LabelValue", "1" if several else ""))
        layer = int(metadata.get(f"Segment{number}_Layer", "0"))
    except ValueError:
        raise LabelError(
            what="A segment has no label value", given=f"segment {number}", remedy="Save it again in Slicer"
        ) from None
    name = metadata.get(f"Segment{number}_Name", f"Segment {place}")
    structure = structure_of(name)
    return _Segment(place if several else value, value, layer, name, structure.label if structure else None)


def segment_metadata(labels: LabelMap) -> dict[str, str]:
    """Header keys with which 3D Slicer opens a label map as a segmentation of liver and tumour."""
    k, j, i = labels.geometry.shape
    matrix = "".join(f"{v:.17g};" for v in labels.geometry.affine.ravel())
    keys = {
        "Segmentation_ContainedRepresentationNames": "Binary labelmap|",
        # without the reference geometry Slicer warns as soon as the segmentation is edited or saved
        "Segmentation_ConversionParameters": f"Reference image geometry|{matrix}0;{i - 1};0;{j - 1};0;{k - 1};|"
        "Image geometry description string determining the geometry of the labelmap that is created in course of "
        "conversion. Can be copied from a volume, using the button.&",
        "Segmentation_MasterRepresentation": "Binary labelmap",
        "Segmentation_ReferenceImageExtentOffset": "0 0 0",
    }
    for number, (value, structure) in enumerate(BY_LABEL.items()):
        mask = labels.array == value
        extent = []
        for axis in (2, 1, 0):  # i, j, k
            along = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
            extent += [int(along[0]), int(along[-1])] if along.size else [0, -1]
        segment = f"Segment{number}_"
        keys |= {
            segment + "ID": structure.title,
            segment + "Name": structure.title,
            segment + "NameAutoGenerated": "0",
            segment + "Color": " ".join(f"{part:g}" for part in structure.colour),
            segment + "ColorAutoGenerated": "0",
            segment + "LabelValue": str(value),
            segment + "Layer": "0",
            segment + "Extent": " ".join(map(str, extent)),
            segment + "Tags": f"Segmentation.Status:completed|TerminologyEntry:{structure.terminology}|",
        }
    return keys
