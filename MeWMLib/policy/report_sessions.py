"""Several sessions in one report: which clauses tell of the one that the protocol is of.

The session that is called today's is read, else the last one in which something was given, by number or date. The
others are left out and named. Where that cannot be told, everything is read and is uncertain.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from MeWMLib.core.texts import shortened
from MeWMLib.policy.report_given import Clause
from MeWMLib.policy.report_numbers import find_doses
from MeWMLib.policy.report_words import ANOTHER_DAY, any_of, find_names

_ORDINALS = {
    word: n
    for n, words in enumerate(
        (("first", "1st", "i", "one"), ("second", "2nd", "ii", "two"), ("third", "3rd", "iii", "three"),
         ("fourth", "4th", "iv", "four"), ("fifth", "5th", "v", "five"), ("sixth", "6th", "vi", "six")),
        start=1,
    )
    for word in words
}  # fmt: skip
_ORDINALS |= {"initial": 1, "a": 1, "b": 2, "c": 3, "d": 4}
_ORDINALS |= dict.fromkeys(("repeat", "subsequent", "latest", "final"), 90)
_NOUN = (
    r"(?:DEB-?|c|DEM-?)?(?:TACE|TAE|HAIC)|sessions?|procedures?|treatments?|courses?|cycles?|sittings?|visits?|"
    r"chemoemboli[sz]ations?"
)
_WORD = r"initial|repeat|subsequent|latest|final|first|second|third|fourth|fifth|sixth|1st|2nd|3rd|[4-9]th"
_NOT_AN_AMOUNT = r"(?![\w/]|[.,]\d|\s*-?\s*(?:mg|ml|cc|g|x|vials?|\u00b5m|um)\b)"
_SESSION = (
    rf"(?:(?P<word>{_WORD})\s+(?:[A-Z]+-?)?(?:[a-z]+ )?(?:{_NOUN})\b(?:\s+sessions?\b)?|"
    rf"(?:(?:TACE|treatment) )?(?:{_NOUN})\s*(?:no\.?|nr\.?|number|\#)?\s*(?P<number>\d{{1,2}}|I{{1,3}}|IV|V|VI|"
    rf"one|two|three|four|five|six|(?-i:[A-D])){_NOT_AN_AMOUNT})"
)
_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
_MONTH = (
    r"(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?|Oct(?:ober)?|"
    r"Nov(?:ember)?|Dec(?:ember)?)"
)
_DATE = (
    rf"(?:(?P<iso>\d{{4}}-\d{{1,2}}-\d{{1,2}})|(?P<dots>\d{{1,2}}\.\d{{1,2}}\.(?:\d{{4}}|\d\d))|"
    rf"(?P<slashes>\d{{1,2}}/\d{{1,2}}/\d{{2,4}})|(?P<day>\d{{1,2}})(?:st|nd|rd|th)?\.? (?P<month>{_MONTH})\b\.?"
    rf"(?:,? (?P<year>\d{{4}}))?|(?P<month_first>{_MONTH})\.? (?P<day_behind>\d{{1,2}})(?:st|nd|rd|th)?\b"
    rf"(?:,? (?P<year_behind>\d{{4}}))?)"
)
_NOW = r"today|this (?:session|procedure|time)|(?:current|present) (?:session|procedure|treatment)|today's \w+"
_LATER = r"(?:about |approximately )?[\w-]+ (?:days?|weeks?|months?|years?) (?:later|earlier|before|afterwards|ago)"
_EVERY = re.compile(_SESSION, re.I)
#: What begins a session: its number, a date or "today" at the beginning of a clause.
_HEADING = re.compile(
    rf"\s*(?:-\s*)?(?:{_LATER},?\s+)?(?:(?:in|at|during|for|on)\s+)?(?:(?:the|an?|her|his)\s+)?"
    rf"(?:{_SESSION}|{_DATE}|(?P<now>{_NOW}))"
    rf"(?P<more>(?:\s*\([^()]{{0,60}}\)|,?\s*{_LATER}|,?\s+(?:(?:on|in|of|dated)\s+)?(?:the )?(?=\d|{_MONTH}\b)"
    rf"(?:{_MONTH}\b)?[\d./ -]*(?:{_MONTH}\b)?[ \d]{{0,6}}(?!\d*\s*(?:mg|ml|cc|g)\b)|"
    rf",?\s+(?:{_NOW})\b|\s+(?:TACE|session)\b)*)"
    r"(?!\s*(?:position|step|target|vessel|lesion|area|site|arter|segment|field|zone|arm|part|dose|line|feeder|branch))"
    r"\s*[:,.\u2013-]?\s*",
    re.I,
)  # fmt: skip
#: "Two sessions were performed. In the first, ..."
_SEVERAL = re.compile(
    r"\b(?:two|three|four|five|several|multiple|both|[2-6]) (?:[a-z]+ )?(?:sessions|TACEs|TACE procedures|procedures|"
    r"treatments|cycles|courses|sittings)\b", re.I
)  # fmt: skip
_BARE_HEADING = re.compile(
    rf"\s*(?:(?:in|at|during)\s+the|the)\s+(?P<word>{_WORD})(?:\s+one)?(?P<number>(?!))?(?P<now>(?!))?\s*[,:]\s*", re.I
)
_TODAY = any_of(_NOW)
#: Of a session that is still to come.
_TO_COME = any_of(r"planned|scheduled|will be|next|intended|to be (?:given|done|performed)|postponed|cancelled|future")

_DONE = any_of(r"given|injected|infused|administered|delivered|was performed|were performed")
#: Characters at the beginning of a session that say that it is still to come.
_BEGINNING = 40


@dataclass
class _Section:
    """The clauses of one session; `key` tells it from the others."""

    key: tuple[str, int]
    title: str
    today: bool = False
    date: int | None = None
    clauses: list[Clause] = field(default_factory=list)

    @property
    def gives(self) -> bool:
        return any(find_names(clause.text) for clause in self.clauses)

    @property
    def is_to_come(self) -> bool:
        if self.today:
            return False
        first = self.clauses[0].text if self.clauses else ""
        if any(_DONE.search(clause.text) for clause in self.clauses):
            first = ""
        amounts = find_doses(first)  # "doxorubicin 30 mg (planned 75 mg)" was given
        begin = first[: min(_BEGINNING, amounts[0].start)] if amounts else first[:_BEGINNING]
        return _TO_COME.search(f"{self.title} {begin}") is not None


@dataclass(frozen=True)
class Sessions:
    """What `last_session` finds.

    Attributes:
        clauses: those to be read.
        notes: what was left out, and why.
        doubt: why everything is uncertain; "" if it is not.
    """

    clauses: list[Clause]
    notes: tuple[str, ...] = ()
    doubt: str = ""


def last_session(clauses: Sequence[Clause]) -> Sessions:
    """Choose the clauses of the session that the protocol is of; all of them where there is one session."""
    preamble, sections = _sections(clauses)
    given = [s for s in sections if s.gives and not s.is_to_come]
    if len(given) < 2:
        return _told_in_one(clauses)
    chosen = _last(given)
    if chosen is None:
        whole = _without_sessions(clauses)
        return Sessions(whole, (), f"{len(given)} sessions, and it is not clear which was the last")
    doubt = ""
    if any(find_names(c.text) and find_doses(c.text) for c in preamble):
        doubt = f"amounts before {shortened(given[0].title, 60)!r}, which may be of any session"
    elif any(s.today and not s.gives for s in sections):
        doubt = "today's session names no agent"
    notes = [f"{len(given)} sessions are told: {shortened(chosen.title, 80)!r} is read"]
    for section in sections:
        if section is not chosen:
            why = "planned" if section.is_to_come else "another session"
            left = [c.text for c in section.clauses if find_names(c.text)]
            notes += [f"left out, {why} ({shortened(section.title, 60)}): {shortened(text, 300)!r}" for text in left]
    return Sessions([*preamble, *_without_sessions(chosen.clauses)], tuple(notes), doubt)


def _sections(clauses: Sequence[Clause]) -> tuple[list[Clause], list[_Section]]:
    preamble: list[Clause] = []
    sections: dict[tuple[str, int], _Section] = {}
    current: _Section | None = None
    several = any(_SEVERAL.search(clause.text) for clause in clauses)
    for clause in clauses:
        heading = _HEADING.match(clause.text) or (_BARE_HEADING.match(clause.text) if several else None)
        if heading:
            key, date = _key(heading)
            title = heading[0].strip(" :,.-\u2013")
            current = sections.setdefault(key, _Section(key, title, date=date))
            current.today = current.today or _TODAY.search(title) is not None
            clause = replace(clause, text=clause.text[heading.end() :])
        (preamble if current is None else current.clauses).append(clause)
    return preamble, list(sections.values())


def _key(heading: re.Match[str]) -> tuple[tuple[str, int], int | None]:
    """What tells the session of a heading from others, and its date as a number that grows."""
    date = _date(heading) if heading.re is _HEADING else None
    if written := heading["word"] or heading["number"]:
        word = written.lower()
        return ("session", _ORDINALS.get(word) or int(re.sub(r"\D", "", word) or 0)), date
    if heading["now"]:
        return ("today", 0), None
    return ("date " + heading[0].strip(" :,.-"), 0), date


def _date(heading: re.Match[str]) -> int | None:
    """Years, months and days as one number; None for a date that may be read in two ways."""
    if heading["iso"]:
        year, month, day = map(int, heading["iso"].split("-"))
    elif heading["dots"]:
        day, month, year = map(int, heading["dots"].split("."))
        year += 2000 if year < 100 else 0
    elif name := heading["month"] or heading["month_first"]:
        day = int(heading["day"] or heading["day_behind"])
        month = _MONTHS.index(name[:3].lower()) + 1
        year = int(heading["year"] or heading["year_behind"] or 0)
    else:
        return None
    return (year * 100 + month) * 100 + day


def _last(given: Sequence[_Section]) -> _Section | None:
    """The session of today, else that with the highest number or the last date; None if that is not clear."""
    today = [s for s in given if s.today]
    if today:
        return today[0] if len(today) == 1 else None
    if all(s.key[0] == "session" for s in given):
        return max(given, key=lambda s: s.key[1])
    dates = [s.date for s in given]
    if all(date is not None for date in dates) and len({(date or 0) < 10_000 for date in dates}) == 1:
        by_date = max(given, key=lambda s: s.date or 0)
        # without a year "12 December" may be before "3 January"
        return by_date if by_date is given[-1] or (by_date.date or 0) >= 10_000 else None
    return None


def _told_in_one(clauses: Sequence[Clause]) -> Sessions:
    """ "50 mg in the first session and 30 mg in the second session": amounts of several sessions in one clause."""
    for clause in clauses:
        numbers = {m["word"] or m["number"] for m in _EVERY.finditer(clause.text)}
        if len({n.lower() for n in numbers}) > 1 and find_names(clause.text) and find_doses(clause.text):
            return Sessions(_without_sessions(clauses), (), f"several sessions in {shortened(clause.text, 120)!r}")
    told = [c for c in clauses if find_names(c.text) and find_doses(c.text)]
    for clause in clauses if len(told) > 1 else ():
        if (
            (m := _SEVERAL.search(clause.text))
            and not _TO_COME.search(clause.text)
            and not ANOTHER_DAY.search(clause.text)
        ):
            return Sessions(list(clauses), (), f"{m[0]} are told of, and not which amounts are of the last")
    return Sessions(list(clauses))


def _without_sessions(clauses: Sequence[Clause]) -> list[Clause]:
    """The clauses without the numbers of sessions, which would be taken for another day."""
    found = []
    for clause in clauses:
        heading = _HEADING.match(clause.text)
        text = clause.text[heading.end() :] if heading else clause.text
        found.append(replace(clause, text=_EVERY.sub("session", text)))
    return found
