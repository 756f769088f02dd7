"""Wishes of a treatment goal that are not spoken by a verb, and sentences in which no wish is sure.

"only A" and "A rather than B" say what is wanted without a verb; what "only" rules out, `goal_only` says. They could as
well tell what was done: they count only where the whole goal speaks of nothing else that could be meant.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from MeWMLib.policy.goal_only import LONE, ONLY
from MeWMLib.policy.goal_openings import ARTICLES, is_left_open
from MeWMLib.policy.goal_polarity import BARE, DENIED, EXCLUDE, LISTED, WISH
from MeWMLib.policy.goal_sentences import NO_ELSE, NO_OTHER, PLEASE, Group, Sentence
from MeWMLib.policy.goal_words import AGENT, DOSE, FACT, MARK, NUMBER, Token

#: Comparisons that say which of two is taken; "over" and "als" may mean something else.
_IN_PLACE_OF = set(
    "rather than|instead of|in place of|in lieu of|statt|anstatt|anstelle von|au lieu de|au lieu d'|plutot que|"
    "em vez de|em vez da|em vez do|ao inves de|ao inves da|no lugar da|no lugar do|em lugar de|plutot qu'|"
    "a la place de|a la place d'|en lugar de|en vez de|invece di|al posto di|piuttosto che|"
    "\u800c\u4e0d\u662f|\u800c\u975e".split("|")
)
_PLAIN = (MARK, DOSE, "benign")
_ELSE = {*NO_ELSE, NO_OTHER}


def speaks_of_the_past(sentence: Sentence) -> bool:
    """True if a sentence reports rather than asks: history, a failure, a question, a year or a heading."""
    told = ("history", "failed", "doubt", NUMBER)
    flags = ("adverse", "avoid", "avoid_after", "neg", "clinical")
    headed = any(t.kind in flags for n, part in sentence.orphans if not sentence.groups or n == 0 for t in part)
    return sentence.question or headed or any(t.kind in told for t in sentence.tokens)


def say_without_verb(sentence: Sentence) -> None:
    """Make a wish of "only A" or "A rather than B" where a sentence says nothing else about A."""
    groups = sentence.groups
    # "A, nothing else": the words behind the comma are about A
    closed = all(n and (_plain(part, "neg", "conn")) and not is_left_open(part) for n, part in sentence.orphans)
    if not closed or not groups:
        return
    for number, group in enumerate(groups):
        if not _is_mentioned(group):
            continue
        others = [g for g in groups if g is not group]
        parted = not group.shared and (number == 0 or group.follows_break)
        behind = [t for n, part in sentence.orphans if n == number + 1 for t in part if t.text in _ELSE]
        only = any(t.text in ONLY | LONE | _ELSE for t in (*group.pre, *group.post, *behind))
        if only and all(_is_clear(other) and parted for other in others):
            group.polarities = [WISH] * len(group.members)
    if len(groups) == 2 and _is_mentioned(groups[0]) and set(groups[1].polarities) == {EXCLUDE}:
        between = [t for t in groups[1].pre if t.kind not in ("aux", *_PLAIN)]
        if _plain(groups[1].post) and len(between) == 1 and between[0].text in _IN_PLACE_OF:
            groups[0].polarities = [WISH] * len(groups[0].members)


def _is_mentioned(group: Group) -> bool:
    """True for agents of which nothing is said but plain words."""
    # a name of several things is no wish
    bare = set(group.polarities) == {BARE} and all(m.kind == AGENT and not m.note for m in group.members)
    post = [t for n, t in enumerate(group.post) if t.kind != "conn" or not _leads_to_else(group.post[n + 1 :])]
    return bare and _plain([*group.pre, *post])


def _leads_to_else(tokens: Sequence[Token]) -> bool:
    """ "and nothing else" """
    return bool(tokens) and tokens[0].text in _ELSE


def _is_clear(group: Group) -> bool:
    """True if what is said of another group can change nothing of a mere mention."""
    if group.members[0].kind == FACT:
        return True
    return set(group.polarities) <= {WISH, EXCLUDE, LISTED, DENIED}


def _plain(tokens: Iterable[Token], *more: str) -> bool:
    return all(t.kind in (*_PLAIN, *more) or t.text in PLEASE | ARTICLES for t in tokens)
