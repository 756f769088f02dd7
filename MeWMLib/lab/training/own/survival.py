"""The survival network on the patients of a cohort, whose deaths were observed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MeWMLib.cohorts.layout import POST, POST_LABELS, PRE, PRE_LABELS, Cohort, CohortCase, PatientRow
from MeWMLib.cohorts.splits import TRAIN, VALIDATION
from MeWMLib.core.bundles import find_bundle, write_part
from MeWMLib.core.errors import CohortError, MeWMError, OutputError
from MeWMLib.core.volume import TUMOUR, LabelMap
from MeWMLib.lab.training.distributed import Ranks
from MeWMLib.lab.training.map_bundle import take_over
from MeWMLib.lab.training.own.cohort import Own, Tell, start_part
from MeWMLib.lab.training.own.files import files_key
from MeWMLib.lab.training.prepare import save_case
from MeWMLib.lab.training.survival import TrainSurvivalConfig, evaluate, train
from MeWMLib.lab.training.survival_cohort import LazyViews
from MeWMLib.lab.training.survival_data import SurvivalCase
from MeWMLib.perception.phase import phase_of
from MeWMLib.perception.preprocess import patch_geometry, resample
from MeWMLib.perception.registration import Registration, measured_as_it_is, register
from MeWMLib.survival.config import SurvivalConfig, chosen_covariates, size_covariates
from MeWMLib.survival.network import Assessor
from MeWMLib.survival.patches import half_resolution
from MeWMLib.world.measured import ViableMeasure
from MeWMLib.world.patch import TreatedPatch

#: Folder of the run for what was measured of each patient; raised with what is measured.
SEEN, VERSION = "survival_patients", 1
#: Folder of the run for the part before it is put into the bundle: a run that fails leaves the bundle as it is.
TRAINED = "trained"
#: Rates of the gradient steps, of a network that sees images and of a Cox model.
RATE_IMAGES, RATE_PLAIN = 3e-4, 1e-2
#: A network without images looks at nothing, of which there must be some.
_NOTHING = np.zeros((1, 2, 16, 16, 16), np.float16)


@dataclass(frozen=True, eq=False)
class Seen:
    """What the network is told of one patient.

    Attributes:
        before, after: (2, d, h, w) CT in -1..1 and share of tumour, of the treated patch; after treatment the
            registered scan, or the one before where there is none.
        sizes: (4,) of `size_covariates`; NaN if the scan after treatment is missing or has no outline.
        arterial: phase of the scan before.
    """

    before: NDArray[np.float16]
    after: NDArray[np.float16]
    sizes: NDArray[np.float32]
    arterial: bool

    @classmethod
    def of(cls, row: PatientRow, case: CohortCase, registered: bool, settings: Registration | None = None) -> Seen:
        """Register and measure.

        Args:
            row, case: of the cohort.
            registered: the scan after lies on the one before already.
            settings: of the registration.

        Raises:
            NoTumourError: no tumour is outlined before treatment.
            GeometryMismatchError: the scans do not overlap.
        """
        labels = case.before_labels
        if labels is None:
            raise CohortError(what="A patient without labels before treatment cannot be measured", given=row.id)
        phase = row.phase if row.phase != "unknown" else phase_of(case.before)
        grid = patch_geometry(labels)
        patch = TreatedPatch.at(grid, case.before, labels)
        voxel_ml = grid.voxel_ml
        tumour_before = float((patch.labels == TUMOUR).sum()) * voxel_ml
        before = half_resolution(patch.hu, patch.labels == TUMOUR)
        unknown = np.full(4, np.nan, np.float32)
        unknown[:2] = size_covariates(patch.spacing_mm, tumour_before, 0.0, 0.0)[:2]
        if case.after is None or case.after_labels is None:
            return cls(before, before, unknown, phase == "arterial")
        known: LabelMap = case.after_labels
        if registered:
            moved = measured_as_it_is(case.before, labels, case.after, known)
        else:
            moved = register(case.before, labels, case.after, settings or Registration(), known)
        hu = resample(moved.ct.array, moved.ct.geometry, grid).astype(np.float32)
        there = moved.labels(known)
        tumour = resample(there.array, there.geometry, grid, "nearest", 0) == TUMOUR
        viable = ViableMeasure.of(patch, phase).in_scan(hu, tumour)
        sizes = size_covariates(patch.spacing_mm, tumour_before, float(tumour.sum()) * voxel_ml, viable)
        return cls(before, half_resolution(hu, tumour), sizes, phase == "arterial")


def measured(
    cohort: Cohort,
    ids: Sequence[str],
    folder: Path,
    registration: Registration | None = None,
    leave_out: Callable[[str, MeWMError], None] | None = None,
    tell: Tell | None = None,
) -> dict[str, Seen]:
    """What is told of each patient; measured once, and kept in `folder` by the contents of the files.

    Args:
        cohort, ids: of the patients.
        folder: that is written to.
        registration: its settings.
        leave_out: told of a patient who cannot be measured; None raises what is wrong.
        tell: progress.
    """
    found: dict[str, Seen] = {}
    folder.mkdir(parents=True, exist_ok=True)
    for n, name in enumerate(ids):
        row = cohort.row(name)
        registered = bool(row.registered) or cohort.synthetic
        images = (PRE, PRE_LABELS, POST, POST_LABELS)
        key = files_key(cohort, name, images, VERSION, row.phase, registered, repr(registration))
        path = folder / f"{key[:24]}.npz"
        try:
            if not path.exists():
                save_case(path, vars(Seen.of(row, cohort.case(name), registered, registration)))
            with np.load(path) as data:
                found[name] = Seen(data["before"], data["after"], data["sizes"], bool(data["arterial"]))
        except OutputError:
            raise
        except MeWMError as error:
            if leave_out is None:
                raise
            leave_out(name, error)
        if tell is not None:
            tell("patients", (n + 1) / len(ids))
    return found


def survival_case(row: PatientRow, seen: Seen, config: SurvivalConfig) -> SurvivalCase:
    """A patient as the network is trained on it. Months and event must be known."""
    late = chosen_covariates(config.covariates, seen.sizes, row.weeks, seen.arterial)
    views: Sequence[Any] = (_NOTHING, _NOTHING)
    if config.images:
        views = LazyViews(seen.before), LazyViews(seen.after)
    assert row.months is not None and row.event is not None
    return SurvivalCase(views[0], views[1], late, row.months, row.event, row.whose)


def train_survival(
    own: Own,
    bundle: Path,
    work: Path,
    settings: TrainSurvivalConfig,
    tell: Tell | None = None,
    ranks: Ranks | None = None,
    registration: Registration | None = None,
) -> dict[str, Any]:
    """Train the start's survival network on the training side and write it as the part of a bundle.

    Args:
        own: the cohort.
        bundle: that is written to; a new one takes over the other parts of the start.
        work: folder of the run: measured patients, checkpoint, curve.
        settings: of the training; `network` counts where nothing is started from.
        tell: progress.
        ranks: this process among those that train together.
        registration: its settings.

    Returns:
        As `training.survival.train`, with `start_c_index` of the start on the validation side and
        `without_scan_after`; nothing for ranks that do not write.

    Raises:
        SurvivalDataError: no deaths to learn from, or a validation side without two patients who can be compared.
        InputError: a checkpoint of another run.
        BundleError: the start has no survival network.
    """
    ranks = ranks or Ranks()
    part = start_part(own, "survival")
    if part is not None:
        config = SurvivalConfig.from_json(part[0].get("network", part[0]))
        rate = RATE_IMAGES if config.images else RATE_PLAIN
        settings = replace(settings, network=config, learning_rate=rate)
    sides: dict[str, dict[str, Seen]] = {}
    for side in (TRAIN, VALIDATION):
        if ranks.first:
            sides[side] = measured(own.cohort, own.ids(side), work / SEEN, registration, own.leave_out, tell)
        sides[side] = ranks.from_first(sides.get(side))
    own.agree(ranks)
    cases = {
        side: [survival_case(own.cohort.row(name), one, settings.network) for name, one in found.items()]
        for side, found in sides.items()
    }
    start = None if part is None else part[1]
    trained = work / TRAINED
    of_run = own.of_run()
    told = train(settings, cases[TRAIN], cases[VALIDATION], work / "survival", trained, tell, start, ranks, of_run)
    if not ranks.first:
        return {}
    if own.start is not None:
        take_over(own.start, bundle, "survival")
    write_part(bundle, "survival", *find_bundle(trained.resolve(), require=()).part("survival"))
    if part is not None:
        assessor = Assessor(*part, device=settings.device)
        told["start_c_index"] = evaluate(assessor, cases[VALIDATION], settings.seed)["c_index"]
    without = [n for found in sides.values() for n, one in found.items() if np.isnan(one.sizes).any()]
    told["without_scan_after"] = len(without)
    own.finish(bundle, work, list(sides[TRAIN]), list(sides[VALIDATION]), told)
    return told
