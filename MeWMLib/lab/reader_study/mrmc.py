"""Methods compared over many readers and many cases (MRMC), by a bootstrap over both.

No package of the Python index is known that does the analyses of Obuchowski and Rockette or of Dorfman, Berbaum and
Metz. The bootstrap over readers and cases (Beiden, Wagner and Campbell 2000, without their variance components) needs
neither a model nor the same cases under every method: here each method has simulated cases of its own.
Readers are drawn with replacement, and cases within real and simulated ones of each method; a real case that serves
several methods counts in all of them by the same number of times.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from MeWMLib.core.reader_study import REAL, SIMULATED, StudyAnswer
from MeWMLib.lab.reader_study.key import Key

DRAWS = 2000
METRICS = ("sensitivity", "specificity", "accuracy", "auc")
NAME = "bootstrap over readers and cases"
NAME_ONE = "bootstrap over cases (one reader: it holds for this reader alone)"
FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A figure averaged over readers, or a difference of two; p (two-sided, of no difference) of differences alone."""

    value: float
    low: float
    high: float
    p: float | None = None


@dataclass(frozen=True)
class Comparison:
    """What the bootstrap says.

    Attributes:
        how: which procedure it is.
        methods: method to metric to its mean over readers.
        differences: "A minus B" to metric to the difference.
        cases: method to the number of its cases that every reader answered, by which it was compared.
    """

    how: str
    methods: dict[str, dict[str, Estimate]]
    differences: dict[str, dict[str, Estimate]]
    cases: dict[str, int]


def compare(
    answers: Mapping[str, Mapping[str, StudyAnswer]], key: Key, seed: int = 0, draws: int = DRAWS
) -> Comparison | None:
    """Compare the methods on cases that every reader answered; None where a method has none of either kind.

    Args:
        answers: reader to case to answer.
        key: of the study.
        seed: of the bootstrap.
        draws: how often readers and cases are drawn.
    """
    readers = sorted(answers)
    common = set.intersection(*(set(answers[reader]) for reader in readers))
    names = {
        m: tuple([n for n in key.names(m, kind) if n in common] for kind in (REAL, SIMULATED)) for m in key.methods
    }
    if any(not part for parts in names.values() for part in parts):
        return None
    cases = sorted(common)
    place = {name: n for n, name in enumerate(cases)}
    ratings = np.array([[answers[r][c].rating for c in cases] for r in readers], float)
    blocks = [_Block.of(ratings, *(np.array([place[n] for n in part]) for part in parts)) for parts in names.values()]
    strata = _strata(cases, key)
    rng = np.random.default_rng(seed)
    point = _means(blocks, np.ones(len(readers)), np.ones(len(cases)))
    drawn = np.zeros((draws, len(key.methods), len(METRICS)))
    for n in range(draws):
        weights = np.zeros(len(cases))
        for stratum in strata:
            weights[stratum] = np.bincount(rng.integers(0, len(stratum), len(stratum)), minlength=len(stratum))
        who = np.bincount(rng.integers(0, len(readers), len(readers)), minlength=len(readers)).astype(float)
        drawn[n] = _means(blocks, who, weights)
    methods = {
        m: {metric: _estimate(point[a, c], drawn[:, a, c]) for c, metric in enumerate(METRICS)}
        for a, m in enumerate(key.methods)
    }
    differences = {
        f"{m} minus {o}": {
            metric: _estimate(point[a, c] - point[b, c], drawn[:, a, c] - drawn[:, b, c], tested=True)
            for c, metric in enumerate(METRICS)
        }
        for (a, m), (b, o) in itertools.combinations(enumerate(key.methods), 2)
    }
    how = NAME if len(readers) > 1 else NAME_ONE
    return Comparison(how, methods, differences, {m: sum(map(len, parts)) for m, parts in names.items()})


def _strata(cases: Sequence[str], key: Key) -> list[NDArray[np.intp]]:
    """Cases that are drawn among themselves: of one kind, and serving the same methods."""
    found: dict[tuple[str, tuple[str, ...]], list[int]] = {}
    for n, name in enumerate(cases):
        found.setdefault((key.cases[name].truth, tuple(sorted(key.cases[name].methods))), []).append(n)
    return [np.array(places) for places in found.values()]


@dataclass(frozen=True, eq=False)
class _Block:
    """The cases of one method: their places, and what every reader (rows) did with them."""

    real: NDArray[np.intp]
    simulated: NDArray[np.intp]
    hits: FloatArray
    rejections: FloatArray
    won: FloatArray

    @classmethod
    def of(cls, ratings: FloatArray, real: NDArray[np.intp], simulated: NDArray[np.intp]) -> _Block:
        one, other = ratings[:, real], ratings[:, simulated]
        won = (one[:, :, None] > other[:, None, :]) + 0.5 * (one[:, :, None] == other[:, None, :])
        return cls(real, simulated, (one > 0).astype(float), (other < 0).astype(float), won)


def _means(blocks: Sequence[_Block], readers: FloatArray, weights: FloatArray) -> FloatArray:
    """(methods, metrics), means over readers that count so often, on cases that count so often."""
    found = np.zeros((len(blocks), len(METRICS)))
    for at, block in enumerate(blocks):
        u, v = weights[block.real], weights[block.simulated]
        hit, reject = block.hits @ u, block.rejections @ v
        area = (block.won @ v) @ u / (u.sum() * v.sum())
        each = np.stack([hit / u.sum(), reject / v.sum(), (hit + reject) / (u.sum() + v.sum()), area], 1)
        found[at] = readers @ each / readers.sum()
    return found


def _estimate(value: float, drawn: FloatArray, tested: bool = False) -> Estimate:
    known = drawn[np.isfinite(drawn)]
    low, high = (float(v) for v in np.percentile(known, [2.5, 97.5]))
    p = None
    if tested:
        # the share of draws on the other side of no difference, both ways; ties count a half, and never 0
        below = float((known < 0).sum() + 0.5 * (known == 0).sum())
        p = min(1.0, 2 * (min(below, len(known) - below) + 1) / (len(known) + 1))
    return Estimate(float(value), low, high, p)
