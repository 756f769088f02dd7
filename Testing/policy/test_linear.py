"""Free texts cost what they are long: characters that patterns are given, and lines of Python that run, are counted."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable

import pytest

from MeWMLib.cohorts.clinical_table import parse_regimen
from MeWMLib.core import protocol
from MeWMLib.core.errors import ClinicalDataError, InputError, MeWMError, ProtocolError
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.texts import MOST_GOAL, MOST_PROTOCOL, MOST_REPORT
from MeWMLib.policy import (
    goal_facts,
    goal_words,
    report_amounts,
    report_binding,
    report_counts,
    report_days,
    report_language,
    report_loads,
    report_mixtures,
    report_numbers,
    report_outcome,
    report_places,
    report_planned,
    report_references,
    report_roles,
    report_routes,
    report_sessions,
    report_steps,
    report_territory,
    report_totals,
    report_words,
    reports,
)  # fmt: skip
from MeWMLib.policy.goal import read_goal
from MeWMLib.policy.llm.privacy import masked
from MeWMLib.policy.reports import parse_report, relevant_text

REPORTS = (
    reports, report_amounts, report_binding, report_counts, report_days, report_language, report_loads,
    report_mixtures, report_numbers, report_outcome, report_places, report_planned, report_references, report_roles,
    report_routes, report_sessions, report_steps, report_territory, report_totals, report_words,
)  # fmt: skip
UNITS = (
    "Epirubicin 30 mg and Lipiodol 10 ml were infused, ", "cisplatin, ", "without PVA or cisplatin and lipiodol or ",
    "30 mg ", "30 mg of a cisplatin ", "total dose of 30 mg cisplatin ", "in x ml of y lipiodol ", " and then ",
    "cisplastin ",
    "Cisplatin was infused and then PVA was injected and then ", "no ", "(", "\n", " ",
    "2 x 25 mg cisplatin ", "each ", "5 ml each ", "two vials ", "twice ", "2 x (", "total 5 mg ", "Embosphere 2 ml, ",
    "right hepatic artery, ", "S5 and ", "A5, ", "the left and ", "via ", "3 ml Lipiodol each into A5 and A8, ",
    "half of it, the rest; ", "further 5 ml. ", "300-500 um, ", "the same dose ", "not the right lobe, ",
    "session 1: 5 mg cisplatin. ", "second session ", "12.03.2024 ", "planned 5 mg cisplatin, ", "planned: ",
    "given 5 mg, ",
    "15 mg + 3 ml ", "4/5 injected, ", "wurde mit der ", "\u5965\u6c99", "an emulsion of cisplatin and Lipiodol, then ",
    "no stain, DSA ", "loaded beads with 5 mg doxorubicin on beads ",
)  # fmt: skip
#: Words of goals of every kind, between two agents.
FILLERS = (
    "dome ", "the ", "stent ", "allergy ", "chronic ", "no ", "do not ", "at most ", "at most 5 mg ", "had ", "with ",
    "except ", "heart failure, ", "Jodallergie ", "whether, ", "cisplatin? ", "to ", "no cisplatin except ", "inr ",
    "tace ", "pv patent, ", "inr 1.1, now 2 ", "no hesitation ", "suspended in ", "(-) ", "4 mg/dl ", "not over 5 mg ",
    "only ", "only 5 mg ", "only cisplatin, ", "unless ", "no cisplatin unless ", "except now, ", "no other drug, ",
    "use cisplatin only, ", "monotherapy ", "had cisplatin, ",
)  # fmt: skip


class Counting:
    """A pattern that counts the characters that it is given."""

    seen = 0

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self.pattern = pattern.pattern
        self._pattern = pattern

    def __getattr__(self, name: str) -> Callable[..., object]:
        def run(*args: object) -> object:
            text = next(arg for arg in args if isinstance(arg, str) and (name != "sub" or arg is args[1]))
            ends = [arg for arg in args if isinstance(arg, int)]
            found = getattr(self._pattern, name)(*args)
            begin, end = [*ends, 0][0], ends[1] if len(ends) > 1 else len(text)
            # what has to begin at its place is not looked for in all that follows
            Counting.seen += 1 + (end - begin if name != "match" else found.end() - begin if found else 0)
            return found

        return run


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[str], object], str], int]:
    """What a text costs: characters that are given to patterns, and lines of our Python that are run."""
    for module in (*REPORTS, goal_words, protocol):
        for name, value in list(vars(module).items()):
            if isinstance(value, re.Pattern):
                monkeypatch.setattr(module, name, Counting(value))
    names = Counting(report_words._names())
    monkeypatch.setattr(report_words, "_names", lambda: names)
    for name in ("_names", "_lexicon", "_substances"):
        pattern, *rest = getattr(goal_words, name)()
        tables = (Counting(pattern), *rest)
        monkeypatch.setattr(goal_words, name, lambda tables=tables: tables)
    compiled = tuple((Counting(pattern), read) for pattern, read in goal_facts._COMPILED)
    monkeypatch.setattr(goal_facts, "_COMPILED", compiled)

    def count(read: Callable[[str], object], text: str) -> int:
        lines, former = 0, sys.gettrace()

        def trace(frame: object, event: str, _: object) -> object:
            nonlocal lines
            lines += event == "line"
            return trace

        Counting.seen = 0
        sys.settrace(trace)  # type: ignore[arg-type]
        try:
            read(text)
        except MeWMError:
            pass  # a list of names twice is no protocol
        finally:
            sys.settrace(former)
        return Counting.seen + lines

    return count


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("read", [parse_report, relevant_text, read_goal.__wrapped__, Protocol.parse])
def test_twice_the_text_is_twice_the_work(work, read, unit):
    most = 3000 if read is Protocol.parse else 12_000
    read_once = (unit * (most // len(unit)))[: most // 4]
    work(read, read_once)  # what is looked up once, and kept
    small, large = work(read, read_once), work(read, (unit * most)[: 4 * len(read_once)])
    assert large <= 5 * small + 2000


@pytest.mark.parametrize("filler", FILLERS)
@pytest.mark.parametrize(("head", "tail"), [("use cisplatin ", "lipiodol"), ("", ""), ("allergic to ", " cisplatin")])
def test_a_long_middle_of_a_goal_costs_what_it_is_long(work, head, tail, filler):
    read = read_goal.__wrapped__
    short, long = (head + filler * (most // len(filler)) + tail for most in (2000, 8000))
    work(read, short)
    assert work(read, long) <= 5 * work(read, short) + 2000


@pytest.mark.parametrize(
    ("read", "most", "error", "what"),
    [
        (parse_report, MOST_REPORT, InputError, "The report"),
        (relevant_text, MOST_REPORT, InputError, "The report"),
        (read_goal, MOST_GOAL, InputError, "The goal"),
        (Protocol.parse, MOST_PROTOCOL, ProtocolError, "The protocol"),
        (parse_regimen, MOST_PROTOCOL, ClinicalDataError, "The regimen of a patient"),
    ],
)
def test_a_text_that_is_too_long_is_refused_with_both_lengths(read, most, error, what):
    with pytest.raises(error, match=f"{what} is too long.*{most + 1} characters, at most {most} are read"):
        read("x" * (most + 1))


@pytest.mark.parametrize(
    "text",
    [
        "30 mg " + "a-eluting " * 36 + "cisplatin!",  # two readings of each word: 2^36 ways once
        "cisplatin" + " " * 12_000 + "x",
        "cisplatin " + "(" * 12_000,
        "5" * 12_000 + " mg",
        "a@" * 6000,
        "a" * 12_000 + "@",
        "name " * 2400,
    ],
)
def test_texts_that_patterns_would_read_in_many_ways_end(text):
    assert parse_report(text) is not None and read_goal(text) is not None and masked(text) is not None


def test_an_amount_beyond_numbers_is_no_dose():
    found = parse_report("9" * 400 + " mg of cisplatin was infused.")
    assert found.protocol.text == "Cisplatin (infused)" and "not a single dose" in found.notes[0]
