"""Best-first search: the most promising protocols are simulated first, and hopeless ones are given up early.

It looks for what the exhaustive search finds, with fewer simulations, by three savings:

- *Bounds.* A surrogate (`surrogate.py`) guesses the risk of what was not simulated. The protocol of lowest bound, mean
  minus `REACH` standard deviations, comes next; when no bound is under the best risk that is known, the search ends.
- *Racing.* A protocol gets its first replica alone. All protocols share their replicas' seeds, so what a replica
  leaves open is its difference from the mean over T, compared with that of the others: a deviation s, estimated from
  the protocols all of whose T replicas are known. After n replicas the mean over T lies within s sqrt(1/n - 1/T) of
  what they say (finite population); a protocol more than `RACE` such deviations worse than the best is given up.
- *Hints.* Where a simulation can say beforehand what it will roughly show (a `Hint`), the surrogate reads it, the most
  promising protocols are the pilot, and few are simulated between two guesses.

All are statements of a model, not proofs: on the tests' 100 random spaces the answer was that of the exhaustive
search, and there is no guarantee for others. Small `REACH` and `RACE` are faster and less sure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from MeWMLib.core.plan import SearchStep
from MeWMLib.core.protocol import Protocol
from MeWMLib.planning.exhaustive import all_protocols
from MeWMLib.planning.search import Memo, Problem, SearchCancelled
from MeWMLib.planning.surrogate import Surrogate

#: By how many standard deviations of the surrogate a bound is below its mean.
REACH = 3.0
#: Standard deviations of a race.
RACE = 4.0
#: With hints: protocols of the pilot, ranks (shares of the space) that are simulated once to see how the risk follows
#: the hint, and what part of a batch is simulated between two guesses.
HINTED_PILOT, HINTED_RANKS, HINTED_SHARE = 4, (0.1, 0.3, 0.6, 1.0), 3
#: With hints: protocols that must be known before the search may end.
HINTED_FEWEST = 16
#: Fewest protocols all of whose replicas are judged before the first guess.
PILOT = 8


def best_first_search(problem: Problem, memo: Memo) -> None:
    """Find the complete protocol of lowest risk without simulating all of them.

    The ranking holds the protocols that were judged with all replicas; the tree also those that lost a race, with the
    risk that their replicas predicted.
    """
    protocols = all_protocols(problem)
    known = None if problem.hint is None else np.asarray(problem.hint(protocols), np.float64)
    race = _Race(memo, protocols, known)
    try:
        pilot, chosen = (_pilot(protocols), []) if known is None else _hinted_pilot(protocols, known[:, 0])
        race.enter(pilot)
        memo.judge(pilot)
        together = max(1, memo.batch if known is None else memo.batch // HINTED_SHARE)
        while chosen := chosen or race.next_protocols(together):
            race.enter(chosen)
            for number in range(memo.replicas):
                memo.judge([p for p in chosen if not race.lost(p)], [number])
            memo.tree, chosen = race.tree(), []
    except SearchCancelled:
        memo.tree, memo.pending = race.tree(), ()
        raise
    memo.tree, memo.pending = race.tree(finished=True), ()
    memo.ruled_out = len(protocols) - sum(p in memo for p in protocols)


def _pilot(protocols: Sequence[Protocol]) -> list[Protocol]:
    """Some protocols that hold every agent at least twice where that is possible, the policy's first choice first."""
    seen: Counter[str] = Counter()
    agents = {a for p in protocols for a in p.agents}
    chosen: list[Protocol] = []
    left = list(protocols)
    while left and (len(chosen) < PILOT or any(seen[a] < 2 for a in agents)):
        # the earliest of those that add most of the agents seen least
        gain = [sum(1.0 / (1 + seen[a]) ** 2 for a in p.agents) / len(p.actions) for p in left]
        best = left.pop(0 if not chosen else int(np.argmax(gain)))
        chosen.append(best)
        seen.update(best.agents)
        if len(chosen) >= max(PILOT, 2 * len(agents)):
            break
    return chosen


