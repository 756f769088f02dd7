"""The grammar of treatment goals: what the words around a group of agents say about it.

The words before a group and those right behind it give its polarity. Whatever is not clear has the polarity `DOUBT`.
"""

from __future__ import annotations

from MeWMLib.policy.goal_denials import (
    answered_no,
    denied_behind,
    denied_fact,
    denied_too,
    denied_twice,
    denies,
    denies_another,
    has_its_own_object,
    not_done,
    unconfirmed,
)
from MeWMLib.policy.goal_only import is_not_alone
from MeWMLib.policy.goal_openings import NEVER, VERB_NEG
from MeWMLib.policy.goal_polarity import (
    ADVERSE,
    AFTER,
    AIMS,
    ALL_BUT,
    ALMOST,
    ANY_MORE,
    BARE,
    DENIALS,
    DENIED,
    DONE,
    DOUBT,
    EVER,
    EXCLUDE,
    FEARED,
    FREED,
    HISTORY,
    INFINITIVE,
    LISTED,
    MODAL,
    NO_LONGER,
    OPEN_THAN,
    PARTITIVE,
    PAST,
    PERMIT,
    PLURAL,
    REASONS,
    SESSIONS,
    TOLD,
    UNCLEAR,
    WISH,
    negations,
)
from MeWMLib.policy.goal_sentences import OR, PLEASE, RULED_OUT, SKIPPED, Group
from MeWMLib.policy.goal_unless import CONDITIONS
from MeWMLib.policy.goal_words import AGENT, DOSE, FACT, MARK, NARROWING, UNKNOWN, Token


def judge(group: Group, spoken: bool, previous: Group | None) -> None:
    """Set the polarity of each member of a group.

    Args:
        group: of a sentence.
        spoken: a word of preference stands earlier in the sentence.
        previous: the group before it in the sentence.
    """
    before, behind = _before(group, spoken, previous), _behind(group)
    if before == WISH and behind == UNCLEAR and _seen_done(group):
        behind = None
    count = len(group.members)
    cut = max(group.cuts) if group.cuts else None
    if before == HISTORY and any(t.kind == "clinical" for t in group.post):
        behind = UNCLEAR
    if before == ADVERSE and behind == EXCLUDE and any(t.text in DENIALS for t in group.post):
        found = [DENIED] * count  # "allergies: A (-)"
    elif before == ADVERSE and behind == EXCLUDE and any(t.text in RULED_OUT for t in group.post):
        found = [DOUBT] * count  # "an allergy to A was ruled out"
    elif before == ADVERSE and (behind == DOUBT or unconfirmed(group)) and count == 1:
        found = [FEARED]  # "allergic to A: unknown", "allergy to A not proved"
    elif before == BARE and behind in (None, UNCLEAR):
        found = [WISH if group.lone and behind is None else BARE] * count
    elif behind is None or (behind == PERMIT and before == WISH):
        found = [before] * count
    elif behind == UNCLEAR:
        # what follows the last one is not understood: a wish may have ended before it
        found = [before] * (count - 1) + [DOUBT if before in (WISH, PERMIT, HISTORY) else before]
    elif before == BARE:
        found = [behind] * count
    elif cut is not None:
        found = [before] * cut + [DOUBT if behind == WISH and _only_please(group) else behind] * (count - cut)
    elif before == EXCLUDE and behind == ADVERSE and denies(group):
        found = [DENIED] * count
    elif before == behind == EXCLUDE and denied_twice(group):
        found = [DOUBT] * count
    elif before in (HISTORY, DOUBT) and behind == ADVERSE and any(t.kind == "neg" for t in group.pre):
        found = [FEARED] * count  # "no previous allergy to A"
    elif before == DOUBT and behind == EXCLUDE and any(t.text in CONDITIONS for t in group.pre):
        found = [DOUBT] * count  # "only if A is unavailable"
    elif ADVERSE in (before, behind) or EXCLUDE in (before, behind):
        sure = EXCLUDE if before in (ADVERSE, EXCLUDE) else DOUBT
        found = [sure] * (count - 1) + [ADVERSE if ADVERSE in (before, behind) else EXCLUDE]
        if DENIED in (before, behind):
            found = [DOUBT] * count
    elif before == behind:
        found = [before] * count
    else:
        found = [DOUBT] * count
    for place in group.then:
        if found[place - 1] in (EXCLUDE, ADVERSE) and found[place] == found[place - 1]:
            found[place:] = [DOUBT] * (count - place)
    if found == [DENIED] * count and previous is not None and previous.polarities[-1:] == [EXCLUDE]:
        # "neither to A nor to B is there an allergy"
        linked = [t.text in OR and t.kind == "neg" for t in group.pre[:1]] == [True]
        if linked and any(t.kind == "after_prep" for t in previous.pre[-1:]):
            previous.polarities = [DENIED] * len(previous.polarities)
    if group.members[0].kind == FACT:
        found = _of_facts(group, before, found, previous)
    else:
        found = [_unsure(group, polarity) for polarity in _not_beyond(group, before, found)]
    group.polarities = found


