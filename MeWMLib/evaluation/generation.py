"""Does the simulated CT answer to the action? Measured on synthetic patients whose outcomes are known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr

from MeWMLib.bundles import Bundle
from MeWMLib.cohorts.synthetic.cases import SPLITS, Case, draw_case
from MeWMLib.cohorts.synthetic.world import SyntheticPatient
from MeWMLib.core.patient import Patient
from MeWMLib.core.plan import PlanSettings, replica_seeds
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.volume import Geometry, LabelMap, Volume
from MeWMLib.dynamics.compose import feather
from MeWMLib.evaluation.metrics import Rows, bootstrap_mean
from MeWMLib.world import WorldModel

Image = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class _Scene:
    """A test patient on the treated patch."""

    case: Case
    patient: Patient
    weight: Image

    @classmethod
    def draw(cls, world: WorldModel, seed: int) -> _Scene:
        case = draw_case(seed, jitter=False)
        geometry: Geometry = SyntheticPatient.draw(seed).target_geometry()
        labels = LabelMap(case.before.labels, geometry)
        patient = world.patient(str(seed), Volume(case.before.hu, geometry), labels)
        whole = tuple(slice(0, n) for n in geometry.shape)
        return cls(case, patient, feather(labels, whole, geometry))  # type: ignore[arg-type]

    def error(self, image: Image, truth: Image) -> float:
        """Mean absolute error (HU, inside the window) in the dilated tumour."""
        inside = self.weight > 0
        return float(np.abs(np.clip(image, -175, 600) - np.clip(truth, -175, 600))[inside].mean())


def evaluate_generation(
    bundle: Bundle,
    patients: int = 40,
    seed: int = 0,
    settings: PlanSettings | None = None,
    on_step: Callable[[str, float], None] | None = None,
) -> Rows:
    """Measure a bundle on the first patients of the test split.

    Rows: `mewm`; `mewm_shuffled_actions` (another protocol of the patient); `mewm_action_dropped` (the same network,
    not told the action); `copy_pre` (the CT before treatment).

    Metrics, one number a patient, over the complete protocols of that patient:

    - `tumour_mae_hu`: error of the simulated CT (mean of T replicas) in the dilated tumour.
    - `shuffled_action_ratio`: error under another protocol over the error under the true one.
    - `action_sensitivity`: mean difference (HU) of two protocols with one seed.
    - `counterfactual_rank_correlation`: Spearman, predicted risk against the world's true risk over the protocols.
    - `viable_volume_r`: Pearson, log(1 + viable ml) against the truth over all patients and protocols.
    - `lipiodol_volume_error`: ml.
    """
    settings = settings or PlanSettings()
    world = WorldModel.load(bundle)
    seeds = replica_seeds(seed, settings.replicas)
    values: dict[str, dict[str, list[float]]] = {}
    pairs: list[tuple[float, float]] = []

    def note(row: str, metric: str, value: float) -> None:
        values.setdefault(row, {}).setdefault(metric, []).append(value)

    for n, number in enumerate(list(SPLITS["test"])[:patients]):
        scene = _Scene.draw(world, number)
        protocols = [p for p in scene.case.protocols if p.complete]
        truths = [a for a, p in zip(scene.case.after, scene.case.protocols, strict=True) if p.complete]
        risks = [r for r, p in zip(scene.case.true_log_risk, scene.case.protocols, strict=True) if p.complete]
        outcomes = [world.simulate(scene.patient, p, seeds, settings) for p in protocols]
        images = [np.mean([o.ct.array for o in group], axis=0) for group in outcomes]
        errors = [scene.error(i, t.hu) for i, t in zip(images, truths, strict=True)]
        wrong = [scene.error(i, t.hu) for i, t in zip([*images[1:], images[0]], truths, strict=True)]
        note("mewm", "tumour_mae_hu", float(np.mean(errors)))
        note("mewm_shuffled_actions", "tumour_mae_hu", float(np.mean(wrong)))
        note("mewm", "shuffled_action_ratio", float(np.mean(wrong) / np.mean(errors)))
        note("copy_pre", "tumour_mae_hu", float(np.mean([scene.error(scene.case.before.hu, t.hu) for t in truths])))
        note("mewm", "action_sensitivity", scene.error(outcomes[0][0].ct.array, outcomes[1][0].ct.array))
        predicted = [world.assess(scene.patient, group).log_risk for group in outcomes]
        note("mewm", "counterfactual_rank_correlation", float(spearmanr(predicted, risks)[0]))
        ml = scene.patient.ct.geometry.voxel_ml
        for group, truth in zip(outcomes, truths, strict=True):
            change = world.change(scene.patient, group[0])
            pairs.append(
                (np.log1p(change.viable_ml_after), np.log1p(float(_viable(truth.hu, truth.labels).sum()) * ml))
            )
            oil = float(((truth.labels == 2) & (truth.hu >= 200)).sum()) * ml
            note("mewm", "lipiodol_volume_error", abs(change.lipiodol_ml_after - oil))
            note("copy_pre", "lipiodol_volume_error", oil)
        blind = _action_dropped(world, scene, seeds, settings)
        note("mewm_action_dropped", "tumour_mae_hu", float(np.mean([scene.error(blind, t.hu) for t in truths])))
        if on_step is not None:
            on_step("generation", (n + 1) / patients)
    rows = {row: {m: bootstrap_mean(v, seed) for m, v in metrics.items()} for row, metrics in values.items()}
    rows["mewm"]["viable_volume_r"] = _correlation(np.array(pairs), seed)
    return rows


def _viable(hu: Image, labels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return (labels == 2) & (hu >= 50) & (hu < 200)


def _correlation(pairs: NDArray[np.float64], seed: int) -> dict[str, float]:
    rng = np.random.default_rng(seed)
    draws = [np.corrcoef(pairs[rng.integers(0, len(pairs), len(pairs))].T)[0, 1] for _ in range(1000)]
    low, high = np.percentile(draws, [2.5, 97.5])
    return {"mean": float(np.corrcoef(pairs.T)[0, 1]), "low": float(low), "high": float(high), "n": len(pairs)}


def _action_dropped(world: WorldModel, scene: _Scene, seeds: tuple[int, ...], settings: PlanSettings) -> Image:
    """What the network simulates when it is not told the action: guidance 0 leaves the unconditional prediction."""
    any_protocol = scene.case.protocols[0]
    blind = PlanSettings(**{**settings.__dict__, "guidance": 0.0})
    with torch.inference_mode():
        outcomes = world.simulate(scene.patient, Protocol(any_protocol.actions), seeds, blind)
    return np.asarray(np.mean([o.ct.array for o in outcomes], axis=0), np.float32)
