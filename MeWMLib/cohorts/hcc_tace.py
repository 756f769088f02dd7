"""The clinical table of HCC-TACE-Seg (TCIA, CC BY 4.0, version 2) and facts about that collection.

Its times are in weeks, which the table itself does not say; so they must be whole days over seven to be used.
Cite: Moawad et al., HCC-TACE-Seg, The Cancer Imaging Archive, 2021, doi 10.7937/TCIA.5FNA-0924.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from MeWMLib.cohorts.clinical_table import ClinicalRecord, flag, number_of, parse_regimen, read_rows, time_of
from MeWMLib.core.errors import ClinicalDataError
from MeWMLib.core.patient import Clinical
from MeWMLib.core.protocol import Action, Protocol

COLLECTION = "hcc_tace_seg"
LICENCE = "CC BY 4.0"
CITATION = (
    "Moawad AW et al. Multimodality annotated HCC cases with and without advanced imaging segmentation (HCC-TACE-Seg). "
    "The Cancer Imaging Archive, 2021. doi 10.7937/TCIA.5FNA-0924"
)
#: As arXiv 2506.02327 converts (its printed months are these weeks / 4.345).
WEEKS_A_MONTH = 4.345
#: Share of times that must be whole days for them to be weeks; months would fulfil it by chance in a few percent.
_WHOLE_DAYS = 0.8
_NEEDED = ("TCIA_ID", "OS", "TTP", "Death_1_StillAliveorLostToFU_0", "chemotherapy")


def read_table(path: Path) -> dict[str, ClinicalRecord]:
    """Read the clinical table. Lipiodol is added to every regimen, as arXiv 2506.02327 does: the table never lists it.

    Args:
        path: CSV file; the collection's own is a spreadsheet, to be saved as CSV.

    Returns:
        TCIA id to record; blank cells are not known.

    Raises:
        UnreadableFileError: not a CSV file.
        ClinicalDataError: another table, times that are not weeks, or an impossible cell.
    """
    rows = read_rows(path)
    missing = [name for name in _NEEDED if name not in rows[0]]
    if missing:
        raise ClinicalDataError(
            what="This is not the clinical table of HCC-TACE-Seg",
            given=f"{path.name} without {', '.join(missing)}",
            remedy="Give version 2 of the collection's table as CSV, or use --layout folder",
        )
    for column in ("OS", "TTP"):
        _require_weeks([row[column] for row in rows], column)
    return {row["TCIA_ID"]: _record(row, line) for line, row in enumerate(rows, 2) if row["TCIA_ID"]}


def _require_weeks(cells: Sequence[str], column: str) -> None:
    """Raise unless the times are weeks: they were made from days, so that seven times each is a whole number."""
    known = [value for cell in cells if (value := number_of(cell)) is not None]
    whole = sum(abs(7 * value - round(7 * value)) < 0.05 for value in known)
    if not known or whole < _WHOLE_DAYS * len(known):
        raise ClinicalDataError(
            what=f"The times of the column {column} are not in weeks",
            given=f"{whole} of {len(known)} are whole days over seven",
            remedy="Give the collection's own table, unchanged; months would be taken for weeks",
        )


def _record(row: Mapping[str, str], line: int) -> ClinicalRecord:
    protocol, notes = parse_regimen(row["chemotherapy"])
    if protocol is not None and "Lipiodol" not in protocol.agents:
        protocol = Protocol((*protocol.actions, Action("Lipiodol")))
        notes = (*notes, "Lipiodol was added: the table lists drugs and beads only")
    survival, progression = (
        time_of(row[name], name, line) / WEEKS_A_MONTH if row[name] else None for name in ("OS", "TTP")
    )
    return ClinicalRecord(
        protocol,
        survival,
        flag(row["Death_1_StillAliveorLostToFU_0"], "Death_1_StillAliveorLostToFU_0", line),
        progression,
        flag(row.get("Censored_0_progressed_1", ""), "Censored_0_progressed_1", line),
        _clinical(row, line),
        _response(row),
        notes=notes,
    )


def _clinical(row: Mapping[str, str], line: int) -> Clinical:
    """Fields that mean the same here and there.

    The table does not say whether a portal vein thrombosis reaches the main stem: without any thrombosis it does not,
    with one it is not known.
    """
    spread = [flag(row.get(name, ""), name, line) for name in ("Metastasis", "Lymphnodes")]
    thrombosis = flag(row.get("Portal Vein Thrombosis", ""), "Portal Vein Thrombosis", line)
    return Clinical(
        age_years=number_of(row.get("age", "")),
        sex={"1": "male", "2": "female"}.get(row.get("Sex", "")),
        afp_ng_per_ml=number_of(row.get("AFP", "")),
        child_pugh_class=row.get("CPS", "") or None,
        bclc_stage=row.get("BCLC", "").removeprefix("Stage-") or None,
        main_portal_vein_thrombosis=False if thrombosis is False else None,
        extrahepatic_spread=True if True in spread else False if spread == [False, False] else None,
    )


def _response(row: Mapping[str, str]) -> dict[str, list[float | None]]:
    """Sums of diameters (mm) of the three readers before and after, None where a reader left a blank."""
    found = {}
    for criterion in ("RECIST", "mRECIST"):
        for when, name in (("BL", "before"), ("FU", "after")):
            cells = [row.get(f"{reader}_{criterion}_{when}", "") for reader in (1, 2, 3)]
            found[f"{criterion.lower()}_{name}_mm"] = [number_of(cell) for cell in cells]
    return found
