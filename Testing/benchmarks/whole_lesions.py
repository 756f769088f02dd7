"""Seconds and memory to simulate whole lesions by coarse maps, against the cube of another build, in one run.

`python Testing/benchmarks/whole_lesions.py --bundle FOLDER --baseline WORKTREE [--runs 3] [--steps 8]`

WORKTREE is a git worktree of the build to compare with; it simulates the cube around the largest lesion with the bundle
that it ships. Both simulate one replica from a measured patient to the composed CT, in turns, each in a process of its
own: the sample lits-117 with all its lesions, and a lone lesion of 50 mm. Beside other work seconds of the processor
(`OMP_NUM_THREADS=1`) are steadier than those of the clock.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

MEASURE = """
import json, resource, sys, time
import numpy as np
from MeWMLib.core.plan import PlanSettings
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.volume import Geometry, LabelMap, Volume
from MeWMLib.cohorts.samples import load_sample
try:
    from MeWMLib.core.bundles import find_bundle
    from MeWMLib.world.model import WorldModel
except ModuleNotFoundError:  # older builds
    from MeWMLib.bundles import find_bundle
    from MeWMLib.world import WorldModel

case, bundle, steps = sys.argv[1], sys.argv[2] or None, int(sys.argv[3])
if case == "lits-117":
    sample = load_sample("lits-117")
    ct, labels = sample.ct, sample.labels
else:
    geometry = Geometry((56, 200, 200), np.diag([-0.75, -0.75, 2.5, 1.0]))
    places = np.stack(np.indices(geometry.shape), -1) * geometry.spacing
    away = np.linalg.norm(places - 0.5 * np.array(geometry.shape) * geometry.spacing, axis=-1)
    labels = LabelMap(np.where(away < 25, 2, 1).astype(np.uint8), geometry)
    hu = np.random.default_rng(0).normal(110, 18, geometry.shape) - 30 * (away < 25)
    ct = Volume(hu.astype(np.int16), geometry, "portal")
world = WorldModel.load(find_bundle(bundle), "cpu")
patient = world.patient(id="bench", ct=ct, labels=labels)
protocol, settings = Protocol.parse("Doxorubicin + Lipiodol"), PlanSettings(replicas=1, steps=steps)
world.simulate(patient, protocol, [1], settings)  # what is made once for a patient
began, before = time.perf_counter(), time.process_time()
world.simulate(patient, protocol, [0], settings)
seconds, cpu = time.perf_counter() - began, time.process_time() - before
print(json.dumps({"seconds": seconds, "cpu": cpu, "mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
"""


def measured(build: Path, case: str, bundle: str, steps: int) -> dict[str, float]:
    """Seconds of clock and processor and peak memory (MB) of one simulation by a build."""
    environment = {**os.environ, "PYTHONPATH": str(build), "PYTHONUTF8": "1"}
    command = [sys.executable, "-c", MEASURE, case, bundle, str(steps)]
    done = subprocess.run(command, cwd=build, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Print the seconds and the memory of both, and their ratios; builds take turns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", required=True, help="folder of a bundle with a dynamics model on coarse maps")
    parser.add_argument("--baseline", type=Path, required=True, help="git worktree of the build to compare with")
    parser.add_argument("--runs", type=int, default=3, help="of each; the fastest counts")
    parser.add_argument("--steps", type=int, default=8)
    args = parser.parse_args()
    here = Path(__file__).resolve().parents[2]
    for case in ("lits-117", "a lone lesion of 50 mm"):
        rows: dict[str, list[dict[str, float]]] = {"maps": [], "cube": []}
        for _ in range(args.runs):
            rows["cube"].append(measured(args.baseline.resolve(), case, "", args.steps))
            rows["maps"].append(measured(here, case, args.bundle, args.steps))
        best = {name: {k: min(r[k] for r in found) for k in ("seconds", "cpu", "mb")} for name, found in rows.items()}
        for name, found in best.items():
            print(
                f"{case}, {name}: {found['seconds']:.2f} s, {found['cpu']:.2f} of the processor, {found['mb']:.0f} MB"
            )
        seconds, cpu, memory = (best["maps"][k] / best["cube"][k] for k in ("seconds", "cpu", "mb"))
        print(f"{case}: {seconds:.2f} of the seconds, {cpu:.2f} of the processor's, {memory:.2f} of the memory")


if __name__ == "__main__":
    main()
