"""Frames of an enhanced or legacy-converted CT as slice records: what a frame says of itself wins.

Intercept and slope may differ from frame to frame, and frames may lie in the file in any order.
"""
# mypy: allow-untyped-calls

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, NoReturn

from MeWMLib.core.dicom.records import SliceRecord, numbers, upper_parts

_RESCALE = "PixelValueTransformationSequence"


def frame_records(
    groups: dict[Any, Any], common: dict[str, Any], refuse: Callable[[str], NoReturn]
) -> tuple[SliceRecord, ...]:
    """One record for each frame.

    Args:
        groups: shared and per-frame functional groups by tag, as pydicom's reader gives them.
        common: fields of `SliceRecord` that all frames share unless a frame says otherwise.
        refuse: called with one sentence where groups and frames do not agree.
    """
    from pydicom.dataset import Dataset

    data = Dataset(groups)
    each = list(data.get("PerFrameFunctionalGroupsSequence") or ())
    shared = list(data.get("SharedFunctionalGroupsSequence") or ())
    frames = common["layout"].frames
    if len(each) != frames:
        refuse(f"a DICOM file declares {frames} frames but describes {len(each)} of them")
    all_share = shared[0] if shared else None
    if any(one is not None and one.get(_RESCALE) for one in (*each, all_share)):
        # what the file says outside of its groups, where it does not belong, counts only if no group says anything
        common = {**common, "slope": None, "intercept": None, "units": ""}
    return tuple(_record(n, one, all_share, common) for n, one in enumerate(each))


def _record(number: int, own: Any, shared: Any, common: dict[str, Any]) -> SliceRecord:
    def group(name: str) -> Any:
        """The one item of a functional group; None where neither the frame nor all have it."""
        for place in (own, shared):
            found = place.get(name) if place is not None else None
            if found:
                return found[0]
        return None

    measures, content = group("PixelMeasuresSequence"), group("FrameContentSequence")
    value, kind = group(_RESCALE), group("CTImageFrameTypeSequence")
    # what a converter of classic slices found no better place for
    rest = [group(f"Unassigned{name}ConvertedAttributesSequence") for name in ("PerFrame", "Shared")]
    acquisition = _text(content, "FrameAcquisitionNumber") or next(
        (found for one in rest if (found := _text(one, "AcquisitionNumber"))), common["acquisition"]
    )
    return SliceRecord(
        **{
            **common,
            "frame": number,
            "spacing": _numbers(measures, "PixelSpacing", 2),
            "axes": _numbers(group("PlaneOrientationSequence"), "ImageOrientationPatient", 6),
            "position": _numbers(group("PlanePositionSequence"), "ImagePositionPatient", 3),
            **({} if value is None else _rescale(value)),
            "image_type": upper_parts(_text(kind, "FrameType")) if kind else common["file"].image_type,
            "thickness": _number(measures, "SliceThickness") or 0.0,
            "acquisition": acquisition,
            "temporal": _text(content, "TemporalPositionIndex") or common["temporal"],
            "stack": _text(content, "StackID"),
            "kernel": _text(group("CTReconstructionSequence"), "ConvolutionKernel") or common["kernel"],
            "contrast": common["contrast"] or next((t for one in rest if (t := _text(one, "ContrastBolusAgent"))), ""),
            "time": _text(content, "FrameAcquisitionDateTime") or common["time"],
        }
    )


def _rescale(value: Any) -> dict[str, Any]:
    return {
        "slope": _number(value, "RescaleSlope"),
        "intercept": _number(value, "RescaleIntercept"),
        "units": _text(value, "RescaleType"),
    }


def _text(item: Any, name: str) -> str:
    """A value as DICOM writes it; "" for one that is missing or broken."""
    with contextlib.suppress(Exception):  # pydicom raises whatever a broken value makes it raise
        found = item.get(name) if item is not None else None
        if found is not None:
            parts = [found] if isinstance(found, (str, int, float)) else list(found)
            return "\\".join(str(part).strip(" \0") for part in parts)
    return ""


def _numbers(item: Any, name: str, count: int) -> tuple[float, ...]:
    found = numbers(_text(item, name))
    return found if len(found) == count else ()


def _number(item: Any, name: str) -> float | None:
    found = numbers(_text(item, name))
    return found[0] if len(found) == 1 else None
