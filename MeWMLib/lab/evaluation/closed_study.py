"""`mewm evaluate closed-loop --world 3`: is what is measured in simulated images what the model told them to show?

A model on coarse maps predicts the viable volume, and draws the image in which it is measured. The two must agree, or
a search by one of them follows another goal than a search by the other. Measured on patients of version 3 of the world.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import kendalltau

from MeWMLib.cohorts.synthetic.scan import Scan
from MeWMLib.core.bundles import find_bundle
from MeWMLib.core.coarse_maps import OutcomeMaps
from MeWMLib.core.outcome import VIABLE_TOLERANCE
from MeWMLib.core.plan import ASSISTANT, IMAGE, MODEL
from MeWMLib.core.volume import TUMOUR
from MeWMLib.lab.evaluation.known_study import KnownStudy
from MeWMLib.lab.evaluation.metrics import Rows, bootstrap, bootstrap_mean, correlation
from MeWMLib.lab.evaluation.work import Say, each_patient, silent
from MeWMLib.perception.segmenter import Segmenter
from MeWMLib.rendering.iodine import rise_hu
from MeWMLib.world.map_simulator import MapSimulator
from MeWMLib.world.model import WorldModel

#: Columns of what is noted of each outcome: the viable tumour that was told and that was measured, tumour before (ml),
#: and the log-risks by either.
TOLD, MEASURED, BEFORE, RISK_TOLD, RISK_MEASURED = range(5)
Figures = NDArray[np.float64]
#: Protocols of a patient on whose images the segmenter outlines, which takes by far the longest.
SEGMENTED = 3


@dataclass(frozen=True)
class ClosedStudySettings:
    """What to measure.

    Attributes:
        bundle: whose dynamics simulate, and whose segmenter outlines unless `assistant` names another bundle.
        assistant: bundle of another segmenter, or None.
        seeds: of the patients.
        seed: of intervals.
        workers: processes.
    """

    seeds: tuple[int, ...]
    bundle: str | None = None
    assistant: str | None = None
    seed: int = 0
    workers: int = 1


def evaluate_closed_study(settings: ClosedStudySettings, say: Say = silent) -> Rows:
    """Measure.

    Rows, each against what the model predicts: `image` (as a search judges: the image's tissue within the outline of
    the response), `outline_kept` (within the outline before treatment: nothing but the image), `with_lipiodol` (the
    image with its expected Lipiodol), `assistant` (within the outline that the segmenter sees in the image, for
    the first `SEGMENTED` protocols). And
    `true_scan`: the same measure on the world's own scan after treatment, with noise and Lipiodol, in its true outline,
    against the world's viable tumour: what the measure is worth on a follow-up.

    Metrics over all outcomes of all patients: `viable_volume_r` (Pearson of log(1 + ml)), `viable_share_r` (of shares
    of the tumour before treatment). Means over patients: `mean_difference` and `bias` (measured less told) in percent
    of the tumour before treatment, `beyond_tolerance` (share of outcomes that a plan flags), `kendall_tau` and
    `kendall_tau_risk` (rankings of a patient's protocols by either volume, and by the survival network's risk with
    either). Intervals are over patients.
    """
    turns = each_patient(_Turn, settings, settings.seeds, settings.workers, "closed loop", say)
    return {row: rows_of([turn[row] for turn in turns], settings.seed) for row in turns[0]}


class _Turn:
    """The networks of one run; called with the seed of a patient."""

    def __init__(self, settings: ClosedStudySettings) -> None:
        self.world = WorldModel.load(find_bundle(settings.bundle))
        assert isinstance(self.world.simulator, MapSimulator)
        self.simulator = self.world.simulator
        if settings.assistant is not None:
            part = find_bundle(settings.assistant, require=("assistant",)).part("assistant")
            self.simulator.segmenter = Segmenter.from_part(*part, torch.device(self.world.device))

    def __call__(self, number: int) -> dict[str, Figures]:
        """What is measured on one patient: row to (protocols, 5)."""
        known = KnownStudy.draw(self.world, number)
        rows: dict[str, list[Sequence[float]]] = {}
        for n, protocol in enumerate((*known.protocols, *known.twins)):
            mean = self.simulator.maps.expected(
                known.ready.maps, [protocol], [0], known.ready.region.fed, known.session.weeks, 0.0
            )[0]
            judges = (MODEL, IMAGE, *([ASSISTANT] if n < SEGMENTED else []))
            scores = self.simulator.scores(known.ready, mean, judges, known.session.weeks)
            told = scores[MODEL]
            measured = {judge: (scores[judge].measured_viable_ml, scores[judge].log_risk) for judge in judges[1:]}
            for row, (viable, risk) in (measured | self._otherwise(known, mean)).items():
                figures = told.predicted_viable_ml, viable, told.change.volume_ml_before, told.log_risk, risk
                rows.setdefault(row, []).append([float("nan") if x is None else x for x in figures])
        rows["true_scan"] = self._true(known)
        return {row: np.array(found, np.float64) for row, found in rows.items()}

    def _otherwise(self, known: KnownStudy, mean: OutcomeMaps) -> dict[str, tuple[float | None, float]]:
        """Viable tumour (ml) of rows by which no search judges, and no log-risk."""
        ready, nothing = known.ready, float("nan")
        patch, scale = ready.patch, ready.treated.tumour_ml / max(ready.outline_ml, 1e-6)
        changes = mean.change, mean.change + rise_hu(mean.iodine)
        after, before, dry, oily = ready.to_patch(np.stack([mean.tumour, ready.region.targets, *changes]))
        tissue, full = patch.simulated(dry), patch.simulated(oily)
        return {
            "outline_kept": (ready.viable.in_image(tissue, before, scale), nothing),
            "with_lipiodol": (ready.viable.in_image(full, after, scale), nothing),
        }

    def _true(self, known: KnownStudy) -> list[Sequence[float]]:
        """The measure on the true follow-up scans."""
        ready, out = known.ready, []
        grid = ready.patch.geometry
        scans: Sequence[Scan] = known.drawn.render_all(grid, known.protocols, session=known.session)
        for scan in scans:
            truth = float(scan.viable.sum()) * grid.voxel_ml
            found = ready.viable.in_scan(scan.hu, scan.labels == TUMOUR)
            out.append([truth, found, ready.before.tumour_ml, float("nan"), float("nan")])
        return out


def rows_of(figures: Sequence[Figures], seed: int) -> dict[str, Mapping[str, float]]:
    """Metrics of one row from (protocols, 5) of each patient."""

    def over_all(of: Any) -> Mapping[str, float]:
        pairs = [of(f) for f in figures]
        return bootstrap(lambda chosen: correlation(*np.concatenate([pairs[i] for i in chosen]).T), len(pairs), seed)

    def tau(told: int, measured: int) -> Mapping[str, float]:
        return bootstrap_mean([_tau(f[:, told], f[:, measured]) for f in figures], seed)

    apart = [(f[:, MEASURED] - f[:, TOLD]) / f[:, BEFORE] for f in figures]
    out = {
        "viable_volume_r": over_all(lambda f: np.log1p(f[:, [TOLD, MEASURED]])),
        "viable_share_r": over_all(lambda f: f[:, [TOLD, MEASURED]] / f[:, [BEFORE]]),
        "mean_difference": bootstrap_mean([100 * float(np.abs(d).mean()) for d in apart], seed),
        "bias": bootstrap_mean([100 * float(d.mean()) for d in apart], seed),
        "beyond_tolerance": bootstrap_mean([float((np.abs(d) > VIABLE_TOLERANCE).mean()) for d in apart], seed),
        "kendall_tau": tau(TOLD, MEASURED),
    }
    if not all(np.isnan(f[:, RISK_MEASURED]).all() for f in figures):
        out["kendall_tau_risk"] = tau(RISK_TOLD, RISK_MEASURED)
    return out


def _tau(first: Figures, second: Figures) -> float:
    """Kendall's tau-b of the rankings; NaN where one side does not vary."""
    known = np.isfinite(first) & np.isfinite(second)
    return float(kendalltau(first[known], second[known])[0]) if known.sum() > 1 else float("nan")
