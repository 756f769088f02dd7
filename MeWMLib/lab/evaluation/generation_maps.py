"""Generation on patients of version 3 of the world, by a dynamics model on coarse maps: images, cubes and answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from MeWMLib.core.coarse_maps import FloatArray, OutcomeMaps
from MeWMLib.core.errors import InputError
from MeWMLib.core.plan import PlanSettings, replica_seeds
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.volume import TUMOUR
from MeWMLib.dynamics.map_model import mean_maps
from MeWMLib.lab.evaluation.baselines import ACTIONLESS
from MeWMLib.lab.evaluation.generation_answers import Predict, answers, true_answers
from MeWMLib.lab.evaluation.generation_figures import (
    SHOWN,
    GenerationSettings,
    PatientFigures,
    Tiles,
    logs_agree,
    ranks_agree,
)
from MeWMLib.lab.evaluation.known_patients import Image
from MeWMLib.lab.evaluation.known_study import KnownStudy, Truth
from MeWMLib.lab.evaluation.montage import Tile
from MeWMLib.lab.evaluation.perceptual import tumour_crops
from MeWMLib.lab.synthetic.survival import true_log_risk
from MeWMLib.rendering.outline import labels_after
from MeWMLib.world.map_simulator import MapSimulator, PreparedRegion
from MeWMLib.world.model import WorldModel
from MeWMLib.world.replicas import SimulatedReplica


@dataclass(frozen=True, eq=False)
class Predicted:
    """One outcome: maps in cubes, and the image (K, J, I) on the shown voxels of the scan."""

    maps: OutcomeMaps
    image: Image


#: Outcomes of each protocol.
Outcomes = list[list[Predicted]]


class MapMeasure:
    """The models of one run; called with the seed of a patient.

    Raises:
        InputError: a model that does not work on coarse maps.
    """

    def __init__(self, settings: GenerationSettings) -> None:
        self.settings = settings
        self.replicas = replica_seeds(settings.seed, settings.replicas)
        self.world, self.others = settings.worlds()
        for one in (self.world, *self.others.values()):
            if not isinstance(one.simulator, MapSimulator):
                raise InputError(
                    what="Only dynamics models on coarse maps are measured in version 3 of the world",
                    given=one.bundle.name,
                    remedy="Use --world 2 for one on a cube",
                )

    def __call__(self, number: int) -> PatientFigures:
        """Everything about one test patient."""
        known = KnownStudy.draw(self.world, number)
        plan = replace(
            PlanSettings(), replicas=self.settings.replicas, steps=self.settings.steps, weeks=known.session.weeks
        )
        samples = self._simulate(self.world, known, known.protocols, plan)
        twins = self._unscored(known, known.twins, plan)
        means = self._expected(known, [*known.protocols, *known.twins], plan)
        means, twin_means = means[: len(known.protocols)], means[len(known.protocols) :]
        truths = known.truths(known.protocols)
        twin_truths = known.true_maps(known.twins, known.session)
        values: dict[str, dict[str, float]] = {}
        crops = {"truth": _crops(known, [t.image for t in truths])}
        rows = dict(self._rows(known, samples, means, plan))
        for name, outcomes in rows.items():
            values[name] = errors(known, outcomes, truths, painted=name != "mewm_expected")
            crops[name] = _crops(known, [group[0].image for group in outcomes])
        own, expected = values["mewm"], values["mewm_expected"]
        own |= _answer(known, rows["mewm"], truths, twins, twin_truths)
        expected |= _answer(known, rows["mewm_expected"], truths, [[m] for m in twin_means], twin_truths)
        risks = [float(np.mean([r.score.log_risk for r in group])) for group in samples]
        own["counterfactual_rank_correlation"] = ranks_agree(risks, known.true_risks(truths))
        if self.settings.replicas >= 3:
            own |= coverage(known, rows["mewm"], truths)
        own["shuffled_action_ratio_expected"] = expected["shuffled_action_ratio"]
        own |= answers(known, self._sample(known))
        expected |= answers(known, self._mean(known))
        values["world"] = true_answers(known) | bound(known, truths)
        before = samples[0][0].score.change.viable_ml_before
        true = np.array([known.true_viable_ml(t.maps) for t in truths])
        values["copy_pre"]["viable_volume_error"] = float(100 * np.abs(before - true).mean() / known.tumour_ml)
        viable = {
            name: np.log1p(np.stack([_viable(known, [[p.maps for p in g] for g in rows[name]]), true], 1))
            for name in ("mewm", "mewm_expected")
        }
        shown = number in self.settings.seeds[: self.settings.montage]
        return PatientFigures(values, crops, viable, _tiles(known, rows, truths) if shown else [])

    def _rows(
        self, known: KnownStudy, samples: list[list[SimulatedReplica]], means: list[OutcomeMaps], plan: PlanSettings
    ) -> Iterator[tuple[str, Outcomes]]:
        """Row by row the outcomes of each protocol."""
        count, own = len(known.protocols), self._painted(known, samples)
        yield "mewm", own
        yield "mewm_expected", [[Predicted(maps, known.expected(maps))] for maps in means]
        yield "mewm_shuffled_actions", [*own[1:], own[0]]
        blind = replace(plan, guidance=0.0)
        for name, other in {"mewm_action_dropped": self.world, **self.others}.items():
            if name == "mewm_action_dropped" or name in ACTIONLESS:
                # without the action there is one outcome for all protocols
                once = self._simulate(other, known, known.protocols[:1], blind)
                yield name, self._painted(known, once) * count
            else:
                yield name, self._painted(known, self._simulate(other, known, known.protocols, plan))
        region = known.ready.region
        nothing = np.zeros_like(region.targets)
        same = OutcomeMaps(region.targets, region.targets, nothing, nothing, region.geometry)
        yield "copy_pre", [[Predicted(same, known.before)]] * count

    def _simulate(
        self, world: WorldModel, known: KnownStudy, protocols: Sequence[Protocol], plan: PlanSettings
    ) -> list[list[SimulatedReplica]]:
        """Replicas of each protocol."""
        ready, seeds = world.simulator.prepare(known.patient), self.replicas
        trials = [(p, s) for p in protocols for s in seeds]
        found = world.simulator.replicas(ready, trials, plan, compared=False)
        return [found[n : n + len(seeds)] for n in range(0, len(found), len(seeds))]

    def _unscored(
        self, known: KnownStudy, protocols: Sequence[Protocol], plan: PlanSettings
    ) -> list[list[OutcomeMaps]]:
        """Samples of each protocol as maps alone."""
        simulator, ready = self._own(known)
        seeds, fed = self.replicas, ready.region.fed
        return [
            simulator.maps.sample(ready.maps, [protocol] * len(seeds), seeds, fed, plan.weeks, plan.steps, plan.spread)
            for protocol in protocols
        ]

    def _painted(self, known: KnownStudy, samples: list[list[SimulatedReplica]]) -> Outcomes:
        return [
            [
                Predicted(replica.maps, known.painted(replica.maps, seed))
                for replica, seed in zip(group, self.replicas, strict=True)
                if replica.maps is not None
            ]
            for group in samples
        ]

    def _expected(self, known: KnownStudy, protocols: Sequence[Protocol], plan: PlanSettings) -> list[OutcomeMaps]:
        """The expected outcome of each protocol, over the responses of the replicas."""
        simulator, ready = self._own(known)
        each = [
            simulator.maps.expected(
                ready.maps, protocols, [seed] * len(protocols), ready.region.fed, plan.weeks, plan.spread
            )
            for seed in self.replicas
        ]
        return [mean_maps(group) for group in zip(*each, strict=True)]

    def _mean(self, known: KnownStudy) -> Predict:
        """What is expected of the response that the model thinks most likely."""
        simulator, ready = self._own(known)

        def predict(protocols: Sequence[Protocol], weeks: float, fed: FloatArray) -> list[OutcomeMaps]:
            return simulator.maps.expected(ready.maps, protocols, [0] * len(protocols), fed, weeks, spread=0.0)

        return predict

    def _sample(self, known: KnownStudy) -> Predict:
        """Samples of one seed with that response, as a search compares them."""
        simulator, ready = self._own(known)
        seed, steps = self.settings.seed, self.settings.steps

        def predict(protocols: Sequence[Protocol], weeks: float, fed: FloatArray) -> list[OutcomeMaps]:
            return simulator.maps.sample(ready.maps, protocols, [seed] * len(protocols), fed, weeks, steps, spread=0.0)

        return predict

    def _own(self, known: KnownStudy) -> tuple[MapSimulator, PreparedRegion]:
        assert isinstance(self.world.simulator, MapSimulator)
        return self.world.simulator, known.ready


def errors(
    known: KnownStudy, outcomes: Sequence[Sequence[Predicted]], truths: Sequence[Truth], painted: bool
) -> dict[str, float]:
    """The measures that every row has.

    Args:
        known: the patient.
        outcomes: of each protocol.
        truths: of each protocol.
        painted: voxels as dense as Lipiodol are counted; expected scans show none.
    """
    pairs = [(one, truth) for group, truth in zip(outcomes, truths, strict=True) for one in group]
    inside = known.cubes_inside
    oil = [abs(one.maps.lipiodol_ml - truth.maps.lipiodol_ml) for one, truth in pairs]
    viable = [abs(known.viable_ml(one.maps) - known.true_viable_ml(truth.maps)) for one, truth in pairs]
    out = {
        "tumour_mae_hu": float(np.mean([known.error(one.image, truth.image) for one, truth in pairs])),
        "cube_mae_hu": float(np.mean([_cube_error(known, one.maps, truth.maps) for one, truth in pairs])),
        "cube_viable_mae": float(
            np.mean([np.abs(one.maps.viable - truth.maps.viable)[inside].mean() for one, truth in pairs])
        ),
        "viable_volume_error": float(100 * np.mean(viable) / known.tumour_ml),
        "lipiodol_iodine_error_ml": float(np.mean(oil)),
    }
    if painted:
        dense = float(np.mean([abs(known.dense_ml(one.image) - known.dense_ml(truth.image)) for one, truth in pairs]))
        out["lipiodol_volume_error"] = 100 * dense / known.tumour_ml
        out["lipiodol_volume_error_ml"] = dense
    return out


def coverage(known: KnownStudy, outcomes: Sequence[Sequence[Predicted]], truths: Sequence[Truth]) -> dict[str, float]:
    """How often the truth lies within the range of the replicas: HU of the targets' cubes, viable and Lipiodol ml."""
    tumour = known.ready.region.targets >= 0.5
    if not tumour.any():
        tumour = known.cubes_inside
    hu = np.array([[known.hu(p.maps)[tumour] for p in group] for group in outcomes])
    true_hu = np.array([known.hu(t.maps)[tumour] for t in truths])
    viable = np.array([[known.viable_ml(p.maps) for p in group] for group in outcomes])
    oil = np.array([[p.maps.lipiodol_ml for p in group] for group in outcomes])
    return {
        "replica_coverage": _within(hu, true_hu),
        "replica_coverage_viable": _within(viable, np.array([known.true_viable_ml(t.maps) for t in truths])),
        "replica_coverage_lipiodol": _within(oil, np.array([t.maps.lipiodol_ml for t in truths])),
    }


