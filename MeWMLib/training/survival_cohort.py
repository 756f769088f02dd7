"""Survival training on an encoded synthetic cohort: views of each patient before and after what was given."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from MeWMLib.cohorts.synthetic.fields import derive_seed
from MeWMLib.cohorts.synthetic.law import survival_months
from MeWMLib.core.errors import InputError
from MeWMLib.survival.patches import five_views
from MeWMLib.training.survival import TrainSurvivalConfig, train
from MeWMLib.training.survival_data import SurvivalCase

#: Outcomes of each patient that are used: more would not fit into memory.
OUTCOMES = 4


def survival_cases(folder: Path) -> list[SurvivalCase]:
    """Cases of `mewm train cohort`: what each patient was given, the survival that followed, and two counterfactuals.

    The counterfactual outcomes of one patient carry the same identifier: a risk set holds one of them at a time, and a
    split keeps them together. Their survival is drawn from the world's law.

    Raises:
        InputError: the folder holds no patients.
    """
    found = []
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as data:
            images, late, risks = data["images"][: 1 + OUTCOMES], data["covariates"], data["true_log_risk"]
            times = [(float(data["months"]), bool(data["event"]))]
        rng = np.random.default_rng(derive_seed("counterfactual survival", path.stem))
        times += [survival_months(float(risk), rng) for risk in risks[1 : len(images) - 1]]
        before = five_views(images[0])
        for n, (months, event) in enumerate(times):
            found.append(SurvivalCase(before, five_views(images[1 + n]), late[n], months, event, path.stem))
    if not found:
        raise InputError(what="No encoded patients", given=str(folder), remedy="Run `mewm train cohort` first")
    return found


def train_on_cohort(
    cohort: Path, work: Path, bundle: Path, steps: int, seed: int, on_step: Callable[[str, float], None] | None
) -> dict[str, Any]:
    """Train on `cohort`/train, measure on `cohort`/validation, write the bundle part."""
    config = TrainSurvivalConfig(steps=steps, seed=seed)
    return train(
        config,
        survival_cases(cohort / "train"),
        work / "survival",
        on_step=on_step,
        validation=survival_cases(cohort / "validation"),
        bundle=bundle,
    )
