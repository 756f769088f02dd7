"""`mewm evaluate public-cohort`: who of HCC-TACE-Seg has what, and how many patients written rules leave.

The paper (arXiv 2506.02327, section 4) curates 78 of the 105 patients: CT before and after treatment, the regimen, and
overall survival; it does not list them. The rules below say the same in words that a program can follow. The index
is that of the Imaging Data Commons, as idc-index brings it, or a CSV of the same columns.
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from MeWMLib.core.errors import InputError
from MeWMLib.core.io import write_json
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.tables import read_csv
from MeWMLib.lab.evaluation.metrics import Rows, bootstrap_mean, exact
from MeWMLib.lab.evaluation.policy import scores
from MeWMLib.lab.evaluation.policy_cases import PUBLIC_CONSTANT
from MeWMLib.lab.evaluation.survival_tables import find_table
from MeWMLib.lab.evaluation.work import Say, silent
from MeWMLib.lab.public.download import catalogue
from MeWMLib.policy.reports import parse_report

PAPER_CASES = 78
#: Patients whose metadata the paper prints (its Table 4).
PRINTED = (
    "HCC_009", "HCC_011", "HCC_025", "HCC_034", "HCC_042", "HCC_051", "HCC_058", "HCC_067", "HCC_079", "HCC_091",
)  # fmt: skip
_INDEX = {"patient": "PatientID", "study": "StudyInstanceUID", "modality": "Modality", "program": "analysis_result_id"}
_TABLE = (
    "TCIA_ID",
    "OS",
    "Death_1_StillAliveorLostToFU_0",
    "chemotherapy",
    "Interval_FU",
    "1_RECIST_BL",
    "1_RECIST_FU",
)


@dataclass(frozen=True)
class PublicPatient:
    """What is known of one patient.

    Attributes:
        id: of the collection.
        studies: CT studies.
        masks, program_masks: segmentations drawn by people, and by programs.
        row: the clinical table has the patient.
        survival: overall survival and whether death was seen are recorded.
        regimen: agents that were given, Lipiodol counted; empty where it is not recorded.
        measured: the first reader measured tumour before and after.
        weeks: from treatment to the CT after, or None.
    """

    id: str
    studies: int
    masks: int
    program_masks: int
    row: bool = False
    survival: bool = False
    regimen: frozenset[str] = frozenset()
    measured: bool = False
    weeks: float | None = None


#: The rules in order: what a patient must have, and how it is told. The last one is stricter than what the paper says.
RULES: Mapping[str, Callable[[PublicPatient], bool]] = {
    "CT of two studies or more (before and after)": lambda p: p.studies >= 2,
    "a row in the clinical table": lambda p: p.row,
    "overall survival and whether death was seen": lambda p: p.survival,
    "the regimen is recorded": lambda p: bool(p.regimen),
    "(stricter) the CT after lies behind the treatment and was measured": lambda p: (
        p.measured and p.weeks is not None and p.weeks >= 0
    ),
}


def run(args: argparse.Namespace, say: Say = silent) -> tuple[Rows, str]:
    """Count what the arguments name; rows, and on whom."""
    index = read_index(args.index) if args.index else bundled_index()
    _, table = find_table(args.table)
    patients = public_patients(index, table)
    rows, about = evaluate_public(patients, args.seed)
    write_json(about, args.out / "public_cohort.json")
    say("public cohort", 1.0)
    return rows, f"HCC-TACE-Seg, {len(patients)} patients of the index"


def bundled_index() -> list[tuple[str, str, str, bool]]:
    """Patient, study, modality and whether a program made it, of every series, as idc-index brings them.

    Raises:
        DependencyError: idc-index is not installed.
    """
    return [(s.patient, s.study, s.modality, s.by_program) for s in catalogue("hcc-tace-seg")]


def read_index(path: Path) -> list[tuple[str, str, str, bool]]:
    """The same from a CSV with the columns of the Imaging Data Commons.

    Raises:
        UnreadableFileError, InputError: no table, or a column that is missing.
    """
    table = read_csv(path, "The index of series")
    table.require(tuple(_INDEX.values()), "The index of series lacks columns", "Export it from idc-index")
    rows = table.rows({name: place for name in _INDEX.values() if (place := table.place(name)) is not None})
    return [
        (
            r.text(_INDEX["patient"]),
            r.text(_INDEX["study"]),
            r.text(_INDEX["modality"]),
            bool(r.text(_INDEX["program"])),
        )
        for r in rows
    ]


def public_patients(index: Iterable[tuple[str, str, str, bool]], table: Path) -> list[PublicPatient]:
    """Every patient of the index with what the clinical table says of them.

    Raises:
        UnreadableFileError, InputError: the clinical table cannot be read, or the index names nobody.
    """
    studies: dict[str, set[str]] = defaultdict(set)
    masks: Counter[tuple[str, bool]] = Counter()
    everyone: dict[str, None] = {}
    for patient, study, modality, program in index:
        everyone[patient] = None
        if modality == "CT":
            studies[patient].add(study)
        elif modality == "SEG":
            masks[patient, program] += 1
    if not everyone:
        raise InputError(what="The index names no patient", remedy="Give that of HCC-TACE-Seg")
    clinical = _clinical(table)
    return [
        PublicPatient(who, len(studies[who]), masks[who, False], masks[who, True], **clinical.get(who, {}))
        for who in sorted(everyone)
    ]


def _clinical(path: Path) -> dict[str, dict[str, Any]]:
    table = read_csv(path, "The clinical table")
    table.require(_TABLE, "The clinical table lacks columns", "Give the clinical table of HCC-TACE-Seg (version 2)")
    found = {}
    for row in table.rows({name: place for name in _TABLE if (place := table.place(name)) is not None}):
        given = parse_report(row.known("chemotherapy")).protocol
        died = row.flag("Death_1_StillAliveorLostToFU_0")
        found[row.text("TCIA_ID")] = {
            "row": True,
            "survival": row.number("OS") is not None and died is not None,
            # the table never lists Lipiodol; as in the paper it is counted for all
            "regimen": frozenset({*given.agents, "Lipiodol"}) if given.actions else frozenset(),
            "measured": all(row.number(f"1_RECIST_{when}") is not None for when in ("BL", "FU")),
            "weeks": row.number("Interval_FU"),
        }
    return found


def evaluate_public(
    patients: Sequence[PublicPatient], seed: int = 0
) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """How many each rule leaves, and what the constant plan scores on them.

    Rows: `all`, and `rule_N` after the first N rules. Metrics: `patients`; `f1` and `jaccard` of the constant plan, in
    percent, of those whose regimen is recorded.

    Returns:
        The rows; and the rules in words, who is left after each, what each patient has, and what the paper's number
        rests on.
    """
    constant = frozenset(Protocol.parse(PUBLIC_CONSTANT).agents)
    rows: dict[str, dict[str, Any]] = {"all": _row(patients, constant, seed)}
    left, steps = list(patients), []
    for n, (rule, holds) in enumerate(RULES.items(), start=1):
        gone = [p.id for p in left if not holds(p)]
        left = [p for p in left if holds(p)]
        rows[f"rule_{n}"] = _row(left, constant, seed)
        steps.append({"rule": rule, "left": len(left), "out": gone})
    known = {p.id for p in patients if p.row}
    about = {
        "paper_cases": PAPER_CASES,
        "constant": PUBLIC_CONSTANT,
        "steps": steps,
        "printed_by_the_paper": {who: who in known for who in PRINTED},
        "regimens": dict(Counter(" + ".join(sorted(p.regimen)) for p in patients if p.regimen).most_common()),
        "patients": [
            {
                "id": p.id, "ct_studies": p.studies, "masks": p.masks, "program_masks": p.program_masks,
                "clinical_row": p.row, "survival": p.survival, "regimen": sorted(p.regimen), "measured": p.measured,
                "weeks": p.weeks,
            }
            for p in patients
        ],
    }  # fmt: skip
    return rows, about


def _row(patients: Sequence[PublicPatient], constant: frozenset[str], seed: int) -> dict[str, Any]:
    each = [scores(constant, p.regimen) for p in patients if p.regimen]
    out = {"patients": exact(float(len(patients)), len(patients))}
    return out | {m: bootstrap_mean([100 * one[m] for one in each], seed) for m in ("f1", "jaccard")}
