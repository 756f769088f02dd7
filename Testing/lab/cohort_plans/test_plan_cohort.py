"""Cohorts of patients on each engine: the same plans, no patient harmed by another, nothing planned twice."""

from __future__ import annotations

import csv
import itertools
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from MeWMLib.core import io
from MeWMLib.core.bundles import Bundle
from MeWMLib.core.errors import DependencyError, InputError
from MeWMLib.core.volume import Geometry, LabelMap, Volume
from MeWMLib.jobs.job import Event, Job
from MeWMLib.lab.cohort_plans import __main__ as program
from MeWMLib.lab.cohort_plans.__main__ import CohortResult, engine_named, jobs_of, plan_cohort
from MeWMLib.lab.cohort_plans.engines import Engine, InProcessEngine, WorkerEngine

NAMES = tuple(f"patient-{n}" for n in range(6))
SMALL = {"drugs": 2, "embolics": 2, "drug_horizon": 1, "embolic_horizon": 1, "replicas": 2, "steps": 1, "keep": 1}


@pytest.fixture
def cohort(fake: ModuleType, tmp_path: Path) -> Path:
    """Six patients of the small world, who differ."""
    ct, labels = fake.small_ct(), fake.small_labels()
    for n, name in enumerate(NAMES):
        array = ct.array.copy()
        array[labels.tumour] += n
        io.write_volume(ct.with_array(array), tmp_path / "cohort" / name / "pre.nrrd")
        io.write_labels(labels, tmp_path / "cohort" / name / "pre_labels.seg.nrrd")
    return tmp_path / "cohort"


def run(
    cohort: Path,
    out: Path,
    engine: Engine,
    cancelled: Callable[[], bool] = lambda: False,
    said: list[tuple[float, str]] | None = None,
    template: Job | None = None,
) -> CohortResult:
    jobs = jobs_of(cohort, out, template or Job("plan", settings={"replicas": 2, "keep": 1}))
    out.mkdir(parents=True, exist_ok=True)
    return plan_cohort(jobs, out, engine, lambda f, t: (said if said is not None else []).append((f, t)), cancelled)


def plans(out: Path, names: tuple[str, ...] = NAMES) -> dict[str, bytes]:
    return {name: (out / name / "plan.json").read_bytes() for name in names}


