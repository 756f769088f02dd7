"""What plan.json holds: the plan, and everything that it was computed from."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import MeWMLib
from MeWMLib.core.beside import Beside
from MeWMLib.core.errors import MeWMError, UnreadableFileError
from MeWMLib.core.goal import Goal
from MeWMLib.core.inputs_used import InputUsed
from MeWMLib.core.numbers import NumbersExplained
from MeWMLib.core.patient import Clinical, Findings
from MeWMLib.core.plan import FREE, Candidate, Plan, PlanSettings
from MeWMLib.core.protocol import ActionSpace
from MeWMLib.core.questions import Question
from MeWMLib.core.records import from_plain, to_plain
from MeWMLib.core.sealed import FILES, read_sealed, write_sealed
from MeWMLib.core.targets import ALL_TREATED, Session
from MeWMLib.core.trained_on import TOPIC
from MeWMLib.core.volume import Provenance

#: Version of the form of plan.json; fields may be added to it, older plans then have their defaults.
SCHEMA = 1
#: Kinds of plans, and the policy of the second one.
SEARCHED, NAMED, BY_USER = "searched", "named", "named by the user"
#: Lesions that one line lists.
_LISTED = 12
RESEARCH_USE_ONLY = (
    "Research use only. Simulated volumes are not scans, predicted risks are not a prognosis, and a ranked protocol is "
    "not a treatment recommendation."
)
REMEDY = "Run mewm plan again, or give the folder that it wrote"


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
        targets: numbers of the lesions that are treated, or of which a part is; empty in plans of older versions.
        target_percent: of the volume of each, how much of it is treated.
        beyond: numbers of lesions that the user chose and of which nothing is treated.
        territory: what is fed, as text; "" where it was not stated.
        segments_by: who divided the liver into segments, where that was needed.
        why: in words, why these lesions, and what stays untreated.
    """

    lesion: int
    lesions: int
    share_of_tumour_percent: float
    patch_spacing_mm: float = 1.0
    assistant_dice_on_patch: float | None = None
    outline_after_by: str = ""
    targets: tuple[int, ...] = ()
    target_percent: tuple[float, ...] = ()
    beyond: tuple[int, ...] = ()
    territory: str = ""
    segments_by: str = ""
    why: str = ""

    def with_session(self, session: Session) -> TreatmentSummary:
        """The same with what a session says."""
        return replace(
            self,
            lesion=session.target,
            targets=session.lesions,
            target_percent=tuple(session.percent[n] for n in session.lesions),
            beyond=session.beyond,
            territory=session.territory.text if session.territory is not None else "",
            segments_by=session.segments_by,
            why=session.why,
        )

    def of(self, lesion: int) -> str:
        """How much of a lesion is treated: "all", "34 %", "no"; "" in plans of older versions, which do not say it."""
        if not self.targets:
            return ""
        percent = dict(zip(self.targets, self.target_percent, strict=False)).get(lesion, 0.0)
        return "all" if round(percent) >= 100 else f"{percent:.0f} %" if percent else "no"

    @property
    def partly(self) -> bool:
        """True if somebody chose targets or a territory, so that tumour in the simulated region may be untreated."""
        return bool(self.territory or self.beyond or "that you chose" in self.why)

    @property
    def text(self) -> str:
        """What is treated, in one line: "lesions 1, 3 (34 %) of 5; 62 % of all tumour"."""
        if not self.targets:  # a plan of an older version
            return f"lesion {self.lesion} and what is close to it; {self.share_text} of all tumour"
        shown = [
            f"{n}" if round(percent) >= 100 else f"{n} ({percent:.0f} %)"
            for n, percent in zip(self.targets, self.target_percent, strict=False)
        ]
        more = f" and {len(shown) - _LISTED} more" if len(shown) > _LISTED else ""
        listed = f"lesion{'s' if len(shown) > 1 else ''} {', '.join(shown[:_LISTED])}{more} of {self.lesions}"
        return f"{listed}; {self.share_text} of all tumour"

    @property
    def lines(self) -> list[str]:
        """What is treated and why, in sentences; that all tumour is treated is said once."""
        whole = round(self.share_of_tumour_percent, 6) == 100
        why = self.why.removeprefix(ALL_TREATED).strip() if whole else self.why
        return [line for line in (f"Treated: {self.text}.", why) if line]

    @property
    def share_text(self) -> str:
        """Share of all tumour that is treated; 100 % is said where it is all."""
        share = self.share_of_tumour_percent
        return "over 99 %" if 99.5 <= share < 100 else "under 1 %" if 0 < share < 0.5 else f"{share:.0f} %"


