"""A cohort on disk, opened for the training of one part: who serves it, and on which side."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from MeWMLib.cohorts.check import CohortCheck, check_cohort
from MeWMLib.cohorts.layout import MANIFEST, Cohort, CohortCase, PatientRow
from MeWMLib.cohorts.splits import TEST, TRAIN, VALIDATION, Splits, marks_of, require_unseen, splits_of
from MeWMLib.core.bundle import write_training
from MeWMLib.core.bundles import MANIFEST as BUNDLE_MANIFEST
from MeWMLib.core.bundles import Bundle, find_bundle
from MeWMLib.core.errors import BundleError, CohortError, InputError, MeWMError
from MeWMLib.core.io import write_json
from MeWMLib.core.trained_on import Training
from MeWMLib.lab.evaluation.metrics import jsonable
from MeWMLib.lab.training.distributed import Ranks

Tell = Callable[[str, float], None]


def is_cohort(folder: Path | None) -> bool:
    """Whether a folder is a cohort on disk, and not one of drawn arrays of `mewm train cohort` or `maps-cohort`."""
    return folder is not None and (folder / MANIFEST).is_file()


@dataclass(frozen=True, eq=False)
class Own:
    """A cohort that one part is trained on.

    Attributes:
        part: of `check.SERVES`.
        cohort, check: the cohort, and what its patients have.
        splits, splits_file: the sides, and where they are written.
        start: bundle whose part is trained on; None begins from nothing.
        left_out: patients who serve the part by their files and could not be used, with the reason; filled by what
            prepares them.
    """

    part: str
    cohort: Cohort
    check: CohortCheck
    splits: Splits
    splits_file: Path
    start: Bundle | None
    left_out: dict[str, str] = field(default_factory=dict)

    @classmethod
    def open(
        cls,
        folder: Path,
        part: str,
        work: Path,
        bundle: Path,
        start: str | None,
        splits: Path | None = None,
        say: Callable[[str], None] = lambda text: None,
    ) -> Own:
        """Open a cohort, and refuse what must not be.

        Args:
            folder: of the cohort.
            part: that is trained.
            work: folder of the run, where the sides are written if the cohort's folder cannot be.
            bundle: that is written to.
            start: name or folder of the bundle that is trained on; None for nothing.
            splits: file of the sides, if it is not that of the cohort.
            say: told what the cohort lacks.

        Raises:
            CohortError: nobody serves this part, a side that must not be (`splits.require_sound`), or a bundle that
                knows patients of the test side.
            BundleError: no such start.
            InputError: the bundle that is written to is the start.
        """
        cohort = Cohort.read(folder)
        check = check_cohort(cohort, images=False)
        sides, file = splits_of(cohort, splits, work)
        opened = None if start is None else _started(start)
        if opened is not None and opened.path.resolve() == bundle.resolve():
            raise InputError(
                what="The trained part would replace the one that it starts from",
                given=str(bundle),
                remedy="Give another folder with --bundle; a stopped run has to find its start unchanged",
            )
        for known in (opened, _written(bundle)):
            if known is not None and known.manifest.training is not None:
                require_unseen(sides, cohort.rows, known.manifest.training.patient_marks, known.name)
        own = cls(part, cohort, check, sides, file, opened)
        for sentence in check.sentences():
            say(sentence)
        if not own.ids(TRAIN):
            raise CohortError(
                what=f"No patient of the training side serves the {part}",
                given=f"{len(check.serving(part))} of {len(cohort.rows)} patients serve it; {len(sides.train)} are on "
                f"the training side of {file}",
                remedy="See `mewm cohort check` for what they lack",
            )
        return own

    def ids(self, side: str) -> list[str]:
        """Patients of a side who serve the part, in the order of the table."""
        wanted = set(self.splits.part(side)) & set(self.check.serving(self.part)) - set(self.left_out)
        return [row.id for row in self.cohort.rows if row.id in wanted]

    def cases(self, side: str, on_case: Tell | None = None) -> Iterator[tuple[PatientRow, CohortCase]]:
        """Images of a side, one patient at a time; who cannot be read is left out, with the reason."""
        ids = self.ids(side)
        for n, name in enumerate(ids):
            try:
                case = self.cohort.case(name)
            except MeWMError as error:
                self.leave_out(name, error)
                continue
            yield self.cohort.row(name), case
            if on_case is not None:
                on_case(f"{side} patients", (n + 1) / len(ids))

    def leave_out(self, name: str, error: MeWMError | str) -> None:
        """Note that a patient could not be used, and say so."""
        self.left_out[name] = str(error)
        sys.stderr.write(f"\nleft out of the {self.part}: {name}: {error}\n")

    def agree(self, ranks: Ranks) -> None:
        """Let all of several processes know whom the first one left out."""
        self.left_out.update(ranks.from_first(dict(self.left_out)))

    def of_run(self, **more: Any) -> dict[str, Any]:
        """What a checkpoint of this run belongs to: sides, start, and what else is given. It is JSON-ready."""
        return {
            "train": self.ids(TRAIN),
            "validation": self.ids(VALIDATION),
            "start": None if self.start is None else self.start.sha256,
            **more,
        }

    def finish(self, bundle: Path, work: Path, trained: Sequence[str], chosen_by: Sequence[str], figures: Any) -> None:
        """Note in the bundle whom it now knows, and beside the run's checkpoint what was done.

        Args:
            bundle: whose part was written.
            work: folder of the run.
            trained, chosen_by: ids that were trained on, and by which weights were chosen.
            figures: of the training.
        """
        former = _written(bundle)
        training = (former.manifest.training if former is not None else None) or Training()
        marks = {*training.patient_marks, *marks_of(self.cohort.rows, [*trained, *chosen_by])}
        training = replace(training, patient_marks=tuple(sorted(marks)))
        if self.part == "dynamics":
            known = self.start.manifest.training if self.start is not None else None
            training = replace(training, real_pairs=((known.real_pairs if known else None) or 0) + len(trained))
        write_training(bundle, training)
        write_json(
            {
                "part": self.part,
                "cohort": str(self.cohort.folder),
                "splits": str(self.splits_file),
                "seed": self.splits.seed,
                "start": None if self.start is None else self.start.name,
                "start_sha256": None if self.start is None else self.start.sha256,
                "trained": list(trained),
                "validation": list(chosen_by),
                "test": list(self.splits.part(TEST)),
                "left_out": self.left_out,
                "figures": jsonable(figures),
            },
            work / f"{self.part}_run.json",
        )


def _started(start: str) -> Bundle:
    """The bundle of a name or a folder; parts of it are asked for later."""
    folder = Path(start)
    return find_bundle(folder.resolve() if folder.is_dir() else start, require=())


def _written(bundle: Path) -> Bundle | None:
    """The bundle in a folder; None if there is none yet."""
    return find_bundle(bundle.resolve(), require=()) if (bundle / BUNDLE_MANIFEST).is_file() else None


def start_part(own: Own, part: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """A part of the start; None from nothing.

    Raises:
        BundleError: the start has no such part.
    """
    if own.start is None:
        return None
    if part not in own.start.manifest.parts:
        raise BundleError(
            what=f"The bundle to start from has no part {part}",
            given=str(own.start.path),
            remedy="Give another one with --start, or --from-nothing",
        )
    return own.start.part(part)
