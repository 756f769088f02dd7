"""`mewm evaluate policy`: arguments to cohort, rows and files."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from dataclasses import replace
from typing import Any

from MeWMLib.core.io import write_json
from MeWMLib.core.plan import PlanSettings
from MeWMLib.core.protocol import Protocol
from MeWMLib.lab.evaluation.metrics import Rows
from MeWMLib.lab.evaluation.policy import Maker, evaluate_policies, makers
from MeWMLib.lab.evaluation.policy_cases import read_cohort, read_table
from MeWMLib.policy.baselines import FrequencyPrior
from MeWMLib.policy.choose import SLICES, language_model
from MeWMLib.policy.llm.language_model import LanguageModelPolicy
from MeWMLib.policy.proposal import PolicyInput, Proposal


def run(args: argparse.Namespace) -> tuple[Rows, str]:
    """Measure, and write policy.json (plans, refusals, counts) and frequency_prior.json (of all) beside the table.

    Raises:
        InputError: see `evaluate_policies`.
    """
    models = [name for name in args.policy if name.startswith("llm:")]
    images = SLICES if models else 0
    cohort = read_table(args.table) if args.table else read_cohort(args.cohort, images)
    if args.constant:
        cohort = replace(cohort, constant=Protocol.parse(args.constant))
    settings = PlanSettings(drug_horizon=args.drug_horizon, embolic_horizon=args.embolic_horizon)
    asked = {name: _Once(language_model(name, cohort.agents)) for name in models}
    more: dict[str, Maker] = {name: _always(policy) for name, policy in asked.items()}
    rows = makers(cohort, args.policy, more)
    result = evaluate_policies(cohort, rows, settings, args.repeats, args.folds, args.seed)
    prior = FrequencyPrior.fit([Protocol.of(sorted(case.gold)) for case in cohort.cases])
    args.out.mkdir(parents=True, exist_ok=True)
    prior.save(args.out / "frequency_prior.json")
    about = {
        "regimens": dict(prior.regimens),
        "patients_without_regimen": cohort.without_regimen,
        "strata": dict(Counter(case.stratum for case in cohort.cases)),
        "constant": cohort.constant.text,
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


class _Once:
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


def _always(policy: _Once) -> Maker:
    return lambda _train, _seed: policy
