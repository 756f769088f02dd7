"""Voxels as the report's viewer reads them: exact, small, and quick to write and to unpack in a browser.

CT values hardly compress as they are: noise fills their lower byte. Each voxel is therefore told by its difference from
its neighbour along i, in which small numbers of either sign become small numbers without one (zigzag), and all lower
bytes come before all upper ones. Deflate then has one alphabet of noise and one of zeros: 0.95 bytes a voxel of the
sample `lits-117` against 1.35 for the int16 as it is, at three times the speed. `viewer/decode.js` is the way back.
"""

from __future__ import annotations

import base64
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: How the bytes of an array are told: int16 as above, float32 by planes of bytes, uint8 as they are.
INT16, FLOAT32, UINT8 = "i2", "f4", "u1"
#: Window bits of zlib that mean a gzip header.
_GZIP = 31


def coded(array: NDArray[Any]) -> tuple[str, bytes]:
    """Return the name of the code and gzip-compressed bytes of an array (K, J, I) of int16, float32 or uint8."""
    name, strategy, level = {
        "int16": (INT16, zlib.Z_RLE, 1),
        "float32": (FLOAT32, zlib.Z_RLE, 1),
        "uint8": (UINT8, zlib.Z_DEFAULT_STRATEGY, 6),
    }[array.dtype.name]
    if name == INT16:
        step = array.astype(np.int16)  # a copy, whose differences wrap around and back
        step[..., 1:] -= array[..., :-1]
        planes = _planes(((step << 1) ^ (step >> 15)).astype("<i2"))
    else:
        planes = _planes(array.astype(array.dtype.newbyteorder("<")))
    packer = zlib.compressobj(level, zlib.DEFLATED, _GZIP, 9, strategy)
    return name, packer.compress(planes.data) + packer.flush()


def decoded(code: str, data: bytes, shape: tuple[int, int, int]) -> NDArray[Any]:
    """The way back, as the browser goes it: for tests, and for readers of the format."""
    raw = np.frombuffer(zlib.decompress(data, _GZIP), np.uint8)
    if code == UINT8:
        return raw.reshape(shape)
    values = np.ascontiguousarray(raw.reshape(2 if code == INT16 else 4, -1).T)
    if code == FLOAT32:
        return values.view("<f4").reshape(shape)
    zigzag = values.view("<u2").astype(np.int64).reshape(shape)
    step = (zigzag >> 1) ^ -(zigzag & 1)
    return np.cumsum(step, axis=-1).astype(np.uint16).view(np.int16).reshape(shape)


def base64_text(data: bytes) -> str:
    """Bytes as they stand in a page."""
    return base64.b64encode(data).decode("ascii")


def _planes(array: NDArray[Any]) -> NDArray[np.uint8]:
    """All first bytes of an array, then all second ones, and so on."""
    return np.ascontiguousarray(np.ascontiguousarray(array).view(np.uint8).reshape(-1, array.itemsize).T)
