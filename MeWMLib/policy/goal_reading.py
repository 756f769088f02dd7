"""What the groups of a treatment goal say, taken together: agents, limits, facts, and what is left or asked."""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterator, Sequence

from MeWMLib.core.allergens import GROUPS
from MeWMLib.policy import goal_words as words
from MeWMLib.policy.agent_names import classes
from MeWMLib.policy.goal_findings import take_fact
from MeWMLib.policy.goal_found import Reading
from MeWMLib.policy.goal_levels import QUALIFIERS
from MeWMLib.policy.goal_openings import NEVER, VERB_NEG
from MeWMLib.policy.goal_polarity import (
    ADVERSE,
    BARE,
    DENIED,
    DOUBT,
    EXCLUDE,
    FEARED,
    FREED,
    HISTORY,
    LISTED,
    PERMIT,
    UNLESS,
    WISH,
)
from MeWMLib.policy.goal_sentences import Group, Sentence
from MeWMLib.policy.goal_words import AGENT, FACT, SUBSTANCE, UNKNOWN, WEAK, Token, are_aims

#: Parts of words that speak of an allergy; other adverse words (toxicity, resistance) are none.
_ALLERGIC = (
    "aller",
    "alerg",
    "anaph",
    "anaf",
    "hypersens",
    "ipersens",
    "uberempf",
    "hives",
    "urtic",
    "rash",
    "exanthem",
    "prurit",
    "itch",
    "过敏",
)
#: Words for an agent that was named before.
_IT = set("it|them|this|that|these|those|which|ihn|welche|welches|celui-ci|\u5b83".split("|"))
#: "use A, no"
_NO = {"no", "not", "nein", "nicht", "non", "pas"}


#: Beside what is hoped for these say no more: "we want to spare the liver".
_LIGHT = ("aux", "benign", "after_prep", "conn", "with", "wish", words.MARK)
SPARED = {"spare", "preserve"}

#: Of whom else a goal may speak.
_RELATIVES = re.compile(
    r"\b(?:mother|father|parents?|brothers?|sisters?|siblings?|sons?|daughters?|children|wife|husband|spouse|"
    r"uncle|aunt|cousin|grand(?:mother|father|parents?)|relatives?|famil(?:y|ial)|mutter|vater|bruder|schwester|eltern|"
    r"sohn|tochter|ehefrau|ehemann|familie|mere|pere|frere|soeur|fils|fille|epouse|famille|madre|padre|herman[oa]|"
    r"hij[oa]|espos[oa]|familia|fratello|sorella|figli[oa]|moglie|marito|famiglia)\b"
)


def attach_orphans(sentence: Sentence, former: Group | None, found: Reading) -> None:
    """An adverse word without an object speaks of the agent before it, "use A (anaphylaxis)", or a bare one behind.

    What points back at an agent, "use A, the patient refuses it", leaves it open.

    Args:
        sentence: its groups are judged.
        former: the last group of the sentences before.
        found: what is asked.
    """
    for number, part in sentence.orphans:
        kinds = [t.kind for t in part]
        spoken_of = sentence.groups[number - 1] if number else former
        conditional = "adverse" in kinds and "doubt" in kinds[: kinds.index("adverse")] and not sentence.groups[number:]
        if spoken_of is not None and (conditional or points_back(part, None if number else sentence.contrasted)):
            # nothing more is said for A, nor surely against it
            spoken_of.polarities = [DOUBT if p in (WISH, PERMIT) else p for p in spoken_of.polarities]
        if "adverse" not in kinds and "failed" not in kinds:
            continue
        place = next(n for n, kind in enumerate(kinds) if kind in ("adverse", "failed"))
        if any(k == "neg" for k in kinds[:place]):
            found.used.add(id(part[place]))
            continue
        rest = [k for k in kinds[place + 1 :] if k not in ("aux", "benign", words.MARK)]
        if rest[:1] == ["after_prep"] and UNKNOWN in rest:
            continue  # it has an object that is no agent
        before = sentence.groups[number - 1] if number else None
        behind = sentence.groups[number] if number < len(sentence.groups) else None
        if before is not None and before.members[-1].kind != FACT:
            if "doubt" in kinds[:place]:
                continue  # "use A, unless she is allergic" states no allergy
            was = before.polarities[-1]
            if was in (WISH, PERMIT, DOUBT, HISTORY):
                found.ask(f"{_named(before.members[-1])}: “{found.shown(part)}” seems to speak of it")
            before.polarities[-1] = ADVERSE
            before.post = [*before.post, part[place]]
            found.used.add(id(part[place]))
        elif "doubt" not in kinds[:place] and behind is not None and _is_bare(behind):
            behind.polarities = [ADVERSE] * len(behind.members)
            behind.pre = [part[place], *behind.pre]
            found.used.add(id(part[place]))