def test_every_patient_is_planned_and_stands_in_the_table(
    cohort: Path, fake: ModuleType, small_bundle: Path, tmp_path: Path
) -> None:
    said: list[tuple[float, str]] = []
    found = run(cohort, tmp_path / "out", InProcessEngine(fake.engine()), said=said)
    assert found == CohortResult(NAMES, (), {}, ())
    with (tmp_path / "out" / "plans.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [r["id"] for r in rows] == list(NAMES) and {r["status"] for r in rows} == {"planned"}
    best = json.loads(plans(tmp_path / "out")[NAMES[2]])["candidates"][0]
    assert (rows[2]["protocol"], float(rows[2]["log_risk"])) == (best["protocol"], best["risk"])
    # what is known to be uncertain stands beside it, under the names of the plan's own table
    with (tmp_path / "out" / NAMES[2] / "ranking.csv").open(newline="", encoding="utf-8") as file:
        first = next(csv.DictReader(file))
    shared = [name for name in first if name.startswith(("log_risk", "hazard_ratio", "median_survival"))]
    assert len(shared) == 13 and {name: rows[2][name] for name in shared} == {name: first[name] for name in shared}
    assert float(rows[2]["log_risk_95_low"]) < best["risk"] < float(rows[2]["log_risk_95_high"])
    groups = [one["group"] for one in json.loads(plans(tmp_path / "out")[NAMES[2]])["standings"]]
    assert int(rows[2]["cannot_be_told_from_first"]) == groups.count(1) - 1
    # of each patient, no sentence is told twice in a row
    for name in NAMES:
        told = [text for _, text in said if text.startswith(f"{name}: ")]
        assert told and all(one != other for one, other in itertools.pairwise(told))
    shares = [f for f, _ in said]
    assert shares == sorted(shares) and shares[-1] == pytest.approx(1.0)
    assert not list((tmp_path / "out").glob("*/.mewm-journal.jsonl")), "a finished plan needs no journal"


def test_nothing_is_planned_twice_but_what_has_changed(
    cohort: Path, fake: ModuleType, small_bundle: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run(cohort, out, InProcessEngine(fake.engine()))
    before = plans(out)
    edges = fake.engine()
    again = run(cohort, out, InProcessEngine(edges))
    assert again.known == NAMES and not edges.load_world.made and plans(out) == before
    changed = fake.small_ct()
    io.write_volume(changed.with_array(changed.array + 1), cohort / NAMES[4] / "pre.nrrd")
    (out / NAMES[1] / "plan.json").unlink()
    third = run(cohort, out, InProcessEngine(fake.engine()))
    assert third.planned == (NAMES[1], NAMES[4])
    other = run(cohort, out, InProcessEngine(fake.engine()), template=Job("plan", seed=9))
    assert other.planned == NAMES


@pytest.mark.parametrize("kind", ["in-process", "worker"])
def test_a_broken_patient_harms_no_other(
    kind: str, cohort: Path, fake: ModuleType, fake_script: Path, small_bundle: Path, tmp_path: Path
) -> None:
    (cohort / NAMES[1] / "pre.nrrd").write_bytes(b"this is no image")
    worker = WorkerEngine(2, [sys.executable, str(fake_script)])
    found = run(cohort, tmp_path / "out", InProcessEngine(fake.engine()) if kind == "in-process" else worker)
    assert set(found.failed) == {NAMES[1]} and "pre.nrrd" in found.failed[NAMES[1]]
    assert found.planned == tuple(n for n in NAMES if n != NAMES[1])


def test_worker_processes_give_the_same_plans(
    cohort: Path, fake: ModuleType, fake_script: Path, small_bundle: Path, tmp_path: Path
) -> None:
    run(cohort, tmp_path / "one", InProcessEngine(fake.engine()))
    run(cohort, tmp_path / "two", WorkerEngine(2, [sys.executable, str(fake_script)]))
    assert plans(tmp_path / "one") == plans(tmp_path / "two")


def test_a_cancel_keeps_what_is_done_and_the_next_run_goes_on(
    cohort: Path, fake: ModuleType, small_bundle: Path, tmp_path: Path
) -> None:
    out, stop = tmp_path / "out", threading.Event()

    def on_progress(_: float, text: str) -> None:
        if text == f"{NAMES[1]}: planned":
            stop.set()

    jobs = jobs_of(cohort, out, Job("plan", settings={"replicas": 2, "keep": 1}))
    out.mkdir()
    found = plan_cohort(jobs, out, InProcessEngine(fake.engine()), on_progress, stop.is_set)
    assert found.planned == NAMES[:2] and found.stopped == NAMES[2:]
    rest = run(cohort, out, InProcessEngine(fake.engine()))
    assert rest.known == NAMES[:2] and rest.planned == NAMES[2:]


def test_wrong_engines_and_empty_folders_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="in-process, worker, ray"):
        engine_named("abacus", 1)
    with pytest.raises(InputError, match="worker is needed"):
        engine_named("worker", 0)
    with pytest.raises(InputError, match=r"pre\.nrrd"):
        jobs_of(tmp_path, tmp_path / "out", Job("plan"))
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(DependencyError, match=r"pip install.*\[ray\]"):
        engine_named("ray://somewhere:10001", 2)


def test_the_program_answers_with_its_exit_code(
    cohort: Path,
    fake: ModuleType,
    small_bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(program, "engine_named", lambda name, workers: InProcessEngine(fake.engine()))
    former = signal.getsignal(signal.SIGINT)
    try:
        out = tmp_path / "out"
        assert program.main([str(cohort), "--out", str(out), "--replicas", "1", "--search", "exhaustive"]) == 0
        assert "6 planned" in capsys.readouterr().out
        assert json.loads((out / NAMES[0] / "plan.json").read_text())["settings"]["search"] == "exhaustive"
        (cohort / NAMES[0] / "pre.nrrd").write_bytes(b"no image")
        assert program.main([str(cohort), "--out", str(out), "--replicas", "1", "--search", "exhaustive"]) == 1
        assert "1 failed" in capsys.readouterr().out
        assert program.main([str(cohort), "--out", str(out), "--beams", "0"]) == 1, "every patient fails by its setting"
        assert program.main([str(tmp_path / "nobody"), "--out", str(out)]) == 2
    finally:
        signal.signal(signal.SIGINT, former)


def _small_case(seed: int) -> tuple[Volume, LabelMap]:
    geometry = Geometry((20, 40, 40), np.diag([-1.6, -1.6, 3.0, 1.0]))
    rng = np.random.default_rng(seed)
    distance = np.linalg.norm(np.stack(np.indices(geometry.shape), -1) * [3.0, 1.6, 1.6] - [30, 32, 32], axis=-1)
    labels = np.where(distance < 9 + seed, 2, 1).astype(np.uint8)
    hu = rng.normal(100, 15, geometry.shape).astype(np.int16)
    hu[0] = -1000  # without air it would be taken for a picture with grey values
    return Volume(hu, geometry), LabelMap(labels, geometry)


@pytest.mark.slow
def test_two_workers_on_ray_give_the_same_plans_and_survive_the_death_of_one(
    tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray", reason='Ray is not installed: pip install "mewm[ray]"')
    from MeWMLib.lab.cohort_plans.ray_engine import RayEngine

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    # Ray's own 15 would keep its workers waiting for the tests beside them
    monkeypatch.setenv("RAY_worker_niceness", "0")
    names = NAMES[:3]  # one dies with the first done, and two are left
    for n, name in enumerate(names):
        ct, labels = _small_case(n)
        io.write_volume(ct, tmp_path / "cohort" / name / "pre.nrrd")
        io.write_labels(labels, tmp_path / "cohort" / name / "pre_labels.seg.nrrd")
    template = Job("plan", {"segment": False}, device="cpu", bundle=str(tiny_bundle.path), settings=SMALL)
    begin = time.monotonic()
    run(tmp_path / "cohort", tmp_path / "here", InProcessEngine(), template=template)
    here_s = time.monotonic() - begin
    engine, said, killed = RayEngine(2, threads=2), [], []

    def on_progress(_: float, text: str) -> None:
        said.append(text)
        # a worker dies after the first patient, while the second one is at work
        if text.endswith(": planned") and not killed:
            killed.append(engine.pids[0])
            os.kill(engine.pids[0], signal.SIGKILL)

    out = tmp_path / "ray"
    out.mkdir()
    begin = time.monotonic()
    found = plan_cohort(jobs_of(tmp_path / "cohort", out, template), out, engine, on_progress)
    print(f"in-process {here_s:.1f} s, Ray with two workers {time.monotonic() - begin:.1f} s")
    assert not found.failed
    assert found.planned == names and killed
    assert len(engine.pids) == 3 and any("done again" in text for text in said)
    assert plans(out, names) == plans(tmp_path / "here", names)


def test_events_are_counted_for_the_share_of_their_own_patient_only(cohort: Path, tmp_path: Path) -> None:
    class Talking:
        def run(self, jobs, on_event, cancelled):
            on_event(NAMES[0], Event("progress", "plan", 0.5))
            on_event(NAMES[0], Event("progress", "simulate", 0.9))
            return iter(())

    said: list[tuple[float, str]] = []
    found = run(cohort, tmp_path / "out", Talking(), said=said)
    assert [f for f, _ in said] == pytest.approx([0.495 / 6, 0.495 / 6])
    assert found == CohortResult((), (), {}, ())
