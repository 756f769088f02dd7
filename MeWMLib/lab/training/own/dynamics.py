"""The dynamics model on the patients of a cohort: real pairs of scans beside drawn patients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from MeWMLib.cohorts.splits import TRAIN, VALIDATION
from MeWMLib.lab.evaluation.cohort_pairs import pairs_of
from MeWMLib.lab.training.distributed import Ranks
from MeWMLib.lab.training.map_bundle import train_into, tune_on
from MeWMLib.lab.training.map_cohort import prepare_split
from MeWMLib.lab.training.map_settings import FineTuning, MapTraining
from MeWMLib.lab.training.own.cohort import Own, Tell
from MeWMLib.perception.registration import Registration

#: Folders of the run for drawn patients, and for the network that a run from nothing begins with.
DRAWN, NOTHING = "drawn", "from-nothing"


def train_dynamics(
    own: Own,
    bundle: Path,
    work: Path,
    settings: FineTuning,
    drawn: Path | None = None,
    drawn_patients: int = 200,
    first: MapTraining | None = None,
    tell: Tell | None = None,
    ranks: Ranks | None = None,
    registration: Registration | None = None,
) -> dict[str, Any]:
    """Fine-tune the start's map network on the pairs of the training side, and write it as the part of a bundle.

    From nothing, a network is first trained on the drawn patients alone (`map_bundle.train_into`), and then on the
    pairs beside them. Both go on where they were stopped.

    Args:
        own: the cohort.
        bundle: that is written to; a new one takes over the other parts of the start.
        work: folder of the run: registered pairs, checkpoints, figures.
        settings: of the fine-tuning.
        drawn: folder of drawn patients (`mewm train maps-cohort`); they are drawn into `work` if left out.
        drawn_patients: how many.
        first: settings of the training from nothing.
        tell: progress.
        ranks: this process among those that train together.
        registration: its settings.

    Returns:
        As `map_bundle.tune_on`.

    Raises:
        MeWMError: as `map_bundle.tune_on`.
    """
    ranks = ranks or Ranks()
    trained, kept = own.ids(TRAIN), own.ids(VALIDATION)
    pairs = pairs_of(own.cohort, [*trained, *kept])
    if drawn is None:
        drawn = work / DRAWN
        if ranks.first:
            prepare_split(drawn, "train", drawn_patients, on_step=tell)
            if own.start is None:
                prepare_split(drawn, "validation", max(1, drawn_patients // 10), on_step=tell)
        ranks.from_first(None)  # the others wait until they are there
    start = work / NOTHING if own.start is None else own.start.path
    if own.start is None:
        train_into(start, drawn, work, first or MapTraining(), tell, ranks=ranks)
        ranks.from_first(None)  # the others wait until it is written
    told = tune_on(
        bundle, pairs, (trained, kept), drawn, work, str(start), settings, tell, ranks, registration, own.leave_out
    )
    if ranks.first:
        own.finish(bundle, work, told["trained"], told["held_out"], told)
    return told