def _is_bare(group: Group) -> bool:
    return set(group.polarities) == {BARE} and group.members[0].kind != FACT


def points_back(part: Sequence[Token], contrasted: bool | None = None) -> bool:
    """True if words without an agent object to the one before: "the patient refuses it", "which is contraindicated".

    Args:
        part: a segment without a group.
        contrasted: a word such as "but" parts it from the agent, or another sentence begins; None for a comma.
    """
    against = ("adverse", "failed", "avoid", "avoid_after", "neg")
    place = next((n for n, t in enumerate(part) if t.kind in against or t.text == "to avoid"), None)
    if place is None:
        return False
    if any(t.text in _IT for t in part) and not any(t.kind in (UNKNOWN, "clinical") for t in part[place + 1 :]):
        return True
    last = next((t.kind for t in reversed(part) if t.kind not in ("aux", "benign", words.MARK)), "")
    if contrasted is None:
        said_no = part[-1].kind == "neg" and part[-1].text in VERB_NEG | NEVER | _NO
        return said_no or (last in ("avoid", "avoid_after") and part[0].kind != last)
    return contrasted and last in against


def take_group(group: Group, tokens: Sequence[Token], found: Reading, limited: set[int]) -> None:
    """Take what is said of the members of a group.

    Args:
        group: its members are judged.
        tokens: of its sentence.
        found: all that was read.
        limited: ids of the agents' tokens that a limit is about.
    """
    cues = [t for t in (*group.pre, *group.post) if t.kind in ("adverse", "failed")]
    allergic = any(part in t.text for t in cues for part in _ALLERGIC)
    if any(p in (ADVERSE, DENIED, FEARED) for p in group.polarities):
        found.used.update(id(t) for t in cues if t.kind == "adverse")
    polarity_of = dict[int, str]()
    for member, polarity in zip(group.members, group.polarities, strict=True):
        if member.kind == FACT:
            take_fact(group, member, polarity, found)
        elif member.kind == SUBSTANCE:
            _take_substance(member, polarity, found)
        else:
            _take_agent(member, polarity, allergic, id(member) in limited, found, group.condition)
        if member.kind != FACT:
            polarity_of[id(member)] = polarity
        if polarity == FEARED:
            found.ask(f"“{found.shown([member])}”: is an allergy or a harm by it sure? It is taken for sure until then")
    for clause in _clauses(group, tokens):
        said = {polarity_of[id(t)] for t in clause if id(t) in polarity_of and id(t) not in limited}
        if said & {DOUBT, BARE}:
            found.leave(clause)
        elif said & {HISTORY, PERMIT, DENIED}:
            found.note_idle(clause)


def _clauses(group: Group, tokens: Sequence[Token]) -> Iterator[list[Token]]:
    """The words of a group, parted by the commas between them."""
    all_words = (*group.pre, *group.members, *group.post)
    clause: list[Token] = []
    for place in range(bisect.bisect_left(tokens, all_words[0].start, key=lambda t: t.start), len(tokens)):
        token = tokens[place]
        if token.start > all_words[-1].start:
            break
        if token.kind == WEAK:
            yield clause
            clause = []
        elif token.kind != words.TAKEN:
            clause.append(token)
    yield clause