def _hinted_pilot(protocols: Sequence[Protocol], guess: NDArray[np.float64]) -> tuple[list[Protocol], list[Protocol]]:
    """The policy's first choice with the protocols of lowest guess, and some others from the whole range."""
    order = [protocols[n] for n in np.argsort(guess, kind="stable")]
    pilot = list(dict.fromkeys([protocols[0], *order[:HINTED_PILOT]]))
    ranks = [order[round(share * (len(order) - 1))] for share in HINTED_RANKS]
    return pilot, [p for p in dict.fromkeys(ranks) if p not in pilot]


class _Race:
    """Which protocols are still in the running."""

    def __init__(self, memo: Memo, protocols: Sequence[Protocol], known: NDArray[np.float64] | None) -> None:
        self._memo, self._protocols = memo, protocols
        self._surrogate = Surrogate(protocols, known)
        self._fewest = 0 if known is None else HINTED_FEWEST
        self._entered: dict[Protocol, None] = {}
        self._lost: dict[Protocol, float] = {}

    def enter(self, protocols: Sequence[Protocol]) -> None:
        """Record that these are being judged."""
        self._entered.update(dict.fromkeys(protocols))
        step = (SearchStep(len(p.actions), 0, Protocol(()), p, 0.0, kept=False) for p in protocols)
        self._memo.pending = (*self._memo.pending, *step)

    def next_protocols(self, count: int) -> list[Protocol]:
        """The protocols of lowest bound, best first; none if no bound is under the best risk."""
        memo = self._memo
        known = {p: memo[p] for p in self._protocols if p in memo}
        best = min(known.values())
        noise = {p: self._deviation(len(memo.risks(p))) for p in self._lost}
        mean, deviation = self._surrogate.guess({**known, **self._lost}, noise)
        bound = mean - REACH * deviation
        few = len(known) + len(self._lost) < self._fewest
        open_ = [n for n, p in enumerate(self._protocols) if p not in self._entered and (few or bound[n] < best)]
        return [self._protocols[n] for n in sorted(open_, key=lambda n: (bound[n], n))[:count]]

    def lost(self, protocol: Protocol) -> bool:
        """True if the replicas so far say that a protocol cannot become the best."""
        memo = self._memo
        risks = memo.risks(protocol)
        if not risks or protocol in memo:
            return False
        if protocol not in self._lost:
            whole = [p for p in self._protocols if p in memo]
            predicted = memo.score(protocol, self._foretold(risks, whole))
            if predicted - RACE * self._deviation(len(risks)) > min(memo[p] for p in whole):
                self._lost[protocol] = predicted
        return protocol in self._lost

    def _foretold(self, risks: Mapping[int, float], whole: Sequence[Protocol]) -> list[float]:
        """Log-risk of each of the T replicas: as judged, or as far from the others as the judged ones are.

        Args:
            risks: of the replicas that were judged.
            whole: protocols all of whose replicas are known.
        """
        memo = self._memo
        mean = [float(np.mean([memo.risks(p)[n] for p in whole])) for n in range(memo.replicas)]
        apart = float(np.mean([risk - mean[n] for n, risk in risks.items()]))
        return [risks.get(n, mean[n] + apart) for n in range(memo.replicas)]

    def _deviation(self, replicas: int) -> float:
        """Standard deviation of the mean over T about what the first n replicas predict."""
        memo = self._memo
        if memo.replicas == 1 or replicas == memo.replicas:
            return 0.0
        table = np.array(
            [[memo.risks(p)[n] for n in range(memo.replicas)] for p in self._protocols if p in memo]
        )  # (M, T)
        rest = table - table.mean(0) - table.mean(1, keepdims=True) + table.mean()
        free = max(1, (len(table) - 1) * (memo.replicas - 1))
        s = float(np.sqrt((rest**2).sum() / free))
        return s * float(np.sqrt(1 / replicas - 1 / memo.replicas))

    def tree(self, finished: bool = False) -> tuple[SearchStep, ...]:
        """Every protocol that was judged or given up, in the order in which they entered."""
        memo, root = self._memo, Protocol(())
        judged = [p for p in self._entered if p in memo]
        best = min(judged, key=memo.key) if finished and judged else None
        steps = []
        for p in self._entered:
            risk = memo[p] if p in memo else self._lost.get(p)
            if risk is not None:
                steps.append(SearchStep(len(p.actions), 0, root, p, risk, kept=p == best))
        memo.pending = tuple(e for e in memo.pending if e.child not in memo and e.child not in self._lost)
        return tuple(steps)
