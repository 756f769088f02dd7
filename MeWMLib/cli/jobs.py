"""The commands that run a job; the table of jobs says which there are and what each is given."""

from __future__ import annotations

import argparse
import json
import shlex
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from MeWMLib.cli import assessment, exchange, goals, pictures, remote, tables
from MeWMLib.cli.output import Output
from MeWMLib.cohorts.samples import sample_info
from MeWMLib.core.clinical_dicom import prefilled
from MeWMLib.core.copies import write_copies
from MeWMLib.core.errors import CancelledError, InputError
from MeWMLib.core.patient import Clinical
from MeWMLib.core.plan_folder import JOURNAL, PLAN, PlanFolder
from MeWMLib.core.templates import template_of
from MeWMLib.jobs import runner
from MeWMLib.jobs.inputs import protocol_of, require_there, targets_of, territory_of
from MeWMLib.jobs.job import Job
from MeWMLib.jobs.table import SAMPLE_PREFIX, Input, kind_of
from MeWMLib.policy.permission import require_allowed, require_indicated


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Run the job of a command and show its result; a CT in a PACS is fetched first."""
    try:
        with exchange.local_copies(arguments, output):
            return _run(arguments, output)
    except KeyboardInterrupt:  # the second Ctrl-C, or one before the job began
        output.error(" ".join(["Stopped.", *_left_by(arguments)]))
        return CancelledError.exit_code


def _run(arguments: argparse.Namespace, output: Output) -> int:
    start = time.monotonic()
    job = goals.confirmed(job_of(arguments), output)
    require_there(job, sample_info)  # nobody reads notes on a protocol to hear that there is no scan
    kind = kind_of(job.kind)
    if "allow_forbidden" in {entry.name for entry in kind.inputs}:
        require_indicated(goals.read(job)[0], bool(job.inputs.get("allow_forbidden")))
    protocol = protocol_of(job)
    if kind.treats:
        territory_of(job), targets_of(job)  # what cannot be read is refused before anything is started
    if protocol is not None:
        clinical, goal = goals.read(job)
        # before a server is asked or a worker is started; the labels, which some rules ask for, are not known here
        for finding in require_allowed(protocol, clinical, bool(job.inputs.get("allow_forbidden")), goal=goal):
            output.say(finding.text)
        if template_of(protocol) is None:
            output.say(f"{protocol.text} fits no template: it is none of the kinds of protocols that are usually given")
    make = remote.maker(arguments, output)
    with interrupts(output) as stops, output.progress(kind.stage_title) as show:
        result = runner.run(job, show, lambda: bool(stops), command=arguments.worker, make=make)
    if kind.output is not None and kind.output.is_folder:
        return _show_plan(arguments, output, result, start)
    if output.json(result):
        return 0
    if "preview" in result:
        output.result(f"Nothing was sent. What would be sent ({result['bytes']} bytes): {arguments.preview}")
    elif job.kind == "propose":
        tables.proposal(result, output)
    elif job.kind == "assess":
        assessment.show(result, output)
    elif job.kind == "segment":
        output.result(f"Liver {result['liver_ml']:.0f} ml, tumour {result['tumour_ml']:.1f} ml.")
        tables.dice(result["labels"], output)
        tables.questions(result.get("questions", ()), output)
    else:
        output.result(json.dumps(result, indent=2, ensure_ascii=False))
    if kind.output is not None and job.out:
        beside = [path for path in kind.output.beside_of(Path(arguments.out)).values() if path.is_file()]
        output.result(f"Written: {', '.join(map(str, (arguments.out, *beside)))}")
        if beside:
            output.result(f"The picture: {result['registration']['picture']}")
    return 0


def job_of(arguments: argparse.Namespace) -> Job:
    """Turn arguments into a job; its paths are absolute and the clinical data are read and checked here."""
    kind, given = kind_of(arguments.kind), vars(arguments)
    private = [name for name in kind.staying("private") if given[name]]
    if private and given["server"]:
        raise InputError(
            what=f"A {private[0]} is not chosen for a job on a server",
            given=given[private[0]],
            remedy=f"Leave --server or --{private[0]} out: whom data are sent to is agreed on this computer",
        )
    out, inputs = given.get("out"), {e.name: _value(e, given[e.name]) for e in kind.inputs if given[e.name]}
    if given.get("from_dicom"):
        wanted = [part.strip() for part in given["from_dicom"].split(",") if part.strip()]
        known = Clinical.from_json(inputs.get("clinical") or {})
        inputs["clinical"] = prefilled(known, Path(inputs["case"]), wanted).to_json()
    return Job(
        kind.name,
        inputs,
        out=_absolute(out) if out else None,
        seed=arguments.seed,
        device=arguments.device,
        bundle=arguments.bundle,
        settings={name: given[name] for name in kind.settings if given[name] is not None},
    )


def _value(entry: Input, given: Any) -> Any:
    """The value of an input from what was typed."""
    if entry.type in ("on", "off"):
        return entry.type == "on"
    if entry.type == "clinical":
        return Clinical.load(Path(given)).to_json()
    if entry.type == "text" or (entry.type == "ct" and given.startswith(SAMPLE_PREFIX)):
        return given
    return _absolute(given)


def _absolute(path: str) -> str:
    return str(Path(path).expanduser().absolute())


@contextmanager
def interrupts(output: Output) -> Iterator[list[bool]]:
    """Make the first Ctrl-C a request to stop (the list becomes non-empty) and the second one the end."""
    stops: list[bool] = []

    def on_interrupt(number: int, frame: Any) -> None:
        if stops:
            raise KeyboardInterrupt
        stops.append(True)
        output.say("Stopping; the best so far is being saved. Press Ctrl-C again to end at once.")

    former = signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield stops
    finally:
        signal.signal(signal.SIGINT, former)


def _left_by(arguments: argparse.Namespace) -> list[str]:
    """Where a stopped job has left its plan, and the command that goes on."""
    output = kind_of(arguments.kind).output
    if output is None or not output.is_folder or not arguments.out:
        return []
    folder, again = Path(arguments.out), shlex.join(["mewm", *arguments.typed])
    found = [f"The best so far is in {folder / PLAN}."] if (folder / PLAN).is_file() else ["There is no plan yet."]
    if (folder / JOURNAL).is_file():
        return [*found, f"What was simulated is kept: the same command goes on from there: {again}"]
    return [*found, f"The same command begins again: {again}"]


def _show_plan(arguments: argparse.Namespace, output: Output, result: dict[str, Any], start: float) -> int:
    folder = Path(arguments.out)
    document = PlanFolder(folder).read()
    tables.plan(document, output)
    if result.get("stopped_by") == "cancelled":
        if document.plan.candidates:
            output.result(f"Pictures and report of it: {pictures.render_command(folder, not arguments.no_volumes)}")
        output.result(" ".join(["Stopped.", *_left_by(arguments)]))
        return CancelledError.exit_code
    if copies := write_copies(PlanFolder(folder), arguments.format):
        output.result(f"The volumes as {arguments.format}: {(folder / copies[0]).parent}")
    report, scene, volumes = not arguments.no_report, not arguments.no_scene, not arguments.no_volumes
    made = pictures.make(folder, output, report=report, scene=scene, volumes=volumes)
    output.result(f"The plan: {folder / 'plan.json'}")
    if made:
        pictures.show(folder, output, report, scene)
    output.result(f"Research use only. Total time: {tables.minutes(time.monotonic() - start)}.")
    return 0
