"""Whose job is next: deficit round robin between users, interactive jobs before those of a cohort.

M. Shreedhar and G. Varghese, "Efficient fair queuing using deficit round-robin", IEEE/ACM Transactions on Networking 4
(1996): every user in turn is given a quantum of time and may spend what has been saved up; a user with long jobs has as
much of the computer as one with short ones.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from MeWMLib.jobs.store import INTERACTIVE, Row

#: So many interactive jobs go before a cohort's that waits; then one of the cohort's goes.
PATIENCE = 8


@dataclass
class _Round:
    """One round over the users of a priority: who still has a turn, who had one, what each has saved (seconds)."""

    due: list[str] = field(default_factory=list)
    served: list[str] = field(default_factory=list)
    saved: dict[str, float] = field(default_factory=dict)
    #: The user whose turn it is has been given the quantum of this turn.
    given: bool = False

    def next(self, waiting: Mapping[str, Row], quantum: float, cost: Callable[[Row], float]) -> Row:
        """The next of the first jobs of each user."""
        for user in [one for one in self.due if one not in waiting]:
            # who has nothing to do saves nothing, and has had the turn that was begun
            if self.given and user == self.due[0]:
                self.served.append(user)
                self.given = False
            self.due.remove(user)
            self.saved.pop(user, None)
        known = {*self.due, *self.served}
        self.due += [user for user in waiting if user not in known]
        while True:
            if not self.due:
                # each round begins half a round further on: nobody is always first, and nobody goes twice in a row
                there = [user for user in self.served if user in waiting]
                half = len(there) // 2 if len(there) > 2 else 0
                self.due, self.served = there[half:] + there[:half], []
            user = self.due[0]
            if not self.given:
                self.saved[user] = self.saved.get(user, 0.0) + quantum
                self.given = True
            needed = cost(waiting[user])
            if needed <= self.saved[user]:
                self.saved[user] -= needed
                return waiting[user]
            self.served.append(self.due.pop(0))
            self.given = False


class FairQueue:
    """Chooses the next job.

    Args:
        cost: seconds that a job is expected to take, above 0.
    """

    def __init__(self, cost: Callable[[Row], float]) -> None:
        self._cost = cost
        self._rounds: dict[int, _Round] = {}
        self._in_a_row = 0

    def next(self, waiting: Sequence[Row], held: Collection[str] = ()) -> Row | None:
        """The job that goes next, None where nobody's may.

        Args:
            waiting: in the order of arrival.
            held: users who have as many jobs at work as they may.
        """
        first: dict[int, dict[str, Row]] = {}
        for row in waiting:
            if row.owner not in held:
                first.setdefault(row.priority, {}).setdefault(row.owner, row)
        return self._chosen(first) if first else None

    def _chosen(self, first: Mapping[int, Mapping[str, Row]]) -> Row:
        """The next of the first jobs of each user, by priority."""
        best = min(first)
        if best == INTERACTIVE and len(first) > 1:
            self._in_a_row += 1
            if self._in_a_row > PATIENCE:
                best, self._in_a_row = max(first), 0
        else:
            self._in_a_row = 0
        users = first[best]
        # a quantum that pays the dearest job: each user's turn comes to something
        quantum = max(self._cost(row) for row in users.values())
        return self._rounds.setdefault(best, _Round()).next(users, quantum, self._cost)

    def order(self, waiting: Sequence[Row]) -> list[Row]:
        """All jobs in the order in which they would go if nothing more came."""
        ahead = copy.copy(self)
        ahead._rounds = copy.deepcopy(self._rounds)
        left: dict[int, dict[str, deque[Row]]] = {}
        for row in waiting:
            left.setdefault(row.priority, {}).setdefault(row.owner, deque()).append(row)
        first = {priority: {owner: rows[0] for owner, rows in users.items()} for priority, users in left.items()}
        found: list[Row] = []
        while first:
            row = ahead._chosen(first)
            found.append(row)
            rows, users = left[row.priority][row.owner], first[row.priority]
            rows.popleft()
            if rows:
                users[row.owner] = rows[0]
            else:
                del users[row.owner]
                if not users:
                    del first[row.priority]
        return found
