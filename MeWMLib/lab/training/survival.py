"""`mewm train survival`: fit the survival network with the Cox and a censored discrete-time likelihood."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from MeWMLib.core.bundles import Bundle, write_part
from MeWMLib.core.errors import InputError, SurvivalDataError
from MeWMLib.core.io import write_json
from MeWMLib.core.records import to_plain
from MeWMLib.lab.cox import c_index_interval, check_outcomes, cox_loss, discrete_nll, harrell_c_index
from MeWMLib.lab.linear_cox import LinearCox
from MeWMLib.lab.training.checkpoint import AveragedModel, Run
from MeWMLib.lab.training.distributed import Ranks
from MeWMLib.lab.training.survival_calibration import calibrate, output_of
from MeWMLib.lab.training.survival_data import (
    Augmentation,
    SurvivalCase,
    batch_of,
    one_per_patient,
    outcomes,
)
from MeWMLib.survival.config import SurvivalConfig
from MeWMLib.survival.network import Assessor, SurvivalNetwork

#: Covariate that is the tumour-volume baseline.
_VOLUME = "log1p_tumour_ml_after"
#: Ridge of the Cox model that a training begins with: sizes before and after go together.
_COX_RIDGE = 0.01


@dataclass(frozen=True)
class TrainSurvivalConfig:
    """Settings of a training run; the run directory keeps them as JSON.

    Attributes:
        network: shape of the network.
        steps: optimiser steps; 0 keeps the Cox model of the covariates that a training begins with, which is all that a
            network without images can learn.
        patients: size of a batch, which is also the size of its risk sets.
        patches: patches of each patient in a step, drawn anew; scoring always takes all.
        learning_rate, weight_decay: of AdamW (betas 0.9 and 0.999 as in the paper); warm-up, then cosine.
        nll_weight: weight of the discrete-time likelihood beside the Cox loss.
        ema: decay of the averaged weights, which are the ones that are kept.
        members, member_ridge: bootstrap members of the last layer (0: none) and how strongly each is held to the
            trained weights; see `training/survival_members.py`.
        minutes: stop after so many minutes, earlier sessions of the run counted in (0: after `steps`).
        evaluate_every, checkpoint_every: in steps.
        calibration_patients: at most so many training patients set the baseline hazard.
        seed: of the weights, the batches and the augmentation.
        device: where to train.
    """

    network: SurvivalConfig = field(default_factory=SurvivalConfig)
    augmentation: Augmentation = field(default_factory=Augmentation)
    steps: int = 600
    patients: int = 16
    patches: int = 1
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    nll_weight: float = 0.5
    ema: float = 0.99
    members: int = 16
    member_ridge: float = 0.02
    minutes: float = 0.0
    evaluate_every: int = 50
    checkpoint_every: int = 50
    calibration_patients: int = 400
    seed: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        for name in ("steps", "patients", "patches", "evaluate_every", "checkpoint_every", "calibration_patients"):
            least = 0 if name == "steps" and not self.network.images else 1
            if getattr(self, name) < least:
                raise InputError(what=f"{name} must be at least {least}", given=str(getattr(self, name)))
        if self.patients < 2:
            raise InputError(what="A risk set needs at least two patients a batch", given=str(self.patients))

    @classmethod
    def of_drawn(
        cls, steps: int, seed: int, minutes: float, device: str, network: SurvivalConfig | None = None
    ) -> TrainSurvivalConfig:
        """Settings for a cohort of drawn patients; the default network if none is given.

        Their covariates already rank well: the network starts from the Cox model of them and adds to it in small
        steps. The last weights are kept, since a few dozen validation patients cannot choose between earlier ones.
        """
        network = network or SurvivalConfig()
        return cls(
            network=network,
            steps=steps if network.images else 0,
            seed=seed,
            minutes=minutes,
            patients=24,
            learning_rate=3e-4,
            calibration_patients=150,
            device=device,
        )


def train(
    config: TrainSurvivalConfig,
    cohort: Sequence[SurvivalCase],
    validation: Sequence[SurvivalCase],
    out: Path,
    bundle: Path,
    on_step: Callable[[str, float], None] | None = None,
    start: Mapping[str, Any] | None = None,
    ranks: Ranks | None = None,
    of_run: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Train, calibrate, write the bundle part and measure what was written.

    A run goes on from the checkpoint in `out`, on the CPU to the same weights as a run that was never stopped.

    Args:
        config: settings.
        cohort: cases to train on.
        validation: cases of other patients.
        out: folder for survival.csv (the curve), survival.pt (the checkpoint) and metrics.json.
        bundle: folder of the bundle that gets the part "survival".
        on_step: called with "survival" and the finished fraction.
        start: weights of a network of this configuration to go on from; None begins with a Cox model of the covariates.
        ranks: this process among those that train together; rank 0 writes, and the others return nothing.
        of_run: what a checkpoint belongs to besides the settings.

    Returns:
        {"c_index": {mean, low, high, n}, "c_index_volume": the same for the tumour volume after treatment, "steps",
        "slope", "patients_train", "seed"}.

    Raises:
        SurvivalDataError: no events, no comparable pair, a patient on both sides, covariates of another number.
        InputError: the checkpoint in `out` belongs to other settings.
        OutputError: `out` cannot be written.
    """
    _require_sides(config, cohort, validation)
    held_out = one_per_patient(validation)
    harrell_c_index(np.zeros(len(held_out)), *outcomes(held_out))  # refuses a validation without comparable pairs
    ranks = ranks or Ranks()
    run = _start(config, cohort, out, start, of_run or {})
    ranks.require_same(run.step, "the step of their checkpoint")
    scale = run.model.covariate_scale.cpu().numpy()
    progress = ranks.from_first(run.progress(config.steps, config.minutes))
    while progress < 1:
        losses = _step(config, run, cohort, scale, ranks)
        progress = ranks.from_first(run.progress(config.steps, config.minutes))
        last = progress >= 1
        c_index = None
        if ranks.first:
            if last or run.step % config.evaluate_every == 0:
                c_index = _validate(config, run, held_out)
            run.log({**losses, "validation_c_index": c_index})
            if last or run.step % config.checkpoint_every == 0:
                run.save()
        if on_step is not None:
            on_step("survival", min(progress, 1.0))

    if not ranks.first:
        return {}
    network = run.average.model
    slope = calibrate(
        network, cohort, validation, config.calibration_patients, config.member_ridge, config.seed, config.device
    )
    written = export(bundle, network)
    metrics = {
        **evaluate(Assessor(*written.part("survival"), device=config.device), held_out, config.seed),
        "steps": run.step,
        "slope": slope,
        "patients_train": len({c.patient for c in cohort}),
        "seed": config.seed,
    }
    write_json(metrics, out / "metrics.json")
    return metrics


