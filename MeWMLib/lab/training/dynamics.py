"""`mewm train dynamics --model latent`: the action-conditioned denoiser, by rectified flow on encoded changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from MeWMLib.core.bundles import find_bundle
from MeWMLib.core.records import record_to_plain
from MeWMLib.dynamics import response
from MeWMLib.dynamics.actions import ReportEncoder, has_lipiodol, known_agents
from MeWMLib.dynamics.autoencoder import Autoencoder
from MeWMLib.dynamics.denoiser import Denoiser, DenoiserConfig
from MeWMLib.dynamics.model import denoiser_from_part
from MeWMLib.lab.reports import sentence_encoder
from MeWMLib.lab.text import cached_embeddings
from MeWMLib.lab.torch_state import kept_torch_state
from MeWMLib.lab.training.checkpoint import AveragedModel, Run
from MeWMLib.lab.training.contrastive import combo_contrastive, tumour_features
from MeWMLib.lab.training.distributed import Ranks, mixed_precision
from MeWMLib.lab.training.dynamics_settings import DynamicsTraining
from MeWMLib.lab.training.fate import fit_fate
from MeWMLib.lab.training.grow import grown
from MeWMLib.lab.training.latent_cohort import NOTED, LatentCohort, read_arrays
from MeWMLib.lab.training.prepare import SCANS
from MeWMLib.lab.training.response_head import head_loss, measure_head, standardise, train_head

#: The head learns at this many times the learning rate of the U-Net.
HEAD_RATE = 2.0
#: What depends on the action in a batch.
SHUFFLED = ("actions", "responses", "attenuated", "reports")
#: Patients on which the weights of the maps of the fate are fitted.
FITTED_ON = 100


def flow_loss(
    model: Denoiser,
    batch: dict[str, Tensor],
    scale: Tensor,
    generator: torch.Generator,
    settings: DynamicsTraining,
    channels: Tensor | None = None,
) -> tuple[Tensor, dict[str, float]]:
    """Loss at a random time, and its parts.

    `channels` (C,) weighs the channels of the latent (mean 1; all alike if left out).

    Parts: mean squared error of the predicted clean change, weighted to the tumour and its rim (`flow`); error of the
    response head on the noted protocols (`response`); `contrastive` (eq. 3 of arXiv 2506.02327).
    """
    clean = batch["change"] / scale
    n = len(clean)
    # Late times show the answer through the noise; what an action does is decided, and learnt, at the early ones.
    # Drawn on the CPU, so that a seed means the same on every device.
    time = (torch.rand(n, generator=generator) ** settings.time_power).to(clean.device)
    noise = torch.randn(clean.shape, generator=generator).to(clean.device)
    t = time[:, None, None, None, None]
    hidden = 1.0 if settings.action_blind else settings.action_dropout
    dropped = (torch.rand(n, generator=generator) < hidden).to(clean.device)
    attenuated = torch.where(dropped[:, None, None, None, None], batch["before"], batch["attenuated"])
    pair = batch["pair"].long()
    first = torch.stack([(pair == k).float().argmax() for k in range(len(batch["whole_before"]))])
    traits = model.tumour_traits(batch["whole_before"], batch["whole_masks"], batch["spacing"][first])  # of each pair
    outlook = model.outlook(traits[pair], batch.get("reports", batch["actions"]), dropped)
    # The U-Net is told the response that was reached, not the one that the head expects: it learns to draw, not guess.
    oil = has_lipiodol(batch["actions"], model.config.agents)
    reached = response.features(standardise(batch["responses"]), oil, dropped)
    noisy = (1 - t) * noise + t * clean
    predicted = model(noisy, batch["before"], attenuated, batch["masks"], outlook, reached, batch["spacing"], time)
    tumour = torch.nn.functional.max_pool3d(batch["masks"][:, :1], 3, stride=1, padding=1) > 0.02
    weight = torch.where(tumour, 1.0, settings.outside_weight)
    # Every patient counts alike, whatever the size of the tumour.
    weight = weight / weight.sum((1, 2, 3, 4), keepdim=True)
    squares = (predicted - clean).square()
    if channels is not None:
        squares = squares * channels[None, :, None, None, None]
    loss = (squares.mean(1, keepdim=True) * weight).sum((1, 2, 3, 4)).mean()
    parts = {"flow": float(loss.detach())}
    if settings.response_weight and not settings.action_blind and _learns_responses(model):
        head = head_loss(model.foresight, batch)
        parts["response"] = float(head.detach())
        loss = loss + settings.response_weight * head
    if settings.contrastive_weight and not settings.action_blind:
        with torch.autocast(clean.device.type, enabled=False):  # a temperature of 0.1 asks for exact cosines
            shown = ~dropped  # a row whose action was hidden has no combo to compare
            features = tumour_features(predicted[shown].float(), batch["masks"][shown])
            contrast = combo_contrastive(features, batch["actions"][shown][..., 0] > 0, pair[shown])
        parts["contrastive"] = float(contrast.detach())
        loss = loss + settings.contrastive_weight * contrast
    return loss, parts


@kept_torch_state()
def train(
    cohort: Path,
    work: Path,
    settings: DynamicsTraining,
    on_step: Callable[[str, float], None] | None = None,
    ranks: Ranks | None = None,
    codec: Autoencoder | None = None,
) -> tuple[TrainedDenoiser, dict[str, float]]:
    """Train, resuming from `work` if a checkpoint is there.

    Args:
        cohort: folder with `train/` (and `validation/`) of `mewm train cohort`.
        work: folder of the checkpoint and the curve.
        ranks: this process among those that train together; None is alone on the CPU. Rank 0 writes and validates.
        codec: by which the cohort was encoded: its channels then count by what they mean in the image, and the maps of
            the fate know their Hounsfield units.

    Returns:
        The averaged denoiser, the same in all processes, and its figures at the end (rank 0's).

    Raises:
        InputError: no patients, or processes that do not read the same checkpoint.
        DeviceError: a precision that the device does not have.
    """
    ranks = ranks or Ranks()
    mixed = mixed_precision(settings.precision, ranks.device)
    torch.manual_seed(settings.seed)
    started = None if settings.start is None else _started(settings.start, settings)
    ten_hu = 1.0 if codec is None else codec.ten_hu
    fate = () if started is None else started.config.fate
    if settings.fate and not fate:
        fate = ranks.from_first(_fate(work / "dynamics_fate.npy", cohort / "train", ten_hu) if ranks.first else ())
    data = LatentCohort(cohort / "train", ten_hu, fate)
    held_out = LatentCohort(cohort / "validation", ten_hu, fate)
    latent = data.patients[0]["before"].shape[0]
    agents = known_agents() if started is None else list(started.config.agents)
    reads_reports = settings.reports if started is None else started.config.reports > 0
    reports = _reports_noted((data, held_out), agents) if reads_reports else 0
    if started is None:
        phi = torch.from_numpy(cached_embeddings(agents)) if settings.text else None
        # The cohort may grow while the processes read it, so that each could find other numbers.
        change_scale, occlusion = ranks.from_first((data.change_scale(), data.occlusion(agents)))
        config = DenoiserConfig(
            latent=latent,
            widths=settings.widths,
            condition=settings.condition,
            agents=tuple(agents),
            change_scale=change_scale,
            text=phi.shape[1] if phi is not None else 0,
            attenuation=settings.attenuation,
            occlusion=occlusion,
            response=settings.response,
            fate=fate,
            reports=reports,
        )
        model = Denoiser(config, phi)
        if isinstance(model.actions, ReportEncoder):
            model.actions.fit(np.concatenate([p["reports"] for p in data.patients]))
    else:
        model = grown(started, settings.response, fate).train()
    model = model.to(ranks.device)
    ranks.share_weights(model)
    has_head = model.config.response and not settings.action_blind
    if has_head and settings.head_steps and not (work / "dynamics.pt").exists():
        if ranks.first:
            patients = data.patients + _scans(cohort, "train")
            rng = np.random.default_rng([settings.seed, 1])
            head_rate = settings.learning_rate * HEAD_RATE
            train_head(model.foresight, patients, settings.head_steps, head_rate, rng, ranks.device, on_step)
        ranks.share_weights(model)
    if has_head and (settings.head_steps or (started is not None and started.config.response)):
        # What was learnt from all patients is kept: those whose outcomes the U-Net sees are too few to go on with.
        model.foresight.requires_grad_(False)
    elif has_head:
        if ranks.first:
            model.foresight.fit_scale(torch.from_numpy(np.stack([p["appearance"] for p in data.patients])))
        ranks.share_weights(model)
    average = AveragedModel(model, settings.average)
    free = [w for w in model.parameters() if w.requires_grad]
    optimiser = torch.optim.AdamW(free, settings.learning_rate, weight_decay=1e-3)
    run = Run(work, "dynamics", model, average, optimiser)
    ranks.require_same(run.step, "the step of their checkpoint")
    # The scale is part of the config: a resumed run must use the one it began with.
    run.extra.setdefault("change_scale", list(model.config.change_scale))
    scale = tuple(ranks.from_first(run.extra["change_scale"]))
    scale_tensor = torch.tensor(scale, device=ranks.device)[None, :, None, None, None]
    channels = _channel_weights(scale, codec, settings.image_share, ranks.device)
    # Every process draws its own batches and noise.
    rng = np.random.default_rng([settings.seed, run.step, *([ranks.rank] if ranks.rank else [])])
    generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + run.step + ranks.rank * 1_000_000_007)
    for cohort_part in (data, held_out):
        cohort_part.expect(model.config.agents, model.config.occlusion)
    # as the law expects them where there are scans; the spread of responses is that of sessions
    outlooks = _scans(cohort, "validation") or held_out.patients
    check = _moved(held_out.batch(24, np.random.default_rng(1), pairs=8), ranks.device)
    losses: list[dict[str, float]] = []
    figures: dict[str, float] = {}

    def measured() -> dict[str, float]:
        """Mean losses since the last row of the curve, and what the averaged weights reach on held-out patients."""
        means = {k: float(np.mean([x[k] for x in losses])) for k in losses[0]} if losses else {}
        found = {**means, **validate(average.model, check, scale_tensor, settings, channels)}
        return found | (measure_head(average.model.foresight, outlooks, ranks.device)[1] if has_head else {})

    while (progress := ranks.from_first(run.progress(settings.steps, settings.minutes))) < 1:
        run.set_rate(settings.learning_rate, 50, progress)
        model.train()
        optimiser.zero_grad()
        for _ in range(settings.accumulate):
            rows = _moved(data.batch(settings.batch, rng, settings.pairs), ranks.device)
            with torch.autocast(ranks.device.type, torch.bfloat16, enabled=mixed):
                loss, parts = flow_loss(model, rows, scale_tensor, generator, settings, channels)
            (loss / settings.accumulate).backward()
            losses.append({"loss": float(loss.detach()), **parts})
        ranks.average_gradients(model)
        run.take_step(1.0)
        if run.step % 50 == 0:
            if ranks.first:
                figures = measured()
                run.log(figures)
                run.save()
            losses = []
            data.refresh()
            data.expect(model.config.agents, model.config.occlusion)
            if reads_reports:
                _reports_noted((data,), agents)
        if on_step is not None:
            on_step(f"dynamics, step {run.step}", progress)
    if ranks.first:
        if not figures or run.step % 50:  # the last row of the curve is older than the weights, or an earlier session's
            figures = measured()
        run.save()
    spread = measure_head(average.model.foresight, held_out.patients, ranks.device)[0] if has_head else ()
    took = {"seconds": run.elapsed, "processor_seconds": run.processor_seconds}
    return TrainedDenoiser(average.model, scale, spread), {**figures, "steps": float(run.step), **took}


@torch.no_grad()
def validate(
    model: Denoiser,
    batch: dict[str, Tensor],
    scale: Tensor,
    settings: DynamicsTraining,
    channels: Tensor | None = None,
) -> dict[str, float]:
    """Validation loss with true and with shuffled actions, same noise: the gap is what the model learnt of actions."""
    shuffled = {**batch, **{k: batch[k].roll(1, 0) for k in SHUFFLED if k in batch}}
    quiet = replace(settings, action_dropout=0.0)
    out = {}
    for name, rows in (("validation", batch), ("validation_shuffled", shuffled)):
        _, parts = flow_loss(model, rows, scale, torch.Generator().manual_seed(7), quiet, channels)
        out[name] = parts["flow"]
        if "response" in parts:
            out[f"{name}_response"] = parts["response"]
    return out


class TrainedDenoiser:
    """What a bundle stores of the denoiser."""

    def __init__(self, model: Denoiser, scale: tuple[float, ...], spread: tuple[float, ...] = ()) -> None:
        self.model, self.scale, self.spread = model, scale, spread

    def part_config(self) -> dict[str, Any]:
        """Config with the scale of this run."""
        kept = {"change_scale": list(self.scale), "response_spread": list(self.spread)}
        return record_to_plain(self.model.config) | kept

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Averaged weights."""
        return {k: v.detach().cpu().numpy() for k, v in self.model.state_dict().items()}


def _learns_responses(model: Denoiser) -> bool:
    """True if it has a response head that is trained with the U-Net rather than kept as it is."""
    return model.config.response and model.foresight.out.weight.requires_grad


def _moved(batch: dict[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    return {k: v.to(device) for k, v in batch.items()}


def _channel_weights(
    change_scale: Sequence[float], codec: Autoencoder | None, image_share: float, device: torch.device
) -> Tensor | None:
    """Weights (C,) of mean 1: a share by the squared size of a channel's change in the image, the rest alike."""
    if codec is None or image_share == 0:
        return None
    size = (torch.tensor(change_scale) * codec.scale.cpu()).square()
    return (image_share * size / size.mean() + (1 - image_share)).to(device)


def _fate(path: Path, patients: Path, ten_hu: float) -> tuple[float, ...]:
    """Weights of the maps of the fate; those with which a run began are kept, though the cohort may have grown."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, np.array(fit_fate(sorted(patients.glob("*.npz"))[:FITTED_ON], ten_hu)))
    return tuple(float(v) for v in np.load(path))


def _started(start: str, settings: DynamicsTraining) -> Denoiser:
    """The denoiser of the bundle that is trained on; one of an older version comes without its head."""
    part = find_bundle(Path(start).resolve(), require=("dynamics",)).part("dynamics")
    return denoiser_from_part(*part, without_head=settings.head_steps > 0 or not settings.response)


def _scans(cohort: Path, split: str) -> list[dict[str, NDArray[Any]]]:
    """What the head learns from, of the patients of a split without outcomes."""
    return [read_arrays(path, NOTED) for path in sorted((cohort / SCANS[split]).glob("*.npz"))]


def _reports_noted(parts: Sequence[LatentCohort], agents: Sequence[str]) -> int:
    """Note the embeddings of reports in parts of a cohort; returns their width."""
    encode = sentence_encoder()
    for part in parts:
        part.note_reports(agents, encode)
    return int(parts[0].patients[0]["reports"].shape[1])
