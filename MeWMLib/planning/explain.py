"""Why a protocol has its rank, from what the search has simulated anyway."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from MeWMLib.core.beside import without
from MeWMLib.core.comparison import Comparison
from MeWMLib.core.outcome import Risk
from MeWMLib.core.plan import Contribution, Pruned
from MeWMLib.core.protocol import Protocol
from MeWMLib.planning.search import Allowed


def contributions(
    protocol: Protocol, risks: Mapping[Protocol, Risk], comparison: Comparison | None = None
) -> tuple[Contribution, ...]:
    """What each action contributes: the difference to the protocol without it, where that was simulated too.

    Args:
        protocol: one that was simulated.
        risks: of everything that was simulated.
        comparison: how predicted differences relate to true ones; without it nothing is said of the true ones.
    """
    found = []
    for action in protocol.actions:
        other = risks.get(without(protocol, action))
        if other is None:
            found.append(Contribution(action.text, None, None))
            continue
        told = None if comparison is None else comparison.difference(risks[protocol], other)
        found.append(Contribution(action.text, other.log_risk, risks[protocol].log_risk - other.log_risk, told))
    return tuple(found)


class Watched:
    """An `Allowed` that remembers what it refused and why.

    Args:
        allowed: the clinical rules.
        reasons: the rules that forbid a protocol, by name.
    """

    def __init__(self, allowed: Allowed, reasons: Callable[[Protocol], Sequence[str]]) -> None:
        self._allowed, self._reasons = allowed, reasons
        self._answers: dict[Protocol, bool] = {}

    def __call__(self, protocol: Protocol) -> bool:
        """Ask the rules."""
        if protocol not in self._answers:
            self._answers[protocol] = self._allowed(protocol)
        return self._answers[protocol]

    def pruned(self) -> tuple[Pruned, ...]:
        """What was refused, in the order in which it was asked for."""
        refused = [p for p, answer in self._answers.items() if not answer]
        return tuple(Pruned(p, tuple(dict.fromkeys(self._reasons(p)))) for p in refused)
