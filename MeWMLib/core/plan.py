"""Plans: what the method answers. Each class reads the JSON that it writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from html import escape
from typing import Any

from MeWMLib.core.comparison import Comparison, Standing, standings
from MeWMLib.core.errors import PlanSettingsError, UnreadableFileError
from MeWMLib.core.outcome import CrossCheck, Risk, SampleLook, TumourChange, in_numbers
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.records import from_plain, to_plain

# callers of the plan know this module only
from MeWMLib.core.search_tree import Contribution as Contribution
from MeWMLib.core.search_tree import Pruned as Pruned
from MeWMLib.core.search_tree import SearchStep as SearchStep
from MeWMLib.core.search_tree import way_to_best as way_to_best
from MeWMLib.core.templates import described, template_of
from MeWMLib.core.territory import Territory
from MeWMLib.core.unjudged import unjudged_in_words
from MeWMLib.core.written import WrittenNumbers

SEARCH_NAMES = ("beam", "exhaustive", "best_first")
TEMPLATES, FREE = SPACES = ("templates", "free")
IMAGE, ASSISTANT, MODEL = JUDGES = ("image", "assistant", "model")
#: What the defaults are in each space. Any combination is scored by the risk alone, as printed in the paper.
_BY_SPACE: dict[str, dict[str, float]] = {
    TEMPLATES: {"drug_horizon": 3, "toxicity_weight": 0.1, "complexity_weight": 0.05},
    FREE: {"drug_horizon": 2, "toxicity_weight": 0.0, "complexity_weight": 0.0},
}
#: Settings that are words.
_WORDS = ("search", "space", "judge")
#: Lowest and highest value of the settings that may not be from 1 to 100.
_LIMITS = {
    "guidance": (0, 20),
    "weeks": (1, 26),
    "dose_levels": (0, 9),
    "toxicity_weight": (0, 100),
    "complexity_weight": (0, 100),
    "uncertainty_weight": (0, 100),
}


@dataclass(frozen=True)
class PlanSettings:
    """Settings of a plan (Algorithm 1 of arXiv 2506.02327 where a letter is named).

    Attributes:
        search: "best_first" (what exhaustive finds, with fewer simulations), "beam" (Algorithm 1) or "exhaustive".
        space: "templates" (protocols that are given, with doses: `core.templates`) or "free" (all combinations, without
            doses). Algorithm 1 builds combinations agent by agent, so a beam search has only the free space.
        beams: B, parallel protocols.
        drugs, embolics: D and E, how many of each the policy proposes.
        drug_horizon, embolic_horizon: Hd and He, how many of each a protocol may hold.
        replicas: T, stochastic simulations of each protocol; see `spread`.
        steps: sampling steps of the dynamics model.
        guidance: classifier-free guidance scale; 1 means none.
        weeks: from treatment to the scan that is simulated; of use to a dynamics model on coarse maps.
        judge: what the risk goes by with a dynamics model on coarse maps: viable tumour measured in the simulated
            "image", the same in the outline that the segmenter ("assistant") sees, or what the "model" predicts.
        keep: how many of the best protocols are written as volumes.
        dose_levels: doses of each agent that a second stage tries for the best `keep` protocols; 0 leaves doses out.
        toxicity_weight, complexity_weight, uncertainty_weight: what else counts beside the risk (`planning.utility`).

    What is left out depends on the search and the space: see `_BY_SPACE`.
    """

    search: str = "best_first"
    space: str = ""
    beams: int = 3
    drugs: int = 5
    embolics: int = 4
    drug_horizon: int = None  # type: ignore[assignment]  # set by `__post_init__`
    embolic_horizon: int = 2
    replicas: int = 3
    steps: int = 8
    guidance: float = 1.0
    weeks: float = 5.0
    judge: str = IMAGE
    keep: int = 3
    dose_levels: int = 0
    toxicity_weight: float = None  # type: ignore[assignment]
    complexity_weight: float = None  # type: ignore[assignment]
    uncertainty_weight: float = 0.0

    def __post_init__(self) -> None:
        space = self.space or (FREE if self.search == "beam" else TEMPLATES)
        for name, known in (("search", SEARCH_NAMES), ("space", SPACES), ("judge", JUDGES)):
            word = space if name == "space" else getattr(self, name)
            if word not in known:
                raise PlanSettingsError(what=f"Unknown {name}", given=str(word), remedy="Use " + " or ".join(known))
        if space == TEMPLATES and self.search == "beam":
            raise PlanSettingsError(
                what="A beam search builds protocols agent by agent and fills no templates",
                given=f"search {self.search}, space {space}",
                remedy="Use the search best_first or exhaustive, or the space free",
            )
        object.__setattr__(self, "space", space)
        defaults: dict[str, Any] = {f.name: f.default for f in fields(self) if f.name not in _WORDS}
        defaults |= _BY_SPACE[space]
        for name, default in defaults.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, default)
            value, (low, high) = getattr(self, name), _LIMITS.get(name, (1, 100))
            whole = isinstance(default, int)
            number = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
            if not number or not low <= value <= high:
                kind = f"be a whole number from {low} to {high}" if whole else f"be between {low} and {high}"
                raise PlanSettingsError(what=f"{name} must {kind}", given=repr(value))

    @property
    def spread(self) -> float:
        """Share of the response's deviation that replicas show: one alone shows what is expected, several how far off
        it may be."""
        return 0.0 if self.replicas == 1 else 1.0

    @property
    def weights(self) -> dict[str, float]:
        """Weights of the utility by the name of the term."""
        return {name: getattr(self, f"{name}_weight") for name in ("toxicity", "complexity", "uncertainty")}

    @property
    def weights_text(self) -> str:
        """The weights in words, such as "toxicity 0.1, complexity 0.05"; "none" where all are 0."""
        return ", ".join(f"{name} {weight:g}" for name, weight in self.weights.items() if weight) or "none"


DEFAULT_SETTINGS = PlanSettings()


def replica_seeds(seed: int, replicas: int) -> tuple[int, ...]:
    """Seeds of the T stochastic replicas; the same for every protocol (common random numbers)."""
    return tuple(seed + n for n in range(replicas))


@dataclass(frozen=True)
class RuleFinding:
    """One clinical rule that a protocol touches.

    Attributes:
        rule: its identifier in the rule table.
        severity: "forbidden", "warning" or "note".
        reason: why, for a physician.
        source: where that is written.
    """

    rule: str
    severity: str
    reason: str
    source: str

    @property
    def text(self) -> str:
        """In one line."""
        return f"{self.severity}: {self.reason} ({self.source})"


@dataclass(frozen=True)
class Candidate:
    """One protocol of a plan.

    Attributes:
        files: names of the files "ct", "labels" and "sd" in the plan's folder; empty if no volume was kept.
        utility: what it is ranked by where a weight of the utility is set, else None: then it is the log-risk.
        contributions: what each action moved, for those that the search has simulated without it.
        unjudged: the rules that cannot be judged, by the clinical field that is missing; empty
            where all were asked, None where that was not recorded.
        look: of the sample that its volume shows; None where none was judged.
        viable: the viable tumour as it is predicted, and as it is measured; None where one of them is not known.
        written: what its written volume and labels show; None where no volume was kept, and in older plans.
        rank: its place in the plan that holds it, 1 for the best; 0 outside of a plan.
    """

    protocol: Protocol
    risk: Risk
    tumour_change: TumourChange
    warnings: tuple[RuleFinding, ...] = ()
    files: dict[str, str] = field(default_factory=dict, hash=False)
    utility: float | None = None
    contributions: tuple[Contribution, ...] = ()
    unjudged: dict[str, tuple[str, ...]] | None = field(default=None, hash=False)
    look: SampleLook | None = None
    viable: CrossCheck | None = None
    written: WrittenNumbers | None = None
    rank: int = field(default=0, compare=False)

    def to_json(self) -> dict[str, Any]:
        """The form in `plan.json`."""
        return {
            "rank": self.rank,
            "protocol": self.protocol.text,
            "actions": to_plain(self.protocol.actions),
            "territory": to_plain(self.protocol.territory),
            "template": template_of(self.protocol),
            "described": described(self.protocol),
            "risk": self.risk.log_risk,
            "risk_unseen": self.risk.unseen,
            "risk_total_interval": to_plain(self.risk.total_interval),
            "risk_interval": list(self.risk.interval) if len(self.risk.replicas) > 1 else None,
            "risk_replicas": list(self.risk.replicas),
            "risk_members": list(self.risk.members),
            "risk_uncertainty": self.risk.uncertainty,
            "risk_untreated": self.risk.untreated,
            "hazard_ratio": self.risk.hazard_ratio,
            "hazard_ratio_treated": self.risk.hazard_ratio_treated,
            "median_survival_months": self.risk.median_survival_months,
            "median_interval_months": to_plain(self.risk.median_interval_months),
            "survival": {"months": list(self.risk.months), "probability": list(self.risk.survival)},
            "tumour_change": self.tumour_change.to_json(),
            "warnings": to_plain(self.warnings),
            "files": dict(self.files),
            "utility": self.utility,
            "contributions": to_plain(self.contributions),
            "unjudged": to_plain(self.unjudged),
            "look": to_plain(self.look),
            "viable": None if self.viable is None else self.viable.to_json(),
            "written": None if self.written is None else self.written.to_json(),
        }

    @property
    def unjudged_text(self) -> str:
        """How many rules cannot be judged and what is missing for them, in one line; see `unjudged_in_words`."""
        return unjudged_in_words(self.unjudged or {})

    @property
    def unjudged_rules(self) -> str:
        """The clinical fields that are missing, each with the rules that ask for it."""
        return "; ".join(f"{missing} ({', '.join(rules)})" for missing, rules in (self.unjudged or {}).items())

    @classmethod
    def from_json(cls, data: Any) -> Candidate:
        """Read the form of `to_json`; what follows from the replicas is computed again."""
        _require_fields(data, "A candidate", "actions", "risk_replicas", "survival", "warnings", "files")
        curve = data["survival"]
        _require_fields(curve, "A survival curve", "months", "probability")
        risk = {
            "replicas": data["risk_replicas"],
            "months": curve["months"],
            "survival": curve["probability"],
            "members": data.get("risk_members", []),
            "unseen": data.get("risk_unseen"),
            "untreated": data.get("risk_untreated"),
        }
        fed = {"actions": data["actions"], "territory": data.get("territory")}
        entry = {**data, "protocol": fed, "risk": risk}
        return from_plain(cls, entry, "a candidate", UnreadableFileError, strict=False)

    @property
    def forbidden(self) -> str:
        """Names of the clinical rules that forbid it, for one that was simulated nevertheless; else ""."""
        return ", ".join(w.rule for w in self.warnings if w.severity == "forbidden")

    @property
    def described(self) -> str:
        """The protocol as a sentence that begins with its kind, such as "cTACE: ..."."""
        return described(self.protocol)

    def __repr__(self) -> str:
        rank = f"rank {self.rank}: " if self.rank else ""
        return f"Candidate({rank}{self.protocol.text}, {in_numbers(self.risk, self.tumour_change)})"


@dataclass(frozen=True)
class Plan:
    """The answer: candidates by rising risk, the search tree, and what stopped the search.

    Attributes:
        candidates: complete protocols, lowest risk first; their ranks are set here.
        tree: every expansion.
        stopped_by: "finished" or "cancelled".
        evaluated: number of different protocols (partial ones included) that were simulated.
        simulations: number of replicas that were simulated.
        ruled_out: protocols that the best-first search did not simulate, or not with all replicas.
        pruned: what the clinical rules forbade where the search came by.
        comparison: how probable it is that one protocol is truly better than another; None where that was not asked.
    """

    candidates: tuple[Candidate, ...]
    tree: tuple[SearchStep, ...]
    stopped_by: str
    evaluated: int
    simulations: int = 0
    ruled_out: int = 0
    pruned: tuple[Pruned, ...] = ()
    comparison: Comparison | None = None

    def __post_init__(self) -> None:
        ranked = tuple(replace(c, rank=n) for n, c in enumerate(self.candidates, start=1))
        object.__setattr__(self, "candidates", ranked)

    def against(self, untreated: float) -> Plan:
        """The same plan with the log-risk that an untreated tumour has, which every protocol is held against."""
        told = [replace(c, risk=replace(c.risk, untreated=untreated)) for c in self.candidates]
        return replace(self, candidates=tuple(told))

    def compared(self, comparison: Comparison) -> Plan:
        """The same plan with what is known of how far its risks are from the truth."""
        told = [replace(c, risk=comparison.told(c.risk)) for c in self.candidates]
        return replace(self, candidates=tuple(told), comparison=comparison)

    @cached_property
    def standings(self) -> tuple[Standing, ...]:
        """Where each candidate stands among the others; nothing where that was not asked."""
        return () if self.comparison is None else standings([c.risk for c in self.candidates], self.comparison)

    def fed(self, territory: Territory | None) -> Plan:
        """The same plan with every protocol given into a territory."""
        if territory is None:
            return self
        return replace(
            self,
            candidates=tuple(replace(c, protocol=c.protocol.fed(territory)) for c in self.candidates),
            tree=tuple(replace(s, parent=s.parent.fed(territory), child=s.child.fed(territory)) for s in self.tree),
            pruned=tuple(replace(p, protocol=p.protocol.fed(territory)) for p in self.pruned),
        )

    @property
    def best(self) -> Candidate | None:
        """The candidate of the lowest risk; None if there is none yet."""
        return self.candidates[0] if self.candidates else None

    @property
    def cancelled(self) -> bool:
        """True if the search was stopped before it was finished."""
        return self.stopped_by != "finished"

    def to_json(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {
            "candidates": [c.to_json() for c in self.candidates],
            "comparison": to_plain(self.comparison),
            "standings": to_plain(self.standings),
            "search_tree": [s.to_json() for s in self.tree],
            "stopped_by": self.stopped_by,
            "evaluated_protocols": self.evaluated,
            "simulations": self.simulations,
            "ruled_out": self.ruled_out,
            "pruned": [p.to_json() for p in self.pruned],
        }

    @classmethod
    def from_json(cls, data: Any) -> Plan:
        """Read the form of `to_json`.

        Raises:
            MeWMError: a field is missing, of a wrong type or not possible.
        """
        _require_fields(data, "A plan", "search_tree", "evaluated_protocols")
        entry = {**data, "tree": data["search_tree"], "evaluated": data["evaluated_protocols"]}
        return from_plain(cls, entry, "the plan", UnreadableFileError, strict=False)

    def __repr__(self) -> str:
        lines = [f"Plan({len(self.candidates)} protocols, {self.stopped_by}; simulated, research use only)"]
        lines += [f"  {c.rank}. {c.protocol.text}: {in_numbers(c.risk, c.tumour_change)}" for c in self.candidates[:10]]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """The ranking as a table, for notebooks."""
        titles = ("#", "protocol", "log-risk", "hazard ratio", "viable tumour")
        rows = [
            (c.rank, c.protocol.text, f"{c.risk.log_risk:+.2f}", f"{c.risk.hazard_ratio:.2f}",
             f"{c.tumour_change.viable_change_percent:+.0f} %")
            for c in self.candidates
        ]  # fmt: skip
        body = "".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
        head = "".join(f"<th>{title}</th>" for title in titles)
        return f"<table><tr>{head}</tr>{body}</table><p>Simulated; research use only.</p>"


def _require_fields(data: Any, what: str, *names: str) -> None:
    """Refuse what is not an object with these fields."""
    missing = [n for n in names if n not in data] if isinstance(data, Mapping) else ["it is not a JSON object"]
    if missing:
        raise UnreadableFileError(what=f"{what} lacks a field", given=", ".join(missing))
