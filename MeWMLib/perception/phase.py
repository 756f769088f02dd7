"""The contrast phase of an abdominal CT, from the density of aorta and liver. No header field is trusted.

The aorta is the tube that stands out as a disc of about 16 mm in every axial slice, in front of the spine and a little
to its left, and goes on from slice to slice; it is found by dynamic programming over the slices, in every phase alike.
The liver is the largest even piece of tissue in the right half of the trunk. What was measured, and the likelihood of
each phase, are kept, so that a reader can judge the guess.
"""
# mypy: allow-untyped-calls
# scipy carries no types.

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from MeWMLib.core.io import read_volume
from MeWMLib.core.volume import Geometry, Volume
from MeWMLib.perception.preprocess import box_geometry, resample

FloatArray = NDArray[np.float32]
Mask = NDArray[np.bool_]

#: Mean and spread (HU) of aorta and liver in each phase: typical of abdominal CT at 120 kVp (Bae, Radiology
#: 2010;256:32, for the course of the enhancement). The spreads are wide, since bolus, delay and patients differ.
TYPICAL_HU = {
    "non-contrast": ((42.0, 12.0), (55.0, 14.0)),
    "arterial": ((300.0, 85.0), (75.0, 17.0)),
    "portal": ((158.0, 28.0), (112.0, 18.0)),
    "delayed": ((105.0, 18.0), (92.0, 15.0)),
}
#: Density of a measurement that fits no phase: even over 600 HU of aorta and 200 HU of liver, with a weight of 2 %.
_STRAY = 0.02 / (600.0 * 200.0)
#: Voxels (k, j, i) that the search works on.
_SPACING_MM = (4.0, 2.0, 2.0)
_AORTA_RADIUS_MM = 8.0
#: Voxels (j, i) before and behind the spine in which the aorta is looked for.
_WINDOW_VOXELS = (np.array([50, 30]), np.array([20, 40]))
#: Score of a slice below which the tube is in no aorta.
_LOWEST_SCORE = -1.5
#: Less aorta or liver than this is not a measurement.
MIN_AORTA_MM, MIN_LIVER_ML = 30.0, 20.0


#: A guess that is less sure is not a phase by which anything is measured.
SURE = 0.6


@dataclass(frozen=True, kw_only=True)
class PhaseGuess:
    """The phase of one series and why.

    Attributes:
        aorta_hu, liver_hu: measured; None where not found.
        aorta_mm: length of aorta that was measured.
        liver_ml: volume of the even liver tissue that was measured.
        liver_centre_ras: middle of that liver tissue; None where not found.
        phase: one of `core.volume.PHASES`; "unknown" where aorta or liver were not found, or nothing fits.
        confidence: posterior probability of that phase under even priors, 0 where unknown.
        chances: posterior probability of each phase.
        reason: one sentence.
    """

    aorta_hu: float | None = None
    liver_hu: float | None = None
    aorta_mm: float = 0.0
    liver_ml: float = 0.0
    liver_centre_ras: tuple[float, float, float] | None = None
    phase: str = "unknown"
    confidence: float = 0.0
    chances: dict[str, float] = field(default_factory=dict)
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """JSON-ready form, rounded and without places."""
        numbers = {"confidence": 3, "aorta_hu": 1, "liver_hu": 1, "aorta_mm": 1, "liver_ml": 1}
        values = {name: getattr(self, name) for name in numbers}
        return {
            "phase": self.phase,
            **{name: None if v is None else round(v, numbers[name]) for name, v in values.items()},
            "chances": {name: round(value, 3) for name, value in self.chances.items()},
            "reason": self.reason,
        }


def read_ct(path: Path, series: str | None = None) -> Volume:
    """Read a CT as `core.io.read_volume` does; where a folder holds several series, the error names their phases.

    Example:
        >>> ct = read_ct("dicom_folder", series="4/2")  # acquisition 2 of series 4
    """
    return read_volume(Path(path), series, guess_phase)