@dataclass(frozen=True)
class PlanDocument:
    """Everything in plan.json. No times and no paths: the same job, the same bytes.

    Attributes:
        plan: the ranking and the search tree.
        case: the sample or the base name of the file.
        goal: of the treatment, in the user's words.
        goal_reading: how it was understood; empty in plans of older versions.
        policy: what was proposed, by whom and why.
        questions: what looked wrong with labels or scan; empty in plans of older versions.
        files: names of the files "pre" and "pre_labels"; empty until they are written.
        tables: names of the files "ranking" and "lesions" (`core.plan_tables`); empty until they are written.
        files_sha256: checksums of these and of the candidates' files, by name; none in plans of earlier versions.
        mewm: version that made it.
        kind: `SEARCHED`, or `NAMED` for one protocol that the user named: it has no rank.
        beside: the user's own protocol beside the first one, where one was given.
        phase: contrast phase of the scan, which the simulated ones have too; "unknown" in older plans.
        inputs: the files that were given, by checksums; empty in older plans.
        asked: what was asked for beside them, by the names of the job's inputs.
        trained_on: what the bundle's networks were trained on, in words; "" where the bundle does not say it. What lies
            outside of it is among the questions.
        risk_from: names of the covariates of a survival model that looks at nothing else; empty for one that looks at
            images, and in older plans.
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
    questions: tuple[Question, ...] = ()
    files: dict[str, str] = field(default_factory=dict)
    files_sha256: dict[str, str] = field(default_factory=dict)
    mewm: str = MeWMLib.__version__
    research_use_only: str = RESEARCH_USE_ONLY
    kind: str = SEARCHED
    beside: Beside | None = None
    goal_reading: Goal = Goal()
    phase: str = "unknown"
    trained_on: str = ""
    inputs: dict[str, InputUsed] = field(default_factory=dict)
    asked: dict[str, Any] = field(default_factory=dict)
    tables: dict[str, str] = field(default_factory=dict)
    risk_from: tuple[str, ...] = ()

    @property
    def drawn(self) -> bool:
        """True where the case is a sample that MeWM drew itself, so that no patient is shown."""
        return self.case.startswith("sample:synthetic")

    @property
    def on_maps(self) -> bool:
        """True if the dynamics model works on coarse maps, and so simulates iodine and is told weeks."""
        return any(c.tumour_change.oil_ml_after is not None for c in self.plan.candidates)

    @property
    def outside(self) -> tuple[Question, ...]:
        """What of the case lies outside of what the networks were trained on."""
        return tuple(one for one in self.questions if one.topic.startswith(TOPIC))

    @property
    def numbers(self) -> NumbersExplained:
        """What the numbers of this plan mean."""
        return NumbersExplained.of(
            self.settings, self.on_maps, self.treated.outline_after_by, self.risk_from, self.kind == SEARCHED
        )

    @property
    def target_centre(self) -> tuple[float, float, float] | None:
        """Where the target lesion is, RAS mm; None where it was not measured."""
        return next((one.centre_ras_mm for one in self.findings.lesions if one.index == self.treated.lesion), None)

    def called(self, rank: int) -> str:
        """What a protocol of this plan is called: "rank 2", or "your protocol" for one that the user named."""
        return f"rank {rank}" if rank and self.kind == SEARCHED else "your protocol"

    @property
    def forbidden(self) -> list[str]:
        """The protocols that were simulated although clinical rules forbid them, with the rules."""
        named = [*self.plan.candidates, *([self.beside.mine] if self.beside else [])]
        return [f"{c.protocol.text}: {c.forbidden}" for c in named if c.forbidden]

    def to_json(self) -> dict[str, Any]:
        """JSON-ready form."""
        space = to_plain(self.policy)
        return {
            "mewm": self.mewm,
            "schema": SCHEMA,
            "research_use_only": self.research_use_only,
            "kind": self.kind,
            "forbidden": self.forbidden,
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
            "phase": self.phase,
            "trained_on": self.trained_on,
            "risk_from": list(self.risk_from),
            "inputs": to_plain(self.inputs),
            "asked": dict(self.asked),
            "numbers": to_plain(self.numbers),
            "treated": to_plain(self.treated),
            "questions": to_plain(self.questions),
            **self.plan.to_json(),
            "beside": self.beside.to_json() if self.beside else None,
            "files": dict(self.files),
            "tables": dict(self.tables),
            FILES: dict(self.files_sha256),
        }

    @property
    def file_names(self) -> list[str]:
        """Names of all files of the plan."""
        named = [*self.plan.candidates, *([self.beside.mine] if self.beside else [])]
        return [name for files in (self.files, self.tables, *(c.files for c in named)) for name in files.values()]

    @classmethod
    def from_json(cls, data: Any) -> PlanDocument:
        """Read the form of `to_json`, also that of older versions.

        Raises:
            UnreadableFileError: another schema, or a field that is missing, of a wrong type or not possible.
        """
        if not isinstance(data, dict) or data.get("schema") != SCHEMA:
            found = data.get("schema") if isinstance(data, dict) else type(data).__name__
            raise UnreadableFileError(
                what=f"The plan is not of schema {SCHEMA}", given=f"schema {found!r}", remedy=REMEDY
            )
        entry = {**data, "plan": data}
        if isinstance(data.get("policy"), dict):
            entry["policy"] = {**data["policy"], "policy": data["policy"].get("name")}
            if entry["policy"]["policy"] == BY_USER:  # older versions had no kind
                entry["kind"] = NAMED
        if isinstance(data.get("settings"), dict):
            # older versions had no other search, or no other space
            entry["settings"] = {"search": "beam", "space": FREE, **data["settings"]}
        try:
            return from_plain(cls, entry, "the plan", UnreadableFileError, REMEDY, strict=False)
        except MeWMError as error:
            problem = error.what + (f": {error.given}" if error.given else "")
            raise UnreadableFileError(what="The plan is not complete", given=problem, remedy=REMEDY) from error

    def provenance(self, candidate: Candidate) -> Provenance:
        """Where the simulated volume of a candidate comes from."""
        bundle = self.bundle
        seed = self.seed if candidate.written is None else candidate.written.sample.seed
        return Provenance(candidate.protocol.text, seed, bundle.name, bundle.sha256, self.versions, candidate.forbidden)


def read_document(file: Path) -> PlanDocument:
    """Read a plan.json by itself and check its own checksum.

    Raises:
        UnreadableFileError: no such file, not JSON, changed since it was written, or refused by
            `PlanDocument.from_json`.
    """
    data = read_sealed(file, "The plan", REMEDY)
    try:
        return PlanDocument.from_json(data)
    except UnreadableFileError as error:
        raise UnreadableFileError(error.what, given=f"{file}: {error.given}", remedy=error.remedy) from error


def write_document(document: PlanDocument, file: Path) -> None:
    """Write a plan.json with its own checksum."""
    write_sealed(document.to_json(), file)
