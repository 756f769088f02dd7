"""Cost of a plan against the size of the CT, and of a cohort against engine and workers; for `planner.py`."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from MeWMLib.cohorts.synthetic.world import SyntheticPatient
from MeWMLib.core import io
from MeWMLib.core.patient import Patient
from MeWMLib.core.plan import PlanSettings
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.volume import Geometry, LabelMap, Volume
from MeWMLib.jobs.job import Job
from MeWMLib.lab.cohort_plans.__main__ import engine_named, jobs_of, plan_cohort
from MeWMLib.lab.synthetic.cases import target_geometry
from MeWMLib.perception.preprocess import resample
from MeWMLib.world.model import WorldModel

#: Of each patient of the cohort: small, since start-up and shares are to be seen, not the networks.
SMALL = {"beams": 2, "drugs": 3, "embolics": 2, "drug_horizon": 1, "embolic_horizon": 1, "replicas": 1, "keep": 1}


def volume_sizes(world: WorldModel, patient: Patient, settings: PlanSettings) -> list[dict[str, Any]]:
    """Seconds of what is done once a patient, of a simulation, and of one written outcome, at sizes of the CT."""
    rows = []
    protocol = Protocol.parse("Cisplatin + Lipiodol")
    for factor in (0.5, 1.0, 2.0):
        grid = _finer(patient.ct.geometry, factor)
        ct = Volume(resample(patient.ct.array, patient.ct.geometry, grid).astype(np.int16), grid, patient.ct.phase)
        labels = LabelMap(resample(patient.labels.array, patient.labels.geometry, grid, "nearest", 0), grid)
        start = time.perf_counter()
        again = world.patient(ct, labels, id="size")
        world.treated_patch(again)
        once = time.perf_counter() - start
        start = time.perf_counter()
        world.on_patch(again, [protocol] * 4, range(4), settings)
        each = (time.perf_counter() - start) / 4
        start = time.perf_counter()
        world.simulate(again, protocol, [0], settings)  # its simulation is known: what is left is composing the CT
        rows.append(
            {"voxels": list(grid.shape), "once_s": once, "simulation_s": each, "outcome_s": time.perf_counter() - start}
        )
    return rows


def engines(patients: int, asked: Sequence[tuple[str, int]], bundle: str | None) -> list[dict[str, Any]]:
    """Seconds of a cohort by engine and workers (one thread each), and to the first plan; are the plans the same."""
    former = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    rows: list[dict[str, Any]] = []
    try:
        with tempfile.TemporaryDirectory() as folder:
            cohort = Path(folder) / "cohort"
            for seed in range(patients):
                drawn = SyntheticPatient.draw(seed)
                geometry = target_geometry(drawn, 120)
                before = drawn.render(geometry)
                io.write_volume(Volume(before.hu.astype(np.int16), geometry), cohort / f"{seed}" / "pre.nrrd")
                io.write_labels(LabelMap(before.labels, geometry), cohort / f"{seed}" / "pre_labels.seg.nrrd")
            template = Job("plan", {"segment": False}, device="cpu", bundle=bundle, settings=SMALL)
            first: dict[str, Any] = {}
            for name, workers in asked:
                out = Path(folder) / f"{name}-{workers}"
                out.mkdir()
                jobs, ends = jobs_of(cohort, out, template), []
                start = time.perf_counter()

                def told(_: float, text: str, ends: list[float] = ends, start: float = start) -> None:
                    if text.endswith(": planned"):
                        ends.append(time.perf_counter() - start)

                found = plan_cohort(jobs, out, engine_named(name, workers), told)
                seconds = time.perf_counter() - start
                plans = {n: _candidates(out / n / "plan.json") for n in found.planned}
                first = first or plans
                rows.append(
                    {"engine": name, "workers": workers, "patients": len(found.planned), "seconds": seconds,
                     "first_s": ends[0] if ends else seconds, "same_plans": plans == first}
                )  # fmt: skip
    finally:
        if former is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = former
    return rows


def _candidates(plan: Path) -> list[tuple[str, float]]:
    return [(c["protocol"], c["risk"]) for c in json.loads(plan.read_text(encoding="utf-8"))["candidates"]]


def _finer(geometry: Geometry, factor: float) -> Geometry:
    """The same box with `factor` times as many voxels along each axis."""
    shape = tuple(round(n * factor) for n in geometry.shape)
    affine = np.array(geometry.affine)
    affine[:3, :3] /= factor
    affine[:3, 3] += geometry.affine[:3, :3] @ np.full(3, (1 / factor - 1) / 2)
    return Geometry(shape, affine)  # type: ignore[arg-type]
