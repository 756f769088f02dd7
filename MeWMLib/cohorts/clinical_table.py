"""What is known of patients besides their images, as rows of a table: regimen, survival, clinical data.

A blank cell is "not known", never zero. A time has its unit in the name of its column; a column without one is refused,
so that weeks and months cannot be mixed. `hcc_tace.py` reads the table of the public collection into the same records.
"""

from __future__ import annotations

import contextlib
import csv
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from MeWMLib.core.clinical import field_table
from MeWMLib.core.errors import ClinicalDataError, ProtocolError, UnknownAgentError, UnreadableFileError
from MeWMLib.core.patient import Clinical
from MeWMLib.core.protocol import Protocol
from MeWMLib.policy.report_words import find_names

#: Days of each unit of time. A week is 7 days and a month 365.25 / 12 days.
DAYS = {"days": 1.0, "weeks": 7.0, "months": 365.25 / 12}
#: Misspelt names are mapped at this similarity of letters and above, and reported.
SIMILAR = 0.86
_BOOLEAN = tuple(name for name, info in field_table().items() if info.kind == "flag")
_FLAGS = {**dict.fromkeys(("1", "true", "yes"), True), **dict.fromkeys(("0", "false", "no"), False)}


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


@dataclass(frozen=True)
class Row:
    """One row of a clinical table; errors name its line in the file, and never the patient."""

    cells: Mapping[str, str]
    line: int

    def text(self, name: str) -> str:
        """The cell of a column; "" where it is blank, or there is no such column."""
        return self.cells.get(name, "")

    def number(self, name: str) -> float | None:
        """The finite number in a cell; None where there is none."""
        try:
            value = float(self.text(name))
        except ValueError:
            return None
        return value if math.isfinite(value) else None

    def time(self, name: str) -> float | None:
        """A time in the unit of its column; None from a blank cell.

        Raises:
            ClinicalDataError: it is not a number, or not possible.
        """
        value = self.number(name)
        if self.text(name) and (value is None or not 0 <= value < 1e5):
            raise self.wrong(what=f"{name} is not a time", name=name)
        return value

    def months(self, name: str) -> float | None:
        """A time in months from the one column `name_days`, `name_weeks` or `name_months` that is filled.

        Raises:
            ClinicalDataError: two are filled, or it is not a number or negative.
        """
        times = {unit: value for unit in DAYS if (value := self.time(f"{name}_{unit}")) is not None}
        if len(times) > 1:
            raise self.wrong(what=f"{name} is given in two units", remedy="Keep one of the columns")
        return next((value * DAYS[unit] / DAYS["months"] for unit, value in times.items()), None)

    def flag(self, name: str) -> bool | None:
        """True or False from 1/0, yes/no, true/false; None from a blank cell.

        Raises:
            ClinicalDataError: anything else.
        """
        cell = self.text(name).lower()
        if cell and cell not in _FLAGS:
            raise self.wrong(what=f"{name} must be 0 or 1", name=name)
        return _FLAGS.get(cell)

    def wrong(self, what: str, name: str = "", remedy: str = "") -> ClinicalDataError:
        """An error about this row, with the cell of a column."""
        cell = f": {self.text(name)[:20]!r}" if name else ""
        return ClinicalDataError(what=what, given=f"line {self.line}{cell}", remedy=remedy)


def read_rows(path: Path, needed: Sequence[str], what: str, remedy: str) -> list[Row]:
    """Rows of a CSV file with a header, in UTF-8 (with or without mark), comma or semicolon.

    Args:
        path: the file.
        needed: columns that must be there.
        what, remedy: of the error if one is not.

    Raises:
        UnreadableFileError: missing, not a text, or without a row.
        ClinicalDataError: a column is missing.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableFileError(
            what="The clinical table cannot be read",
            given=f"{path} ({type(error).__name__})",
            remedy="Give a CSV file in UTF-8; a spreadsheet program can save one",
        ) from error
    head = text.splitlines()[0] if text.strip() else ""
    separator = ";" if head.count(";") > head.count(",") else ","
    rows = [
        Row({(name or "").strip(): (cell or "").strip() for name, cell in row.items() if name is not None}, line)
        for line, row in enumerate(csv.DictReader(text.splitlines(), delimiter=separator), start=2)
    ]
    if not rows:
        raise UnreadableFileError(what="The clinical table has no rows", given=str(path), remedy="Give a CSV file")
    if missing := [name for name in needed if name not in rows[0].cells]:
        raise ClinicalDataError(what, given=f"{path.name} without {', '.join(missing[:5])}", remedy=remedy)
    return rows


def read_table(path: Path) -> dict[str, ClinicalRecord]:
    """Read the table of a layout `folder` (docs/COHORTS.md).

    Columns: `patient` (name of the folder), `protocol`, one of `os_days`, `os_weeks`, `os_months`, `event` (1 death was
    seen), `ttp_...`, `progressed`, `treatment_date` (YYYY-MM-DD), and the fields of `core.patient.Clinical`.

    Raises:
        UnreadableFileError: not a CSV file.
        ClinicalDataError: no column `patient`, a patient twice, a time without unit, or an impossible cell.
    """
    rows = read_rows(path, ["patient"], "The clinical table has no column `patient`", "Add it")
    for name in {column.lower() for column in rows[0].cells} & {"os", "ttp"}:
        raise ClinicalDataError(
            what=f"The column {name} does not name its unit",
            given=str(path),
            remedy=f"Call it {name}_days, {name}_weeks or {name}_months",
        )
    found: dict[str, ClinicalRecord] = {}
    for row in rows:
        patient = row.text("patient")
        if patient in found:
            raise row.wrong(what="A patient is in the clinical table twice")
        if patient:
            found[patient] = _record(row)
    return found


def _record(row: Row) -> ClinicalRecord:
    protocol, notes = parse_regimen(row.text("protocol"))
    values: dict[str, Any] = {}
    for name in (f.name for f in fields(Clinical)):
        cell, number = row.text(name), row.number(name)
        if name in _BOOLEAN:
            values[name] = _FLAGS.get(cell.lower(), cell or None)
        else:
            values[name] = cell or None if number is None else number
    date = row.text("treatment_date")
    if date and not re.fullmatch(r"\d{4}-?\d{2}-?\d{2}", date):
        raise row.wrong(what="A date must be written YYYY-MM-DD")
    return ClinicalRecord(
        protocol,
        row.months("os"),
        row.flag("event"),
        row.months("ttp"),
        row.flag("progressed"),
        Clinical(**values),
        treated=date.replace("-", "") or None,
        notes=notes,
    )


def parse_regimen(text: str) -> tuple[Protocol | None, tuple[str, ...]]:
    """Agents named in a cell, and what was mapped: a misspelt word must be close to exactly one name of the vocabulary.

    Doses are kept where they are written as in `Protocol.parse`. Agents may be separated by , ; + / & or the word
    "and", or, as in "doxorubicin LC beads", by nothing.

    Returns:
        None where the cell is blank or a part is not understood; a note says which.
    """
    if not text.strip():
        return None, ()
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
