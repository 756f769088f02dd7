"""`mewm evaluate planning`: is the planned protocol a good one? Tables 2 and 3 on synthetic test patients.

Every row chooses from the same action space, whose every protocol is simulated once for each model; the rows are then
looked up, so that a search costs nothing more and `seconds` is its number of simulations times what one took.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.stats import spearmanr

from MeWMLib.cohorts.synthetic.patients import WORLD
from MeWMLib.cohorts.synthetic.study import StudyPatient
from MeWMLib.cohorts.synthetic.world import SyntheticPatient
from MeWMLib.core.errors import BundleError
from MeWMLib.core.io import write_json
from MeWMLib.core.patient import Findings, Patient
from MeWMLib.core.plan import FREE, PlanSettings, replica_seeds
from MeWMLib.core.protocol import ActionSpace, Protocol
from MeWMLib.lab.evaluation.baselines import ACTIONLESS
from MeWMLib.lab.evaluation.generation import world_of
from MeWMLib.lab.evaluation.known_patients import WorldSettings, chosen_patients, meet
from MeWMLib.lab.evaluation.known_study import meet_in_study
from MeWMLib.lab.evaluation.metrics import Rows, bootstrap_mean, rows_of
from MeWMLib.lab.evaluation.plan_study import StudyRisk, StudyTables
from MeWMLib.lab.evaluation.plan_tables import PlanTables, Risks, TrueRisk
from MeWMLib.lab.evaluation.policy import scores
from MeWMLib.lab.evaluation.work import Say, each_patient, settings_from, silent
from MeWMLib.lab.synthetic.cases import SPLITS, protocols_for
from MeWMLib.planning.exhaustive import all_protocols
from MeWMLib.planning.search import Problem, first_protocol, in_turn
from MeWMLib.planning.searches import search
from MeWMLib.policy import guideline, rules
from MeWMLib.world.model import WorldModel

#: One well known drug of each class and one embolic of each class: 5 drugs x 5 embolics; with at most two drugs and one
#: embolic the rules leave some seventy protocols.
DRUGS = ("Cisplatin", "Doxorubicin", "Mitomycin", "Raltitrexed", "Hydroxycamptothecin")
EMBOLICS = ("Lipiodol", "LC beads", "Gelatin Sponge", "NBCA", "Absolute Alcohol")
#: The plan that is given to all; it is outside of the space (three drugs), so its regret may be negative.
CONSTANT = Protocol.parse("Cisplatin + Doxorubicin + Mitomycin + Lipiodol")
#: Training patients on which the frequency prior is fitted.
FITTED_ON = 300
#: Rows that search a table of the main model: the table and the search.
SEARCHED = {
    "mewm": ("predicted", "beam"),
    "exhaustive": ("predicted", "exhaustive"),
    "best_first": ("predicted", "best_first"),
    "no_assistant": ("outline_kept", "beam"),
    "viable_measured": ("viable_measured", "beam"),
    "oracle_survival": ("law_on_simulated", "beam"),
}
#: The same in version 3 of the world, where a search judges by the image.
SEARCHED_STUDY = {
    "mewm": ("image", "beam"),
    "exhaustive": ("image", "exhaustive"),
    "best_first": ("image", "best_first"),
    "judged_by_model": ("model", "exhaustive"),
    "judged_by_volume": ("volume", "exhaustive"),
    "oracle_survival": ("law_on_image", "exhaustive"),
    "oracle_survival_on_model": ("law_on_model", "exhaustive"),
}


@dataclass(frozen=True)
class PlanningSettings(WorldSettings):
    """What to measure.

    Attributes:
        drugs, embolics: the action space.
        drug_horizon, embolic_horizon, beams: of the searches.
        fitted_on: training patients of the frequency prior.
        oracles: also draw the true CT after every protocol, for the row `oracle_dynamics` of version 2.
        world: version of the synthetic world.
    """

    drugs: tuple[str, ...] = DRUGS
    embolics: tuple[str, ...] = EMBOLICS
    drug_horizon: int = 2
    embolic_horizon: int = 1
    beams: int = 3
    oracles: bool = True
    fitted_on: int = FITTED_ON
    world: int = WORLD

    @property
    def plan(self) -> PlanSettings:
        """Settings of the searches."""
        return PlanSettings(
            space=FREE, beams=self.beams, drugs=len(self.drugs), embolics=len(self.embolics),
            drug_horizon=self.drug_horizon, embolic_horizon=self.embolic_horizon,
            replicas=self.replicas, steps=self.steps,
        )  # fmt: skip

    @property
    def space(self) -> ActionSpace:
        """The action space, in the order of the settings."""
        return ActionSpace(self.drugs, self.embolics, {}, "evaluation")

    def protocols(self) -> tuple[Protocol, ...]:
        """Every complete protocol of the space that the rules allow."""
        return all_protocols(Problem(self.space, self.plan, rules.allowed))


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

    def to_json(self) -> dict[str, object]:
        """JSON-ready form: what was chosen, and how much worse than the best it is."""
        chosen = {row: c.protocols[0].text for row, c in self.rows.items() if len(c.protocols) == 1}
        regret = {row: self.figures(row)["regret"] for row in self.rows}
        return {"seed": self.seed, "chosen": chosen, "regret": regret}


def overlap(planned: Protocol, target: Protocol) -> dict[str, float]:
    """F1, Jaccard, precision and recall of two protocols as sets of agents, in percent."""
    both = scores(frozenset(planned.agents), frozenset(target.agents))
    return {name: 100.0 * value for name, value in both.items()}


def frequency_prior(protocols: Sequence[Protocol], patients: int = FITTED_ON) -> Protocol:
    """The protocol of a space that agrees best (mean F1) with what training patients were given."""
    given = Counter(frozenset(protocols_for(SyntheticPatient.draw(s))[0].agents) for s in SPLITS["train"][:patients])

    def agreement(protocol: Protocol) -> float:
        mine = set(protocol.agents)
        return sum(n * 2 * len(mine & agents) / (len(mine) + len(agents)) for agents, n in given.items())

    return max(protocols, key=lambda p: (agreement(p), p.text))


def run(args: argparse.Namespace, say: Say) -> tuple[Rows, str]:
    """Measure what the arguments ask for and write choices.json; rows, and on whom."""
    world = world_of(args.world, args.bundle)
    seeds, about = chosen_patients(args, world)
    settings = settings_from(PlanningSettings, args, seeds=seeds, world=world)
    rows, choices = evaluate_planning(settings, say)
    write_json({"patients": [c.to_json() for c in choices]}, args.out / "choices.json")
    return rows, f"{about}, {len(settings.protocols())} protocols to choose from"


def evaluate_planning(settings: PlanningSettings, say: Say = silent) -> tuple[Rows, list[PatientChoices]]:
    """Measure.

    Rows: `oracle` (the best protocol by the law), `gold` (what the patient was given), `random`, `constant`,
    `frequency_prior`, `guideline`, `mewm` (beam), `exhaustive`, `best_first`, `no_assistant` (the outline stays as it
    was), `viable_measured` (the viable volume is measured in the simulated image, and not what the simulation was given
    to draw), `oracle_survival` (the true law on the viable volume that the model goes by),
    `mewm_action_dropped` (the same network without the action: all protocols have one risk, so any is as good),
    `oracle_dynamics` (true images and outlines, the learnt survival network), and `settings.others`. In version 3 of
    the world, where a search judges by the image: `judged_by_model` (by what the model predicts of the volumes),
    `judged_by_volume` (by the viable volume in the image alone, without the survival network), and
    `oracle_survival_on_model`; the last four search every protocol, and there is no `oracle_dynamics`.

    Metrics, one number a patient: `f1`, `jaccard`, `precision`, `recall` in percent against the gold action, with
    `_best` against the truly best protocol of the space; `regret`, the true log-hazard of the chosen minus that of the
    best one; `found_best`; `rank_correlation` (Spearman over the space); `simulations` and their `seconds`.

    Returns:
        The rows, and the choices of each patient.
    """
    found = each_patient(_Measure, settings, settings.seeds, settings.workers, "planning", say)
    figures = [{row: c.figures(row) for row in c.rows} for c in found]
    rows = rows_of(figures, settings.seed)
    for row in set(rows) - {"frequency_prior"}:
        # on the same patients, so that the interval is that of the difference
        gains = [f["frequency_prior"]["regret"] - f[row]["regret"] for f in figures]
        rows[row]["regret_saved"] = bootstrap_mean(gains, settings.seed)
    return rows, found


class _Measure:
    """The models and priors of one run."""

    def __init__(self, settings: PlanningSettings) -> None:
        self.settings = settings
        self.protocols = settings.protocols()
        self.world, self.others = settings.worlds()
        self.prior = frequency_prior(self.protocols, settings.fitted_on)

    def __call__(self, number: int) -> PatientChoices:
        """Everything about one test patient."""
        settings, seeds = self.settings, replica_seeds(self.settings.seed, self.settings.replicas)
        tables: PlanTables | StudyTables
        if settings.world == WORLD:
            drawn, patient = meet(self.world, number)
            tables = PlanTables(self.world, patient, drawn, settings.plan, seeds)
        else:
            drawn, patient = meet_in_study(self.world, number)
            tables = StudyTables(self.world, patient, drawn, settings.plan, seeds)
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
        for name, (table, how) in (SEARCHED if isinstance(tables, PlanTables) else SEARCHED_STUDY).items():
            rows[name] = self._searched(tables.risks[table], truth, how, tables.seconds_each)
        rows["mewm_action_dropped"] = self._without_action(self.world, patient, drawn, tables)
        if settings.oracles and isinstance(tables, PlanTables):
            start = time.perf_counter()
            tables.draw_all(self._asked())
            each = (time.perf_counter() - start) / len(self._asked())
            rows["oracle_dynamics"] = self._searched(tables.risks["network_on_true"], truth, "beam", each)
        for name, other in self.others.items():
            if name in ACTIONLESS:
                rows[name] = self._without_action(other, patient, drawn, tables)
                continue
            more = _like(tables, other, patient, drawn, settings.plan)
            more.simulate_all(self._asked())
            rows[name] = self._searched(more.risks[more.main], truth, "beam", more.seconds_each)
        everything = {*self.protocols, gold, CONSTANT}
        return PatientChoices(number, gold, rows["oracle"].protocols[0], {p: truth(p) for p in everything}, rows)

    def _without_action(
        self, world: WorldModel, patient: Patient, drawn: SyntheticPatient, tables: PlanTables | StudyTables
    ) -> Chosen:
        """A model that does not see the action: two protocols are simulated; as they agree, all are one choice."""
        blind = _like(tables, world, patient, drawn, replace(self.settings.plan, guidance=0.0))
        two = (self.protocols[0], self.protocols[-1])
        blind.simulate_all(two)
        risks = [[blind.risks[blind.main][p, n] for n in range(len(tables.seeds))] for p in two]
        if not np.allclose(*risks, atol=1e-4):
            raise BundleError(
                what="A model without its action tells protocols apart", given=f"{two[0].text}, {two[1].text}: {risks}"
            )
        return Chosen(self.protocols, len(tables.seeds), 0.0, len(tables.seeds) * blind.seconds_each)

    def _asked(self) -> tuple[Protocol, ...]:
        """All protocols that any search may ask for, the partial ones of the beam included."""
        partial = {Protocol.of(p.drugs): None for p in self.protocols}
        return (*self.protocols, *partial)

    def _guideline(self, findings: Findings) -> Protocol:
        among = (*self.settings.drugs, *self.settings.embolics)
        return first_protocol(guideline.propose(findings, drugs=100, embolics=100, among=among), rules.allowed)

    def _searched(self, risks: Risks, truth: TrueRisk | StudyRisk, how: str, seconds_each: float) -> Chosen:
        plan = replace(self.settings.plan, search=how)
        judge = in_turn(lambda batch: [risks[trial] for trial in batch])
        found = search(self.settings.space, plan, judge, rules.allowed)
        assert found.best is not None
        replicas = range(self.settings.replicas)
        predicted = [float(np.mean([risks[p, n] for n in replicas])) for p in self.protocols]
        correlation = float(spearmanr(predicted, [truth(p) for p in self.protocols])[0])
        return Chosen((found.best,), found.simulations, correlation, found.simulations * seconds_each)


def _like(
    tables: PlanTables | StudyTables,
    world: WorldModel,
    patient: Patient,
    drawn: SyntheticPatient,
    plan: PlanSettings,
) -> PlanTables | StudyTables:
    """Empty tables of another model, by the same truth."""
    if isinstance(tables, PlanTables):
        return PlanTables(world, patient, drawn, plan, tables.seeds, tables.truth)
    assert isinstance(drawn, StudyPatient)
    return StudyTables(world, patient, drawn, plan, tables.seeds, tables.truth)
