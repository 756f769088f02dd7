"""Outcomes: what was simulated, and the risk and tumour change that were predicted and measured of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MeWMLib.core.errors import OutcomeError, UnreadableFileError
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.records import from_plain
from MeWMLib.core.volume import LabelMap, Volume, require_same_geometry
from MeWMLib.core.written import change_in_words, grows


@dataclass(frozen=True)
class TumourChange:
    """The tumour of a patient before and after, measured the same way on both; what is not treated stays as it is.

    Inside of a simulation it is the tumour in the region alone (`world.on_scan` adds the rest).

    Attributes:
        volume_ml_before, volume_ml_after: whole lesions.
        viable_ml_before, viable_ml_after: without necrosis and lipiodol.
        lipiodol_ml_after: tumour tissue at Lipiodol density (`core.written.LIPIODOL_FROM_HU`); None where the image
            that is measured shows no single deposits, as the expected image of a model on coarse maps.
        diameter_mm_before, diameter_mm_after: longest axial diameter of any lesion; None after treatment in an
            expected image, where neighbouring lesions merge.
        oil_ml_after: Lipiodol itself, by the iodine that the model simulates; another number than the tissue that it
            lies in. None where the model simulates no iodine.
    """

    volume_ml_before: float
    volume_ml_after: float
    viable_ml_before: float
    viable_ml_after: float
    lipiodol_ml_after: float | None
    diameter_mm_before: float
    diameter_mm_after: float | None
    oil_ml_after: float | None = None

    @classmethod
    def mean(cls, changes: Sequence[TumourChange]) -> TumourChange:
        """Mean over the replicas, field by field; None where one of them is not known."""
        values = ([getattr(c, f.name) for c in changes] for f in fields(cls))
        return cls(*(None if None in found else float(np.mean(found)) for found in values))  # type: ignore[arg-type]

    @property
    def growth(self) -> tuple[str, ...]:
        """What grows, in sentences; a reader must not take it for a success.

        Diameters are given for the written volume only: in the smooth image of a search, neighbouring lesions merge.
        """
        pairs = (
            ("The tumour", self.volume_ml_before, self.volume_ml_after),
            ("The viable tumour", self.viable_ml_before, self.viable_ml_after),
        )
        return tuple(
            f"{what} {change_in_words(before, after)}." for what, before, after in pairs if grows(before, after)
        )

    @property
    def viable_change_percent(self) -> float:
        """Change of the viable volume; -100 means that none is left."""
        if self.viable_ml_before <= 0:
            return 0.0
        return 100.0 * (self.viable_ml_after / self.viable_ml_before - 1.0)

    def to_json(self) -> dict[str, float | None]:
        """All fields and the relative change of the viable volume."""
        return {**asdict(self), "viable_change_percent": self.viable_change_percent}


#: Predicted and measured viable tumour are said to differ by more than this share of the tumour before treatment, or by
#: more than this share of the larger of the two, where it is an amount that counts (ml).
VIABLE_TOLERANCE, VIABLE_APART, LEAST_APART_ML = 0.15, 1 / 3, 0.5
#: Log-risks by different judges are said to differ by more than this: 10 % of the hazard ratio.
RISK_TOLERANCE = 0.1


@dataclass(frozen=True)
class CrossCheck:
    """Viable tumour (ml) of an outcome as the model predicts it, and as it is measured in the search's image.

    Attributes:
        predicted_ml, measured_ml: means over the replicas.
        tumour_ml: all of it before treatment, which the difference is compared with.
        risk_by: log-risk by each judge of `PlanSettings.judge` that was asked, means over the replicas: the mean by the
            judge of the plan, and how far another one is from it in the replicas of which it was asked. Empty where
            none but the one of the plan was.
    """

    predicted_ml: float
    measured_ml: float
    tumour_ml: float
    risk_by: dict[str, float] = field(default_factory=dict, hash=False)

    @classmethod
    def over(cls, scores: Sequence[ReplicaScore]) -> CrossCheck | None:
        """Means over the replicas of one protocol; None where one of the two is not known."""
        predicted, measured = ([getattr(s, f"{w}_viable_ml") for s in scores] for w in ("predicted", "measured"))
        if not scores or None in predicted or None in measured:
            return None
        before = [s.change.volume_ml_before for s in scores]
        mean = float(np.mean([s.log_risk for s in scores]))
        apart: dict[str, list[float]] = {}
        for s in scores:
            for name, risk in s.risk_by.items():
                apart.setdefault(name, []).append(risk - s.log_risk)
        risk_by = {name: mean + float(np.mean(found)) for name, found in apart.items()}
        said, seen, whole = (float(np.mean(values)) for values in (predicted, measured, before))
        return cls(said, seen, whole, risk_by)

    @property
    def tolerance_ml(self) -> float:
        """The two volumes are said to differ by more than this."""
        larger = max(self.predicted_ml, self.measured_ml)
        return min(VIABLE_TOLERANCE * self.tumour_ml, max(LEAST_APART_ML, VIABLE_APART * larger))

    @property
    def volumes_differ(self) -> bool:
        """True if predicted and measured volume are far apart, against the tumour or against one another."""
        return abs(self.predicted_ml - self.measured_ml) > self.tolerance_ml

    @property
    def risks_apart(self) -> float:
        """Largest difference of the log-risk between two judges; 0 where only one was asked."""
        return max(self.risk_by.values()) - min(self.risk_by.values()) if self.risk_by else 0.0

    @property
    def differ(self) -> bool:
        """True if the volumes differ, or the risk depends on which judge is asked by more than `RISK_TOLERANCE`."""
        return self.volumes_differ or self.risks_apart > RISK_TOLERANCE

    def to_json(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {
            **asdict(self),
            "tolerance_ml": self.tolerance_ml,
            "volumes_differ": self.volumes_differ,
            "risks_apart": self.risks_apart,
            "risk_tolerance": RISK_TOLERANCE,
            "differ": self.differ,
        }

    @property
    def text(self) -> str:
        """In one line: both volumes, and the risk by each judge where several were asked."""
        both = f"predicted by the model {self.predicted_ml:.1f} ml, measured in the search's image "
        both += f"{self.measured_ml:.1f} ml"
        if self.volumes_differ:
            both += f", which DIFFER by more than {self.tolerance_ml:.1f} ml"
        if len(self.risk_by) > 1:
            ratios = ", ".join(f"{math.exp(risk):.2f} by {_JUDGED.get(n, n)}" for n, risk in self.risk_by.items())
            both += f"; the hazard ratio is {ratios}"
            if self.risks_apart > RISK_TOLERANCE:
                percent = 100 * (math.exp(self.risks_apart) - 1)
                both += f": the highest is {percent:.0f} % above the lowest, so the risk depends on which is believed"
        return both


#: What the hazard ratio goes by, for each judge of `PlanSettings.judge`.
_JUDGED = {
    "image": "the volume measured in the image",
    "model": "the volume that the model predicts",
    "assistant": "what the segmenter outlines in the image",
}


@dataclass(frozen=True)
class ReplicaScore:
    """What one simulated replica says; a few numbers, so that thousands fit into memory and a journal.

    Attributes:
        log_risk, months, survival: what the survival network says.
        change: what happened to the tumour; its volumes are those that the risk is based on (`PlanSettings.judge`).
        members: log-risk by each member of the survival ensemble; empty without one.
        predicted_viable_ml: viable tumour as the model predicts it; None for an image from elsewhere.
        measured_viable_ml: viable tumour measured in the simulated image; None in journals of older versions.
        risk_by: log-risk by each judge of `PlanSettings.judge` that was asked; empty where it was one.
    """

    log_risk: float
    months: tuple[float, ...]
    survival: tuple[float, ...]
    change: TumourChange
    members: tuple[float, ...] = ()
    predicted_viable_ml: float | None = None
    measured_viable_ml: float | None = None
    risk_by: dict[str, float] = field(default_factory=dict, hash=False)

    @classmethod
    def from_json(cls, data: Any) -> ReplicaScore:
        """Read what `records.to_plain` makes of one; floats keep all their bits."""
        return from_plain(cls, data, "the score of a replica", UnreadableFileError, strict=False)


@dataclass(frozen=True)
class SampleLook:
    """How the sample that is shown looks beside real scans; it is drawn again until it fits, a few times at most.

    Attributes:
        attempts: how often it was drawn; another attempt draws other grains from the same outcome.
        shown: which attempt is shown, from 0 on.
        outside: statistics of the shown one that leave the range of real scans; empty if it fits.
    """

    attempts: int
    shown: int
    outside: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """What a reader is told of one that does not fit; else ""."""
        if not self.outside:
            return ""
        return f"the shown sample leaves the range of real scans in {', '.join(self.outside)}"


@dataclass(frozen=True)
class Risk:
    """Risk of death of a simulated outcome; lower is better.

    Attributes:
        replicas: log-risk of each stochastic replica (natural log of the hazard ratio against the average patient).
        months: times of the survival curve.
        survival: mean predicted survival probability at `months`.
        members: log-risk of each member of the survival ensemble, a mean over the replicas; empty without an ensemble.
        untreated: log-risk by the same network if the tumour stayed as it is; None where it was not asked.
        unseen: SD of the true log-risk that neither replicas nor members show (`core.comparison`); None where nothing
            is known of it.

    Raises:
        OutcomeError: no replica, or a curve without one probability for each month.
    """

    replicas: tuple[float, ...]
    months: tuple[float, ...] = ()
    survival: tuple[float, ...] = ()
    members: tuple[float, ...] = ()
    untreated: float | None = None
    unseen: float | None = None

    def __post_init__(self) -> None:
        if not self.replicas or len(self.months) != len(self.survival):
            raise OutcomeError(
                what="A risk needs at least one replica and one probability for each month",
                given=f"{len(self.replicas)} replicas, {len(self.months)} months, {len(self.survival)} probabilities",
            )

    @classmethod
    def over(cls, scores: Sequence[ReplicaScore]) -> Risk:
        """Risk over the replicas of one protocol."""
        curve, members = (np.mean(v, axis=0) for v in ([s.survival for s in scores], [s.members for s in scores]))
        return cls(
            tuple(s.log_risk for s in scores),
            scores[0].months,
            tuple(float(p) for p in curve),
            tuple(float(m) for m in members),
        )

    @property
    def log_risk(self) -> float:
        """Mean over the replicas."""
        return float(np.mean(self.replicas))

    @property
    def hazard_ratio(self) -> float:
        """exp(log-risk): 2 means twice the average patient's risk of death at any time."""
        return math.exp(self.log_risk)

    @property
    def hazard_ratio_treated(self) -> float | None:
        """Hazard ratio against no treatment, with a tumour that stays as it is; None where that was not asked."""
        return None if self.untreated is None else math.exp(self.log_risk - self.untreated)

    @property
    def interval(self) -> tuple[float, float]:
        """Range of the replicas: lowest and highest. With T replicas it is not a confidence interval."""
        return float(np.min(self.replicas)), float(np.max(self.replicas))

    @property
    def range_text(self) -> str:
        """The range of the replicas such as "-0.52 to -0.36"; "" for one replica, which has none."""
        low, high = self.interval
        return f"{low:+.2f} to {high:+.2f}" if len(self.replicas) > 1 else ""

    @property
    def uncertainty(self) -> float:
        """Standard deviation of the log-risk: of the simulated outcome (replicas), of the risk model (members), and of
        what neither shows.

        They are independent, so variances add up; what there is only one of adds nothing.
        """
        variances = [float(np.var(x, ddof=1)) for x in (self.replicas, self.members) if len(x) > 1]
        return float(np.sqrt(sum(variances) + (self.unseen or 0.0) ** 2))

    @property
    def total_interval(self) -> tuple[float, float] | None:
        """The log-risk with 95 %, by `uncertainty`; None where nothing is known of what replicas do not show."""
        if self.unseen is None:
            return None
        reach = NINETY_FIVE * self.uncertainty
        return self.log_risk - reach, self.log_risk + reach

    @property
    def median_survival_months(self) -> float | None:
        """Where the mean curve, drawn as straight lines between its months, first is at one half; None if nowhere."""
        return _median(self.months, self.survival)

    @property
    def median_interval_months(self) -> tuple[float | None, float | None] | None:
        """From where to where the median lies with 90 %, by `uncertainty`; an end is None beyond the last month.

        Hazards are proportional, so that a log-risk that is higher by d raises the curve to the power exp(d). None
        where there is no curve, or one replica and no ensemble, which have no spread.
        """
        if not self.months or self.uncertainty <= 0:
            return None
        ends = []
        for off in (_NINETY, -_NINETY):
            power = math.exp(off * self.uncertainty)
            ends.append(_median(self.months, [p**power for p in self.survival]))
        return ends[0], ends[1]

    @property
    def text(self) -> str:
        """Such as "log-risk +0.27 (hazard ratio 1.31)"."""
        return f"log-risk {self.log_risk:+.2f} (hazard ratio {self.hazard_ratio:.2f})"

    def __repr__(self) -> str:
        count = len(self.replicas)
        return f"Risk({self.text}, {f'{count} replicas from {self.range_text}' if count > 1 else 'one replica'})"


