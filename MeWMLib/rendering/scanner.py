"""A CT scanner: its grid, its point spread, and its noise, which is neither white nor the same in all directions.

Reconstruction by filtered back-projection gives noise whose power rises with frequency and is cut off by the kernel;
in an abdomen, wider than deep, horizontal streaks carry most of it; neighbouring slices share some of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import fft, ndimage

from MeWMLib.core.errors import InputError
from MeWMLib.rendering.grains import FloatArray, Places

#: Range of HU that a scanner writes.
HU_RANGE = (-1024.0, 3071.0)
#: What scanners of the abdomen use: voxel in plane (mm), distance of slices (mm), deviation of noise (HU).
IN_PLANE_MM, SLICE_MM, NOISE_HU = (0.5, 1.0), (1.0, 5.0), (3.0, 60.0)
#: A field of noise is drawn once within these many voxels (k, j, i) and repeats beyond: noise has no long memory.
TILE = (24, 128, 128)
#: Dense oil starves the detector: deviation of the streaks (HU) for 1 HU of oil near by, how far they reach (mm), and
#: how many deviations of the noise they add at most.
STREAK, STREAK_MM, STREAK_MOST = 0.06, 6.0, 1.5


@dataclass(frozen=True)
class Scanner:
    """One scanner and its settings.

    Attributes:
        in_plane_mm, slice_mm: voxel in plane and distance of slices.
        noise_hu: deviation of the noise on its own grid.
        low_cut, high_cut: cycles/mm below and above which noise has little power.
        streak: 0 to 0.95, how much more power noise has across its streaks than along them.
        angle: of the streaks against left to right, radians.
        slice_tie: correlation of the noise of neighbouring slices, 0 to 0.5.
        blur_mm: deviation of the point spread in plane.
        edge: how strongly the kernel enhances edges: dense oil is brighter by this share, and darker around.
        edge_mm: how far that reaches.

    Raises:
        InputError: a value no scanner has.
    """

    in_plane_mm: float = 0.72
    slice_mm: float = 2.5
    noise_hu: float = 22.0
    low_cut: float = 0.06
    high_cut: float = 0.5
    streak: float = 0.55
    angle: float = 0.2
    slice_tie: float = 0.28
    blur_mm: float = 0.5
    edge: float = 0.3
    edge_mm: float = 1.4

    def __post_init__(self) -> None:
        limits = (
            ("voxel in plane", self.in_plane_mm, *IN_PLANE_MM, "mm"),
            ("distance of slices", self.slice_mm, *SLICE_MM, "mm"),
            ("noise", self.noise_hu, *NOISE_HU, "HU"),
            ("part of the noise's power in streaks", self.streak, 0.0, 0.95, ""),
            ("correlation between slices", self.slice_tie, 0.0, 0.5, ""),
        )
        for name, value, low, high, unit in limits:
            if not low <= value <= high:
                raise InputError(
                    what=f"No scanner has this {name}",
                    given=f"{value:g} {unit}".strip(),
                    remedy=f"Give {low:g} to {high:g} {unit}".strip(),
                )

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel (k, j, i) in mm."""
        return self.slice_mm, self.in_plane_mm, self.in_plane_mm

    @property
    def spread_mm(self) -> tuple[float, float, float]:
        """Deviation of the point spread along z, y, x; a slice's profile is as wide at half height as it is thick."""
        return self.slice_mm / 2.355, self.blur_mm, self.blur_mm

    def grid_over(self, places: Places) -> Places:
        """Voxels of the scanner over a grid; the same voxels where that grid has the scanner's spacing.

        Args:
            places: z, y, x (mm) of the grid's voxels.
        """
        out = []
        for p, size in zip(places, self.spacing, strict=True):
            step = float(p[1] - p[0]) if len(p) > 1 else size
            if abs(abs(step) - size) < 1e-4 * size:
                out.append(np.asarray(p, np.float64))
                continue
            low, high = float(min(p[0], p[-1])), float(max(p[0], p[-1]))
            # the scanner's voxels lie where they lie, not on the first voxel of whatever grid is laid over them
            first = np.floor(low / size) * size
            out.append(first + size * np.arange(int(np.ceil((high - first) / size)) + 1))
        return out[0], out[1], out[2]

    def noise(self, shape: tuple[int, int, int], rng: np.random.Generator) -> FloatArray:
        """Noise (K, J, I) in HU on the scanner's own voxels, of deviation `noise_hu`."""
        rows, columns = (fft.next_fast_len(min(n, t), real=True) for n, t in zip(shape[1:], TILE[1:], strict=True))
        tile = (min(shape[0], TILE[0]), rows, columns)
        white = rng.standard_normal(tile, dtype=np.float32)
        spectrum = fft.rfft2(white, axes=(1, 2))
        spectrum *= self._amplitude(rows, columns)
        field = fft.irfft2(spectrum, (rows, columns), axes=(1, 2))
        if self.slice_tie > 0 and tile[0] > 1:
            # white slices mixed with their neighbours by a share w correlate by 2 w / (1 + 2 w^2)
            w = (1 - np.sqrt(max(0.0, 1 - 2 * self.slice_tie**2))) / (2 * self.slice_tie)
            field = field + np.float32(w) * (np.roll(field, 1, 0) + np.roll(field, -1, 0))
        field *= np.float32(self.noise_hu) / max(float(field.std()), 1e-6)
        if all(n <= t for n, t in zip(shape, tile, strict=True)):
            return np.ascontiguousarray(field[:, : shape[1], : shape[2]], np.float32)
        k, j, i = ((np.arange(n) + int(rng.integers(t))) % t for n, t in zip(shape, tile, strict=True))
        return np.asarray(field[np.ix_(k, j, i)], np.float32)

    def _amplitude(self, rows: int, columns: int) -> FloatArray:
        """Square root of the noise's power (J, I // 2 + 1), up to a factor."""
        fy = fft.fftfreq(rows, self.in_plane_mm)[:, None]
        fx = fft.rfftfreq(columns, self.in_plane_mm)[None]
        square = fy**2 + fx**2
        power = (square + 0.02 * self.low_cut**2) / (square + self.low_cut**2) * np.exp(-square / self.high_cut**2)
        # streaks along `angle` have their frequencies across it
        across = (fy * np.cos(self.angle) - fx * np.sin(self.angle)) ** 2 / np.maximum(square, 1e-9)
        power *= 1 + self.streak * (2 * across - 1)
        return np.asarray(np.sqrt(power), np.float32)

    def oil(self, rise: FloatArray) -> FloatArray:
        """How the kernel shows oil (K, J, I): denser and with a dark rim; away from the borders its sum is kept."""
        sigma = self.edge_mm / self.in_plane_mm
        return sharpened(rise, self.edge, (sigma, sigma))

    def with_streaks(self, noise: FloatArray, rise: FloatArray) -> FloatArray:
        """Noise (K, J, I) that is stronger beside dense oil, along rows."""
        found = streaks(rise, self.noise_hu, self.in_plane_mm)
        if found is None:
            return noise
        box, gain = found
        out = noise.copy()
        out[box] *= 1 + gain
        return np.asarray(out, np.float32)


