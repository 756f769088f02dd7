"""From the command to the picture in two builds, in one run (`make bench-plan BASELINE=FOLDER`).

Runs `mewm plan` (and `mewm segment` of a large scan) with this build and with that of a worktree
(`git worktree add FOLDER 78b9b54`), in turns, so that a busy machine slows both. Prints, for each case and build, the
seconds of every stage, seconds of the processor, which say more on a busy machine, the peak memory of the worker, and
the ratios. `--json FILE` keeps them. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY))

from MeWMLib.cohorts.samples import load_sample  # noqa: E402
from MeWMLib.core.io import write_volume  # noqa: E402
from MeWMLib.core.volume import Geometry  # noqa: E402
from MeWMLib.perception.preprocess import resample_volume  # noqa: E402

#: Case, command, and what it is called with before `--out`.
CASES = {
    "lits-117": ("plan", ["sample:lits-117"]),
    "lits-117, to the ranking": ("plan", ["sample:lits-117", "--no-report", "--no-scene", "--keep", "1"]),
    "synthetic 512 x 512 x 300": ("segment", []),
}
LARGE = (300, 512, 512)


def large_scan(folder: Path) -> Path:
    """The synthetic sample on a grid of 512 x 512 x 300 voxels."""
    ct = load_sample("synthetic").ct
    size = np.array(ct.geometry.shape) * ct.geometry.spacing / np.array(LARGE)
    affine = ct.geometry.affine.copy()
    affine[:3, :3] *= (size / np.array(ct.geometry.spacing))[::-1]
    path = folder / "large.nrrd"
    write_volume(resample_volume(ct, Geometry(LARGE, affine)), path)
    return path


def run(build: Path, command: str, words: list[str], out: Path) -> dict[str, Any]:
    """One cold run of a build, with its own sources in this Python."""
    target = out if command == "plan" else out.with_suffix(".seg.nrrd")
    arguments = [sys.executable, "-m", "MeWMLib.cli", command, *words, "--out", str(target), "--quiet"]
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


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians."""
    out: dict[str, Any] = {name: statistics.median(r[name] for r in runs) for name in ("seconds", "processor")}
    if "stages" in runs[0]:
        out["memory_mb"] = statistics.median(r["memory_mb"] for r in runs)
        out["stages"] = {
            name: statistics.median(r["stages"].get(name, 0.0) for r in runs) for name in runs[0]["stages"]
        }
    return out


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--baseline", type=Path, required=True, help="worktree of the other build")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--case", action="append", choices=CASES, help="default: all")
    parser.add_argument("--json", type=Path, help="file for the figures")
    args = parser.parse_args()
    builds = {"this build": REPOSITORY, "baseline": args.baseline.resolve()}
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for case in args.case or CASES:
            command, words = CASES[case]
            given = words or [str(large_scan(folder))]
            runs: dict[str, list[dict[str, Any]]] = {name: [] for name in builds}
            for n in range(args.repeats):
                for name, build in builds.items():
                    out = folder / f"{len(found)}-{n}-{name.replace(' ', '-')}"
                    runs[name].append(run(build, command, given, out))
            found[case] = {name: summary(some) for name, some in runs.items()}
            print(f"\n{case}: mewm {command}, {args.repeats} cold runs of each build in turns, medians")
            show(found[case])
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def show(builds: dict[str, dict[str, Any]]) -> None:
    """A line for each figure, with the ratio."""
    mine, other = builds["this build"], builds["baseline"]
    rows = [("seconds", mine["seconds"], other["seconds"]), ("of the processor", mine["processor"], other["processor"])]
    if "stages" in mine:
        rows += [(f"  {n}", s, other["stages"].get(n, float("nan"))) for n, s in mine["stages"].items()]
        rows.append(("peak memory, MB", mine["memory_mb"], other["memory_mb"]))
    print(f"{'':24}{'this build':>12}{'baseline':>12}{'ratio':>8}")
    for name, one, two in rows:
        print(f"{name:24}{one:12.2f}{two:12.2f}{one / two if two else float('nan'):8.2f}")


if __name__ == "__main__":
    main()
