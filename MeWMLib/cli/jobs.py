"""The commands that run a job: plan, simulate, segment, propose, assess."""

from __future__ import annotations

import argparse
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from MeWMLib.cli import pictures, remote, tables
from MeWMLib.cli.output import Output
from MeWMLib.core.errors import CancelledError, InputError
from MeWMLib.core.patient import Clinical
from MeWMLib.core.plan_folder import PlanFolder
from MeWMLib.core.protocol import Protocol
from MeWMLib.jobs import runner
from MeWMLib.jobs.job import Job
from MeWMLib.policy.rules import check

PLAN_SETTINGS = (
    "search",
    "beams",
    "drugs",
    "embolics",
    "drug_horizon",
    "embolic_horizon",
    "replicas",
    "steps",
    "guidance",
    "keep",
    "dose_levels",
    "toxicity_weight",
    "complexity_weight",
    "uncertainty_weight",
)
SIMULATE_SETTINGS = ("replicas", "steps", "guidance")
_PATHS = ("labels", "post", "post_labels", "preview")
_PLAIN = ("series", "label_values", "goal", "protocol", "post_series", "policy")


def plan(arguments: argparse.Namespace, output: Output) -> int:
    """`mewm plan`."""
    return _plan_folder(arguments, output, job_of("plan", arguments, PLAN_SETTINGS))


def simulate(arguments: argparse.Namespace, output: Output) -> int:
    """`mewm simulate`: the folder of a plan with one candidate."""
    job = job_of("simulate", arguments, SIMULATE_SETTINGS)
    protocol = Protocol.parse(arguments.protocol)
    for finding in check(protocol, Clinical.from_json(job.inputs.get("clinical", {}))):
        output.say(f"{finding.severity}: {finding.reason} ({finding.source})")
    return _plan_folder(arguments, output, job)


def segment(arguments: argparse.Namespace, output: Output) -> int:
    """`mewm segment`."""
    result = _run(job_of("segment", arguments), arguments, output)
    if output.json(result):
        return 0
    output.result(f"Liver {result['liver_ml']:.0f} ml, tumour {result['tumour_ml']:.1f} ml.")
    tables.dice(result["labels"], output)
    output.result(f"Written: {arguments.out}")
    return 0


def propose(arguments: argparse.Namespace, output: Output) -> int:
    """`mewm propose`."""
    result = _run(job_of("propose", arguments, ("drugs", "embolics")), arguments, output)
    if output.json(result):
        return 0
    if "preview" in result:
        output.result(f"Nothing was sent. What would be sent ({result['bytes']} bytes): {arguments.preview}")
    else:
        tables.proposal(result, output)
    return 0


def assess(arguments: argparse.Namespace, output: Output) -> int:
    """`mewm assess`."""
    result = _run(job_of("assess", arguments), arguments, output)
    if not output.json(result):
        tables.risk(result, output)
    return 0


def job_of(kind: str, arguments: argparse.Namespace, settings: Sequence[str] = ()) -> Job:
    """Turn arguments into a job; its paths are absolute and the clinical data are read and checked here."""
    given = vars(arguments)
    if given.get("policy") and given.get("server"):
        raise InputError(
            what="A policy is not chosen for a job on a server",
            given=given["policy"],
            remedy="Leave --server or --policy out: whom data are sent to is agreed on this computer",
        )
    case = str(arguments.case)
    inputs: dict[str, Any] = {"case": case if case.startswith("sample:") else _absolute(case)}
    inputs |= {name: given[name] for name in _PLAIN if given.get(name) not in (None, "")}
    inputs |= {name: _absolute(given[name]) for name in _PATHS if given.get(name)}
    if given.get("resample_labels"):
        inputs["resample_labels"] = True
    if given.get("no_segment"):
        inputs["segment"] = False
    if given.get("clinical"):
        inputs["clinical"] = Clinical.load(Path(given["clinical"])).to_json()
    return Job(
        kind,
        inputs,
        out=_absolute(arguments.out) if given.get("out") else None,
        seed=arguments.seed,
        device=arguments.device,
        bundle=arguments.bundle,
        settings={name: given[name] for name in settings if given.get(name) is not None},
    )


def _absolute(path: str) -> str:
    return str(Path(path).expanduser().absolute())


@contextmanager
def _interrupts(output: Output) -> Iterator[list[bool]]:
    """Make the first Ctrl-C a wish to stop (the list becomes non-empty) and the second one the end."""
    wished: list[bool] = []

    def on_interrupt(number: int, frame: Any) -> None:
        if wished:
            raise KeyboardInterrupt
        wished.append(True)
        output.say("Stopping; the best so far is being saved. Press Ctrl-C again to end at once.")

    former = signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield wished
    finally:
        signal.signal(signal.SIGINT, former)


def _run(job: Job, arguments: argparse.Namespace, output: Output) -> dict[str, Any]:
    make = remote.maker(arguments, output)
    with _interrupts(output) as wished, output.progress() as progress:
        return runner.run(job, progress.on_event, lambda: bool(wished), command=arguments.worker, make=make)


def _plan_folder(arguments: argparse.Namespace, output: Output, job: Job) -> int:
    start = time.monotonic()
    result = _run(job, arguments, output)
    folder = Path(arguments.out)
    document = PlanFolder(folder).read()
    tables.plan(document, output)
    if result.get("stopped_by") == "cancelled":
        output.result(f"Stopped; the best so far is in {folder / 'plan.json'}.")
        if document.plan.candidates:
            output.result(f"Pictures and report of it: python -m MeWMLib.scene {folder}")
        return CancelledError.exit_code
    made = pictures.make(folder, output, report=not arguments.no_report, scene=not arguments.no_scene)
    output.result(f"The plan: {folder / 'plan.json'}")
    for name, what in (("report.html", "The report, for a browser"), ("scene.mrb", "The scene, for 3D Slicer")):
        if made and (folder / name).is_file():
            output.result(f"{what}: {folder / name}")
    output.result(f"Research use only. Total time: {tables.minutes(time.monotonic() - start)}.")
    return 0
