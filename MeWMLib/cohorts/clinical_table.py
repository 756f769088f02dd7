"""What is known of patients besides their images, as rows of a table: regimen, survival, clinical data.

A blank cell is "not known", never zero. A time has its unit in the name of its column; a column without one is refused,
so that weeks and months cannot be mixed. `hcc_tace.py` reads the table of the public collection into the same records.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from MeWMLib.cohorts.clinical_columns import CLINICAL, UNITS, Columns, understand
from MeWMLib.core.clinical import field_table
from MeWMLib.core.clinical_fields import NONE, UNSPECIFIED, plain
from MeWMLib.core.errors import ClinicalDataError, ProtocolError, UnknownAgentError
from MeWMLib.core.patient import Clinical
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.tables import Row, read_csv
from MeWMLib.core.texts import MOST_PROTOCOL, require_length
from MeWMLib.policy.report_words import find_names

#: Days of each unit of time. A week is 7 days, a year 365.25 and a month a twelfth of it.
DAYS = {"days": 1.0, "weeks": 7.0, "months": 365.25 / 12, "years": 365.25}
#: Longer than anyone can have been followed: TACE is as old. So days in a column of months are seen.
MOST_DAYS = 50 * 365.25
#: Misspelt names are mapped at this similarity of letters and above, and reported.
SIMILAR = 0.86
#: Words for death seen and not seen, as in cBioPortal's "1:DECEASED" and "0:LIVING".
DEAD = frozenset({"deceased", "dead", "died", "death"})
ALIVE = frozenset({"living", "alive", "censored", "lost", "lost to follow-up", "lost to follow up", "ltfu"})
_PROGRESSED = (
    frozenset({"progressed", "progression", "recurred/progressed", "recurred", "event"}),
    frozenset({"censored", "diseasefree", "disease free", "progression free", "not progressed"}),
)


@dataclass(frozen=True)
class ClinicalRecord:
    """One patient's row. What is not known is None.

    Attributes:
        protocol: what was given.
        months, event: survival from treatment, and whether death was seen.
        progression_months, progressed: time to progression or end of follow-up, and which of both.
        clinical: clinical data before treatment.
        response: measures of the readers, such as `recist_before_mm` (one number for each reader).
        treated: date of treatment as YYYYMMDD; used to pair studies and never written out.
        notes: what was mapped or could not be read.
    """

    protocol: Protocol | None = None
    months: float | None = None
    event: bool | None = None
    progression_months: float | None = None
    progressed: bool | None = None
    clinical: Clinical = Clinical()
    response: Mapping[str, Any] = field(default_factory=dict)
    treated: str | None = None
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """JSON-ready form without the date, which could identify a patient."""
        return {
            "progression_months": self.progression_months,
            "progressed": self.progressed,
            **self.clinical.to_json(),
            **self.response,
        }


@dataclass(frozen=True, eq=False)
class ClinicalTable(Mapping[str, ClinicalRecord]):
    """Records by patient, and what has to be said about the table as a whole.

    Attributes:
        records: patient to record.
        notes: columns that were read under another name, and those that were not read.
    """

    records: Mapping[str, ClinicalRecord]
    notes: tuple[str, ...] = ()

    def __getitem__(self, patient: str) -> ClinicalRecord:
        return self.records[patient]

    def __iter__(self) -> Iterator[str]:
        return iter(self.records)

    def __len__(self) -> int:
        return len(self.records)


def time_of(row: Row, name: str, unit: str) -> float | None:
    """A time in the unit that is given; None where it is not known.

    Raises:
        ClinicalDataError: it is not a number, or not possible.
    """
    try:
        value = row.number(name)
    except ClinicalDataError as error:
        raise row.wrong(what=f"{name} is not a time", name=name, remedy=error.remedy) from error
    if value is not None and not 0 <= value * DAYS[unit] <= MOST_DAYS:
        raise row.wrong(
            what=f"{name} is not a time",
            name=name,
            remedy="Give a time from 0 to 50 years, in the unit of the column's name",
        )
    return value


def months_of(row: Row, name: str) -> float | None:
    """A time in months from the one column `name_days`, `name_weeks`, ... that is filled.

    Raises:
        ClinicalDataError: two are filled, or it is not a number, negative, or above 50 years.
    """
    times = {unit: value for unit in UNITS if (value := time_of(row, f"{name}_{unit}", unit)) is not None}
    if len(times) > 1:
        raise row.wrong(what=f"{name} is given in two units", remedy="Keep one of the columns")
    return next((value * DAYS[unit] / DAYS["months"] for unit, value in times.items()), None)


def by_patient(rows: Iterable[Row], name: str, read: Callable[[Row], ClinicalRecord]) -> dict[str, ClinicalRecord]:
    """Records by the cells of a column.

    Raises:
        ClinicalDataError: a patient twice, or a row without one; or what `read` raises.
    """
    found: dict[str, ClinicalRecord] = {}
    for row in rows:
        patient = row.text(name)
        if not patient:
            raise row.wrong(
                what="A row of the clinical table names no patient", name=name, remedy="Name it, or delete the row"
            )
        if patient in found:
            raise row.wrong(what="A patient is in the clinical table twice")
        record = read(row)
        found[patient] = replace(record, notes=(*record.notes, *_unknown_survival(record)))
    return found


def _unknown_survival(record: ClinicalRecord) -> tuple[str, ...]:
    """A note where survival is not known, or only in part."""
    if record.months is None:
        return ("survival is not known: the clinical table has no time",)
    return () if record.event is not None else ("the clinical table does not say whether death was seen",)


def clinical_of(row: Row, values: Mapping[str, Any]) -> Clinical:
    """Clinical data; an error names the line.

    Raises:
        ClinicalDataError: an impossible value.
    """
    try:
        return Clinical(**values)
    except ClinicalDataError as error:
        name = error.what.split()[0]
        what = error.what if name in row.places else f"{error.what}: {error.given}"
        raise row.wrong(what, name, error.remedy) from error


def read_table(path: Path) -> ClinicalTable:
    """Read the table of a layout `folder` (docs/COHORTS.md).

    Columns: `patient` (name of the folder), `protocol`, one of `os_days`, `os_weeks`, `os_months`, `os_years`, `event`
    (1 death was seen), `ttp_...`, `progressed`, `treatment_date` (YYYY-MM-DD), and the fields of
    `core.patient.Clinical`; names count without case and punctuation, and `clinical_columns` knows others for them.

    Raises:
        UnreadableFileError: not a CSV file.
        ClinicalDataError: no column of patients, a patient twice, a time without unit, two columns for one thing, or a
            cell that is not what its column holds.
    """
    table = read_csv(path, "The clinical table", ClinicalDataError)
    columns = understand(table)
    records = by_patient(table.rows(columns.places), "patient", lambda row: _record(row, columns))
    return ClinicalTable(records, (*columns.notes, *_all_dead(records.values())))


def _all_dead(records: Collection[ClinicalRecord]) -> tuple[str, ...]:
    """A note where nobody is censored: in a table of living patients, 1 may stand for alive."""
    dead = [record for record in records if record.event]
    if len(dead) < max(len(records), 2):
        return ()
    return (f"death was seen in all {len(dead)} patients: check that 1 stands for death, not for alive",)


def _record(row: Row, columns: Columns) -> ClinicalRecord:
    protocol, notes = parse_regimen(row.known("protocol"))
    values: dict[str, Any] = {}
    for name in CLINICAL:
        values[name] = _clinical_value(row, name)
    return ClinicalRecord(
        protocol,
        months_of(row, "os"),
        row.flag("event", DEAD, ALIVE, words_only=columns.says_nothing_of_1("event")),
        months_of(row, "ttp"),
        row.flag("progressed", *_PROGRESSED),
        clinical_of(row, values),
        treated=_date(row) or None,
        notes=notes,
    )


def _clinical_value(row: Row, name: str) -> Any:
    """The cell of a clinical field, for `Clinical` to read; None where it is not known."""
    info = field_table()[name]
    if info.kind == "flag":
        return row.flag(name)
    if info.kind in ("number", "whole"):
        return row.number(name)
    cell = row.text(name)
    if plain(cell) in (NONE, "nil") and (info.kind == "list" or NONE in info.choices):
        return NONE  # "no ascites" is known; of a sex or a stage the word says that nothing is
    cell = row.known(name)
    if UNSPECIFIED in info.choices and cell in ("0", "1") and cell not in {*info.choices, *info.synonyms}:
        return cell == "1"
    return cell or None


def _date(row: Row) -> str:
    """The date of treatment as YYYYMMDD; "" where it is not known."""
    date = row.known("treatment_date")
    if not date:
        return ""
    try:
        date = re.sub(r"[T ]00:00(?::00(?:\.0+)?)?Z?\Z", "", date)  # as spreadsheets and pandas write a day
        if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{8}", date):
            raise ValueError
        datetime.strptime(date.replace("-", ""), "%Y%m%d")
    except ValueError:
        raise row.wrong(what="A date must be written YYYY-MM-DD, and be one", name="treatment_date") from None
    return date.replace("-", "")


def parse_regimen(text: str) -> tuple[Protocol | None, tuple[str, ...]]:
    """Agents named in a cell, and what was mapped: a misspelt word must be close to exactly one name of the vocabulary.

    Doses are kept where they are written as in `Protocol.parse`. Agents may be separated by , ; + / & or the word
    "and", or, as in "doxorubicin LC beads", by nothing.

    Returns:
        None where the cell is blank or a part is not understood; a note says which.
    """
    if not text.strip():
        return None, ()
    require_length(text, MOST_PROTOCOL, "The regimen of a patient", ClinicalDataError)
    with contextlib.suppress(UnknownAgentError, ProtocolError):  # read more tolerantly below
        return Protocol.parse(text), ()
    names, rest = find_names(text, SIMILAR), text
    notes = tuple(f"{name.slip!r} was read as {name.agent}" for name in names if name.slip)
    for name in reversed(names):
        rest = f"{rest[: name.start]} {rest[name.end :]}"
    # a letter may be left of a misspelt "Mitomycin C"
    unknown = [word for word in re.findall(r"\w{2,}", rest) if word.lower() != "and"]
    if unknown or not names:
        what = unknown[0] if unknown else text.strip()
        return None, (*notes, f"the regimen names something unknown: {what[:30]!r}")
    return Protocol.of(dict.fromkeys(name.agent for name in names)), notes
