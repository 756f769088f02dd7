"""The journal: what it keeps, what it refuses, and 50 searches killed at random moments."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from MeWMLib.core.errors import OutputError
from MeWMLib.core.protocol import Protocol
from MeWMLib.jobs.processes import child_environment
from MeWMLib.planning.journal import Journal

A, B = Protocol.parse("Cisplatin + Lipiodol"), Protocol.parse("Mitomycin 10 mg + PVA")
ONE, TWO = ((A, 0), (A, 1)), ((B, 0),)
KEY = {"patient": "p", "seed": 3}
KILLS, CHANCE = 50, 2024


def filled(path: Path) -> Path:
    with Journal(path, KEY) as journal:
        journal.record(ONE, [0.1, 1 / 3])
        journal.record(TWO, [{"log_risk": -2.5e-17}])
    return path


def test_what_was_recorded_is_recalled_to_the_bit(tmp_path: Path) -> None:
    with Journal(filled(tmp_path / "deep" / "j"), KEY) as journal:
        assert journal.recall(ONE) == [0.1, 1 / 3] and journal.recall(TWO) == [{"log_risk": -2.5e-17}]
        assert journal.recall(((A, 0),)) is None and journal.recall(((B, 1),)) is None
        assert (len(journal), journal.recalled) == (2, 2)


def test_another_key_begins_anew(tmp_path: Path) -> None:
    path = filled(tmp_path / "j")
    with Journal(path, {**KEY, "seed": 4}) as journal:
        assert len(journal) == 0 and journal.recall(ONE) is None
    with Journal(path, KEY) as journal:
        assert len(journal) == 0


def test_every_torn_end_leaves_the_lines_before_it(tmp_path: Path) -> None:
    whole = filled(tmp_path / "j").read_bytes()
    ends = [n + 1 for n, byte in enumerate(whole) if byte == 10]
    for size in range(len(whole)):
        torn = tmp_path / "torn"
        torn.write_bytes(whole[:size])
        with Journal(torn, KEY) as journal:
            assert len(journal) == max(0, sum(size >= end for end in ends) - 1)
            journal.record(TWO, [1.0])
        with Journal(torn, KEY) as journal:
            assert journal.recall(TWO) == [1.0]


def test_an_altered_or_misplaced_line_and_all_behind_it_are_dropped(tmp_path: Path) -> None:
    path = filled(tmp_path / "j")
    header, one, two, _ = path.read_bytes().split(b"\n")
    for lines, left in (
        ([header, one.replace(b"0.1", b"0.2"), two], 0),
        ([header, two, one], 0),
        ([header, one, one], 1),
        ([header, one, b"[]", two], 1),
        ([one, two], 0),
        ([b"\xff\xfe not text"], 0),
    ):
        path.write_bytes(b"\n".join([*lines, b""]))
        with Journal(path, KEY) as journal:
            assert len(journal) == left


def test_a_folder_in_its_place_is_said(tmp_path: Path) -> None:
    with pytest.raises(OutputError):
        Journal(tmp_path, KEY)


class Searches:
    """Starts toy searches, one at a time."""

    def __init__(self) -> None:
        script = Path(__file__).with_name("toy_search.py")
        self.process = subprocess.Popen(
            [sys.executable, str(script)],
            env=child_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, folder: Path, seed: int) -> int:
        """Begin a search; returns the id of its process."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(f"{folder} {seed}\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def wait(self) -> int:
        """Exit code of the search."""
        assert self.process.stdout is not None
        return int(self.process.stdout.readline())

    def close(self) -> None:
        """End."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()


def _wait_for_growth(file: Path, size: int, process: int) -> None:
    """Wait until a file has grown or a process has ended."""
    with contextlib.suppress(ProcessLookupError):
        while not file.exists() or file.stat().st_size <= size:
            os.kill(process, 0)
            time.sleep(0.001)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system knows no fork, by which the searches are started")
def test_50_kills_at_random_moments_change_nothing(tmp_path: Path) -> None:
    """Searches of toy worlds are killed again and again and started again, until 50 kills have been made."""
    rng = random.Random(CHANCE)
    print(f"kills drawn with seed {CHANCE}")
    kills = seed = went_on = 0
    searches = Searches()
    try:
        while kills < KILLS:
            undisturbed, killed = tmp_path / f"{seed}-whole", tmp_path / f"{seed}-killed"
            searches.start(undisturbed, seed)
            assert searches.wait() == 0
            here, journal = 0, killed / "journal"
            while True:
                before = journal.stat().st_size if journal.exists() else 0
                process = searches.start(killed, seed)
                if here < 12 and kills < KILLS:
                    if rng.random() < 0.8:
                        # on a loaded computer a search takes long to begin: the kill is to fall into its midst
                        _wait_for_growth(journal, before, process)
                    time.sleep(rng.uniform(0.0, 0.02))
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(process, signal.SIGKILL)
                if searches.wait() == 0:
                    break
                kills, here = kills + 1, here + 1
                went_on += journal.exists() and 0 < before < journal.stat().st_size
            plans = [json.loads((folder / "plan.json").read_text()) for folder in (undisturbed, killed)]
            assert plans[0] == plans[1], f"toy seed {seed}"
            print(f"toy seed {seed} ({plans[0]['search']}): {here} kills, the same plan")
            seed += 1
    finally:
        searches.close()
    assert went_on >= 10, "most kills fell outside of the search"
