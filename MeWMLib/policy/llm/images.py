"""Slices for a language model: chosen by tumour area, windowed, cropped to the liver, as PNG without any metadata.

Only grey values (and, where wanted, the outline) leave this file: no geometry, no place, no text. The PNG has the three
chunks that it needs and no other, so there is nowhere for a name or a date to hide.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from MeWMLib.core.errors import PlanSettingsError
from MeWMLib.core.volume import LabelMap, Volume

#: Soft-tissue window of the abdomen: level 60, width 400 HU.
WINDOW_HU = (-140.0, 260.0)
#: Longest side of a picture in pixels, and the margin around the liver in mm.
MOST_PIXELS, MARGIN_MM = 512, 10.0
_OUTLINE = (255, 200, 0)
_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def slices_png(ct: Volume, labels: LabelMap, count: int = 3, outline: bool = False) -> tuple[bytes, ...]:
    """The axial slices with most tumour, apart from each other, top to bottom.

    Args:
        ct: before treatment.
        labels: on its grid.
        count: how many slices at most, 1 to 12.
        outline: draw the outline of the tumour.

    Returns:
        PNG files, grey (or RGB with an outline), of the liver's box with a margin, patient's right on the left side.

    Raises:
        PlanSettingsError: a count out of range.
    """
    if not 1 <= count <= 12:
        raise PlanSettingsError(what="The number of slices must lie between 1 and 12", given=str(count))
    hu, label = _axial(ct.array, ct), _axial(labels.array, ct)
    spacing = _axial_spacing(ct)
    body = label > 0
    if not body.any():
        return ()
    rows, columns = (np.flatnonzero(body.any(axis=axes)) for axes in ((0, 2), (0, 1)))
    margin = [round(MARGIN_MM / s) for s in spacing[1:]]
    box = tuple(
        slice(max(0, int(found[0]) - m), int(found[-1]) + m + 1)
        for found, m in zip((rows, columns), margin, strict=True)
    )
    pictures = []
    for k in choose_slices(label, count):
        grey, mask = hu[k][box], (label[k] == 2)[box]
        pictures.append(_picture(grey, mask if outline else None, spacing[1:]))
    return tuple(pictures)


def choose_slices(label: NDArray[Any], count: int) -> list[int]:
    """Indices of slices (first axis) with much tumour: largest area first, each at least the next best gap away.

    Without a tumour the slice with most liver stands in.
    """
    area = (label == 2).sum(axis=(1, 2)) if (label == 2).any() else (label > 0).sum(axis=(1, 2))
    there = int((area > 0).sum())
    gap = max(1, there // (2 * count))
    chosen: list[int] = []
    for k in np.argsort(-area, kind="stable"):
        if area[k] > 0 and len(chosen) < count and all(abs(int(k) - c) >= gap for c in chosen):
            chosen.append(int(k))
    return sorted(chosen)


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """A PNG of (H, W) grey or (H, W, 3) RGB pixels: header, data and end, nothing else."""
    height, width = pixels.shape[:2]
    colour = 2 if pixels.ndim == 3 else 0
    lines = np.zeros((height, width * (3 if colour else 1) + 1), np.uint8)  # each line starts with filter 0
    lines[:, 1:] = pixels.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes(), 6)), (b"IEND", b""))
    return _SIGNATURE + b"".join(_chunk(kind, data) for kind, data in chunks)


def png_chunks(data: bytes) -> list[bytes]:
    """The kinds of chunks of a PNG, in their order; [] if it is no PNG."""
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


def _order(ct: Volume) -> tuple[tuple[int, int, int], tuple[bool, ...]]:
    """Array axes nearest to S, A and R, and which of them must be turned: slices upward, front up, right at left."""
    axes = ct.geometry.affine[:3, 2::-1]  # columns: steps along k, j, i in RAS mm
    unit = np.abs(axes / np.linalg.norm(axes, axis=0))
    axial = int(np.argmax(unit[2]))
    front = int(np.argmax([-1.0 if a == axial else unit[1, a] for a in range(3)]))
    side = 3 - axial - front
    # rows run from front to back, columns from the patient's right to the left
    return (axial, front, side), (bool(axes[2, axial] < 0), bool(axes[1, front] > 0), bool(axes[0, side] > 0))


def _axial(array: NDArray[Any], ct: Volume) -> NDArray[Any]:
    order, turned = _order(ct)
    moved = np.transpose(array, order)
    return np.asarray(moved[tuple(slice(None, None, -1 if t else 1) for t in turned)])


def _axial_spacing(ct: Volume) -> tuple[float, float, float]:
    spacing = ct.geometry.spacing
    axial, front, side = _order(ct)[0]
    return spacing[axial], spacing[front], spacing[side]


def _picture(hu: NDArray[Any], mask: NDArray[np.bool_] | None, spacing: tuple[float, ...]) -> bytes:
    low, high = WINDOW_HU
    grey = np.clip((hu.astype(np.float32) - low) / (high - low), 0, 1)
    # square pixels, so that nothing looks longer than it is
    fine = min(spacing)
    scale = min(1.0, MOST_PIXELS / max(n * s / fine for n, s in zip(hu.shape, spacing, strict=True)))
    zoom = tuple(max(1, round(n * s / fine * scale)) / n for n, s in zip(hu.shape, spacing, strict=True))
    grey = ndimage.zoom(grey, zoom, order=1)
    pixels = np.asarray(np.round(255 * np.clip(grey, 0, 1)), np.uint8)
    if mask is None:
        return encode_png(pixels)
    inside = ndimage.zoom(mask.astype(np.float32), zoom, order=1) > 0.5
    edge = inside & ~ndimage.binary_erosion(inside)
    colour = np.repeat(pixels[..., None], 3, axis=2)
    colour[edge] = _OUTLINE
    return encode_png(colour)