#: Deviations within which 90 % and 95 % of a normal distribution lie.
_NINETY = 1.645
NINETY_FIVE = 1.959964


def _median(months: Sequence[float], survival: Sequence[float]) -> float | None:
    """Where a curve, drawn as straight lines, first is at one half; None if nowhere."""
    before = None
    for time, probability in zip(months, survival, strict=True):
        if probability <= 0.5:
            if before is None or probability == 0.5:
                return time
            last, above = before
            return last + (time - last) * (above - 0.5) / (above - probability)
        before = time, probability
    return None


@dataclass(frozen=True, eq=False)
class Outcome:
    """A simulated outcome of one protocol with one seed.

    Attributes:
        ct: its `simulated` is never None.
        labels: on the same grid.
        protocol, seed: of the simulation.
        score: what was predicted and measured of it where it was simulated; None for an outcome from elsewhere.
        look: of the sample that is shown; None where it was not judged.
        nearest: of the replicas that were simulated with it, the nearest to their mean; it is the one that is written.
        viable: (K, J, I) tumour that lives, as the model simulates it; None where it does not say it.
    """

    ct: Volume
    labels: LabelMap
    protocol: Protocol
    seed: int
    score: ReplicaScore | None = None
    look: SampleLook | None = None
    nearest: bool = False
    viable: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        require_same_geometry(self.ct.geometry, self.labels.geometry)
        if self.ct.simulated is None:
            raise OutcomeError(what="The volume of a simulated outcome must carry its provenance")

    def __repr__(self) -> str:
        score = f", {in_numbers(Risk.over([self.score]), self.score.change)}" if self.score is not None else ""
        return f"Outcome({self.protocol.text}, seed {self.seed}{score})"


def in_numbers(risk: Risk, change: TumourChange) -> str:
    """Risk and viable tumour in one line, for a repr."""
    return f"{risk.text}, viable tumour {change.viable_ml_before:.1f} to {change.viable_ml_after:.1f} ml"
