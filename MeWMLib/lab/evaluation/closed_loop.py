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
from MeWMLib.lab.evaluation.closed_study import ClosedStudySettings, evaluate_closed_study
from MeWMLib.lab.evaluation.generation import world_of
from MeWMLib.lab.evaluation.known_patients import Image, KnownPatient, coded_change
from MeWMLib.lab.evaluation.metrics import Rows, bootstrap, bootstrap_mean, correlation
from MeWMLib.lab.evaluation.work import Say, each_patient, settings_from, silent
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
    if world_of(args.world, args.bundle) == 3:
        seeds = tuple(SPLITS["validation"][: args.patients])
        found = evaluate_closed_study(settings_from(ClosedStudySettings, args, seeds=seeds), say)
        return found, f"synthetic world v3, {len(seeds)} validation patients"
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
    turns = each_patient(Turn, settings, SPLITS["test"][: settings.patients], 1, "closed loop", say)
    return {row: rows_of([turn[row] for turn in turns], settings.seed) for row in turns[0]}


class Turn:
    """The networks of one run; called with the seed of a patient."""

    def __init__(self, settings: ClosedLoopSettings) -> None:
        bundle = find_bundle(settings.bundle)
        self.world = WorldModel.load(bundle)
        self.segmenter = self.world.segmenter
        if settings.assistant is not None:
            part = find_bundle(settings.assistant, require=("assistant",)).part("assistant")
            self.segmenter = Segmenter.from_part(*part, torch.device(self.world.device))
        self.codec = Autoencoder.from_part(*bundle.part("autoencoder"))
        self.plan = replace(PlanSettings(), replicas=1, steps=settings.steps)
        self.replica = replica_seeds(settings.seed, 1)

    def __call__(self, number: int) -> dict[str, NDArray[np.float64]]:
        """What is measured on one patient: row to (protocols, 5)."""
        known = KnownPatient.draw(self.world, number)
        replicas = [self.world.on_patch(known.patient, [p], self.replica, self.plan)[1][0] for p in known.protocols]
        truths = [t.hu for t in known.truths]
        images = {
            "simulated": [known.patch.simulated(j.change_hu) for j in replicas],
            "codec": [coded_change(self.codec, known.patch.hu, truth) for truth in truths],
            "true": truths,
        }
        out = {row: _measured(self.segmenter, known, pictures) for row, pictures in images.items()}
        product = out["simulated"].copy()
        product[:, TUMOUR] = [j.score.change.volume_ml_after for j in replicas]
        product[:, VIABLE] = [j.score.change.viable_ml_after for j in replicas]
        product[:, DICE] = [dice(j.labels == 2, t.labels == 2) for j, t in zip(replicas, known.truths, strict=True)]
        return out | {"product": product}


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
        figures.append([findings.tumour_ml, findings.viable_ml, tumour.sum() * ml, known.viable_ml(truth), overlap])
    return np.array(figures, np.float64)


def rows_of(figures: Sequence[NDArray[np.float64]], seed: int) -> dict[str, dict[str, float]]:
    """Metrics of one row from (protocols, 5) of each patient."""

    def of(mine: int, true: int) -> dict[str, float]:
        """Pearson of log(1 + ml)."""
        ml = [np.log1p(f[:, [mine, true]]) for f in figures]
        return bootstrap(lambda chosen: correlation(*np.concatenate([ml[i] for i in chosen]).T), len(ml), seed)

    return {
        "tumour_volume_r": of(TUMOUR, TRUE_TUMOUR),
        "viable_volume_r": of(VIABLE, TRUE_VIABLE),
        "tumour_dice": bootstrap_mean([float(f[:, DICE].mean()) for f in figures], seed),
    }
