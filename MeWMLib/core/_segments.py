"""From the values and segments of a segmentation to 0 background, 1 liver, 2 tumour.

Private to `core/io.py` and to the reader of DICOM SEG, which asks and answers in the same words.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MeWMLib.core.errors import LabelError
from MeWMLib.core.structures import BY_LABEL, meaning_of_entry
from MeWMLib.core.volume import BACKGROUND, LIVER, TUMOUR, LabelMap

#: What may follow the "=" of a label value.
_NAMES = {
    **{str(value): value for value in (BACKGROUND, *BY_LABEL)},
    **{structure.name: value for value, structure in BY_LABEL.items()},
    "background": BACKGROUND,
    "tumor": TUMOUR,
}
#: Highest label of most files.
_FEW = 9
_WORDS = ("background", *(structure.name for structure in BY_LABEL.values()))
_EXAMPLE = '--label-values "1=liver,2=tumour,3=liver,4=background"'
#: Label of a value in the file, or of the name of a segment (in lower case).
Values = Mapping[int | str, int]


def parse_label_values(text: str) -> dict[int | str, int]:
    """Read "1=liver,2=tumour" into {1: 1, 2: 2}, and "Lesions=tumour" into {"lesions": 2}.

    Raises:
        LabelError: a part is not NUMBER=MEANING or NAME=MEANING, or something is named twice.
    """
    values: dict[int | str, int] = {}
    for part in text.split(","):
        key, _, meaning = (p.strip().lower() for p in part.rpartition("="))
        if (
            not re.search(r"\w", key)
            or re.match(r"[+-]?\d+(\.\d+)?\Z", key)
            and not key.isdecimal()
            or meaning not in _NAMES
        ):
            raise LabelError(
                what="The label values cannot be read",
                given=repr(text),
                remedy="Write NUMBER=liver, NUMBER=tumour or NUMBER=background, or the name of a segment in place of "
                f"the number, such as {_EXAMPLE} or --label-values "
                '"kidney_tumor_left=background,Lesions=tumour"',
            )
        number = int(key) if key.isdecimal() else key
        if number in values:
            raise LabelError(what="A label value is named twice", given=repr(text), remedy="Name each value once")
        values[number] = _NAMES[meaning]
    return values


def map_values(array: NDArray[Any], values: Values | None) -> NDArray[np.uint8]:
    """Map the values of a file; 0 is background, and without `values` 1 is liver and 2 is tumour.

    Args:
        array: (K, J, I) as read.
        values: value in the file to label; every value that occurs must be named.

    Raises:
        LabelError: a value that is not named, or not a whole number; a name, where the file holds no names.
    """
    named = [key for key in values or () if isinstance(key, str)]
    if named:
        raise LabelError(
            what="Segments are named, but the file holds numbers only",
            given=", ".join(named[:12]),
            remedy=f"Name the numbers instead, for example {_EXAMPLE}",
        )
    mapping: dict[int | str, int] = {0: BACKGROUND}
    mapping |= values if values is not None else {LIVER: LIVER, TUMOUR: TUMOUR}
    found = _values(array)
    unknown = [v for v in found if v not in mapping]
    if unknown:
        raise _not_labels(found, unknown)
    if array.dtype == np.uint8 and all(mapping[value] == value for value in found):
        return array
    labels = np.zeros(array.shape, dtype=np.uint8)
    for value in found:
        if mapping[value] not in (BACKGROUND, LIVER, TUMOUR):
            raise LabelError(
                what="A label value must mean 0, 1 or 2", given=f"{value}={mapping[value]}", remedy=f"Use {_EXAMPLE}"
            )
        if mapping[value]:
            for target, plane in zip(labels, array, strict=True):  # slice by slice, as below
                target[plane == value] = mapping[value]
    return labels


def _values(array: NDArray[Any]) -> list[Any]:
    """Values that occur, in ascending order; slice by slice, since sorting a whole volume takes its memory again."""
    if array.dtype != np.uint8:
        found: list[Any] = np.unique(array).tolist()
        return found
    highest = int(array.max(initial=0))
    if highest <= _FEW:  # most files: found out by comparing, which is much faster than counting
        return [value for value in range(highest + 1) if any((plane == value).any() for plane in array)]
    counts = np.zeros(256, np.int64)
    for plane in array:
        counts += np.bincount(plane.reshape(-1), minlength=256)
    found = np.flatnonzero(counts).tolist()
    return found


def _not_labels(found: list[Any], unknown: list[Any]) -> LabelError:
    """What to say of values that are not known: name them, or, where they are no labels, give others."""
    given = "values " + ", ".join(f"{v:g}" for v in found[:12]) + (" ..." if len(found) > 12 else "")
    if not all(float(v).is_integer() for v in unknown[:1000]):  # neither are NaN and infinity
        return LabelError(
            what="The file holds fractions, not labels"
            if all(math.isfinite(v) for v in found)
            else "The labels hold values that are no numbers (NaN or infinity)",
            given=given,
            remedy="Give labels: whole numbers, 0 where there is neither liver nor tumour; not probabilities, and not "
            "labels that were interpolated",
        )
    if any(v < 0 for v in unknown):
        remedy = "Write 0 for background, and numbers from 1 on for everything else"
    else:
        # no guess of liver or tumour: it would be copied
        option = ",".join(f"{v:g}=?" for v in found[:12] if v)
        remedy = (
            f'Say what each value is with --label-values "{option}": liver, tumour or background in place of each ?'
        )
    return LabelError(what="The labels hold values that are neither liver nor tumour", given=given, remedy=remedy)


@dataclass(frozen=True)
class Merged:
    """Labels made of segments.

    Attributes:
        labels: (K, J, I) with 0 background, 1 liver, 2 tumour; the layer itself where its values are these already.
        notes: what was left out because it is surely something else; sentences without a full stop.
    """

    labels: NDArray[np.uint8]
    notes: tuple[str, ...] = ()


def merge_segments(layers: list[NDArray[Any]], metadata: Mapping[str, str], values: Values | None) -> Merged:
    """Merge the segments of a Slicer segmentation; where segments overlap, tumour wins over liver.

    A segment is known by its terminology and its name; other organs are left out with a note. One that holds no voxel
    needs no meaning.

    Args:
        layers: each (K, J, I); `SegmentN_Layer` says which one a segment is in.
        metadata: header keys of the `.seg.nrrd` file.
        values: what some or all of the segments are, by name or number. A number is `SegmentN_LabelValue`; in a file
            with several layers, where these values repeat, the place of the segment in the list, from 1.

    Raises:
        LabelError: it is not sure what a segment is, none is liver or tumour, the header lacks a value, two segments
            of different meaning share one, or voxels belong to no segment.
    """
    numbers = sorted({int(m[1]) for key in metadata if (m := re.match(r"Segment(\d+)_", key))})
    if not numbers:
        return Merged(map_values(layers[0], values))
    several = len(layers) > 1
    found = [frozenset(_values(layer)) - {0} for layer in layers]
    segments = [_segment(metadata, number, place, several) for place, number in enumerate(numbers, start=1)]
    for one in segments:
        if not 0 <= one.layer < len(layers):
            raise LabelError(what="A segment is in a layer that does not exist", given=f"{one.name}, layer {one.layer}")
    segments = answered(segments, values or {})
    _require_all_named(segments, found)
    drawn = [one for one in segments if one.value in found[one.layer]]
    require_sure(segments, drawn)
    if len(layers) == 1 and layers[0].dtype == np.uint8 and all(one.meaning == one.value for one in drawn):
        return Merged(layers[0], left_out(drawn))
    labels = np.zeros(layers[0].shape, dtype=np.uint8)
    for one in drawn:
        if one.meaning:
            # slice by slice: a mask of the whole would take as much memory as the labels
            for target, layer in zip(labels, layers[one.layer], strict=True):
                mask = layer == one.value
                target[mask] = np.maximum(target[mask], np.uint8(one.meaning))
    return Merged(labels, left_out(drawn))


@dataclass(frozen=True)
class Segment:
    """One segment: the number that people call it by, its value in its layer, and what it means (None: not sure)."""

    key: int
    value: int
    layer: int
    name: str
    meaning: int | None
    why: str = ""

    @property
    def shown(self) -> str:
        """Name, number, and what is not sure."""
        return f"{self.name} (number {self.key}{f'; {self.why}' if self.why else ''})"


def _segment(metadata: Mapping[str, str], number: int, place: int, several: bool) -> Segment:
    try:
        value = int(metadata.get(f"Segment{number}_LabelValue", "1" if several else ""))
        layer = int(metadata.get(f"Segment{number}_Layer", "0"))
    except ValueError:
        raise LabelError(
            what="A segment has no label value", given=f"segment {number}", remedy="Save it again in Slicer"
        ) from None
    name = metadata.get(f"Segment{number}_Name", f"Segment {place}")
    entry = re.search(r"TerminologyEntry:([^|]*)", metadata.get(f"Segment{number}_Tags", ""))
    meaning = meaning_of_entry(name, entry[1] if entry else "")
    return Segment(place if several else value, value, layer, name, meaning.label, meaning.why)


def answered(segments: list[Segment], values: Values) -> list[Segment]:
    """The segments with the meanings that somebody gave.

    Raises:
        LabelError: a name that no segment has.
    """
    names = {one.name.strip().lower() for one in segments}
    wrong = [key for key in values if isinstance(key, str) and key not in names]
    if wrong:
        raise LabelError(
            what="No segment has this name",
            given=", ".join(wrong[:12]),
            remedy="The segments are called " + ", ".join(one.name for one in segments),
        )
    found = []
    for one in segments:
        given = values.get(one.name.strip().lower(), values.get(one.key))
        found.append(one if given is None else replace(one, meaning=given, why=""))
    return found


def require_sure(segments: list[Segment], drawn: list[Segment]) -> None:
    """Ask what a segment is, unless it is sure; one that holds no voxel is not asked for.

    Raises:
        LabelError: it is not sure what a drawn segment is, or none is liver or tumour.
    """
    unsure = [one for one in drawn if one.meaning is None]
    if unsure:
        raise _question(unsure)
    if not any(one.meaning for one in segments):
        raise LabelError(
            what="No segment is liver or tumour",
            given="; ".join(one.shown for one in segments),
            remedy=f"Say which one is, for example {_option(segments)}",
        )


def left_out(drawn: list[Segment]) -> tuple[str, ...]:
    """A sentence on segments that are surely something else; none if there are none."""
    names = [f"{one.name} ({one.why})" for one in drawn if one.meaning == BACKGROUND and one.why]
    return (f"Left out as neither liver nor tumour: {', '.join(names)}",) if names else ()


def _require_all_named(segments: list[Segment], found: list[frozenset[Any]]) -> None:
    """Every voxel belongs to one segment, and segments that share a value mean the same."""
    meanings: dict[tuple[int, int], Segment] = {}
    for one in segments:
        first = meanings.setdefault((one.layer, one.value), one)
        if first.meaning != one.meaning and one.value in found[one.layer]:
            raise LabelError(
                what="Two segments of different meaning share one label value",
                given=f"{first.name} and {one.name}, value {one.value}",
                remedy="Save the segmentation again in Slicer",
            )
    strange = sorted(v for n, values in enumerate(found) for v in values if (n, v) not in meanings)
    if strange:
        raise LabelError(
            what="Voxels of the segmentation belong to no segment",
            given="values " + ", ".join(f"{v:g}" for v in strange[:12]),
            remedy="Open the segmentation in Slicer and save it again",
        )


def _question(unsure: list[Segment]) -> LabelError:
    return LabelError(
        what="It is not sure what a segment is: liver, tumour or neither"
        if len(unsure) == 1
        else "It is not sure what these segments are: liver, tumour or neither",
        given="; ".join(one.shown for one in unsure),
        remedy=f"Say what each is, for example {_option(unsure)}, or rename them",
    )


def _option(segments: list[Segment]) -> str:
    """The option that names segments, with a guess that nobody relies on."""
    keys = [one.key if re.search(r'[,="]', one.name) or not one.name.strip() else one.name for one in segments]
    return '--label-values "' + ",".join(f"{key}={_WORDS[BACKGROUND]}" for key in keys) + '"'


def require_liver(labels: NDArray[np.uint8], given: str) -> None:
    """Refuse a tumour without a liver: its volume would be taken for that of the liver.

    Raises:
        LabelError: there is tumour, and no voxel of liver.
    """
    if TUMOUR in labels and LIVER not in labels:
        raise LabelError(
            what="The labels hold tumour, but no liver",
            given=given,
            remedy="Give labels of both; where a file for each structure was written, join them in one segmentation. "
            "The command mewm plan takes the liver from the segmenter and says so",
        )


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
        mask, entry = labels.array == value, structure.terminology
        keys |= segment_keys(number, structure.title, structure.colour, value, 0, mask, entry)
    return keys


def segment_keys(
    number: int,
    name: str,
    colour: tuple[float, float, float],
    value: int,
    layer: int,
    mask: NDArray[np.bool_],
    terminology: str,
) -> dict[str, str]:
    """Header keys of one segment, whose voxels are `mask` (K, J, I)."""
    extent = []
    for axis in (2, 1, 0):  # i, j, k
        along = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        extent += [int(along[0]), int(along[-1])] if along.size else [0, -1]
    segment = f"Segment{number}_"
    return {
        segment + "ID": name,
        segment + "Name": name,
        segment + "NameAutoGenerated": "0",
        segment + "Color": " ".join(f"{part:g}" for part in colour),
        segment + "ColorAutoGenerated": "0",
        segment + "LabelValue": str(value),
        segment + "Layer": str(layer),
        segment + "Extent": " ".join(map(str, extent)),
        segment + "Tags": f"Segmentation.Status:completed|TerminologyEntry:{terminology}|",
    }
