"""Clinical tables as people and programs write them, and damage to them: a survival is right, refused or said to be
unknown, and never another one."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

from MeWMLib.cohorts.clinical_table import read_table
from Testing.properties.case import Case, Group

TABLES = Group("clinical table")
NAME = "table.csv"
_DAYS = {"days": 1.0, "weeks": 7.0, "months": 365.25 / 12}
#: Names of the columns as they are met; each means one thing only.
_PATIENT, _EVENT = (
    ("patient", "PATIENT_ID", "Patient ID", "submitter_id"),
    ("event", "OS_STATUS", "death", "vital_status"),
)
_TIME = {"days": ("os_days", "OS Days"), "weeks": ("os_weeks", "OS-weeks"),
         "months": ("os_months", "OS_MONTHS", "Overall Survival (Months)", "survival_months")}  # fmt: skip
Known = Mapping[str, tuple[float | None, bool | None]]


class Drawn:
    """A table and its truth.

    Attributes:
        rows: cells, the header first.
        known: patient to months and event.
    """

    def __init__(self, rng: Random) -> None:
        self.unit = rng.choice(list(_TIME))
        self.rows = [[rng.choice(_PATIENT), rng.choice(_TIME[self.unit]), rng.choice(_EVENT), "protocol"]]
        self.known: dict[str, tuple[float | None, bool | None]] = {}
        for n in range(rng.randrange(2, 6)):
            value = round(rng.uniform(1, 90), 1)
            event = rng.random() < 0.5
            words = ("1:DECEASED", "Dead") if event else ("0:LIVING", "alive")
            bare = ("1", "yes") if event else ("0", "no")  # what 1 means, a column of vital status does not say
            cell = rng.choice(words if self.rows[0][2] == "vital_status" else words + bare)
            self.rows.append([f"p{n}", f"{value:g}", cell, "Cisplatin + Lipiodol"])
            self.known[f"p{n}"] = value * _DAYS[self.unit] / _DAYS["months"], event

    def data(self, separator: str = ",", encoding: str = "utf-8", begin: str = "") -> bytes:
        """The file."""
        text = io.StringIO(newline="")
        csv.writer(text, delimiter=separator).writerows(self.rows)
        return (begin + text.getvalue()).encode(encoding)


def _case(data: bytes, known: Known, valid: bool = False) -> Case:
    def right(found: Any) -> bool:
        for patient, (months, event) in known.items():
            if patient not in found:
                return False
            one = found[patient]
            said = bool(one.notes)
            if not (one.months is None and said) and (
                one.months is None or months is None or abs(one.months - months) > 1e-6
            ):
                return False
            if not (one.event is None and said) and one.event is not event:
                return False
        return set(found) == set(known)

    return Case({NAME: data}, lambda folder: read_table(Path(folder) / NAME), right, valid)


@TABLES.kind("valid")
def _valid(rng: Random) -> Case:
    drawn, separator = Drawn(rng), rng.choice(",;\t")
    if separator != "," and rng.random() < 0.5:
        drawn.rows = [drawn.rows[0], *([row[0], row[1].replace(".", ","), *row[2:]] for row in drawn.rows[1:])]
    begin = rng.choice(("", "", "\ufeff", "# made by hand\n", "#Patient\tSurvival\n#STRING\tNUMBER\n"))
    return _case(drawn.data(separator, begin=begin), drawn.known, valid=True)


@TABLES.kind("cells that are not known")
def _unknown(rng: Random) -> Case:
    drawn = Drawn(rng)
    row, column = rng.choice(drawn.rows[1:]), rng.choice((1, 2))
    row[column] = rng.choice(("", "n/a", "NA", "unknown", "-", "[Not Available]"))
    months, event = drawn.known[row[0]]
    drawn.known[row[0]] = (None, event) if column == 1 else (months, None)
    return _case(drawn.data(), drawn.known, valid=True)


@TABLES.kind("cells that are no value")
def _no_value(rng: Random) -> Case:
    drawn = Drawn(rng)
    row = rng.choice(drawn.rows[1:])
    if rng.random() < 0.6:
        row[1] = rng.choice((f"{row[1]} months", f">{row[1]}", f"<{row[1]}", "inf", "1e999", "soon", f"-{row[1]}",
                             "1,234.5",
                             f"{row[1]} 3", "1_0", "99999999"))  # fmt: skip
    else:
        row[2] = rng.choice(("2", "maybe", "1:LIVING", "0:DECEASED", "-1", "10", "?"))
    return _case(drawn.data(rng.choice(",;\t")), drawn.known)


@TABLES.kind("row of another width")
def _width(rng: Random) -> Case:
    drawn = Drawn(rng)
    row = rng.choice(drawn.rows[1:])
    if rng.random() < 0.5:
        row.pop(rng.randrange(1, len(row)))
    else:
        row.insert(rng.randrange(1, len(row)), rng.choice(("1", "0", "", "x")))
    return _case(drawn.data(rng.choice(",;\t")), drawn.known)


@TABLES.kind("column twice")
def _twice(rng: Random) -> Case:
    drawn, place = Drawn(rng), rng.choice((0, 1, 2))
    name = drawn.rows[0][place]
    again = rng.choice(
        (name, name.upper(), name.replace("_", " "), rng.choice((*_PATIENT, *_EVENT, *_TIME["months"], "os_days")))
    )
    drawn.rows[0].append(again)
    for row in drawn.rows[1:]:
        row.append(rng.choice(("1", "0", "7")))
    # "patient" and a hospital's id may stand side by side: the column of that name counts
    if again == "patient" != drawn.rows[0][0]:
        drawn.known = {row[-1]: drawn.known[row[0]] for row in drawn.rows[1:]}
    return _case(drawn.data(), drawn.known)


@TABLES.kind("time without its unit")
def _unitless(rng: Random) -> Case:
    drawn = Drawn(rng)
    drawn.rows[0][1] = rng.choice(("os", "OS", "OS.time", "survival", "Overall Survival", "survival time"))
    return _case(drawn.data(), drawn.known)


@TABLES.kind("column that nobody reads")
def _unread(rng: Random) -> Case:
    drawn, place = Drawn(rng), rng.choice((1, 2))
    drawn.rows[0][place] = rng.choice(("time", "months", "evnt", "status", "PFS_MONTHS", "x", "days_to_death", ""))
    return _case(drawn.data(), drawn.known)


@TABLES.kind("bytes that are no UTF-8")
def _encoding(rng: Random) -> Case:
    drawn = Drawn(rng)
    drawn.rows[1][3] += " \u00e4"
    return _case(drawn.data(encoding=rng.choice(("utf-16", "utf-16-le", "utf-32", "cp1252"))), drawn.known)


@TABLES.kind("cut inside of quotes")
def _cut(rng: Random) -> Case:
    drawn = Drawn(rng)
    drawn.rows[-1][3] = 'Cisplatin, "Lipiodol"\n'
    data = drawn.data()
    return _case(data[: data.index(b'"') + rng.randrange(1, 10)], drawn.known)


@TABLES.kind("null bytes and rubbish")
def _rubbish(rng: Random) -> Case:
    drawn = Drawn(rng)
    data = drawn.data()
    at = rng.randrange(len(data))
    return _case(data[:at] + rng.choice((b"\0", b"\xff\xfe", b"\x80", b"\0\0\0\0")) + data[at:], drawn.known)


@TABLES.kind("thousands or decimals")
def _thousands(rng: Random) -> Case:
    drawn = Drawn(rng)
    row = rng.choice(drawn.rows[1:])
    value = rng.randrange(1001, 9999) / (100 if drawn.unit == "months" else 1)
    row[1] = f"{value:,.0f}" if value > 1000 else f"{value:.3f}".replace(".", ",")
    drawn.known[row[0]] = value * _DAYS[drawn.unit] / _DAYS["months"], drawn.known[row[0]][1]
    for other in drawn.rows[1:]:  # nothing else tells which it is
        if other is not row:
            other[1] = "5"
            drawn.known[other[0]] = 5 * _DAYS[drawn.unit] / _DAYS["months"], drawn.known[other[0]][1]
    return _case(drawn.data(rng.choice(";\t")), drawn.known)
