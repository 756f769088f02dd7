"""From the command to the picture in two builds, in one run (`make bench-plan BASELINE=FOLDER`).

Runs `mewm plan` (and `mewm segment` of a large scan) with this build and with that of a worktree
(`git worktree add FOLDER 78b9b54`), in turns, so that a busy machine slows both. Prints, for each case and build, the
seconds of every stage, seconds of the processor, which say more on a busy machine, the peak memory of the worker, and
the ratios. HCC_009's portal series is among the cases where `MEWM_SHARED_DATA` names the folder of the real data.

The warm cases are jobs in a worker that stays, as the module of Slicer has it, after one plan of `sample:lits-117`;
the baseline, which has no such worker or another one, starts the same command anew. Every stage runs on the device that
`--device` names. `--json FILE` keeps the figures. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY))

from measured import figure, ratio, write_figures  # noqa: E402

from MeWMLib.cohorts.samples import load_sample  # noqa: E402
from MeWMLib.core.io import write_volume  # noqa: E402
from MeWMLib.core.volume import Geometry  # noqa: E402
from MeWMLib.jobs.job import Event, Job  # noqa: E402
from MeWMLib.jobs.warm import WarmWorker  # noqa: E402
from MeWMLib.perception.preprocess import resample_volume  # noqa: E402

_SHORT = ["--no-report", "--no-scene", "--keep", "1"]
WHAT_IF = "Doxorubicin + DC Bead"
#: Case, command, and what it is called with before `--out`; a missing case is a file or folder that is made first.
CASES: dict[str, tuple[str, list[str]]] = {
    "lits-117": ("plan", ["sample:lits-117"]),
    "lits-117, to the ranking": ("plan", ["sample:lits-117", *_SHORT]),
    "HCC_009 portal": ("plan", ["HCC_009", "--series", "103"]),
    "synthetic 512 x 512 x 300": ("segment", ["LARGE"]),
}
#: What this build asks about a case, and an older one does not know: stomach full of contrast agent is outlined too.
ASKED = {"HCC_009 portal": ["--accept-labels"]}
#: Names of the rows that documents ask for.
ROWS = {
    "lits-117": "lits-117", "lits-117, to the ranking": "lits-117_to_ranking", "HCC_009 portal": "hcc_009_portal",
    "synthetic 512 x 512 x 300": "segment_large", "another patient, warm, to the ranking": "second_patient_warm",
    "what if, warm": "what_if_warm",
}  # fmt: skip
#: Jobs of a worker that stays: case, command, words of the command that the baseline starts, and the job.
WARM: dict[str, tuple[str, list[str], Job]] = {
    "another patient, warm, to the ranking": (
        "plan", ["sample:synthetic", *_SHORT], Job("plan", {"case": "sample:synthetic"}, settings={"keep": 1}),
    ),
    "what if, warm": (
        "simulate", ["sample:lits-117", "--protocol", WHAT_IF, "--replicas", "1", "--no-report", "--no-scene"],
        Job("simulate", {"case": "sample:lits-117", "protocol": WHAT_IF}, settings={"replicas": 1}),
    ),
}  # fmt: skip
LARGE = (300, 512, 512)
ARCHIVE = "HCC-TACE-Seg_HCC_009_dicom.tar.xz"


def given(word: str, folder: Path) -> str | None:
    """What a case reads; None where it is not at hand."""
    if word == "LARGE":
        path = folder / "large.nrrd"
        return str(path if path.exists() else large_scan(folder))
    if word == "HCC_009":
        archive, out = Path(os.environ.get("MEWM_SHARED_DATA", "")) / ARCHIVE, folder / word
        if not archive.is_file():
            return None
        if not out.exists():
            with tarfile.open(archive) as file:
                file.extractall(out, filter="data")
        return str(out)
    return word


def large_scan(folder: Path) -> Path:
    """The synthetic sample on a grid of 512 x 512 x 300 voxels."""
    ct = load_sample("synthetic").ct
    size = np.array(ct.geometry.shape) * ct.geometry.spacing / np.array(LARGE)
    affine = ct.geometry.affine.copy()
    affine[:3, :3] *= (size / np.array(ct.geometry.spacing))[::-1]
    path = folder / "large.nrrd"
    write_volume(resample_volume(ct, Geometry(LARGE, affine)), path)
    return path


def run(build: Path, command: str, words: list[str], out: Path, device: str) -> dict[str, Any]:
    """One cold run of a build, with its own sources in this Python."""
    target = out.with_suffix(".seg.nrrd") if command == "segment" else out
    arguments = [sys.executable, "-m", "MeWMLib.cli", command, *words, "--out", str(target), "--quiet"]
    arguments += ["--device", device]
    environment = {**os.environ, "PYTHONPATH": str(build), "PYTHONUTF8": "1"}
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(arguments, cwd=build, env=environment, capture_output=True, text=True, check=False)
    wall, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)} in {build}: {done.stderr[-2000:]}")
    found: dict[str, Any] = {
        "seconds": wall,
        "processor": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
    }
    if (out / "run.json").is_file():
        told = json.loads((out / "run.json").read_text(encoding="utf-8"))
        found |= {"stages": told["stages_s"], "memory_mb": told["peak_memory_mb"]}
    return found


class Stays:
    """A worker of this build that stays between jobs, and has planned once."""

    def __init__(self, folder: Path, device: str) -> None:
        self.worker = WarmWorker(lambda: [sys.executable, "-m", "MeWMLib.jobs.worker"])
        self.folder, self.device, self.count = folder, device, 0
        self.run(Job("plan", {"case": "sample:lits-117"}, settings={"keep": 1}))

    def run(self, job: Job) -> dict[str, Any]:
        """Seconds of a job until its ranking is there, or of a simulation until its end."""
        self.count += 1
        process = psutil.Process(self.worker.pid).cpu_times() if self.worker.pid else None
        found: dict[str, Any] = {}
        start = time.monotonic()

        def take(event: Event) -> None:
            if event.stage == "simulate" and job.kind == "plan":
                found.setdefault("seconds", time.monotonic() - start)

        with self.worker.runner() as runner:
            runner.start(replace(job, out=str(self.folder / f"warm-{self.count}"), device=self.device), take)
            runner.wait(600.0)
        found.setdefault("seconds", time.monotonic() - start)
        if process is not None and self.worker.pid:
            after = psutil.Process(self.worker.pid).cpu_times()
            found["processor"] = after.user + after.system - process.user - process.system
        return found


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians."""
    both = ("seconds", "processor")
    out: dict[str, Any] = {name: statistics.median(r[name] for r in runs) for name in both if name in runs[0]}
    if "stages" in runs[0]:
        out["memory_mb"] = statistics.median(r["memory_mb"] for r in runs)
        out["stages"] = {
            name: statistics.median(r["stages"].get(name, 0.0) for r in runs) for name in runs[0]["stages"]
        }
    return out


