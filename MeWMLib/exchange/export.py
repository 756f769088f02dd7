"""A plan's folder as DICOM: everything is written beside its final place, checked, and moved there as a whole.

Of what is as large as the scan, one thing is in memory at a time: labels are cut to what is measured before their CT is
read, a CT is written and cut before anything else is read, deviations pass through slice by slice. Every run makes new
UIDs: a PACS that gets known UIDs with new pixels keeps the old object and reports success.
"""
# mypy: allow-untyped-calls

from __future__ import annotations

import contextlib
import hashlib
import re
import shutil
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import MeWMLib
from MeWMLib.cohorts.identity import Identity
from MeWMLib.core.dicom.packages import package
from MeWMLib.core.errors import DependencyError, InputError, OutputError, SeriesError, output_error
from MeWMLib.core.plan import Candidate
from MeWMLib.core.plan_folder import PlanDocument, PlanFolder
from MeWMLib.core.sealed import FILES, sha256_of, write_sealed
from MeWMLib.core.volume import LabelMap, Volume, require_same_geometry
from MeWMLib.exchange import codes
from MeWMLib.exchange import study as studies
from MeWMLib.exchange.ct_series import as_int16, write_scan
from MeWMLib.exchange.deidentify import deidentified
from MeWMLib.exchange.deviation import Deviation, write_deviation
from MeWMLib.exchange.images import Images
from MeWMLib.exchange.mark import mark_for, occupied_by
from MeWMLib.exchange.measurements import (
    After,
    Before,
    Part,
    cut,
    cut_labels,
    measure_after,
    measure_before,
    part_of,
)
from MeWMLib.exchange.outcome_images import OutcomeCT, OutcomeImages, OutcomeJob
from MeWMLib.exchange.pieces import give_back_memory
from MeWMLib.exchange.planned_series import series_of_plan
from MeWMLib.exchange.report_pdf import write_pdf
from MeWMLib.exchange.report_sr import OutcomeEntry, SegmentReference, write_report
from MeWMLib.exchange.segments import BINARY, Drawn, Segment, Written, write_segmentation
from MeWMLib.exchange.study import FIRST_SERIES, REFERENCE, Study

#: The list of what was written, with the checksum of each file and of itself.
MANIFEST = "export.json"
#: Names of the files: BIDS-like, behind "sub-NAME_".
_BEFORE_CT, _BEFORE_SEG, _REPORT, _PDF = "desc-before_ct", "desc-before_dseg", "desc-plan_sr", "desc-plan_pdf"
#: An outcome has so many numbers of series: CT, lesions, tissue, deviations.
_SERIES_EACH = 10


@dataclass(frozen=True)
class ExportSettings:
    """How a plan is exported.

    Attributes:
        reference: DICOM of the scan that the plan was computed from; None makes up a study.
        series: which series of it.
        identity: holds the key of a de-identified copy; None keeps the patient.
        mark: burn the word SIMULATED into simulated CTs, outside of the body.
        kind: `segments.BINARY` or `segments.LABELMAP`.
    """

    reference: Path | None = None
    series: str | None = None
    identity: Identity | None = None
    mark: bool = True
    kind: str = BINARY


@dataclass
class Exported:
    """What was written: folder, the study's UID, numbers of objects, simulated CTs and those with a mark, and notes."""

    folder: Path
    study: str
    objects: int
    simulated: int
    marked: int
    notes: list[str] = field(default_factory=list)


def export_plan(
    source: Path, target: Path, settings: ExportSettings, progress: Callable[[float, str], None] = lambda *_: None
) -> Exported:
    """Write a plan as DICOM.

    Args:
        source: folder of a plan.
        target: a new folder, or an empty one.
        settings: how.
        progress: called with a share and a text.

    Raises:
        MeWMError: the plan or the reference cannot be read, they do not belong together, or something cannot be
            written; nothing is left then.
    """
    if settings.identity is not None and settings.reference is None:
        raise InputError(
            what="Without a reference there is nobody to be de-identified: the study is made up",
            remedy="Name the study with --reference, or leave --deidentify out",
        )
    folder = PlanFolder(source)
    document = folder.read()
    with _staged(target) as stage:
        return _Writer(folder, document, settings, stage, target, progress).write()