def phase_of(ct: Volume) -> str:
    """The phase of a scan by its own field, else by a guess that is sure; else "unknown"."""
    if ct.phase != "unknown":
        return ct.phase
    guess = guess_phase(ct)
    return guess.phase if guess.confidence >= SURE else "unknown"


def guess_phase(ct: Volume) -> PhaseGuess:
    """Guess the contrast phase of a CT that shows the upper abdomen."""
    found = _measured(ct)
    if found.aorta_hu is None or found.liver_hu is None:
        values = {"the aorta": found.aorta_hu, "the liver": found.liver_hu}
        return replace(found, reason="not found: " + " and ".join(n for n, value in values.items() if value is None))
    chances, stray = phase_chances(found.aorta_hu, found.liver_hu)
    text = f"aorta {found.aorta_hu:.0f} HU over {found.aorta_mm:.0f} mm, liver {found.liver_hu:.0f} HU"
    best, second = sorted(chances, key=lambda name: -chances[name])[:2]
    if stray > 0.5:
        return replace(found, chances=chances, reason=f"{text}: typical of no phase")
    text += f": {best} ({100 * chances[best]:.0f} %), next {second} ({100 * chances[second]:.0f} %)"
    return replace(found, phase=best, confidence=chances[best], chances=chances, reason=text)


def phase_chances(aorta_hu: float, liver_hu: float) -> tuple[dict[str, float], float]:
    """Posterior probability of each phase, and that of none of them, under even priors (Bayes with `TYPICAL_HU`)."""

    def normal(value: float, mean: float, spread: float) -> float:
        return math.exp(-0.5 * ((value - mean) / spread) ** 2) / (spread * math.sqrt(2 * math.pi))

    likelihood = {
        phase: normal(aorta_hu, *aorta) * normal(liver_hu, *liver) for phase, (aorta, liver) in TYPICAL_HU.items()
    }
    total = sum(likelihood.values()) + _STRAY
    return {phase: value / total for phase, value in likelihood.items()}, _STRAY / total


