"""Generation on patients of version 2 of the world: images on the treated patch, beside hand-made baselines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MeWMLib.cohorts.synthetic.fields import derive_seed
from MeWMLib.core.plan import PlanSettings, replica_seeds
from MeWMLib.core.protocol import Protocol
from MeWMLib.lab.evaluation.baselines import ACTIONLESS, Pair, pixel2cancer, syntumor
from MeWMLib.lab.evaluation.generation_figures import (
    SHOWN,
    GenerationSettings,
    PatientFigures,
    Tiles,
    logs_agree,
    ranks_agree,
)
from MeWMLib.lab.evaluation.known_patients import Image, KnownPatient
from MeWMLib.lab.evaluation.montage import Tile
from MeWMLib.lab.evaluation.perceptual import tumour_crops
from MeWMLib.lab.synthetic.cases import SPLITS, draw_case
from MeWMLib.world.model import WorldModel
from MeWMLib.world.replicas import SimulatedReplica

#: Training patients on which the hand-made baselines are fitted.
FITTED_ON = 20


class CubeMeasure:
    """The models and fitted baselines of one run; called with the seed of a patient."""

    def __init__(self, settings: GenerationSettings) -> None:
        self.settings = settings
        self.plan = replace(PlanSettings(), replicas=settings.replicas, steps=settings.steps)
        self.replicas = replica_seeds(settings.seed, settings.replicas)
        pairs = []
        for seed in SPLITS["train"][:FITTED_ON]:
            case = draw_case(seed)
            before, after = case.before, case.after[0]
            pairs.append(Pair(before.hu, after.hu, before.labels, case.spacing_mm, after.labels))
        self.world, self.others = settings.worlds()
        self.hand_made: dict[str, tuple[Callable[..., Image], Any]] = {
            "syntumor": (syntumor.simulate, syntumor.fit(pairs)),
            "pixel2cancer": (pixel2cancer.simulate, pixel2cancer.fit(pairs)),
        }

    def __call__(self, number: int) -> PatientFigures:
        """Everything about one test patient."""
        settings, plan = self.settings, self.plan
        known = KnownPatient.draw(self.world, number)
        replicas = self._simulate(self.world, known, [*known.protocols, *known.twins], plan)
        mine, twins = replicas[: len(known.protocols)], replicas[len(known.protocols) :]
        images = [_images(known, group) for group in mine]
        truths = [t.hu for t in known.truths]
        values, crops = {}, {"truth": _crops(known, truths)}
        for name, pictures in self._pictures(known, images):
            values[name] = _errors(known, pictures, truths)
            crops[name] = _crops(known, [replicas[0] for replicas in pictures])
        own = values["mewm"]
        own["shuffled_action_ratio"] = values["mewm_shuffled_actions"]["tumour_mae_hu"] / own["tumour_mae_hu"]
        own["action_sensitivity"] = known.error(images[0][0], images[1][0])
        risks = [float(np.mean([j.score.log_risk for j in group])) for group in mine]
        own["counterfactual_rank_correlation"] = ranks_agree(risks, known.true_risks())
        twin_ml = [_viable_ml(known, group) for group in twins]
        own["drug_viable_r"] = logs_agree(twin_ml, [known.viable_ml(t) for t in known.twin_truths])
        simulated = np.array([_viable_ml(known, group) for group in mine])
        true = np.array([known.viable_ml(t) for t in known.truths])
        own["viable_volume_error"] = float(100 * np.abs(simulated - true).mean() / known.tumour_ml)
        before = mine[0][0].score.change.viable_ml_before
        values["copy_pre"]["viable_volume_error"] = float(100 * np.abs(before - true).mean() / known.tumour_ml)
        if settings.replicas >= 3:
            own["replica_coverage"] = _coverage(known, images, truths)
        shown = number in settings.seeds[: settings.montage]
        viable = {"mewm": np.log1p(np.stack([simulated, true], 1))}
        return PatientFigures(values, crops, viable, _tiles(known, images, mine) if shown else [])

    def _pictures(self, known: KnownPatient, images: list[list[Image]]) -> Iterator[tuple[str, list[list[Image]]]]:
        """Row by row the replicas of each protocol."""
        count = len(known.protocols)
        yield "mewm", images
        yield "mewm_shuffled_actions", [*images[1:], images[0]]
        yield "copy_pre", [[known.patch.hu]] * count
        blind = replace(self.plan, guidance=0.0)
        for name, other in {"mewm_action_dropped": self.world, **self.others}.items():
            if name == "mewm_action_dropped" or name in ACTIONLESS:
                # without the action there is one image for all protocols
                once = self._simulate(other, known, known.protocols[:1], blind)
                yield name, [_images(known, once[0])] * count
            else:
                yield name, [_images(known, g) for g in self._simulate(other, known, known.protocols, self.plan)]
        patch = known.patch
        for name, (draw, parameters) in self.hand_made.items():
            seeds = [derive_seed(name, self.settings.seed, known.seed, n) for n in range(count)]
            yield name, [[draw(patch.hu, patch.labels, patch.spacing_mm, s, patch.weight, parameters)] for s in seeds]

    def _simulate(
        self, world: WorldModel, known: KnownPatient, protocols: Sequence[Protocol], plan: PlanSettings
    ) -> list[list[SimulatedReplica]]:
        """Replicas of each protocol, one protocol at a time (more do not fit the processor's cache)."""
        seeds = self.replicas
        return [world.on_patch(known.patient, [protocol] * len(seeds), seeds, plan)[1] for protocol in protocols]


def _images(known: KnownPatient, group: Sequence[SimulatedReplica]) -> list[Image]:
    return [known.patch.simulated(replica.change_hu) for replica in group]


def _crops(known: KnownPatient, images: Sequence[Image]) -> NDArray[np.float32]:
    return np.concatenate([tumour_crops(image, known.patch.labels, 4) for image in images])


def _errors(known: KnownPatient, pictures: Sequence[Sequence[Image]], truths: Sequence[Image]) -> dict[str, float]:
    """The measures that every row has; `pictures` are replicas of each protocol."""
    pairs = [(image, truth) for replicas, truth in zip(pictures, truths, strict=True) for image in replicas]
    oil = np.array([abs(known.lipiodol_ml(image) - known.lipiodol_ml(truth)) for image, truth in pairs])
    return {
        "tumour_mae_hu": float(np.mean([known.error(image, truth) for image, truth in pairs])),
        "lipiodol_volume_error": float(100 * oil.mean() / known.tumour_ml),
        "lipiodol_volume_error_ml": float(oil.mean()),
    }


def _viable_ml(known: KnownPatient, group: Sequence[SimulatedReplica]) -> float:
    """Viable tumour as it is measured in the simulated images, whatever volume the simulation was given to draw."""
    each = zip(_images(known, group), group, strict=True)
    return float(np.mean([known.patch.findings(image, replica.labels).viable_ml for image, replica in each]))


def _coverage(known: KnownPatient, images: Sequence[Sequence[Image]], truths: Sequence[Image]) -> float:
    tumour = known.patch.labels == 2
    replicas, truth = (
        np.array(images)[:, :, tumour],
        np.array(truths)[:, tumour],
    )  # (protocols, T, voxels), and without T
    return float(((truth >= replicas.min(1)) & (truth <= replicas.max(1))).mean())


def _tiles(known: KnownPatient, images: Sequence[Sequence[Image]], mine: Sequence[Sequence[SimulatedReplica]]) -> Tiles:
    """Two lines of the montage, in the slice with most tumour: before and the simulated protocols; below, the truth."""
    tumour = known.patch.labels == 2
    k = int(np.argmax(tumour.sum((1, 2))))
    above: list[Tile | None] = [Tile(known.patch.hu[k], f"{known.seed}: {known.drawn.kind}\nbefore", tumour[k])]
    below: list[Tile | None] = [None]
    for protocol, replicas, group, truth in list(zip(known.protocols, images, mine, known.truths, strict=True))[:SHOWN]:
        above.append(Tile(replicas[0][k], protocol.text, group[0].labels[k] == 2, simulated=True))
        below.append(Tile(truth.hu[k], "truth", truth.labels[k] == 2))
    return [above, below]
