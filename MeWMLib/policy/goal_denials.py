"""Negations in a treatment goal: what they deny, and those that deny something else or a denial.

"no fear to use A", "A without delay", "nicht auf A verzichten" and "A cannot be skimped on" rule nothing out.
"""

from __future__ import annotations

from collections.abc import Sequence

from MeWMLib.policy.goal_openings import NEVER, VERB_NEG
from MeWMLib.policy.goal_polarity import (
    ADVERSE,
    DENIALS,
    DENIED,
    DONE,
    DOUBT,
    EXCLUDE,
    INFINITIVE,
    NEITHER,
    NO_LONGER,
    NOT,
    THERE,
    UNFIT,
    WITHOUT,
    negations,
)
from MeWMLib.policy.goal_sentences import OR, SKIPPED, Group
from MeWMLib.policy.goal_words import MARK, UNKNOWN, Token


def has_its_own_object(tokens: Sequence[Token]) -> bool:
    """True if words behind a negation are denied by it, and lead on to the agent: "no fear to use A"."""
    kinds = [t.kind for t in tokens]
    if UNKNOWN not in kinds:
        return False
    behind = tokens[kinds.index(UNKNOWN) + 1 :]
    return any(t.text in INFINITIVE or t.kind in ("with", "after_prep", "follow", "avoid") for t in behind)


def denies(group: Group) -> bool:
    """ "no A allergy": a noun's negation before, and the allergy right behind."""
    cues = [t for t in group.pre if t.kind not in (*SKIPPED, "after_prep")]
    nouns = all(t.kind == "neg" and t.text not in VERB_NEG | NEVER for t in cues)
    behind = [t.kind for t in group.post if t.kind not in ("benign", MARK)]
    worded = group.worded and all(t.text != ":" for t in group.post)
    return nouns and worded and behind[:1] == ["adverse"]


def unconfirmed(group: Group) -> bool:
    """ "allergy to A not confirmed": the negation behind may deny the allergy; one with a wish word rules A out."""
    kinds = [t.kind for t in group.post]
    return "neg" in kinds and not {"wish", "permit", "avoid", "adverse"} & set(kinds)


def denied_twice(group: Group) -> bool:
    """ "nicht auf A verzichten", "ohne A geht es nicht": a negation around another word of exclusion."""
    before, behind = {t.kind for t in group.pre}, {t.kind for t in group.post}
    return bool(before & {"neg", "avoid"}) and bool(behind & {"neg", "avoid", "avoid_after"})


def denied_too(tokens: Sequence[Token], place: int, former: Sequence[str]) -> bool:
    """ "allergic to A, not to B", "allergic to neither A nor B"."""
    rest = [t.kind for t in tokens[place + 1 :] if t.kind not in ("aux", "benign")]
    alone = tokens[place].text == "not to" and not rest
    if former == [DENIED] and tokens[place].text in OR and not rest:
        return True
    return former in ([ADVERSE], [DENIED]) and (alone or rest[:1] == ["after_prep"])


def denied_behind(tokens: Sequence[Token]) -> str:
    """A negation behind an adverse word: "allergic neither to A" denies it, "due to an allergy no A" rules A out."""
    words = [t for t in tokens if t.kind not in ("aux", "benign")]
    place = next(n for n, t in enumerate(words) if t.kind == "neg")
    if len(words) == 1:
        return DOUBT if words[0].text in VERB_NEG else EXCLUDE
    beside = [t.kind for t in (*words[max(0, place - 1) : place], *words[place + 1 : place + 2])]
    neither = words[place].text in NEITHER | {"not", "nicht", "pas", "no", "non"}
    if len(words) == 2 and "after_prep" in beside and neither:
        return DENIED
    return EXCLUDE if "wish" in beside or words[-1].kind == "neg" else DOUBT


def answered_no(group: Group, tokens: Sequence[Token]) -> bool:
    """True if nothing but a "no" stands behind an adverse word, and it can be about nothing else."""
    said = [t for t in tokens if t.kind not in ("aux", "benign") and t.text not in THERE]
    colon = any(t.text == ":" for t in group.post)
    return len(said) == 1 and said[0].kind == "neg" and (colon or said[0].text in DENIALS)


def denied_fact(tokens: Sequence[Token]) -> str | None:
    """A negation behind a finding: "ascites: none" denies it, "ascites without fever" denies what comes behind."""
    place = next(n for n, t in enumerate(tokens) if t.kind == "neg")
    if tokens[place].text in WITHOUT:
        return None
    if tokens[place].text in NO_LONGER:
        return DOUBT
    behind = [t for t in tokens[place + 1 :] if t.text not in THERE]
    about_another = any(t.kind in (UNKNOWN, "clinical", "adverse") for t in behind)
    return DOUBT if about_another or negations(tokens) > 1 else EXCLUDE


def not_done(tokens: Sequence[Token]) -> bool:
    """True if a verb that is not known is negated: "A cannot be skimped on" may rule A out or wish it."""
    place = next((n for n, t in enumerate(tokens) if t.kind == "neg"), len(tokens))
    rest = [t for t in tokens[place + 1 :] if t.kind not in ("aux", "benign", "wish")]
    verb = place < len(tokens) and tokens[place].text in VERB_NEG | NEVER | NOT
    return verb and bool(rest) and rest[0].kind == UNKNOWN and rest[0].text not in DONE | UNFIT


def denies_another(tokens: Sequence[Token]) -> bool:
    """True for "A without delay", "A with no dose reduction": the negation has an object of its own."""
    place = next(n for n, t in enumerate(tokens) if t.kind == "neg")
    led = tokens[place].text in WITHOUT or (place and tokens[place - 1].kind == "with")
    return bool(led) and any(t.kind in (UNKNOWN, "clinical", "benign") for t in tokens[place + 1 :])
