"""`mewm evaluate generation`: does the simulated CT answer to the action, and does it look like one?

Table 1's perceptual half and the checks of SPEC, on synthetic patients whose outcome is known under every protocol.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MeWMLib.core.bundles import find_bundle
from MeWMLib.core.io import write_json
from MeWMLib.dynamics.map_model import is_maps
from MeWMLib.lab.evaluation.generation_answers import half_life
from MeWMLib.lab.evaluation.generation_cube import CubeMeasure
from MeWMLib.lab.evaluation.generation_figures import GenerationSettings, PatientFigures, Tiles
from MeWMLib.lab.evaluation.generation_maps import MapMeasure
from MeWMLib.lab.evaluation.known_patients import chosen_patients
from MeWMLib.lab.evaluation.metrics import Rows, bootstrap, bootstrap_mean, correlation, rows_of
from MeWMLib.lab.evaluation.montage import write_tiles
from MeWMLib.lab.evaluation.perceptual import SegmenterFeatures, fid, lpips, pooled
from MeWMLib.lab.evaluation.work import Say, each_patient, settings_from, silent
from MeWMLib.world.model import WorldModel


def run(args: argparse.Namespace, say: Say) -> tuple[Rows, str]:
    """Measure what the arguments ask for and write perceptual.json and montage.png; rows, and on whom."""
    world = world_of(args.world, args.bundle)
    seeds, about = chosen_patients(args, world)
    settings = settings_from(GenerationSettings, args, seeds=seeds, world=world)
    rows, tiles, perceptual = evaluate_generation(settings, say)
    write_json(perceptual, args.out / "perceptual.json")
    write_tiles(args.out / "montage.png", tiles)
    return rows, about


def world_of(asked: int | None, bundle: str | None) -> int:
    """The version of the world to measure in: the newest for a dynamics model on coarse maps, else 2."""
    return asked or (3 if is_maps(find_bundle(bundle).part("dynamics")[0]) else 2)


def evaluate_generation(settings: GenerationSettings, say: Say = silent) -> tuple[Rows, Tiles, dict[str, Any]]:
    """Measure.

    Rows: `mewm`; `mewm_shuffled_actions` (the image of another protocol); `mewm_action_dropped` (the same
    network without the action); `copy_pre`; and `settings.others`. In version 2 of the world also `syntumor` and
    `pixel2cancer`; in version 3 `mewm_expected`, which is the expected outcome where `mewm` is samples, and `world`,
    how the truth itself answers, with `cube_mae_hu` and `shuffled_action_ratio_cubes` of the same patient under another
    luck of Lipiodol: as good as a sample by someone who knows all but that can be.

    Metrics, one number a patient, a mean over the patient's complete protocols:

    - `tumour_mae_hu`: mean absolute error in the dilated tumour, of each replica.
    - `lipiodol_volume_error`: Lipiodol (>= 200 HU) in the dilated tumour, |simulated - true| in percent of the tumour's
      volume before treatment; `lipiodol_volume_error_ml` the same in ml.
    - `viable_volume_error`: viable tumour after treatment, against the world's own mask, in percent of the tumour's
      volume; as it is measured in the image, in version 3 as the maps have it.
    - `shuffled_action_ratio`: error under another protocol over the error under the true one.
    - `action_sensitivity`: mean difference (HU) of two protocols with one seed.
    - `counterfactual_rank_correlation`: Spearman over the patient's protocols, predicted against true log-risk.
    - `drug_viable_r`: Pearson over protocols that differ in the drug alone, log viable volume against the truth.
    - `replica_coverage`: share of voxels whose truth lies within the range of the replicas (with at least 3; T
      replicas of the true distribution give (T - 1) / (T + 1)).
    - `fid`, `lpips`: see `evaluation/perceptual.py`; one number over all patients (fid) or a patient (lpips).
    - `viable_volume_r`: Pearson of log(1 + viable ml) over all patients and protocols.

    In version 3, on voxels of the patient's own scanner, painted as the product writes them, and in cubes of 4 mm:

    - `cube_mae_hu`, `cube_viable_mae`: mean absolute error of cubes in the dilated targets, HU and viable share.
    - `lipiodol_iodine_error_ml`: Lipiodol by iodine, |predicted - true|.
    - `shuffled_action_ratio_expected`: that of the expected scan, beside that of samples, which have noise of their
      own; `shuffled_action_ratio_cubes` and `shuffled_action_ratio_viable` that of the errors in cubes.
    - `counterfactual_rank_correlation_maps`: by the law's risk of the predicted viable volume in place of the survival
      network, with the toxicity of the protocol; `viable_rank_correlation`: of the viable volumes alone.
    - `replica_coverage` is that of cubes (HU); `replica_coverage_viable` and `replica_coverage_lipiodol` of volumes.
    - `dose_*`, `lipiodol_dose_rho`, `weeks_sign`, `lipiodol_decay_per_week`, `territory_*`: see
      `evaluation/generation_answers.py`; `lipiodol_half_life_weeks` is that of the mean decay over all patients.

    Returns:
        The rows, the tiles of the montage, and which network gave the perceptual figures.

    Raises:
        InputError: a dynamics model on a cube in version 3.
    """
    settings = replace(settings, world=world_of(settings.world, settings.bundle))
    measure: Any = MapMeasure if settings.world == 3 else CubeMeasure
    found: list[PatientFigures] = each_patient(
        measure, settings, sorted(settings.seeds), settings.workers, "generation", say
    )
    rows = rows_of([f.values for f in found], settings.seed)

    def over_patients(statistic: Callable[[NDArray[np.intp]], float]) -> dict[str, float]:
        return bootstrap(statistic, len(found), settings.seed)

    for name in found[0].viable:
        rows[name]["viable_volume_r"] = over_patients(
            lambda chosen, name=name: correlation(*np.concatenate([found[i].viable[name] for i in chosen]).T)
        )
    for name, metrics in rows.items():
        if "lipiodol_decay_per_week" in metrics:
            decays = np.array([f.values[name].get("lipiodol_decay_per_week", np.nan) for f in found])
            figure = over_patients(lambda chosen, decays=decays: half_life(decays[chosen]))
            metrics["lipiodol_half_life_weeks"] = figure | {"n": int(np.isfinite(decays).sum())}
    about = _perceptual(found, rows, settings)
    return rows, [line for f in found for line in f.tiles], about


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
        if name not in found[0].crops:
            continue
        distances = [float(lpips(f.crops[name], f.crops["truth"], network).mean()) for f in found]
        metrics["lpips"] = bootstrap_mean(distances, settings.seed)
        other = [pooled(f.crops[name], network) for f in found]
        _, dimensions = fid(np.concatenate(real), np.concatenate(other))

        def distance(chosen: NDArray[np.intp], other: Any = other, dimensions: int = dimensions) -> float:
            drawn = [np.concatenate([each[i] for i in chosen]) for each in (real, other)]
            # patients have different numbers of crops: a draw may hold too few for all dimensions
            return fid(*drawn, min(dimensions, *(len(d) // 2 for d in drawn)))[0]

        metrics["fid"] = bootstrap(distance, len(found), rng, 20, centred=True)
        about["fid_dimensions"] = dimensions
    return about
