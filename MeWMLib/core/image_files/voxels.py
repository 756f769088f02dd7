"""The voxels of an image file: exactly as many bytes as the header declares, and every checksum of their stream holds.

Streams are unpacked once, straight into the array. SimpleITK's own readers pass over damage: a MetaImage stream that
does not unpack leaves what was in memory, a NIfTI file is not read up to its checksum.
"""
# mypy: allow-untyped-calls
# SimpleITK's wrapper carries no types.

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from MeWMLib.core.image_files.layout import Layout, Part, damaged, unreadable
from MeWMLib.core.itk_state import quiet_itk
from MeWMLib.core.limits import require_declared_size

#: Packed bytes that are unpacked at a time; deflate makes at most 1032 times as many of them.
_CHUNK = 1 << 15
#: Bytes that are unpacked at a time.
_BLOCK = 1 << 20
MAX_RATIO = 1032
_WINDOW = {"gzip": 31, "zlib": 15}


def read_voxels(layout: Layout) -> NDArray[Any]:
    """Read the voxels of a file.

    Args:
        layout: what its header says.

    Returns:
        (K, J, I), or (K, J, I, C) for several values each, in this computer's byte order. Where the header rescales,
        float32 (float64 for doubles) as from SimpleITK, else the stored type.

    Raises:
        InputError: more voxels than are read by default.
        UnreadableFileError: more or fewer bytes than declared, or a stream that is damaged.
    """
    require_size(layout)
    array = _by_itk(layout)
    if array is None:
        array = _decode(layout)
    if layout.channels is not None:
        array = np.moveaxis(array, array.ndim - 1 - layout.channels, -1)
    return array if layout.scale is None else _rescaled(array, *layout.scale)


def read_slices(layout: Layout) -> Iterator[NDArray[Any]]:
    """As `read_voxels`, a slice (J, I) after the other; what is one packed stream is never held as a whole.

    An error of the stream may come after its last slice: nothing that was read counts before the end.
    """
    if layout.encoding not in _WINDOW or len(layout.parts) > 1 or layout.channels is not None:
        yield from read_voxels(layout)
        return
    require_size(layout)
    size = math.prod(layout.shape[1:]) * layout.dtype.itemsize
    plane, filled = bytearray(size), 0
    part = layout.parts[0]
    with part.path.open("rb") as file:
        file.seek(part.start)
        for block in _inflated(part, file, layout, layout.nbytes):
            while block:
                if not filled and len(block) >= size:  # a whole slice is not copied
                    yield _one_slice(block[:size], layout)
                    block = block[size:]
                    continue
                taken = min(len(block), size - filled)
                plane[filled : filled + taken] = block[:taken]
                block, filled = block[taken:], filled + taken
                if filled == size:
                    yield _one_slice(plane, layout)
                    plane, filled = bytearray(size), 0


def _one_slice(stored: bytearray | memoryview, layout: Layout) -> NDArray[Any]:
    """A slice (J, I) of its bytes, which nobody else uses."""
    found = np.frombuffer(stored, layout.dtype).reshape(layout.shape[1:])
    native = found.astype(layout.dtype.newbyteorder("="), copy=False)
    return native if layout.scale is None else _rescaled(native[None], *layout.scale)[0]


