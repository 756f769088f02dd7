"""Pieces of work beside one another, one processor core each.

The networks on coarse maps are so small that torch gains nothing by dividing one convolution among two threads (two
cores: 1.25 s for eight replicas by one thread and by two), while two replicas at once take 0.6 of the time. What a
piece computes does not depend on how many are at work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cached_property
from typing import TypeVar

import torch

Item = TypeVar("Item")
Found = TypeVar("Found")


def _alone() -> None:
    torch.set_num_threads(1)  # of this thread; the others keep theirs


class Abreast:
    """Does pieces of work in threads.

    Attributes:
        count: how many at a time; 1 does them here, one after the other. It may be lowered.
    """

    def __init__(self, count: int) -> None:
        self.count = max(1, count)

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        # a thread that has never asked takes over what another one sets (findings/)
        torch.get_num_threads()
        return ThreadPoolExecutor(self.count, thread_name_prefix="mewm", initializer=_alone)

    def each(self, work: Callable[[Item], Found], items: Iterable[Item]) -> list[Found]:
        """What `work` makes of each item, in their order.

        All are waited for also where one fails; the first error is raised then.
        """
        if self.count == 1:
            return [work(item) for item in items]
        # a lone one too: here it would compute on several threads, whose sums differ in their last digits
        futures = [self._pool.submit(work, item) for item in items]
        wait(futures)
        return [future.result() for future in futures]
