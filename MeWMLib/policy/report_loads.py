"""What the beads of a report were loaded with."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence

from MeWMLib.core.protocol import DRUG, agent
from MeWMLib.policy.report_words import AGENT, LOADED, find_mentions
from MeWMLib.policy.rule_checks import LOADED as BEADS

_ONTO = re.compile(r"\b(?:loaded|loading|eluting|drug-eluting)\b|\b(?:on|onto|into|in)\s+(?:\S+\s+){0,4}$", re.I)
_FREE = re.compile(r"\b(?:infus\w+|perfus\w+|bolus|HAIC|systemic\w*)\b", re.I)
_NEAR = 120


def loads(clauses: Sequence[str], given: Collection[str]) -> Iterator[str]:
    """The drugs of which the text says that they are on the beads.

    Args:
        clauses: of the report.
        given: agents that were given.
    """
    for clause in clauses:
        if not LOADED.search(clause) and not _ONTO.search(clause):
            continue
        names = [name for name in find_mentions(clause) if name.kind == AGENT and name.agent in given]
        drugs = [name for name in names if agent(name.agent).kind == DRUG]
        beads = [name for name in names if name.agent == BEADS]
        # the clause may go on from beads that were named before: "they were loaded with 10 mg idarubicin"
        loaded = LOADED.search(clause) is not None
        if not drugs or BEADS not in given or (not beads and not loaded) or _FREE.search(clause):
            continue
        if loaded or any(_ONTO.search(clause[max(0, bead.start - _NEAR) : bead.start]) for bead in beads):
            yield from (name.agent for name in drugs)
