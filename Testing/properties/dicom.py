"""CT as DICOM, one file a slice and enhanced multi-frame, by pydicom; and damage to its headers."""

from __future__ import annotations

import io
from collections.abc import Callable
from copy import deepcopy
from random import Random
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from Testing.properties.case import Case, Group
from Testing.properties.files import cut, read_truth
from Testing.properties.truth import Truth, draw_ct

CLASSIC, ENHANCED = Group("DICOM, slices"), Group("DICOM, multi-frame")
ROOT = "1.2.826.0.1.3680043.8.498."


def _bytes(dataset: Dataset, syntax: str) -> bytes:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = dataset.SOPClassUID, dataset.SOPInstanceUID
    meta.TransferSyntaxUID = syntax
    dataset.file_meta = meta
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _text(values: Any) -> list[str]:
    return [f"{float(v):.10g}"[:16] for v in values]


def _common(truth: Truth, rng: Random) -> Dataset:
    one = Dataset()
    one.PatientName = one.PatientID = "P1"
    one.StudyInstanceUID, one.SeriesInstanceUID = f"{ROOT}{rng.getrandbits(40)}.1", f"{ROOT}{rng.getrandbits(40)}.2"
    one.FrameOfReferenceUID = f"{ROOT}{rng.getrandbits(40)}.3"
    one.StudyDate = one.SeriesDate = one.ContentDate = "20010203"
    one.StudyTime = one.SeriesTime = one.ContentTime = "101112"
    one.Modality, one.SeriesNumber, one.StudyID, one.AccessionNumber = "CT", "4", "", ""
    one.Manufacturer, one.SamplesPerPixel, one.PhotometricInterpretation = "M", 1, "MONOCHROME2"
    one.Rows, one.Columns = truth.array.shape[1:]
    one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation = 16, 16, 15, 1
    return one


def _orientation(truth: Truth) -> list[str]:
    lps = np.diag([-1.0, -1.0, 1.0]) @ truth.direction
    return _text([*lps[:, 0], *lps[:, 1]])


def _position(truth: Truth, k: float) -> list[str]:
    return _text((truth.lps @ [0, 0, k, 1])[:3])


def _slices(truth: Truth, rng: Random) -> list[Dataset]:
    """One file a slice, by rising position; each may have a rescale of its own, as the standard has it."""
    own = rng.random() < 0.3
    found = []
    common = _common(truth, rng)
    for k, plane in enumerate(truth.array):
        one = Dataset()
        one.update(common)
        one.SOPClassUID, one.SOPInstanceUID = CTImageStorage, f"{ROOT}{rng.getrandbits(48)}.{k}"
        one.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        one.InstanceNumber, one.AcquisitionNumber = str(k + 1), "1"
        one.ImagePositionPatient, one.ImageOrientationPatient = _position(truth, k), _orientation(truth)
        one.PixelSpacing = _text([truth.spacing[1], truth.spacing[0]])
        one.SliceThickness = _text([truth.spacing[2]])[0]
        offset = rng.choice((-1024, 0, -500)) if own else -1024
        one.RescaleIntercept, one.RescaleSlope, one.RescaleType = str(offset), "1", "HU"
        one.PixelData = (plane.astype(np.int32) - offset).astype("<i2").tobytes()
        found.append(one)
    return found


def _folder(
    truth: Truth, slices: list[Dataset], rng: Random, valid: bool = False, more: dict[str, bytes] | None = None
) -> Case:
    syntax = rng.choice((ExplicitVRLittleEndian, ImplicitVRLittleEndian))
    names = [f"ct/{n:03}.dcm" for n in range(len(slices))]
    rng.shuffle(names)  # names say nothing of the order
    files = {name: _bytes(one, syntax) for name, one in zip(names, slices, strict=True)}
    return Case(
        {**files, **(more or {})}, lambda folder: read_truth(folder / "ct"), truth.same_as, valid, f"truth: {truth!r}"
    )


@CLASSIC.kind("valid")
def _classic_valid(rng: Random) -> Case:
    truth = draw_ct(rng, oblique=False)
    return _folder(truth, _slices(truth, rng), rng, valid=True)


def _one_damaged(name: str, *changes: Callable[[Dataset, Random], None]) -> None:
    """One slice of the series (not the first or the last) is damaged in one of the ways."""

    @CLASSIC.kind(name)
    def _damaged(rng: Random) -> Case:
        truth = draw_ct(rng, oblique=False)
        slices = _slices(truth, rng)
        rng.choice(changes)(slices[rng.randrange(1, len(slices) - 1)], rng)
        return _folder(truth, slices, rng)


def _put(key: str, *values: Any) -> Callable[[Dataset, Random], None]:
    def change(one: Dataset, rng: Random) -> None:
        value = rng.choice(values)
        if value is None:
            delattr(one, key)
        else:
            one[key].value = None  # the value may be one that pydicom would not take
            one[key]._value = value

    return change


