"""The dynamics model on the patients of a cohort: real pairs of scans beside drawn patients."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from MeWMLib.cohorts.layout import POST, POST_LABELS, PRE, PRE_LABELS, Cohort
from MeWMLib.cohorts.splits import TRAIN, VALIDATION
from MeWMLib.core.errors import CohortError
from MeWMLib.core.protocol import Protocol
from MeWMLib.lab.evaluation.pairs import PairFiles
from MeWMLib.lab.training.distributed import Ranks
from MeWMLib.lab.training.map_bundle import train_into, tune_on
from MeWMLib.lab.training.map_cohort import prepare_split
from MeWMLib.lab.training.map_settings import FineTuning, MapTraining
from MeWMLib.lab.training.own.cohort import Own, Tell
from MeWMLib.perception.registration import Registration

#: Folders of the run for drawn patients, and for the network that a run from nothing begins with.
DRAWN, NOTHING = "drawn", "from-nothing"


def pairs_of(cohort: Cohort, ids: Sequence[str]) -> list[PairFiles]:
    """Patients of a cohort as pairs of files (docs/JUDGE.md).

    Raises:
        CohortError: one of them lacks a scan, labels or a protocol; see `mewm cohort check`.
    """
    found = []
    for name in ids:
        row = cohort.row(name)
        files = {kind: cohort.file(name, kind) for kind in (PRE, PRE_LABELS, POST, POST_LABELS)}
        before, labels, after = (files[kind] for kind in (PRE, PRE_LABELS, POST))
        if before is None or labels is None or after is None or not row.protocol.strip():
            raise CohortError(
                what="A patient of the cohort is no pair of scans with labels and a protocol",
                given=name,
                remedy="See `mewm cohort check` for what is missing",
            )
        later = files[POST_LABELS]
        found.append(
            PairFiles(
                name,
                before,
                labels,
                after,
                Protocol.parse(row.protocol),
                labels_after=later if later is not None and later.is_file() else None,
                side=row.side or "whole",
                side_stated=row.side is not None,
                weeks=row.weeks,
                judging=bool(row.judging),
                registered=bool(row.registered) or cohort.synthetic,
            )
        )
    return found


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
