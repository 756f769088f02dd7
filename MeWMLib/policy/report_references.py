"""What words of an operation report refer to what was told before: "a further 5 ml", "half of it", "the same dose"."""

from __future__ import annotations

import bisect
import re
from collections.abc import Sequence

from MeWMLib.policy.report_numbers import Dose
from MeWMLib.policy.report_roles import Place
from MeWMLib.policy.report_words import any_of

#: Marks an amount that stands where one more of the agent before would, and may be of something else.
UNSURE = "?"
#: Marks an amount that is one more of the agent before, and no part of what was told.
ONE_MORE = "one more"
_NEAR = 120
_WHAT = r"(?:emulsion|mixture|suspension|solution|beads?|microspheres?|dose|drug|volume|amount|vials?|syringes?)"
#: "4/5", "two thirds", "80 %"; not "S4/5" or "segments 4/5".
_FRACTION = (
    r"(?:(?<![\w/.,])(?<!segment )(?<!segments )(?<!seg )(?<!seg\. )[1-9]\s?/\s?(?:[2-9]|10)(?![\d/])|"
    r"\b(?:(?:one |a )?half|(?:one |a |two )?thirds?|(?:one |a |two |three )?(?:quarter|fourth)s?|"
    r"(?:one |a |two |three |four )?fifths?|most|\d{1,2}(?:[.,]\d)?\s?(?:%|percent|per cent)))"
)
_SHARE_GIVEN = r"infused|injected|given|administered|delivered|instil+ed|perfused|used|applied"
PART_OF = re.compile(
    rf"\s*(?:of|from|out of)\s+(?:it|this|that|these|which|(?:the|this|that)\s+(?:\w+\s+)?{_WHAT})\b", re.I
)
#: "Half of it", "80 % of the beads".
SHARE = re.compile(
    rf"(?:{_FRACTION}|\b(?:part|portion|the (?:first )?half)) "
    rf"of (?:it|this|that|which|(?:the|this|that) (?:\w+ )?{_WHAT})\b|"
    rf"(?:of which|of it|thereof),? (?:only |about |approximately )?{_FRACTION}|"
    rf"{_FRACTION} (?:of (?:it|this|that|which|them|(?:the|this|that) (?:\w+ )?{_WHAT}) )?"
    rf"(?:(?:was|were|could be|could only be|has been|only|then|slowly|being) ){{0,3}}(?:{_SHARE_GIVEN})\b|"
    rf"\b(?:{_SHARE_GIVEN})(?:[\s:]+(?:fraction|share|portion|to|only|by|up to|about|approximately|approx\.)){{0,2}}"
    rf"[\s:]+{_FRACTION}(?=\s*(?:$|[);,]|of (?:it|this|that|(?:the|this) (?:\w+ )?{_WHAT})))|"
    rf"\b(?:partly|partially|incompletely|in part) (?:{_SHARE_GIVEN})\b|"
    rf"\b(?:{_SHARE_GIVEN}) (?:only )?(?:partly|partially|incompletely|in part)\b",
    re.I,
)
#: "Half into A5 and half into A8" are the whole.
BOTH_HALVES = re.compile(r"\bhalf\b[^.;]{0,80}\bhalf\b", re.I)
OTHER_SHARE = re.compile(
    rf"\b(?:the )?(?:(?:other|second|remaining|last) (?:half|third|quarter|two thirds|part|portion|{_WHAT})|"
    rf"rest|remainder)\b",
    re.I,
)
THROWN = any_of(
    r"discarded|wasted|thrown away|unused|left over|not (?:injected|given|used|administered|needed|delivered)",
    r"returned to (?:the )?pharmacy",
)
_ACT = (
    r"(?:procedure|infusion|injection|emulsion|dose|(?:chemo)?emboli[sz]ation|treatment|same|steps?|amount|mixture|volume|"
    r"quantity)"
)
AGAIN = re.compile(
    rf"\b(?:(?:this|it|the (?:same )?{_ACT}) (?:was|were) (?:then |also )?(?:repeated|given again|injected again)|"
    rf"(?:was|were) (?:then )?repeated\b|the same (?:{_ACT}|was|were|in|into|on|for)\b|likewise|in the same way|"
    rf"same for\b)|(?<![\w.,+])\d{{1,3}}\s?\+\s?\d{{1,2}}(?=\s(?:in|into|to|via)\b)",
    re.I,
)
#: What was only prepared, and what was given.
MADE = any_of(r"prepared|mixed|emulsified|drawn up|dissolved|loaded|suspended|made|ready")
GIVEN = any_of(r"infus\w+|inject\w+|given|administered|delivered|instil+ed|perfused|emboli[sz]\w+|went|applied")
_WAS_GIVEN = re.compile(
    r"\s*(?:(?:was|were|could be|then|slowly|only)\s+){0,4}(?:infused|injected|given|administered|delivered|"
    r"instil+ed)\b",
    re.I,
)
#: Behind an amount without a name: then it is one of the agent named before.
_GOES_ON = re.compile(
    r"\s*(?:each\s+)?(?:(?:was|were)\s+)?(?:(?:then|also|slowly|subsequently|given|infused|injected|administered|delivered|"
    r"instilled|placed)\s+){0,4}(?:in(?:to)?|to|on|via|through|for|at)\b",
    re.I,
)
_ON_A_SIDE = re.compile(r"\s*(?:the )?(?:right|left|other|second)\b", re.I)
_SIDE_BEFORE = re.compile(r"\b(?:right|left)(?: (?:lobe|side|artery))?\s*[:=]?\s*$", re.I)
_ENDS = re.compile(r"\s*(?:[,.;:)]|$|and\b|was\b|were\b|then\b)", re.I)
_JOINS = re.compile(r"(?:\b(?:then|and|plus|followed by|later|finally)|[,+(])\s*$", re.I)
_LISTED = re.compile(r"\s*(?:\+|,|and|,\s*and|plus|/)\s*", re.I)
_THEN = re.compile(r"\s*(?:(?:\+|,|and|plus|then|later|followed by|subsequently)\s*){1,3}", re.I)
_OTHER_BEFORE = re.compile(
    r"\b(?:the )?(?:other|second|third|next|latter)(?: [a-z]+){0,2}? (?:with|of|contained|containing|received|got)\s*$",
    re.I,
)
_NAMELY = re.compile(r"(?::|\(|\b(?:of which|namely|i\.e\.|thereof|that is))\s*$", re.I)


