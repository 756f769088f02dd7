"""Findings and values of a treatment goal taken together: what is denied in part, what is old, what is said twice.

A denial of a finding with a grade, a level or a place denies no more than that. Of two values the present one counts if
the other is of the past; else the worse one counts, and it is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from MeWMLib.core.clinical_fields import NONE, UNSPECIFIED
from MeWMLib.policy.goal_found import Reading, Said
from MeWMLib.policy.goal_levels import QUALIFIERS, level_of
from MeWMLib.policy.goal_polarity import ANY_MORE, BARE, DENIED, DOUBT, EXCLUDE, GONE, REASONS, THERE
from MeWMLib.policy.goal_sentences import RULED_OUT, Group, Sentence
from MeWMLib.policy.goal_stated import NOW, PAST, WAS, Stated, there, when, worse
from MeWMLib.policy.goal_words import AGENT, FACT, MARK, NUMBER, SUBSTANCE, UNKNOWN, Token

#: What stays once it was done: that it is of the past takes nothing from it.
_LASTING = {"biliary_intervention"}
#: Where one looked is no qualification of what one did not see.
_LOOKED = set(
    "ct thorax abdomen us mri mrt irm rm tac tdm ultrasound sonography sono sonographically imaging scan scans film "
    "doppler examination "
    "exam angiography ultraschall bildgebung untersuchung echographie imagerie ecografia eco imagen imaging far so "
    "evidence sign signs hinweis anhalt zeichen history moment time clinically klinisch patient either".split()
)
_MORE = {"more", "mehr"}
_STRONG_AUX = {"severe", "mild", "strong", "schwere", "une grave", "absolute", "relative", "clear", "former"}


def denies_part(group: Group, member: Token) -> bool:
    """True if a denied finding is denied with a grade, a level, a place or another word that narrows it."""
    stated: Stated = member.value
    if stated.graded:
        return True
    cue = max((n for n, t in enumerate(group.pre) if t.kind == "neg"), default=None)
    if cue is not None and member is group.members[0] and any(map(_narrows, group.pre[cue + 1 :])):
        return True
    denial = next((n for n, t in enumerate(group.post) if t.kind == "neg" or t.text in RULED_OUT), None)
    if cue is None and denial is not None and member is group.members[-1]:
        return any(map(_narrows, group.post[denial + 1 :]))  # "ascites: not severe"
    for token in group.post if cue is not None and member is group.members[-1] else ():
        if token.text in REASONS or token.kind in (
            "neg",
            "contrast",
            "wish",
            "avoid",
            "conn",
            "doubt",
            AGENT,
            SUBSTANCE,
        ):
            return token.kind == "neg"
        if token.kind == "except" or _narrows(token):
            return True
    return False


def _narrows(token: Token) -> bool:
    if token.text in THERE or token.text in _LOOKED or when(token.text):
        return False
    if token.kind == "aux" or token.text in _MORE:
        return token.text in _STRONG_AUX | _MORE
    if token.kind == "benign":
        return token.value is not None or QUALIFIERS.match(token.text) is not None
    return token.kind in (UNKNOWN, "clinical", "avoid_after", "adverse", "failed")


def take_fact(group: Group, member: Token, polarity: str, found: Reading) -> None:
    """Note what a statement says; `settle` makes facts of it."""
    stated: Stated = member.value
    shown = found.shown([member])
    value, denied = stated.value, polarity in (EXCLUDE, DENIED)
    if denied and member is group.members[-1] and any(t.text in ANY_MORE for t in group.post):
        polarity, denied = DOUBT, False  # "no ascites anymore": there was
    if stated.says_no and not denied:
        found.say(stated.field, Said(None, stated.when, shown, careful=None if value == NONE else there(stated.field)))
        return
    last = member is group.members[-1]
    if value in (NONE, False) and not denied and last and any(t.kind == "except" or _narrows(t) for t in group.post):
        # "portal vein patent except the right branch"
        found.say(stated.field, Said(None, stated.when, shown, there(stated.field)))
        return
    if denied:
        value = stated.denied
    if stated.doubt and value is not None:
        found.ask(f"“{shown}” is not clear: {stated.doubt} ({stated.field} {value})")
    if denied and value is not None and value != UNSPECIFIED and (stated.site or denies_part(group, member)):
        careful = None if stated.site and not denies_part(group, member) else there(stated.field)
        found.say(stated.field, Said(None, stated.when, shown, careful))
        return
    if value is None:
        found.ask(f"“{shown}” is not clear: write it into the clinical data ({stated.field})")
        found.leave([member])
        return
    over = member is group.members[-1] and any(t.text in GONE for t in group.post)
    if polarity == DOUBT or (over and not denied):
        # the careful reading counts until somebody says otherwise
        found.ask(f"“{shown}” is not clear: is it there? It is taken for there ({stated.field})")
    found.say(stated.field, Said(value, stated.when, shown))


def take_fragments(parts: Sequence[Sentence], found: Reading) -> None:
    """Read a grade that stands without its finding: "no tense ascites, moderate only"."""
    former: Group | None = None
    for sentence in parts:
        for number, segment in sentence.orphans:
            spoken_of = sentence.groups[number - 1] if number else former
            if spoken_of is None or spoken_of.members[-1].kind != FACT:
                continue
            if spoken_of.polarities[-1] not in (EXCLUDE, DENIED, BARE, DOUBT):
                continue
            _take_fragment(spoken_of.members[-1].value, segment, found)
        former = sentence.groups[-1] if sentence.groups else former


def _take_fragment(stated: Stated, segment: Sequence[Token], found: Reading) -> None:
    told = (UNKNOWN, "clinical", "aux", "benign", "follow", "history", "after_prep", "adverse", NUMBER, MARK)
    if stated.denied is None or any(t.kind not in told for t in segment):
        return
    text = " ".join(t.text for t in segment if t.kind != MARK)
    timed = when(text)
    value = level_of(stated.field, text)
    if value is None or (timed in (PAST, WAS)):
        return
    found.say(stated.field, Said(value, timed, found.shown(segment)))
    found.used.update(id(t) for t in segment)


def settle(found: Reading) -> None:
    """Make facts of what was said of each field."""
    for field, said in found.said.items():
        whole, in_part = [s for s in said if s.value is not None], [s for s in said if s.value is None]
        if any(s.when == NOW for s in whole):
            whole = [s for s in whole if s.when not in (PAST, WAS)]
        if whole and field not in _LASTING and all(s.when == PAST for s in whole):
            found.ask(f"“{whole[-1].shown}” is of the past: is it so now? ({field})")
            whole = [
                replace(s, value=there(field)) if s.value in (NONE, False) else s for s in whole if s.value is not None
            ]
            whole = [s for s in whole if s.value is not None]
        values = _distinct(field, [s.value for s in whole])
        if not values:
            for denial in in_part:
                _ask_of_part(field, denial, found)
            continue
        if len(values) > 1:
            found.ask(f"{field} is stated twice, as {values[0]} and as {values[1]}; the worse of them is taken")
        value = values[0]
        for other in values[1:]:
            value = worse(field, value, other)
        found.facts[field] = value


def _ask_of_part(field: str, denial: Said, found: Reading) -> None:
    if denial.careful is None:
        found.ask(f"“{denial.shown}” is denied: is there none anywhere else? ({field})")
        return
    found.ask(
        f"“{denial.shown}” is denied, which leaves less of it open: is there any? It is taken for there ({field})"
    )
    found.facts[field] = denial.careful


def _distinct(field: str, values: Sequence[Any]) -> list[Any]:
    """Each value once; "there" and a class say no more than a grade, and than a class with its points."""
    once = list(dict.fromkeys(values))
    if any(v not in (NONE, UNSPECIFIED) for v in once):
        once = [v for v in once if v != UNSPECIFIED]
    if field == "child_pugh_class":
        once = [v for v in once if not any(o != v and o.startswith(v) for o in once)]
    return once