def _within(replicas: NDArray[np.floating], truth: NDArray[np.floating]) -> float:
    """Share of truths (P, ...) within the range of replicas (P, T, ...)."""
    return float(((truth >= replicas.min(1)) & (truth <= replicas.max(1))).mean())


def _answer(
    known: KnownStudy,
    outcomes: Sequence[Sequence[Predicted]],
    truths: Sequence[Truth],
    twins: Sequence[Sequence[OutcomeMaps]],
    twin_truths: Sequence[OutcomeMaps],
) -> dict[str, float]:
    """How outcomes differ between the protocols of a patient."""
    shuffled = [*outcomes[1:], outcomes[0]]
    own, other = (errors(known, which, truths, painted=False) for which in (outcomes, shuffled))
    viable = _viable(known, [[p.maps for p in group] for group in outcomes])
    true = [known.true_viable_ml(t.maps) for t in truths]
    true_risks = known.true_risks(truths)
    return {
        "shuffled_action_ratio": _ratio(other["tumour_mae_hu"], own["tumour_mae_hu"]),
        "shuffled_action_ratio_cubes": _ratio(other["cube_mae_hu"], own["cube_mae_hu"]),
        "shuffled_action_ratio_viable": _ratio(other["cube_viable_mae"], own["cube_viable_mae"]),
        "action_sensitivity": known.error(outcomes[0][0].image, outcomes[1][0].image),
        "counterfactual_rank_correlation_maps": ranks_agree(_map_risks(known, viable), true_risks),
        "viable_rank_correlation": ranks_agree(viable, true),
        "drug_viable_r": logs_agree(_viable(known, twins), [known.true_viable_ml(t) for t in twin_truths]),
    }


