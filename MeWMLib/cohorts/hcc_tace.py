"""The clinical table of HCC-TACE-Seg (TCIA, CC BY 4.0, version 2) and facts about that collection.

Its times are in weeks, which the table itself does not say; so they must be whole days over seven to be used.
Cite: Moawad et al., HCC-TACE-Seg, The Cancer Imaging Archive, 2021, doi 10.7937/TCIA.5FNA-0924.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from MeWMLib.cohorts.clinical_table import ClinicalRecord, Row, parse_regimen, read_rows
from MeWMLib.core.errors import ClinicalDataError
from MeWMLib.core.patient import Clinical
from MeWMLib.core.protocol import Action, Protocol

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
    rows = read_rows(
        path,
        _NEEDED,
        "This is not the clinical table of HCC-TACE-Seg",
        "Give version 2 of the collection's table as CSV, or use --layout folder",
    )
    for column in ("OS", "TTP"):
        _require_weeks(rows, column)
    return {row.text("TCIA_ID"): _record(row) for row in rows if row.text("TCIA_ID")}


def _require_weeks(rows: Sequence[Row], column: str) -> None:
    """Raise unless the times are weeks: they were made from days, so that seven times each is a whole number."""
    known = [value for row in rows if (value := row.number(column)) is not None]
    whole = sum(abs(7 * value - round(7 * value)) < 0.05 for value in known)
    if not known or whole < _WHOLE_DAYS * len(known):
        raise ClinicalDataError(
            what=f"The times of the column {column} are not in weeks",
            given=f"{whole} of {len(known)} are whole days over seven",
            remedy="Give the collection's own table, unchanged; months would be taken for weeks",
        )


def _record(row: Row) -> ClinicalRecord:
    protocol, notes = parse_regimen(row.text("chemotherapy"))
    if protocol is not None and "Lipiodol" not in protocol.agents:
        protocol = Protocol((*protocol.actions, Action("Lipiodol")))
        notes = (*notes, "Lipiodol was added: the table lists drugs and beads only")
    survival, progression = (
        None if (weeks := row.time(name)) is None else weeks / WEEKS_A_MONTH for name in ("OS", "TTP")
    )
    return ClinicalRecord(
        protocol,
        survival,
        row.flag("Death_1_StillAliveorLostToFU_0"),
        progression,
        row.flag("Censored_0_progressed_1"),
        _clinical(row),
        _response(row),
        notes=notes,
    )


def _clinical(row: Row) -> Clinical:
    """Fields that mean the same here and there.

    The table does not say whether a portal vein thrombosis reaches the main stem: without any thrombosis it does not,
    with one it is not known.
    """
    spread = [row.flag(name) for name in ("Metastasis", "Lymphnodes")]
    return Clinical(
        age_years=row.number("age"),
        sex={"1": "male", "2": "female"}.get(row.text("Sex")),
        afp_ng_per_ml=row.number("AFP"),
        child_pugh_class=row.text("CPS") or None,
        bclc_stage=row.text("BCLC").removeprefix("Stage-") or None,
        main_portal_vein_thrombosis=False if row.flag("Portal Vein Thrombosis") is False else None,
        extrahepatic_spread=True if True in spread else False if spread == [False, False] else None,
    )


def _response(row: Row) -> dict[str, list[float | None]]:
    """Sums of diameters (mm) of the three readers before and after, None where a reader left a blank."""
    return {
        f"{criterion.lower()}_{name}_mm": [row.number(f"{reader}_{criterion}_{when}") for reader in (1, 2, 3)]
        for criterion in ("RECIST", "mRECIST")
        for when, name in (("BL", "before"), ("FU", "after"))
    }
