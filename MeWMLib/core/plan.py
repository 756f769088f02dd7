"""Outcomes, risks and plans: what the method answers."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from MeWMLib.core.errors import OutcomeError, PlanSettingsError
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.volume import LabelMap, Volume, require_same_geometry

SEARCH_NAMES = ("beam", "exhaustive", "best_first")


@dataclass(frozen=True)
class PlanSettings:
    """Settings of a plan (Algorithm 1 of arXiv 2506.02327 where a letter is named).

    Attributes:
        search: "best_first" (what exhaustive finds, with fewer simulations), "beam" (Algorithm 1) or "exhaustive".
        beams: B, parallel protocols.
        drugs, embolics: D and E, how many of each the policy proposes.
        drug_horizon, embolic_horizon: Hd and He, how many of each a protocol may hold.
        replicas: T, stochastic simulations of each protocol; see `spread`.
        steps: sampling steps of the dynamics model.
        guidance: classifier-free guidance scale; 1 means none.
        keep: how many of the best protocols are written as volumes.
        dose_levels: doses of each agent that a second stage tries for the best `keep` protocols; 0 leaves doses out.
        toxicity_weight, complexity_weight, uncertainty_weight: what else counts beside the risk (`planning.utility`).
    """

    search: str = "best_first"
    beams: int = 3
    drugs: int = 5
    embolics: int = 4
    drug_horizon: int = 2
    embolic_horizon: int = 2
    replicas: int = 3
    steps: int = 8
    guidance: float = 1.0
    keep: int = 3
    dose_levels: int = 0
    toxicity_weight: float = 0.0
    complexity_weight: float = 0.0
    uncertainty_weight: float = 0.0

    def __post_init__(self) -> None:
        if self.search not in SEARCH_NAMES:
            raise PlanSettingsError(what="Unknown search", given=self.search, remedy="Use " + " or ".join(SEARCH_NAMES))
        for name in ("beams", "drugs", "embolics", "drug_horizon", "embolic_horizon", "replicas", "steps", "keep"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 100:
                raise PlanSettingsError(what=f"{name} must be a whole number from 1 to 100", given=repr(value))
        if not 0.0 <= self.guidance <= 20.0:
            raise PlanSettingsError(what="guidance must lie between 0 and 20", given=repr(self.guidance))
        whole = isinstance(self.dose_levels, int) and not isinstance(self.dose_levels, bool)
        if not whole or not 0 <= self.dose_levels <= 9:
            raise PlanSettingsError(what="dose_levels must be a whole number from 0 to 9", given=repr(self.dose_levels))
        for name, weight in self.weights.items():
            if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0.0 <= weight <= 100.0:
                raise PlanSettingsError(what=f"{name}_weight must lie between 0 and 100", given=repr(weight))

    @property
    def spread(self) -> float:
        """Share of the response's deviation that replicas show: one alone shows what is expected, several how far off
        it may be."""
        return 0.0 if self.replicas == 1 else 1.0

    @property
    def weights(self) -> dict[str, float]:
        """Weights of the utility by the name of the term."""
        return {
            "toxicity": self.toxicity_weight,
            "complexity": self.complexity_weight,
            "uncertainty": self.uncertainty_weight,
        }


def replica_seeds(seed: int, replicas: int) -> tuple[int, ...]:
    """Seeds of the T stochastic replicas; the same for every protocol (common random numbers)."""
    return tuple(seed + n for n in range(replicas))


@dataclass(frozen=True, eq=False)
class Outcome:
    """A simulated outcome of one protocol with one seed.

    Attributes:
        ct: its `simulated` is never None.
        labels: on the same grid.
        protocol, seed: of the simulation.
        viable_ml: viable tumour in the treated patch that the simulation was told to draw; None where nobody told it.
    """

    ct: Volume
    labels: LabelMap
    protocol: Protocol
    seed: int
    viable_ml: float | None = None

    def __post_init__(self) -> None:
        require_same_geometry(self.ct.geometry, self.labels.geometry)
        if self.ct.simulated is None:
            raise OutcomeError(what="The volume of a simulated outcome must carry its provenance")


@dataclass(frozen=True)
class Risk:
    """Risk of death of a simulated outcome; lower is better.

    Attributes:
        replicas: log-risk of each stochastic replica (natural log of the hazard ratio against the average patient).
        months: times of the survival curve.
        survival: mean predicted survival probability at `months`.
        members: log-risk of each member of the survival ensemble, a mean over the replicas; empty without an ensemble.
    """

    replicas: tuple[float, ...]
    months: tuple[float, ...] = ()
    survival: tuple[float, ...] = ()
    members: tuple[float, ...] = ()

    @property
    def log_risk(self) -> float:
        """Mean over the replicas."""
        return float(np.mean(self.replicas))

    @property
    def interval(self) -> tuple[float, float]:
        """Range of the replicas: lowest and highest. With T replicas it is no confidence interval."""
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
        """First time at which the mean curve is at or under one half; None if it never is."""
        for month, probability in zip(self.months, self.survival, strict=True):
            if probability <= 0.5:
                return month
        return None


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

    @property
    def viable_change_percent(self) -> float:
        """Change of the viable volume; -100 means that none is left."""
        if self.viable_ml_before <= 0:
            return 0.0
        return 100.0 * (self.viable_ml_after / self.viable_ml_before - 1.0)

    def to_json(self) -> dict[str, float]:
        """All fields and the relative change of the viable volume."""
        return {**asdict(self), "viable_change_percent": self.viable_change_percent}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> TumourChange:
        """Read the form of `to_json`."""
        return cls(**{name: float(data[name]) for name in cls.__dataclass_fields__})


@dataclass(frozen=True)
class RuleFinding:
    """One clinical rule that a protocol touches.

    Attributes:
        rule: its identifier in the rule table.
        severity: "forbidden" or "warning".
        reason: why, for a physician.
        source: where that stands.
    """

    rule: str
    severity: str
    reason: str
    source: str


@dataclass(frozen=True)
class Contribution:
    """What one action of a protocol moved, by leaving it out.

    Attributes:
        action: its text.
        risk_without: log-risk of the protocol without it; None if that was not simulated.
        risk_change: log-risk with it minus without it; negative means that it helps.
    """

    action: str
    risk_without: float | None
    risk_change: float | None


@dataclass(frozen=True)
class Pruned:
    """A protocol that was not simulated because clinical rules forbid it."""

    protocol: Protocol
    rules: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {"protocol": self.protocol.text, "rules": list(self.rules)}


@dataclass(frozen=True)
class Candidate:
    """One protocol of a plan.

    Attributes:
        utility: what it is ranked by where a weight of the utility is set, else None: then it is the log-risk.
        contributions: what each action moved, for those that the search has simulated without it.
    """

    protocol: Protocol
    risk: Risk
    tumour_change: TumourChange
    warnings: tuple[RuleFinding, ...] = ()
    files: dict[str, str] = field(default_factory=dict, hash=False)
    utility: float | None = None
    contributions: tuple[Contribution, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The form in `plan.json`."""
        return {
            "protocol": self.protocol.text,
            "actions": self.protocol.to_json(),
            "risk": self.risk.log_risk,
            "risk_interval": list(self.risk.interval),
            "risk_replicas": list(self.risk.replicas),
            "risk_members": list(self.risk.members),
            "risk_uncertainty": self.risk.uncertainty,
            "median_survival_months": self.risk.median_survival_months,
            "survival": {"months": list(self.risk.months), "probability": list(self.risk.survival)},
            "tumour_change": self.tumour_change.to_json(),
            "warnings": [asdict(w) for w in self.warnings],
            "files": dict(self.files),
            "utility": self.utility,
            "contributions": [asdict(c) for c in self.contributions],
        }


