"""The journal: what it keeps, what it refuses, and 50 searches killed at random moments."""

from __future__ import annotations

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
from MeWMLib.jobs.runner import child_environment
from MeWMLib.planning.journal import Journal

A, B = Protocol.parse("Cisplatin + Lipiodol"), Protocol.parse("Mitomycin 10 mg + PVA")
ONE, TWO = ((A, 0), (A, 1)), ((B, 0),)
KEY = {"patient": "p", "seed": 3}
KILLS = 50


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


def start(folder: Path, seed: int) -> subprocess.Popen[bytes]:
    script = Path(__file__).with_name("toy_search.py")
    return subprocess.Popen(
        [sys.executable, str(script), str(folder), str(seed)], env=child_environment(), stderr=subprocess.PIPE
    )


def finish(process: subprocess.Popen[bytes]) -> None:
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors.decode()


@pytest.mark.slow
def test_50_kills_at_random_moments_change_nothing(tmp_path: Path) -> None:
    """Each search of a toy world is killed again and again and started again, until 50 kills have been made."""
    kills = interrupted = seed = 0
    rng = random.Random(2024)
    while kills < KILLS:
        undisturbed, killed = tmp_path / f"{seed}-whole", tmp_path / f"{seed}-killed"
        finish(start(undisturbed, seed))
        here = 0
        while True:
            process = start(killed, seed)
            journal = killed / "journal"
            before = journal.stat().st_size if journal.exists() else 0
            # wait until it has begun to write, so that the kill falls into the search, then some milliseconds more
            while process.poll() is None and (not journal.exists() or journal.stat().st_size <= before):
                time.sleep(0.001)
            time.sleep(rng.uniform(0, 0.03))
            if kills < KILLS and process.poll() is None:
                os.kill(process.pid, signal.SIGKILL)
                process.communicate()
                kills, here = kills + 1, here + 1
                interrupted += not (killed / "plan.json").exists()
                continue
            finish(process)
            break
        plans = [json.loads((folder / "plan.json").read_text()) for folder in (undisturbed, killed)]
        assert plans[0] == plans[1], f"toy seed {seed}"
        print(f"toy seed {seed} ({plans[0]['search']}): {here} kills, the same plan")
        seed += 1
    assert interrupted > KILLS // 2