@contextlib.contextmanager
def _staged(target: Path) -> Iterator[Path]:
    """A folder beside `target` that takes its place at the end, or is removed if anything goes wrong."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise OutputError(
            what="The folder of the export is not empty",
            given=str(target),
            remedy="Give another one with --out, or delete what is there; every export has new UIDs",
        )
    stage = target.with_name(f".{uuid.uuid4().hex[:8]}.{target.name}")
    try:
        stage.mkdir(parents=True)
        yield stage
        with contextlib.suppress(FileNotFoundError):
            target.rmdir()
        stage.replace(target)
    except OSError as error:
        raise output_error(error, target) from error
    finally:
        shutil.rmtree(stage, ignore_errors=True)


@dataclass(frozen=True, eq=False)
class Outlines:
    """What a segmentation of liver and lesions shows.

    Attributes:
        liver: mask, on `part` of the grid.
        lesions: numbers, on another part of the grid, which begins at `start`.
    """

    liver: Any
    part: Part
    lesions: Any
    start: tuple[int, int, int]


class _Writer:
    """One export."""

    def __init__(
        self,
        folder: PlanFolder,
        document: PlanDocument,
        settings: ExportSettings,
        stage: Path,
        target: Path,
        progress: Callable[[float, str], None],
    ) -> None:
        self._folder, self._document, self._settings = folder, document, settings
        self._stage, self._target, self._progress = stage, target, progress
        self._number = FIRST_SERIES
        self._marks: dict[str, Any] = {}
        self._notes: list[str] = []
        self._evidence: list[Any] = []
        self._tracking: dict[int, tuple[str, str]] = {}
        self._sums: dict[str, str] = {}

    def write(self) -> Exported:
        kept = [c for c in self._candidates() if c.files]
        self._progress(0.0, "reading the scan")
        labels = self._folder.read_labels(self._document)
        self._geometry = labels.geometry
        part = part_of(labels)
        near_labels = cut_labels(labels, part)
        del labels  # of what is as large as the scan there is one thing at a time
        study, near = self._scan(part)
        turned, start = study.part_on_grid(near.array, near.geometry)
        k, j, i = (slice(n, n + size) for n, size in zip(start, turned.shape, strict=True))
        drawn, _ = study.part_on_grid(near_labels.array, near_labels.geometry)
        grid = study.geometry.crop(start, (turned.shape[0], turned.shape[1], turned.shape[2]))
        scan, labels = Volume(turned, grid, near.phase), LabelMap(np.ascontiguousarray(drawn), grid)
        jobs = [self._job(n, one) for n, one in enumerate(kept)]
        entries = []
        before = measure_before(scan, labels, (k, j, i))
        where = self._labels_before(labels, before)
        del near, near_labels, turned, drawn, scan, labels  # before anything is read ahead
        give_back_memory()
        with OutcomeImages(
            self._folder, self._document, study, self._geometry, (k, j, i), self._room, self._stage, jobs
        ) as outcomes:
            for n, (job, ct, deviation) in enumerate(outcomes):
                self._progress(0.1 + 0.8 * n / len(kept), job.candidate.protocol.text)
                entries.append(self._outcome(study, before, job, ct, deviation, outcomes.go_on))
                del ct  # while the next is waited for, there is one more already
                give_back_memory()
        self._progress(0.92, "report")
        self._number = FIRST_SERIES + _SERIES_EACH * (len(kept) + 1)
        self._reports(study, before, where, entries)
        return self._finish(study)

    def _scan(self, part: Part) -> tuple[Study, Volume]:
        """The study, and the part of the scan that is measured; the scan is written where nobody else has it."""
        ct = self._folder.read_ct(self._document)
        require_same_geometry(self._geometry, ct.geometry, "The labels are not on the grid of the CT")
        study, name = self._study(ct)
        self._sub = f"sub-{name}"
        number = self._next()
        whole = as_int16(study.on_grid(ct.array, ct.geometry), "the scan")
        # a simulation keeps what is outside of the liver, so that there is mostly room for the mark in it too
        self._room = mark_for(occupied_by(whole)) if self._settings.mark else None
        if study.kind != REFERENCE:
            self._sums |= write_scan(self._path(_BEFORE_CT), study, whole, number)[1]
        self._images = Images.of_scan(study, number)
        return study, cut(ct, part)

    def _candidates(self) -> list[Candidate]:
        mine = [self._document.beside.mine] if self._document.beside is not None else []
        return [*self._document.plan.candidates, *(c for c in mine if c.files)]

    def _study(self, ct: Volume) -> tuple[Study, str]:
        """The study, and the word that names its subject in names of files: of digits and letters alone."""
        settings = self._settings
        if settings.reference is None:
            name = hashlib.sha256(np.ascontiguousarray(ct.array).data).hexdigest()[:12]
            return studies.made_up(ct, name), name
        try:
            study = studies.from_reference(settings.reference, ct, settings.series)
        except SeriesError:
            # of several series it is the one of the plan that is meant
            planned = None if settings.series else series_of_plan(settings.reference, self._document)
            if planned is None:
                raise
            study = studies.from_reference(settings.reference, ct, planned)
        if settings.identity is not None:
            study = deidentified(study, settings.identity)
            return study, str(study.header.PatientID)
        # a PatientID may be a name; the files of a folder are listed where its headers are not shown
        return study, hashlib.sha256(study.series.encode()).hexdigest()[:12]

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _path(self, name: str) -> Path:
        return self._stage / f"{self._sub}_{name}"

    def _labels_before(self, labels: LabelMap, before: Before) -> dict[int, SegmentReference]:
        used = self._document.labels.source
        bundle = self._document.bundle
        drawn = Drawn("AUTOMATIC", bundle.name, bundle.sha256) if used == "assistant" else Drawn("MANUAL")
        outlines = Outlines(labels.array > 0, before.part, before.components, before.start)
        return self._lesion_segments(
            self._images, outlines, drawn, f"{self._sub}_{_BEFORE_SEG}", self._next(),
            "Liver and lesions before treatment",
        )  # fmt: skip

    def _lesion_segments(
        self, images: Images, outlines: Outlines, drawn: Drawn, name: str, number: int, title: str
    ) -> dict[int, SegmentReference]:
        """Write liver and lesions; returns where each lesion is."""
        lesions = outlines.lesions
        numbers = range(1, int(lesions.max(initial=0)) + 1)
        k, j, i = (one.start for one in outlines.part)
        segments = [Segment("Liver", codes.LIVER, outlines.liver, (k, j, i))]
        for n in numbers:
            self._tracking.setdefault(n, (f"lesion {n}", str(package("highdicom").UID())))
            label = f"Tumour {n}"
            segments.append(Segment(label, codes.TUMOUR, lesions == n, outlines.start, self._tracking[n]))
        if not any(one.mask.any() for one in segments):
            return {}
        written = self._segmentation(name, images, segments, number, title, drawn)
        self._evidence.append(written.data)
        sop_class, sop = str(written.data.SOPClassUID), str(written.data.SOPInstanceUID)
        return {
            n: SegmentReference(sop_class, sop, written.shown.index(f"Tumour {n}") + 1, images.series)
            for n in numbers
            if f"Tumour {n}" in written.shown
        }

    def _segmentation(
        self, name: str, images: Images, segments: list[Segment], number: int, title: str, drawn: Drawn
    ) -> Written:
        written = write_segmentation(
            self._stage / f"{name}.dcm", images, segments,
            number=number, title=title, drawn=drawn, kind=self._settings.kind,
        )  # fmt: skip
        self._sums[f"{name}.dcm"] = written.sha256
        return written

    def _job(self, place: int, candidate: Candidate) -> OutcomeJob:
        mine = candidate.rank == 0
        stem = "desc-simulatedmine" if mine else f"desc-simulated{candidate.rank:02d}"
        title = f"{'own protocol' if mine else f'rank {candidate.rank}'}: {candidate.protocol.text}"
        number = FIRST_SERIES + _SERIES_EACH * (place + 1)
        return OutcomeJob(candidate, f"{self._sub}_{stem}", number, title)

    def _outcome(
        self,
        study: Study,
        before: Before,
        job: OutcomeJob,
        ct: OutcomeCT,
        deviation: Deviation | None,
        go_on: Callable[[], None],
    ) -> OutcomeEntry:
        self._sums |= ct.sums
        if ct.mark is not None:
            self._marks[f"{job.name}_ct"] = ct.mark.to_json()
        elif self._settings.mark:
            self._notes.append(f"{job.title}: no mark was burned in, since there is no room for it beside the body")
        labels = self._outcome_labels(study, before, job.candidate)
        go_on()
        images = Images.derived(study, ct.series.uid, ct.series.sops, ct.series.number)
        after = measure_after(before, ct.near, labels)
        bundle = self._document.bundle
        drawn = Drawn("AUTOMATIC", bundle.name, bundle.sha256)
        outlines = Outlines(labels.array > 0, before.part, after.lesion_map, after.start)
        where = self._lesion_segments(
            images, outlines, drawn, f"{job.name}_dseg", job.number + 1, f"SIMULATED {job.title}"
        )
        self._tissue(images, after, drawn, job)
        if deviation is not None:
            if deviation.slices:
                name = f"{job.name}_sd.dcm"
                self._sums[name] = write_deviation(
                    self._stage / name, images, deviation, job.number + 3, job.title
                )  # fmt: skip
            deviation.drop()
        self._evidence += images.light([0])
        return OutcomeEntry(job.candidate, after, where, job.title)

    def _outcome_labels(self, study: Study, before: Before, candidate: Candidate) -> LabelMap:
        """The part of the labels of an outcome that is measured."""
        labels = self._folder.read_labels(self._document, candidate)
        require_same_geometry(self._geometry, labels.geometry, "The simulated CT is not on the grid of the CT")
        return cut_labels(LabelMap(study.on_grid(labels.array, labels.geometry), study.geometry), before.part)

    def _tissue(self, images: Images, after: After, drawn: Drawn, job: OutcomeJob) -> None:
        """What the simulated tumour consists of, in an object of its own: the segments above are those of the plan."""
        tissue = after.tissue
        segments = [
            Segment("Viable tumour", codes.VIABLE, tissue.viable, after.start),
            Segment("Necrosis", codes.NECROSIS, tissue.necrotic, after.start),
            Segment("Lipiodol deposit", codes.LIPIODOL, tissue.lipiodol, after.start),
        ]
        if any(one.mask.any() for one in segments):
            title = f"SIMULATED tissue {job.title}"
            self._segmentation(f"{job.name}_tissue_dseg", images, segments, job.number + 2, title, drawn)

    def _reports(
        self, study: Study, before: Before, where: dict[int, SegmentReference], entries: list[OutcomeEntry]
    ) -> None:
        if where or entries:
            write_report(
                self._path(f"{_REPORT}.dcm"), study, self._document, before, where, self._tracking, entries,
                self._evidence, self._next(),
            )  # fmt: skip
        try:
            private = self._settings.identity is not None
            write_pdf(self._path(f"{_PDF}.dcm"), study, self._document, self._next(), private)
        except DependencyError as error:
            self._notes.append(f"No PDF was written: {error}")

    def _finish(self, study: Study) -> Exported:
        files = sorted(p.relative_to(self._stage).as_posix() for p in self._stage.rglob("*.dcm"))
        self._notes = [study.described, *study.notes, *self._notes]
        manifest = {
            "mewm": MeWMLib.__version__,
            "research_use_only": self._document.research_use_only,
            "study": str(study.header.StudyInstanceUID),
            "kind": study.kind,
            "marks": self._marks,
            "notes": self._notes,
            FILES: {name: self._sums.get(name) or sha256_of(self._stage / name) for name in files},
        }
        write_sealed(manifest, self._stage / MANIFEST)
        self._progress(1.0, "done")
        simulated = sum(bool(one.files) for one in self._candidates())
        counts = len(files), simulated, len(self._marks)
        return Exported(self._target, str(study.header.StudyInstanceUID), *counts, list(self._notes))


def subject_of(name: str) -> str:
    """The name of a folder as BIDS has it behind "sub-": digits and letters alone."""
    return re.sub(r"[^A-Za-z0-9]", "", name) or "x"
