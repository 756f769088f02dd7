"""How a search came to its plan: its expansions, what rules refused, and what each action of a protocol moved."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from MeWMLib.core.comparison import Difference
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.records import record_to_plain

#: The route at the end of an action's text.
_ROUTE = re.compile(r"\s*\(\w+\)$")


@dataclass(frozen=True)
class Contribution:
    """What one action of a protocol moved, by leaving it out.

    Attributes:
        action: its text.
        risk_without: log-risk of the protocol without it; None if that was not simulated.
        risk_change: log-risk with it minus without it; negative means that the prediction is lower with it.
        difference: the same with what is known of the true difference; None where that was not asked.
    """

    action: str
    risk_without: float | None
    risk_change: float | None
    difference: Difference | None = None

    @property
    def part(self) -> str:
        """The action that is left out, without its route: with Lipiodol goes the emulsion that it was in."""
        return _ROUTE.sub("", self.action)


@dataclass(frozen=True)
class Pruned:
    """A protocol that was not simulated because clinical rules forbid it."""

    protocol: Protocol
    rules: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {"protocol": self.protocol.text, "rules": list(self.rules)}


@dataclass(frozen=True)
class SearchStep:
    """One expansion of the search tree: `child` is `parent` and one action; `kept` if the search went on from it."""

    step: int
    beam: int
    parent: Protocol
    child: Protocol
    risk: float
    kept: bool

    def to_json(self) -> dict[str, Any]:
        """JSON-ready form; the root is the empty protocol, written as ""."""
        return {**record_to_plain(self), "parent": self.parent.text, "child": self.child.text}


def way_to_best(tree: Sequence[SearchStep], best: Protocol | None) -> set[SearchStep]:
    """The expansions of a search tree that led to the best protocol."""
    way: set[SearchStep] = set()
    wanted = best.text if best is not None else ""
    below = max((s.step for s in tree), default=0) + 1
    while wanted:
        found = [s for s in tree if s.child.text == wanted and s.step < below]
        if not found:
            break
        one = max(found, key=lambda s: (s.kept, s.step))
        way.add(one)
        wanted, below = one.parent.text, one.step
    return way
