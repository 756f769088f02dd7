"""Wishes of a treatment goal that are not spoken by a verb, and sentences in which no wish is sure.

"only A" and "A rather than B" say what is wanted without a verb. They could as well tell what was done: they count only
where the whole goal speaks of nothing else that could be meant.
"""

from __future__ import annotations

from collections.abc import Iterable

from MeWMLib.policy.goal_openings import is_left_open
from MeWMLib.policy.goal_polarity import BARE, EXCLUDE, WISH
from MeWMLib.policy.goal_sentences import PLEASE, Sentence
from MeWMLib.policy.goal_words import AGENT, DOSE, MARK, NUMBER, Token

#: Words that leave nothing but the agent beside them.
_ONLY = set(
    "only|just|nur|seulement|solo|solamente|soltanto|alone|allein|alleine|seul|nothing but|nothing else than|"
    "nothing other than|no other than|solely|exclusively|ausschliesslich|lediglich|uniquement|unicamente|"
    "esclusivamente|"
    "somente|sozinha|sozinho|nichts als|nichts anderes als|rien que|rien d'autre que|nada mas que|"
    "nient'altro che|\u53ea|\u4ec5".split("|")
)
#: Comparisons that say which of two is taken; "over" and "als" may mean something else.
_IN_PLACE_OF = set(
    "rather than|instead of|in place of|in lieu of|statt|anstatt|anstelle von|au lieu de|au lieu d'|plutot que|"
    "em vez de|em vez da|em vez do|ao inves de|ao inves da|no lugar da|no lugar do|em lugar de|plutot qu'|"
    "a la place de|a la place d'|en lugar de|en vez de|invece di|al posto di|piuttosto che|"
    "\u800c\u4e0d\u662f|\u800c\u975e".split("|")
)
#: Words of doubt that make all that is beside them depend on something.
CONDITIONS = set(
    "if|unless|only if|in case|except if|except when|provided|provided that|providing|as long as|until|depends|falls|"
    "wenn|sofern|es sei denn|ausser wenn|nur wenn|sauf si|a moins que|a condition que|pourvu que|s'il y a|s'il n'y a|"
    "s'il est|s'il n'est|a menos que|salvo si|si hay|si no hay|si tiene|siempre que|solo si|se|salvo se|a meno che|"
    "solo se|a condizione che|exceto se|so se|somente se|apenas se|caso|se houver|\u5982\u679c|\u82e5|"
    "\u9664\u975e".split("|")
)
_PLAIN = (MARK, DOSE, "benign")


def is_conditional(sentence: Sentence) -> bool:
    """True if what a sentence wishes depends on something: "use A unless she is allergic", "if stable, use A"."""
    return any(t.kind == "doubt" and t.text in CONDITIONS for t in sentence.tokens)


def speaks_of_the_past(sentence: Sentence) -> bool:
    """True if a sentence reports rather than asks: history, a failure, a question, a year or a heading."""
    told = ("history", "failed", "doubt", NUMBER)
    flags = ("adverse", "avoid", "avoid_after", "neg", "clinical")
    headed = any(t.kind in flags for n, part in sentence.orphans if not sentence.groups or n == 0 for t in part)
    return sentence.question or headed or any(t.kind in told for t in sentence.tokens)


def say_without_verb(sentence: Sentence) -> None:
    """Make a wish of "only A" or "A rather than B" where a sentence says nothing else about A."""
    groups = sentence.groups
    if not groups or set(groups[0].polarities) != {BARE} or any(m.kind != AGENT for m in groups[0].members):
        return
    around = [*groups[0].pre, *groups[0].post]
    closed = all(n and _plain(part, "neg") and not is_left_open(part) for n, part in sentence.orphans)
    if not closed or not _plain(around):
        return
    instead = False
    if len(groups) == 2 and set(groups[1].polarities) == {EXCLUDE} and _plain(groups[1].post):
        between = [t for t in groups[1].pre if t.kind not in ("aux", *_PLAIN)]
        instead = len(between) == 1 and between[0].text in _IN_PLACE_OF
    if instead or (len(groups) == 1 and any(t.text in _ONLY for t in around)):
        groups[0].polarities = [WISH] * len(groups[0].members)


def _plain(tokens: Iterable[Token], *more: str) -> bool:
    return all(t.kind in (*_PLAIN, *more) or t.text in PLEASE for t in tokens)
