"""The two jobs that write a plan folder: `plan` (search) and `simulate` (one protocol that the user names)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from MeWMLib.core.bundles import Bundle
from MeWMLib.core.errors import CancelledError, InputError
from MeWMLib.core.patient import Patient
from MeWMLib.core.plan import Plan, PlanSettings, replica_seeds
from MeWMLib.core.protocol import ActionSpace
from MeWMLib.jobs.inputs import Case, check_inputs, clinical_of, plan_settings, protocol_of
from MeWMLib.jobs.plan_folder import PLAN, PlanFolder, best_line, document, header
from MeWMLib.jobs.task import Task

if TYPE_CHECKING:
    from MeWMLib.world.model import WorldModel

#: After a cancel, volumes are still saved for so long (seconds); one is always saved.
SAVE_AFTER_CANCEL_S = 15.0


@dataclass(frozen=True)
class _Ready:
    """A patient in a loaded world, and everything that plan.json says about them."""

    case: Case
    settings: PlanSettings
    folder: PlanFolder
    bundle: Bundle
    world: WorldModel
    patient: Patient
    labels: dict[str, Any]

    def head(self, task: Task, space: ActionSpace) -> dict[str, Any]:
        return header(
            job=task.job,
            case=self.case.name,
            goal=_goal(task),
            patient=self.patient,
            settings=self.settings,
            bundle=self.bundle,
            device=self.world.device,
            versions=task.engine.versions(),
            space=space,
            labels=self.labels,
            treated=self.world.treated(self.patient),
        )


def plan(task: Task) -> dict[str, Any]:
    """Search the protocol with the lowest predicted risk; plan.json is there from the first improvement on."""
    return _in_folder(task, lambda: None, _search)


def simulate(task: Task) -> dict[str, Any]:
    """Simulate one protocol; the folder is that of a plan with one candidate."""
    return _in_folder(task, lambda: protocol_of(task.job), _simulate_one)


def _in_folder(task: Task, check: Callable[[], Any], work: Callable[[Task, _Ready], dict[str, Any]]) -> dict[str, Any]:
    job = task.job
    check_inputs(job)
    check()
    settings, clinical = plan_settings(job), clinical_of(job)
    if not job.out:
        raise InputError(what="No output folder was given", remedy="Give one with --out")
    folder = PlanFolder(job.out)
    bundle = task.bundle()
    case = task.read()
    world = task.world(bundle)
    labels, entry = task.labels(world, case)
    patient = world.patient(case.id, case.ct, labels, clinical)
    task.check_cancelled()
    try:
        return work(task, _Ready(case, settings, folder, bundle, world, patient, entry))
    finally:
        folder.leave()


def _goal(task: Task) -> str:
    return str(task.job.inputs.get("goal") or "")


def _search(task: Task, ready: _Ready) -> dict[str, Any]:
    report, world = task.report, ready.world
    with report.stage("propose", "Proposing drugs and embolics"):
        space = task.propose(world, ready.patient, ready.settings)
        head = ready.head(task, space)
    task.check_cancelled()
    latest: Plan | None = None
    written = 0
    files: dict[str, str] = {}

    def on_plan(found: Plan, fraction: float) -> None:
        nonlocal latest, written, files
        # until the search has ended, this is what a killed run leaves: a plan that was cut short
        latest = replace(found, stopped_by="cancelled")
        if found.evaluated > written:
            written = found.evaluated
            files = files or ready.folder.save_before(ready.case.ct, ready.patient.labels)
            ready.folder.write_plan(document(head, latest, files))
            report.partial(best_line(found), _summary(found))
        report.progress(fraction, best_line(found))

    with report.stage("plan", "Searching"):
        key = world.journal_key(ready.patient, space, ready.settings, task.job.seed)
        try:
            with ready.folder.journal(key) as journal:
                if len(journal):
                    report.log(f"Going on from the journal of a run that was stopped: {len(journal)} batches are known")
                found = world.plan(
                    ready.patient, space, ready.settings, task.job.seed, on_plan, task.cancelled, journal
                )
        except CancelledError:
            if latest is None:
                raise
            found = latest
    if task.cancelled():
        found = replace(found, stopped_by="cancelled")
        if not found.evaluated:
            task.check_cancelled()
    return _save(task, ready, head, found, files)


def _simulate_one(task: Task, ready: _Ready) -> dict[str, Any]:
    protocol, world = protocol_of(task.job), ready.world
    reasons = {name: "Named by the user" for name in protocol.agents}
    space = ActionSpace(protocol.drugs, protocol.embolics, reasons, "named by the user")
    head = ready.head(task, space)
    with task.report.stage("plan", f"Simulating {protocol.text}"):
        seeds = replica_seeds(task.job.seed, ready.settings.replicas)
        outcomes = world.simulate(ready.patient, protocol, seeds, ready.settings)
        task.check_cancelled()
        candidate = world.candidate(ready.patient, protocol, outcomes)
    found = Plan((candidate,), (), "finished", 1)
    return _save(task, ready, head, found, {})


def _save(task: Task, ready: _Ready, head: dict[str, Any], found: Plan, files: dict[str, str]) -> dict[str, Any]:
    """Write the volumes of the best protocols and, when all of them are there, the final plan.json."""
    folder, report, settings = ready.folder, task.report, ready.settings
    files = files or folder.save_before(ready.case.ct, ready.patient.labels)
    folder.write_plan(document(head, found, files))
    candidates = list(found.candidates)
    kept = candidates[: settings.keep]
    seeds = replica_seeds(task.job.seed, settings.replicas)
    deadline: float | None = None
    with report.stage("simulate", "Writing the best protocols as volumes"):
        for n, candidate in enumerate(kept):
            if task.cancelled():
                found = replace(found, stopped_by="cancelled")
                deadline = deadline or time.monotonic() + SAVE_AFTER_CANCEL_S
                if n and time.monotonic() > deadline:
                    break
            # in a hurry the first replica must do; it is the one that is written
            outcomes = ready.world.simulate(
                ready.patient, candidate.protocol, seeds[:1] if deadline else seeds, settings
            )
            spread = ready.world.spread(outcomes) if len(outcomes) > 1 else None
            candidates[n] = replace(candidate, files=folder.save_outcome(n + 1, outcomes[0], spread))
            report.progress((n + 1) / len(kept), f"{n + 1} of {len(kept)}: {candidate.protocol.text}")
    found = replace(found, candidates=tuple(candidates))
    folder.write_plan(document(head, found, files))
    folder.write_run(report.timings())
    if found.stopped_by != "cancelled":
        folder.finish()
    return {"plan": PLAN, "labels": ready.labels, "device": ready.world.device, **_summary(found)}


def _summary(found: Plan) -> dict[str, Any]:
    best = found.candidates[0] if found.candidates else None
    return {
        "candidates": len(found.candidates),
        "evaluated_protocols": found.evaluated,
        "stopped_by": found.stopped_by,
        "best": {"protocol": best.protocol.text, "risk": best.risk.log_risk} if best else None,
    }
