"""`mewm evaluate policy`: arguments to cohort, rows and files."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from dataclasses import replace

from MeWMLib.core.io import write_json
from MeWMLib.core.plan import PlanSettings
from MeWMLib.core.protocol import Protocol
from MeWMLib.evaluation.metrics import Rows
from MeWMLib.evaluation.policy import evaluate_policies, makers
from MeWMLib.evaluation.policy_cases import PolicyCohort, read_cohort, read_table
from MeWMLib.policy.baselines import FrequencyPrior


def run(args: argparse.Namespace) -> tuple[Rows, str]:
    """Measure, and write policy.json (plans, refusals, counts) and frequency_prior.json (of all) beside the table.

    Raises:
        InputError: see `evaluate_policies`.
    """
    cohort = read_table(args.table) if args.table else read_cohort(args.cohort)
    if args.constant:
        cohort = replace(cohort, constant=Protocol.parse(args.constant))
    settings = PlanSettings(drug_horizon=args.drug_horizon, embolic_horizon=args.embolic_horizon)
    result = evaluate_policies(
        cohort, makers(cohort, args.policy), settings, args.repeats, args.folds, args.seed
    )  # fmt: skip
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
    }
    write_json(about, args.out / "policy.json")
    for row, share in result.refused.items():
        if share:
            sys.stderr.write(f"{row}: nothing was proposed to {100 * share:.1f} % of the patients\n")
    return result.rows, _name(cohort)


def _name(cohort: PolicyCohort) -> str:
    return cohort.name
