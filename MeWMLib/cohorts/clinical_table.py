"""What is known of patients besides their images, as rows of a table: regimen, survival, clinical data.

A blank cell is "not known", never zero. A time has its unit in the name of its column; a column without one is refused,
so that weeks and months cannot be mixed. `hcc_tace.py` reads the table of the public collection into the same records.
"""

from __future__ import annotations

import contextlib
import csv
import difflib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from MeWMLib.core.errors import ClinicalDataError, ProtocolError, UnknownAgentError, UnreadableFileError
from MeWMLib.core.patient import Clinical
from MeWMLib.core.protocol import Action, Protocol, agent, vocabulary

#: Days of each unit of time. A week is 7 days and a month 365.25 / 12 days.
DAYS = {"days": 1.0, "weeks": 7.0, "months": 365.25 / 12}
#: Misspelt names are mapped at this similarity of letters and above, and reported.
SIMILAR = 0.86
_TIMES = ("os", "ttp")
_BOOLEAN = ("main_portal_vein_thrombosis", "extrahepatic_spread")
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


def read_rows(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV file with a header, in UTF-8 (with or without mark), comma or semicolon.

    Raises:
        UnreadableFileError: missing, not a text, or without a row.
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
        {(name or "").strip(): (cell or "").strip() for name, cell in row.items() if name is not None}
        for row in csv.DictReader(text.splitlines(), delimiter=separator)
    ]
    if not rows:
        raise UnreadableFileError(what="The clinical table has no rows", given=str(path), remedy="Give a CSV file")
    return rows


def read_table(path: Path) -> dict[str, ClinicalRecord]:
    """Read the table of a layout `folder` (docs/COHORTS.md).

    Columns: `patient` (name of the folder), `protocol`, one of `os_days`, `os_weeks`, `os_months`, `event` (1 death was
    seen), `ttp_...`, `progressed`, `treatment_date` (YYYY-MM-DD), and the fields of `core.patient.Clinical`.

    Raises:
        UnreadableFileError: not a CSV file.
        ClinicalDataError: no column `patient`, a patient twice, a time without unit, or an impossible cell.
    """
    rows = read_rows(path)
    names = set(rows[0])
    if "patient" not in names:
        raise ClinicalDataError(
            what="The clinical table has no column `patient`", given=", ".join(sorted(names))[:120], remedy="Add it"
        )
    for name in _TIMES:
        if name in {n.lower() for n in names}:
            raise ClinicalDataError(
                what=f"The column {name} does not name its unit",
                given=str(path),
                remedy=f"Call it {name}_days, {name}_weeks or {name}_months",
            )
    found: dict[str, ClinicalRecord] = {}
    for number, row in enumerate(rows, start=2):
        patient = row["patient"]
        if patient in found:
            raise ClinicalDataError(what="A patient is in the clinical table twice", given=f"line {number}")
        if patient:
            found[patient] = _record(row, number)
    return found


def _record(row: Mapping[str, str], line: int) -> ClinicalRecord:
    protocol, notes = parse_regimen(row.get("protocol", ""))
    values: dict[str, Any] = {}
    for name in (f.name for f in fields(Clinical)):
        cell = row.get(name, "")
        number = number_of(cell)
        if name in _BOOLEAN:
            values[name] = _FLAGS.get(cell.lower(), cell or None)
        else:
            values[name] = cell or None if number is None else number
    return ClinicalRecord(
        protocol,
        months_of(row, "os", line),
        flag(row.get("event", ""), "event", line),
        months_of(row, "ttp", line),
        flag(row.get("progressed", ""), "progressed", line),
        Clinical(**values),
        treated=_date(row.get("treatment_date", ""), line),
        notes=notes,
    )


def number_of(cell: str) -> float | None:
    """The finite number in a cell; None where there is none."""
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def months_of(row: Mapping[str, str], name: str, line: int) -> float | None:
    """A time in months from the one column `name_days`, `name_weeks` or `name_months` that is filled.

    Raises:
        ClinicalDataError: two are filled, or it is not a number or negative.
    """
    filled = [(unit, row[f"{name}_{unit}"]) for unit in DAYS if row.get(f"{name}_{unit}")]
    if len(filled) > 1:
        raise ClinicalDataError(
            what=f"{name} is given in two units", given=f"line {line}", remedy="Keep one of the columns"
        )
    if not filled:
        return None
    unit, cell = filled[0]
    return time_of(cell, f"{name}_{unit}", line) * DAYS[unit] / DAYS["months"]


def time_of(cell: str, name: str, line: int) -> float:
    """A time in the unit of its column.

    Raises:
        ClinicalDataError: it is not a number, or not possible.
    """
    value = number_of(cell)
    if value is None or not 0 <= value < 1e5:
        raise ClinicalDataError(what=f"{name} is not a time", given=f"line {line}: {cell[:20]!r}")
    return value


def flag(cell: str, name: str, line: int) -> bool | None:
    """True or False from 1/0, yes/no, true/false; None from a blank cell.

    Raises:
        ClinicalDataError: anything else.
    """
    if not cell:
        return None
    if cell.lower() not in _FLAGS:
        raise ClinicalDataError(what=f"{name} must be 0 or 1", given=f"line {line}: {cell[:20]!r}")
    return _FLAGS[cell.lower()]


def _date(cell: str, line: int) -> str | None:
    if not cell:
        return None
    if not re.fullmatch(r"\d{4}-?\d{2}-?\d{2}", cell):
        raise ClinicalDataError(what="A date must be written YYYY-MM-DD", given=f"line {line}")
    return cell.replace("-", "")


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
    names: list[str] = []
    notes: list[str] = []
    for part in re.split(r"[,;+/&]|\band\b", text):
        words, start = part.split(), 0
        while start < len(words):
            ends = range(len(words), start, -1)
            exact = ((end, _exact(" ".join(words[start:end]))) for end in ends)
            near = ((end, _near(" ".join(words[start:end]))) for end in ends)
            end, name = next((found for found in (*exact, *near) if found[1] is not None), (start, None))
            if name is None:
                return None, (*notes, f"the regimen names something unknown: {words[start][:30]!r}")
            if _exact(piece := " ".join(words[start:end])) is None:
                notes.append(f"{piece!r} was read as {name}")
            names.append(name)
            start = end
    return Protocol(tuple(Action(name) for name in dict.fromkeys(names))), tuple(notes)


def _exact(name: str) -> str | None:
    """Canonical name of an agent by its name or synonym."""
    try:
        return agent(name).name
    except UnknownAgentError:
        return None


def _near(name: str) -> str | None:
    """Canonical name of the one agent that a misspelt name is close to; short names must be exact."""
    wanted = _letters(name)
    if len(wanted) <= 5:
        return None
    keys = {_letters(n): a.name for a in vocabulary().values() for n in (a.name, *a.synonyms)}
    near = difflib.get_close_matches(wanted, [key for key in keys if len(key) > 5], n=2, cutoff=SIMILAR)
    agents = {keys[key] for key in near}
    return agents.pop() if len(agents) == 1 else None


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
