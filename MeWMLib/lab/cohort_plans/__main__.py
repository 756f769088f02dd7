"""`mewm plan-cohort DIR`: a plan for every patient of a folder. `python -m MeWMLib.lab.cohort_plans` is that program.

A patient is a sub-folder with `pre.nrrd` and, if there are labels, `pre_labels.seg.nrrd` and `clinical.json`
(docs/COHORTS.md). The plans are written to OUT/ID. A patient whose plan is finished is not planned again; one that was
stopped goes on from its journal; one that fails is named, and the others are planned all the same.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from MeWMLib.cohorts.layout import PRE, PRE_LABELS, image_of
from MeWMLib.core.errors import CancelledError, InputError, MeWMError, UnreadableFileError
from MeWMLib.core.io import atomic_path, write_json
from MeWMLib.core.outcome import Risk
from MeWMLib.core.patient import Clinical
from MeWMLib.core.plan import JUDGES, SEARCH_NAMES, SPACES, Plan, PlanSettings
from MeWMLib.core.plan_folder import PLAN, PlanFolder
from MeWMLib.core.plan_tables import risk_columns
from MeWMLib.core.records import read_json
from MeWMLib.jobs.job import Event, Job
from MeWMLib.lab.cohort_plans.engines import Answer, Engine, InProcessEngine, WorkerEngine
from MeWMLib.lab.cohort_plans.ray_engine import RayEngine

CLINICAL = "clinical.json"
#: Written into a patient's folder when the plan is whole: what it was made of.
DONE = "planned.json"
TABLE, SUMMARY = "plans.csv", "cohort.json"
#: Of the first protocol, as `ranking.csv` names them.
_RISK = tuple(risk_columns(Risk((0.0,))))
_COLUMNS = ("id", "status", "protocol", *_RISK, "cannot_be_told_from_first", "evaluated_protocols", "error")


@dataclass(frozen=True)
class CohortResult:
    """How the patients ended: names of those planned now, planned before, failed (with the reason) and stopped."""

    planned: tuple[str, ...]
    known: tuple[str, ...]
    failed: dict[str, str]
    stopped: tuple[str, ...]


def jobs_of(folder: Path, out: Path, template: Job) -> list[tuple[str, Job]]:
    """One job a patient, by name.

    Args:
        folder: with a sub-folder for each patient.
        out: where the plans go.
        template: seed, device, bundle, settings and goal of all jobs.

    Raises:
        InputError: there is no patient in it.
    """
    found = []
    for patient in sorted(path for path in folder.glob("*") if path.is_dir()):
        ct, labels = image_of(patient, PRE), image_of(patient, PRE_LABELS)
        if ct is None:
            continue
        inputs: dict[str, Any] = {**template.inputs, "case": str(ct.absolute())}
        if labels is not None:
            inputs["labels"] = str(labels.absolute())
        if (patient / CLINICAL).is_file():
            inputs["clinical"] = Clinical.load(patient / CLINICAL).to_json()
        found.append((patient.name, replace(template, inputs=inputs, out=str((out / patient.name).absolute()))))
    if not found:
        raise InputError(
            what="There is no patient in the folder", given=str(folder), remedy=f"A patient is a sub-folder with {PRE}"
        )
    return found


def plan_cohort(
    jobs: Sequence[tuple[str, Job]],
    out: Path,
    engine: Engine,
    on_progress: Callable[[float, str], None],
    cancelled: Callable[[], bool] = lambda: False,
) -> CohortResult:
    """Do the jobs that are not done, and keep `plans.csv` and `cohort.json` up to date.

    Args:
        jobs: from `jobs_of`.
        out: where the tables go.
        engine: what runs them.
        on_progress: told the finished share and one sentence, whenever that of a patient changes: a job tells its
            progress many times in the same words.
        cancelled: asked again and again.
    """
    rows: dict[str, dict[str, Any]] = {}
    todo = []
    for name, job in jobs:
        if _is_done(job):
            rows[name] = _row(name, "known", PlanFolder(job.out or "").read().plan)
        else:
            todo.append((name, job))
    by_name = dict(jobs)
    shares = dict.fromkeys(by_name, 0.0) | dict.fromkeys(rows, 1.0)
    lock = threading.Lock()
    last: dict[str, str] = {}

    def tell(name: str, event: Event) -> None:
        with lock:
            if event.kind == "progress" and event.stage == "plan" and event.fraction is not None:
                shares[name] = max(shares[name], 0.99 * event.fraction)
            text = event.message or event.stage
            if event.kind in ("progress", "log") and text != last.get(name):
                last[name] = text
                on_progress(sum(shares.values()) / len(shares), f"{name}: {text}")

    for answer in engine.run(todo, tell, cancelled):
        rows[answer.name] = _ended(answer, by_name[answer.name])
        shares[answer.name] = 1.0
        _write_tables(out, rows, by_name)
        on_progress(sum(shares.values()) / len(shares), f"{answer.name}: {rows[answer.name]['status']}")
    _write_tables(out, rows, by_name)

    def named(status: str) -> tuple[str, ...]:
        return tuple(name for name in by_name if name in rows and rows[name]["status"] == status)

    failed = {name: str(rows[name]["error"]) for name in named("failed")}
    return CohortResult(named("planned"), named("known"), failed, named("stopped"))


def _ended(answer: Answer, job: Job) -> dict[str, Any]:
    if isinstance(answer.error, CancelledError) or (answer.result or {}).get("stopped_by") == "cancelled":
        return _row(answer.name, "stopped")
    if answer.error is not None:
        return {**_row(answer.name, "failed"), "error": str(answer.error)}
    folder = PlanFolder(job.out or "")
    write_json({"job": _fingerprint(job)}, folder.path / DONE)
    return _row(answer.name, "planned", folder.read().plan)


def _row(name: str, status: str, plan: Plan | None = None) -> dict[str, Any]:
    row: dict[str, Any] = {**dict.fromkeys(_COLUMNS, ""), "id": name, "status": status}
    if plan is not None:
        row["evaluated_protocols"] = plan.evaluated
        if plan.best is not None:
            row |= {"protocol": plan.best.protocol.text, **risk_columns(plan.best.risk)}
            if plan.standings:
                row["cannot_be_told_from_first"] = sum(one.group == 1 for one in plan.standings) - 1
    return row


def _write_tables(out: Path, rows: dict[str, dict[str, Any]], order: dict[str, Job]) -> None:
    known = [rows[name] for name in order if name in rows]
    with atomic_path(out / TABLE) as path, path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, _COLUMNS)
        writer.writeheader()
        writer.writerows(known)
    waiting = [name for name in order if name not in rows]
    write_json({"patients": known, "waiting": waiting}, out / SUMMARY)


def _fingerprint(job: Job) -> str:
    """What a plan is made of: the job without the place it goes to, and the images."""
    data = job.to_plain()
    data.pop("out")
    digest = hashlib.sha256(json.dumps(data, sort_keys=True).encode())
    for key in ("case", "labels"):
        path = Path(str(job.inputs.get(key) or ""))
        if path.is_file():
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _is_done(job: Job) -> bool:
    folder = Path(job.out or "")
    try:
        done = read_json(folder / DONE)
    except UnreadableFileError:
        return False
    return (folder / PLAN).is_file() and bool(done == {"job": _fingerprint(job)})


def engine_named(text: str, workers: int) -> Engine:
    """`in-process`, `worker`, `ray` or `ray://ADDRESS`.

    Raises:
        InputError: another name, or no worker at all.
        DependencyError: Ray is not installed.
    """
    if workers < 1:
        raise InputError(what="At least one worker is needed", given=str(workers))
    if text == "in-process":
        return InProcessEngine()
    if text == "worker":
        return WorkerEngine(workers)
    if text == "ray" or text.startswith("ray://"):
        return RayEngine(workers, None if text == "ray" else text)
    raise InputError(what="Unknown engine", given=text, remedy="Use in-process, worker, ray or ray://ADDRESS:PORT")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mewm plan-cohort",
        description="Plan every patient of a folder.",
        epilog="example: mewm plan-cohort out/cohort --out out/plans --engine worker --workers 2",
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help=f"a sub-folder with {PRE} for each patient")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the plans")
    parser.add_argument("--engine", default="in-process", help="in-process, worker, ray or ray://ADDRESS:PORT")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="of the engines worker and ray")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda", "mps"))
    parser.add_argument("--bundle", metavar="B", help="name or folder of a model bundle")
    parser.add_argument("--goal", default="", metavar="TEXT")
    parser.add_argument("--search", choices=SEARCH_NAMES)
    parser.add_argument("--space", choices=SPACES)
    parser.add_argument("--judge", choices=JUDGES)
    for name, default in asdict(PlanSettings()).items():
        if name not in ("search", "space", "judge"):
            parser.add_argument("--" + name.replace("_", "-"), type=type(default), metavar="N", help=f"{default:g}")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Plan a cohort; one line a patient on standard error, the table in --out."""
    args = _parser().parse_args(argv)
    wished = threading.Event()
    former = signal.signal(signal.SIGINT, lambda number, frame: wished.set())
    try:
        given = {f.name: getattr(args, f.name) for f in fields(PlanSettings)}
        settings = {name: value for name, value in given.items() if value is not None}
        # nobody is there to ask which of two lesions is meant
        inputs = {"target": "largest", **({"goal": args.goal} if args.goal else {})}
        template = Job("plan", inputs, None, args.seed, args.device, args.bundle, settings)
        jobs = jobs_of(args.folder, args.out, template)
        args.out.mkdir(parents=True, exist_ok=True)
        engine = engine_named(args.engine, args.workers)

        def say(share: float, text: str) -> None:
            sys.stderr.write(f"{100 * share:5.1f} %  {text}\n")
            sys.stderr.flush()

        found = plan_cohort(jobs, args.out, engine, say, wished.is_set)
    except MeWMError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    finally:
        signal.signal(signal.SIGINT, former)
    sys.stdout.write(
        f"{len(found.planned)} planned, {len(found.known)} planned before, {len(found.failed)} failed, "
        f"{len(found.stopped)} stopped: {args.out / TABLE}\n"
    )
    for name, reason in found.failed.items():
        sys.stdout.write(f"  {name}: {reason}\n")
    if found.stopped:
        return CancelledError.exit_code
    return 1 if found.failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
