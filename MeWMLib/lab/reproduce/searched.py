"""Tables 2 and 3 of one patient: what each search chooses, every simulation of a model made once for all of them."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from MeWMLib.core.coarse_maps import OutcomeMaps
from MeWMLib.core.errors import RuleError
from MeWMLib.core.patient import Patient
from MeWMLib.core.plan import ASSISTANT, IMAGE, MODEL, PlanSettings, replica_seeds
from MeWMLib.core.protocol import ActionSpace, Protocol
from MeWMLib.lab.evaluation.baselines import ACTIONLESS
from MeWMLib.lab.evaluation.plan_tables import TrueRisk
from MeWMLib.lab.reproduce.settings import ReproduceSettings
from MeWMLib.planning.exhaustive import all_protocols
from MeWMLib.planning.search import Batch, Problem, Trial, in_turn
from MeWMLib.planning.searches import search
from MeWMLib.policy import guideline, rules
from MeWMLib.world.map_simulator import MapSimulator, PreparedRegion
from MeWMLib.world.model import WorldModel
from MeWMLib.world.replicas import SimulatedReplica

#: Risks without the assistant: the outline stays that of before treatment.
OUTLINE_KEPT = "outline_kept"
#: Row to the way of judging and the search; those of the assistant are for some patients only.
ROWS = {
    "mewm": (IMAGE, "beam"),
    "mewm_best_first": (IMAGE, "best_first"),
    "mewm_exhaustive": (IMAGE, "exhaustive"),
    "judged_by_model": (MODEL, "beam"),
    "no_assistant": (OUTLINE_KEPT, "beam"),
    "mewm_assistant": (ASSISTANT, "beam"),
}


@dataclass(frozen=True)
class Choice:
    """What one row chose for one patient.

    Attributes:
        protocols: one, or several of which one is drawn at random; none where the rules leave nothing.
        simulations, seconds: that the choice needed.
    """

    protocols: tuple[Protocol, ...]
    simulations: int = 0
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """JSON-ready form."""
        texts = [p.text for p in self.protocols]
        return {"protocols": texts, "simulations": self.simulations, "seconds": round(self.seconds, 3)}


class Judge:
    """Log-risks of one patient by one model, each simulated once whoever asks.

    Args:
        world: the model.
        patient: before treatment.
        settings: of the simulations.
        seed: of the replicas.
    """

    def __init__(self, world: WorldModel, patient: Patient, settings: PlanSettings, seed: int) -> None:
        self._simulator, self._world, self._patient = world.simulator, world, patient
        self._ready = world.simulator.prepare(patient)
        self._settings, self._seeds = settings, replica_seeds(seed, settings.replicas)
        self._known: dict[str, dict[Trial, float]] = defaultdict(dict)
        self._means: dict[Trial, OutcomeMaps] = {}
        self._simulated: set[Trial] = set()
        # seconds of the simulations, and of each way of judging them that is asked beside
        self._spent: dict[str, list[float]] = defaultdict(list)

    def risks(self, way: str) -> Callable[[Batch], Sequence[float]]:
        """A function from a batch of trials to their log-risks by one way of judging."""

        def judge(batch: Batch) -> list[float]:
            known = self._known[way]
            self._simulate([t for t in batch if t not in self._simulated])
            for trial in batch:
                if trial not in known:
                    begin = time.perf_counter()
                    known[trial] = self._otherwise(way, trial)
                    self._spent[way].append(time.perf_counter() - begin)
            return [known[trial] for trial in batch]

        return judge

    def seconds_each(self, way: str) -> float:
        """What one simulation took that was judged in a way, on average."""
        return sum(sum(spent) / len(spent) for name in ("", way) if (spent := self._spent[name]))

    def _simulate(self, trials: Sequence[Trial]) -> None:
        if not trials:
            return
        asked = [(protocol, self._seeds[n]) for protocol, n in trials]
        begin = time.perf_counter()
        found = self._simulator.replicas(self._ready, asked, self._settings, compared=False, drawn=False)
        self._spent[""] += [(time.perf_counter() - begin) / len(trials)] * len(trials)
        for trial, one in zip(trials, found, strict=True):
            self._simulated.add(trial)
            self._known[IMAGE][trial] = one.score.log_risk
            if isinstance(self._ready, PreparedRegion):
                assert one.mean is not None
                self._known[MODEL][trial] = one.score.risk_by[MODEL]
                self._means[trial] = one.mean
            else:
                self._of_cube(trial, one)

    def _of_cube(self, trial: Trial, one: SimulatedReplica) -> None:
        """A latent model whose score goes by the response that it predicts is judged by its image too.

        One that predicts none is scored by its image inside the segmenter's outline as it is.
        """
        patch = self._ready.patch
        image = patch.simulated(one.change_hu)
        kept = self._world.judge_image(self._patient, image, patch.labels)
        self._known[OUTLINE_KEPT][trial] = kept.log_risk
        self._known[MODEL][trial] = self._known[ASSISTANT][trial] = one.score.log_risk
        if one.score.predicted_viable_ml is not None:
            self._known[IMAGE][trial] = self._world.judge_image(self._patient, image, one.labels).log_risk

    def _otherwise(self, way: str, trial: Trial) -> float:
        """A way of judging that a search does not ask for by itself."""
        assert isinstance(self._simulator, MapSimulator) and isinstance(self._ready, PreparedRegion)
        mean = self._means[trial]
        if way == OUTLINE_KEPT:
            # the outline of all that is treated, as it was: nothing but the densities in it tells of the treatment
            mean, way = replace(mean, tumour=self._ready.region.targets), IMAGE
        return float(self._simulator.scores(self._ready, mean, [way], self._settings.weeks)[way].log_risk)

    @property
    def segmenter_counts(self) -> bool:
        """Whether the segmenter finds the lesion before treatment well enough to be asked after it."""
        return bool(self._ready.segmenter_counts)


def choices(
    world: WorldModel,
    others: dict[str, WorldModel],
    patient: Patient,
    settings: ReproduceSettings,
    weeks: float | None,
    assisted: bool,
    truth: TrueRisk | None = None,
) -> dict[str, Any]:
    """What every row of Tables 2 and 3 that searches chooses for a patient.

    Args:
        world: the main model.
        others: models of further rows.
        patient: before treatment.
        settings: of the run.
        weeks: from treatment to the scan that is simulated; None for the usual number.
        assisted: search with the segmenter's outline of every simulation too.
        truth: of a synthetic patient.

    Returns:
        JSON-ready: `space`, `protocols` (how many the space holds), `rows` (name to `Choice`), `refused` (why the rules
        leave nothing, or ""), `segmenter_counts`, and of a synthetic patient `true` (protocol to true log-hazard).
    """
    plan = settings.plan if weeks is None else replace(settings.plan, weeks=weeks)
    among = settings.among or None
    try:
        space = guideline.propose(patient.target_findings, patient.clinical, "", plan.drugs, plan.embolics, among=among)
        every = all_protocols(Problem(space, plan, _allowed(patient)))
    except RuleError as error:
        return {"refused": error.what, "rows": {}, "protocols": 0, "space": []}
    judge = Judge(world, patient, plan, settings.seed)
    rows: dict[str, Choice] = {"random_in_space": Choice(every)}
    for name, (way, how) in ROWS.items():
        if (way == ASSISTANT and not assisted) or (how == "exhaustive" and len(every) > settings.most_protocols):
            continue
        rows[name] = _searched(judge, way, how, space, plan, patient)
    for name, other in others.items():
        if name in ACTIONLESS:
            rows[name] = Choice(every)
        else:
            rows[name] = _searched(Judge(other, patient, plan, settings.seed), IMAGE, "beam", space, plan, patient)
    out: dict[str, Any] = {
        "refused": "",
        "space": [*space.drugs, *space.embolics],
        "protocols": len(every),
        "rows": {name: row.to_json() for name, row in rows.items()},
        "segmenter_counts": judge.segmenter_counts if assisted else None,
    }
    if truth is not None:
        asked = dict.fromkeys(p for row in rows.values() for p in row.protocols)
        out["true"] = {p.text: truth(p) for p in asked}
    return out


def _allowed(patient: Patient) -> Callable[[Protocol], bool]:
    return lambda p: rules.allowed(p, patient.clinical, findings=patient.findings)


def _searched(judge: Judge, way: str, how: str, space: ActionSpace, plan: PlanSettings, patient: Patient) -> Choice:
    found = search(space, replace(plan, search=how), in_turn(judge.risks(way)), _allowed(patient))
    chosen = () if found.best is None else (found.best,)
    return Choice(chosen, found.simulations, found.simulations * judge.seconds_each(way))