@dataclass(frozen=True)
class SearchStep:
    """One expansion of the search tree: from `parent` by one action, judged by `risk`; `kept` if it survived."""

    step: int
    beam: int
    parent: Protocol
    child: Protocol
    risk: float
    kept: bool

    def to_json(self) -> dict[str, Any]:
        """JSON-ready form; the root is the empty protocol, written as ""."""
        return {**asdict(self), "parent": self.parent.text, "child": self.child.text}


@dataclass(frozen=True)
class Plan:
    """The answer: candidates by rising risk, the search tree, and what stopped the search.

    Attributes:
        candidates: complete protocols, lowest risk first.
        tree: every expansion.
        stopped_by: "finished" or "cancelled".
        evaluated: number of different protocols (partial ones included) that were simulated.
        simulations: number of replicas that were simulated.
        ruled_out: protocols that the best-first search did not simulate, or not with all replicas.
        pruned: what the clinical rules forbade where the search came by.
    """

    candidates: tuple[Candidate, ...]
    tree: tuple[SearchStep, ...]
    stopped_by: str
    evaluated: int
    simulations: int = 0
    ruled_out: int = 0
    pruned: tuple[Pruned, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {
            "candidates": [{"rank": n + 1, **c.to_json()} for n, c in enumerate(self.candidates)],
            "search_tree": [s.to_json() for s in self.tree],
            "stopped_by": self.stopped_by,
            "evaluated_protocols": self.evaluated,
            "simulations": self.simulations,
            "ruled_out": self.ruled_out,
            "pruned": [p.to_json() for p in self.pruned],
        }
