"""From a click to the overlay in the stand-in host, in two builds in one run (`make bench-click`).

Each build opens its module in the host, loads the sample `lits-117`, and simulates one protocol after the other by what
the button *Simulate* calls, with its own worker; a click ends when the overlay is in the slice views. The builds take
turns, so that a busy machine slows both. The baseline is the commit of a worktree (`git worktree add FOLDER 78b9b54`).

Prints seconds by click and ratios, and seconds of processor, which say more on a busy machine. Nothing is asserted.
The first click of a build starts Python and loads networks; the second and later ones are what a user waits for.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY))

from measured import figure, ratio, write_figures  # noqa: E402

#: Different each time, as a user compares protocols; the last one is the first again.
PROTOCOLS = (
    "Epirubicin 30 mg + Lipiodol 10 ml",
    "Cisplatin 60 mg + Lipiodol 10 ml",
    "Doxorubicin 50 mg + Gelatin Sponge",
    "Epirubicin 30 mg + Lipiodol 10 ml",
)

#: Runs in a process of its own, with the sources of one build; what it answers are lines of JSON.
_HOST = r"""
import json, os, sys, time
root, replicas = sys.argv[1], int(sys.argv[2])
sys.path[:0] = [root, root + "/Testing"]
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
import slicer_host
slicer_host.start()
import slicer
from MeWMLib.core.protocol import Protocol
from MeWMLib.cohorts.samples import load_sample
import psutil
from PySide6 import QtCore
loaded = slicer_host.load_module(root + "/MeWM/MeWM.py")
front = loaded.widget.front

class Watch:
    def __init__(self):
        self.timer = QtCore.QTimer()
        self.timer.setInterval(2)
        self.timer.timeout.connect(self.tick)
        self.timer.start()
        # as slicer_host.watch does, which older builds do not
        dispatcher = QtCore.QAbstractEventDispatcher.instance()
        dispatcher.awake.connect(self.tick)
        dispatcher.aboutToBlock.connect(self.tick)
        self.reset()

    def reset(self):
        self.gap = self.busy = 0.0
        self.last, self.last_busy = time.monotonic(), time.thread_time()

    def tick(self):
        now, busy = time.monotonic(), time.thread_time()
        self.gap, self.busy = max(self.gap, now - self.last), max(self.busy, busy - self.last_busy)
        self.last, self.last_busy = now, busy

watch = Watch()

def wait(condition, seconds=900.0):
    until = time.monotonic() + seconds
    while not condition():
        box = front.messages.box
        if box is not None:
            error = front.messages.last
            raise SystemExit(f"an error came up: {error}")
        if time.monotonic() > until:
            raise SystemExit(f"waited {seconds:.0f} s")
        slicer.app.processEvents()
        time.sleep(0.001)

def processor():
    # of this process and of every worker, those that have ended and the one that stays
    times, own = os.times(), psutil.Process()
    living = [p.cpu_times() for p in own.children(recursive=True)]
    return sum(times[:4]) + sum(t.user + t.system for t in living)

def foreground():
    from MeWMLib.scene.comparison import slice_nodes
    return slice_nodes(slicer.mrmlScene, "Red")[1].GetForegroundVolumeID() or ""

box = front.patient.ui.sampleBox
box.setCurrentIndex(box.findData("lits-117"))
front.patient.ui.sampleButton.click()
wait(lambda: front.parameters.ct is not None and not front.desk.busy)
front.parameters.simulation.replicas = replicas
print(json.dumps({"ready": True}), flush=True)
for line in sys.stdin:
    text = json.loads(line)
    former = front.comparison.id if front.comparison is not None else ""
    # so that older builds know the segments too; this build shows its panels one in a turn
    front.refresh()
    watch.reset()
    begun, computed = time.monotonic(), processor()
    # as the button does; two lesions of this sample are alike, and the largest is treated without a question
    named = [("A", Protocol.parse(text))]
    # older builds never ask
    more = {"accepting": ("accept_labels",)} if hasattr(front.tasks, "accept_and_repeat") else {}
    front.guard(lambda: front.tasks.simulate(named, **more))
    wait(lambda: front.comparison is not None and front.comparison.id != former and foreground())
    seconds = time.monotonic() - begun
    wait(lambda: not front.desk.busy)
    computed = processor() - computed
    memory = getattr(getattr(front.desk, "warm", None), "memory_mb", 0.0)
    told = {"seconds": seconds, "cpu_seconds": computed, "gap_ms": 1000 * watch.gap}
    print(json.dumps({**told, "busy_ms": 1000 * watch.busy, "memory_mb": memory}), flush=True)
