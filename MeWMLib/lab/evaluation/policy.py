"""Table 2 of arXiv 2506.02327, the rows of policies alone: does the plan name the agents that were given?

For each patient, with P the planned and G the given set of agents: precision |P & G| / |P|, recall |P & G| / |G|,
F1 = 2 |P & G| / (|P| + |G|), Jaccard |P & G| / |P | G|. Policies that are fitted see the other folds only; the folds
are drawn by patient, several times; each patient's figure is the mean over the times, and the interval is a bootstrap
over patients. Agreement with what was given does not prove that a plan is good.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MeWMLib.core.errors import InputError, RuleError
from MeWMLib.core.io import write_json
from MeWMLib.core.plan import PlanSettings
from MeWMLib.core.protocol import Protocol
from MeWMLib.lab.evaluation.baselines.policies import RandomPolicy, fit_prior, save_prior
from MeWMLib.lab.evaluation.metrics import Rows, bootstrap_mean
from MeWMLib.lab.evaluation.policy_cases import PolicyCase, PolicyCohort, read_cohort, read_table
from MeWMLib.lab.evaluation.work import Say, silent
from MeWMLib.policy.baselines import ConstantPolicy, GuidelinePolicy
from MeWMLib.policy.choose import SLICES, language_model
from MeWMLib.policy.llm.language_model import LanguageModelPolicy
from MeWMLib.policy.proposal import Policy, PolicyInput, Proposal

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
        each: for each row the figures (metrics, patients), means over the splits, in the order of `METRICS`.
    """

    rows: Rows
    refused: dict[str, float]
    plans: dict[str, dict[str, str]]
    notes: tuple[str, ...] = ()
    each: dict[str, NDArray[np.float64]] = field(default_factory=dict)


def run(args: argparse.Namespace, say: Say = silent) -> tuple[Rows, str]:
    """Measure, and write policy.json (plans, refusals, counts) and frequency_prior.json (of all) beside the table.

    Raises:
        InputError: neither or both of a cohort and a table; see `evaluate_policies`.
    """
    if (args.table is None) == (args.cohort is None):
        raise InputError(what="A policy needs one cohort or one table", remedy="Give --cohort DIR or --table CSV")
    models = [name for name in args.policy if name.startswith("llm:")]
    cohort = read_table(args.table) if args.table else read_cohort(args.cohort, SLICES if models else 0)
    if args.constant:
        cohort = replace(cohort, constant=Protocol.parse(args.constant))
    settings = PlanSettings(space=args.space, drug_horizon=args.drug_horizon, embolic_horizon=args.embolic_horizon)
    asked = {name: _AskedOnce(language_model(name, cohort.agents)) for name in models}
    result = evaluate_policies(
        cohort, makers(cohort, args.policy, asked), settings, args.repeats, args.folds, args.seed, say
    )
    prior = fit_prior([Protocol.of(sorted(case.gold)) for case in cohort.cases])
    args.out.mkdir(parents=True, exist_ok=True)
    save_prior(prior, args.out / "frequency_prior.json")
    about = {
        "regimens": dict(prior.regimens),
        "patients_without_regimen": cohort.without_regimen,
        "strata": dict(Counter(case.stratum for case in cohort.cases)),
        "constant": cohort.constant.text,
        "space": settings.space,
        "drug_horizon": settings.drug_horizon,
        "embolic_horizon": settings.embolic_horizon,
        "repeats": args.repeats,
        "folds": args.folds,
        "refused": result.refused,
        "plans": {row: dict(Counter(plans.values())) for row, plans in result.plans.items()},
        "notes": list(result.notes),
        "usage": {name: policy.usage for name, policy in asked.items()},
    }
    write_json(about, args.out / "policy.json")
    for row, share in result.refused.items():
        if share:
            sys.stderr.write(f"{row}: nothing was proposed to {100 * share:.1f} % of the patients\n")
    return result.rows, cohort.name


class _AskedOnce:
    """A policy that is asked once for each patient: it is not fitted, so that every split would ask the same.

    Args:
        policy: the language model.
    """

    def __init__(self, policy: LanguageModelPolicy) -> None:
        self._policy, self._known = policy, dict[int, tuple[PolicyInput, Proposal]]()
        self.name, self.usage = policy.name, dict[str, Any]()

    def propose(self, case: PolicyInput, settings: PlanSettings) -> Proposal:
        """Ask, or answer what was said before."""
        if id(case) not in self._known:
            proposal = self._policy.propose(case, settings)
            # the case is kept beside it, so that its id is not given to another one
            self._known[id(case)] = (case, proposal)
            self.usage = proposal.usage
        return self._known[id(case)][1]


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


def makers(cohort: PolicyCohort, names: Sequence[str], asked: Mapping[str, Policy] | None = None) -> dict[str, Maker]:
    """Makers of the named rows; policies that are not fitted are given in `asked`.

    `constant` and `frequency_prior` are given to everybody, also where the rules forbid it: they say what habit alone
    scores. `guideline` and `random` obey the rules.

    Raises:
        InputError: an unknown name.
    """
    known: dict[str, Maker] = {
        "guideline": lambda _train, _seed: GuidelinePolicy(cohort.agents),
        "constant": lambda _train, _seed: ConstantPolicy(cohort.constant, obey_rules=False),
        "frequency_prior": lambda train, _seed: fit_prior(
            [Protocol.of(sorted(c.gold)) for c in train], obey_rules=False
        ),
        "random": lambda _train, seed: RandomPolicy(seed, cohort.agents),
        **{name: lambda _train, _seed, policy=policy: policy for name, policy in (asked or {}).items()},
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
    say: Say = silent,
) -> PolicyResult:
    """Measure policies on patients with a gold action.

    Args:
        cohort: the patients.
        policies: row name to maker.
        settings: D, E and the horizons of the plan.
        repeats: how many times the patients are split anew.
        fold_count: folds of each split.
        seed: of splits, chance and bootstrap.
        say: progress.

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
    each: dict[str, NDArray[np.float64]] = {}
    for name, make in policies.items():
        figures = np.zeros((len(METRICS), repeats, len(cases)))
        plans[name], nothing = {}, 0
        for repeat in range(repeats):
            for part, test in enumerate(folds(len(cases), fold_count, seed, repeat)):
                held_out = set(test)
                chance = int(np.random.default_rng([seed, repeat, part]).integers(2**31))
                policy = make([c for n, c in enumerate(cases) if n not in held_out], chance)
                for n in test:
                    planned = _plan(policy, cases[n], settings, notes)
                    nothing += not planned
                    figures[:, repeat, n] = list(scores(planned, cases[n].gold).values())
                    if repeat == 0:
                        plans[name][cases[n].id] = Protocol.of(sorted(planned)).text
        each[name] = figures.mean(1)
        rows[name] = {m: bootstrap_mean(values, seed) for m, values in zip(METRICS, each[name], strict=True)}
        refused[name] = nothing / (repeats * len(cases))
        say("policies", len(rows) / len(policies))
    return PolicyResult(rows, refused, plans, tuple(notes), each)


def _plan(policy: Policy, case: PolicyCase, settings: PlanSettings, notes: dict[str, None]) -> frozenset[str]:
    try:
        proposal = policy.propose(case.seen, settings)
    except RuleError:
        return frozenset()
    notes.update(dict.fromkeys(f"{policy.name}: {note}" for note in proposal.notes))
    return frozenset(proposal.protocol.agents)
