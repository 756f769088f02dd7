"""By which route each agent of a clause was given: infused, as an emulsion, or embolised."""

from __future__ import annotations

import bisect
import re
from collections.abc import Sequence

from MeWMLib.core.protocol import DRUG, agent
from MeWMLib.policy import report_words as words
from MeWMLib.policy.agent_names import members
from MeWMLib.policy.report_words import AGENT, Name

#: Characters before a name in which words are looked for.
_NEAR = 120
_IN = re.compile(r"\bin(?: \S+ m[lL])?(?: of)?(?: \S+)?\s*$", re.I)
_FREE = words.any_of(r"infus\w+|perfus\w+|bolus|HAIC")
_MIX = re.compile(r"\b(?:emulsi|mix|suspen)", re.I)
#: Between one step and the next; after a comma the same step may go on.
_STEP = re.compile(
    r"\b(?:then|thereafter|afterwards|subsequently|followed by|after which|before|after|prior to|finally)\b|"
    r"\b(?:and|plus)\s+(?=(?:an?|the) (?:emulsion|mixture|suspension)\b)|(?P<comma>[,;])", re.I
)  # fmt: skip


class Routes:
    """How the agents of one clause were given: what follows from the whole clause is looked for once."""

    def __init__(self, clause: str, names: Sequence[Name]) -> None:
        names = [name for name in names if name.kind == AGENT]
        self._apart = _apart(clause, names)
        oil = members("oil")
        known = {name.agent for name in names}
        self._drug = any(agent(name).kind == DRUG for name in known)
        self._bead = any(agent(name).agent_class == "drug-eluting bead" for name in known)
        # beads and a drug in one breath are loaded beads, unless it is said to be infused
        self._loaded = words.LOADED.search(clause) is not None or not _FREE.search(clause)
        self._infused, self._any = words.INFUSED.search(clause) is not None, words.ANY_VERB.search(clause) is not None
        self._emulsified = re.search(r"\bemulsi", clause, re.I) is not None
        # "50 mg of doxorubicin in 10 ml of Lipiodol" is an emulsion without the word
        self._mixed = not known.isdisjoint(oil) and (
            words.MIXED.search(clause) is not None
            or any(_IN.search(clause, max(0, n.start - _NEAR), n.start) for n in names if n.agent in oil)
        )

    def of(self, name: str) -> str | None:
        """The route of an agent of the clause; None if it is not stated."""
        known = agent(name)
        is_oil = known.name in members("oil")
        if known.kind != DRUG and not is_oil:
            return known.routes[0]
        if name in self._apart:
            return self._apart[name]
        if self._emulsified or self._mixed:
            return "emulsion" if self._emulsified or self._drug else "embolised"
        if self._loaded and self._bead:
            # a drug on beads: none of the routes of the vocabulary
            return "embolised" if is_oil else None
        if is_oil:
            return "embolised" if self._any else None
        return "infused" if self._infused else None


def _apart(clause: str, names: Sequence[Name]) -> dict[str, str | None]:
    """The drugs that were given in a step of their own beside an emulsion of others, each with its route."""
    cuts = [*_STEP.finditer(clause)]
    if not cuts or not names or not _MIX.search(clause):
        return {}
    ends = [cut.start() for cut in cuts]
    steps: dict[int, list[str]] = {}
    for name in names:
        steps.setdefault(bisect.bisect_right(ends, name.start), []).append(name.agent)
    bounds = [0, *ends, len(clause)]
    texts = {step: clause[bounds[step] : bounds[step + 1]] for step in steps}
    oil = members("oil")
    emulsions = [
        step for step, agents in steps.items()
        if _MIX.search(texts[step]) and any(a in oil for a in agents) and any(agent(a).kind == DRUG for a in agents)
    ]  # fmt: skip
    if not emulsions:
        return {}
    inside = {name for step in emulsions for name in steps[step]}
    found: dict[str, str | None] = {}
    for step, agents in steps.items():
        if step in emulsions or _MIX.search(texts[step]):
            continue
        infused = _FREE.search(texts[step]) is not None
        between = ends[min(step, emulsions[0]) : max(step, emulsions[0])]
        hard = any(cut["comma"] is None for cut in cuts if between and between[0] <= cut.start() <= between[-1])
        if infused or hard:
            route = "infused" if infused or words.INFUSED.search(texts[step]) else None
            found |= {name: route for name in agents if agent(name).kind == DRUG and name not in inside}
    return found