def bound(known: KnownStudy, truths: Sequence[Truth]) -> dict[str, float]:
    """What a model could reach that knows everything but the luck of Lipiodol: the world itself, drawn once more."""
    again = known.again().true_maps(known.protocols, known.session)
    own, other = (
        float(np.mean([_cube_error(known, one, t.maps) for one, t in zip(maps, truths, strict=True)]))
        for maps in (again, [*again[1:], again[0]])
    )
    return {"cube_mae_hu": own, "shuffled_action_ratio_cubes": _ratio(other, own)}


def _ratio(other: float, own: float) -> float:
    """NaN where there is no error to compare with."""
    return other / own if own > 0 else float("nan")


def _map_risks(known: KnownStudy, viable_ml: NDArray[np.float64]) -> list[float]:
    """The law's log-risk of predicted viable volumes; toxicity follows from the protocol, new lesions from no map."""
    pairs = zip(viable_ml, known.protocols, strict=True)
    return [true_log_risk(float(ml), replace(known.drawn.response(p), new_lesion=0.0)) for ml, p in pairs]


def _viable(known: KnownStudy, outcomes: Sequence[Sequence[OutcomeMaps]]) -> NDArray[np.float64]:
    """Viable tumour (ml) in the region after each protocol, mean over its outcomes."""
    return np.array([np.mean([known.viable_ml(maps) for maps in group]) for group in outcomes])


