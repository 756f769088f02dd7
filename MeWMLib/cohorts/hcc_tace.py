"""The clinical table of HCC-TACE-Seg (TCIA, CC BY 4.0, version 2) and facts about that collection.

Its times are in weeks, which the table itself does not say; so they must be whole days over seven to be used.
Cite: Moawad et al., HCC-TACE-Seg, The Cancer Imaging Archive, 2021, doi 10.7937/TCIA.5FNA-0924.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from MeWMLib.cohorts.clinical_table import (
    ClinicalRecord,
    ClinicalTable,
    by_patient,
    clinical_of,
    parse_regimen,
    time_of,
)
from MeWMLib.core.clinical_words import bclc
from MeWMLib.core.errors import ClinicalDataError
from MeWMLib.core.patient import Clinical
from MeWMLib.core.protocol import Action, Protocol
from MeWMLib.core.tables import Row, read_csv

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
_COLUMNS = (
    *_NEEDED,
    *(
        "Censored_0_progressed_1",
        "Metastasis",
        "Lymphnodes",
        "Portal Vein Thrombosis",
        "Sex",
        "age",
        "AFP",
        "CPS",
        "BCLC",
    ),
    *(f"{reader}_{name}_{when}" for name in ("RECIST", "mRECIST") for reader in (1, 2, 3) for when in ("BL", "FU")),
)


def read_table(path: Path) -> ClinicalTable:
    """Read the clinical table. Lipiodol is added to every regimen, as arXiv 2506.02327 does: the table never lists it.

    Args:
        path: CSV file; the collection's own is a spreadsheet, to be saved as CSV.

    Returns:
        TCIA id to record; blank cells are not known.

    Raises:
        UnreadableFileError: not a CSV file.
        ClinicalDataError: another table, times that are not weeks, a patient twice, or an impossible cell.
    """
    table = read_csv(path, "The clinical table", ClinicalDataError)
    table.require(
        _NEEDED,
        "This is not the clinical table of HCC-TACE-Seg",
        "Give version 2 of the collection's table as CSV, or use --layout folder",
    )
    places = {name: place for name in _COLUMNS if (place := table.place(name)) is not None}
    rows = table.rows(places)
    for column in ("OS", "TTP"):
        _require_weeks(rows, column)
    unread = table.unread(list(places.values()))
    notes = ("columns that are not read: " + ", ".join(repr(name[:60]) for name in unread),) if unread else ()
    return ClinicalTable(by_patient(rows, "TCIA_ID", _record), notes)


def _require_weeks(rows: Sequence[Row], column: str) -> None:
    """Raise unless the times are weeks: they were made from days, so that seven times each is a whole number."""
    known = [value for row in rows if (value := time_of(row, column, "weeks")) is not None]
    whole = sum(abs(7 * value - round(7 * value)) < 0.05 for value in known)
    if not known or whole < _WHOLE_DAYS * len(known):
        raise ClinicalDataError(
            what=f"The times of the column {column} are not in weeks",
            given=f"{whole} of {len(known)} are whole days over seven",
            remedy="Give the collection's own table, unchanged; months would be taken for weeks",
        )


def _record(row: Row) -> ClinicalRecord:
    protocol, notes = parse_regimen(row.known("chemotherapy"))
    if protocol is not None and "Lipiodol" not in protocol.agents:
        protocol = Protocol((*protocol.actions, Action("Lipiodol")))
        notes = (*notes, "Lipiodol was added: the table lists drugs and beads only")
    survival, progression = (
        None if (weeks := time_of(row, name, "weeks")) is None else weeks / WEEKS_A_MONTH for name in ("OS", "TTP")
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
    sex = row.number("Sex")
    if sex not in (None, 1, 2):
        raise row.wrong(what="Sex must be 1 (male) or 2 (female)", name="Sex")
    return clinical_of(
        row,
        {
            "age_years": row.number("age"),
            "sex": None if sex is None else "male" if sex == 1 else "female",
            "afp_ng_per_ml": row.number("AFP"),
            "child_pugh_class": row.known("CPS") or None,
            "bclc_stage": bclc(row.known("BCLC")) or None,
            "main_portal_vein_thrombosis": False if row.flag("Portal Vein Thrombosis") is False else None,
            "extrahepatic_spread": True if True in spread else False if spread == [False, False] else None,
        },
    )


def _response(row: Row) -> dict[str, list[float | None]]:
    """Sums of diameters (mm) of the three readers before and after, None where a reader left a blank."""
    return {
        f"{criterion.lower()}_{name}_mm": [row.number(f"{reader}_{criterion}_{when}") for reader in (1, 2, 3)]
        for criterion in ("RECIST", "mRECIST")
        for when, name in (("BL", "before"), ("FU", "after"))
    }
