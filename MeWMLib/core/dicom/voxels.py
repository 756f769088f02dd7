"""Voxels of CT slices in HU, each slice by its own rescale slope and intercept.

Plain voxels are read straight into one array. Compressed ones are unpacked frame by frame by the GDCM inside SimpleITK,
out of a small file that carries no rescale: GDCM would apply the first frame's to all, in the first file's type.
"""
# mypy: allow-untyped-calls
# SimpleITK's wrapper carries no types.

from __future__ import annotations

import io
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from MeWMLib.core._checks import PADDING_HU
from MeWMLib.core.dicom.headers import DEFLATED, inflated
from MeWMLib.core.dicom.records import PixelLayout, SliceRecord
from MeWMLib.core.errors import NotCTError, UnreadableFileError
from MeWMLib.core.limits import require_declared_size

_INT16 = np.iinfo(np.int16)
#: HU of the top of 12 bits: padding up there would become a ring of metal around the patient.
_METAL_HU = 3000


def read_voxels(slices: Sequence[SliceRecord]) -> tuple[NDArray[Any], float]:
    """Read slices of one shape; padding below -1024 HU becomes -1024.

    Args:
        slices: with slope and intercept checked; one without both holds HU as they are.

    Returns:
        HU (K, J, I): int16 where all are whole and fit, else float32; and the lowest value in the files.

    Raises:
        InputError: the slices declare more voxels than are read.
        UnreadableFileError: a file is cut or damaged, or its compression is unknown.
        NotCTError: voxels of a type that no CT has.
    """
    folder = slices[0].file.path.parent
    require_declared_size(sum(one.layout.frame_bytes for one in slices), str(folder))
    for kind in (np.int16, np.float32):
        array = np.empty((len(slices), *slices[0].shape), kind)
        with _Reader() as reader:
            lowest = _fill(array, slices, reader)
        if lowest is not None:
            return array, lowest
        del array
    message = "float32 takes any value"
    raise AssertionError(message)


def _fill(array: NDArray[Any], slices: Sequence[SliceRecord], reader: _Reader) -> float | None:
    """Fill an array with HU; returns the lowest, or None where a value does not fit its type."""
    lowest = float("inf")
    for target, one in zip(array, slices, strict=True):
        low = _fill_plainly(target, one, reader) if array.dtype == np.int16 else None
        if low is None:
            hu, low = _hu(one, reader.stored(one))
            if array.dtype == np.int16 and (hu.max() > _INT16.max or (hu != np.rint(hu)).any()):
                return None
            target[...] = hu
        lowest = min(lowest, low)
    return lowest


def _fill_plainly(target: NDArray[np.int16], one: SliceRecord, reader: _Reader) -> float | None:
    """Read 16-bit voxels into their place and shift them there; None where that is not enough."""
    layout = one.layout
    slope, intercept = _rescale(one)
    if layout.compressed or layout.bits != 16 or layout.high != layout.stored - 1:
        return None
    if not (float(slope).is_integer() and float(intercept).is_integer()) or _odd_padding(one):
        return None
    reader.into(target, one)
    if layout.little_endian != (sys.byteorder == "little"):
        target.byteswap(inplace=True)
    stored = target if layout.signed else target.view(np.uint16)
    ends = int(stored.min()), int(stored.max())
    first, last = _range(layout)
    scaled = sorted(end * slope + intercept for end in ends)
    if ends[0] < first or ends[1] > last or scaled[0] < _INT16.min or scaled[1] > _INT16.max:
        return None
    # all results fit, so arithmetic modulo 2^16 gives them exactly
    if slope != 1:
        np.multiply(target, _wrapped(slope), out=target)
    if intercept != 0:
        np.add(target, _wrapped(intercept), out=target)
    if scaled[0] < PADDING_HU:
        np.maximum(target, np.int16(PADDING_HU), out=target)
    return float(scaled[0])


def _wrapped(value: float) -> np.int16:
    wrapped: np.int16 = np.array([int(value) & 0xFFFF], np.uint16).view(np.int16)[0]
    return wrapped


def _rescale(one: SliceRecord) -> tuple[float, float]:
    return (1.0 if one.slope is None else one.slope), (0.0 if one.intercept is None else one.intercept)


def _range(layout: PixelLayout) -> tuple[int, int]:
    """Lowest and highest value that the stored bits hold."""
    return (-(1 << layout.stored - 1), (1 << layout.stored - 1) - 1) if layout.signed else (0, (1 << layout.stored) - 1)


def _odd_padding(one: SliceRecord) -> bool:
    """True if padding would become metal, or lies outside of the stored bits."""
    if one.padding is None:
        return False
    slope, intercept = _rescale(one)
    first, last = _range(one.layout)
    return any(value * slope + intercept > _METAL_HU or not first <= value <= last for value in one.padding)


def _hu(one: SliceRecord, stored: NDArray[Any]) -> tuple[NDArray[np.float64], float]:
    """HU of a slice, padding clamped, and the lowest one before that."""
    pad = np.zeros(stored.shape, bool)
    if one.padding is not None and _odd_padding(one):
        pad = (stored >= one.padding[0]) & (stored <= one.padding[1])
    stored = _significant(one, stored, pad)
    slope, intercept = _rescale(one)
    hu = stored * np.float64(slope) + intercept
    hu[pad] = PADDING_HU
    low = float(hu.min())
    return np.maximum(hu, PADDING_HU, out=hu), low


