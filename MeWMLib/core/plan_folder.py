"""The folder of a plan: plan.json, volumes, labels, run.json. Each file is whole or absent; none holds a full path."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from MeWMLib.core import io
from MeWMLib.core.errors import MeWMError, NotCTError, OutputError, UnreadableFileError, output_error
from MeWMLib.core.image_files import read_header, read_image_file, read_slices
from MeWMLib.core.plan import Candidate
from MeWMLib.core.plan_document import BY_USER as BY_USER
from MeWMLib.core.plan_document import NAMED as NAMED

# callers of the folder know this module only
from MeWMLib.core.plan_document import REMEDY, write_document
from MeWMLib.core.plan_document import RESEARCH_USE_ONLY as RESEARCH_USE_ONLY
from MeWMLib.core.plan_document import SEARCHED as SEARCHED
from MeWMLib.core.plan_document import BundleFacts as BundleFacts
from MeWMLib.core.plan_document import LabelsUsed as LabelsUsed
from MeWMLib.core.plan_document import PlanDocument as PlanDocument
from MeWMLib.core.plan_document import TreatmentSummary as TreatmentSummary
from MeWMLib.core.plan_document import read_document as read_document
from MeWMLib.core.plan_tables import csv_text, lesion_rows, ranking_rows
from MeWMLib.core.sealed import FILES, read_sealed, require_unchanged, sha256_of, write_sealed
from MeWMLib.core.sliced import SlicedCT, open_sliced
from MeWMLib.core.volume import Geometry, LabelMap, Volume, require_same_geometry

PLAN, RUN, REPORT, SCENE = "plan.json", "run.json", "report.html", "scene.mrb"
#: In run.json: SHA-256 of the plan.json that report, pictures and scene were made from.
MADE_FROM = "made_from_plan_sha256"
#: What a search has simulated, while it is not finished (`planning.journal`).
JOURNAL = ".mewm-journal.jsonl"
BEFORE = {"pre": "pre.nrrd", "pre_labels": "pre.seg.nrrd"}
#: Tables for other programs, by their names among the files of the plan.
TABLES = {"ranking": "ranking.csv", "lesions": "lesions.csv"}
#: What an earlier plan may have left here; it would contradict the new plan.
_FORMER = (PLAN, "simulated_*.nrrd", *BEFORE.values(), *TABLES.values(), RUN, SCENE, REPORT)


@dataclass(frozen=True, eq=False)
class KeptCandidate:
    """The simulated volumes of one candidate; `sd` is the standard deviation over replicas in HU, or None."""

    candidate: Candidate
    ct: Volume
    labels: LabelMap
    sd: Volume | None


class PlanFolder:
    """Reads and writes one plan. Nothing is touched before the first write.

    Args:
        path: the folder; it may be absent.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._open = False
        self._made: list[Path] = []
        self._sums: dict[str, str] = {}

    def read(self, verify: Literal["all", "plan", "none"] = "all") -> PlanDocument:
        """Read and check plan.json, and by their checksums the files beside it.

        Args:
            verify: files of the plan and all that was made from it (run.json, report, scene, pictures); those of the
                plan alone; or "none" while they are still being written. A file that is missing is found when it is
                read.

        Raises:
            UnreadableFileError: no such file, not JSON, refused by `PlanDocument.from_json`, or a file is not as it was
                written.
        """
        document = read_document(self.path / PLAN)
        if verify != "none":
            require_unchanged(self.path, document.files_sha256, map(_plain_name, document.file_names))
        if verify == "all" and (self.path / RUN).is_file():
            made = self._read_run().get(FILES, {})
            require_unchanged(self.path, made, made)
        return document

    def read_run(self) -> dict[str, Any]:
        """Read and check run.json, which may be absent: then an empty one.

        Raises:
            UnreadableFileError: it is not as it was written.
        """
        return self._read_run() if (self.path / RUN).is_file() else {}

    def _read_run(self) -> dict[str, Any]:
        data = read_sealed(self.path / RUN, "The times of the run", REMEDY)
        sums = data.get(FILES, {}) if isinstance(data, dict) else None
        if not isinstance(sums, dict) or not all(
            isinstance(text, str) and not PurePath(name).is_absolute() and ".." not in PurePath(name).parts
            for name, text in sums.items()
        ):
            raise UnreadableFileError(what="run.json is not one of ours", given=str(self.path), remedy=REMEDY)
        return dict(data)

    def read_before(self, document: PlanDocument) -> tuple[Volume, LabelMap]:
        """Read the CT before treatment and its labels.

        Raises:
            MeWMError: a file is missing or cannot be read.
        """
        ct = self.read_ct(document)
        return ct, io.read_labels(self._file(document.files, "pre_labels"), ct.geometry, tumour_alone=True)

    def read_labels(self, document: PlanDocument, candidate: Candidate | None = None) -> LabelMap:
        """Read the labels of a candidate, or those before treatment, by themselves: on the grid of their CT's header.

        Raises:
            MeWMError: a file is missing or cannot be read.
        """
        files, ct, labels = document.files, "pre", "pre_labels"
        if candidate is not None:
            files, ct, labels = candidate.files, "ct", "labels"
        return io.read_labels(self._file(files, labels), read_header(self._file(files, ct))[1], tumour_alone=True)

    def read_ct(self, document: PlanDocument, candidate: Candidate | None = None) -> Volume:
        """Read the CT of a candidate, with its provenance, or that before treatment, without its labels.

        Raises:
            MeWMError: it is missing or cannot be read.
        """
        if candidate is None:
            return io.read_volume(self._file(document.files, "pre"))
        ct = io.read_volume(self._file(candidate.files, "ct"))
        return ct if ct.simulated is not None else replace(ct, simulated=document.provenance(candidate))

    def open_ct(self, document: PlanDocument, candidate: Candidate) -> SlicedCT:
        """As `read_ct`, with its voxels to follow slice by slice.

        Raises:
            MeWMError: it is missing or its header cannot be read.
        """
        return open_sliced(self._file(candidate.files, "ct")).of(document.provenance(candidate))

    def read_deviation(self, candidate: Candidate) -> tuple[Geometry, Iterator[NDArray[Any]]] | None:
        """The standard deviation over the replicas of a candidate, HU: its grid, and slices (J, I) as they are read.

        None where the candidate has none.

        Raises:
            UnreadableFileError: the file is missing, damaged, or holds something else; maybe after the last slice.
        """
        if "sd" not in candidate.files:
            return None
        path = self._file(candidate.files, "sd")
        with _reading_map(path):
            return read_header(path)[1], _map_slices(path)

    def read_kept(self, document: PlanDocument, before: Volume, deviations: int | None = None) -> list[KeptCandidate]:
        """Read the simulated volumes of the candidates that have files; they must be on the grid of the CT.

        Args:
            document: from `read`.
            before: the CT before treatment.
            deviations: of how many to read the map of standard deviations, which is twice as large as the CT; None for
                all that are there.

        Raises:
            MeWMError: a file is missing or cannot be read, or is on another grid.
        """
        with_files = [c for c in document.plan.candidates if c.files]
        return [
            self.read_candidate(document, candidate, before, deviations is None or n < deviations)
            for n, candidate in enumerate(with_files)
        ]

    def read_candidate(
        self, document: PlanDocument, candidate: Candidate, before: Volume, deviation: bool = True
    ) -> KeptCandidate:
        """Read the simulated volumes of one candidate that has files; see `read_kept`."""
        files = candidate.files
        ct = self.read_ct(document, candidate)
        require_same_geometry(before.geometry, ct.geometry, "The simulated CT is not on the grid of the CT")
        labels = io.read_labels(self._file(files, "labels"), ct.geometry, tumour_alone=True)
        sd = _read_map(self._file(files, "sd")) if deviation and "sd" in files else None
        if sd is not None:
            require_same_geometry(before.geometry, sd.geometry, "The deviation map is not on the grid of the CT")
        return KeptCandidate(candidate, ct, labels, sd)

    def _file(self, files: dict[str, str], key: str) -> Path:
        path = self.path / _plain_name(files.get(key, ""))
        if not path.is_file():
            raise UnreadableFileError(what="A file of the plan is missing", given=str(path), remedy=REMEDY)
        return path

    def require_writable(self) -> PlanFolder:
        """Refuse what cannot be written, before any work; returns itself.

        Raises:
            OutputError: a file is in the way, or the folder cannot be written.
        """
        above = self.path
        while not above.exists() and above != above.parent:
            above = above.parent
        if not above.is_dir():
            raise OutputError(
                what="A file already exists where the folder should go", given=str(above), remedy="Give another --out"
            )
        if not os.access(above, os.W_OK | os.X_OK):
            raise OutputError(
                what="No permission to write to the folder", given=str(above), remedy="Give another --out"
            )
        return self

    def write(self, document: PlanDocument) -> None:
        """Write plan.json, in place of the one that is there, with the checksums of what was written before it."""
        self._begin()
        known = {**document.files_sha256, **self._sums}
        sums = {name: known[name] for name in document.file_names if name in known}
        write_document(replace(document, files_sha256=sums), self.path / PLAN)

    def write_run(self, timings: dict[str, Any]) -> None:
        """Write what differs from run to run: times and memory."""
        self._begin()
        write_sealed({**timings, FILES: {}}, self.path / RUN)

    def record_made(self, names: Sequence[str]) -> None:
        """Note in run.json the checksums of what was made from the plan, such as the report.

        Args:
            names: relative to the folder, with "/".
        """
        data = self._read_run() if (self.path / RUN).is_file() else {}
        data.pop("sha256", None)
        sums = {**data.get(FILES, {}), **{name: sha256_of(self.path / name) for name in names}}
        write_sealed({**data, MADE_FROM: sha256_of(self.path / PLAN), FILES: sums}, self.path / RUN)

    def write_before(self, ct: Volume, labels: LabelMap) -> dict[str, str]:
        """Write the CT and labels before treatment; returns the file names."""
        self._begin()
        io.write_volume(ct, self.path / BEFORE["pre"])
        io.write_labels(labels, self.path / BEFORE["pre_labels"])
        return self._summed(BEFORE)

    def write_tables(self, document: PlanDocument) -> dict[str, str]:
        """Write the ranking and the lesions as tables; returns the file names. A plan without candidates has none."""
        if not document.plan.candidates:
            return {}
        self._begin()
        rows = {"ranking": ranking_rows(document), "lesions": lesion_rows(document)}
        for key, name in TABLES.items():
            with io.atomic_path(self.path / name) as temporary:
                temporary.write_text(csv_text(rows[key]), encoding="utf-8", newline="")
        return self._summed(TABLES)

    def write_kept(
        self,
        rank: int,
        ct: Volume,
        labels: LabelMap,
        sd: Volume | None,
        tissue: Mapping[str, NDArray[np.bool_] | None] | None = None,
    ) -> dict[str, str]:
        """Write the simulated volumes of one rank (0: the user's own protocol) and the deviation over its replicas.

        Args:
            rank: names the files.
            ct, labels: of the outcome.
            sd: deviation over its replicas.
            tissue: what the tumour consists of, as further segments (`tissue_labels.SEGMENTS`).

        Returns:
            the file names.
        """
        self._begin()
        stem = f"simulated_{rank:02d}" if rank else "simulated_mine"
        files = {"ct": f"{stem}.nrrd", "labels": f"{stem}.seg.nrrd"}
        io.write_volume(ct, self.path / files["ct"])
        if ct.simulated is None:
            io.write_labels(labels, self.path / files["labels"])
        else:
            io.write_outcome_labels(labels, tissue or {}, ct.simulated, self.path / files["labels"])
        if sd is not None:
            files["sd"] = f"{stem}_sd.nrrd"
            io.write_volume(sd, self.path / files["sd"])
        return self._summed(files)

    def _summed(self, files: Mapping[str, str]) -> dict[str, str]:
        """Keep the checksums of files that were just written, for plan.json."""
        self._sums |= {name: sha256_of(self.path / name) for name in files.values()}
        return dict(files)

    @contextlib.contextmanager
    def receive(self, name: str) -> Iterator[Path]:
        """Give a path to write a file to that another computer has made; it is moved here when it is whole."""
        self._begin()
        with io.atomic_path(self.path / name) as temporary:
            yield temporary

    def journal_file(self) -> Path:
        """Where the journal of the search belongs: a run that was killed in this folder goes on from it."""
        self._make()
        return self.path / JOURNAL

    def drop_journal(self) -> None:
        """Delete the journal: everything is written, or there was nothing in it."""
        with contextlib.suppress(OSError):
            (self.path / JOURNAL).unlink(missing_ok=True)

    def leave(self) -> None:
        """Remove the folders that were made for this plan, if nothing was written to them."""
        for folder in reversed(self._made):
            with contextlib.suppress(OSError):
                folder.rmdir()

    def _begin(self) -> None:
        if self._open:
            return
        self._make()
        try:
            for pattern in _FORMER:
                for file in self.path.glob(pattern):
                    file.unlink()
        except OSError as error:
            raise output_error(error, self.path) from error
        self._open = True

    def _make(self) -> None:
        """Make the folder; an earlier plan in it stays until there is something to put in its place."""
        try:
            folder = self.path
            while not folder.exists():
                self._made.insert(0, folder)
                folder = folder.parent
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise output_error(error, self.path) from error


def _plain_name(name: str) -> str:
    # A plan that came from elsewhere must not make us read files outside its own folder.
    if PurePath(name).name != name or name in ("", ".", ".."):
        raise UnreadableFileError(what="plan.json names a file outside its folder", given=repr(name), remedy=REMEDY)
    return name


def _read_map(path: Path) -> Volume:
    # `read_volume` refuses what is not a CT, such as a map of standard deviations.
    with _reading_map(path):
        file = read_image_file(path)
        return Volume(file.array, file.geometry)


def _map_slices(path: Path) -> Iterator[NDArray[Any]]:
    with _reading_map(path):
        for one in read_slices(path):
            if one.ndim != 2 or not np.isfinite(one).all():
                raise NotCTError(what="The image holds values that are not numbers, or several for each voxel")
            yield one


@contextlib.contextmanager
def _reading_map(path: Path) -> Iterator[None]:
    try:
        yield
    except MeWMError as error:
        raise UnreadableFileError(
            what="A map of the plan cannot be read", given=f"{path} ({error.what})", remedy=REMEDY
        ) from error
