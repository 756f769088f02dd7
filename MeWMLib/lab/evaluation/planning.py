"""`mewm evaluate planning`: is the planned protocol a good one? Tables 2 and 3 on synthetic test patients.

Every row chooses from the same action space, whose every protocol is simulated once for each model; the rows are then
looked up, so that a search costs nothing more and `seconds` is its number of simulations times what one took.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr

from MeWMLib.cohorts.synthetic.world import SyntheticPatient
from MeWMLib.core.bundles import find_bundle
from MeWMLib.core.errors import BundleError
from MeWMLib.core.patient import Patient
from MeWMLib.core.plan import PlanSettings, replica_seeds
from MeWMLib.core.protocol import ActionSpace, Protocol
from MeWMLib.core.volume import LabelMap, Volume
from MeWMLib.lab.evaluation.baselines import ACTIONLESS
from MeWMLib.lab.evaluation.metrics import Rows, bootstrap_mean
from MeWMLib.lab.evaluation.plan_tables import PlanTables
from MeWMLib.lab.evaluation.true_risk import TrueRisk
from MeWMLib.lab.synthetic.cases import SPLITS, protocols_for
from MeWMLib.planning.exhaustive import all_protocols
from MeWMLib.planning.search import Batch, first_protocol, in_turn
from MeWMLib.planning.searches import search
from MeWMLib.policy import guideline, rules
from MeWMLib.world.model import WorldModel

#: One well known drug of each class and one embolic of each class: 5 drugs x 5 embolics; with at most two drugs and one
#: embolic the rules leave some seventy protocols.
DRUGS = ("Cisplatin", "Doxorubicin", "Mitomycin", "Raltitrexed", "Hydroxycamptothecin")
EMBOLICS = ("Lipiodol", "LC beads", "Gelatin Sponge", "NBCA", "Absolute Alcohol")
#: The plan that is given to all; it lies outside of the space (three drugs), so its regret may be negative.
CONSTANT = Protocol.parse("Cisplatin + Doxorubicin + Mitomycin + Lipiodol")
#: Training patients on which the frequency prior is fitted, and edge of the drawn CT (voxels).
FITTED_ON, DRAWN = 300, 120
#: Rows that search the table of the main model, by the search.
SEARCHED = {"mewm": "beam", "exhaustive": "exhaustive", "best_first": "best_first"}


@dataclass(frozen=True)
class PlanningSettings:
    """What to measure.

    Attributes:
        bundle: name or folder; None for the default.
        patients: how many of the test split.
        seed: of the replicas.
        replicas, steps: of each simulation.
        others: row name to bundle, such as no_ccl; a row `action_blind` is simulated without its action, since it never
            saw one.
        workers: processes; each loads the bundles.
        seeds: of the patients; empty for the first of the test split.
        drugs, embolics: the action space.
        drug_horizon, embolic_horizon, beams: of the searches.
        fitted_on: training patients of the frequency prior.
        oracles: also draw the true CT after every protocol, for the row `oracle_dynamics`.
    """

    bundle: str | None = None
    patients: int = 60
    seed: int = 0
    replicas: int = 1
    steps: int = 4
    others: tuple[tuple[str, str], ...] = ()
    workers: int = 1
    seeds: tuple[int, ...] = ()
    drugs: tuple[str, ...] = DRUGS
    embolics: tuple[str, ...] = EMBOLICS
    drug_horizon: int = 2
    embolic_horizon: int = 1
    beams: int = 3
    oracles: bool = True
    fitted_on: int = FITTED_ON

    @property
    def plan(self) -> PlanSettings:
        """Settings of the searches."""
        return PlanSettings(
            beams=self.beams,
            drugs=len(self.drugs),
            embolics=len(self.embolics),
            drug_horizon=self.drug_horizon,
            embolic_horizon=self.embolic_horizon,
            replicas=self.replicas,
            steps=self.steps,
        )

    @property
    def space(self) -> ActionSpace:
        """The action space, in the order of the settings."""
        return ActionSpace(self.drugs, self.embolics, {}, "evaluation")

    def protocols(self) -> tuple[Protocol, ...]:
        """Every complete protocol of the space that the rules allow."""
        return all_protocols(self.space, self.plan, allowed)


def allowed(protocol: Protocol) -> bool:
    """The rules, for a patient of whom no clinical data are known."""
    return rules.allowed(protocol)


@dataclass(frozen=True)
class Chosen:
    """What one row chose for one patient.

    Attributes:
        protocols: one, or several of which one is drawn at random; figures are means over them.
        simulations: that the choice needed.
        rank_correlation: of predicted and true risk over the space, where there are predictions.
        seconds: that the simulations took.
    """

    protocols: tuple[Protocol, ...]
    simulations: int = 0
    rank_correlation: float = float("nan")
    seconds: float = 0.0


@dataclass(frozen=True)
class PatientChoices:
    """All rows of one patient, with the truth they are measured by."""

    seed: int
    gold: Protocol
    best: Protocol
    risk: Mapping[Protocol, float]
    rows: Mapping[str, Chosen] = field(hash=False)

    def figures(self, row: str) -> dict[str, float]:
        """The metrics of one row."""
        chosen = self.rows[row]
        out: dict[str, float] = {}
        for suffix, target in (("", self.gold), ("_best", self.best)):
            each = [overlap(p, target) for p in chosen.protocols]
            out |= {f"{name}{suffix}": float(np.mean([e[name] for e in each])) for name in each[0]}
        out["regret"] = float(np.mean([self.risk[p] for p in chosen.protocols])) - self.risk[self.best]
        out["found_best"] = float(np.mean([p == self.best for p in chosen.protocols]))
        if chosen.simulations:
            out |= {"simulations": float(chosen.simulations), "seconds": chosen.seconds}
            out["rank_correlation"] = chosen.rank_correlation
        return out

    def to_json(self) -> dict[str, Any]:
        """JSON-ready form: what was chosen, and how much worse than the best it is."""
        chosen = {row: c.protocols[0].text for row, c in self.rows.items() if len(c.protocols) == 1}
        regret = {row: self.figures(row)["regret"] for row in self.rows}
        return {"seed": self.seed, "chosen": chosen, "regret": regret}


def overlap(planned: Protocol, target: Protocol) -> dict[str, float]:
    """F1, Jaccard, precision and recall of two protocols as sets of agents, in percent."""
    a, b = set(planned.agents), set(target.agents)
    both = len(a & b)
    return {
        "f1": 100.0 * 2 * both / (len(a) + len(b)),
        "jaccard": 100.0 * both / len(a | b),
        "precision": 100.0 * both / len(a),
        "recall": 100.0 * both / len(b),
    }


def frequency_prior(protocols: Sequence[Protocol], patients: int = FITTED_ON) -> Protocol:
    """The protocol of a space that agrees best (mean F1) with what training patients were given."""
    given: dict[frozenset[str], int] = {}
    for seed in SPLITS["train"][:patients]:
        agents = frozenset(protocols_for(SyntheticPatient.draw(seed))[0].agents)
        given[agents] = given.get(agents, 0) + 1

    def agreement(protocol: Protocol) -> float:
        mine = set(protocol.agents)
        return sum(n * 2 * len(mine & agents) / (len(mine) + len(agents)) for agents, n in given.items())

    return max(protocols, key=lambda p: (agreement(p), p.text))


def evaluate_planning(
    settings: PlanningSettings, on_step: Callable[[str, float], None] | None = None
) -> tuple[Rows, list[PatientChoices]]:
    """Measure.

    Rows: `oracle` (the best protocol by the law), `gold` (what the patient was given), `random`, `constant`,
    `frequency_prior`, `guideline`, `mewm` (beam), `exhaustive`, `best_first`, `no_assistant` (the outline stays as it
    was), `viable_measured` (the viable volume is measured in the simulated image, and not what the simulation was told
    to draw), `oracle_survival` (the true law on the viable volume that the model goes by),
    `mewm_action_dropped` (the same network, not told the action: all protocols have one risk, so any is as good),
    `oracle_dynamics` (true images and outlines, the learnt survival network), and `settings.others`.

    Metrics, one number a patient: `f1`, `jaccard`, `precision`, `recall` in percent against the gold action, with
    `_best` against the truly best protocol of the space; `regret`, the true log-hazard of the chosen minus that of the
    best one; `found_best`; `rank_correlation` (Spearman over the space); `simulations` and their `seconds`.

    Returns:
        The rows, and the choices of each patient.
    """
    numbers = list(settings.seeds or SPLITS["test"][: settings.patients])
    found = []
    for choices in _measured(numbers, settings):
        found.append(choices)
        if on_step is not None:
            on_step("planning", len(found) / len(numbers))
    found.sort(key=lambda c: numbers.index(c.seed))
    rows: dict[str, dict[str, dict[str, float]]] = {}
    for row in found[0].rows:
        figures = [c.figures(row) for c in found]
        rows[row] = {m: bootstrap_mean([f.get(m, float("nan")) for f in figures], settings.seed) for m in figures[0]}
    for row, values in rows.items():
        if row != "frequency_prior":
            # on the same patients, so that the interval is that of the difference
            gains = [c.figures("frequency_prior")["regret"] - c.figures(row)["regret"] for c in found]
            values["regret_saved"] = bootstrap_mean(gains, settings.seed)
    return rows, found


def _measured(numbers: Sequence[int], settings: PlanningSettings) -> Iterator[PatientChoices]:
    if settings.workers <= 1:
        measure = _Measure(settings)
        yield from map(measure, numbers)
        return
    # spawned, since a forked torch may hang
    with ProcessPoolExecutor(settings.workers, mp_context=get_context("spawn"), initializer=_begin) as pool:
        yield from pool.map(_measure_in_worker, [(number, settings) for number in numbers])


_KEPT: dict[PlanningSettings, _Measure] = {}


def _begin() -> None:
    torch.set_num_threads(1)


def _measure_in_worker(job: tuple[int, PlanningSettings]) -> PatientChoices:
    number, settings = job
    if settings not in _KEPT:
        _KEPT[settings] = _Measure(settings)
    return _KEPT[settings](number)


class _Measure:
    """The models and priors of one run."""

    def __init__(self, settings: PlanningSettings) -> None:
        self.settings = settings
        self.protocols = settings.protocols()
        self.world = WorldModel.load(find_bundle(settings.bundle))
        self.others = {name: WorldModel.load(find_bundle(bundle)) for name, bundle in settings.others}
        self.prior = frequency_prior(self.protocols, settings.fitted_on)

    def __call__(self, number: int) -> PatientChoices:
        """Everything about one test patient."""
        drawn = SyntheticPatient.draw(number)
        geometry = drawn.target_geometry(DRAWN)
        before = drawn.render(geometry)
        ct = Volume(before.hu, geometry, drawn.anatomy.phase)
        patient = self.world.patient(ct, LabelMap(before.labels, geometry), id=str(number))
        settings = self.settings
        tables = PlanTables(self.world, patient, drawn, settings.plan, replica_seeds(settings.seed, settings.replicas))
        tables.simulate_all(self._asked())
        truth = tables.truth
        gold = protocols_for(drawn)[0]
        rows = {
            "oracle": Chosen((truth.best(self.protocols),)),
            "gold": Chosen((gold,)),
            "random": Chosen(self.protocols),
            "constant": Chosen((CONSTANT,)),
            "frequency_prior": Chosen((self.prior,)),
            "guideline": Chosen((self._guideline(patient.findings),)),
        }
        for name, how in SEARCHED.items():
            rows[name] = self._searched(tables.predicted, truth, how, tables.seconds_each)
        rows["no_assistant"] = self._searched(tables.outline_kept, truth, "beam", tables.seconds_each)
        rows["viable_measured"] = self._searched(tables.viable_measured, truth, "beam", tables.seconds_each)
        rows["oracle_survival"] = self._searched(tables.law_on_simulated, truth, "beam", tables.seconds_each)
        rows["mewm_action_dropped"] = self._without_action(self.world, patient, drawn, tables)
        if settings.oracles:
            start = time.perf_counter()
            tables.draw_all(self._asked())
            each = (time.perf_counter() - start) / len(self._asked())
            rows["oracle_dynamics"] = self._searched(tables.network_on_true, truth, "beam", each)
        for name, other in self.others.items():
            if name in ACTIONLESS:
                rows[name] = self._without_action(other, patient, drawn, tables)
                continue
            more = PlanTables(other, patient, drawn, settings.plan, tables.seeds, truth)
            more.simulate_all(self._asked())
            rows[name] = self._searched(more.predicted, truth, "beam", more.seconds_each)
        everything = {*self.protocols, gold, CONSTANT}
        return PatientChoices(number, gold, rows["oracle"].protocols[0], {p: truth(p) for p in everything}, rows)

    def _without_action(
        self, world: WorldModel, patient: Patient, drawn: SyntheticPatient, tables: PlanTables
    ) -> Chosen:
        """A model that is not told the action: two protocols are simulated; as they agree, all are one choice."""
        blind = PlanTables(world, patient, drawn, replace(self.settings.plan, guidance=0.0), tables.seeds, tables.truth)
        two = (self.protocols[0], self.protocols[-1])
        blind.simulate_all(two)
        risks = [[blind.predicted(p, n) for n in range(len(tables.seeds))] for p in two]
        if not np.allclose(*risks, atol=1e-4):
            raise BundleError(
                what="A model without its action tells protocols apart", given=f"{two[0].text}, {two[1].text}: {risks}"
            )
        return Chosen(self.protocols, len(tables.seeds), 0.0, len(tables.seeds) * blind.seconds_each)

    def _asked(self) -> tuple[Protocol, ...]:
        """All protocols that any search may ask for, the partial ones of the beam included."""
        partial = {Protocol.of(p.drugs): None for p in self.protocols}
        return (*self.protocols, *partial)

    def _guideline(self, findings: object) -> Protocol:
        everything = guideline.propose(findings, None, "", 100, 100)  # type: ignore[arg-type]
        space = self.settings.space
        ranked = ActionSpace(
            tuple(d for d in everything.drugs if d in space.drugs),
            tuple(e for e in everything.embolics if e in space.embolics),
            {},
            "guideline",
        )
        return first_protocol(ranked, allowed)

    def _searched(
        self, risk: Callable[[Protocol, int], float], truth: TrueRisk, how: str, seconds_each: float
    ) -> Chosen:
        def judge(batch: Batch) -> list[float]:
            return [risk(p, n) for p, n in batch]

        plan = replace(self.settings.plan, search=how)
        found = search(self.settings.space, plan, in_turn(judge), allowed)
        assert found.best is not None
        replicas = range(self.settings.replicas)
        predicted = [float(np.mean([risk(p, n) for n in replicas])) for p in self.protocols]
        correlation = float(spearmanr(predicted, [truth(p) for p in self.protocols])[0])
        return Chosen((found.best,), found.simulations, correlation, found.simulations * seconds_each)
