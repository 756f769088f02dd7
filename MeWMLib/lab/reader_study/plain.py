"""Readers who look at one number and at nothing else: do files or noise tell what is simulated?

What they find is a finding about the simulation. It is reported beside the key and the scores, and no image is changed
for it.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, stats

from MeWMLib.lab.evaluation.look_noise import liver_noise, robust_deviation
from MeWMLib.lab.reader_study.prepare import RANGE_HU, Prepared

#: What each number is, for people. The first group lies in noise, the second one in values as a file holds them.
NOISE = {
    "noise_lesion": "noise in the lesion (HU)",
    "noise_liver": "noise in the liver (HU)",
    "noise_ratio": "noise in the lesion over noise in the liver",
    "noise_next": "correlation of the lesion's noise with the next voxel",
}
VALUES = {
    "lowest": "lowest value (HU)",
    "highest": "highest value (HU)",
    "distinct": "number of distinct values",
    "odd": "share of odd values",
    "tens": "share of values that are multiples of ten",
    "at_lowest": "share of voxels at the lower limit",
    "at_highest": "share of voxels at the upper limit",
    "outside": "share of the box outside of the scan",
    "compressed": "bytes after compression",
    "own_voxel": "volume of the scan's own voxels (mm3), which no reader sees",
}
PLAIN = NOISE | VALUES
#: Lipiodol, as everywhere in MeWM.
LIPIODOL_HU = 200
#: Fewer voxels of a lesion are no sample of its noise.
_ENOUGH = 50


@dataclass(frozen=True)
class PlainReader:
    """How well one number tells real from simulated scans.

    Attributes:
        name: of the number.
        auc: that a real scan has the larger number, ties counting a half.
        p: two-sided, Mann and Whitney.
        p_holm: the same, after Holm, over all numbers of the method.
        accuracy: of a threshold, learned on all other cases, on the case that is left out.
        n: cases that have the number.
    """

    name: str
    auc: float
    p: float
    p_holm: float
    accuracy: float
    n: int

    @property
    def either_way(self) -> float:
        """AUC of whoever knows which way it goes."""
        return max(self.auc, 1 - self.auc)


def numbers(case: Prepared, spacing_mm: tuple[float, float, float]) -> dict[str, float | None]:
    """Every number of `PLAIN` of a case; None where it cannot be measured."""
    hu = case.array
    inside = (hu > RANGE_HU[0]) & (hu < RANGE_HU[1])
    known = hu[inside] if inside.any() else hu.ravel()
    lesion, beside = _lesion_noise(hu, case.tumour)
    rest, where = liver_noise(hu, case.liver, case.tumour, spacing_mm)
    liver = robust_deviation(rest[where]) if where.sum() >= _ENOUGH else float("nan")
    found = {
        "noise_lesion": lesion,
        "noise_liver": liver,
        "noise_ratio": lesion / liver if liver else float("nan"),
        "noise_next": beside,
        "lowest": float(hu.min()),
        "highest": float(hu.max()),
        "distinct": float(len(np.unique(hu))),
        "odd": float((known % 2 != 0).mean()),
        "tens": float((known % 10 == 0).mean()),
        "at_lowest": float((hu <= RANGE_HU[0]).mean()),
        "at_highest": float((hu >= RANGE_HU[1]).mean()),
        "outside": case.outside,
        "compressed": float(len(zlib.compress(hu.tobytes(), 6))),
        "own_voxel": case.own_voxel_mm3,
    }
    return {name: value if np.isfinite(value) else None for name, value in found.items()}


def _lesion_noise(hu: NDArray[np.int16], tumour: NDArray[np.bool_]) -> tuple[float, float]:
    """Deviation (HU) of the lesion about its mean of 3 x 3 voxels in plane, and correlation with the next voxel.

    Voxels beside Lipiodol are left out: its edges are no noise.
    """
    image = hu.astype(np.float32)
    rest = image - ndimage.uniform_filter(image, (1, 3, 3))
    core = ndimage.binary_erosion(tumour, np.ones((1, 3, 3)))
    core = (core if core.sum() >= _ENOUGH else tumour) & (ndimage.maximum_filter(image, (1, 5, 5)) < LIPIODOL_HU)
    if core.sum() < _ENOUGH:
        return float("nan"), float("nan")
    pairs = core[..., 1:] & core[..., :-1]
    one, other = rest[..., 1:][pairs], rest[..., :-1][pairs]
    beside = float(np.corrcoef(one, other)[0, 1]) if len(one) > 2 and one.std() and other.std() else float("nan")
    return robust_deviation(rest[core]), beside


def plain_readers(
    real: Sequence[Mapping[str, float | None]], simulated: Sequence[Mapping[str, float | None]]
) -> list[PlainReader]:
    """Every plain reader on the cases of one method; those whose number is the same in all cases are at chance."""
    found = []
    for name in PLAIN:
        first, second = _known(real, name), _known(simulated, name)
        if len(first) and len(second):
            auc, p = told_apart(first, second)
            found.append(PlainReader(name, auc, p, 1.0, left_out_accuracy(first, second), len(first) + len(second)))
    adjusted = holm([one.p for one in found])
    return [
        PlainReader(one.name, one.auc, one.p, p, one.accuracy, one.n) for one, p in zip(found, adjusted, strict=True)
    ]


def _known(cases: Sequence[Mapping[str, float | None]], name: str) -> NDArray[np.float64]:
    return np.array([v for one in cases if (v := one.get(name)) is not None], float)


def told_apart(first: NDArray[np.float64], second: NDArray[np.float64]) -> tuple[float, float]:
    """AUC that a value of the first is larger than one of the second, and p of Mann and Whitney (two-sided)."""
    if np.ptp(np.concatenate([first, second])) == 0:
        return 0.5, 1.0
    found = stats.mannwhitneyu(first, second, alternative="two-sided")
    return float(found.statistic) / (len(first) * len(second)), float(found.pvalue)


def holm(values: Sequence[float]) -> list[float]:
    """P values after Holm (1979): the smallest of n times n, the next one times n - 1, never below the one before."""
    order = np.argsort(values)
    adjusted, so_far = np.ones(len(values)), 0.0
    for rank, n in enumerate(order):
        so_far = max(so_far, min(1.0, (len(values) - rank) * values[int(n)]))
        adjusted[n] = so_far
    return [float(p) for p in adjusted]


def left_out_accuracy(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Share of cases that a threshold tells, which was learned on all the others (the two kinds weigh the same)."""
    values = np.concatenate([first, second])
    kinds = np.concatenate([np.ones(len(first), bool), np.zeros(len(second), bool)])
    right = 0.0
    for n in range(len(values)):
        others = np.arange(len(values)) != n
        right += _said(values[others], kinds[others], values[n], bool(kinds[n]))
    return right / len(values)


def _said(values: NDArray[np.float64], kinds: NDArray[np.bool_], value: float, truth: bool) -> float:
    """1 where the best threshold is right about a value, 0 where it is wrong, 0.5 where none is better than chance."""
    if kinds.all() or not kinds.any():
        return 0.5
    places = np.unique(values)
    cuts = (places[1:] + places[:-1]) / 2
    if not len(cuts):
        return 0.5
    above = np.array([(values[kinds] > cut).mean() - (values[~kinds] > cut).mean() for cut in cuts])
    best = int(np.argmax(np.abs(above)))
    if above[best] == 0:
        return 0.5
    return float(((value > cuts[best]) == (above[best] > 0)) == truth)