def reference(
    plain: str, dose: Dose, beside: tuple[Dose | None, Dose | None], places: Sequence[Place], starts: Sequence[int]
) -> str:
    """The words by which an amount without a name refers to an agent named before; "" if there are none.

    Args:
        plain: the clause without sizes.
        dose: the amount.
        beside: the amounts before and behind it in the clause.
        places: what the clause names.
        starts: where they stand.
    """
    if behind := PART_OF.match(plain, dose.end):
        return behind[0]
    before = max(0, dose.start - _NEAR)
    if dose.rest:
        return dose.text
    if dose.more or dose.total or _OTHER_BEFORE.search(plain, before, dose.start):
        return ONE_MORE
    former, latter = beside
    if latter and latter.unit == dose.unit and _THEN.fullmatch(plain, dose.end, latter.start):
        return ONE_MORE  # "2 ml and later a further 3 ml of ethanol"
    if former and former.unit == dose.unit and _LISTED.fullmatch(plain, former.end, dose.start):
        return dose.text
    on = _GOES_ON.match(plain, dose.end)
    following = bisect.bisect_left(starts, dose.end)
    if on and (_ON_A_SIDE.match(plain, on.end()) or following < len(places)):
        return on[0]
    if _ON_A_SIDE.match(plain, dose.end) or _SIDE_BEFORE.search(plain, before, dose.start):
        return dose.text
    if following < len(places) and _is_beside(plain, dose.end, starts[following]):
        return places[following].text
    if following and _is_beside(plain, places[following - 1].end, dose.start):
        return places[following - 1].text
    joined = _JOINS.search(plain, before, dose.start)
    return UNSURE if joined and _ENDS.match(plain, dose.end) else ""


def beside(doses: Sequence[Dose], before: int) -> tuple[Dose | None, Dose | None]:
    """The amounts before and behind the one that follows `before`."""
    behind = before + 2
    return doses[before] if before >= 0 else None, doses[behind] if behind < len(doses) else None


def is_only_made(plain: str, dose: Dose) -> bool:
    """ "75 mg was prepared and 50 mg injected": True for the second, which is a part of the first."""
    before = max(0, dose.start - _NEAR)
    return MADE.search(plain, before, dose.start) is not None and GIVEN.search(plain, before, dose.start) is None


def is_namely(plain: str, dose: Dose) -> bool:
    """True if the words before an amount say that it is a part of the one before: "10 ml: 6 ml right"."""
    return _NAMELY.search(plain, max(0, dose.start - _NEAR), dose.start) is not None


def is_in_parenthesis(plain: str, dose: Dose) -> bool:
    """True if an amount stands in a parenthesis: what is said of the one before, not one more."""
    before = plain[max(0, dose.start - _NEAR) : dose.start]
    return before.rfind("(") > before.rfind(")")


def was_given(plain: str, dose: Dose) -> bool:
    """True if a word right behind an amount says that it was given."""
    return _WAS_GIVEN.match(plain, dose.end) is not None


def _is_beside(text: str, start: int, end: int) -> bool:
    return 0 <= end - start < _NEAR and not text[start:end].strip(" (:")