def _significant(one: SliceRecord, stored: NDArray[Any], pad: NDArray[np.bool_]) -> NDArray[Any]:
    """The stored bits of every voxel.

    The bits above them may hold overlays that the file speaks of; else they are empty, or repeat the sign. Where they
    hold something else nobody knows what it is.
    """
    layout = one.layout
    if layout.stored == layout.bits:
        return stored
    raw = stored.astype(np.int64) & ((1 << layout.bits) - 1)
    value = raw >> (layout.high + 1 - layout.stored) & ((1 << layout.stored) - 1)
    if layout.signed:
        value -= (value >> (layout.stored - 1)) << layout.stored
    unsaid = ((1 << layout.bits) - (1 << (layout.high + 1))) & ~layout.overlays
    above = raw & unsaid
    empty, negative = above == 0, value < 0
    strange = ~(empty | (negative & (above == unsaid)))[~pad]
    if strange.any() or (unsaid and not _one_sign(one, value[~pad], (empty & negative)[~pad])):
        raise UnreadableFileError(
            what="Voxels do not fit the bits that the DICOM file says are stored",
            given=f"{one.where}, {layout.stored} bits",
            remedy="Export the series again from the PACS, without overlays burnt into the voxels",
        )
    return value


def _one_sign(one: SliceRecord, value: NDArray[Any], bare: NDArray[np.bool_]) -> bool:
    """False if negative values whose upper bits are empty may be high positive ones, which do not fit the stored bits.

    Args:
        value: of voxels, taken for negative where their highest stored bit is set.
        bare: which of them are negative with empty bits above.
    """
    if not bare.any():
        return True
    slope, intercept = _rescale(one)
    written_out = (value < 0) & ~bare
    return not written_out.any() and bool((value[bare] * slope + intercept).max() >= PADDING_HU)


class _Reader:
    """Open files and a folder for frames to be unpacked; closed at the end."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._path: Path | None = None
        self._file: Any = None
        self._folder: Path | None = None

    def __enter__(self) -> _Reader:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()
        if self._file is not None:
            self._file.close()

    def _open(self, one: SliceRecord) -> Any:
        path = one.file.path
        if path != self._path:
            if self._file is not None:
                self._file.close()
            if one.layout.syntax == DEFLATED:
                self._file = io.BytesIO(inflated(path))
            else:  # fragments are looked for in small steps, plain voxels are read in one
                self._file = path.open("rb", buffering=-1 if one.layout.compressed else 0)
            self._path = path
        return self._file

    def into(self, target: NDArray[Any], one: SliceRecord) -> None:
        """Read the bytes of a slice into an array of their size."""
        file = self._open(one)
        file.seek(one.layout.start + one.frame * one.layout.frame_bytes)
        view, done = memoryview(target.reshape(-1).view(np.uint8).data), 0
        while done < len(view):
            count = file.readinto(view[done:])
            if not count:
                raise UnreadableFileError(
                    what="A DICOM file is cut: it ends before its last voxel",
                    given=str(one.file.path),
                    remedy="Export the series again from the PACS",
                )
            done += count

    def stored(self, one: SliceRecord) -> NDArray[Any]:
        """Stored values (J, I) of a slice, all bits of a voxel."""
        layout = one.layout
        if layout.compressed:
            return self._unpacked(one)
        if layout.bits not in (8, 16, 32):
            raise NotCTError(
                what="The voxels have a size that no CT has",
                given=f"{one.where}, {layout.bits} bits",
                remedy="Export the CT with 16 bits for each voxel",
            )
        order = "<" if layout.little_endian else ">"
        raw = np.empty(one.shape, f"{order}{'i' if layout.signed else 'u'}{layout.bits // 8}")
        self.into(raw, one)
        return raw.astype(np.int64)

    def _unpacked(self, one: SliceRecord) -> NDArray[Any]:
        from pydicom.encaps import get_frame

        if self._folder is None:
            self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="mewm-")))
        file = self._open(one)
        file.seek(one.layout.start)
        path = self._folder / "frame.dcm"
        try:
            frame = get_frame(file, one.frame, number_of_frames=one.layout.frames)
            _write_frame(path, one.layout, frame)
            found = sitk.GetArrayFromImage(sitk.ReadImage(str(path), imageIO="GDCMImageIO"))
        except Exception as error:  # pydicom raises many kinds, SimpleITK RuntimeError
            raise UnreadableFileError(
                what="A DICOM file is damaged, or compressed in a way that is not read",
                given=f"{one.where}, transfer syntax {_syntax_name(one.layout.syntax)}",
                remedy="Export the series again from the PACS, uncompressed",
            ) from error
        return found.reshape(one.shape)


def _write_frame(path: Path, layout: PixelLayout, frame: bytes) -> None:
    """One compressed frame as a file of its own, without rescale and without anything about the patient."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.encaps import encapsulate
    from pydicom.uid import UID, SecondaryCaptureImageStorage, generate_uid

    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = UID(layout.syntax)
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    data.Modality, data.PhotometricInterpretation, data.SamplesPerPixel = "OT", "MONOCHROME2", 1
    data.Rows, data.Columns = layout.rows, layout.columns
    # all bits: GDCM would drop those above the stored ones without a word, padding and too high values too
    data.BitsAllocated, data.BitsStored, data.HighBit = layout.bits, layout.bits, layout.bits - 1
    data.PixelRepresentation = int(layout.signed)
    data.PixelData = encapsulate([frame], has_bot=False)
    data["PixelData"].is_undefined_length = True
    data.save_as(path, enforce_file_format=True)


def _syntax_name(syntax: str) -> str:
    from pydicom.uid import UID

    return UID(syntax).name


def stored_bytes(one: SliceRecord) -> bytes:
    """The bytes of a slice as they lie in its file; all of the voxels' where they are compressed."""
    if one.layout.compressed:
        with one.file.path.open("rb") as file:
            file.seek(one.layout.start)
            return file.read()
    raw = np.empty(one.layout.frame_bytes, np.uint8)
    with _Reader() as reader:
        reader.into(raw, one)
    return raw.tobytes()