def export(folder: Path, network: SurvivalNetwork) -> Bundle:
    """Write the bundle part "survival" into the bundle in `folder`, which is made if it does not exist."""
    tensors = {name: value.detach().cpu().numpy() for name, value in network.state_dict().items()}
    return write_part(folder, "survival", network.config.to_json(), tensors)


def evaluate(assessor: Assessor, cases: Sequence[SurvivalCase], seed: int = 0) -> dict[str, Any]:
    """C-index of the assessor and of the tumour volume after treatment, with bootstrap intervals over patients."""
    cases = one_per_patient(cases)
    months, events = outcomes(cases)
    risks = [assessor.judge(np.asarray(c.pre), np.asarray(c.post), c.covariates).log_risk for c in cases]
    scores = {"c_index": np.array(risks)}
    if _VOLUME in assessor.config.covariates:
        volume = np.array([c.covariates[assessor.config.covariates.index(_VOLUME)] for c in cases], dtype=np.float64)
        if np.isfinite(volume).all():
            scores["c_index_volume"] = volume
    rows = {}
    for name, score in scores.items():
        low, high = c_index_interval(score, months, events, seed=seed)
        rows[name] = {"mean": harrell_c_index(score, months, events), "low": low, "high": high, "n": len(cases)}
    return rows


def _require_sides(config: TrainSurvivalConfig, *sides: Sequence[SurvivalCase]) -> None:
    """Refuse training and validation cases that cannot be used together."""
    both = set.intersection(*({c.patient for c in side} for side in sides))
    if both:
        raise SurvivalDataError(
            what="A patient is in both training and validation",
            given=", ".join(sorted(both)[:5]),
            remedy="Split by patient",
        )
    for side in sides:
        check_outcomes(*outcomes(side))
        for case in side:
            if np.shape(case.covariates) != (len(config.network.covariates),):
                raise SurvivalDataError(
                    what="The covariates do not fit the network",
                    given=f"{np.shape(case.covariates)} of patient {case.patient}",
                    remedy="Needs " + ", ".join(config.network.covariates),
                )


