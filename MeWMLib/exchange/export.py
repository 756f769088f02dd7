"""A plan's folder as DICOM: everything is written beside its final place, checked, and moved there as a whole.

One candidate is read at a time, and of each volume one; the scan before treatment is not kept once it was compared with
the reference and measured. Every run makes new UIDs: a PACS that gets known UIDs with new pixels keeps the old object
and reports success.
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
from MeWMLib.core.volume import LabelMap, Volume
from MeWMLib.exchange import codes
from MeWMLib.exchange import study as studies
from MeWMLib.exchange.ct_series import as_int16, write_scan, write_simulated
from MeWMLib.exchange.deidentify import deidentified
from MeWMLib.exchange.deviation import write_deviation
from MeWMLib.exchange.mark import mark_for, occupied_by
from MeWMLib.exchange.measurements import After, Before, measure_after, measure_before
from MeWMLib.exchange.planned_series import series_of_plan
from MeWMLib.exchange.report_pdf import write_pdf
from MeWMLib.exchange.report_sr import OutcomeEntry, SegmentReference, write_report
from MeWMLib.exchange.segments import BINARY, Drawn, Segment, frame_name, write_segmentation
from MeWMLib.exchange.study import FIRST_SERIES, REFERENCE, Study

#: The list of what was written, with the checksum of each file and of itself.
MANIFEST = "export.json"
#: Names of the files: BIDS-like, behind "sub-NAME_".
_BEFORE_CT, _BEFORE_SEG, _REPORT, _PDF = "desc-before_ct", "desc-before_dseg", "desc-plan_sr", "desc-plan_pdf"


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
    """What was written: the folder, the study's UID, the number of objects, and what a user should know."""

    folder: Path
    study: str
    objects: int
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

    def write(self) -> Exported:
        kept = [c for c in self._candidates() if c.files]
        self._progress(0.0, "reading the scan")
        ct, labels = self._folder.read_before(self._document)
        study, name = self._study(ct)
        self._sub = f"sub-{name}"
        array = study.on_grid(ct.array, ct.geometry)
        grid = study.geometry
        drawn_before = LabelMap(np.ascontiguousarray(study.on_grid(labels.array, labels.geometry)), grid)
        scan = Volume(array, grid, ct.phase)
        before = measure_before(scan, drawn_before)
        images = self._scan_images(study, array)
        # a volume that takes no memory, since candidates are only held against its grid
        nothing = Volume(np.broadcast_to(np.int16(0), ct.geometry.shape), ct.geometry)
        del ct, scan, array
        where = self._labels_before(study, images, drawn_before, before)
        del labels, drawn_before
        entries = []
        for n, candidate in enumerate(kept):
            self._progress(0.1 + 0.8 * n / len(kept), candidate.protocol.text)
            entries.append(self._outcome(study, before, candidate, nothing))
        self._progress(0.92, "report")
        self._reports(study, before, where, entries)
        return self._finish(study)

    def _candidates(self) -> list[Candidate]:
        mine = [self._document.beside.mine] if self._document.beside is not None else []
        return [*self._document.plan.candidates, *(c for c in mine if c.files)]

    def _study(self, ct: Volume) -> tuple[Study, str]:
        """The study, and the word that names its subject in names of files: of digits and letters alone."""
        settings = self._settings
        if settings.reference is None:
            name = hashlib.sha256(np.ascontiguousarray(ct.array).data).hexdigest()[:12]
            return studies.synthetic(ct, name), name
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

    def _scan_images(self, study: Study, array: Any) -> list[Any]:
        number = self._next()
        if study.kind != REFERENCE:
            whole = as_int16(array, "the scan")
            write_scan(self._path(_BEFORE_CT), study, whole, number)
        sops = [frame_name(study, n) for n in range(len(study.slices))]
        return studies.light_images(study, study.series, sops, number)

    def _labels_before(
        self, study: Study, images: list[Any], labels: LabelMap, before: Before
    ) -> dict[int, SegmentReference]:
        used = self._document.labels.source
        bundle = self._document.bundle
        drawn = Drawn("AUTOMATIC", bundle.name, bundle.sha256) if used == "assistant" else Drawn("MANUAL")
        return self._lesion_segments(
            study, images, study.series, labels.array[before.part] > 0, before.components, before, drawn,
            _BEFORE_SEG, "Liver and lesions before treatment",
        )  # fmt: skip

    def _lesion_segments(
        self,
        study: Study,
        images: list[Any],
        series: str,
        liver: Any,
        lesions: Any,
        before: Before,
        drawn: Drawn,
        name: str,
        title: str,
    ) -> dict[int, SegmentReference]:
        """Write liver and lesions; returns where each lesion is."""
        numbers = range(1, int(lesions.max(initial=0)) + 1)
        segments = [Segment("Liver", codes.LIVER, liver, before.start)]
        for n in numbers:
            self._tracking.setdefault(n, (f"lesion {n}", str(package("highdicom").UID())))
            label = f"Tumour {n}"
            segments.append(Segment(label, codes.TUMOUR, lesions == n, before.start, self._tracking[n]))
        if not any(one.mask.any() for one in segments):
            return {}
        path = self._path(f"{name}.dcm")
        sop_class, sop, shown = write_segmentation(
            path, study, images, segments, number=self._next(), title=title, drawn=drawn, kind=self._settings.kind
        )
        self._evidence.append(package("pydicom").dcmread(path, stop_before_pixels=True))
        return {
            n: SegmentReference(sop_class, sop, shown.index(f"Tumour {n}") + 1, series)
            for n in numbers
            if f"Tumour {n}" in shown
        }

    def _outcome(self, study: Study, before: Before, candidate: Candidate, grid: Volume) -> OutcomeEntry:
        mine = candidate.rank == 0
        stem = "desc-simulatedmine" if mine else f"desc-simulated{candidate.rank:02d}"
        title = f"{'own protocol' if mine else f'rank {candidate.rank}'}: {candidate.protocol.text}"
        one = self._folder.read_candidate(self._document, candidate, grid)
        assert one.ct.simulated is not None  # `read_candidate` sees to it
        array = as_int16(study.on_grid(one.ct.array, one.ct.geometry), f"the simulated CT of {candidate.protocol.text}")
        mark = mark_for(occupied_by(array)) if self._settings.mark else None
        name = f"{stem}_ct"
        if mark is not None:
            self._marks[f"{self._sub}_{name}"] = mark.to_json()
        elif self._settings.mark:
            self._notes.append(f"{title}: no mark was burned in, since there is no room for it beside the body")
        series = write_simulated(self._path(name), study, array, self._next(), title, one.ct.simulated, mark)
        images = studies.light_images(study, series.uid, series.sops, series.number)
        labels = LabelMap(np.ascontiguousarray(study.on_grid(one.labels.array, one.labels.geometry)), study.geometry)
        after = measure_after(before, Volume(array, study.geometry, one.ct.phase), labels)
        bundle = self._document.bundle
        drawn = Drawn("AUTOMATIC", bundle.name, bundle.sha256)
        where = self._lesion_segments(
            study, images, series.uid, labels.array[before.part] > 0, after.lesion_map, before, drawn,
            f"{stem}_dseg", f"SIMULATED {title}",
        )  # fmt: skip
        self._tissue(study, images, after, before, drawn, stem, title)
        if one.sd is not None:
            deviation = study.on_grid(one.sd.array, one.sd.geometry)
            write_deviation(self._path(f"{stem}_sd.dcm"), study, images, deviation, self._next(), title)
        self._evidence.append(images[0])
        return OutcomeEntry(candidate, after, where, title)

    def _tissue(
        self, study: Study, images: list[Any], after: After, before: Before, drawn: Drawn, stem: str, title: str
    ) -> None:
        """What the simulated tumour consists of, in an object of its own: the segments above are those of the plan."""
        tissue = after.tissue
        segments = [
            Segment("Viable tumour", codes.VIABLE, tissue.viable, before.start),
            Segment("Necrosis", codes.NECROSIS, tissue.necrotic, before.start),
            Segment("Lipiodol deposit", codes.LIPIODOL, tissue.lipiodol, before.start),
        ]
        if any(one.mask.any() for one in segments):
            write_segmentation(
                self._path(f"{stem}_tissue_dseg.dcm"), study, images, segments, number=self._next(),
                title=f"SIMULATED tissue {title}", drawn=drawn, kind=self._settings.kind,
            )  # fmt: skip

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
            FILES: {name: sha256_of(self._stage / name) for name in files},
        }
        write_sealed(manifest, self._stage / MANIFEST)
        self._progress(1.0, "done")
        return Exported(self._target, str(study.header.StudyInstanceUID), len(files), list(self._notes))


def subject_of(name: str) -> str:
    """The name of a folder as BIDS has it behind "sub-": digits and letters alone."""
    return re.sub(r"[^A-Za-z0-9]", "", name) or "x"
