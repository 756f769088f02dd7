"""Outcomes: what was simulated, and the risk and tumour change that were predicted and measured of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from MeWMLib.core.errors import OutcomeError, UnreadableFileError
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.records import from_plain
from MeWMLib.core.volume import LabelMap, Volume, require_same_geometry


@dataclass(frozen=True)
class TumourChange:
    """The tumour inside the treated region before and after, measured the same way on both.

    Attributes:
        volume_ml_before, volume_ml_after: whole lesions.
        viable_ml_before, viable_ml_after: without necrosis and lipiodol.
        lipiodol_ml_after: tumour at lipiodol density after treatment.
        diameter_mm_before, diameter_mm_after: longest axial diameter of the target lesion.
    """

    volume_ml_before: float
    volume_ml_after: float
    viable_ml_before: float
    viable_ml_after: float
    lipiodol_ml_after: float
    diameter_mm_before: float
    diameter_mm_after: float

    @classmethod
    def mean(cls, changes: Sequence[TumourChange]) -> TumourChange:
        """Mean over the replicas, field by field."""
        return cls(*(float(np.mean([getattr(c, f.name) for c in changes])) for f in fields(cls)))

    @property
    def viable_change_percent(self) -> float:
        """Change of the viable volume; -100 means that none is left."""
        if self.viable_ml_before <= 0:
            return 0.0
        return 100.0 * (self.viable_ml_after / self.viable_ml_before - 1.0)

    def to_json(self) -> dict[str, float]:
        """All fields and the relative change of the viable volume."""
        return {**asdict(self), "viable_change_percent": self.viable_change_percent}


#: Predicted and measured viable tumour are said to differ by more than this share of the tumour before treatment.
VIABLE_TOLERANCE = 0.15


@dataclass(frozen=True)
class CrossCheck:
    """Viable tumour (ml) of an outcome as the model predicts it, and as it is measured in the simulated image.

    Attributes:
        predicted_ml, measured_ml: means over the replicas.
        tumour_ml: all of it before treatment, which the difference is compared with.
    """

    predicted_ml: float
    measured_ml: float
    tumour_ml: float

    @classmethod
    def over(cls, scores: Sequence[ReplicaScore]) -> CrossCheck | None:
        """Means over the replicas of one protocol; None where one of the two is not known."""
        predicted, measured = ([getattr(s, f"{w}_viable_ml") for s in scores] for w in ("predicted", "measured"))
        if not scores or None in predicted or None in measured:
            return None
        before = [s.change.volume_ml_before for s in scores]
        return cls(*(float(np.mean(values)) for values in (predicted, measured, before)))

    @property
    def differ(self) -> bool:
        """True if the two differ by more than `VIABLE_TOLERANCE`."""
        return abs(self.predicted_ml - self.measured_ml) > VIABLE_TOLERANCE * self.tumour_ml

    def to_json(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {**asdict(self), "tolerance_ml": VIABLE_TOLERANCE * self.tumour_ml, "differ": self.differ}

    @property
    def text(self) -> str:
        """In one line, such as "predicted by the model 3.1 ml, measured in the image 3.4 ml"."""
        beyond = f", which is more than {100 * VIABLE_TOLERANCE:.0f} % of the tumour apart" if self.differ else ""
        both = f"predicted by the model {self.predicted_ml:.1f} ml, measured in the image {self.measured_ml:.1f} ml"
        return both + beyond


@dataclass(frozen=True)
class ReplicaScore:
    """What one simulated replica says; a few numbers, so that thousands fit into memory and a journal.

    Attributes:
        log_risk, months, survival: what the survival network says.
        change: what happened to the tumour; its volumes are those that the risk is based on (`PlanSettings.judge`).
        members: log-risk by each member of the survival ensemble; empty without one.
        predicted_viable_ml: viable tumour as the model predicts it; None for an image from elsewhere.
        measured_viable_ml: viable tumour measured in the simulated image; None in journals of older versions.
    """

    log_risk: float
    months: tuple[float, ...]
    survival: tuple[float, ...]
    change: TumourChange
    members: tuple[float, ...] = ()
    predicted_viable_ml: float | None = None
    measured_viable_ml: float | None = None

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

    Raises:
        OutcomeError: no replica, or a curve without one probability for each month.
    """

    replicas: tuple[float, ...]
    months: tuple[float, ...] = ()
    survival: tuple[float, ...] = ()
    members: tuple[float, ...] = ()

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
    def interval(self) -> tuple[float, float]:
        """Range of the replicas: lowest and highest. With T replicas it is not a confidence interval."""
        return float(np.min(self.replicas)), float(np.max(self.replicas))

    @property
    def uncertainty(self) -> float:
        """Standard deviation of the log-risk: of the simulated outcome (replicas) and of the risk model (members).

        The two are independent, so variances add up; what there is only one of adds nothing.
        """
        variances = [float(np.var(x, ddof=1)) for x in (self.replicas, self.members) if len(x) > 1]
        return float(np.sqrt(sum(variances)))

    @property
    def median_survival_months(self) -> float | None:
        """Where the mean curve, drawn as straight lines between its months, first is at one half; None if nowhere."""
        before = None
        for time, probability in zip(self.months, self.survival, strict=True):
            if probability <= 0.5:
                if before is None or probability == 0.5:
                    return time
                last, above = before
                return last + (time - last) * (above - 0.5) / (above - probability)
            before = time, probability
        return None

    @property
    def text(self) -> str:
        """Such as "log-risk +0.27 (hazard ratio 1.31)"."""
        return f"log-risk {self.log_risk:+.2f} (hazard ratio {self.hazard_ratio:.2f})"

    def __repr__(self) -> str:
        low, high = self.interval
        return f"Risk({self.text}, {len(self.replicas)} replicas from {low:+.2f} to {high:+.2f})"


@dataclass(frozen=True, eq=False)
class Outcome:
    """A simulated outcome of one protocol with one seed.

    Attributes:
        ct: its `simulated` is never None.
        labels: on the same grid.
        protocol, seed: of the simulation.
        score: what was predicted and measured of it where it was simulated; None for an outcome from elsewhere.
        look: of the sample that is shown; None where it was not judged.
    """

    ct: Volume
    labels: LabelMap
    protocol: Protocol
    seed: int
    score: ReplicaScore | None = None
    look: SampleLook | None = None

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