def sharpened(rise: FloatArray, edge: float, sigma: tuple[float, float]) -> FloatArray:
    """How a kernel that enhances edges shows what is dense.

    Args:
        rise: (K, J, I) HU, slices first.
        edge: by which share it is brighter; what is around it is darker, so that away from the borders the sum is kept.
        sigma: how far that reaches, deviation in voxels along rows and columns (j, i).
    """
    box = _reached(rise, int(3 * max(sigma)) + 1)
    if edge == 0 or box is None:
        return rise
    part = rise[box]
    more = ndimage.gaussian_filter(part, (0, *sigma), mode="constant", truncate=3)
    more -= part
    more *= np.float32(-edge)
    out = rise.copy()
    out[box] += more
    return np.asarray(out, np.float32)


def streaks(rise: FloatArray, noise_hu: float, row_mm: float) -> tuple[tuple[slice, slice, slice], FloatArray] | None:
    """By which share noise is stronger beside dense oil, along rows; None where there is no oil.

    Args:
        rise: (K, J, I) HU of oil, slices first.
        noise_hu: deviation of the noise.
        row_mm: distance of voxels along a row.

    Returns:
        The box in which it is stronger, and by which share (k, j, i).
    """
    long = int(2 * STREAK_MM / row_mm) | 1
    box = _reached(rise, long // 2 + 1)
    if box is None:
        return None
    gain = ndimage.uniform_filter(rise[box], (0, 3, long), mode="constant")
    gain *= np.float32(STREAK / noise_hu)
    return box, np.minimum(gain, STREAK_MOST, out=gain)


def _reached(rise: FloatArray, margin: int) -> tuple[slice, slice, slice] | None:
    """The box of what is not 0, with a margin in plane; None where all is 0."""
    there = rise != 0
    slices = []
    for axis in range(3):
        line = np.flatnonzero(there.any(tuple({0, 1, 2} - {axis})))
        if not len(line):
            return None
        more = margin if axis else 0
        slices.append(slice(max(0, int(line[0]) - more), int(line[-1]) + 1 + more))
    return slices[0], slices[1], slices[2]


def resampled(values: FloatArray, source: Places, target: Places) -> FloatArray:
    """Values (K, J, I) brought from one aligned grid to another by linear interpolation, as a CT is resampled.

    Beyond the ends of the source the last values continue.

    Args:
        values: on `source`.
        source, target: z, y, x of the voxels, evenly spaced.
    """
    out = np.asarray(values, np.float32)
    # what shrinks an axis goes first
    for axis in sorted(range(3), key=lambda n: len(target[n]) / len(source[n])):
        a, b = source[axis], target[axis]
        if len(a) == len(b) and np.allclose(a, b, atol=1e-4):
            continue
        if len(a) == 1:
            out = np.repeat(out, len(b), axis)
            continue
        at = np.clip((np.asarray(b, np.float64) - float(a[0])) / float(a[1] - a[0]), 0, len(a) - 1)
        below = np.minimum(at.astype(np.int64), len(a) - 2)
        part = (at - below).astype(np.float32).reshape([-1 if n == axis else 1 for n in range(3)])
        low = np.take(out, below, axis)
        high = np.take(out, below + 1, axis)
        high -= low
        high *= part
        high += low
        out = high
    return out


def as_stored(hu: FloatArray) -> FloatArray:
    """HU within the range that a scanner writes."""
    return np.asarray(np.clip(hu, *HU_RANGE), np.float32)
