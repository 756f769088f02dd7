"""What every kind of job shares: checked inputs, the bundle, the world and the labels to work on."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from MeWMLib.core import bundles
from MeWMLib.core.bundles import Bundle
from MeWMLib.core.devices import require_device_name
from MeWMLib.core.errors import CancelledError, OutputError
from MeWMLib.core.goal import Goal
from MeWMLib.core.io import atomic_path
from MeWMLib.core.patient import Clinical, Patient
from MeWMLib.core.plan import PlanSettings
from MeWMLib.core.protocol import ActionSpace
from MeWMLib.core.questions import NOTE, SEVERE, WARNING, Question, in_line, require_accepted, require_target
from MeWMLib.core.records import to_plain
from MeWMLib.core.volume import LIVER, LabelMap, Volume, require_same_geometry
from MeWMLib.jobs.inputs import Case, clinical_of, read_case, read_fed, read_segments, targets_of, territory_of
from MeWMLib.jobs.job import Job
from MeWMLib.jobs.kept import Kept, key_of
from MeWMLib.jobs.reporter import Reporter
from MeWMLib.jobs.table import SAMPLE_PREFIX, kind_of
from MeWMLib.policy.goal import read_goal, require_answered, with_facts

if TYPE_CHECKING:
    from MeWMLib.world.model import WorldModel


def _load_world(bundle: Bundle, device: str) -> WorldModel:
    # torch comes in here: bad inputs are refused before the seconds that its import takes
    from MeWMLib.world.model import WorldModel

    return WorldModel.load(bundle, device)


def _versions() -> dict[str, str]:
    from MeWMLib.world.machine import versions

    return versions()


def _load_sample(name: str, report: Reporter) -> Any:
    """Load a sample; its terms of use are said the first time."""
    from MeWMLib.cohorts.samples import SAMPLES, load_sample, mark_terms_shown, terms_shown

    if not terms_shown(name):
        report.log(SAMPLES[name].terms, notice=True)
        # a read-only cache costs nothing but reading the terms again
        with contextlib.suppress(OutputError):
            mark_terms_shown(name)
    return load_sample(name, progress=report.log)


@dataclass(frozen=True)
class Engine:
    """The worker's edges, so that a test can put a small world in place of the networks.

    A worker that stays keeps what it found (`jobs.kept`); one that does a single job keeps nothing.
    """

    load_world: Callable[[Bundle, str], Any] = _load_world
    versions: Callable[[], dict[str, str]] = _versions
    load_sample: Callable[[str, Reporter], Any] = _load_sample
    kept: Kept | None = None


@dataclass(frozen=True)
class Task:
    """One job at work."""

    job: Job
    report: Reporter
    cancelled: Callable[[], bool]
    engine: Engine

    def check_cancelled(self) -> None:
        """Raise `CancelledError` if the user stopped the job and there is nothing to keep."""
        if self.cancelled():
            raise CancelledError(what="The job was stopped before there was a result", remedy="Nothing was written")

    def read(self) -> Case:
        """Read the CT and the labels that were given."""
        require_device_name(self.job.device)
        with self.report.stage("read", "Reading the case"):
            return read_case(self.job, lambda name: self.engine.load_sample(name, self.report))

    def bundle(self) -> Bundle:
        """Find and verify the model bundle."""
        return bundles.find_bundle(self.job.bundle)

    def world(self, bundle: Bundle) -> WorldModel:
        """Load the networks."""
        self.check_cancelled()
        with self.report.stage("load", f"Loading the bundle {bundle.name}"):
            world: WorldModel = self.engine.load_world(bundle, self.job.device)
        self.check_cancelled()
        return world

    def segment(
        self, world: WorldModel, ct: Volume, stage: str = "segment", words: str = "Segmenting liver and tumour"
    ) -> tuple[LabelMap, tuple[Question, ...]]:
        """Run the segmenter; the labels, and notes on what was taken out of them, which are shown to the user."""

        def found() -> tuple[LabelMap, tuple[Question, ...]]:
            asked: list[Question] = []
            labels = world.segment(ct, self.report.progress, self.cancelled, asked)
            self.check_cancelled()
            return labels, tuple(asked)

        with self.report.stage(stage, words):
            kept = self.engine.kept
            labels, asked = found() if kept is None else kept.segmented.get(key_of(ct), found)
        return labels, self.asked(asked)

    def propose(self, world: WorldModel, patient: Patient, settings: PlanSettings) -> ActionSpace:
        """Ask the policy that the job names; the offline one if it names none. What it notes is shown to the user."""
        goal, name = str(self.job.inputs.get("goal") or ""), str(self.job.inputs.get("policy") or "")
        if not name:
            return world.propose(patient, goal, settings)
        proposal = world.policy(name).propose(patient, goal, settings)
        for note in proposal.notes:
            self.report.log(note, notice=True)
        for endpoint, used in proposal.usage.items():
            self.report.log(f"{endpoint}: {_usage(used)}", notice=True)
        return proposal.space

    def goal(self) -> tuple[Clinical, Goal]:
        """The clinical data with what the goal states, and the goal as it was read.

        Raises:
            GoalQuestionError: it leaves a question open, and the user has not accepted the reading.
        """
        text = str(self.job.inputs.get("goal") or "")
        insists = bool(self.job.inputs.get("allow_forbidden"))
        clinical, goal = with_facts(replace(read_goal(text), insists=insists), clinical_of(self.job))
        return clinical, goal if self.job.inputs.get("accept_goal") else require_answered(goal)

    def preview(self, world: WorldModel, patient: Patient, settings: PlanSettings, file: Path) -> dict[str, Any]:
        """Write the exact bytes that the job's policy would send first; nothing is sent."""
        goal, name = str(self.job.inputs.get("goal") or ""), str(self.job.inputs.get("policy") or "")
        data = world.policy(name).preview(patient, goal, settings)
        with atomic_path(file) as temporary:
            temporary.write_bytes(data)
        return {"preview": file.name, "bytes": len(data)}

    def patient(self) -> PatientAtWork:
        """Read the case, load the networks, question labels and scan, and measure the patient.

        Raises:
            LabelQuestionError: labels or scan look wrong, and the job does not say that they are right.
        """
        from MeWMLib.world.questions import question_clinical

        clinical, goal = self.goal()
        bundle, case = self.bundle(), self.read()
        # what was given is questioned before the seconds that loading takes
        questions = self.asked(question_clinical(clinical)) + self.ask_given(case)
        world = self.world(bundle)
        labels, entry, noted = self.labels(world, case)
        questions += noted
        if not case.has_liver and labels.tumour.any():
            questions += self.ask_labels(case.ct, labels, looked_at=case.labels is not None)
        choice = self._choice(case) if kind_of(self.job.kind).treats else None

        def measure() -> Patient:
            found = replace(world.patient(case.ct, labels, clinical, case.id), goal=goal)
            self.check_cancelled()
            return found if choice is None else world.treating(found, **choice)

        kept = self.engine.kept
        if kept is None:
            patient = measure()
        else:
            parts = [] if choice is None else [getattr(one, "text", one) for one in choice.values()]
            patient = kept.patients.get(key_of(case.ct, labels, clinical.to_json(), to_plain(goal), *parts), measure)
        self.check_cancelled()
        asked = self._ask_session(case, patient) if choice is not None else ()
        return PatientAtWork(world, case, patient, entry, questions + asked)

    def _choice(self, case: Case) -> dict[str, Any]:
        """What the job says of the session: targets, territory, and what was drawn.

        Raises:
            MeWMError: as the readers of each.
        """
        grid = case.ct.geometry
        return {
            "targets": targets_of(self.job),
            "territory": territory_of(self.job),
            "fed": read_fed(self.job, grid),
            "segments": read_segments(self.job, grid),
        }

    def _ask_session(self, case: Case, patient: Patient) -> tuple[Question, ...]:
        """What is asked about the session of a patient.

        Raises:
            TargetQuestionError: several lesions may be the target, and the job does not say which.
        """
        from MeWMLib.world.treating import question_session

        questions = question_session(patient, targets_of(self.job) is not None)
        if case.name.startswith(SAMPLE_PREFIX):  # nobody is treated by a demonstration: said, but not asked
            questions = tuple(replace(one, severity=WARNING) if one.severity == SEVERE else one for one in questions)
        if kind_of(self.job.kind).output is not None:  # what only lists the lesions needs no target
            require_target(questions, bool(self.job.inputs.get("accept_labels")))
        return self.asked(questions)

    def ask_given(self, case: Case) -> tuple[Question, ...]:
        """What the CT and the labels that were given let one ask; as `ask_labels`."""
        from MeWMLib.world.questions import question_scan

        notes = tuple(Question("segments", NOTE, f"{note}.") for note in case.notes)
        questions = self.asked((*notes, *question_scan(case.ct, case.phase_by)))
        if case.labels is None or not case.has_liver:
            return questions
        return questions + self.ask_labels(case.ct, case.labels)

    def ask_labels(self, ct: Volume, labels: LabelMap, looked_at: bool = True) -> tuple[Question, ...]:
        """What labels let one ask; shown to the user, and severe ones stop the job unless it accepts them.

        `looked_at` is false for labels that the segmenter made and nobody has checked.
        """
        from MeWMLib.world.questions import question_patient

        questions = question_patient(ct, labels, clinical_of(self.job), looked_at)
        require_accepted(questions, bool(self.job.inputs.get("accept_labels")))
        return self.asked(questions)

    def ask_after(self, ct: Volume, labels: LabelMap) -> tuple[Question, ...]:
        """As `ask_labels`, of a CT after treatment."""
        from MeWMLib.world.questions import question_after

        questions = tuple(
            replace(one, topic=f"after-{one.topic}", text=f"After treatment: {one.text}")
            for one in question_after(ct, labels)
        )
        require_accepted(questions, bool(self.job.inputs.get("accept_labels")))
        return self.asked(questions)

    def asked(self, questions: tuple[Question, ...]) -> tuple[Question, ...]:
        """Show questions to the user as they are asked; returns them."""
        for one in questions:
            self.report.log(in_line(one), notice=True)
        return questions

    def labels(self, world: WorldModel, case: Case) -> tuple[LabelMap, dict[str, Any], tuple[Question, ...]]:
        """Decide which labels the job works on, and say so.

        The user's own are used as they are. A sample's expert labels are used too, and the segmenter is measured
        against them. Without either, the segmenter's are used.

        Returns:
            the labels, the entry "labels" of plan.json, and notes on labels of the segmenter that are used.
        """
        wanted = self.job.inputs.get("segment", True) is not False
        if case.labels is None:
            note = "No labels were given: those of the segmenter are used. Look at them before you trust what follows"
            labels, noted = self.segment(world, case.ct)
            return labels, labels_entry("assistant", note), noted
        if case.labels_from == "user":
            note = f"Your own labels are used: {case.labels_name}"
            if case.has_liver:
                return case.labels, labels_entry("user", note), ()
            note += ". They hold no liver: it is that of the segmenter, the tumour is yours"
            self.report.log(note, notice=True)
            labels, noted = self.segment(world, case.ct)
            return liver_added(case.labels, labels), labels_entry("user", note), noted
        # of a patient who was drawn they are known, and no expert's
        note = f"The sample's {'own' if case.synthetic else 'expert'} labels are used"
        if not wanted:
            return case.labels, labels_entry("expert", note), ()
        scores = dice_scores(self.segment(world, case.ct)[0], case.labels)
        note += "; Dice is that of the segmenter against them"
        return case.labels, labels_entry("expert", note, scores), ()