front.close()
"""


class Build:
    """The module of one source tree, open in a process."""

    def __init__(self, root: Path, replicas: int) -> None:
        environment = {**os.environ, "PYTHONPATH": str(root), "MEWM_BUNDLES": str(root / "Resources" / "Bundles")}
        self._process = subprocess.Popen(
            [sys.executable, "-c", _HOST, str(root), str(replicas)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=root,
        )  # fmt: skip
        self._answer()

    def _answer(self) -> dict[str, float]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):
                found: dict[str, float] = json.loads(line)
                return found
        raise SystemExit(f"the host ended with exit code {self._process.wait()}")

    def click(self, protocol: str) -> dict[str, float]:
        """Simulate a protocol; what it took."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(protocol) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)


def main() -> None:
    """Run both builds in turns and print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--baseline", type=Path, required=True, help="a worktree of commit 78b9b54")
    parser.add_argument("--replicas", type=int, default=3)
    parser.add_argument("--clicks", type=int, default=len(PROTOCOLS), choices=range(2, len(PROTOCOLS) + 1))
    parser.add_argument("--json", type=Path, help="file for the figures")
    arguments = parser.parse_args()
    builds = {
        "this build": Build(REPOSITORY, arguments.replicas),
        "baseline": Build(arguments.baseline, arguments.replicas),
    }
    found: dict[str, list[dict[str, float]]] = {name: [] for name in builds}
    for protocol in PROTOCOLS[: arguments.clicks]:
        for name, build in builds.items():
            found[name].append(build.click(protocol))
            one = found[name][-1]
            sys.stdout.write(
                f"{name}: {protocol}: {one['seconds']:.1f} s ({one['cpu_seconds']:.1f} s of processor), longest gap "
                f"{one['gap_ms']:.0f} ms, at a go {one['busy_ms']:.0f} ms, worker keeps {one['memory_mb']:.0f} MB\n"
            )
            sys.stdout.flush()
    for build in builds.values():
        build.close()
    for unit in ("seconds", "cpu_seconds"):
        times = _figures(found, slice(1, None))[f"{unit}_ratio"]["mean"]
        sys.stdout.write(f"second and later clicks, {unit}: {times:.2f} times fewer than the baseline\n")
    if arguments.json:
        rows = {"first": _figures(found, slice(0, 1)), "later": _figures(found, slice(1, None))}
        cohort = f"sample:lits-117, {arguments.replicas} replicas, {arguments.clicks} clicks of each build in turns"
        command = "make bench-click BASELINE=../baseline"
        write_figures(arguments.json, rows, command, cohort, f"cpu, {os.cpu_count()} cores; baseline 78b9b54")


def _figures(found: dict[str, list[dict[str, float]]], clicks: slice) -> dict[str, dict[str, float]]:
    """Medians of some clicks and their ratios, and the longest turn of this build."""
    mine, theirs = found["this build"][clicks], found["baseline"][clicks]
    out: dict[str, dict[str, float]] = {}
    for name in ("seconds", "cpu_seconds"):
        out[name] = figure([one[name] for one in mine])
        out[f"baseline_{name}"] = figure([one[name] for one in theirs])
        out[f"{name}_ratio"] = ratio([one[name] for one in theirs], [one[name] for one in mine])
    for name in ("gap_ms", "busy_ms", "memory_mb"):
        out[name] = figure([one[name] for one in mine], "greatest")
    return out


if __name__ == "__main__":
    main()
