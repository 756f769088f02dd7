"""A search over a toy world in a process of its own, to be killed: `toy_search.py FOLDER SEED` writes plan.json."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from MeWMLib.core.patient import Clinical
from MeWMLib.core.plan import SEARCH_NAMES, PlanSettings, TumourChange
from MeWMLib.core.protocol import ActionSpace, agents_of
from MeWMLib.exploration import Verdict, explore
from MeWMLib.planning.journal import Journal
from MeWMLib.planning.search import Batch

PAUSE_S = 0.004


def verdict(seed: int, text: str, replica: int) -> Verdict:
    """A risk drawn from the text of the protocol and the replica."""
    digest = hashlib.sha256(f"{seed} {text} {replica}".encode()).digest()
    risk = int.from_bytes(digest[:6], "big") / 2**48
    return Verdict(risk, (0.0, 12.0), (1.0, 1 - risk / 3), TumourChange(9.0, 9 * risk, 8.0, 8 * risk, risk, 30.0, 20.0))


def main(folder: Path, seed: int) -> None:
    """Search, slowly, with a journal."""
    settings = PlanSettings(
        search=SEARCH_NAMES[seed % 3], drugs=4, embolics=3, beams=3, replicas=2, dose_levels=2 * (seed % 2)
    )
    space = ActionSpace(agents_of("drug")[:4], agents_of("embolic")[:3], {}, "test")

    def judge(batches: Sequence[Batch]) -> Iterator[list[Verdict]]:
        for batch in batches:
            time.sleep(PAUSE_S)
            yield [verdict(seed, p.text, n) for p, n in batch]

    with Journal(folder / "journal", {"seed": seed}) as journal:
        plan = explore(space, settings, Clinical(), judge, journal)
    found = {"search": settings.search, **plan.to_json()}
    (folder / "plan.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
