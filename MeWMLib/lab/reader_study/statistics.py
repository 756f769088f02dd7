"""Figures of a reader study: shares with exact intervals, ROC by confidence, kappa.

Real is the positive kind, as in Table 1 of arXiv 2506.02327: sensitivity is the share of real scans that are called
real, specificity that of simulated scans that are called simulated.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from MeWMLib.core.errors import StudyError
from MeWMLib.core.reader_study import CONFIDENCES, REAL, StudyAnswer

LEVEL = 0.95
#: Ratings from certainly simulated to certainly real.
RATINGS = (*(-c for c in reversed(CONFIDENCES)), *CONFIDENCES)


@dataclass(frozen=True)
class Share:
    """A share of cases with its exact interval.

    Attributes:
        value: right / n; NaN for no case.
        low, high: Clopper and Pearson (1934), 95 %.
        right, n: counts.
    """

    value: float
    low: float
    high: float
    right: int
    n: int


def share(right: int, n: int) -> Share:
    """A share with its interval; 0 to 1 where there is no case."""
    if n == 0:
        return Share(float("nan"), 0.0, 1.0, 0, 0)
    half = (1 - LEVEL) / 2
    low = float(stats.beta.ppf(half, right, n - right + 1)) if right else 0.0
    high = float(stats.beta.isf(half, right + 1, n - right)) if right < n else 1.0
    return Share(right / n, low, high, right, n)


@dataclass(frozen=True)
class Figures:
    """What a reader (or all of them) did on the cases of a method.

    Attributes:
        sensitivity: real scans that were called real.
        specificity: simulated scans that were called simulated.
        accuracy: cases that were told rightly.
        auc: that a real scan is rated higher than a simulated one, ties counting a half; NaN without cases of both.
    """

    sensitivity: Share
    specificity: Share
    accuracy: Share
    auc: float


def figures(real: Sequence[StudyAnswer], simulated: Sequence[StudyAnswer]) -> Figures:
    """Figures of answers on real and on simulated cases."""
    hits = sum(one.answer == REAL for one in real)
    rejections = sum(one.answer != REAL for one in simulated)
    return Figures(
        share(hits, len(real)),
        share(rejections, len(simulated)),
        share(hits + rejections, len(real) + len(simulated)),
        auc_of([one.rating for one in real], [one.rating for one in simulated]),
    )


def auc_of(real: Sequence[float] | NDArray[np.float64], simulated: Sequence[float] | NDArray[np.float64]) -> float:
    """Area under the ROC curve by ranks: Mann and Whitney's U over the number of pairs; NaN without pairs."""
    one, other = np.asarray(real, float), np.asarray(simulated, float)
    if not len(one) or not len(other):
        return float("nan")
    ranks = stats.rankdata(np.concatenate([one, other]))
    return float((ranks[: len(one)].sum() - len(one) * (len(one) + 1) / 2) / (len(one) * len(other)))


def roc(real: Sequence[int], simulated: Sequence[int]) -> list[tuple[float, float]]:
    """Points (1 - specificity, sensitivity) of the empirical ROC curve, from (0, 0) to (1, 1), over all ratings."""
    points = [(0.0, 0.0)]
    for cut in reversed(RATINGS):
        x = float(np.mean([r >= cut for r in simulated])) if simulated else float("nan")
        y = float(np.mean([r >= cut for r in real])) if real else float("nan")
        if (x, y) != points[-1]:
            points.append((x, y))
    return points


def delong(real: Sequence[float], simulated: Sequence[float]) -> tuple[float, float]:
    """AUC and its variance over cases (DeLong, DeLong and Clarke-Pearson 1988); NaN with fewer than two of a kind."""
    one, other = np.asarray(real, float), np.asarray(simulated, float)
    area = auc_of(one, other)
    if len(one) < 2 or len(other) < 2:
        return area, float("nan")
    won = (one[:, None] > other) + 0.5 * (one[:, None] == other)
    variance = won.mean(1).var(ddof=1) / len(one) + won.mean(0).var(ddof=1) / len(other)
    return area, float(variance)


def cohen_kappa(first: Sequence[bool], second: Sequence[bool]) -> float:
    """Agreement of two readers beyond chance (Cohen 1960); NaN where both always say the same one thing.

    Raises:
        StudyError: no case, or not one answer of either for each.
    """
    if len(first) != len(second) or len(first) == 0:
        raise StudyError(what="Agreement needs the same cases of both readers", given=f"{len(first)}, {len(second)}")
    a, b = np.asarray(first, bool), np.asarray(second, bool)
    seen = float((a == b).mean())
    chance = float(a.mean() * b.mean() + (1 - a.mean()) * (1 - b.mean()))
    return (seen - chance) / (1 - chance) if chance < 1 else float("nan")


def fleiss_kappa(counts: Sequence[Sequence[int]]) -> float:
    """Agreement of several readers beyond chance (Fleiss 1971).

    Args:
        counts: one row a case: how many readers gave each answer; every row has the same sum, of at least 2.

    Returns:
        Kappa; NaN where everybody always says the same one thing.

    Raises:
        StudyError: no row, rows of different sums, or a single reader.
    """
    table = np.asarray(counts, float)
    if table.ndim != 2 or not len(table) or (table.sum(1) != table[0].sum()).any() or table[0].sum() < 2:
        raise StudyError(what="Agreement needs the answers of the same readers (two or more) to every case")
    readers = table[0].sum()
    chance = float(((table.sum(0) / table.sum()) ** 2).sum())
    seen = float(((table**2).sum(1) - readers).mean() / (readers * (readers - 1)))
    return (seen - chance) / (1 - chance) if chance < 1 else float("nan")


@dataclass(frozen=True)
class Agreement:
    """How readers agree: kappa of each pair, of all together, and on how many cases that everybody answered."""

    pairs: dict[str, float]
    fleiss: float
    cases: int


def agreement(answers: Mapping[str, Mapping[str, StudyAnswer]]) -> Agreement | None:
    """Agreement on the cases that all readers answered; None with one reader, or where there is no such case."""
    readers = sorted(answers)
    common = sorted(set.intersection(*(set(answers[reader]) for reader in readers)))
    if len(readers) < 2 or not common:
        return None
    said = {reader: [answers[reader][case].answer == REAL for case in common] for reader in readers}
    pairs = {f"{a} and {b}": cohen_kappa(said[a], said[b]) for a, b in itertools.combinations(readers, 2)}
    counts = [[sum(said[r][n] for r in readers), sum(not said[r][n] for r in readers)] for n in range(len(common))]
    return Agreement(pairs, fleiss_kappa(counts), len(common))


@dataclass(frozen=True)
class Times:
    """Seconds a case: quartiles over all, and the median of those that were told rightly and wrongly."""

    median: float
    low: float
    high: float
    right: float
    wrong: float


def times(answers: Mapping[str, StudyAnswer], is_real: Mapping[str, bool]) -> Times:
    """Time that one reader took."""
    seconds = np.array([one.seconds for one in answers.values()])
    right = np.array([(one.answer == REAL) == is_real[one.case] for one in answers.values()])
    low, median, high = (float(v) for v in np.percentile(seconds, [25, 50, 75]))
    either = [float(np.median(seconds[which])) if which.any() else float("nan") for which in (right, ~right)]
    return Times(median, low, high, *either)