def _start(
    config: TrainSurvivalConfig,
    cases: Sequence[SurvivalCase],
    out: Path,
    start: Mapping[str, Any] | None,
    of_run: Mapping[str, Any],
) -> Run:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = SurvivalNetwork(replace(config.network, members=config.members))
    if start is not None:
        # members are drawn anew from this cohort; what the start's were is of no use
        own = {
            name: torch.as_tensor(np.array(value)) for name, value in start.items() if not name.startswith("member_")
        }
        network.load_state_dict(own, strict=False)
    elif config.network.covariates:
        late = np.stack([c.covariates for c in cases]).astype(np.float64)
        known = np.isfinite(late)
        count = np.maximum(known.sum(axis=0), 1)
        mean = np.where(known, late, 0).sum(axis=0) / count
        spread = np.sqrt((np.where(known, late - mean, 0) ** 2).sum(axis=0) / count)
        # float16 is what a bundle keeps; with rounded values here training and use see the same numbers.
        network.covariate_mean.copy_(torch.as_tensor(mean).half())
        network.covariate_scale.copy_(torch.as_tensor(np.where(spread > 1e-3, spread, 1.0)).half())
        _begin_as_cox(network, cases)
    network.to(config.device)
    optimiser = torch.optim.AdamW(network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    average = AveragedModel(network, config.ema)
    return Run(out, "survival", network, average, optimiser, {**to_plain(config), **of_run})


def _begin_as_cox(network: SurvivalNetwork, cases: Sequence[SurvivalCase]) -> None:
    """Set the straight path to the Cox model of the covariates, and the rest of the last layer to nothing."""
    first = one_per_patient(cases)
    late = np.stack([c.covariates for c in first]).astype(np.float64)
    mean, scale = (x.double().numpy() for x in (network.covariate_mean, network.covariate_scale))
    z = np.nan_to_num((late - mean) / scale)
    varies = z.std(axis=0) > 1e-6
    try:
        fitted = LinearCox.fit(z[:, varies], *outcomes(first), ridge=_COX_RIDGE)
    except SurvivalDataError:
        return  # nothing to begin with
    weight = np.zeros(len(mean))
    weight[varies] = fitted.coefficients
    with torch.no_grad():
        network.straight.weight.copy_(torch.as_tensor(weight)[None])
        if network.config.images:
            network.risk_out.weight.zero_()


def _rate(config: TrainSurvivalConfig, step: int) -> float:
    warm = max(1, config.steps // 20)
    return config.learning_rate * min((step + 1) / warm, 0.5 * (1 + np.cos(np.pi * step / config.steps)))


def _step(
    config: TrainSurvivalConfig, run: Run, cases: Sequence[SurvivalCase], scale: NDArray[Any], ranks: Ranks
) -> dict[str, float]:
    seed = config.seed + ranks.rank * 1_000_003  # every process draws its own batches
    batch = batch_of(cases, config.patients, seed, run.step)
    rng = np.random.default_rng([seed, 5, run.step])
    pairs, late = [], []
    for case in batch:
        pairs.append(torch.stack(config.augmentation.images(*case.images(config.patches, rng), rng)))
        late.append(config.augmentation.covariates(case.covariates, scale, rng))
    images = torch.stack(pairs, dim=1).to(config.device)  # (2, N, P, 2, D, H, W)
    covariates = torch.as_tensor(np.stack(late), device=config.device)
    months, events = outcomes(batch)
    network = run.model.train()
    run.set_rate(_rate(config, run.step))
    run.optimiser.zero_grad()
    # Dropout draws from torch's global generator: seeded for this step alone, and put back.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed * 1_000_003 + run.step)
        pre, post = network.encode(images.flatten(0, 1)).unflatten(0, (2, -1))  # (N, P, T, C) each
        output = network.risk_from_tokens(pre, post, covariates)
        cox = cox_loss(output.log_risk, months, events)
        nll = discrete_nll(output.log_increments, months, events, config.network.edges_months)
        loss = cox + config.nll_weight * nll
        loss.backward()
    ranks.average_gradients(network)
    run.take_step(1.0)
    return {"loss": loss.item(), "cox": cox.item(), "nll": nll.item()}


def _validate(config: TrainSurvivalConfig, run: Run, held_out: Sequence[SurvivalCase]) -> float:
    """C-index of the averaged weights on held-out patients, on as many patches as in training."""
    with torch.inference_mode():
        scored = [output_of(run.average.model, case, config.device, config.patches) for case in held_out]
    return harrell_c_index(np.array([float(s.log_risk[0]) for s in scored]), *outcomes(held_out))