_one_damaged("rescale missing in one slice", _put("RescaleIntercept", None), _put("RescaleSlope", None))
_one_damaged("position missing in one slice", _put("ImagePositionPatient", None))
_one_damaged("orientation of one slice", _put("ImageOrientationPatient", None, ["0", "1", "0", "1", "0", "0"],
    ["1", "0", "0", "0", "0", "1"], ["-1", "0", "0", "0", "1", "0"]))  # fmt: skip
_one_damaged("voxel size of one slice", _put("PixelSpacing", None, ["9", "9"], ["0.31", "0.31"]))
_one_damaged("size of one slice", _put("Rows", 3, 40, 0), _put("Columns", 3, 40, 0))
_one_damaged("modality of one slice", _put("Modality", "MR", "PT"))
_one_damaged("no pixels in one slice", _put("PixelData", None, b"", b"\0\0"))


@CLASSIC.kind("slice missing in the middle")
def _missing(rng: Random) -> Case:
    truth = draw_ct(rng, oblique=False)
    slices = _slices(truth, rng)
    slices.pop(rng.randrange(1, len(slices) - 1))
    return _folder(truth, slices, rng)


@CLASSIC.kind("slice twice")
def _twice(rng: Random) -> Case:
    truth = draw_ct(rng, oblique=False)
    slices = _slices(truth, rng)
    again = deepcopy(rng.choice(slices))
    if rng.random() < 0.5:  # another picture in the same place
        again.PixelData = bytes(rng.randrange(256) for _ in again.PixelData)
        again.SOPInstanceUID = f"{ROOT}77.{rng.getrandbits(30)}"
    return _folder(truth, [*slices, again], rng)


@CLASSIC.kind("file cut")
def _classic_cut(rng: Random) -> Case:
    truth = draw_ct(rng, oblique=False)
    case = _folder(truth, _slices(truth, rng), rng)
    name = rng.choice(list(case.files))
    # behind its preamble and "DICM": a shorter rest is any file, and a folder may hold those
    case.files[name] = case.files[name][: rng.randrange(140, len(case.files[name]))]
    return case


@CLASSIC.kind("other files beside it")
def _beside(rng: Random) -> Case:
    truth = draw_ct(rng, oblique=False)
    return _folder(
        truth, _slices(truth, rng), rng, more={"ct/readme.txt": b"text", "ct/x.dcm": b"no DICOM", "ct/e": b""}
    )


@CLASSIC.kind("numbers that are none, in every slice")
def _numbers(rng: Random) -> Case:
    truth = draw_ct(rng, oblique=False)
    slices = _slices(truth, rng)
    key, value = rng.choice((
        ("RescaleIntercept", "abc"), ("RescaleSlope", "0"), ("RescaleSlope", "nan"), ("RescaleIntercept", "1e400"),
        ("PixelSpacing", ["0", "0"]), ("PixelSpacing", ["-1", "1"]), ("PixelSpacing", ["x", "y"]),
        ("PixelSpacing", ["1"]),
        ("PixelSpacing", ["nan", "1"]), ("ImageOrientationPatient", ["0"] * 6), ("ImageOrientationPatient", ["1"] * 6),
        ("ImageOrientationPatient", ["nan"] * 6), ("ImageOrientationPatient", ["1", "0", "0", "0", "1"]),
        ("ImagePositionPatient", ["0", "0", "0"]), ("ImagePositionPatient", ["nan", "0", "0"]), ("BitsAllocated", 8),
        ("BitsAllocated", 32), ("SamplesPerPixel", 3),
    ))  # fmt: skip
    for one in slices:
        one[key]._value = value
    return _folder(truth, slices, rng)


@CLASSIC.kind("gantry tilt")
def _tilt(rng: Random) -> Case:
    truth = draw_ct(rng, oblique=False)
    slices = _slices(truth, rng)
    shift = rng.uniform(0.2, 1.0) * truth.spacing[2]
    for k, one in enumerate(slices):
        x, y, z = map(float, one.ImagePositionPatient)
        one.ImagePositionPatient = _text([x, y + k * shift, z])
    return _folder(truth, slices, rng)


# multi-frame ----------------------------------------------------------------------------------------------------


def _item(**values: Any) -> Sequence:
    one = Dataset()
    for key, value in values.items():
        setattr(one, key, value)
    return Sequence([one])


