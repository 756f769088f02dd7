"""Survival training on an encoded synthetic cohort: views of each patient before and after what was given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MeWMLib.cohorts.synthetic.fields import derive_seed
from MeWMLib.core.errors import InputError
from MeWMLib.lab.synthetic.survival import survival_months
from MeWMLib.lab.training.survival import TrainSurvivalConfig, train
from MeWMLib.lab.training.survival_data import SurvivalCase
from MeWMLib.survival.patches import five_views

#: Outcomes of each patient that are used: more would not fit into memory.
OUTCOMES = 4
#: Lives of each outcome: survival is drawn anew, since a partial likelihood of some hundred deaths is mostly luck.
LIVES = 6


@dataclass(frozen=True, eq=False)
class LazyViews:
    """The five views of one image (2, D, H, W), cut when numpy asks for them: five views take 1.5 images of memory."""

    image: NDArray[np.float16]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        views = five_views(self.image)
        return views if dtype is None else views.astype(dtype, copy=False)


def survival_cases(folder: Path, lives: int = LIVES, outcomes: int = OUTCOMES) -> list[SurvivalCase]:
    """Cases of `mewm train cohort`: what each patient was given, the survival that followed, and counterfactuals.

    All outcomes and lives of one patient carry the same identifier: a risk set holds one of them at a time, and a
    split keeps them together. Survival beyond the first life of what was given is drawn from the world's law. The
    first case of each patient is what was given and observed.

    Raises:
        InputError: the folder holds no patients.
    """
    found = []
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as data:
            # a copy, or the outcomes that are not used would stay in memory behind the view
            images, late, risks = data["images"][: 1 + outcomes].copy(), data["covariates"], data["true_log_risk"]
            observed = (float(data["months"]), bool(data["event"]))
        rng = np.random.default_rng(derive_seed("counterfactual survival", path.stem))
        before = LazyViews(images[0])
        for n, image in enumerate(images[1:]):
            after = LazyViews(image)
            for life in range(lives):
                months, event = observed if n == life == 0 else survival_months(float(risks[n]), rng)
                found.append(SurvivalCase(before, after, late[n], months, event, path.stem))
    if not found:
        raise InputError(what="No encoded patients", given=str(folder), remedy="Run `mewm train cohort` first")
    return found


def train_on_cohort(
    cohort: Path,
    work: Path,
    bundle: Path,
    steps: int,
    seed: int,
    on_step: Callable[[str, float], None] | None,
    minutes: float = 0.0,
    device: str = "cpu",
) -> dict[str, Any]:
    """Train on `cohort`/train, measure on `cohort`/validation, write the bundle part."""
    config = TrainSurvivalConfig.of_drawn(steps, seed, minutes, device)
    return train(
        config,
        survival_cases(cohort / "train"),
        survival_cases(cohort / "validation"),
        work / "survival",
        bundle,
        on_step,
    )
