"""The folder of a plan: plan.json, volumes, labels, run.json. Each file is whole or absent; none holds a full path."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePath
from typing import Any

import SimpleITK as sitk

import MeWMLib
from MeWMLib.core import io
from MeWMLib.core.errors import MeWMError, OutputError, UnreadableFileError, output_error
from MeWMLib.core.goal import Goal
from MeWMLib.core.patient import Clinical, Findings
from MeWMLib.core.plan import Candidate, Plan, PlanSettings
from MeWMLib.core.protocol import ActionSpace
from MeWMLib.core.records import from_plain, read_json, to_plain
from MeWMLib.core.volume import LabelMap, Provenance, Volume, require_same_geometry

#: Version of the form of plan.json; fields may be added to it, older plans then have their defaults.
SCHEMA = 1
RESEARCH_USE_ONLY = (
    "Research use only. Simulated volumes are not scans, predicted risks are not a prognosis, and a ranked protocol is "
    "not a treatment recommendation."
)
PLAN, RUN, REPORT, SCENE = "plan.json", "run.json", "report.html", "scene.mrb"
#: What a search has simulated, while it is not finished (`planning.journal`).
JOURNAL = ".mewm-journal.jsonl"
BEFORE = {"pre": "pre.nrrd", "pre_labels": "pre.seg.nrrd"}
#: What an earlier plan may have left here; it would contradict the new plan.
_FORMER = ("simulated_*.nrrd", *BEFORE.values(), RUN, SCENE, REPORT)
_REMEDY = "Run mewm plan again, or give the folder that it wrote"


@dataclass(frozen=True)
class BundleFacts:
    """Which model bundle computed a plan: its name, its checksum, and the checksum of each part."""

    name: str
    sha256: str
    parts: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class LabelsUsed:
    """Whose labels a plan is based on ("user", "expert" or "assistant"), and how well the segmenter agrees with them.

    The Dice coefficients are None where the segmenter was not measured.
    """

    source: str
    dice_liver: float | None = None
    dice_tumour: float | None = None
    note: str = ""


@dataclass(frozen=True)
class TreatmentSummary:
    """What is treated.

    Attributes:
        lesion: index of the target lesion.
        lesions: how many the patient has.
        share_of_tumour_percent: of all tumour, in the treated patch.
        patch_spacing_mm: edge of a voxel of the patch.
        assistant_dice_on_patch: how well the segmenter finds the tumour in the patch before treatment.
        outline_after_by: who draws the outline after treatment.
    """

    lesion: int
    lesions: int
    share_of_tumour_percent: float
    patch_spacing_mm: float = 1.0
    assistant_dice_on_patch: float | None = None
    outline_after_by: str = ""


@dataclass(frozen=True)
class PlanDocument:
    """Everything in plan.json. No times and no paths: the same job, the same bytes.

    Attributes:
        plan: the ranking and the search tree.
        case: the sample or the base name of the file.
        goal: of the treatment, in the user's words.
        goal_reading: how it was understood; empty in plans of older versions.
        policy: what was proposed, by whom and why.
        files: names of the files "pre" and "pre_labels"; empty until they are written.
        mewm: version that made it.
    """

    plan: Plan
    case: str
    goal: str
    clinical: Clinical
    seed: int
    device: str
    settings: PlanSettings
    bundle: BundleFacts
    versions: dict[str, str]
    findings: Findings
    policy: ActionSpace
    labels: LabelsUsed
    treated: TreatmentSummary
    files: dict[str, str] = field(default_factory=dict)
    goal_reading: Goal = Goal()
    mewm: str = MeWMLib.__version__
    research_use_only: str = RESEARCH_USE_ONLY

    def to_json(self) -> dict[str, Any]:
        """JSON-ready form."""
        space = to_plain(self.policy)
        return {
            "mewm": self.mewm,
            "schema": SCHEMA,
            "research_use_only": self.research_use_only,
            "case": self.case,
            "goal": self.goal,
            "goal_reading": to_plain(self.goal_reading),
            "clinical": self.clinical.to_json(),
            "seed": self.seed,
            "device": self.device,
            "settings": asdict(self.settings),
            "bundle": to_plain(self.bundle),
            "versions": dict(self.versions),
            "findings": to_plain(self.findings),
            "policy": {"name": space.pop("policy"), **space},
            "labels": to_plain(self.labels),
            "treated": to_plain(self.treated),
            **self.plan.to_json(),
            "files": dict(self.files),
        }

    @classmethod
    def from_json(cls, data: Any) -> PlanDocument:
        """Read the form of `to_json`, also that of older versions.

        Raises:
            UnreadableFileError: another schema, or a field that is missing, of a wrong type or not possible.
        """
        if not isinstance(data, dict) or data.get("schema") != SCHEMA:
            found = data.get("schema") if isinstance(data, dict) else type(data).__name__
            raise UnreadableFileError(
                what=f"The plan is not of schema {SCHEMA}", given=f"schema {found!r}", remedy=_REMEDY
            )
        entry = {**data, "plan": data}
        if isinstance(data.get("policy"), dict):
            entry["policy"] = {**data["policy"], "policy": data["policy"].get("name")}
        if isinstance(data.get("settings"), dict):
            entry["settings"] = {"search": "beam", **data["settings"]}  # the only search that older versions had
        try:
            return from_plain(cls, entry, "the plan", UnreadableFileError, _REMEDY, strict=False)
        except MeWMError as error:
            problem = error.what + (f": {error.given}" if error.given else "")
            raise UnreadableFileError(what="The plan is not complete", given=problem, remedy=_REMEDY) from error

    def provenance(self, candidate: Candidate) -> Provenance:
        """Where the simulated volume of a candidate comes from."""
        return Provenance(candidate.protocol.text, self.seed, self.bundle.name, self.bundle.sha256, self.versions)


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

    def read(self) -> PlanDocument:
        """Read and check plan.json.

        Raises:
            UnreadableFileError: no such file, not JSON, or refused by `PlanDocument.from_json`.
        """
        file = self.path / PLAN
        data = read_json(file, "The plan", UnreadableFileError, _REMEDY)
        try:
            return PlanDocument.from_json(data)
        except UnreadableFileError as error:
            raise UnreadableFileError(error.what, given=f"{file}: {error.given}", remedy=error.remedy) from error

    def read_before(self, document: PlanDocument) -> tuple[Volume, LabelMap]:
        """Read the CT before treatment and its labels.

        Raises:
            MeWMError: a file is missing or cannot be read.
        """
        ct = io.read_volume(self._file(document.files, "pre"))
        return ct, io.read_labels(self._file(document.files, "pre_labels"), ct.geometry)

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
        ct = io.read_volume(self._file(files, "ct"))
        require_same_geometry(before.geometry, ct.geometry, "The simulated CT is not on the grid of the CT")
        if ct.simulated is None:
            ct = replace(ct, simulated=document.provenance(candidate))
        labels = io.read_labels(self._file(files, "labels"), ct.geometry)
        sd = _read_map(self._file(files, "sd")) if deviation and "sd" in files else None
        if sd is not None:
            require_same_geometry(before.geometry, sd.geometry, "The deviation map is not on the grid of the CT")
        return KeptCandidate(candidate, ct, labels, sd)

    def _file(self, files: dict[str, str], key: str) -> Path:
        name = files.get(key, "")
        # A plan that came from elsewhere must not make us read files outside its own folder.
        if PurePath(name).name != name or name in ("", ".", ".."):
            raise UnreadableFileError(
                what="plan.json names a file outside its folder", given=f"{key}: {name!r}", remedy=_REMEDY
            )
        path = self.path / name
        if not path.is_file():
            raise UnreadableFileError(what="A file of the plan is missing", given=str(path), remedy=_REMEDY)
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
        """Write plan.json, in place of the one that is there."""
        self._begin()
        io.write_json(document.to_json(), self.path / PLAN)

    def write_run(self, timings: dict[str, Any]) -> None:
        """Write what differs from run to run: times and memory."""
        self._begin()
        io.write_json(timings, self.path / RUN)

    def write_before(self, ct: Volume, labels: LabelMap) -> dict[str, str]:
        """Write the CT and labels before treatment; returns the file names."""
        self._begin()
        io.write_volume(ct, self.path / BEFORE["pre"])
        io.write_labels(labels, self.path / BEFORE["pre_labels"])
        return dict(BEFORE)

    def write_kept(self, rank: int, ct: Volume, labels: LabelMap, sd: Volume | None) -> dict[str, str]:
        """Write the simulated volumes of one rank and the deviation over its replicas; returns the file names."""
        self._begin()
        stem = f"simulated_{rank:02d}"
        files = {"ct": f"{stem}.nrrd", "labels": f"{stem}.seg.nrrd"}
        io.write_volume(ct, self.path / files["ct"])
        io.write_labels(labels, self.path / files["labels"])
        if sd is not None:
            files["sd"] = f"{stem}_sd.nrrd"
            io.write_volume(sd, self.path / files["sd"])
        return files

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


def _read_map(path: Path) -> Volume:
    # `read_volume` refuses what is not a CT, such as a map of standard deviations.
    try:
        return Volume(*io.from_sitk(sitk.ReadImage(str(path))))
    except RuntimeError as error:
        raise UnreadableFileError(what="A map of the plan cannot be read", given=str(path), remedy=_REMEDY) from error
