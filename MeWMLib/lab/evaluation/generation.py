"""`mewm evaluate generation`: does the simulated CT answer to the action, and does it look like one?

Table 1's perceptual half and the checks of SPEC, on synthetic patients whose outcome is known under every protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr

from MeWMLib.cohorts.synthetic.fields import derive_seed
from MeWMLib.core.bundles import find_bundle
from MeWMLib.core.plan import PlanSettings, replica_seeds
from MeWMLib.lab.evaluation.baselines import ACTIONLESS, Pair, pixel2cancer, syntumor
from MeWMLib.lab.evaluation.known_patients import Image, KnownPatient
from MeWMLib.lab.evaluation.metrics import Rows, bootstrap_mean
from MeWMLib.lab.evaluation.montage import MontageRow
from MeWMLib.lab.evaluation.perceptual import AssistantFeatures, fid, lpips, pooled, tumour_crops
from MeWMLib.lab.synthetic.cases import SPLITS, draw_case
from MeWMLib.world.model import WorldModel
from MeWMLib.world.replicas import SimulatedReplica

#: Training patients on which the hand-made baselines are fitted.
FITTED_ON = 20
#: Protocols shown in the montage.
SHOWN = 5


@dataclass(frozen=True)
class GenerationSettings:
    """What to measure.

    Attributes:
        bundle: name or folder; None for the default.
        patients: how many of the test split.
        seed: of replicas and baselines.
        replicas, steps: of each simulation.
        others: row name to bundle; a row that never saw an action (`baselines.ACTIONLESS`) is simulated without it.
        workers: processes; each loads the bundles.
        montage: patients whose pictures are kept.
        seeds: of the patients; empty for the first of the test split.
    """

    bundle: str | None = None
    patients: int = 60
    seed: int = 0
    replicas: int = 1
    steps: int = PlanSettings().steps
    others: tuple[tuple[str, str], ...] = ()
    workers: int = 1
    montage: int = 4
    seeds: tuple[int, ...] = ()

    @property
    def plan(self) -> PlanSettings:
        """Settings of a simulation."""
        return replace(PlanSettings(), replicas=self.replicas, steps=self.steps)


@dataclass(eq=False)
class _Worlds:
    main: WorldModel
    others: dict[str, WorldModel]
    syntumor: syntumor.Parameters
    pixel2cancer: pixel2cancer.Parameters


@dataclass(frozen=True, eq=False)
class PatientFigures:
    """What one patient adds: row to metric to number; crops of the tumour by row; a row of the montage."""

    seed: int
    values: Mapping[str, Mapping[str, float]]
    crops: Mapping[str, NDArray[np.float32]]
    viable: NDArray[np.float64]
    picture: MontageRow | None


def evaluate_generation(
    settings: GenerationSettings, on_step: Callable[[str, float], None] | None = None
) -> tuple[Rows, list[MontageRow], dict[str, Any]]:
    """Measure.

    Rows: `mewm`; `mewm_shuffled_actions` (the image of another protocol); `mewm_action_dropped` (the same
    network, not told the action); `copy_pre`; `syntumor`; `pixel2cancer`; and `settings.others`.

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
        The rows, the montage's rows, and what else is to be written beside them.
    """
    numbers = list(settings.seeds or SPLITS["test"])[: settings.patients]
    found: list[PatientFigures] = []
    for figures in _measured(numbers, settings):
        found.append(figures)
        if on_step is not None:
            on_step("generation", len(found) / len(numbers))
    found.sort(key=lambda f: f.seed)
    rows = _rows(found, settings)
    about = _perceptual(found, rows, settings)
    return rows, [f.picture for f in found if f.picture is not None], about


def _measured(numbers: Sequence[int], settings: GenerationSettings) -> Iterator[PatientFigures]:
    if settings.workers <= 1:
        worlds = _load(settings)
        for n, number in enumerate(numbers):
            yield measure_patient(worlds, number, settings, n < settings.montage)
        return
    jobs = [(number, settings, n < settings.montage) for n, number in enumerate(numbers)]
    # spawned, since a forked torch may hang
    with ProcessPoolExecutor(settings.workers, mp_context=get_context("spawn"), initializer=_begin) as pool:
        yield from pool.map(_measure_in_worker, jobs)


_KEPT: dict[GenerationSettings, _Worlds] = {}


def _begin() -> None:
    torch.set_num_threads(1)


def _measure_in_worker(job: tuple[int, GenerationSettings, bool]) -> PatientFigures:
    number, settings, shown = job
    if settings not in _KEPT:
        _KEPT[settings] = _load(settings)
    return measure_patient(_KEPT[settings], number, settings, shown)


def _load(settings: GenerationSettings) -> _Worlds:
    pairs = []
    for seed in list(SPLITS["train"])[:FITTED_ON]:
        case = draw_case(seed)
        b, after = case.before, case.after[0]
        pairs.append(Pair(b.hu, after.hu, b.labels, case.spacing_mm, after.labels))
    others = {name: WorldModel.load(find_bundle(bundle)) for name, bundle in settings.others}
    world = WorldModel.load(find_bundle(settings.bundle))
    return _Worlds(world, others, syntumor.fit(pairs), pixel2cancer.fit(pairs))


def measure_patient(worlds: _Worlds, number: int, settings: GenerationSettings, shown: bool) -> PatientFigures:
    """Everything about one test patient."""
    world = worlds.main
    known = KnownPatient.draw(world, number)
    plan, seeds = settings.plan, replica_seeds(settings.seed, settings.replicas)
    everything = [*known.protocols, *known.twins]
    judged = _simulate(world, known, everything, seeds, plan)
    mine, twins = judged[: len(known.protocols)], judged[len(known.protocols) :]
    images = [[known.patch.simulated(j.change_hu) for j in group] for group in mine]
    truths = [t.hu for t in known.truths]
    values: dict[str, dict[str, float]] = {}
    crops = {"truth": np.concatenate([tumour_crops(t, known.patch.labels, 4) for t in truths])}

    def row(name: str, pictures: Sequence[Sequence[Image]]) -> None:
        """Note the measures that every row has; `pictures` are replicas of each protocol."""
        firsts = [replicas[0] for replicas in pictures]
        pairs = [(image, t) for replicas, t in zip(pictures, truths, strict=True) for image in replicas]
        oil = np.array([abs(_oil(known, image) - _oil(known, t)) for image, t in pairs])
        values[name] = {
            "tumour_mae_hu": float(np.mean([known.error(image, t) for image, t in pairs])),
            "lipiodol_volume_error": float(100 * oil.mean() / known.tumour_ml),
            "lipiodol_volume_error_ml": float(oil.mean()),
        }
        crops[name] = np.concatenate([tumour_crops(image, known.patch.labels, 4) for image in firsts])

    row("mewm", images)
    row("mewm_shuffled_actions", [*images[1:], images[0]])
    row("copy_pre", [[known.patch.hu]] * len(truths))
    blind = replace(plan, guidance=0.0)
    for name, other, how in (
        ("mewm_action_dropped", world, blind),
        *((n, w, blind if n in ACTIONLESS else plan) for n, w in worlds.others.items()),
    ):
        # what is not told the action gives one image for all
        asked = known.protocols[:1] if how is blind else known.protocols
        drawn = [[known.patch.simulated(j.change_hu) for j in g] for g in _simulate(other, known, asked, seeds, how)]
        row(name, drawn * (len(truths) if how is blind else 1))
    for name, draw, parameters in (
        ("syntumor", syntumor.simulate, worlds.syntumor),
        ("pixel2cancer", pixel2cancer.simulate, worlds.pixel2cancer),
    ):
        row(name, [[draw(  # type: ignore[operator]
            known.patch.hu, known.patch.labels, known.patch.spacing_mm,
            derive_seed(name, settings.seed, number, n), known.patch.weight, parameters,
        )] for n in range(len(truths))])  # fmt: skip
    own = values["mewm"]
    own["shuffled_action_ratio"] = values["mewm_shuffled_actions"]["tumour_mae_hu"] / own["tumour_mae_hu"]
    own["action_sensitivity"] = known.error(images[0][0], images[1][0])
    risks = [float(np.mean([j.score.log_risk for j in group])) for group in mine]
    own["counterfactual_rank_correlation"] = float(spearmanr(risks, known.true_risks())[0])
    own["drug_viable_r"] = _drug_r(known, twins)
    simulated = np.array([np.mean([_viable_ml(known, j) for j in group]) for group in mine])
    true = np.array([known.viable_ml(t) for t in known.truths])
    own["viable_volume_error"] = float(100 * np.abs(simulated - true).mean() / known.tumour_ml)
    before = mine[0][0].change.viable_ml_before
    values["copy_pre"]["viable_volume_error"] = float(100 * np.abs(before - true).mean() / known.tumour_ml)
    if settings.replicas >= 3:
        own["replica_coverage"] = _coverage(known, images, truths)
    picture = _picture(known, images, truths, mine) if shown else None
    return PatientFigures(number, values, crops, np.log1p(np.stack([simulated, true], 1)), picture)


def _simulate(
    world: WorldModel, known: KnownPatient, protocols: Sequence[Any], seeds: Sequence[int], plan: PlanSettings
) -> list[list[SimulatedReplica]]:
    """Replicas of each protocol, two protocols at a time (more do not fit the processor's cache)."""
    out: list[list[SimulatedReplica]] = []
    for protocol in protocols:
        out.append(world.on_patch(known.patient, [protocol] * len(seeds), seeds, plan)[1])
    return out


def _oil(known: KnownPatient, image: Image) -> float:
    return known.lipiodol_ml(image, known.inside & (known.patch.labels >= 1))


def _viable_ml(known: KnownPatient, judged: SimulatedReplica) -> float:
    """Viable tumour as it is measured in the simulated image, whatever the simulation was told to draw."""
    return known.patch.findings(known.patch.simulated(judged.change_hu), judged.labels).viable_ml


def _drug_r(known: KnownPatient, twins: Sequence[Sequence[SimulatedReplica]]) -> float:
    simulated = np.log1p([np.mean([_viable_ml(known, j) for j in group]) for group in twins])
    true = np.log1p([known.viable_ml(t) for t in known.twin_truths])
    if len(true) < 3 or simulated.std() == 0 or true.std() == 0:
        return float("nan") if true.std() == 0 or len(true) < 3 else 0.0
    return float(np.corrcoef(simulated, true)[0, 1])


def _coverage(known: KnownPatient, images: Sequence[Sequence[Image]], truths: Sequence[Image]) -> float:
    tumour = known.patch.labels == 2
    shares = []
    for replicas, truth in zip(images, truths, strict=True):
        stack = np.stack(replicas)[:, tumour]
        shares.append(float(((truth[tumour] >= stack.min(0)) & (truth[tumour] <= stack.max(0))).mean()))
    return float(np.mean(shares))


def _picture(
    known: KnownPatient,
    images: Sequence[Sequence[Image]],
    truths: Sequence[Image],
    mine: Sequence[Sequence[SimulatedReplica]],
) -> MontageRow:
    k = int(np.argmax((known.patch.labels == 2).sum((1, 2))))
    n = min(SHOWN, len(truths))
    return MontageRow(
        f"{known.seed}: {known.drawn.kind}",
        known.patch.hu[k],
        known.patch.labels[k] == 2,
        [p.text for p in known.protocols[:n]],
        [replicas[0][k] for replicas in images[:n]],
        [t[k] for t in truths[:n]],
        [group[0].labels[k] == 2 for group in mine[:n]],
        [t.labels[k] == 2 for t in known.truths[:n]],
    )


def _rows(found: Sequence[PatientFigures], settings: GenerationSettings) -> dict[str, dict[str, dict[str, float]]]:
    """Means over patients with bootstrap intervals."""
    rows: dict[str, dict[str, dict[str, float]]] = {}
    for name in found[0].values:
        metrics = found[0].values[name]
        rows[name] = {
            m: bootstrap_mean([f.values[name].get(m, float("nan")) for f in found], settings.seed) for m in metrics
        }
    pairs = [f.viable for f in found]
    rng = np.random.default_rng(settings.seed)
    draws = [_r(np.concatenate([pairs[i] for i in rng.integers(0, len(pairs), len(pairs))])) for _ in range(500)]
    low, high = np.nanpercentile(draws, [2.5, 97.5])
    rows["mewm"]["viable_volume_r"] = {
        "mean": _r(np.concatenate(pairs)), "low": float(low), "high": float(high), "n": len(pairs),
    }  # fmt: skip
    return rows


def _r(pairs: NDArray[np.float64]) -> float:
    return float(np.corrcoef(pairs.T)[0, 1])


def _perceptual(
    found: Sequence[PatientFigures], rows: dict[str, dict[str, dict[str, float]]], settings: GenerationSettings
) -> dict[str, Any]:
    """Enter FID and LPIPS-style distances into `rows`; returns which network gave them."""
    truth = np.concatenate([f.crops["truth"] for f in found])
    network = AssistantFeatures(WorldModel.load(find_bundle(settings.bundle)).segmenter, truth)
    about: dict[str, Any] = {"network": network.name, "crops": len(truth)}
    rng = np.random.default_rng(settings.seed)
    # once for each patient: the intervals draw patients again and again
    real = [pooled(f.crops["truth"], network) for f in found]
    for name, metrics in rows.items():
        distances = [float(lpips(f.crops[name], f.crops["truth"], network).mean()) for f in found]
        metrics["lpips"] = bootstrap_mean(distances, settings.seed)
        other = [pooled(f.crops[name], network) for f in found]
        whole = fid(np.concatenate(real), np.concatenate(other), network.name)
        draws = []
        for _ in range(20):
            chosen = rng.integers(0, len(found), len(found))
            again = [np.concatenate([features[i] for i in chosen]) for features in (real, other)]
            draws.append(fid(again[0], again[1], network.name, whole.dimensions).value)
        low, high = np.percentile(draws, [2.5, 97.5])
        metrics["fid"] = {"mean": whole.value, "low": float(low), "high": float(high), "n": len(found)}
        about["fid_dimensions"] = whole.dimensions
    return about
