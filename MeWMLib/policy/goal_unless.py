"""Exceptions and conditions in a treatment goal: "avoid A unless necessary", "use A only as a last resort".

What is wished under a condition is neither wanted nor excluded, and asked about. What is ruled out with an exception
stays ruled out until somebody says whether the exception holds, and is asked about.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence

from MeWMLib.policy.goal_polarity import ADVERSE, ALL_BUT, DOUBT, EXCLUDE, FEARED, LISTED, PERMIT, UNLESS, WISH
from MeWMLib.policy.goal_sentences import Group, Sentence
from MeWMLib.policy.goal_words import AGENT, SUBSTANCE, WEAK, Token

#: Words of an exception. After a comma they still apply to the agents named before it.
EXCEPTIONS = set(
    "unless|if not otherwise|except if|except when|as a last resort|as last resort|as the last resort|"
    "only as a last resort|only as last resort|in the last resort|"
    "es sei denn|wenn nicht anders|ausser wenn|ausser bei|nur im notfall|im notfall|notfalls|nur notfalls|"
    "als letzte option|nur als letzte option|als letzter ausweg|nur als letzter ausweg|"
    "als ultima ratio|nur als ultima ratio|sauf si|sauf en cas|a moins que|a moins de|a moins d'|en dernier recours|"
    "seulement en dernier recours|en dernier ressort|seulement en dernier ressort|"
    "a menos que|salvo si|salvo que|a no ser que|excepto si|excepto cuando|como ultimo recurso|"
    "solo como ultimo recurso|en ultimo caso|"
    "salvo se|salvo che|a meno che|tranne se|eccetto se|come ultima risorsa|solo come ultima risorsa|"
    "in ultima istanza|come ultima ratio|"
    "exceto se|exceto quando|a nao ser que|em ultimo caso|somente em ultimo caso|"
    "\u9664\u975e|\u4e0d\u5f97\u5df2|\u4e07\u4e0d\u5f97\u5df2|\u8feb\u4e0d\u5f97\u5df2|\u975e\u5fc5\u8981".split("|")
)
#: All that makes what is said depend on something.
CONDITIONS = EXCEPTIONS | set(
    "if|only if|in case|provided|provided that|providing|as long as|until|depends|falls|"
    "wenn|sofern|nur wenn|a condition que|pourvu que|s'il y a|s'il n'y a|"
    "s'il est|s'il n'est|si hay|si no hay|si tiene|siempre que|solo si|se|"
    "solo se|a condizione che|so se|somente se|apenas se|caso|se houver|\u5982\u679c|\u82e5".split("|")
)


def is_conditional(sentence: Sentence) -> bool:
    """True if what a sentence wishes depends on something: "use A unless she is allergic", "if stable, use A"."""
    return bool(_conditions(sentence.tokens))


def except_under_conditions(parts: Sequence[Sentence]) -> None:
    """Set the polarity of what is ruled out with an exception or under a condition.

    Args:
        parts: the sentences of a goal; their groups are judged.
    """
    former: Group | None = None
    for part in parts:
        groups = [group for group in part.groups if _of_agents(group)]
        if places := _conditions(part.tokens):
            _judge_conditions(part, groups, places, former)
        former = groups[-1] if groups else former


def _conditions(tokens: Sequence[Token]) -> list[int]:
    """Where conditions begin."""
    found, alone, said = list[int](), True, False
    for place in range(len(tokens) - 1, -1, -1):
        token = tokens[place]
        if _is_condition(token, alone and said):
            found.append(place)
        # whether the words from here to the next comma name no agent, and whether there are any
        alone = token.kind == WEAK or (alone and token.kind not in (AGENT, SUBSTANCE))
        said = token.kind != WEAK
    return found[::-1]


def _is_condition(token: Token, alone: bool) -> bool:
    """True for a word of condition, and for an exception without an agent: "no A except in emergencies"."""
    if token.kind == "doubt":
        return token.text in CONDITIONS
    return token.kind == "except" and token.text not in ALL_BUT and alone


def _judge_conditions(part: Sentence, groups: Sequence[Group], places: Sequence[int], former: Group | None) -> None:
    """Find the agents that each condition is about.

    Args:
        part: a sentence.
        groups: of agents in it.
        places: where its conditions begin.
        former: the last group of the sentences before.
    """
    tokens = part.tokens
    begins = [group.members[0].start for group in groups]
    commas = [t.start for t in tokens if t.kind == WEAK]
    ends = [n for n, t in enumerate(tokens) if t.kind in (WEAK, AGENT)]
    plain = next((n for n, t in enumerate(tokens) if t.kind not in ("aux", "benign", "conn")), len(tokens))
    for place in places:
        start = tokens[place].start
        exception = tokens[place].text in EXCEPTIONS or tokens[place].kind == "except"
        behind = bisect.bisect_right(begins, start)
        stop = bisect.bisect_right(ends, place)
        condition = tokens[place : ends[stop] if stop < len(ends) else len(tokens)]
        if not groups:
            # "Avoid beads. Unless necessary."
            about = former if place == plain and (exception or part.contrasted) else None
        elif not behind:
            about = groups[0]
        else:
            about, comma = groups[behind - 1], bisect.bisect_left(commas, groups[behind - 1].members[-1].end)
            # "no A, if stable use B"
            parted = comma < len(commas) and commas[comma] < start
            about = groups[behind] if behind < len(groups) and parted and not exception else about
        if about is not None and not about.condition:
            _restrict(about, condition)


def _restrict(group: Group, condition: list[Token]) -> None:
    """What is wished becomes doubtful, and what is ruled out is asked about."""
    found = {EXCLUDE: UNLESS, LISTED: UNLESS, ADVERSE: FEARED, WISH: DOUBT, PERMIT: DOUBT}
    group.condition = condition
    group.polarities = [found.get(polarity, polarity) for polarity in group.polarities]


def _of_agents(group: Group) -> bool:
    return group.members[0].kind in (AGENT, SUBSTANCE)
