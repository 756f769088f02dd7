"""Patients with a gold action, to measure policies on: the clinical table of HCC-TACE-Seg, or a cohort on disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from MeWMLib.cohorts.clinical_table import clinical_of
from MeWMLib.cohorts.layout import Cohort
from MeWMLib.core.errors import CohortError, InputError
from MeWMLib.core.patient import Findings, Lesion
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.tables import Row, read_csv
from MeWMLib.perception.findings import measure
from MeWMLib.perception.phase import phase_of
from MeWMLib.policy.llm.images import slices_png
from MeWMLib.policy.proposal import PolicyInput
from MeWMLib.policy.reports import parse_report

#: What patients of the public data set were given, and what the paper's prompt for it lets a model choose from.
PUBLIC_AGENTS = ("Cisplatin", "Doxorubicin", "Mitomycin", "Lipiodol", "LC beads")
#: The most frequent regimen of the public data set.
PUBLIC_CONSTANT = "Cisplatin + Doxorubicin + Mitomycin + Lipiodol"
_COLUMNS = ("TCIA_ID", "chemotherapy", "CPS", "BCLC", "AFP", "age", "Tr_Size", "tumor_nodul", "Metastasis")


@dataclass(frozen=True)
class PolicyCase:
    """One patient with the action that was given.

    Attributes:
        id: opaque.
        seen: what a policy is given.
        gold: canonical agents of the given protocol.
        stratum: BCLC stage or type of tumour, for reports; "" if it is not known.
    """

    id: str
    seen: PolicyInput
    gold: frozenset[str]
    stratum: str = ""


@dataclass(frozen=True)
class PolicyCohort:
    """Patients and what they are.

    Attributes:
        name: for `metrics.json`.
        cases: patients whose regimen is recorded.
        agents: what a policy may choose from.
        constant: the constant plan.
        without_regimen: patients that were left out, since their regimen is not recorded.
    """

    name: str
    cases: tuple[PolicyCase, ...]
    agents: tuple[str, ...] | None
    constant: Protocol
    without_regimen: int = 0


def read_table(path: Path) -> PolicyCohort:
    """Read the clinical table of HCC-TACE-Seg (version 2, CSV).

    The table never lists Lipiodol; as in the paper it is counted as given to every patient. A blank regimen is not
    recorded; such patients cannot be measured on. The table gives no HU and no number of nodules: a multinodular
    tumour counts as two lesions, and no finding that needs HU is used. That a portal vein thrombosis is one of the main
    vein is not stated, so it is not assumed.

    Raises:
        UnreadableFileError: no such file, or no text.
        InputError: a column is missing, a number cannot be read, or no regimen is recorded.
    """
    table = read_csv(path, "The clinical table")
    table.require(_COLUMNS, "The clinical table lacks columns", "Give the clinical table of HCC-TACE-Seg (version 2)")
    rows = table.rows({name: place for name in _COLUMNS if (place := table.place(name)) is not None})
    cases = [case for row in rows if (case := _table_case(row)) is not None]
    if not cases:
        raise InputError(what="The clinical table holds no regimen", given=str(path))
    name = f"HCC-TACE-Seg clinical table, {len(cases)} of {len(rows)} patients (regimen recorded, Lipiodol counted)"
    constant = Protocol.parse(PUBLIC_CONSTANT)
    return PolicyCohort(name, tuple(cases), PUBLIC_AGENTS, constant, len(rows) - len(cases))


def _table_case(row: Row) -> PolicyCase | None:
    given = parse_report(row.known("chemotherapy")).protocol
    if not given.actions:
        return None
    size_mm = row.number("Tr_Size") or 0.0
    lesion = Lesion(1, 0.0, 10.0 * size_mm, (0.0, 0.0, 0.0), 0.0, 0.0, 0.0, 0.0, 0.0)
    count = 2 if row.text("tumor_nodul").startswith("multi") else 1
    # liver and lesion have the same (unknown) HU, so that no finding about enhancement is met
    findings = Findings(0.0, 0.0, (lesion,) * count if size_mm else ())
    values = {
        "age_years": row.number("age"),
        "afp_ng_per_ml": row.number("AFP"),
        "child_pugh_class": row.known("CPS") or None,
        "bclc_stage": row.known("BCLC") or None,
        "extrahepatic_spread": row.flag("Metastasis"),
    }
    gold, clinical = frozenset({*given.agents, "Lipiodol"}), clinical_of(row, values)
    return PolicyCase(row.text("TCIA_ID"), PolicyInput(findings, clinical), gold, clinical.bclc_stage or "")


def read_cohort(folder: Path, images: int = 0) -> PolicyCohort:
    """Read a cohort on disk (docs/COHORTS.md); findings are measured on its labels before treatment.

    Args:
        folder: of the cohort.
        images: slices for each patient, for policies that look at them.

    Raises:
        CohortError: no cohort, or no patient in it has a protocol.
    """
    cohort, cases, blank = Cohort.read(folder), [], 0
    for row in cohort.rows:
        if not row.protocol.strip():
            blank += 1
            continue
        case = cohort.case(row.id)
        pngs = slices_png(case.before, case.before_labels, images) if images else ()
        seen = PolicyInput(measure(case.before, case.before_labels, phase=phase_of(case.before)), images=pngs)
        cases.append(PolicyCase(row.id, seen, frozenset(Protocol.parse(row.protocol).agents), row.tumour_type or ""))
    if not cases:
        raise CohortError(what="No patient of the cohort has a protocol", given=str(folder))
    kind = "synthetic cohort" if cohort.synthetic else "cohort"
    constant = Protocol.of(["Doxorubicin", "Lipiodol"])
    return PolicyCohort(f"{kind} {Path(folder).name}, {len(cases)} patients", tuple(cases), None, constant, blank)
