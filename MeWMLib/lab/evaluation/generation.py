"""`mewm evaluate generation`: does the simulated CT answer to the action, and does it look like one?

Table 1's perceptual half and the checks of SPEC, on synthetic patients whose outcome is known under every protocol.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from MeWMLib.cohorts.synthetic.fields import derive_seed
from MeWMLib.core.bundles import find_bundle
from MeWMLib.core.io import write_json
from MeWMLib.core.plan import PlanSettings, replica_seeds
from MeWMLib.core.protocol import Protocol
from MeWMLib.lab.evaluation.baselines import ACTIONLESS, Pair, pixel2cancer, syntumor
from MeWMLib.lab.evaluation.known_patients import Image, KnownPatient, WorldSettings, chosen_patients
from MeWMLib.lab.evaluation.metrics import Rows, bootstrap, bootstrap_mean, correlation, rows_of
from MeWMLib.lab.evaluation.montage import Tile, write_tiles
from MeWMLib.lab.evaluation.perceptual import SegmenterFeatures, fid, lpips, pooled, tumour_crops
from MeWMLib.lab.evaluation.work import Say, each_patient, settings_from, silent
from MeWMLib.lab.synthetic.cases import SPLITS, draw_case
from MeWMLib.world.model import WorldModel
from MeWMLib.world.replicas import SimulatedReplica

#: Training patients on which the hand-made baselines are fitted.
FITTED_ON = 20
#: Protocols shown in the montage.
SHOWN = 5
Tiles = list[list[Tile | None]]


@dataclass(frozen=True)
class GenerationSettings(WorldSettings):
    """What to measure; `montage` is the number of patients whose pictures are kept."""

    steps: int = PlanSettings().steps
    montage: int = 4


@dataclass(frozen=True, eq=False)
class PatientFigures:
    """What one patient adds: row to metric to number; crops of the tumour by row; lines of the montage."""

    values: Mapping[str, Mapping[str, float]]
    crops: Mapping[str, NDArray[np.float32]]
    viable: NDArray[np.float64]
    tiles: Tiles


def run(args: argparse.Namespace, say: Say) -> tuple[Rows, str]:
    """Measure what the arguments ask for and write perceptual.json and montage.png; rows, and on whom."""
    seeds, about = chosen_patients(args)
    rows, tiles, perceptual = evaluate_generation(settings_from(GenerationSettings, args, seeds=seeds), say)
    write_json(perceptual, args.out / "perceptual.json")
    write_tiles(args.out / "montage.png", tiles)
    return rows, about


def evaluate_generation(settings: GenerationSettings, say: Say = silent) -> tuple[Rows, Tiles, dict[str, Any]]:
    """Measure.

    Rows: `mewm`; `mewm_shuffled_actions` (the image of another protocol); `mewm_action_dropped` (the same
    network without the action); `copy_pre`; `syntumor`; `pixel2cancer`; and `settings.others`.

    Metrics, one number a patient, a mean over the patient's complete protocols:

    - `tumour_mae_hu`: mean absolute error in the dilated tumour, of each replica.
    - `lipiodol_volume_error`: Lipiodol (>= 200 HU) in the dilated tumour, |simulated - true| in percent of the tumour's
      volume before treatment; `lipiodol_volume_error_ml` the same in ml.
    - `viable_volume_error`: viable tumour after treatment as it is measured in the image, against the world's own mask,
      in percent of the tumour's volume.
    - `shuffled_action_ratio`: error under another protocol over the error under the true one.
    - `action_sensitivity`: mean difference (HU) of two protocols with one seed.
    - `counterfactual_rank_correlation`: Spearman over the patient's protocols, predicted against true log-risk.
    - `drug_viable_r`: Pearson over protocols that differ in the drug alone, log viable volume against the truth.
    - `replica_coverage`: share of voxels whose truth lies within the range of the replicas (with at least 3; T
      replicas of the true distribution give (T - 1) / (T + 1)).
    - `fid`, `lpips`: see `evaluation/perceptual.py`; one number over all patients (fid) or a patient (lpips).
    - `viable_volume_r`: Pearson of log(1 + viable ml) over all patients and protocols.

    Returns:
        The rows, the tiles of the montage, and which network gave the perceptual figures.
    """
    found = each_patient(Measure, settings, sorted(settings.seeds), settings.workers, "generation", say)
    rows = rows_of([f.values for f in found], settings.seed)
    rows["mewm"]["viable_volume_r"] = bootstrap(
        lambda chosen: correlation(*np.concatenate([found[i].viable for i in chosen]).T), len(found), settings.seed
    )
    about = _perceptual(found, rows, settings)
    return rows, [line for f in found for line in f.tiles], about


class Measure:
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
        own["counterfactual_rank_correlation"] = float(spearmanr(risks, known.true_risks())[0])
        own["drug_viable_r"] = _drug_r(known, twins)
        simulated = np.array([_viable_ml(known, group) for group in mine])
        true = np.array([known.viable_ml(t) for t in known.truths])
        own["viable_volume_error"] = float(100 * np.abs(simulated - true).mean() / known.tumour_ml)
        before = mine[0][0].score.change.viable_ml_before
        values["copy_pre"]["viable_volume_error"] = float(100 * np.abs(before - true).mean() / known.tumour_ml)
        if settings.replicas >= 3:
            own["replica_coverage"] = _coverage(known, images, truths)
        shown = number in settings.seeds[: settings.montage]
        return PatientFigures(
            values, crops, np.log1p(np.stack([simulated, true], 1)), _tiles(known, images, mine) if shown else []
        )

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


def _drug_r(known: KnownPatient, twins: Sequence[Sequence[SimulatedReplica]]) -> float:
    simulated = np.log1p([_viable_ml(known, group) for group in twins])
    true = np.log1p([known.viable_ml(t) for t in known.twin_truths])
    if len(true) < 3 or true.std() == 0:
        return float("nan")
    return correlation(simulated, true) if simulated.std() > 0 else 0.0


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


def _perceptual(
    found: Sequence[PatientFigures], rows: dict[str, dict[str, dict[str, float]]], settings: GenerationSettings
) -> dict[str, Any]:
    """Enter FID and LPIPS-style distances into `rows`; returns which network gave them."""
    truth = np.concatenate([f.crops["truth"] for f in found])
    network = SegmenterFeatures(WorldModel.load(find_bundle(settings.bundle)).segmenter, truth)
    about: dict[str, Any] = {"network": network.name, "crops": len(truth)}
    rng = np.random.default_rng(settings.seed)
    # once for each patient: the intervals draw patients again and again
    real = [pooled(f.crops["truth"], network) for f in found]
    for name, metrics in rows.items():
        distances = [float(lpips(f.crops[name], f.crops["truth"], network).mean()) for f in found]
        metrics["lpips"] = bootstrap_mean(distances, settings.seed)
        other = [pooled(f.crops[name], network) for f in found]
        _, dimensions = fid(np.concatenate(real), np.concatenate(other))

        def distance(chosen: NDArray[np.intp], other: Any = other, dimensions: int = dimensions) -> float:
            return fid(*(np.concatenate([each[i] for i in chosen]) for each in (real, other)), dimensions)[0]

        metrics["fid"] = bootstrap(distance, len(found), rng, 20)
        about["fid_dimensions"] = dimensions
    return about