def _cube_error(known: KnownStudy, one: OutcomeMaps, truth: OutcomeMaps) -> float:
    """Mean absolute error (HU) of cubes of the dilated targets."""
    return float(np.abs(known.hu(one) - known.hu(truth))[known.cubes_inside].mean())


def _crops(known: KnownStudy, images: Sequence[Image]) -> NDArray[np.float32]:
    return np.concatenate([tumour_crops(image, known.labels, 4) for image in images])


def _tiles(known: KnownStudy, rows: dict[str, Outcomes], truths: Sequence[Truth]) -> Tiles:
    """Three lines of the montage, in the slice with most tumour: samples, what is expected, and the truth."""
    tumour = known.labels == TUMOUR
    k = int(np.argmax(tumour.sum((1, 2))))
    lines: Tiles = [
        [Tile(known.before[k], f"{known.drawn.seed}: {known.drawn.kind}\nbefore", tumour[k])], [None], [None],
    ]  # fmt: skip
    each = zip(known.protocols, rows["mewm"], rows["mewm_expected"], truths, strict=True)
    for protocol, samples, expected, truth in list(each)[:SHOWN]:
        targets = known.ready.region.targets
        after = labels_after(known.patient.labels, *known.changes, samples[0].maps, targets).array[known.shown]
        lines[0].append(Tile(samples[0].image[k], protocol.text, after[k] == TUMOUR, simulated=True))
        lines[1].append(Tile(expected[0].image[k], "expected", simulated=True))
        lines[2].append(Tile(truth.image[k], "truth", truth.tumour[k]))
    return lines