def _frames(truth: Truth, rng: Random, shuffled: bool = True) -> tuple[Dataset, list[int]]:
    """An enhanced CT with frames in any order, and that order; frames may have a rescale of their own."""
    order, own = list(range(len(truth.array))), rng.random() < 0.5
    if shuffled:
        rng.shuffle(order)
    one = _common(truth, rng)
    one.SOPClassUID, one.SOPInstanceUID = EnhancedCTImageStorage, f"{ROOT}{rng.getrandbits(48)}.9"
    one.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    one.InstanceNumber, one.NumberOfFrames = "1", str(len(order))
    shared = Dataset()
    shared.PlaneOrientationSequence = _item(ImageOrientationPatient=_orientation(truth))
    measures = {
        "PixelSpacing": _text([truth.spacing[1], truth.spacing[0]]),
        "SliceThickness": _text([truth.spacing[2]])[0],
    }
    shared.PixelMeasuresSequence = _item(**measures)
    rescale = {"RescaleSlope": "1", "RescaleType": "HU"}
    if not own:
        shared.PixelValueTransformationSequence = _item(RescaleIntercept="-1024", **rescale)
    one.SharedFunctionalGroupsSequence = Sequence([shared])
    frames, pixels = [], b""
    for n, k in enumerate(order):
        frame = Dataset()
        offset = rng.choice((-1024, 0)) if own else -1024
        frame.PlanePositionSequence = _item(ImagePositionPatient=_position(truth, k))
        frame.FrameContentSequence = _item(
            FrameAcquisitionNumber=1,
            StackID="1",
            InStackPositionNumber=k + 1,
            DimensionIndexValues=[1, k + 1],
            FrameReferenceDateTime=f"2001020310111{n % 10}",
        )
        if own:
            frame.PixelValueTransformationSequence = _item(RescaleIntercept=str(offset), **rescale)
        frames.append(frame)
        pixels += (truth.array[k].astype(np.int32) - offset).astype("<i2").tobytes()
    one.PerFrameFunctionalGroupsSequence = Sequence(frames)
    one.PixelData = pixels
    return one, order


def _multi(truth: Truth, one: Dataset, valid: bool = False) -> Case:
    files = {"ct/1.dcm": _bytes(one, ExplicitVRLittleEndian)}
    return Case(files, lambda folder: read_truth(folder / "ct"), truth.same_as, valid, f"truth: {truth!r}")


@ENHANCED.kind("valid")
def _enhanced_valid(rng: Random) -> Case:
    truth = draw_ct(rng, oblique=False)
    return _multi(truth, _frames(truth, rng)[0], valid=True)


@ENHANCED.kind("number of frames")
def _number(rng: Random) -> Case:
    truth = draw_ct(rng, oblique=False)
    one, order = _frames(truth, rng)
    one.NumberOfFrames = str(rng.choice((len(order) - 1, len(order) + 1, 1, 1000)))
    return _multi(truth, one)


@ENHANCED.kind("frame missing in the middle")
def _enhanced_missing(rng: Random) -> Case:
    truth = draw_ct(rng, oblique=False)
    one, order = _frames(truth, rng)
    n = order.index(rng.randrange(1, len(order) - 1))
    size = len(one.PixelData) // len(order)
    one.PixelData = one.PixelData[: n * size] + one.PixelData[(n + 1) * size :]
    del one.PerFrameFunctionalGroupsSequence[n]
    one.NumberOfFrames = str(len(order) - 1)
    return _multi(truth, one)


@ENHANCED.kind("one frame damaged")
def _one_frame(rng: Random) -> Case:
    truth = draw_ct(rng, oblique=False)
    one, order = _frames(truth, rng)
    frames, n = one.PerFrameFunctionalGroupsSequence, order.index(rng.randrange(1, len(order) - 1))
    kind = rng.randrange(6)
    if kind == 0:
        del frames[n].PlanePositionSequence
    elif kind == 1:
        frames[n].PlanePositionSequence = Sequence([])
    elif kind == 2:  # in the place of another one
        frames[n].PlanePositionSequence = frames[order.index(0)].PlanePositionSequence
    elif kind == 3:  # against what all frames share
        frames[n].PixelMeasuresSequence = _item(PixelSpacing=["9", "9"], SliceThickness="1")
    elif kind == 4:
        frames[n].PlaneOrientationSequence = _item(ImageOrientationPatient=["0", "1", "0", "1", "0", "0"])
    else:
        frames.pop(n)
    return _multi(truth, one)


@ENHANCED.kind("shared groups missing")
def _shared(rng: Random) -> Case:
    truth = draw_ct(rng, oblique=False)
    one, _ = _frames(truth, rng)
    kind = rng.randrange(4)
    shared = one.SharedFunctionalGroupsSequence[0]
    if kind == 0:
        del one.SharedFunctionalGroupsSequence
    elif kind == 1:
        del shared.PixelMeasuresSequence
    elif kind == 2:
        del shared.PlaneOrientationSequence
    else:
        del one.PerFrameFunctionalGroupsSequence
    return _multi(truth, one)


@ENHANCED.kind("file cut")
def _enhanced_cut(rng: Random) -> Case:
    truth = draw_ct(rng, oblique=False)
    case = _multi(truth, _frames(truth, rng)[0])
    case.files["ct/1.dcm"] = cut(case.files["ct/1.dcm"], rng)
    return case
