"""Two protocols of one patient: how probable it is that the first is truly the better one, and whether that is enough.

A predicted difference of log-risk differs from the true one for three reasons: the patient's response, which replicas
show; what the risk model learnt, which its members show; and what neither shows, which is measured on patients whose
outcome is known under every protocol (`mewm evaluate comparisons`) and kept with the bundle.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from MeWMLib.core.errors import BundleError
from MeWMLib.core.outcome import NINETY_FIVE, Risk
from MeWMLib.core.records import from_plain, record_to_plain

#: What a comparison is called among the settings of a bundle's manifest.
SETTING = "comparison"
#: What is said at the end of a probability that is too small.
APART = ": the two cannot be told apart"
#: So many replicas does `Comparison.spread` count for beside those of a patient, since three alone tell little.
PRIOR = 4


@dataclass(frozen=True)
class Difference:
    """Log-risk of one protocol minus that of another, and what is known of the true difference.

    Attributes:
        change: as predicted; negative means that the first has the lower risk.
        deviation: SD of the true difference: replicas, members, and what neither shows (log-hazard).
        gain: what share of the predicted difference the true one has on average.
        level: the two are told apart where one is the better one with at least this probability.

    Raises:
        BundleError: values that cannot be.
    """

    change: float
    deviation: float
    gain: float
    level: float

    def __post_init__(self) -> None:
        numbers = (self.change, self.deviation, self.gain, self.level)
        if not all(map(math.isfinite, numbers)) or min(numbers[1:3]) <= 0 or not 0.5 < self.level < 1:
            raise BundleError(
                what="The difference of two protocols is not possible",
                given=f"change, deviation, gain, level = {numbers}",
                remedy="Make the plan again",
            )

    @property
    def interval(self) -> tuple[float, float]:
        """The true difference lies in it with a probability of 95 %; its middle is `gain` times the predicted one."""
        middle, reach = self.gain * self.change, NINETY_FIVE * self.deviation
        return middle - reach, middle + reach

    @property
    def better(self) -> float:
        """Probability that the first is truly better: that the true difference is below 0."""
        return 0.5 * math.erfc(self.gain * self.change / self.deviation / math.sqrt(2))

    @property
    def told_apart(self) -> bool:
        """Whether one of the two is the better one with enough probability."""
        return max(self.better, 1 - self.better) >= self.level

    def to_json(self) -> dict[str, Any]:
        """The fields, and what follows from them."""
        told = {"interval": list(self.interval), "better": self.better, "told_apart": self.told_apart}
        return {**record_to_plain(self), **told}


@dataclass(frozen=True)
class Comparison:
    """How predicted differences of log-risk relate to true ones.

    Attributes:
        gain: what share of a predicted difference the true one has on average.
        error: SD of the true difference that neither replicas nor members show (log-hazard).
        spread: what replicas show on average, as SD of the difference (log-hazard); one replica shows nothing.
        absolute: SD of the true log-risk of one protocol that neither replicas nor members show. It is larger than
            `error` would suggest: much of what is wrong about a patient is wrong under all protocols.
        level: two protocols are told apart where one is the better one with at least this probability.
        measured: whether this was measured for the bundle; false for the cautious values of one that brings none.

    Raises:
        BundleError: values that cannot be.
    """

    gain: float = 0.8
    error: float = 0.3
    spread: float = 0.2
    absolute: float = 0.4
    level: float = 0.9
    measured: bool = False

    def __post_init__(self) -> None:
        numbers = (self.gain, self.error, self.spread, self.absolute, self.level)
        good = all(math.isfinite(x) for x in numbers) and min(numbers[:2]) > 0 and min(numbers) >= 0
        if not good or not 0.5 < self.level < 1:
            raise BundleError(
                what="The comparison of protocols in the bundle is not possible",
                given=f"gain, error, spread, absolute, level = {numbers}",
                remedy="Measure it again with `mewm evaluate comparisons`",
            )

    @classmethod
    def of_settings(cls, settings: dict[str, Any]) -> Comparison:
        """That of a bundle's manifest; cautious values where it brings none.

        Raises:
            BundleError: it is not one.
        """
        found = settings.get(SETTING)
        return cls() if found is None else from_plain(cls, found, "the comparison of a bundle", BundleError)

    def deviation(self, first: Risk, second: Risk) -> float:
        """SD of the true difference around the predicted one (log-hazard).

        Replicas of one number belong together (common random numbers), and so do members.
        """
        variance = self.error**2 + _variance(first.members, second.members)
        replicas = len(first.replicas)
        paired = replicas == len(second.replicas) and replicas > 1
        seen = (replicas - 1) * float(np.var(_difference(first.replicas, second.replicas), ddof=1)) if paired else 0.0
        within = (seen + PRIOR * self.spread**2) / (PRIOR + (replicas - 1 if paired else 0))
        return math.sqrt(variance + within * (1 + 1 / replicas))

    def uncertainty(self, risk: Risk) -> float:
        """SD of the true log-risk around the predicted one: replicas, members and what neither shows together."""
        alone = Risk((0.0,) * len(risk.replicas), members=(0.0,) * len(risk.members))
        shared = self.deviation(risk, alone) ** 2 - self.error**2
        return math.sqrt(self.absolute**2 + shared)

    def told(self, risk: Risk) -> Risk:
        """The same risk with `Risk.unseen` so that its uncertainty is `uncertainty`."""
        seen = replace(risk, unseen=None).uncertainty
        return replace(risk, unseen=math.sqrt(max(0.0, self.uncertainty(risk) ** 2 - seen**2)))

    def interval(self, risk: Risk) -> tuple[float, float]:
        """The true log-risk lies in it with a probability of 95 %."""
        ends = self.told(risk).total_interval
        assert ends is not None
        return ends

    def difference(self, first: Risk, second: Risk) -> Difference:
        """Log-risk of the first minus that of the second, with all that is known to be uncertain of it."""
        change = first.log_risk - second.log_risk
        return Difference(change, self.deviation(first, second), self.gain, self.level)

    def better(self, first: Risk, second: Risk) -> float:
        """Probability that the first has the lower true risk."""
        return self.difference(first, second).better

    def told_apart(self, first: Risk, second: Risk) -> bool:
        """Whether one of the two is the better one with enough probability."""
        return self.difference(first, second).told_apart

    def groups(self, ranked: Sequence[Risk]) -> tuple[int, ...]:
        """Number of the group of each protocol, from 1 on, best first.

        A group holds those that cannot be told apart from its first one.
        """
        out: list[int] = []
        leader: Risk | None = None
        for risk in ranked:
            if leader is None or (risk.log_risk > leader.log_risk and self.told_apart(leader, risk)):
                leader = risk
                out.append(out[-1] + 1 if out else 1)
            else:
                out.append(out[-1])
        return tuple(out)


@dataclass(frozen=True)
class Standing:
    """Where a protocol stands among the others of a plan.

    Attributes:
        group: from 1 on; protocols of one group cannot be told apart from its first one.
        first_is_better: probability that the protocol of rank 1 has the lower true risk; None for itself.
        next_is_worse: probability that the one of the next rank has the higher true risk; None for the last.
    """

    group: int
    first_is_better: float | None = None
    next_is_worse: float | None = None

    @property
    def text(self) -> str:
        """Such as "rank 1 is better with a probability of 63 %: the two cannot be told apart"."""
        if self.first_is_better is None:
            return ""
        same = APART if self.group == 1 else ""
        return f"rank 1 is better with a probability of {100 * self.first_is_better:.0f} %{same}"


def standings(ranked: Sequence[Risk], comparison: Comparison) -> tuple[Standing, ...]:
    """Standing of each protocol, best first."""
    groups = comparison.groups(ranked)
    return tuple(
        Standing(
            groups[n],
            comparison.better(ranked[0], risk) if n else None,
            comparison.better(risk, ranked[n + 1]) if n + 1 < len(ranked) else None,
        )
        for n, risk in enumerate(ranked)
    )


@dataclass(frozen=True)
class ComparedPatient:
    """Protocols of a patient whose true risk is known.

    Attributes:
        seed: of the patient.
        truth: (P,) true log-hazard under each protocol.
        risks: (P,) as predicted.
    """

    seed: int
    truth: tuple[float, ...]
    risks: tuple[Risk, ...]


def _difference(first: Sequence[float], second: Sequence[float]) -> list[float]:
    return [a - b for a, b in zip(first, second, strict=True)]


def _variance(first: Sequence[float], second: Sequence[float]) -> float:
    """Of the difference of members; those of two risks without a common ensemble are independent."""
    if len(first) == len(second) and len(first) > 1:
        return float(np.var(_difference(first, second), ddof=1))
    return float(sum(np.var(x, ddof=1) for x in (first, second) if len(x) > 1))
