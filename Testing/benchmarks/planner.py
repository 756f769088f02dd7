"""`make bench`: the planner against Algorithm 1 as printed, in one run, with the same networks on the same patient.

What is run whole: the planner, by best-first over the whole space and by beams. What is extrapolated: Algorithm 1 as
printed, and the same with the outline on the treated patch alone; a few of its candidates are really run, and their
mean time is multiplied by how many it judges. All figures are ratios of times of one run; on a loaded computer absolute
times say little.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

from MeWMLib.cohorts.samples import load_sample
from MeWMLib.core.bundles import find_bundle
from MeWMLib.core.patient import Patient
from MeWMLib.core.plan import PlanSettings
from MeWMLib.core.protocol import ActionSpace, Protocol
from MeWMLib.planning.search import in_turn
from MeWMLib.planning.searches import search
from MeWMLib.policy import rules
from MeWMLib.world.model import WorldModel

sys.path.insert(0, str(Path(__file__).parent))
import naive  # noqa: E402  (both lie beside this file)
import scaling  # noqa: E402

SETTINGS = PlanSettings(space="free", beams=5, drugs=6, embolics=5, drug_horizon=2, embolic_horizon=2, replicas=3)
SEED = 0
#: Wanted by the project: how many times faster than Algorithm 1 as printed, and than it with the crop only.
WANTED = {"as printed": 100.0, "crop only": 5.0}


class Peak:
    """Highest memory of this process while the block runs, MB."""

    def __enter__(self) -> Peak:
        self.mb, self._over = 0.0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def _watch(self) -> None:
        process = psutil.Process()
        while True:
            self.mb = max(self.mb, process.memory_info().rss / 1e6)
            if self._over.wait(0.1):
                return

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def timed(owner: Any, name: str, clock: naive.Clock, stage: str) -> None:
    """Let a method of an object note its time."""
    method = getattr(owner, name)

    def wrapped(*args: Any, **named: Any) -> Any:
        with clock(stage):
            return method(*args, **named)

    object.__setattr__(owner, name, wrapped)


def planner(patient: Patient, space: ActionSpace, settings: PlanSettings, bundle: str | None) -> dict[str, Any]:
    """A whole plan, by stage."""
    clock = naive.Clock()
    world = WorldModel.load(find_bundle(bundle))
    with Peak() as peak:
        start = time.perf_counter()
        with clock("cut, encode and segment the CT before, once"):
            world.treatment_summary(patient)
        timed(world.simulator.dynamics, "simulate", clock, "simulate")
        timed(world.simulator, "labels_after", clock, "outline")
        timed(world.simulator, "score", clock, "measure and survival")
        plan = world.plan(patient, space, settings, SEED)
        seconds = time.perf_counter() - start
    clock.seconds["search and the rest"] = seconds - sum(clock.seconds.values())
    return {"plan": plan, "seconds": seconds, "stages": clock.seconds, "peak_mb": peak.mb}


def unshared(
    world: WorldModel, patient: Patient, protocols: Sequence[Protocol], settings: PlanSettings, whole_liver: bool
) -> dict[str, Any]:
    """Some candidates as Algorithm 1 judges them: seconds a candidate of T replicas, by stage, and their risks."""
    clock, risks = naive.Clock(), {}
    start = time.perf_counter()
    for protocol in protocols:
        each = [
            naive.judge(world, patient, protocol, SEED + n, settings, clock, whole_liver)
            for n in range(settings.replicas)
        ]
        risks[protocol] = float(np.mean(each))
    seconds = (time.perf_counter() - start) / len(protocols)
    stages = {name: s / len(protocols) for name, s in clock.seconds.items()}
    return {"seconds": seconds, "stages": stages, "risks": risks}


def counts(space: ActionSpace, settings: PlanSettings) -> list[dict[str, Any]]:
    """How many simulations each search asks for, against B, D, E, T and the search; risks are drawn by lot."""
    rng = np.random.default_rng(0)
    effects = {name: rng.normal() for name in (*space.drugs, *space.embolics)}
    noise: dict[tuple[Protocol, int], float] = {}

    def risk(protocol: Protocol, replica: int) -> float:
        key = protocol, replica
        if key not in noise:
            noise[key] = 0.05 * rng.normal()
        return sum(effects[a] for a in protocol.agents) + noise[key]

    judge = in_turn(lambda batch: [risk(p, n) for p, n in batch])
    changes: list[dict[str, Any]] = [{}]
    changes += [{name: value} for name, values in (
        ("beams", (1, 3, 8)), ("drugs", (3,)), ("embolics", (3,)), ("replicas", (1, 6)),
        ("drug_horizon", (1,)), ("embolic_horizon", (1,)), ("search", ("best_first", "exhaustive")),
    ) for value in values]  # fmt: skip
    found = []
    for change in changes:
        run = search(space, replace(settings, **change), judge, lambda p: rules.allowed(p))
        found.append({"change": change, "protocols": run.evaluated, "simulations": run.simulations})
    return found


def chunks(world: WorldModel, patient: Patient, settings: PlanSettings, space: ActionSpace) -> dict[int, float]:
    """Seconds a simulation by how many go through the networks together."""
    ready = world.simulator.prepare(patient)
    protocols = [Protocol.of((d, e)) for d in space.drugs[:3] for e in space.embolics[:2]]
    former, out = world.simulator.chunk, {}
    for size in (1, 2, 3, 6):
        world.simulator.chunk = size
        ready.kept.clear()
        start = time.perf_counter()
        world.simulator.replicas(ready, [(p, SEED) for p in protocols], settings)
        out[size] = (time.perf_counter() - start) / len(protocols)
    world.simulator.chunk = former
    return out


def main() -> int:
    """Run, print, and write bench.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", default="lits-117", help="sample")
    parser.add_argument("--bundle")
    parser.add_argument("--candidates", type=int, default=5, help="of Algorithm 1 as printed that are really run")
    parser.add_argument("--steps", type=int, default=SETTINGS.steps)
    parser.add_argument("--cohort", type=int, default=4, help="patients for the scaling of engines; 0 leaves it out")
    parser.add_argument("--engines", default="in-process:1,worker:1,worker:2,ray:2", help="NAME:WORKERS, ...")
    parser.add_argument("--out", type=Path, default=Path("out/bench"))
    args = parser.parse_args()
    settings = replace(SETTINGS, steps=args.steps)
    sample = load_sample(args.case)
    world = WorldModel.load(find_bundle(args.bundle))
    patient = world.patient(sample.ct, sample.labels, id=args.case)
    space = world.propose(patient, "", settings)
    say = print
    say(
        f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}, "
        f"device {world.device}; {args.case}; B {settings.beams} D {settings.drugs} E {settings.embolics} "
        f"Hd {settings.drug_horizon} He {settings.embolic_horizon} T {settings.replicas}, {settings.steps} steps"
    )

    runs = {
        name: planner(patient, space, replace(settings, search=name), args.bundle) for name in ("best_first", "beam")
    }
    for name, one in runs.items():
        plan = one["plan"]
        say(
            f"\nplanner, {name} (run whole): {one['seconds']:.1f} s, {plan.evaluated} protocols, {plan.simulations} "
            f"simulations, {one['seconds'] / plan.simulations:.2f} s each; peak memory {one['peak_mb']:.0f} MB; best "
            f"{plan.candidates[0].protocol.text} ({plan.candidates[0].risk.log_risk:+.4f})"
        )
        _stages(one["stages"], say)
    mine = runs["best_first"]
    plan, each = mine["plan"], mine["seconds"] / mine["plan"].simulations

    known = {c.protocol: c.risk.log_risk for one in runs.values() for c in one["plan"].candidates}
    known |= {t.child: t.risk for t in runs["beam"]["plan"].tree}
    ready, seeds = world.simulator.prepare(patient), [SEED + n for n in range(settings.replicas)]

    def risk(protocol: Protocol) -> float:
        if protocol not in known:
            judged = world.simulator.replicas(ready, [(protocol, s) for s in seeds], settings)
            known[protocol] = float(np.mean([j.score.log_risk for j in judged]))
        return known[protocol]

    answer, asked, candidates = naive.printed_walk(space, settings, risk)
    different = list(dict.fromkeys(candidates))
    ran = different[:: max(1, len(different) // args.candidates)][: args.candidates]
    best = plan.candidates[0]
    say(
        f"\nAlgorithm 1 as printed judges {asked} candidates ({len(different)} different), and ends at {answer.text} "
        f"({risk(answer):+.4f}); the planner at {best.protocol.text} ({best.risk.log_risk:+.4f}): "
        f"{'the same protocol' if best.protocol == answer else f'lower by {risk(answer) - best.risk.log_risk:.4f}'}"
    )
    report: dict[str, Any] = {
        name: {"seconds": one["seconds"], "stages": one["stages"], "peak_mb": one["peak_mb"],
               "simulations": one["plan"].simulations, "best": one["plan"].candidates[0].protocol.text}
        for name, one in runs.items()
    }  # fmt: skip
    for name, whole_liver in (("as printed", True), ("crop only", False)):
        naive_run = unshared(world, patient, ran, settings, whole_liver)
        total = naive_run["seconds"] * asked
        ratio = total / mine["seconds"]
        by_beams = total / runs["beam"]["seconds"]
        say(
            f"\n{name}: {naive_run['seconds']:.1f} s a candidate ({len(ran)} really run), x {asked} = {total:.0f} s "
            f"extrapolated: the planner is {ratio:.1f} times faster (wanted: {WANTED[name]:.0f}); "
            f"by beams {by_beams:.1f} times"
        )
        _stages(naive_run["stages"], say)
        off = max(abs(value - risk(p)) for p, value in naive_run["risks"].items())
        say(f"  largest difference of risk to the planner's on these candidates: {off:.2g}")
        report[name] = {
            "extrapolated_s": total,
            "ratio": ratio,
            "ratio_beam": by_beams,
            "candidates": len(ran),
            "risk_difference": off,
        }
    report["chunks"] = chunks(world, patient, settings, space)
    say(
        "\nseconds a simulation by how many go through the networks together: "
        + ", ".join(f"{n}: {s:.2f}" for n, s in report["chunks"].items())
    )
    report["counts"] = counts(space, settings)
    say("\ncost against the settings (simulations on a drawn world, x seconds a simulation):")
    for row in report["counts"]:
        change = ", ".join(f"{k} {v}" for k, v in row["change"].items()) or "as above"
        say(
            f"  {change:22} {row['protocols']:4} protocols {row['simulations']:5} simulations "
            f"{row['simulations'] * each:7.0f} s"
        )
    report["sizes"] = scaling.volume_sizes(world, patient, settings)
    say("\ncost against the size of the CT (the networks always see one patch):")
    for row in report["sizes"]:
        size = " x ".join(map(str, row["voxels"]))
        say(
            f"  {size:16} once a patient {row['once_s']:.2f} s, a simulation {row['simulation_s']:.2f} s, "
            f"a written outcome {row['outcome_s']:.2f} s"
        )
    if args.cohort:
        asked = [(name, int(n)) for name, _, n in (text.partition(":") for text in args.engines.split(","))]
        report["engines"] = scaling.engines(args.cohort, _installed(asked, say), args.bundle)
        say(f"\n{args.cohort} small patients by engine, one thread a worker ({os.cpu_count()} cores):")
        for row in report["engines"]:
            same = "the same plans" if row["same_plans"] else "OTHER PLANS"
            say(
                f"  {row['engine']:10} {row['workers']} worker(s): {row['seconds']:6.1f} s, the first plan after "
                f"{row['first_s']:.1f} s; {row['patients']} planned, {same}"
            )
    say(
        "\nno NVIDIA card here: nothing measured on one"
        if not torch.cuda.is_available()
        else f"\n{1 / each:.2f} simulations a second on the card"
    )
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "bench.json").write_text(json.dumps(report, indent=1))
    return 0


def _installed(asked: list[tuple[str, int]], say: Callable[[str], None]) -> list[tuple[str, int]]:
    """Those engines that can run here."""
    if importlib.util.find_spec("ray") is None and any(name == "ray" for name, _ in asked):
        say("\nRay is not installed: its engine is left out")
        return [a for a in asked if a[0] != "ray"]
    return asked


def _stages(stages: dict[str, float], say: Callable[[str], None]) -> None:
    for name, seconds in stages.items():
        say(f"  {name:45} {seconds:8.2f} s")


if __name__ == "__main__":
    raise SystemExit(main())
