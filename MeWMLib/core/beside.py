"""A physician's protocol beside the first one of a plan: what each action moves, and what taking one over does."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from MeWMLib.core.comparison import Difference
from MeWMLib.core.errors import UnreadableFileError
from MeWMLib.core.plan import Candidate
from MeWMLib.core.protocol import Action, Protocol, agent
from MeWMLib.core.records import from_plain, to_plain

ADD, REPLACE, DROP = KINDS = ("add", "replace", "drop")


@dataclass(frozen=True)
class Swap:
    """One action of MeWM's protocol taken over into the physician's, or one that MeWM leaves out dropped.

    Attributes:
        kind: `ADD`, `REPLACE` or `DROP`.
        action: text of the action that is taken over or dropped.
        instead_of: text of the action that it replaces; "" for the others.
        protocol: the physician's protocol afterwards.
        log_risk: simulated; None where the clinical rules forbid the protocol, which is then not simulated.
        risk_change: `log_risk` minus that of the physician's protocol; negative: it is lower with the swap.
        forbidden: names of the rules that forbid it.
        difference: `risk_change` with what is known of the true difference; None where that was not asked.
    """

    kind: str
    action: str
    instead_of: str
    protocol: Protocol
    log_risk: float | None = None
    risk_change: float | None = None
    forbidden: tuple[str, ...] = ()
    difference: Difference | None = None

    @property
    def text(self) -> str:
        """In words, such as "PVA in place of Gelatin Sponge"."""
        words = {ADD: f"add {self.action}", DROP: f"leave out {self.action}"}
        return words.get(self.kind, f"{self.action} in place of {self.instead_of}")


@dataclass(frozen=True)
class Beside:
    """Two protocols side by side, simulated with the same seeds.

    Attributes:
        mine: the physician's, with what each of its actions moved; its rank is 0.
        first: MeWM's first, as in the ranking, with what each of its actions moved.
        swaps: single steps from the physician's protocol towards MeWM's.
        difference: `risk_difference` with what is known of the true difference; None where that was not asked.
    """

    mine: Candidate
    first: Candidate
    swaps: tuple[Swap, ...] = ()
    difference: Difference | None = None

    @property
    def risk_difference(self) -> float:
        """Log-risk of the physician's protocol minus that of MeWM's; positive means that MeWM's is lower."""
        return self.mine.risk.log_risk - self.first.risk.log_risk

    def to_json(self) -> dict[str, Any]:
        """The form in plan.json."""
        return {
            "mine": self.mine.to_json(),
            "first": self.first.to_json(),
            "risk_difference": self.risk_difference,
            "difference": to_plain(self.difference),
            "swaps": [to_plain({**vars(s), "protocol": s.protocol.text}) for s in self.swaps],
        }

    @classmethod
    def from_json(cls, data: Any) -> Beside:
        """Read the form of `to_json`.

        Raises:
            UnreadableFileError: a field is missing or of a wrong type.
        """
        return from_plain(cls, data, "the comparison of two protocols", UnreadableFileError, strict=False)


def swaps(mine: Protocol, first: Protocol) -> tuple[Swap, ...]:
    """Every single step from one protocol towards another, not yet simulated.

    An action of `first` that `mine` lacks replaces the same agent with another dose or route, else an agent of the same
    class that `first` does without (one anthracycline by another, gelatin sponge by PVA), else it is added. What is
    left of `mine` that `first` does without is dropped.
    """
    spare = [a for a in mine.actions if a.agent not in first.agents]
    found = []
    for action in (a for a in first.actions if a not in mine.actions):
        known = agent(action.agent).agent_class
        same = [a for a in mine.actions if a.agent == action.agent]
        former = next(iter(same or [a for a in spare if agent(a.agent).agent_class == known]), None)
        if former in spare:
            spare.remove(former)
        rest = tuple(a for a in mine.actions if a != former)
        kind, text = (ADD, "") if former is None else (REPLACE, former.text)
        found.append(Swap(kind, action.text, text, mine.of_actions((*rest, action))))
    for action in spare:
        found.append(Swap(DROP, action.text, "", without(mine, action)))
    return tuple(found)


def without(protocol: Protocol, action: Action) -> Protocol:
    """A protocol with one action left out; without oil there is no emulsion, and what was in one has no route then."""
    left = [a for a in protocol.actions if a != action]
    if not any(agent(a.agent).agent_class == "oil" for a in left):
        left = [replace(a, route=None) if a.route == "emulsion" else a for a in left]
    return protocol.of_actions(left)