def _measured(ct: Volume) -> PhaseGuess:
    """Find aorta and liver and measure them: the median HU of the one, the commonest HU of the other. No phase yet."""
    grid = box_geometry(ct.geometry, _SPACING_MM)
    array, geometry = _thinned(ct)
    hu = resample(np.clip(array, -1024, 1500).astype(np.float32), geometry, grid)
    body = _body(hu)
    if body is None:
        return PhaseGuess()
    rows, columns = np.flatnonzero(body.any((0, 2))), np.flatnonzero(body.any((0, 1)))
    trunk = (slice(None), slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    hu, body = hu[trunk], body[trunk]
    spine = _spine(hu, body)
    if spine is None:
        return PhaseGuess()
    low = np.maximum(spine.min(0) - _WINDOW_VOXELS[0], 0).astype(int)
    high = (spine.max(0) + _WINDOW_VOXELS[1]).astype(int)
    near = (slice(None), slice(low[0], high[0]), slice(low[1], high[1]))
    aorta, length = _aorta(hu[near], body[near], spine - low)
    liver, volume, place = _liver(hu, body, spine[:, 1], grid.voxel_ml)
    centre = None
    if place is not None:
        x, y, z = grid.to_ras(place + (0, rows[0], columns[0]))
        centre = float(x), float(y), float(z)
    return PhaseGuess(aorta_hu=aorta, liver_hu=liver, aorta_mm=length, liver_ml=volume, liver_centre_ras=centre)


def _thinned(ct: Volume) -> tuple[NDArray[Any], Geometry]:
    """The scan with every second row or column where voxels are finer than half of what the search needs."""
    steps = [max(int(min(_SPACING_MM) / have), 1) for have in ct.geometry.spacing]
    affine = np.array(ct.geometry.affine)
    affine[:3, :3] *= np.array(steps[::-1], dtype=np.float64)
    thin = ct.array[:: steps[0], :: steps[1], :: steps[2]]
    return thin, Geometry((thin.shape[0], thin.shape[1], thin.shape[2]), affine)


def _body(hu: FloatArray) -> Mask | None:
    """The trunk, without table and clothes; None if there is none."""
    solid = np.stack([ndimage.binary_opening(one, iterations=3) for one in hu > -300])
    pieces, count = ndimage.label(solid)
    if not count:
        return None
    trunk = pieces == 1 + int(np.argmax(np.bincount(pieces.ravel())[1:]))
    filled = np.stack([ndimage.binary_fill_holes(one) for one in trunk])
    return filled if filled.sum() * np.prod(_SPACING_MM) > 5e5 else None


def _spine(hu: FloatArray, body: Mask) -> NDArray[np.float64] | None:
    """Middle of the spine (K, 2) as (j, i), about the canal; None where too few slices show bone."""
    columns, rows = np.flatnonzero(body.any((0, 1))), np.flatnonzero(body.any((0, 2)))
    middle, half = (columns[0] + columns[-1]) / 2, 40.0 / _SPACING_MM[2]
    front = int(rows[0] + 0.45 * (rows[-1] - rows[0]))
    left, right = max(int(middle - half), 0), int(middle + half) + 1
    bone = (ndimage.gaussian_filter(hu, (0, 1, 1)) > 180) & body
    found = np.full((len(hu), 2), np.nan)
    for k, one in enumerate(bone[:, front:, left:right]):
        points = np.argwhere(one)
        if len(points) > 20:
            found[k] = np.median(points, axis=0) + (front, left)
    known = np.flatnonzero(~np.isnan(found[:, 0]))
    if len(known) < 3:
        return None
    places = np.arange(len(hu))
    whole = np.stack([np.interp(places, known, found[known, axis]) for axis in (0, 1)], axis=1)
    return np.asarray(ndimage.median_filter(whole, (9, 1), mode="nearest"), np.float64)


def _aorta(hu: FloatArray, body: Mask, spine: NDArray[np.float64]) -> tuple[float | None, float]:
    """Median HU in the aorta and the length over which it was measured."""
    _, step_j, step_i = _SPACING_MM
    sigma = _AORTA_RADIUS_MM / math.sqrt(2) / step_i  # at which a disc of that radius answers most
    # one window for the blob (so that bone and bolus do not drown fat), a wider one for evenness
    blob = -np.stack([ndimage.gaussian_laplace(one, sigma) for one in np.clip(hu, -100, 200)]) * sigma**2
    mean, spread = _local(np.clip(hu, -100, 500), (1, 1.5, 1.5))
    rows, columns = np.arange(hu.shape[1]), np.arange(hu.shape[2])
    forward = (spine[:, :1, None] - rows[None, :, None]) * step_j
    leftward = (columns[None, None, :] - spine[:, 1:, None]) * step_i
    place = 0.5 * ((forward - 38) / 16) ** 2 + 0.5 * ((leftward - 12) / 14) ** 2
    # a bright bolus has steep borders, so evenness is judged against the contrast to fat
    uneven = np.maximum(spread / np.maximum((mean + 100) / 250, 1) - 12, 0) / 15
    score = np.clip(blob, 0, 120) / 60 - uneven - 0.6 * place
    vertebra = ((forward < 28) & (np.abs(leftward) < 14)) | _marrow(hu)
    score = np.maximum(np.where((mean < 15) | ~body | vertebra, -6, score), -6)
    path = _tube(np.asarray(score, np.float32))
    k = np.arange(len(hu))
    along = score[k, path[:, 0], path[:, 1]]
    inner = [float(np.median(hu[n, max(j - 2, 0) : j + 3, max(i - 2, 0) : i + 3])) for n, (j, i) in enumerate(path)]
    values = np.array(inner)
    # the better half of what looks like an aorta at all: elsewhere it may leave the field of view
    same = _one_density(values, np.maximum(along - _LOWEST_SCORE, 0))
    good = same & (along >= float(np.median(along[same]))) if same.any() else same
    length = float(good.sum()) * _SPACING_MM[0]
    if length < MIN_AORTA_MM:
        return None, length
    return float(np.median(values[good])), length


def _one_density(values: NDArray[np.float64], weights: NDArray[np.float64]) -> Mask:
    """The slices of one density for which most speaks; `weights` are 0 where a slice shows no aorta.

    Blood is as dense in one slice as in the next, and changes little along the aorta. Where the tube leaves it, such as
    for the spongy bone of a large vertebra, the density jumps; the better half of the scores may be all there.
    """
    alike = np.abs(values[:, None] - values[None, :]) <= np.maximum(15.0, 0.12 * np.abs(values))[:, None]
    alike &= (weights > 0)[None, :]
    return np.asarray(alike[int((alike * weights).sum(axis=1).argmax())])


def _local(hu: FloatArray, sigma: tuple[float, float, float]) -> tuple[FloatArray, FloatArray]:
    """Mean and deviation around every voxel."""
    mean = ndimage.gaussian_filter(hu, sigma)
    return mean, np.sqrt(np.maximum(ndimage.gaussian_filter(hu**2, sigma) - mean**2, 0))


def _marrow(hu: FloatArray) -> Mask:
    """What rings of cortical bone enclose, and what is just above and below it: spongy bone, canal, discs."""
    shell = ndimage.gaussian_filter(hu, (0, 0.7, 0.7)) > 180
    closed = [ndimage.binary_closing(one, iterations=2) for one in shell]
    holes = np.stack([ndimage.binary_fill_holes(one) & ~solid for one, solid in zip(closed, shell, strict=True)])
    return np.asarray(ndimage.binary_dilation(holes, np.ones((7, 1, 1), bool)))


def _tube(score: FloatArray) -> NDArray[np.intp]:
    """Best path (K, 2) through the slices of a score (K, J, I), moving at most two voxels a slice (Viterbi)."""
    reach, price = 2, 0.1
    moves = [(a, b) for a in range(-reach, reach + 1) for b in range(-reach, reach + 1)]
    height, width = score.shape[1:]
    total, came = score[0].astype(np.float64), np.zeros(score.shape, np.int8)
    for k in range(1, len(score)):
        padded = np.pad(total, reach, constant_values=-np.inf)
        options = np.stack(
            [
                padded[reach - a : reach - a + height, reach - b : reach - b + width] - price * math.hypot(a, b)
                for a, b in moves
            ]
        )
        came[k] = options.argmax(0)
        total = options.max(0) + score[k]
    path = np.zeros((len(score), 2), np.intp)
    path[-1] = np.unravel_index(int(total.argmax()), total.shape)
    for k in range(len(score) - 1, 0, -1):
        a, b = moves[came[k, path[k, 0], path[k, 1]]]
        path[k - 1] = path[k, 0] - a, path[k, 1] - b
    return path


def _liver(
    hu: FloatArray, body: Mask, midline: NDArray[np.float64], voxel_ml: float
) -> tuple[float | None, float, NDArray[np.float64] | None]:
    """Commonest HU in the largest even piece of tissue of the right half, its volume and its middle (k, j, i)."""
    mean, spread = _local(np.clip(hu, -200, 400), (1, 2, 2))
    inner = np.stack([ndimage.binary_erosion(one, iterations=10) for one in body])  # 20 mm: no muscle of the wall
    right = np.arange(hu.shape[2])[None, None, :] < midline[:, None, None] - 10
    even = ndimage.binary_erosion(inner & right & (mean > -20) & (mean < 250) & (spread < 32), iterations=2)
    pieces, count = ndimage.label(even)
    if not count:
        return None, 0.0, None
    sizes = np.bincount(pieces.ravel())[1:]
    volume = float(sizes.max()) * voxel_ml
    if volume < MIN_LIVER_ML:
        return None, volume, None
    piece = pieces == 1 + int(sizes.argmax())
    values = mean[piece]
    counts, edges = np.histogram(values, np.arange(-25, 256, 1.0))
    commonest = float(edges[int(ndimage.gaussian_filter1d(counts.astype(float), 4).argmax())] + 0.5)
    return commonest, volume, np.argwhere(piece).mean(axis=0)