def require_size(layout: Layout) -> None:
    """Hold what the header declares against the limit and against the size of the files, before anything is unpacked.

    Raises:
        InputError, UnreadableFileError: see `read_voxels`.
    """
    require_declared_size(layout.nbytes, str(layout.path))
    share = layout.nbytes // len(layout.parts)
    for part in layout.parts:
        held = part.path.stat().st_size - part.start
        if layout.encoding == "raw":
            _require_length(part, held, share)
        elif layout.encoding in _WINDOW:
            if part.packed is not None:
                _require_length(part, held, part.packed)
            if share + len(layout.lead) > MAX_RATIO * max(held, 0):
                raise damaged(part.path, f"{held} packed bytes cannot hold the {share} bytes that are declared")
        # as text a value takes a digit and a space, as hex two digits a byte
        elif held < (2 * share if layout.encoding == "hex" else 2 * share // layout.dtype.itemsize - 1):
            raise damaged(part.path, f"{held} bytes of text for {share} bytes of voxels")


def require_written(layout: Layout, array: NDArray[Any]) -> None:
    """Check a file that was just written by its sizes and the checksum at its end, without unpacking it again; one that
    is not packed, by its bytes.

    Args:
        layout: what its header says.
        array: the voxels that were to be written, C-contiguous.

    Raises:
        UnreadableFileError: it does not hold them.
    """
    require_size(layout)
    if layout.encoding in _WINDOW and not _ends_with_checksum_of(layout, array):
        raise damaged(layout.path, "checksum")
    if layout.encoding == "raw" and not _holds(layout, array):
        raise damaged(layout.path, "other bytes than were written")


def _require_length(part: Part, found: int, expected: int) -> None:
    if found < expected:
        raise damaged(part.path, f"{max(found, 0)} of {expected} bytes")
    if found > expected:
        raise unreadable(part.path, "is longer than its header says", f"{found} bytes, {expected} declared")


def _bytes(array: NDArray[Any]) -> memoryview:
    view: memoryview = array.reshape(-1).view(np.uint8).data
    return view


def _holds(layout: Layout, array: NDArray[Any]) -> bool:
    """True if the one file of a layout that is not packed holds these voxels."""
    if not layout.dtype.isnative or layout.channels is not None:
        return True  # other orders than that of the array in memory; MeWM writes none of them unpacked
    left, part = _bytes(array), layout.parts[0]
    with part.path.open("rb") as file:
        file.seek(part.start)
        while block := file.read(1 << 20):
            if block != left[: len(block)]:
                return False
            left = left[len(block) :]
    return not left


def _ends_with_checksum_of(layout: Layout, array: NDArray[Any]) -> bool:
    """True if the one file of a layout ends with the checksum (gzip: and the size) of these voxels, and only there."""
    if layout.encoding == "gzip":
        size = (len(layout.lead) + array.nbytes) % 2**32
        end = struct.pack("<II", zlib.crc32(_bytes(array), zlib.crc32(layout.lead)), size)
    else:
        end = struct.pack(">I", zlib.adler32(_bytes(array)))
    part = layout.parts[0]
    left, before = part.path.stat().st_size - part.start, b""
    with part.path.open("rb") as file:
        file.seek(part.start)
        while block := file.read(1 << 20):
            # found earlier, the stream may end there and something follow
            if (found := (before + block).find(end)) >= 0:
                return found - len(before) == left - len(end)
            before, left = block[1 - len(end) :], left - len(block)
    return False


class _Lent:
    """The voxels of an ITK image for `np.asarray`, not copied: the array keeps this object, and this the image."""

    def __init__(self, image: sitk.Image) -> None:
        lent: dict[str, Any] = dict(sitk.GetArrayViewFromImage(image).__array_interface__)
        self.__array_interface__ = {**lent, "data": (lent["data"][0], False)}
        self.image = image


def _by_itk(layout: Layout) -> NDArray[Any] | None:
    """The voxels of a .nii.gz or .mha from SimpleITK, whose zlib-ng unpacks twice as fast as Python's zlib.

    None unless their checksum is the one at the end of the file: our own decoder then finds out why.
    """
    name = layout.path.name.lower()
    if (
        not name.endswith({"gzip": ".nii.gz", "zlib": ".mha"}.get(layout.encoding, "no such file"))
        or layout.channels is not None
        or layout.scale is not None
        or not layout.dtype.isnative
        # MetaIO cannot do without, and says so on standard error
        or (layout.encoding == "zlib" and layout.parts[0].packed is None)
    ):
        return None
    try:
        with quiet_itk:
            image = sitk.ReadImage(str(layout.path))
    except RuntimeError:
        return None
    array = np.asarray(_Lent(image))
    if array.dtype != layout.dtype or array.size != math.prod(layout.sizes):
        return None
    return array.reshape(layout.shape) if _ends_with_checksum_of(layout, array) else None


def _decode(layout: Layout) -> NDArray[Any]:
    """(..., the fastest axis last), as stored but in this computer's byte order."""
    array = np.empty(layout.sizes[::-1], dtype=layout.dtype)
    target = _bytes(array)
    share = len(target) // len(layout.parts)
    for number, part in enumerate(layout.parts):
        out = target[number * share : (number + 1) * share]
        with part.path.open("rb") as file:
            file.seek(part.start)
            if layout.encoding == "raw":
                if file.readinto(out) != share:
                    raise damaged(part.path, "it became shorter")
            elif layout.encoding in _WINDOW:
                filled = 0
                for block in _inflated(part, file, layout, share):
                    out[filled : filled + len(block)] = block
                    filled += len(block)
            else:
                _parse_text(part, file.read()[len(layout.lead) :], layout, out)
    if not layout.dtype.isnative:
        array = array.byteswap(inplace=True).view(layout.dtype.newbyteorder("="))
    return array


def _inflated(part: Part, file: BinaryIO, layout: Layout, size: int) -> Iterator[memoryview]:
    """Unpack a whole stream, a block after the other; zlib checks the checksum and length of each member at its end."""
    window, skip = _WINDOW[layout.encoding], len(layout.lead)
    filled, engine = -skip, zlib.decompressobj(window)
    try:
        while packed := file.read(_CHUNK):
            more = True
            while more:
                if engine.eof:
                    if window == _WINDOW["zlib"] or not packed.startswith(b"\x1f\x8b"[: len(packed)]):
                        raise unreadable(part.path, "goes on after the end of its voxels")
                    engine = zlib.decompressobj(window)
                block = engine.decompress(packed, _BLOCK)
                packed = engine.unused_data if engine.eof else engine.unconsumed_tail
                # a full block: what was packed is maybe used up, and there is more of it all the same
                more = bool(packed) or (len(block) == _BLOCK and not engine.eof)
                end = filled + len(block)
                if end > size:
                    raise unreadable(part.path, "is longer than its header says", f"more than {size} bytes of voxels")
                if end > 0:
                    yield memoryview(block)[max(-filled, 0) :]
                filled = end
    except zlib.error as error:
        raise damaged(part.path, str(error)) from error
    if not engine.eof or filled < size:
        raise damaged(part.path, f"{max(filled, 0)} of {size} bytes")


def _parse_text(part: Part, content: bytes, layout: Layout, out: memoryview) -> None:
    try:
        if layout.encoding == "hex":
            found = bytes.fromhex(content.decode("ascii"))
        else:
            if not content[-1:].isspace():
                raise damaged(part.path, "nothing ends its last number")
            words, number = content.split(), float if layout.dtype.kind == "f" else int
            found = np.array([number(word) for word in words], dtype=layout.dtype).tobytes()
    except (ValueError, OverflowError) as error:
        raise damaged(part.path, str(error)[:80]) from error
    _require_length(part, len(found), len(out))
    out[:] = found


def _rescaled(array: NDArray[Any], slope: float, intercept: float) -> NDArray[Any]:
    result = np.empty(array.shape, dtype=np.float64 if array.dtype == np.float64 else np.float32)
    for source, target in zip(array, result, strict=True):  # slice by slice: doubles of the whole would be in the way
        target[...] = source.astype(np.float64) * slope + intercept
    return result
