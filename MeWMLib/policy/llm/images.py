"""Slices for a language model: chosen by tumour area, windowed, cropped to the liver, as PNG without any metadata.

Only grey values leave this file: no geometry, no position, no text. The PNG has the three
chunks that it needs and no other, so that a name or a date has nowhere to hide.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from MeWMLib.core.errors import PlanSettingsError
from MeWMLib.core.io import to_sitk
from MeWMLib.core.structures import VIEW_LEVEL_HU, VIEW_WINDOW_HU
from MeWMLib.core.volume import LIVER, TUMOUR, LabelMap, Volume

#: Longest side of a picture in pixels, and the margin around the liver in mm.
MOST_PIXELS, MARGIN_MM = 512, 10.0
_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def slices_png(ct: Volume, labels: LabelMap, count: int = 3) -> tuple[bytes, ...]:
    """The axial slices with the most tumour, some distance apart, from the feet up.

    Args:
        ct: before treatment.
        labels: on its grid.
        count: how many slices at most, 1 to 12.

    Returns:
        Grey PNG files of the liver's box with a margin; the patient's right is on the left.

    Raises:
        PlanSettingsError: a count out of range.
    """
    if not 1 <= count <= 12:
        raise PlanSettingsError(what="The number of slices must be between 1 and 12", given=str(count))
    # slices upward, rows from front to back, columns from the patient's right to the left
    ct_image, label_image = (sitk.DICOMOrient(to_sitk(v), "LPS") for v in (ct, labels))  # type: ignore[no-untyped-call]
    hu, label = sitk.GetArrayFromImage(ct_image), sitk.GetArrayFromImage(label_image)
    spacing = ct_image.GetSpacing()[1::-1]
    if not label.any():
        return ()
    box = []
    for axis, mm in enumerate(spacing, start=1):
        found = np.flatnonzero(label.any(axis=(0, 3 - axis)))
        margin = round(MARGIN_MM / mm)
        box.append(slice(max(0, int(found[0]) - margin), int(found[-1]) + margin + 1))
    return tuple(_picture(hu[k][tuple(box)], spacing) for k in choose_slices(label, count))


def choose_slices(label: NDArray[Any], count: int) -> list[int]:
    """Indices of slices (first axis) with much tumour: largest area first, each some distance from those before.

    Without a tumour the area of the liver counts.
    """
    area = (label == (TUMOUR if (label == TUMOUR).any() else LIVER)).sum(axis=(1, 2))
    gap = max(1, int((area > 0).sum()) // (2 * count))
    chosen: list[int] = []
    for k in np.argsort(-area, kind="stable"):
        if area[k] > 0 and len(chosen) < count and all(abs(int(k) - c) >= gap for c in chosen):
            chosen.append(int(k))
    return sorted(chosen)


def encode_png(grey: NDArray[np.uint8]) -> bytes:
    """A PNG of (H, W) grey pixels: header, data and end, nothing else."""
    height, width = grey.shape
    lines = np.pad(grey, ((0, 0), (1, 0)))  # each line starts with filter 0
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes(), 6)), (b"IEND", b""))
    return _SIGNATURE + b"".join(_chunk(kind, data) for kind, data in chunks)


def png_chunks(data: bytes) -> list[bytes]:
    """The kinds of chunks of a PNG, in their order; [] if it is not a PNG."""
    kinds, at = [], len(_SIGNATURE)
    if not data.startswith(_SIGNATURE):
        return []
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        kinds.append(data[at + 4 : at + 8])
        at += 12 + size
    return kinds if at == len(data) else [*kinds, b"????"]


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _picture(hu: NDArray[Any], spacing: tuple[float, ...]) -> bytes:
    grey = np.clip((hu.astype(np.float32) - VIEW_LEVEL_HU) / VIEW_WINDOW_HU + 0.5, 0, 1)
    # square pixels, so that nothing looks longer than it is
    fine = min(spacing)
    scale = min(1.0, MOST_PIXELS / max(n * s / fine for n, s in zip(hu.shape, spacing, strict=True)))
    zoom = tuple(max(1, round(n * s / fine * scale)) / n for n, s in zip(hu.shape, spacing, strict=True))
    grey = ndimage.zoom(grey, zoom, order=1)
    return encode_png(np.asarray(np.round(255 * np.clip(grey, 0, 1)), np.uint8))