def _not_beyond(group: Group, before: str, found: list[str]) -> list[str]:
    """What rules out the first agents is not sure of those that a comma alone parts from them: "no A, B".

    Where nothing else is said of them, what rules out counts until somebody says otherwise; it is asked about.
    """
    headed = any(t.text == ":" or t.text in PLURAL for t in group.pre)
    against = (EXCLUDE, ADVERSE, FEARED)
    if not group.loose or headed:
        return found
    if before == BARE:
        # "A, B no": the words behind may speak of the last alone
        last = max(group.loose)
        plural = any(t.text in PLURAL for t in group.post)
        return [DOUBT if p in against and not plural else p for p in found[:last]] + found[last:]
    alone = all(t.kind in (*SKIPPED, "neg") for t in group.post)
    comma = alone and set(group.loose.values()) == {"comma"}
    harm = FEARED if comma else DOUBT
    unsure = {EXCLUDE: LISTED if comma else DOUBT, ADVERSE: harm, FEARED: harm}
    first = min(group.loose)
    # a substance behind an allergy is no wish
    return found[:first] + [
        unsure.get(p, p) if m.kind == AGENT else p for m, p in zip(group.members[first:], found[first:], strict=True)
    ]


def _unsure(group: Group, polarity: str) -> str:
    """What is narrowed ("avoid too much A", "no A alone") is no exclusion; a name of several things is no wish."""
    if polarity == EXCLUDE:
        cue = next((n for n, t in enumerate(group.pre) if t.kind in ("neg", "avoid", "limit")), len(group.pre))
        # a dose behind it says how much of it is not to be given: "stop A before 450 mg"
        behind = any(t.value in NARROWING or t.kind == DOSE for t in group.post) or is_not_alone(group)
        if behind or any(t.value in NARROWING for t in group.pre[cue + 1 :]):
            return DOUBT
    if polarity == DENIED and any(t.text in ANY_MORE for t in (*group.pre, *group.post)):
        return DOUBT  # "not allergic to A anymore"
    if polarity in (WISH, PERMIT) and any(m.note for m in group.members):
        return DOUBT
    return polarity


def _of_facts(group: Group, before: str, found: list[str], previous: Group | None) -> list[str]:
    """A denial reaches only what "or" joins to it: "no ascites, heart failure" denies one and states the other."""
    denied = before in (EXCLUDE, DENIED)
    if set(found) & {EXCLUDE, DENIED} and any(t.text in ALMOST for t in (*group.pre, *group.post)):
        return [DOUBT] * len(found)
    if denied and any(t.text in NO_LONGER for t in group.pre):
        return [DOUBT] * len(found)
    if denied and len(found) > 1 and not group.worded:
        # a number is not denied by what is said before it
        return [found[0]] + [DOUBT if m.value.denied is not None else BARE for m in group.members[1:]]
    led_on = previous is not None and (set(previous.polarities) & {EXCLUDE, DENIED})
    within = previous is not None and previous.members[-1].kind == FACT and not group.follows_break
    if before == BARE and led_on and (within or any(t.text in OR for t in group.pre)):
        return [DOUBT] * len(found)
    return found


def _only_please(group: Group) -> bool:
    words_after = {t.text for t in group.post if t.kind == "wish_after"}
    return bool(words_after) and words_after <= PLEASE


