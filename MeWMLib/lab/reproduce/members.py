"""Who is in a cohort, what each patient has, and what follows from what is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from MeWMLib.cohorts.layout import (
    PATIENT,
    POST,
    POST_LABELS,
    PRE,
    PRE_LABELS,
    Cohort,
    PatientRow,
    image_of,
    read_patient,
)
from MeWMLib.core.clinical import field_table
from MeWMLib.core.errors import CohortError, InputError
from MeWMLib.core.patient import Clinical
from MeWMLib.core.protocol import Protocol
from MeWMLib.lab.evaluation.policy_cases import PUBLIC_AGENTS, PUBLIC_CONSTANT
from MeWMLib.lab.reproduce.kept import file_checksum, key_of
from MeWMLib.lab.reproduce.settings import ReproduceSettings
from MeWMLib.lab.synthetic.cases import SPLITS

#: Public patients on whom nothing may be chosen, fitted or trained (docs/JUDGE.md).
JUDGING_ONLY = ("HCC_009",)
#: Label map of another segmenter (organs as segments or values), in a patient's folder.
ORGANS = "pre_organs.seg.nrrd"
#: Images that a patient's numbers depend on.
IMAGES = (PRE, PRE_LABELS, POST, POST_LABELS)
DAYS_A_WEEK = 7.0


@dataclass(frozen=True)
class Member:
    """One patient of a cohort.

    Attributes:
        row: of the table.
        clinical: what is known before treatment.
        protocol: what was given, or what is assumed; None where neither is known.
        recorded: the protocol is what was given.
        judging: for judging only: never in what anything is fitted on.
        key: checksum of the patient's files, the bundles and the settings.
        assisted: also searched with the segmenter's outline of every simulation.
        registered: a place in the scan after is the same place in the one before.
    """

    row: PatientRow
    clinical: Clinical
    protocol: Protocol | None
    recorded: bool
    judging: bool
    key: str
    assisted: bool
    registered: bool

    @property
    def id(self) -> str:
        """Opaque."""
        return self.row.id

    @property
    def weeks(self) -> float | None:
        """From the scan before to the one after, the nearest that is known to the weeks since treatment."""
        return None if self.row.interval_days is None else self.row.interval_days / DAYS_A_WEEK

    @property
    def survived(self) -> tuple[float, bool] | None:
        """Months and whether death was seen; None where one is not known."""
        row = self.row
        return None if row.months is None or row.event is None else (row.months, row.event)


@dataclass(frozen=True)
class Gap:
    """Something that a cohort or a run lacks.

    Attributes:
        what: is missing.
        follows: what could not be computed for it.
        remedy: what would help.
        patients: whom it concerns; empty for the run as a whole.
    """

    what: str
    follows: str
    remedy: str = ""
    patients: tuple[str, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {"what": self.what, "follows": self.follows, "remedy": self.remedy, "patients": list(self.patients)}


def is_for_judging(cohort: Cohort, patient: str) -> bool:
    """True for a patient on whom nothing may be fitted: public ones, and those that table or `cohort.json` name."""
    listed = patient in (cohort.manifest.get("judging") or ())
    return patient in JUDGING_ONLY or listed or bool(cohort.row(patient).judging)


def members_of(
    cohort: Cohort, settings: ReproduceSettings, sums: Mapping[str, str], judging: bool, most: int | None = None
) -> tuple[list[Member], list[Gap]]:
    """The patients of a run, and who was left out.

    Args:
        cohort: on disk.
        settings: of the run.
        sums: checksum of each bundle by the name of its row.
        judging: take those that are for judging only too.
        most: only so many, from the first on.

    Raises:
        CohortError: nobody is left, or a synthetic patient that networks are trained on.
        UnreadableFileError: a file that cannot be read.
        InputError: clinical data or a protocol that cannot be read.
    """
    closed = tuple(r.id for r in cohort.rows if is_for_judging(cohort, r.id) and not judging)
    rows = [r for r in cohort.rows if r.id not in closed][:most]
    trained = [r.id for r in rows if r.seed in SPLITS["train"]] if cohort.synthetic else []
    if trained:
        raise CohortError(
            what="The cohort holds patients of the training range, so that figures on them would flatter",
            given=f"{', '.join(trained[:5])} and others" if len(trained) > 5 else ", ".join(trained),
            remedy="Write a cohort with --split test",
        )
    if not rows:
        raise CohortError(
            what="No patient of the cohort is left",
            given=f"{len(cohort.rows)} in the table, {len(closed)} of them for judging only",
            remedy="Add --judging if nothing is chosen by what it shows",
        )
    assumed = Protocol.parse(settings.assumed) if settings.assumed else None
    shared = settings.of_a_patient(sums)
    found = [
        _member(cohort, row, assumed, shared, n < settings.assistant_patients) for n, row in enumerate(rows)
    ]  # fmt: skip
    left = [Gap("For judging only", "not opened", "Add --judging if nothing is chosen by what it shows", closed)]
    return found, left if closed else []


def _member(
    cohort: Cohort, row: PatientRow, assumed: Protocol | None, shared: Mapping[str, Any], assisted: bool
) -> Member:
    given = Protocol.parse(row.protocol) if row.protocol.strip() else None
    stored = (read_patient(cohort.folder, row.id) or {}).get("clinical") or {}
    known = {name: value for name, value in stored.items() if name in field_table()}
    paths = {name: image_of(cohort.folder / row.id, name) for name in IMAGES}
    paths |= {name: cohort.folder / row.id / name for name in (PATIENT, ORGANS)}
    files = {name: "" if path is None else file_checksum(path) for name, path in paths.items()}
    if not files[PRE]:
        raise CohortError(
            what="A patient of the table has no scan before treatment",
            given=str(cohort.folder / row.id / PRE),
            remedy="Import the cohort again, or take the patient out of the table",
        )
    registered = bool(row.registered) if row.registered is not None else cohort.synthetic
    try:
        clinical = Clinical.from_json(known)
    except InputError as error:
        raise InputError(what=f"The clinical data of {row.id}: {error.what}", given=error.given) from error
    return Member(
        row,
        clinical,
        given or assumed,
        given is not None,
        is_for_judging(cohort, row.id),
        key_of("patient", shared, files, row.cells(), assisted, cohort.synthetic),
        assisted,
        registered,
    )


def gaps_of(members: Sequence[Member], cohort: Cohort) -> list[Gap]:
    """What the patients lack, each with what follows from it."""

    def of(what: str, follows: str, remedy: str, lacks: Sequence[bool]) -> Gap | None:
        who = tuple(m.id for m, one in zip(members, lacks, strict=True) if one)
        return Gap(what, follows, remedy, who) if who else None

    found = [
        of(
            "No labels of liver and tumour before treatment",
            "outlined by the bundle's segmenter; what it misses is not simulated",
            f"Put {PRE_LABELS} beside the scan",
            [image_of(cohort.folder / m.id, PRE_LABELS) is None for m in members],
        ),
        of(
            "No scan after treatment",
            "not in Table 1, and no CT after for the survival models",
            f"Put {POST} beside the scan",
            [m.row.has_after is False or image_of(cohort.folder / m.id, POST) is None for m in members],
        ),
        of(
            "The scan after is not registered",
            "registered here, rigid to deformable, before anything is compared",
            "Set registered to 1 where it is",
            [not m.registered and m.row.has_after is not False for m in members],
        ),
        of(
            "What was given is not recorded",
            "not in Tables 2 and 3; simulated with the protocol of --assume, else not in Table 1",
            "Fill the column protocol, for instance by `mewm report parse`",
            [not m.recorded for m in members],
        ),
        of(
            "Survival is not known",
            "not in Figures 5 and 6, nor in the table of virtual against real",
            "Fill the columns months and event",
            [m.survived is None for m in members],
        ),
        of(
            "The interval of the two scans is not known",
            "simulated at the usual number of weeks",
            "Fill the column interval_days",
            [m.row.interval_days is None for m in members],
        ),
        of(
            "No clinical data",
            "policies and rules see the scan alone; clinical covariates are left out",
            "Give a clinical table to `mewm cohort import`",
            [not m.clinical.to_json() for m in members],
        ),
    ]
    return [one for one in found if one is not None]


def agents_of(members: Sequence[Member]) -> tuple[tuple[str, ...], Protocol]:
    """What policies may choose from, and the constant plan.

    Where all that was given lies within the public collection's five agents, these are the choice, as in the paper's
    prompt for it, and its most frequent regimen is the constant plan; else the whole vocabulary (empty), and
    Doxorubicin with Lipiodol.
    """
    given = {name for m in members if m.recorded and m.protocol is not None for name in m.protocol.agents}
    if given and given <= set(PUBLIC_AGENTS):
        return PUBLIC_AGENTS, Protocol.parse(PUBLIC_CONSTANT)
    return (), Protocol.of(["Doxorubicin", "Lipiodol"])