@dataclass(frozen=True)
class PatientAtWork:
    """A patient in a loaded world.

    Attributes:
        entry: the entry "labels" of plan.json.
        questions: what was asked about labels and scan.
    """

    world: WorldModel
    case: Case
    patient: Patient
    entry: dict[str, Any]
    questions: tuple[Question, ...]


def liver_added(tumour: LabelMap, found: LabelMap) -> LabelMap:
    """Labels with the tumour of one map and the liver of another; what the other calls tumour is liver too."""
    require_same_geometry(tumour.geometry, found.geometry)
    return tumour.with_array(np.where(tumour.tumour, tumour.array, found.liver.astype(np.uint8)))


def _usage(used: dict[str, Any]) -> str:
    tokens = f"{used['prompt_tokens']} tokens read, {used['completion_tokens']} written"
    cost = f", {used['cost']:.4f} {used['currency']}" if used["currency"] else ""
    return f"{used['requests']} requests, {used['cached']} from the cache, {tokens}{cost}, {used['seconds']:.1f} s"


def labels_entry(source: str, note: str, scores: dict[str, float | None] | None = None) -> dict[str, Any]:
    """The entry "labels" of plan.json."""
    scores = scores or {"dice_liver": None, "dice_tumour": None}
    return {"source": source, **scores, "note": note}


def dice_scores(found: LabelMap, truth: LabelMap) -> dict[str, float | None]:
    """Dice of liver (tumour included) and of tumour; None where neither holds any."""
    require_same_geometry(found.geometry, truth.geometry)

    def dice(a: Any, b: Any) -> float | None:
        both = int(a.sum()) + int(b.sum())
        return round(2.0 * int(np.logical_and(a, b).sum()) / both, 4) if both else None

    has_liver = bool((truth.array == LIVER).any()) or not truth.array.any()  # tumour alone says nothing of the liver
    return {
        "dice_liver": dice(found.liver, truth.liver) if has_liver else None,
        "dice_tumour": dice(found.tumour, truth.tumour),
    }
