"""Labels as DICOM SEG: liver and each lesion by itself, and in another object what a simulated lesion consists of.

Segments are BINARY by default, in which tumour inside of the liver belongs to both. LABELMAP, which newer tools want,
is an option: Debian's Orthanc refuses it by C-STORE, and one of them ends a C-GET of its whole study. A lesion has one
tracking UID in all objects of an export, so that it is known again after treatment.
"""
# mypy: allow-untyped-calls

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import MeWMLib
from MeWMLib.core.dicom.packages import package
from MeWMLib.core.structures import LIVER_STRUCTURE, TUMOUR_STRUCTURE
from MeWMLib.exchange import codes
from MeWMLib.exchange.attributes import DEIDENTIFIED, reference, short_text
from MeWMLib.exchange.fingerprint import MANUFACTURER, sign
from MeWMLib.exchange.frames import Packed, frames_of
from MeWMLib.exchange.study import Study

BINARY, LABELMAP = "BINARY", "LABELMAP"
MODEL_OF_SEGMENTS = "MeWM segmentation"
Mask = NDArray[np.bool_]
Colour = tuple[float, float, float]
_COLOURS: Mapping[codes.Code, Colour] = {
    codes.LIVER: LIVER_STRUCTURE.colour,
    codes.TUMOUR: TUMOUR_STRUCTURE.colour,
    codes.VIABLE: (0.9, 0.2, 0.2),
    codes.NECROSIS: (0.35, 0.35, 0.4),
    codes.LIPIODOL: (1.0, 0.95, 0.6),
}
_CATEGORIES = {
    codes.LIVER: codes.ORGAN, codes.LIPIODOL: codes.SUBSTANCE,
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Segment:
    """One segment.

    Attributes:
        label: its name.
        kind: what it is.
        mask: where it is, (K, J, I) of a part of the grid.
        start: first voxel of that part (k, j, i).
        tracking: id and UID by which it is known in other objects.
    """

    label: str
    kind: codes.Code
    mask: Mask
    start: tuple[int, int, int] = (0, 0, 0)
    tracking: tuple[str, str] | None = None

    @property
    def slices(self) -> tuple[int, int]:
        """The first slice that shows it, and the one behind the last."""
        found = np.flatnonzero(self.mask.any(axis=(1, 2))) + self.start[0]
        return int(found[0]), int(found[-1]) + 1


@dataclass(frozen=True)
class Drawn:
    """How the outlines were drawn: "AUTOMATIC", "SEMIAUTOMATIC" or "MANUAL", and by which bundle."""

    algorithm: str
    bundle: str = ""
    sha256: str = ""


def write_segmentation(
    path: Path,
    study: Study,
    images: Sequence[Any],
    segments: Sequence[Segment],
    *,
    number: int,
    title: str,
    drawn: Drawn,
    kind: str = BINARY,
) -> tuple[str, str, tuple[str, ...]]:
    """Write a DICOM SEG; segments without a voxel are left out, since no frame could show them.

    Args:
        path: the file.
        study: its patient, study and grid.
        images: the slices that it was drawn on, from `study.light_images`.
        segments: on the grid of the study.
        number: SeriesNumber.
        title: description of the series.
        drawn: by whom.
        kind: `BINARY` or `LABELMAP`, in which the later of two overlapping segments wins.

    Returns:
        Its SOP class, its SOPInstanceUID, and the labels of its segments in the order of their numbers.
    """
    hd = package("highdicom")
    shown = [one for one in segments if one.mask.any()]
    described = [_description(n, one, drawn) for n, one in enumerate(shown, start=1)]
    # a voxel for each slice says which frames there are; those without a segment are not written
    first, last = min(one.slices[0] for one in shown), max(one.slices[1] for one in shown)
    there = np.zeros((last - first, 1, 1, len(shown)), np.uint8)
    for n, one in enumerate(shown):
        found = np.flatnonzero(one.mask.any(axis=(1, 2))) + one.start[0]
        there[found - first, 0, 0, n] = 1
    if kind == LABELMAP:
        there = np.asarray(there.any(axis=-1), np.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # names and dates of the study that are not quite what the standard asks for
        seg = hd.seg.Segmentation(
            list(images[first:last]), there, kind, described, hd.UID(), number, hd.UID(), 1,
            MANUFACTURER, MODEL_OF_SEGMENTS, MeWMLib.__version__, "0",
            content_label="MEWM", content_description=short_text(title), series_description=short_text(title),
        )  # fmt: skip
    seg.Rows, seg.Columns = study.geometry.shape[1:]
    seg.PixelData = _pixels(seg, images, shown, study.geometry.shape[1:], kind)
    finish(seg, study, f"Drawn by bundle {drawn.bundle}, sha256 {drawn.sha256}" if drawn.sha256 else "")
    seg.save_as(path)
    return str(seg.SOPClassUID), str(seg.SOPInstanceUID), tuple(one.label for one in shown)


def _pixels(seg: Any, images: Sequence[Any], shown: Sequence[Segment], shape: tuple[int, int], kind: str) -> bytes:
    """Pixels of the frames that an object lists, in their order."""
    plane = np.zeros(shape, np.uint8)
    packed = Packed()
    for n, number in frames_of(seg, images):
        plane[...] = 0
        for place, one in enumerate(shown, start=1):
            k, j, i = one.start
            if number in (None, place) and 0 <= n - k < len(one.mask):
                part = one.mask[n - k]
                plane[j : j + part.shape[0], i : i + part.shape[1]][part] = place if number is None else 1
        packed.add(plane, bits=kind == BINARY)
    return packed.whole()


def _description(number: int, one: Segment, drawn: Drawn) -> Any:
    hd = package("highdicom")
    method = None
    if drawn.algorithm != "MANUAL":
        method = hd.AlgorithmIdentificationSequence(
            drawn.bundle or MODEL_OF_SEGMENTS, concept(codes.AI), MeWMLib.__version__, "MeWM",
            {"bundle_sha256": drawn.sha256} if drawn.sha256 else None,
        )  # fmt: skip
    tracking_id, tracking_uid = one.tracking or (None, None)
    return hd.seg.SegmentDescription(
        number, one.label, concept(_CATEGORIES.get(one.kind, codes.MORPHOLOGY)), concept(one.kind), drawn.algorithm,
        method, tracking_uid, tracking_id, None if one.kind == codes.LIVER else [concept(codes.LIVER)],
        display_color=hd.color.CIELabColor.from_rgb(*(round(255 * v) for v in _COLOURS[one.kind])),
    )  # fmt: skip


def concept(code: codes.Code) -> Any:
    """A code as highdicom wants it."""
    return package("highdicom").sr.CodedConcept(code.value, code.scheme, code.meaning)


def finish(data: Any, study: Study, said: str = "", pixels: Iterable[Any] = ()) -> None:
    """What every object of highdicom needs before it is written: a preamble, and references to frames.

    A dataset that was made in memory has no preamble, and goes out without one by DICOMweb; the PACS stores it and
    cannot read it back. References to the slices of an enhanced CT are to frames of its file.
    """
    data.preamble = b"\0" * 128
    data.SpecificCharacterSet = "ISO_IR 192"  # without it a name is written in Latin-1 that nobody declares
    for name in ("Content", "Series", "InstanceCreation"):
        if name == "Series" or f"{name}Date" in data:
            setattr(data, f"{name}Date", study.stamp[0])
            setattr(data, f"{name}Time", study.stamp[1])
    for name in DEIDENTIFIED:
        if name in study.header:
            data[name] = study.header[name]
    frames = {frame_name(study, n): n for n, one in enumerate(study.slices) if one.frame is not None}
    if frames:
        _point_at_frames(data, study, frames)
    sign(data, said, pixels)


def frame_name(study: Study, n: int) -> str:
    """A SOPInstanceUID that stands for slice n while an object is built: its file's, or one of its own for a frame."""
    one = study.slices[n]
    if one.frame is None:
        return one.sop
    uid: str = package("pydicom").uid.generate_uid(entropy_srcs=[one.sop, str(one.frame)])
    return uid


def _point_at_frames(data: Any, study: Study, frames: Mapping[str, int]) -> None:
    """Replace references to stand-ins by those to frames of the file."""
    for element in data:
        if element.VR != "SQ":
            continue
        kept, seen = [], set()
        for item in element.value:
            sop = str(item.get("ReferencedSOPInstanceUID", ""))
            if sop not in frames:
                _point_at_frames(item, study, frames)
                kept.append(item)
                continue
            one = study.slices[frames[sop]]
            whole = element.keyword == "ReferencedInstanceSequence" or element.keyword == "ReferencedSOPSequence"
            if whole and one.sop in seen:
                continue  # a list of instances names a file once
            seen.add(one.sop)
            item.update(reference(one.sop_class, one.sop, None if whole else one.frame))
            kept.append(item)
        element.value = package("pydicom").Sequence(kept)
