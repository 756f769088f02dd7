"""`mewm evaluate closed-loop`: does the segmenter measure on simulated outcomes what the world knows to be true?

A segmenter that was never trained on simulated images can be right on scans and wrong here, and then every ranking is
noise. Measured on test patients of the synthetic world, whose outcome is known under every protocol.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from MeWMLib.core.bundles import find_bundle
from MeWMLib.core.plan import PlanSettings, replica_seeds
from MeWMLib.dynamics.autoencoder import Autoencoder
from MeWMLib.lab.evaluation.known_patients import Image, KnownPatient
from MeWMLib.lab.evaluation.metrics import Rows, bootstrap, bootstrap_mean
from MeWMLib.lab.evaluation.work import Say, settings_from, silent
from MeWMLib.lab.synthetic.cases import SPLITS
from MeWMLib.perception.findings import dice
from MeWMLib.perception.segmenter import Segmenter
from MeWMLib.world.model import WorldModel

#: Columns of what is noted of each outcome.
TUMOUR, VIABLE, TRUE_TUMOUR, TRUE_VIABLE, DICE = range(5)


@dataclass(frozen=True)
class ClosedLoopSettings:
    """What to measure.

    Attributes:
        bundle: whose dynamics simulate, and whose segmenter measures unless `assistant` names another bundle.
        assistant: bundle of another segmenter, or None.
        patients: how many of the test split.
        steps: of the sampler.
        seed: of simulations and intervals.
    """

    bundle: str | None = None
    assistant: str | None = None
    patients: int = 20
    steps: int = PlanSettings().steps
    seed: int = 0


def run(args: argparse.Namespace, say: Say) -> tuple[Rows, str]:
    """Measure what the arguments ask for; rows, and on whom."""
    rows = evaluate_closed_loop(settings_from(ClosedLoopSettings, args), say)
    return rows, f"synthetic world v2, {args.patients} test patients"


def evaluate_closed_loop(settings: ClosedLoopSettings, say: Say = silent) -> Rows:
    """Measure.

    Rows: `simulated`, the segmenter on simulated outcomes; `codec`, on true outcomes of which the change passed through
    the autoencoder, what no simulation by it can beat; `true`, on true outcomes; `product`, the volumes that a plan
    reports for the simulated outcomes (by the follow-up network, where the bundle has one).

    Metrics: `tumour_volume_r` and `viable_volume_r`, Pearson of log(1 + ml) over all patients and complete protocols
    against the world's masks in the treated patch; `tumour_dice` against the world's mask of that outcome, a mean over
    a patient's protocols. Intervals are over patients.
    """
    bundle = find_bundle(settings.bundle)
    world = WorldModel.load(bundle)
    segmenter = world.segmenter
    if settings.assistant is not None:
        part = find_bundle(settings.assistant, require=("assistant",)).part("assistant")
        segmenter = Segmenter.from_part(*part, torch.device(world.device))
    codec = Autoencoder.from_part(*bundle.part("autoencoder"))
    plan = replace(PlanSettings(), replicas=1, steps=settings.steps)
    noted: dict[str, list[NDArray[np.float64]]] = {}
    seeds = SPLITS["test"][: settings.patients]
    for n, seed in enumerate(seeds):
        known = KnownPatient.draw(world, seed)
        for row, figures in _patient(world, segmenter, codec, known, plan, settings.seed).items():
            noted.setdefault(row, []).append(figures)
        say("closed loop", (n + 1) / len(seeds))
    return {row: rows_of(figures, settings.seed) for row, figures in noted.items()}


def _patient(
    world: WorldModel, segmenter: Segmenter, codec: Autoencoder, known: KnownPatient, plan: PlanSettings, seed: int
) -> dict[str, NDArray[np.float64]]:
    """What is measured on one patient: row to (protocols, 5)."""
    replicas = [world.on_patch(known.patient, [p], replica_seeds(seed, 1), plan)[1][0] for p in known.protocols]
    truths = [t.hu for t in known.truths]
    images = {
        "simulated": [known.patch.simulated(j.change_hu) for j in replicas],
        "codec": _coded(codec, known.patch.hu, truths),
        "true": truths,
    }
    out = {row: _measured(segmenter, known, pictures) for row, pictures in images.items()}
    product = out["simulated"].copy()
    product[:, TUMOUR] = [j.change.volume_ml_after for j in replicas]
    product[:, VIABLE] = [j.change.viable_ml_after for j in replicas]
    product[:, DICE] = [dice(j.labels == 2, truth.labels == 2) for j, truth in zip(replicas, known.truths, strict=True)]
    return out | {"product": product}


def _coded(codec: Autoencoder, before: Image, truths: Sequence[Image]) -> list[Image]:
    with torch.inference_mode():
        first = torch.from_numpy(before)[None, None]
        latent = codec.encode(first)
        pairs = [torch.from_numpy(np.ascontiguousarray(t))[None, None] for t in truths]
        return [codec.decode_change(first, codec.encode(t) - latent)[0, 0].numpy() for t in pairs]


def _measured(segmenter: Segmenter, known: KnownPatient, images: Sequence[Image]) -> NDArray[np.float64]:
    """Volumes by the segmenter alone: of the labels before treatment it is given the liver, not the tumour."""
    ml = known.patch.geometry.voxel_ml
    figures = []
    seen = segmenter.segment_patches(np.stack(images).astype(np.float32), known.patch.spacing_mm)
    for image, found, truth in zip(images, seen, known.truths, strict=True):
        labels = np.where(truth.labels >= 1, np.maximum(found, 1), 0).astype(np.uint8)
        findings = known.patch.findings(image, labels)
        tumour = truth.labels == 2
        overlap = dice(labels == 2, tumour)
        figures.append([findings.tumour_ml, findings.viable_ml, tumour.sum() * ml, truth.viable.sum() * ml, overlap])
    return np.array(figures, np.float64)


def rows_of(figures: Sequence[NDArray[np.float64]], seed: int) -> dict[str, dict[str, float]]:
    """Metrics of one row from (protocols, 5) of each patient."""
    count = len(figures)
    return {
        "tumour_volume_r": bootstrap(lambda chosen: _r([figures[i] for i in chosen], TUMOUR, TRUE_TUMOUR), count, seed),
        "viable_volume_r": bootstrap(lambda chosen: _r([figures[i] for i in chosen], VIABLE, TRUE_VIABLE), count, seed),
        "tumour_dice": bootstrap_mean([float(f[:, DICE].mean()) for f in figures], seed),
    }


def _r(figures: Sequence[NDArray[np.float64]], mine: int, true: int) -> float:
    """Pearson of log(1 + ml); NaN where one side does not vary."""
    whole = np.log1p(np.concatenate(figures))
    if whole[:, mine].std() == 0 or whole[:, true].std() == 0:
        return float("nan")
    return float(np.corrcoef(whole[:, mine], whole[:, true])[0, 1])
