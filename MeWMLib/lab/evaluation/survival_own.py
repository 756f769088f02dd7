"""`mewm evaluate survival --cohort DIR` of patients whose deaths were observed: the network beside sizes alone."""

from __future__ import annotations

import argparse

import numpy as np

from MeWMLib.cohorts.check import SURVIVAL
from MeWMLib.cohorts.layout import Cohort
from MeWMLib.core.bundles import find_bundle
from MeWMLib.core.errors import CohortError
from MeWMLib.lab.cox import c_index_interval, harrell_c_index
from MeWMLib.lab.evaluation.cohort_pairs import asked_ids
from MeWMLib.lab.evaluation.metrics import Rows
from MeWMLib.lab.evaluation.work import Say
from MeWMLib.lab.training.own.survival import measured, survival_case
from MeWMLib.survival.network import Assessor

#: Rows beside the network: the size that ranks alone, by its place in `survival.config.SIZE_COVARIATES`.
SIZES = {"tumour_before": 1, "tumour_after": 2, "viable_after": 3}


def run(args: argparse.Namespace, say: Say) -> tuple[Rows, str]:
    """Measure on the patients that the arguments name; rows, and on whom."""
    from MeWMLib.cohorts.check import check_cohort

    cohort = Cohort.read(args.cohort)
    serving = set(check_cohort(cohort, images=False).serving(SURVIVAL))
    ids = [name for name in asked_ids(cohort, args.bundle, args.side, args.splits) if name in serving]
    assessor = Assessor(*find_bundle(args.bundle, require=("survival",)).part("survival"))
    left_out: list[str] = []
    folder = args.cache or args.out / "patients"
    seen = measured(
        cohort, ids, folder, None, lambda name, _: left_out.append(name), lambda stage, share: say("patients", share)
    )
    if len(seen) < 2:
        raise CohortError(
            what="Too few patients whose survival is known and whose scans can be measured",
            given=f"{len(seen)} of {len(ids)}",
            remedy="See `mewm cohort check` for what they lack, or give another --side",
        )
    cases = [survival_case(cohort.row(name), one, assessor.config) for name, one in seen.items()]
    months, events = np.array([c.months for c in cases]), np.array([c.event for c in cases])
    scores = {
        "mewm": np.array([assessor.judge(np.asarray(c.pre), np.asarray(c.post), c.covariates).log_risk for c in cases])
    }
    sizes = np.stack([one.sizes for one in seen.values()]).astype(np.float64)
    scores |= {name: sizes[:, place] for name, place in SIZES.items() if np.isfinite(sizes[:, place]).all()}
    rows = {}
    for name, score in scores.items():
        low, high = c_index_interval(score, months, events, seed=args.seed)
        figure = {"mean": harrell_c_index(score, months, events), "low": low, "high": high, "n": len(cases)}
        rows[name] = {"c_index": figure}
    without = int((~np.isfinite(sizes)).any(1).sum())
    about = f"cohort {args.cohort.name}, {len(cases)} patients ({args.side or 'test'} side), {int(events.sum())} deaths"
    about += f"; {without} without an outlined scan after treatment" if without else ""
    return rows, about + (f"; left out: {', '.join(left_out)}" if left_out else "")
