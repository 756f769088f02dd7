"""Table 2 of arXiv 2506.02327, the rows of policies alone: does the plan name the agents that were given?

For each patient, with P the planned and G the given set of agents: precision |P & G| / |P|, recall |P & G| / |G|,
F1 = 2 |P & G| / (|P| + |G|), Jaccard |P & G| / |P | G|. Policies that are fitted see the other folds only; the folds
are drawn by patient, several times; each patient's figure is the mean over the times, and the interval is a bootstrap
over patients. Agreement with what was given is no proof of a good plan.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from MeWMLib.core.errors import InputError, RuleError
from MeWMLib.core.plan import PlanSettings
from MeWMLib.core.protocol import Protocol
from MeWMLib.lab.evaluation.metrics import Rows, bootstrap_mean
from MeWMLib.lab.evaluation.policy_cases import PolicyCase, PolicyCohort
from MeWMLib.policy.baselines import ConstantPolicy, FrequencyPrior, GuidelinePolicy, RandomPolicy
from MeWMLib.policy.proposal import Policy

METRICS = ("f1", "jaccard", "precision", "recall")
#: From the training patients and a seed to a policy.
Maker = Callable[[Sequence[PolicyCase], int], Policy]


@dataclass(frozen=True)
class PolicyResult:
    """What was measured.

    Attributes:
        rows: for `write_metrics`.
        refused: for each row the share of patients to whom the policy proposed nothing (it counts as an empty plan).
        plans: for each row the plans of the first split by patient.
        notes: what policies said about themselves, each once.
    """

    rows: Rows
    refused: dict[str, float]
    plans: dict[str, dict[str, str]]
    notes: tuple[str, ...] = ()


def scores(planned: frozenset[str], given: frozenset[str]) -> dict[str, float]:
    """The four figures of one patient; an empty plan has 0 in all of them."""
    both = len(planned & given)
    return {
        "f1": 2 * both / (len(planned) + len(given)),
        "jaccard": both / len(planned | given),
        "precision": both / len(planned) if planned else 0.0,
        "recall": both / len(given),
    }


def folds(patients: int, count: int, seed: int, repeat: int) -> list[list[int]]:
    """Indices of the test patients of each fold; every patient is in one of them."""
    order = np.random.default_rng([seed, repeat]).permutation(patients)
    return [sorted(int(n) for n in part) for part in np.array_split(order, count)]


def makers(cohort: PolicyCohort, names: Sequence[str], more: dict[str, Maker] | None = None) -> dict[str, Maker]:
    """Makers of the named rows.

    `constant` and `frequency_prior` are given to everybody, also where the rules forbid it: they say what habit alone
    scores. `guideline` and `random` obey the rules.

    Raises:
        InputError: an unknown name.
    """
    known: dict[str, Maker] = {
        "guideline": lambda _train, _seed: GuidelinePolicy(cohort.agents),
        "constant": lambda _train, _seed: ConstantPolicy(cohort.constant, obey_rules=False),
        "frequency_prior": lambda train, _seed: FrequencyPrior.fit(
            [Protocol.of(sorted(c.gold)) for c in train], obey_rules=False
        ),
        "random": lambda _train, seed: RandomPolicy(seed, cohort.agents),
        **(more or {}),
    }
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InputError(
            what="Unknown policy",
            given=", ".join(unknown),
            remedy="Use " + ", ".join(known) + ", or llm:NAME (see `mewm endpoint list`)",
        )
    return {name: known[name] for name in names}


def evaluate_policies(
    cohort: PolicyCohort,
    policies: dict[str, Maker],
    settings: PlanSettings,
    repeats: int = 20,
    fold_count: int = 5,
    seed: int = 0,
) -> PolicyResult:
    """Measure policies on patients with a gold action.

    Args:
        cohort: the patients.
        policies: row name to maker.
        settings: D, E and the horizons of the plan.
        repeats: how many times the patients are split anew.
        fold_count: folds of each split.
        seed: of splits, chance and bootstrap.

    Raises:
        InputError: fewer patients than folds, or a number below its least.
    """
    cases = cohort.cases
    if fold_count < 2 or repeats < 1 or len(cases) < fold_count:
        raise InputError(
            what="The patients cannot be split",
            given=f"{len(cases)} patients, {fold_count} folds, {repeats} repeats",
            remedy="Use at least 2 folds, 1 repeat, and no more folds than patients",
        )
    rows: dict[str, dict[str, dict[str, float]]] = {}
    refused: dict[str, float] = {}
    plans: dict[str, dict[str, str]] = {}
    notes: dict[str, None] = {}
    for name, make in policies.items():
        figures = {metric: np.zeros((repeats, len(cases))) for metric in METRICS}
        nothing = 0
        for repeat in range(repeats):
            for part, test in enumerate(folds(len(cases), fold_count, seed, repeat)):
                held_out = set(test)
                chance = int(np.random.default_rng([seed, repeat, part]).integers(2**31))
                policy = make([c for n, c in enumerate(cases) if n not in held_out], chance)
                for n in test:
                    planned = _plan(policy, cases[n], settings, notes)
                    nothing += not planned
                    for metric, value in scores(planned, cases[n].gold).items():
                        figures[metric][repeat, n] = value
                    if repeat == 0:
                        plans.setdefault(name, {})[cases[n].id] = Protocol.of(sorted(planned)).text
        rows[name] = {metric: bootstrap_mean(values.mean(0), seed) for metric, values in figures.items()}
        refused[name] = nothing / (repeats * len(cases))
    return PolicyResult(rows, refused, plans, tuple(notes))


def _plan(policy: Policy, case: PolicyCase, settings: PlanSettings, notes: dict[str, None]) -> frozenset[str]:
    try:
        proposal = policy.propose(case.seen, settings)
    except RuleError:
        return frozenset()
    notes.update(dict.fromkeys(f"{policy.name}: {note}" for note in proposal.notes))
    return frozenset(proposal.protocol.agents)