def _before(group: Group, spoken: bool, previous: Group | None) -> str:
    """The polarity that the words before a group give it."""
    tokens = [t for t in group.pre if t.kind not in (MARK, DOSE)]
    if group.members[0].kind == FACT:
        tokens = tokens[1 + max((n for n, t in enumerate(tokens) if t.text in REASONS), default=-1) :]
        avoided = [t.text for t in tokens if t.kind in ("avoid", "avoid_after") or t.text in AIMS]
        if avoided and not set(avoided) & RULED_OUT and not any(t.kind == "neg" for t in tokens):
            return DOUBT  # "to avoid encephalopathy" does not say that there is none
    colon = [n for n, t in enumerate(group.pre) if t.kind == MARK and t.text == ":"]
    if colon and not any(t.kind in ("neg", "avoid", "adverse", "doubt", "except") for t in group.pre[: colon[-1]]):
        # a heading ("Tumour control: use ...") says nothing about what follows, unless it is itself a cue
        kept = group.pre[colon[-1] + 1 :]
        if any(t.kind not in SKIPPED for t in kept):
            tokens = [t for t in kept if t.kind not in (MARK, DOSE)]
    kinds = [t.kind for t in tokens]
    negs = negations(tokens)
    if "limit" in kinds:
        negs += sum(t.kind == "limit" and t.text.startswith(("no", "never", "pas", "nicht", "non")) for t in tokens)
    if "except" in kinds:
        alone = any(t.text in ALL_BUT for t in tokens if t.kind == "except")
        if previous is not None and previous.polarities[-1:] == [EXCLUDE] and not alone:
            excluded = {name for member in previous.members for name in member.value}
            freed = all(m.kind == AGENT and excluded > set(m.value) for m in group.members)
            return FREED if freed and (not group.follows_break or len(kinds) == 1) else DOUBT
        if negs and "adverse" in kinds[: kinds.index("except")]:
            return FEARED  # "no allergy except to A"
        return DOUBT if negs or "avoid" in kinds or "adverse" in kinds else EXCLUDE
    if "adverse" in kinds:
        place = kinds.index("adverse")
        earlier = negations(tokens[:place])
        if any(t.text in NO_LONGER for t in tokens[:place]):
            return DOUBT
        denial = max((n for n in range(place) if kinds[n] == "neg"), default=place)
        if UNKNOWN in kinds[denial:place]:
            return DOUBT  # "without x allergic to A": the negation has an object of its own
        if earlier == 0 and negs and negations(tokens[place:]):
            return denied_behind(tokens[place + 1 :])
        if earlier > 1 or (earlier and "avoid" in kinds[:place]):
            return DOUBT
        if any(t.text in VERB_NEG | NEVER for t in tokens[:place]):
            return DOUBT
        if UNKNOWN in kinds[place:] and "wish" in kinds[place + kinds[place:].index(UNKNOWN) :]:
            return DOUBT  # "a rash with penicillin and wants A"
        return DENIED if earlier else DOUBT if "doubt" in kinds[:place] else ADVERSE
    if "doubt" in kinds or "failed" in kinds:
        return DOUBT
    if "than" in kinds:
        text = next(t.text for t in tokens if t.kind == "than")
        if text in OPEN_THAN and not (spoken or "wish" in kinds):
            return DOUBT if text in ("over", "than") else BARE
        return DOUBT if negs else EXCLUDE
    if "avoid" in kinds or "avoid_after" in kinds:
        # "avoid avoiding A", "we refuse to avoid A"
        twice = kinds.count("avoid") + sum(t.text in AIMS for t in tokens) > 1 and "conn" not in kinds
        return DOUBT if negs or twice else EXCLUDE
    if "double" in kinds:
        direct = [k for k in kinds if k not in ("aux", "benign")][-1] == "double"
        return WISH if direct and not negs and UNKNOWN not in kinds else DOUBT
    if negs:
        if negs > 1:
            return DOUBT
        place = next((n for n, t in enumerate(tokens) if t.kind in ("neg", "limit")), 0)
        if previous is not None and denied_too(tokens, place, previous.polarities[-1:]):
            return DENIED
        if has_its_own_object(tokens[place + 1 :]):
            return DOUBT  # "not opposed to A", "no risk with A", "don't be shy to use A"
        if any(t.text in AIMS for t in tokens[place + 1 :]) or not_done(tokens):
            return DOUBT  # "we do not want to avoid A", "do not leave A out"
        if any(t.kind == "limit" for t in tokens) and not any(t.kind == "neg" for t in tokens):
            return DOUBT  # "no more than a little A"
        if "history" in kinds[place:]:
            if group.members[0].kind == FACT:
                return EXCLUDE if any(t.text.startswith(EVER) for t in tokens[place:]) else DOUBT
            return DOUBT if "wish" in kinds[place:] else HISTORY
        return EXCLUDE
    if "history" in kinds:
        after = next((n for n, t in enumerate(tokens) if t.text in AFTER), 0)
        # "HUS after A": what came after it may be its doing
        return DOUBT if after and kinds[after - 1] in (UNKNOWN, "clinical") else HISTORY
    if "permit" in kinds:
        return PERMIT
    if "wish" in kinds or "wish_after" in kinds:
        return _wish(tokens, kinds, group.follows_break)
    if [t.text for t in tokens] == ["to"] and previous is not None and previous.polarities[-1:] == [WISH]:
        return EXCLUDE if any(t.kind == "wish_after" for t in previous.post) else BARE  # "A preferred to B"
    if "with" in kinds:
        place = kinds.index("with")
        plain = set(kinds[:place]) <= {"benign", "conn", "aux"} and all(
            t.kind == "aux" or t.text in PARTITIVE for t in tokens[place + 1 :]
        )
        plain &= all(t.text not in TOLD | SESSIONS for t in tokens[:place])
        spoken_before = set(previous.polarities) if previous is not None else set()
        return WISH if plain and group.follows_break and spoken_before <= {WISH, EXCLUDE} else BARE
    return BARE


