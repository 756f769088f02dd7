"""Searches over a toy world in processes of their own, to be killed.

Each line "FOLDER SEED" on standard input forks a process that searches and writes FOLDER/plan.json. The answer is its
id, then its exit code (-9 for a killed one): importing once and forking makes fifty kills a matter of seconds.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from MeWMLib.core.outcome import ReplicaScore, TumourChange
from MeWMLib.core.patient import Clinical
from MeWMLib.core.plan import SEARCH_NAMES, PlanSettings
from MeWMLib.core.protocol import ActionSpace, Protocol, agents_of
from MeWMLib.planning.journal import Journal
from MeWMLib.planning.search import Batch
from MeWMLib.world.exploration import explore

PAUSE_S = 0.004


def verdict(seed: int, text: str, replica: int) -> ReplicaScore:
    """A risk drawn from the text of the protocol and the replica."""
    digest = hashlib.sha256(f"{seed} {text} {replica}".encode()).digest()
    risk = int.from_bytes(digest[:6], "big") / 2**48
    return ReplicaScore(
        risk, (0.0, 12.0), (1.0, 1 - risk / 3), TumourChange(9.0, 9 * risk, 8.0, 8 * risk, risk, 30.0, 20.0)
    )


def main(folder: Path, seed: int) -> None:
    """Search, slowly, with a journal."""
    settings = PlanSettings(
        search=SEARCH_NAMES[seed % 3], drugs=4, embolics=3, beams=3, replicas=2, dose_levels=2 * (seed % 2)
    )
    space = ActionSpace(agents_of("drug")[:4], agents_of("embolic")[:3], {}, "test")

    def judge(batches: Sequence[Batch]) -> Iterator[list[ReplicaScore]]:
        for batch in batches:
            time.sleep(PAUSE_S)
            yield [verdict(seed, p.text, n) for p, n in batch]

    def hint(protocols: Sequence[Protocol]) -> NDArray[np.float64]:
        return np.array([[verdict(seed, p.text, 0).log_risk] for p in protocols])

    with Journal(folder / "journal", {"seed": seed}) as journal:
        plan = explore(space, settings, Clinical(), judge, journal, hint=None if seed % 2 else hint)
    found = {"search": settings.search, **plan.to_json()}
    (folder / "plan.json").write_text(json.dumps(found))


def serve() -> None:
    """Fork a search for each line of standard input."""
    for line in sys.stdin:
        folder, seed = line.split()
        Path(folder).mkdir(exist_ok=True)
        child = os.fork()
        if not child:
            try:
                main(Path(folder), int(seed))
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        sys.stdout.write(f"{child}\n")
        sys.stdout.flush()
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve()