def figures(mine: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> dict[str, Any]:
    """What is kept of a case: of each build, and the ratios of the runs that followed one another."""
    out = {"seconds": figure([r["seconds"] for r in mine]), "baseline_seconds": figure([r["seconds"] for r in theirs])}
    for name, key in (("ratio", "seconds"), ("processor_ratio", "processor"), ("memory_ratio", "memory_mb")):
        if key in mine[0] and key in theirs[0]:
            out[name] = ratio([one[key] for one in mine], [one[key] for one in theirs])
    if "stages" in mine[0]:
        out["memory_mb"] = figure([r["memory_mb"] for r in mine])
        out |= {f"stage_{name}": figure([r["stages"].get(name, 0.0) for r in mine]) for name in mine[0]["stages"]}
    return out


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--baseline", type=Path, required=True, help="worktree of the other build")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--case", action="append", choices=[*CASES, *WARM], help="default: all")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path, help="file for the figures")
    args = parser.parse_args()
    build, other = REPOSITORY, args.baseline.resolve()
    found: dict[str, Any] = {}
    rows: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        stays: Stays | None = None
        for case in args.case or [*CASES, *WARM]:
            command, words, *warm = CASES.get(case) or WARM[case]
            first = given(words[0], folder)
            if first is None:
                print(f"\n{case}: left out, MEWM_SHARED_DATA does not name the folder of the real data")
                continue
            mine, theirs = [], []
            for n in range(args.repeats):
                out = folder / f"{len(found)}-{n}"
                if warm:
                    stays = stays or Stays(folder, args.device)
                    # a simulation is not kept under another seed
                    mine.append(stays.run(replace(warm[0], seed=n)))
                else:
                    mine.append(
                        run(build, command, [first, *words[1:], *ASKED.get(case, ())], out / "mine", args.device)
                    )
                theirs.append(run(other, command, [first, *words[1:]], out / "theirs", args.device))
            found[case] = {"this build": summary(mine), "baseline": summary(theirs)}
            rows[ROWS[case]] = figures(mine, theirs)
            print(f"\n{case}: mewm {command}, {args.repeats} runs of each build in turns, medians")
            show(found[case])
        if stays is not None:
            stays.worker.close()
    if args.json:
        cohort = f"{args.repeats} runs of each build in turns: median, least and greatest"
        command = "make bench-plan BASELINE=../baseline"
        write_figures(args.json, rows, command, cohort, f"{args.device}, {os.cpu_count()} cores; baseline 78b9b54")


def show(builds: dict[str, dict[str, Any]]) -> None:
    """A line for each figure, with the ratio."""
    mine, other = builds["this build"], builds["baseline"]
    rows = [("seconds", mine["seconds"], other["seconds"])]
    if "processor" in mine:
        rows.append(("of the processor", mine["processor"], other["processor"]))
    if "stages" in mine and "stages" in other:
        rows += [(f"  {n}", s, other["stages"].get(n, float("nan"))) for n, s in mine["stages"].items()]
        rows.append(("peak memory, MB", mine["memory_mb"], other["memory_mb"]))
    print(f"{'':24}{'this build':>12}{'baseline':>12}{'ratio':>8}")
    for name, one, two in rows:
        print(f"{name:24}{one:12.2f}{two:12.2f}{one / two if two else float('nan'):8.2f}")


if __name__ == "__main__":
    main()
