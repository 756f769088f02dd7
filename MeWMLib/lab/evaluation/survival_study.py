"""`mewm evaluate survival --maps DIR`: the survival network in version 3 of the world, beside the viable volume alone.

On a cohort of coarse maps (`mewm train maps-cohort`): patients of its validation split after what they were given. The
Cox models are fitted to patients of its training split.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np

from MeWMLib.cohorts.synthetic.law import LAW
from MeWMLib.core.bundles import find_bundle
from MeWMLib.core.errors import InputError
from MeWMLib.lab.evaluation.metrics import Rows
from MeWMLib.lab.evaluation.survival_patients import MEASURED, GivenOutcome
from MeWMLib.lab.evaluation.survival_synthetic import (
    AT,
    BASELINES,
    Scored,
    SyntheticSettings,
    figures,
    fit_baseline,
)
from MeWMLib.lab.evaluation.work import Say, silent
from MeWMLib.lab.synthetic.survival import WEIBULL_SHAPE, survival_months
from MeWMLib.lab.training.survival_study import MapPatient, MapPatients, life_rng
from MeWMLib.survival.network import Assessor

#: Cox models whose covariates coarse maps tell.
TOLD = ("volume_cox", "volume_before_cox", "viable_volume_cox")
#: Fewest patients of either split.
FEWEST = 20


def run(args: argparse.Namespace, say: Say) -> tuple[Rows, str]:
    """Measure on the cohort that the arguments name; rows, and on whom."""
    assessor = Assessor(*find_bundle(args.bundle, require=("survival",)).part("survival"))
    known, patients = (MapPatients(args.maps / split).all for split in ("train", "validation"))
    rows = evaluate_on_maps(assessor, known[: args.trained_on], patients[: args.patients], args.seed, say)
    count = min(args.patients, len(patients))
    return rows, f"synthetic world v3, {count} validation patients, true coarse maps after the given protocol"


def evaluate_on_maps(
    assessor: Assessor,
    known: Sequence[MapPatient],
    patients: Sequence[MapPatient],
    seed: int = 0,
    say: Say = silent,
) -> Rows:
    """Rows `mewm`, `oracle` and the Cox models of `TOLD`; metrics as `survival_synthetic.evaluate_synthetic` has them.

    Args:
        assessor: the network.
        known: whom the Cox models are fitted to.
        patients: whom all are measured on.
        seed: of the bootstrap.
        say: progress.

    Raises:
        InputError: too few patients.
    """
    if min(len(known), len(patients)) < FEWEST:
        raise InputError(
            what="Too few patients in the cohort of coarse maps",
            given=f"{len(known)} to fit on, {len(patients)} to measure on",
            remedy=f"Draw at least {FEWEST} of each split with `mewm train maps-cohort`",
        )
    scores = []
    for n, patient in enumerate(patients):
        (case,) = patient.cases(0, assessor.config, [(1.0, True)])
        risk, months, survival, _ = assessor.judge(np.asarray(case.pre), np.asarray(case.post), case.covariates)
        scores.append((risk, float(np.exp(np.interp(AT, months, np.log(np.maximum(survival, 1e-12)))))))
        say("network", (n + 1) / len(patients))
    fitted, measured = ([_given(p) for p in group] for group in (known, patients))
    found = {"mewm": Scored(*np.array(scores).T)}
    found |= {b.row: fit_baseline(b, fitted, measured, seed) for b in BASELINES if b.row in TOLD}
    truth = np.array([p.true_log_risk for p in measured])
    found["oracle"] = Scored(truth, np.exp(-np.log(2) * (AT / LAW.median_months) ** WEIBULL_SHAPE * np.exp(truth)))
    settings = SyntheticSettings(None, tuple(p.seed for p in patients), "", len(known), patients[0].path, seed=seed)
    return figures(found, measured, settings)


def _given(patient: MapPatient) -> GivenOutcome:
    """What the Cox models read of a patient, and the life that followed what was given."""
    values = dict.fromkeys(MEASURED, float("nan"))
    names = ("tumour_ml_before", "tumour_ml_after", "viable_ml_after")
    values |= dict(zip(names, (float(v) for v in np.expm1(patient.sizes[0, 1:])), strict=True))
    risk = float(patient.risks[0])
    months, event = survival_months(risk, life_rng(patient.seed))
    nothing = np.zeros((2, 0))
    return GivenOutcome(patient.seed, nothing.astype(np.float16), values, nothing, risk, months, event)
