"""Labels as DICOM SEG: liver and each lesion by itself, and in another object what a simulated lesion consists of.

Segments are BINARY by default, in which tumour inside of the liver belongs to both. LABELMAP, which newer tools want,
is an option: Debian's Orthanc refuses it by C-STORE, and one of them ends a C-GET of its whole study. A lesion has one
tracking UID in all objects of an export, so that it is known again after treatment.
"""
# mypy: allow-untyped-calls

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import MeWMLib
from MeWMLib.core.dicom.packages import package
from MeWMLib.core.structures import LIVER_STRUCTURE, TUMOUR_STRUCTURE
from MeWMLib.exchange import codes
from MeWMLib.exchange.attributes import DEIDENTIFIED, short_text
from MeWMLib.exchange.fingerprint import MANUFACTURER
from MeWMLib.exchange.frames import Frame, MultiFrame, Packed, Pixels, few
from MeWMLib.exchange.images import Images
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
    def slices(self) -> list[int]:
        """Numbers of the slices that show it."""
        found: list[int] = (np.flatnonzero(self.mask.any(axis=(1, 2))) + self.start[0]).tolist()
        return found


@dataclass(frozen=True)
class Drawn:
    """How the outlines were drawn: "AUTOMATIC", "SEMIAUTOMATIC" or "MANUAL", and by which bundle."""

    algorithm: str
    bundle: str = ""
    sha256: str = ""


@dataclass(frozen=True, eq=False)
class Written:
    """A segmentation that was written.

    Attributes:
        data: what identifies it, without frames that mean anything.
        shown: labels of its segments in the order of their numbers.
        sha256: of its file.
    """

    data: Any
    shown: tuple[str, ...]
    sha256: str


def write_segmentation(
    path: Path,
    images: Images,
    segments: Sequence[Segment],
    *,
    number: int,
    title: str,
    drawn: Drawn,
    kind: str = BINARY,
) -> Written:
    """Write a DICOM SEG; segments without a voxel are left out, since no frame could show them.

    Args:
        path: the file.
        images: the slices that it was drawn on.
        segments: on the grid of the study.
        number: SeriesNumber.
        title: description of the series.
        drawn: by whom.
        kind: `BINARY` or `LABELMAP`, in which the later of two overlapping segments wins.
    """
    hd = package("highdicom")
    shown = [one for one in segments if one.mask.any()]
    described = [_description(n, one, drawn) for n, one in enumerate(shown, start=1)]
    numbers = [one.slices for one in shown]
    included = sorted({n for one in numbers for n in one})
    part = few(included)
    # a voxel for each slice says which frames there are; those without a segment are not written
    there = np.isin(part, included).astype(np.uint8)[:, None, None]
    if kind == BINARY:
        there = np.repeat(there[..., None], len(shown), axis=-1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # names and dates of the study that are not quite what the standard asks for
        seg = hd.seg.Segmentation(
            images.light(part), there, kind, described, hd.UID(), number, hd.UID(), 1,
            MANUFACTURER, MODEL_OF_SEGMENTS, MeWMLib.__version__, "0",
            content_label="MEWM", content_description=short_text(title), series_description=short_text(title),
        )  # fmt: skip
    shape = images.study.geometry.shape[1:]
    seg.Rows, seg.Columns = shape
    del seg.PixelData
    complete(seg, images.study)
    whole = MultiFrame(seg, images, numbers if kind == BINARY else [included], kind == BINARY)
    pixels = _pixels(whole.frames, shown, shape, kind)
    said = f"Drawn by bundle {drawn.bundle}, sha256 {drawn.sha256}" if drawn.sha256 else ""
    sums = whole.write(path, said, Pixels("PixelData", "OB", len(pixels), lambda: [pixels]))
    return Written(seg, tuple(one.label for one in shown), sums)


def _pixels(frames: Sequence[Frame], shown: Sequence[Segment], shape: tuple[int, int], kind: str) -> bytes:
    """Pixels of frames, in their order."""
    plane = np.zeros(shape, np.uint8)
    packed = Packed()
    for frame in frames:
        plane[...] = 0
        for place, one in enumerate(shown, start=1):
            k, j, i = one.start
            if frame.segment in (None, place) and 0 <= frame.slice - k < len(one.mask):
                part = one.mask[frame.slice - k]
                plane[j : j + part.shape[0], i : i + part.shape[1]][part] = place if frame.segment is None else 1
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


def complete(data: Any, study: Study) -> None:
    """What every object of highdicom needs before it is signed and written.

    A dataset that was made in memory has no preamble, and goes out without one by DICOMweb; the PACS stores it and
    cannot read it back.
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
