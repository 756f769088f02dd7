"""Pieces of work beside one another: their order, their errors, their threads."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import pytest
import torch

from MeWMLib.world.abreast import Abreast


@pytest.mark.parametrize("count", [1, 2, 3])
def test_each_item_is_done_once_and_found_in_its_place(count: int) -> None:
    seen: list[int] = []

    def work(n: int) -> int:
        time.sleep(0.01 * (5 - n))  # the last is done first
        seen.append(n)
        return n * n

    assert Abreast(count).each(work, range(6)) == [0, 1, 4, 9, 16, 25]
    assert sorted(seen) == list(range(6))


def test_as_many_are_at_work_as_there_may_be() -> None:
    both = threading.Barrier(2, timeout=20.0)
    assert sorted(Abreast(2).each(lambda n: both.wait(), range(2))) == [0, 1]  # neither goes on without the other
    here = threading.get_ident()
    assert set(Abreast(1).each(lambda n: threading.get_ident(), range(3))) == {here}
    assert here not in Abreast(2).each(lambda n: threading.get_ident(), [1])


def test_the_first_error_is_raised_when_all_have_ended() -> None:
    ended: list[int] = []

    def work(n: int) -> None:
        if n == 0:
            raise ValueError("the first")
        time.sleep(0.05)
        ended.append(n)

    with pytest.raises(ValueError, match="the first"):
        Abreast(2).each(work, range(4))
    assert sorted(ended) == [1, 2, 3]


def test_each_piece_computes_on_one_thread_and_the_others_keep_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        both = threading.Barrier(2, timeout=20.0)

        def work(_: int) -> int:
            both.wait()
            return torch.get_num_threads()

        assert Abreast(2).each(work, range(2)) == [1, 1]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_a_program_that_has_not_used_torch_yet_keeps_its_threads() -> None:
    # in a process of its own: what a thread has asked once cannot be forgotten
    code = (
        "import torch\n"
        "from MeWMLib.world.abreast import Abreast\n"
        "torch.set_num_threads(2)\n"
        "print(Abreast(2).each(lambda _: torch.get_num_threads(), range(2)), torch.get_num_threads())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[0] == "[1, 1] 2"