def _take_agent(
    member: Token, polarity: str, allergic: bool, limited: bool, found: Reading, condition: Sequence[Token]
) -> None:
    names: tuple[str, ...] = member.value
    if polarity == WISH:
        found.wanted |= dict.fromkeys(names)
    elif polarity in (EXCLUDE, LISTED):
        found.excluded |= dict.fromkeys(names)
        if polarity == LISTED:
            shown = found.shown([member])
            found.ask(
                f"{', '.join(names)}: ruled out too, or wanted in its place? A comma alone parts “{shown}” from what "
                f"is ruled out, and it is ruled out until that is answered: write “no {shown}” or “use {shown}”"
            )
        if limited:
            found.ask(f"{', '.join(names)}: ruled out, or only limited?")
        if member.note:
            found.ask(f"“{found.shown([member])}”: {member.note}; {', '.join(names)} is left out: is that right?")
    elif polarity == UNLESS:
        found.excluded |= dict.fromkeys(names)
        # the question quotes them
        found.used.update(id(t) for t in condition if t.kind == UNKNOWN)
        shown = found.shown([member])
        found.ask(
            f"{', '.join(names)}: ruled out “{found.shown(condition)}”; does that hold in this patient? Ruled out "
            f"until that is answered: write “no {shown}” or “use {shown}”"
        )
    elif polarity in (ADVERSE, FEARED):
        found.excluded |= dict.fromkeys(names)
        found.adverse |= dict.fromkeys(names)
        if limited:
            found.ask(f"{', '.join(names)}: ruled out, or only limited?")
        if allergic:
            known = found.facts.get("allergies", ())
            found.facts["allergies"] = tuple(dict.fromkeys((*known, *_allergens(names))))
    elif polarity == DENIED:
        found.denied |= dict.fromkeys(_allergens(names))
    elif polarity == FREED:
        for name in names:
            found.excluded.pop(name, None)
    elif polarity in (DOUBT, BARE) and not (limited and polarity == BARE):
        found.unclear |= dict.fromkeys(names)
        if member.note:
            found.ask(f"“{found.shown([member])}”: {member.note}; which agent of this program is meant?")
            return
        verb = "are" if len(names) > 1 else "is"
        found.ask(
            f"{', '.join(names)}: {verb} wanted or ruled out? “{found.shown([member])}” is mentioned, and no word says "
            f"so clearly: write “use {found.shown([member])}” or “no {found.shown([member])}”"
        )


def _allergens(names: tuple[str, ...]) -> tuple[str, ...]:
    """The name of the class where a whole class of allergens is meant, else the agents."""
    whole = next((group for group, members in classes().items() if members == names and group in GROUPS), "")
    return (whole,) if whole else names


def _take_substance(member: Token, polarity: str, found: Reading) -> None:
    name = str(member.value)
    if polarity in (ADVERSE, FEARED):
        known = found.facts.get("allergies", ())
        found.facts["allergies"] = tuple(dict.fromkeys((*known, name)))
    elif polarity == DENIED:
        found.denied[name] = None
    else:
        more = "" if name == "iodine" else ", or which agent of this program is meant"
        found.ask(f"“{found.shown([member])}” was not used: is there an allergy to it{more}?")
        found.leave([member])


def leave_part(part: Sequence[Token], found: Reading) -> None:
    """List what was not used of a few words, and ask where it is a clinical word."""
    negs, direct = 0, True
    for token in part:
        # "no flow in the portal vein" denies the flow, and "no new metastases" the new ones
        denied = negs == 1 and direct
        negs += token.kind == "neg"
        direct = token.kind == "neg" or (direct and token.kind != UNKNOWN and not QUALIFIERS.match(token.text))
        if token.kind in ("clinical", "adverse", "failed") and id(token) not in found.used and not denied:
            found.ask(
                f"“{found.shown(part)}” speaks of {found.shown([token])} and was not used: write it into the clinical "
                "data or name the agent that it rules out"
            )
    told = (UNKNOWN, "clinical", "adverse", "failed")
    unused = [t for t in part if t.kind in told and id(t) not in found.used]
    hoped = [t for t in part if t.kind not in _LIGHT and t.text not in SPARED]
    if unused and unused == hoped and are_aims(unused):
        found.note_idle(part)
    elif unused:
        found.leave([t for t in part if t.start >= unused[0].start and t.end <= unused[-1].end])


def ask_of_whom(plain: str, found: Reading) -> None:
    """What is said of a relative would be taken for the patient's own: ask, and keep the careful reading.

    Args:
        plain: the goal in small letters without accents.
        found: all that was read.
    """
    spoken_of = _RELATIVES.search(plain)
    if spoken_of and (found.facts or found.adverse):
        found.ask(f"“{spoken_of[0]}”: what is said is taken for the patient's own; is it?")


def _named(member: Token) -> str:
    return ", ".join(member.value) if member.kind == AGENT else str(member.value)
