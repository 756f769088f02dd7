"""Why a protocol has its rank, from what the search has simulated anyway."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from MeWMLib.core.beside import without
from MeWMLib.core.plan import Contribution, Pruned
from MeWMLib.core.protocol import Protocol
from MeWMLib.planning.search import Allowed


def contributions(protocol: Protocol, log_risk: Mapping[Protocol, float]) -> tuple[Contribution, ...]:
    """What each action contributes: the difference to the protocol without it, where that was simulated too.

    Args:
        protocol: one that was simulated.
        log_risk: of everything that was simulated.
    """
    found = []
    for action in protocol.actions:
        other = log_risk.get(without(protocol, action))
        change = None if other is None else log_risk[protocol] - other
        found.append(Contribution(action.text, other, change))
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
