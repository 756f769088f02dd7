"""Whose job is next: nobody waits because another has sent many, and what somebody waits for goes before a cohort."""

from __future__ import annotations

from collections import Counter
from statistics import median

import pytest

from MeWMLib.jobs.fair_queue import PATIENCE, FairQueue
from MeWMLib.jobs.store import COHORT, Row


def rows(*asked: tuple[str, int], kind: str = "segment", priority: int = 0) -> list[Row]:
    """So many jobs of each user, all of the first user's first."""
    names = [owner for owner, number in asked for _ in range(number)]
    return [Row(str(n), str(n), owner=o, kind=kind, priority=priority, sequence=n) for n, o in enumerate(names)]


def drained(queue: FairQueue, waiting: list[Row]) -> list[Row]:
    left, found = list(waiting), []
    while (row := queue.next(left)) is not None:
        left.remove(row)
        found.append(row)
    assert not left
    return found


def test_users_take_turns_however_many_jobs_one_has_sent():
    order = [row.owner for row in drained(FairQueue(lambda row: 1.0), rows(("a", 50), ("b", 3), ("c", 3)))]
    assert Counter(order[:9]) == {"a": 3, "b": 3, "c": 3}


def test_the_jobs_of_one_user_keep_their_order():
    order = [row.sequence for row in drained(FairQueue(lambda row: 1.0), rows(("a", 5), ("b", 5))) if row.owner == "a"]
    assert order == sorted(order)


def test_ten_users_who_ask_equally_wait_equally():
    order = drained(FairQueue(lambda row: 1.0), rows(*((f"u{n}", 10) for n in range(10))))
    waits = {f"u{n}": median(at for at, row in enumerate(order) if row.owner == f"u{n}") for n in range(10)}
    assert max(waits.values()) <= 1.1 * min(waits.values())
    for begin in range(0, 100, 10):
        assert len({row.owner for row in order[begin : begin + 10]}) == 10, "a turn for everybody in every round"
    assert all(one.owner != next_one.owner for one, next_one in zip(order, order[1:], strict=False))


def test_who_asks_again_at_once_waits_for_the_next_round():
    queue, waiting = FairQueue(lambda row: 1.0), rows(("a", 3), ("b", 3), ("c", 3))
    quick, order = Row("q0", "q0", owner="quick", sequence=50), []
    for n in range(8):
        row = queue.next([*waiting, quick])
        order.append(row.owner)
        if row.owner == "quick":
            quick = Row(f"q{n + 1}", f"q{n + 1}", owner="quick", sequence=51 + n)
        else:
            waiting.remove(row)
    assert Counter(order) == dict.fromkeys(("a", "b", "c", "quick"), 2), order


def test_time_is_shared_and_not_the_number_of_jobs():
    long, short = rows(("long", 20), kind="plan"), rows(("short", 200))
    waiting = [
        *long,
        *(Row(f"s{r.id}", f"s{r.id}", owner="short", kind="segment", sequence=100 + r.sequence) for r in short),
    ]
    cost = lambda row: 10.0 if row.kind == "plan" else 1.0  # noqa: E731
    spent: Counter[str] = Counter()
    for row in drained(FairQueue(cost), waiting)[:110]:
        spent[row.owner] += int(cost(row))
    assert 0.8 < spent["long"] / spent["short"] < 1.25


def test_who_comes_later_has_not_saved_up_anything():
    queue = FairQueue(lambda row: 1.0)
    first = rows(("a", 20))
    for _ in range(10):
        first.remove(queue.next(first))
    later = [*first, *(Row(f"b{n}", f"b{n}", owner="b", sequence=100 + n) for n in range(10))]
    order = [row.owner for row in drained(queue, later)]
    assert max(len(run) for run in "".join(order).split("a")) <= 1


def test_interactive_jobs_go_before_a_cohort_which_is_not_forgotten():
    cohort = rows(("c", 5), priority=COHORT)
    waiting = [*cohort, *(Row(f"i{n}", f"i{n}", owner="i", sequence=50 + n) for n in range(30))]
    order = [row.owner for row in drained(FairQueue(lambda row: 1.0), waiting)]
    assert order[:PATIENCE] == ["i"] * PATIENCE and order[PATIENCE] == "c"
    assert order.index("c", PATIENCE + 1) == 2 * PATIENCE + 1


def test_who_has_enough_at_work_waits():
    waiting = rows(("a", 3), ("b", 1))
    queue = FairQueue(lambda row: 1.0)
    assert queue.next(waiting, held=["a"]).owner == "b"
    assert queue.next(waiting[:3], held=["a"]) is None and queue.next([]) is None


@pytest.mark.parametrize("before", [0, 1, 7])
def test_the_order_that_is_told_is_the_order_that_comes(before):
    queue = FairQueue(lambda row: 1.0 + (row.sequence % 3))
    waiting = rows(("a", 9), ("b", 4), ("c", 1))
    for _ in range(before):
        waiting.remove(queue.next(waiting))
    told = [row.id for row in queue.order(waiting)]
    assert told == [row.id for row in drained(queue, waiting)]
