"""From the values of a segmentation file to 0 background, 1 liver, 2 tumour. Private to `core/io.py`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MeWMLib.core.errors import LabelError
from MeWMLib.core.volume import BACKGROUND, LIVER, TUMOUR, LabelMap

_NAMES = {"background": BACKGROUND, "liver": LIVER, "tumour": TUMOUR, "tumor": TUMOUR}
_TUMOUR_LIKE = re.compile(r"tumou?r|lesion|\bhcc|\bmass|metasta|neoplas|carcinoma|cancer|nodule", re.IGNORECASE)
_LIVER_LIKE = re.compile(r"liver|hepatic parenchyma|\bhepar\b|\bfoie\b|\bleber\b", re.IGNORECASE)
_EXAMPLE = '--label-values "1=liver,2=tumour,3=liver,4=background"'

#: Colour (as Slicer's general anatomy list has it) and terminology of the two segments that MeWM writes.
_CONTEXT = "Segmentation category and type - 3D Slicer General Anatomy list"
_REGION = "Anatomic codes - DICOM master list"
SEGMENTS = (
    (
        LIVER,
        "Liver",
        "0.866667 0.509804 0.396078",
        f"{_CONTEXT}~SCT^123037004^Anatomical Structure~SCT^10200004^Liver~^^~{_REGION}~^^~^^",
    ),
    (
        TUMOUR,
        "Tumour",
        "0.564706 0.933333 0.564706",
        f"{_CONTEXT}~SCT^49755003^Morphologically Altered Structure~SCT^4147007^Mass~^^"
        f"~{_REGION}~SCT^10200004^Liver~^^",
    ),
)


def parse_label_values(text: str) -> dict[int, int]:
    """Read "1=liver,2=tumour,3=liver,4=background" into {1: 1, 2: 2, 3: 1, 4: 0}.

    Raises:
        LabelError: a part is not NUMBER=NAME, or a number stands twice.
    """
    values: dict[int, int] = {}
    for part in text.split(","):
        number, _, name = (p.strip().lower() for p in part.partition("="))
        if not number.isdecimal() or (name not in _NAMES and name not in ("0", "1", "2")):
            raise LabelError(
                what="The label values cannot be read",
                given=repr(text),
                remedy=f"Write NUMBER=liver, NUMBER=tumour or NUMBER=background, such as {_EXAMPLE}",
            )
        if int(number) in values:
            raise LabelError(what="A label value is named twice", given=repr(text), remedy="Name each value once")
        values[int(number)] = _NAMES[name] if name in _NAMES else int(name)
    return values


def map_values(array: NDArray[Any], values: Mapping[int, int] | None) -> NDArray[np.uint8]:
    """Map the values of a file; 0 is background, and without `values` 1 is liver and 2 is tumour.

    Args:
        array: (K, J, I) as read.
        values: value in the file to label; every value that occurs must be named.

    Raises:
        LabelError: a value that is not named, or no whole number.
    """
    mapping = {0: BACKGROUND, **(values if values is not None else {LIVER: LIVER, TUMOUR: TUMOUR})}
    found = np.unique(array)
    unknown = [v for v in found.tolist() if v not in mapping]
    if unknown:
        shown = ", ".join(f"{v:g}" for v in found[:12].tolist()) + (" ..." if found.size > 12 else "")
        raise LabelError(
            what="The labels hold values that are neither liver nor tumour"
            if all(float(v).is_integer() for v in unknown[:1000])
            else "The file holds no labels but broken numbers",
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
        layers: each (K, J, I); `SegmentN_Layer` says in which one a segment lies.
        metadata: header keys of the `.seg.nrrd` file.
        values: overrides the names. It speaks of `SegmentN_LabelValue`; in a file with several layers, where these
            values repeat, of the segment's place in the list, from 1.

    Raises:
        LabelError: a segment whose name says neither liver nor tumour, or the header lacks its value.
    """
    numbers = sorted({int(m[1]) for key in metadata if (m := re.match(r"Segment(\d+)_", key))})
    if not numbers:
        return map_values(layers[0], values)
    segments: list[tuple[int, int, str, int]] = []
    for place, number in enumerate(numbers, start=1):
        try:
            value = int(metadata.get(f"Segment{number}_LabelValue", "1" if len(layers) > 1 else ""))
            layer = int(metadata.get(f"Segment{number}_Layer", "0"))
        except ValueError:
            raise LabelError(
                what="A segment has no label value", given=f"segment {number}", remedy="Save it again in Slicer"
            ) from None
        if not 0 <= layer < len(layers):
            raise LabelError(
                what="A segment lies in a layer that is not there", given=f"segment {number}, layer {layer}"
            )
        name = metadata.get(f"Segment{number}_Name", f"Segment {place}")
        segments.append((place if len(layers) > 1 else value, value, name, layer))
    if values is not None:
        meaning = dict(values)
    else:
        meaning = {key: known for key, _, name, _ in segments if (known := _meaning(name)) is not None}
    unknown = [(key, name) for key, _, name, _ in segments if key not in meaning]
    if unknown:
        guess = ",".join(
            f"{key}={'background liver tumour'.split()[_meaning(name) or 0]}" for key, _, name, _ in segments
        )
        raise LabelError(
            what="Segments are neither liver nor tumour by their names",
            given="; ".join(f"{name} (number {key})" for key, name in unknown[:12]),
            remedy=f'Rename them, or say what each is, for example --label-values "{guess}"',
        )
    labels = np.zeros(layers[0].shape, dtype=np.uint8)
    for key, value, _, layer in segments:
        np.maximum(labels, np.where(layers[layer] == value, np.uint8(meaning[key]), np.uint8(0)), out=labels)
    return labels


def _meaning(name: str) -> int | None:
    if _TUMOUR_LIKE.search(name):
        return TUMOUR
    return LIVER if _LIVER_LIKE.search(name) else None


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
    for number, (value, name, colour, terminology) in enumerate(SEGMENTS):
        mask = labels.array == value
        extent = []
        for axis in (2, 1, 0):  # i, j, k
            along = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
            extent += [int(along[0]), int(along[-1])] if along.size else [0, -1]
        segment = f"Segment{number}_"
        keys |= {
            segment + "ID": name,
            segment + "Name": name,
            segment + "NameAutoGenerated": "0",
            segment + "Color": colour,
            segment + "ColorAutoGenerated": "0",
            segment + "LabelValue": str(value),
            segment + "Layer": "0",
            segment + "Extent": " ".join(map(str, extent)),
            segment + "Tags": f"Segmentation.Status:completed|TerminologyEntry:{terminology}|",
        }
    return keys
