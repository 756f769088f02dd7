"""How often an amount was given: "2 x 25 mg", "two vials each loaded with 75 mg", "5 ml each", "50 mg twice".

What is certain is multiplied out; what is not keeps the amount as written and names the words that make it uncertain.
It is never taken for a single amount without saying so.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from MeWMLib.policy.report_counts import CONTAINER, COUNT, MANY, UNIT, VESSEL, count_of, find_counts, is_of_vials
from MeWMLib.policy.report_numbers import Dose, find_doses
from MeWMLib.policy.report_totals import TOTAL_BEFORE, TOTAL_BEHIND
from MeWMLib.policy.report_words import AGENT, Name, any_of

_TIMES_BEFORE = re.compile(
    rf"(?<![\w.,-])(?:(?P<n>{COUNT})\s*(?:x|\*|times)|(?P<twice>twice|thrice)|"
    rf"(?P<many>{MANY})\s*(?:x|times))\s*$",
    re.I,
)  # fmt: skip
_GROUP = re.compile(rf"(?<![\w.,-])(?P<n>{COUNT})\s*(?:x|\*|times)\s*\(", re.I)
#: Containers right before an amount, and right behind it.
_OF_BEFORE = re.compile(
    rf"(?:(?<![\w.,/-])(?P<n>{MANY}|{COUNT}|a|an)\s+(?:[a-z-]+\s+)?)?(?<![\w-])(?P<noun>{CONTAINER})\s+of\s*$", re.I
)
_COUNT_BEFORE = re.compile(rf"(?<![\w.,/-])(?P<n>{COUNT}|{MANY}|a|an)\s+$", re.I)
_CONTAINER_BEHIND = re.compile(
    r"[\s-]*(?P<noun>(?:vial|syringe|ampoule|ampule|aliquot|portion|bolus|fraction|increment|injection|dose)(?:e?s)?)\b",
    re.I,
)
_TIMES_BEHIND = re.compile(
    rf"(?<![\w.,])(?:x\s*(?P<x>\d{{1,2}})(?![\w]|[.,]\d|\s*(?:-|x|{UNIT}))|"
    rf"(?P<n>{COUNT})\s*(?:times|x)(?!\s*\(?\s*\d)\b|(?P<twice>twice|thrice)|(?P<many>repeatedly|again|several times|"
    r"multiple times|many times|once or twice|[0-9]\s*(?:-|to)\s*[0-9] times))(?!\s*(?:daily|a day|per day))",
    re.I,
)  # fmt: skip
_EACH = re.compile(
    rf"\b(?:each(?: of(?: the| these| both)?(?: (?P<n>{COUNT}))?)?(?=\W|$)|apiece\b|every\b|"
    rf"per (?:[a-z-]+ ){{0,2}}?(?:{VESSEL}|{CONTAINER}|session|side)\b|"
    rf"/\s?(?:{CONTAINER}|artery|vessel|branch|feeder|session)\b)",
    re.I,
)  # fmt: skip
_NOUN_OF_EACH = re.compile(
    rf"(?:each(?: of)?|every|per|/)\s?(?:(?:the|these|{COUNT})\s+){{0,2}}(?:[a-z-]+\s+){{0,2}}?"
    rf"(?:(?P<container>{CONTAINER})|{VESSEL})\b",
    re.I,
)
#: Between "each" and the amount that belongs to it.
_EACH_LINK = any_of(
    r"loaded|loading|preloaded|with|containing|contained|contains|carrying|filled|received|receiving|got|holding|held|of"
)
_DONE = any_of(
    r"infused|injected|given|administered|delivered|instil+ed|perfused|used|applied|repeated|mixed|emulsified"
)
_ADVERB = re.compile(r"(?:infused|injected|given|administered|delivered|instil+ed|perfused)(?:\s+\w+ly)?\s+$", re.I)
_BETWEEN = re.compile(r"[\s,()+&/-]*(?:(?:of|and|with|plus|in|total|each)\b[\s,()+&/-]*)*", re.I)
_DIVIDED = any_of(r"divided|split|distributed|shared|in total|total|altogether|fractionated")
_VAGUE = any_of(
    r"repeated (?:injections?|infusions?|boluses|doses|aliquots|administrations?)|(?:in|as) (?:several|multiple|"
    r"repeated|"
    r"small|serial) (?:injections?|infusions?|boluses|doses|aliquots|portions|steps|fractions|increments)",
    rf"(?:in|as) (?:{COUNT}) (?:aliquots|portions|steps|fractions|increments|sittings)(?! of\b)",
    r"and again|once more|a second time|another time|twice more|(?:half|thirds?|quarters?|fifths?) (?:was|were|could)",
    r"(?:half|thirds?|quarters?|parts?|most) of (?:a|one|the) (?:vial|syringe|ampoule|ampule)",
    rf"repeated(?: \w+)? (?:twice|thrice|(?:{COUNT}) times)",
    r"(?:the )?same (?:dose|amount|volume|quantity)|(?:half|double|twice|a third|a quarter) (?:of )?(?:the|this|that) "
    r"(?:dose|amount|volume|quantity)|half (?:a |of a )?(?:vial|syringe|ampoule)",
)
#: "3.5 of 4 ml", "half of 10 ml".
_SHARE_BEFORE = re.compile(
    r"(?:\b(?:half|thirds?|quarters?|most|parts?|portion)|\d|^|,) ?of (?:the |a |these |this )?(?:[a-z]+ )?$", re.I
)
_PLANNED_BEFORE = re.compile(
    r"(?<!\bas )\b(?:planned|intended|prescribed|calculated|target|scheduled|ordered)\b(?:\W+[a-z]+){0,3}\W*$", re.I
)
_BOTH_PLACES = re.compile(
    r"\bboth\s+(?:the\s+)?(?:right|left|hepatic|lobar|lobes?|sides?|arter|branch|segment|vessel|feeder)\w*", re.I
)
#: Before vials that an amount was put into.
_INTO = re.compile(r"\b(?:in|into|on|onto|to|over|among|between|using)\s+(?:the\s+)?$", re.I)
#: Characters: beside an amount, and of a group; and how many amounts one word may govern.
_NEAR, _GROUP_FAR, _MOST = 60, 200, 12


@dataclass
class _Given:
    """An amount while the words around it are read."""

    dose: Dose
    start: int
    end: int
    times: int = 1
    uncertain: str = ""
    over: tuple[int, ...] = ()
    total: bool = False


def find_amounts(text: str, names: Sequence[Name], places: int, before: tuple[int | None, bool] | None) -> list[Dose]:
    """The amounts of a clause, those that were given several times multiplied out.

    Args:
        text: the clause without sizes (`without_sizes`).
        names: what the clause names, in order (`find_mentions`).
        places: how many arteries or segments it names.
        before: what the clause before counted last (`last_count`).
    """
    plain = _blank(text, names)
    given = [_Given(dose, dose.start, dose.end) for dose in find_doses(text)]
    amounts = [g for g in given if g.dose.unit != "vial"]
    vials = [g for g in given if g.dose.unit == "vial"]
    counted = find_counts(text)
    used: set[int] = set()  # where counts stand that an amount was multiplied with
    if amounts:
        _multiply(text, plain, amounts, used)
        _distribute(text, plain, names, amounts, counted, (places, before), used)
        _leave_open(text, plain, amounts, counted, used)
        _find_totals(plain, amounts)
    spans = sorted([*(m.span() for m in counted if m.start() in used), *((g.start, g.end) for g in amounts)])
    left = [v for v in vials if not _is_in(spans, v.start)]
    return sorted((_dose(g, text) for g in (*amounts, *left)), key=lambda dose: dose.start)


def _is_in(spans: Sequence[tuple[int, int]], at: int) -> bool:
    before = bisect.bisect_right(spans, (at, at + 10**6)) - 1
    return before >= 0 and at < spans[before][1]


def _dose(given: _Given, text: str) -> Dose:
    dose = given.dose
    value = None if dose.value is None else round(dose.value * given.times, 6)
    written = text[given.start : given.end].strip() if given.times > 1 else dose.text
    uncertain = dose.uncertain or given.uncertain
    return replace(
        dose, value=value, start=given.start, end=given.end, text=written, uncertain=uncertain, over=given.over,
        total=given.total, times=given.times,
    )  # fmt: skip


def _multiply(text: str, plain: str, amounts: list[_Given], used: set[int]) -> None:
    """Read counts that stand at the amount itself."""
    starts = [g.start for g in amounts]
    for m in _GROUP.finditer(text):
        close = text.find(")", m.end(), m.end() + _GROUP_FAR)
        first = bisect.bisect_left(starts, m.end())
        inside = [g for g in amounts[first : first + _MOST] if g.start < close]
        for g in inside:
            g.times = count_of(m["n"]) or 1
        if inside:
            inside[0].start = m.start()
    for g in amounts:
        window = max(0, g.start - _NEAR)
        if share := _SHARE_BEFORE.search(text, window, g.start):
            g.uncertain = text[share.start() : g.end]
        elif planned := _PLANNED_BEFORE.search(text, window, g.start):
            g.uncertain = planned[0].strip()
        before = _TIMES_BEFORE.search(text, window, g.start)
        if g.times == 1 and before:
            _apply(g, before["n"] or before["twice"], before[0])
            g.start = before.start()
        elif container := _OF_BEFORE.search(text, window, g.start):
            many = container["noun"].lower().endswith("s")
            if container["n"] or many:
                _apply(g, container["n"], container[0])
                used.add(container.start())
                g.start = container.start()
        elif container := _CONTAINER_BEHIND.match(text, g.end):
            count = _COUNT_BEFORE.search(text, window, g.start)
            if count or container["noun"].lower().endswith("s"):
                _apply(g, count["n"] if count else None, text[count.start() if count else g.start : container.end()])
                g.start, g.end = count.start() if count else g.start, container.end()
    ends = [g.end for g in amounts]
    for m in _TIMES_BEHIND.finditer(text):
        last = bisect.bisect_right(ends, m.start()) - 1
        if last < 0 or any(g.start <= m.start() < g.end for g in amounts[last : last + 2]):
            continue
        written = m["x"] or m["n"] or m["twice"]
        if m.start() - ends[last] <= _NEAR and not plain[ends[last] : m.start()].strip(" ,()of"):
            _apply(amounts[last], written, m[0])
            if plain[ends[last] : m.start()] == text[ends[last] : m.start()]:
                amounts[last].end = m.end()
        elif _ADVERB.search(text, max(0, m.start() - _NEAR), m.start()):
            for g in amounts[max(0, last + 1 - _MOST) : last + 1]:
                if g.times == 1 and not g.uncertain:
                    _apply(g, written, m[0])


def _apply(given: _Given, count: str | None, words: str) -> None:
    """Multiply with a count as written; one that is none makes the amount uncertain."""
    times = count_of(count or "")
    if times is None:
        given.uncertain = given.uncertain or words.strip(" -(")
    else:
        given.times *= times


def _distribute(
    text: str, plain: str, names: Sequence[Name], amounts: list[_Given], counted: list[re.Match[str]],
    outside: tuple[int, tuple[int | None, bool] | None], used: set[int],
) -> None:  # fmt: skip
    """Read "each" and "per artery": over agents, counted vials or arteries, or the arteries that are named."""
    starts, ends = [g.start for g in amounts], [g.end for g in amounts]
    by_kind = {
        None: counted,
        True: [m for m in counted if is_of_vials(m)],
        False: [m for m in counted if not is_of_vials(m)],
    }
    numbers = {kind: {count_of(m["n"]) for m in listed} for kind, listed in by_kind.items()}
    for cue in _EACH.finditer(text):
        last, following = bisect.bisect_right(ends, cue.start()) - 1, bisect.bisect_left(starts, cue.end())
        gap = plain[ends[last] : cue.start()] if last >= 0 and cue.start() - ends[last] <= _GROUP_FAR else "x"
        immediate = not gap.strip(" ,()")
        leads = following < len(amounts) and starts[following] - cue.end() <= _GROUP_FAR
        near = leads and last < 0 and starts[following] - cue.end() <= _NEAR  # "each segment was given 10 mg"
        leads = near or (leads and bool(_EACH_LINK.search(plain, cue.end(), starts[following])))
        if immediate and (over := _agents(text, names, amounts[last], cue)):
            amounts[last].over = over
            continue
        if immediate:
            # "3 portions of 20 mg each" has been multiplied, and what stands before is the whole
            chosen = _chain_back(plain, amounts, last) if amounts[last].times == 1 else [amounts[last]]
        elif leads:
            chosen = _chain(plain, amounts, following)
        elif last >= 0:
            chosen = [g for g in amounts[max(0, last + 1 - _MOST) : last + 1] if g.times == 1 and not g.uncertain]
        else:
            continue
        noun = _NOUN_OF_EACH.match(text, cue.start())
        kind = is_of_vials(noun) if noun else None
        if cue["n"]:
            used.add(cue.start("n"))
        times = count_of(cue["n"] or "")
        if times is None and immediate and kind is not False:
            # "two vials with 50 mg each", wherever they were given then
            times = _vials_before(by_kind[True], chosen[0], used)
        if times is None:
            before = outside[1] if outside[1] and (outside[1][1] == kind or (noun is None and leads)) else None
            places = outside[0] if kind is not True else 0
            following_it = leads and not immediate
            times = _times(cue, by_kind[kind], numbers[kind], following_it, (places, before and before[0]), used)
        for g in chosen:
            if g.times > 1 and times == g.times:
                continue  # "2 x 25 mg, one each into two arteries"
            if times is None:
                g.uncertain = g.uncertain or cue[0]
            else:
                g.times *= times


def _vials_before(counted: list[re.Match[str]], given: _Given, used: set[int]) -> int | None:
    at = bisect.bisect_left(counted, given.start, key=lambda m: m.start())
    if not at or given.start - counted[at - 1].end() > _NEAR:
        return None
    used.add(counted[at - 1].start())
    return count_of(counted[at - 1]["n"])


def _times(
    cue: re.Match[str], counted: list[re.Match[str]], numbers: set[int | None], leads: bool,
    outside: tuple[int, int | None], used: set[int],
) -> int | None:  # fmt: skip
    """How many there are of what "each" means; None if nobody says."""
    at = bisect.bisect_left(counted, cue.start(), key=lambda m: m.start())
    if leads and at and cue.start() - counted[at - 1].end() <= _GROUP_FAR:
        used.add(counted[at - 1].start())
        times = count_of(counted[at - 1]["n"])
        return None if times == 1 else times  # "one vial each of two sizes"
    if len(numbers) == 1:
        used.update(m.start() for m in counted[-_MOST:])
        return next(iter(numbers))
    places, before = outside
    if not numbers:
        return places if places > 1 else before
    return None


def _agents(text: str, names: Sequence[Name], given: _Given, cue: re.Match[str]) -> tuple[int, ...]:
    """The agents of "cisplatin and doxorubicin, 50 mg each" and "50 mg each of cisplatin and doxorubicin"."""
    starts = [name.start for name in names]
    behind = bisect.bisect_left(starts, cue.end())
    if re.fullmatch(r"each of(?: the)?", cue[0], re.I) and behind < len(names):
        if not text[cue.end() : names[behind].start].strip():
            return _list_of(text, names, behind, 1)
        return ()
    before = bisect.bisect_left(starts, given.start) - 1
    if before >= 0 and not text[names[before].end : given.start].strip(" ,(:-"):
        return _list_of(text, names, before, -1)
    return ()


def _list_of(text: str, names: Sequence[Name], first: int, step: int) -> tuple[int, ...]:
    """Agents that follow each other with nothing but joining words between them; () for fewer than two."""
    found = [first]
    while 0 <= (following := found[-1] + step) < len(names):
        one, other = sorted((found[-1], following))
        gap = text[names[one].end : names[other].start]
        if len(gap) > _NEAR or gap.strip(" ,+/&") not in ("", "and", "plus", "with"):
            break
        found.append(following)
    agents = [n for n in found if names[n].kind == AGENT]
    return tuple(sorted(agents)) if len(agents) > 1 else ()


def _chain(plain: str, amounts: list[_Given], first: int) -> list[_Given]:
    """Amounts from one on, as long as they follow each other as in a list."""
    found = [amounts[first]]
    for g in amounts[first + 1 : first + _MOST]:
        gap = plain[found[-1].end : g.start]
        if len(gap) > _GROUP_FAR or not (match := _BETWEEN.match(gap)) or match.end() < len(gap):
            break
        found.append(g)
    return found


def _chain_back(plain: str, amounts: list[_Given], last: int) -> list[_Given]:
    """An amount and those it was mixed with: "20 mg THP + 4 ml Lipiodol each"."""
    found = [amounts[last]]
    for g in reversed(amounts[max(0, last - _MOST) : last]):
        gap = plain[g.end : found[0].start]
        if len(gap) > _NEAR or gap.strip(" ,()") not in ("+", "with", "in", "plus", "/", "of  in", "and"):
            break
        if g.times == 1 and not g.uncertain:
            found.insert(0, g)
    return found


def _leave_open(text: str, plain: str, amounts: list[_Given], counted: list[re.Match[str]], used: set[int]) -> None:
    """Mark amounts of which the words do not say how often: "two vials were loaded with 75 mg"."""
    starts = [g.start for g in amounts]
    divided = _DIVIDED.search(text) is not None
    for m in counted:
        following = bisect.bisect_left(starts, m.end())
        if m["container"] is None or m.start() in used:
            continue
        if following and _INTO.search(text, max(0, m.start() - _NEAR), m.start()):
            used.add(m.start())  # "150 mg were loaded onto two vials": the amount is that of both
            continue
        if following == len(amounts):
            continue
        used.add(m.start())
        if count_of(m["n"]) == 1 or divided or starts[following] - m.end() > _GROUP_FAR:
            continue
        for g in _chain(plain, amounts, following):
            if g.times == 1 and not g.over:
                g.uncertain = g.uncertain or m[0]
    if not divided and len(amounts) == 1 and (both := _BOTH_PLACES.search(text)):
        open_amount = amounts[0].times == 1 and not amounts[0].over and _EACH.search(text) is None
        if open_amount:  # "5 ml into both lobes" may be 5 ml in all or 5 ml each
            amounts[0].uncertain = amounts[0].uncertain or both[0]
    vague = _VAGUE.search(text)
    if vague and not divided:
        ends = [g.end for g in amounts]
        last = bisect.bisect_right(ends, vague.start()) - 1
        for g in amounts[max(0, last + 1 - _MOST) : last + 1] if last >= 0 else amounts[:1]:
            g.uncertain = g.uncertain or vague[0]


def _find_totals(plain: str, amounts: list[_Given]) -> None:
    """Mark what is called a total, and what follows it in the same list."""
    carried = -1  # where the last total ends
    for g in amounts:
        window = max(0, g.start - _GROUP_FAR)
        if TOTAL_BEFORE.search(plain, window, g.start) or TOTAL_BEHIND.match(plain, g.end):
            g.total = True
        elif carried >= 0 and g.start - carried <= _GROUP_FAR:
            gap = plain[carried : g.start]  # "total 50 mg: 30 mg right, 20 mg left" goes on with the parts
            g.total = not _DONE.search(plain, carried, g.start) and "(" not in gap and not gap.lstrip().startswith(":")
        carried = g.end if g.total else -1


def _blank(text: str, names: Sequence[Name]) -> str:
    """The text with blanks in the place of names, so that words around them stand together."""
    parts, at = [], 0
    for name in names:
        parts += [text[at : name.start], " " * (name.end - name.start)]
        at = name.end
    return "".join([*parts, text[at:]])
