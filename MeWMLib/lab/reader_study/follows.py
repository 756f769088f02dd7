"""Does a reader answer by the noise? Then the study measures the simulation's noise, not its lesions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from MeWMLib.core.reader_study import REAL, StudyAnswer
from MeWMLib.lab.reader_study.key import Key
from MeWMLib.lab.reader_study.plain import NOISE, holm, told_apart

#: Permutations of a reader's ratings among the real and among the simulated cases.
PERMUTATIONS = 2000
_LEVEL = 0.05


@dataclass(frozen=True)
class Follows:
    """How a reader's answers go with one number of the noise.

    Attributes:
        reader, number: whose, and the key in `plain.NOISE`.
        auc: of the number alone for what the reader said (real or simulated), whichever way it goes.
        p: of no such thing (Mann and Whitney), after Holm over all readers and numbers.
        within: correlation (Spearman) of rating and number, averaged over the real and the simulated cases by
            themselves, so that knowing the truth makes none; NaN where neither varies.
        p_within: of no such correlation, by permutation within each kind, after Holm; 1 where it is not known.
        cases: how many have the number.
    """

    reader: str
    number: str
    auc: float
    p: float
    within: float
    p_within: float
    cases: int

    @property
    def found(self) -> bool:
        """True if the answers go with the noise."""
        return self.p < _LEVEL or self.p_within < _LEVEL

    @property
    def text(self) -> str:
        """For people; "" where nothing is found."""
        if not self.found:
            return ""
        said = f"{self.reader} answers as the {NOISE[self.number]} does: AUC {self.auc:.2f} (p = {self.p:.2g})"
        if self.p_within < _LEVEL:
            return (
                f"{said}; among real and among simulated cases by themselves too (correlation {self.within:+.2f}, p = "
                f"{self.p_within:.2g}): this reader answers by the noise."
            )
        return (
            f"{said}; among cases of one kind this is not seen, so a reader who knows the truth may answer so as well."
        )


def follow(answers: Mapping[str, Mapping[str, StudyAnswer]], key: Key, seed: int = 0) -> list[Follows]:
    """Hold every reader's answers against every number of the noise."""
    found = []
    rng = np.random.default_rng(seed)
    for reader in sorted(answers):
        for number in NOISE:
            pairs = [
                (one, v) for n, one in answers[reader].items() if (v := key.cases[n].numbers.get(number)) is not None
            ]
            said = np.array([one.answer == REAL for one, _ in pairs], bool)
            values = np.array([v for _, v in pairs])
            if said.all() or not said.any():
                continue
            auc, p = told_apart(values[said], values[~said])
            truth = np.array([key.is_real(one.case) for one, _ in pairs])
            ratings = np.array([one.rating for one, _ in pairs], float)
            within, p_within = within_kinds(ratings, values, truth, rng)
            found.append(Follows(reader, number, max(auc, 1 - auc), p, within, p_within, len(pairs)))
    plain, inside = holm([one.p for one in found]), holm([one.p_within for one in found])
    return [replace(one, p=a, p_within=b) for one, a, b in zip(found, plain, inside, strict=True)]


def within_kinds(
    ratings: NDArray[np.float64], values: NDArray[np.float64], kinds: NDArray[np.bool_], rng: np.random.Generator
) -> tuple[float, float]:
    """Correlation of two numbers within two kinds, averaged by their sizes, and its two-sided p by permutation.

    Returns:
        NaN and 1 where in neither kind both numbers vary.
    """
    parts = []
    for kind in (kinds, ~kinds):
        a, b = ratings[kind], values[kind]
        if len(a) > 2 and np.ptp(a) > 0 and np.ptp(b) > 0:
            ranks = [stats.rankdata(one) for one in (a, b)]
            parts.append(tuple((r - r.mean()) / r.std() for r in ranks))
    if not parts:
        return float("nan"), 1.0
    size = sum(len(a) for a, _ in parts)
    seen = sum(float(a @ b) for a, b in parts) / size
    drawn = np.array([sum(float(rng.permutation(a) @ b) for a, b in parts) for _ in range(PERMUTATIONS)]) / size
    extreme = int((np.abs(drawn) >= abs(seen) - 1e-12).sum())
    return seen, (extreme + 1) / (PERMUTATIONS + 1)