def _wish(tokens: list[Token], kinds: list[str], starts: bool) -> str:
    """A wish word governs the group if nothing that is not understood stands between, and it is no mere mention."""
    last = max(n for n, kind in enumerate(kinds) if kind in ("wish", "wish_after"))
    first = next(n for n, kind in enumerate(kinds) if kind in ("wish", "wish_after"))
    if any(kind in (UNKNOWN, "clinical", "follow") for kind in kinds[last + 1 :]):
        return DOUBT
    if any(t.text in PAST for t in tokens[first:]):
        return DOUBT  # "our first choice was A"
    earlier = [n for n in range(first) if kinds[n] not in ("benign", "conn")]
    noun = tokens[first].text.endswith("ing") or tokens[first].text in ("use of", "gabe von")
    if earlier and tokens[earlier[-1]].text in INFINITIVE:
        return DOUBT  # "hesitates to use", "to use" after a break
    if noun and any(kinds[n] in (UNKNOWN, "clinical") for n in earlier):
        return DOUBT
    if "clinical" in kinds[:first] and not starts:
        return DOUBT
    return WISH


def _seen_done(group: Group) -> bool:
    """ "would like to see A tried first": the participle says what is wished."""
    words = [t for t in group.post if t.kind not in (MARK, DOSE, "aux", "benign")]
    sees = any(t.kind == "wish" and t.text.endswith(" see") for t in group.pre)
    return sees and len(words) == 1 and words[0].text in DONE


def _behind(group: Group) -> str | None:
    """The polarity that the words right behind a group give it; None if they say nothing about it."""
    tokens = [t for t in group.post if t.kind not in (MARK, DOSE)]
    kinds = [t.kind for t in tokens]
    significant = [k for k in kinds if k not in ("aux", "benign", "conn", "then")]
    negs = negations(tokens)
    if "adverse" in kinds:
        place = kinds.index("adverse")
        earlier = negations(tokens[:place])
        if "doubt" in kinds[:place]:
            return DOUBT  # "A unless allergic"
        if answered_no(group, tokens[place + 1 :]) and not earlier:
            return DENIED  # "A allergy: no", "A allergy (-)"
        if set(kinds[place:]) & {"neg", "avoid", "avoid_after"}:
            return DOUBT  # "A allergy was ruled out"
        if "doubt" in kinds[place:] and not earlier:
            return FEARED  # "A allergy: unknown"
        if any(t.text in AIMS for t in group.pre):
            return DOUBT  # "to prevent A toxicity"
        return ADVERSE if not earlier else DENIED if earlier == 1 else DOUBT
    if "avoid_after" in kinds or "avoid" in kinds:
        return DOUBT if negs else EXCLUDE
    if "failed" in kinds or "doubt" in kinds:
        return DOUBT
    if negs and group.members[0].kind == FACT:
        return denied_fact(tokens)
    if negs and denies_another(tokens):
        return None
    if negs:
        return EXCLUDE if negs == 1 and not not_done(tokens) else DOUBT
    if "except" in kinds or "than" in kinds:
        return None
    if not significant:
        return None
    head = significant[0]
    modal = next((n for n, t in enumerate(tokens) if t.text in DONE), 0)
    if any(t.text in PAST for t in tokens[: kinds.index(head)]):
        return UNCLEAR if head != "wish" else DOUBT  # "A was our first choice"
    if modal and any(t.text in MODAL for t in tokens[:modal]) and set(kinds[:modal]) <= {"aux", "benign"}:
        rest = set(kinds[modal + 1 :]) - {"aux", "benign"}
        return WISH if rest <= {"follow", "wish_after"} else DOUBT
    if head in ("follow", "after_prep", "with"):
        return None
    if "history" in kinds:
        return UNCLEAR if "clinical" in kinds or UNKNOWN in kinds else HISTORY
    if head in ("clinical", UNKNOWN):
        return UNCLEAR
    if "permit" in kinds:
        return PERMIT
    if head in ("wish_after", "wish"):
        return WISH if all(k not in (UNKNOWN, "clinical") for k in significant[:1]) else DOUBT
    return None
