"""How long the window stands still with a CT of a hospital's size (`make bench-window`).

Opens the module in the stand-in host with a CT of 512 x 512 x N voxels, and does by its buttons what a user does:
loads it, measures, plans by one click, explores, shows another rank, draws surfaces. Jobs run in the module's own
worker with the released model and three replicas (or with the small test world, `--small`, which answers at once, so
that results come thicker). Each round is a process of its own.

Prints, for each action, the longest time without a turn of Qt's loop, and the most that the window's own thread
computed in one turn; `--json FILE` keeps them. Other programs on the same cores lengthen the first, not the second.
Nothing is asserted.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "Testing")]

from measured import figure, write_figures  # noqa: E402

#: The test's own worker, which answers by the small world.
SMALL = REPOSITORY / "Testing" / "jobs" / "fake_worker.py"
WAIT_S = 1800.0


def one_round(slices: int, small: bool) -> None:
    """Do everything once and print one JSON object."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    import slicer_host

    slicer_host.start()
    import slicer
    from slicer_host.large_case import large_case
    from slicer_host.watch import EventLoopWatch

    front = slicer_host.load_module(REPOSITORY / "MeWM" / "MeWM.py").widget.front
    from MeWMLib.scene import surfaces

    ct, labels = large_case(slices)
    front.load_sample = lambda name: SimpleNamespace(name="large", ct=ct, labels=labels, terms="", title="A large CT")
    if small:
        front.command = lambda: [sys.executable, str(SMALL)]
    told: dict[str, dict[str, float]] = {}

    def wait(condition: Callable[[], Any]) -> None:
        until = time.monotonic() + WAIT_S
        while not condition() or front.desk.busy or not front.settled:
            if front.messages.box is not None:
                raise SystemExit(f"an error came up: {front.messages.last}")
            if time.monotonic() > until:
                raise SystemExit(f"waited {WAIT_S:.0f} s")
            slicer.app.processEvents()
            time.sleep(0.002)

    def timed(name: str, begin: Callable[[], Any], done: Callable[[], Any]) -> None:
        with EventLoopWatch() as watch:
            begin()
            wait(done)
        told[name] = {"longest_gap_ms": watch.longest_ms, "computed_ms": 1000 * max(watch.busy)}

    timed("loading", front.patient.ui.sampleButton.click, lambda: front.parameters.ct is not None)
    front.parameters.simulation.replicas = front.parameters.exploration.replicas = 3
    timed("measuring", front.segmentation.ui.measureButton.click, lambda: front.parameters.findings)
    timed("click_to_overlay", front.planning.ui.planButton.click, lambda: front.comparison is not None)
    first = front.comparison.id
    timed("exploration", front.exploration.ui.exploreButton.click, lambda: front.comparison.id != first)
    shown = front.comparison
    other = lambda: shown.node("difference").GetAttribute("MeWM.Rank") == "2"  # noqa: E731
    timed("another_rank", lambda: front.show_rank(2), other)
    drawn = lambda: surfaces.drawn(shown.labels) and surfaces.drawn(shown.node("labels", 2))  # noqa: E731
    timed("surfaces", lambda: front.outcome.ui.surfacesBox.setChecked(True), drawn)
    print(json.dumps(told), flush=True)
    front.close()


def main() -> None:
    """Run the rounds and print the longest of each action."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slices", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--small", action="store_true", help="the small test world in the place of the networks")
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        one_round(args.slices, args.small)
        return
    command = [sys.executable, __file__, "--one", "--slices", str(args.slices), *(["--small"] if args.small else [])]
    rounds = []
    for _n in range(args.rounds):
        told = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
        rounds.append(json.loads(next(line for line in told if line.startswith("{"))))
        print(json.dumps({name: {k: round(v, 1) for k, v in one.items()} for name, one in rounds[-1].items()}))
    for name in rounds[0]:
        gap, computed = (max(one[name][key] for one in rounds) for key in ("longest_gap_ms", "computed_ms"))
        print(f"{name}: longest of {args.rounds}: {gap:.0f} ms without a turn, {computed:.0f} ms at a go")
    if args.json:
        rows = {
            name: {key: figure([one[name][key] for one in rounds], "greatest") for key in rounds[0][name]}
            for name in rounds[0]
        }
        cohort = f"drawn CT of 512 x 512 x {args.slices}, 3 replicas: the longest of {args.rounds} rounds"
        write_figures(args.json, rows, "make bench-window", cohort, f"cpu, {os.cpu_count()} cores, stand-in host")


if __name__ == "__main__":
    main()
