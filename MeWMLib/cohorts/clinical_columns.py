"""Columns of clinical tables as people name them: which are read as what, which cannot be, and what to call them.

A name counts without case and punctuation. A name that can mean one thing only (`OS_MONTHS` and `OS_STATUS` of
cBioPortal, `vital_status`) is read; a time without its unit is refused; every other column is named in a note, with the
right name where one is near. Nothing is passed over in silence.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields

from MeWMLib.core.errors import ClinicalDataError
from MeWMLib.core.patient import Clinical
from MeWMLib.core.tables import Table, fold

UNITS = ("days", "weeks", "months", "years")
TIMES = ("os", "ttp")
CLINICAL = tuple(field.name for field in fields(Clinical))
#: The columns, by their own names.
NAMES = (
    "patient",
    "protocol",
    *(f"{time}_{unit}" for time in TIMES for unit in UNITS),
    "event",
    "progressed",
    "treatment_date",
    *CLINICAL,
)
#: Other names of a column that can mean nothing else.
_ALSO: Mapping[str, tuple[str, ...]] = {
    "patient": ("patient_id", "subject", "subject_id", "submitter_id", "case_submitter_id", "case_id"),
    "protocol": ("regimen", "tace_regimen", "tace_protocol"),
    "event": (
        *("death", "died", "dead", "deceased", "death_observed", "death_event", "is_dead", "os_event", "event_os"),
        *("vital_status", "patient_s_vital_status", "patient_vital_status", "survival_status", "os_status"),
        *("overall_survival_status", "event_observed", "death_status", "status_of_death"),
    ),
    "progressed": ("progression", "ttp_event", "ttp_status", "time_to_progression_status"),
    "treatment_date": ("date_of_treatment", "tace_date", "date_of_tace"),
    "age_years": ("age", "age_in_years", "diagnosis_age"),
    "sex": ("gender",),
    "child_pugh_class": ("child_pugh", "child_pugh_grade", "child_pugh_stage"),
    "bclc_stage": ("bclc", "bclc_class"),
}
#: Names that do not say what 1 means: with "vital_status" it is alive in some registries and dead in others.
_OF_EITHER = frozenset("vitalstatus patientsvitalstatus patientvitalstatus survivalstatus".split())
#: What is read in one unit only.
_MEASURED = {name.split("_")[0]: name for name in CLINICAL if "_per_" in name}
_TIME_WORDS: Mapping[str, tuple[str, ...]] = {
    "os": ("os", "os_time", "overall_survival", "overall_survival_time", "survival", "survival_time", "time_to_death"),
    "ttp": ("ttp", "ttp_time", "time_to_progression"),
}
_UNIT_WORDS: Mapping[str, tuple[str, ...]] = {
    "days": ("days", "day", "d"),
    "weeks": ("weeks", "week", "wk", "wks", "w"),
    "months": ("months", "month", "mo", "mos", "mth", "mths", "m"),
    "years": ("years", "year", "yr", "yrs", "y"),
}
#: What a column would have to be called to be read, where only its author knows whether it is that.
_IF_IT_IS: Mapping[str, str] = {
    **dict.fromkeys(("afp", "alpha_fetoprotein"), "afp_ng_per_ml (in ng/ml)"),
    "bilirubin": "bilirubin_mg_per_dl (in mg/dl)",
    "creatinine": "creatinine_mg_per_dl (in mg/dl)",
    "albumin": "albumin_g_per_dl (in g/dl)",
    **dict.fromkeys(("pvt", "pvtt"), "portal_vein_thrombosis (none, segmental, lobar or main)"),
    **dict.fromkeys(("metastasis", "metastases"), "extrahepatic_spread"),
    **dict.fromkeys(("treatment", "drug", "drugs", "agents", "chemotherapy"), "protocol (what the TACE gave)"),
    **dict.fromkeys(("censored", "censor", "alive", "status"), "event (1 where death was seen, else 0)"),
    **dict.fromkeys(
        ("time", "follow_up", "followup", "follow_up_time", "fu_time", "futime", "time_to_event"),
        "os_days, os_weeks or os_months (from treatment on)",
    ),
}
#: Beginnings of names of other endpoints.
_OTHER_ENDPOINTS = ("pfs", "pfi", "dfs", "dfi", "dss", "rfs", "progression_free", "disease_free", "disease_specific")


def _squeezed(name: str) -> str:
    return fold(name).replace("_", "")


_UNITS_OF = {word: unit for unit, words in _UNIT_WORDS.items() for word in words}
_EXACT = {name: name for name in NAMES} | {also: name for name, many in _ALSO.items() for also in many}
_SQUEEZED = {_squeezed(also): name for also, name in _EXACT.items()} | {
    _squeezed(word) + unit_word: f"{time}_{unit}"
    for time, words in _TIME_WORDS.items()
    for word in words
    for unit, unit_words in _UNIT_WORDS.items()
    for unit_word in unit_words
    if len(unit_word) > 1 or word not in TIMES  # "osd" is no word for days
}
_WITHOUT_UNIT = {_squeezed(word): time for time, words in _TIME_WORDS.items() for word in words}


def meaning(name: str) -> str:
    """The column of `NAMES` that a name means; "" if none, or not one alone."""
    folded = fold(name).replace("_in_", "_")
    if folded in _EXACT:
        return _EXACT[folded]
    head, _, unit = folded.rpartition("_")  # "os_m" of a table that shortens its units
    if unit in _UNITS_OF and _squeezed(head) in _WITHOUT_UNIT:
        return f"{_WITHOUT_UNIT[_squeezed(head)]}_{_UNITS_OF[unit]}"
    first, _, rest = folded.partition("_")  # "days_os" and "months_survival"
    if first in _UNIT_WORDS and _squeezed(rest) in _WITHOUT_UNIT:
        return f"{_WITHOUT_UNIT[_squeezed(rest)]}_{first}"
    return _SQUEEZED.get(folded.replace("_", ""), "")


@dataclass(frozen=True)
class Columns:
    """Where a table has what.

    Attributes:
        places: own name of a column to its place in the table.
        notes: one sentence for the columns that were read under another name, and one for those that were not read.
        names: own name of a column to its name in the table.
    """

    places: Mapping[str, int]
    notes: tuple[str, ...]
    names: Mapping[str, str]

    def says_nothing_of_1(self, name: str) -> bool:
        """True if numbers and yes or no in this column say nothing: its name does not tell for what 1 stands."""
        return _squeezed(self.names.get(name, "")) in _OF_EITHER


def understand(table: Table) -> Columns:
    """Find the columns of a clinical table.

    Raises:
        ClinicalDataError: no column of patients, a time without its unit, or two columns that mean the same.
    """
    places: dict[str, int] = {}
    for place, name in enumerate(table.columns):
        if time := _WITHOUT_UNIT.get(_squeezed(name)):
            raise ClinicalDataError(
                what=f"The column {name} does not name its unit",
                given=str(table.path),
                remedy=f"Call it {time}_days, {time}_weeks or {time}_months"
                + (", or event if it says whether death was seen" if time == "os" else ""),
            )
        if found := meaning(name):
            other = places.get(found)
            if other is not None and found == "patient" and "patient" in (name, table.columns[other]):
                places[found] = place if name == "patient" else other  # its own name is taken before a hospital's id
            elif other is not None:
                raise ClinicalDataError(
                    what=f"Two columns of the clinical table mean {found}",
                    given=f"{table.columns[other]!r} and {name!r} in {table.path.name}",
                    remedy="Keep one of them"
                    + (", or give the name patient to the one that names the folders" if found == "patient" else ""),
                )
            else:
                places[found] = place
    if "patient" not in places:
        raise ClinicalDataError(
            what="The clinical table has no column `patient`",
            given=f"{table.path.name} with " + ", ".join(repr(name) for name in table.columns[:8]),
            remedy="Add it, or give one of its columns that name: it names the folder of each patient",
        )
    return Columns(places, _notes(table, places), {name: table.columns[place] for name, place in places.items()})


def _notes(table: Table, places: Mapping[str, int]) -> tuple[str, ...]:
    notes = []
    if renamed := [f"{table.columns[p]!r} as {n}" for n, p in places.items() if fold(table.columns[p]) != n]:
        notes.append("columns were read under other names: " + ", ".join(renamed))
    if unread := table.unread(list(places.values())):
        notes.append("columns that are not read: " + ", ".join(_hinted(name, places) for name in unread))
    if not any(f"os_{unit}" in places for unit in UNITS):
        notes.append("there is no column of survival times, such as os_months: no survival is known from this table")
    elif "event" not in places:
        notes.append("there is no column `event`: it is not known of any patient whether death was seen")
    return tuple(notes)


def _hinted(name: str, places: Mapping[str, int]) -> str:
    """A column's name with what it would have to be called, if that can be told."""
    folded, shown = fold(name), repr(name[:60])
    if folded.startswith(_OTHER_ENDPOINTS):
        return f"{shown} (another endpoint than overall survival and time to progression)"
    if folded.startswith("days_to_last_follow") or folded == "days_to_death":
        return f"{shown} (one column os_days is read, of both together, counted from treatment on)"
    first = folded.split("_")[0]
    if "_" in folded and first in _MEASURED:
        unit = _MEASURED[first].removeprefix(f"{first}_").replace("_per_", "/")
        return f"{shown} (convert it to {unit} and call it {_MEASURED[first]})"
    if right := _IF_IT_IS.get(folded) or _IF_IT_IS.get(re.sub(f"_(?:{'|'.join(UNITS)})$", "", folded)):
        return f"{shown} (call it {right} if it is that)"
    if re.search("surv|death|dead|decease", folded):
        return f"{shown} (if it is survival from treatment on, call its time os_months, its flag event)"
    near = difflib.get_close_matches(folded[:60], [n for n in NAMES if n not in places], 1, 0.8)
    return f"{shown} (did you mean {near[0]}?)" if near else shown
