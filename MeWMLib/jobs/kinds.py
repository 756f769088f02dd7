"""What the worker does for the jobs `segment` and `propose`: from a task to the data of the result event."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from MeWMLib.core import io
from MeWMLib.core.errors import OutputError
from MeWMLib.core.outcome import Risk
from MeWMLib.core.patient import Patient
from MeWMLib.core.records import to_plain
from MeWMLib.jobs.inputs import plan_settings
from MeWMLib.jobs.table import kind_of
from MeWMLib.jobs.task import Task, dice_scores, labels_entry
from MeWMLib.policy.permission import require_indicated
from MeWMLib.policy.rules import left_out, of_whole_patient


def segment(task: Task) -> dict[str, Any]:
    """Write the segmenter's labels; measure them where labels were given."""
    out, output = Path(task.job.out or ""), kind_of("segment").output
    assert output is not None
    if out.is_dir():
        raise OutputError(
            what="A folder already exists where the file should go", given=str(out), remedy="Give a file with --out"
        )
    output.name_for(out.name)
    bundle, case = task.bundle(), task.read()
    questions = task.ask_given(case)
    found, noted = task.segment(task.world(bundle), case.ct)
    entry = labels_entry("assistant", "Look at the labels before you use them")
    if case.labels is not None:
        entry = labels_entry(
            "assistant",
            "The segmenter's are written; Dice compares them with the labels given",
            dice_scores(found, case.labels),
        )
    with task.report.stage("write", "Writing the labels"):
        io.write_labels(found, out)
    voxel = found.geometry.voxel_ml
    return {
        "file": out.name,
        "labels": entry,
        "questions": to_plain(questions + noted),
        "liver_ml": round(float(found.liver.sum()) * voxel, 2),
        "tumour_ml": round(float(found.tumour.sum()) * voxel, 2),
    }


def propose(task: Task) -> dict[str, Any]:
    """Candidate drugs and embolics with reasons."""
    settings = plan_settings(task.job)
    require_indicated(task.goal()[0], bool(task.job.inputs.get("allow_forbidden")))
    ready = task.patient()
    world, patient = ready.world, ready.patient
    settings = world.settled(settings)
    with task.report.stage("propose", "Proposing drugs and embolics"):
        if task.job.inputs.get("preview"):
            return task.preview(world, patient, settings, Path(str(task.job.inputs["preview"])))
        space = task.propose(world, patient, settings)
    return {
        "goal": to_plain(patient.goal),
        "policy": space.policy,
        "drugs": list(space.drugs),
        "embolics": list(space.embolics),
        "reasons": dict(space.reasons),
        "sources": dict(space.sources),
        "patient_rules": [
            {"rule": f.rule, "severity": f.severity, "reason": f.reason, "source": f.source}
            for f in of_whole_patient(patient.clinical, patient.findings)
        ],
        "left_out": left_out(patient.clinical, patient.findings, patient.goal),
        "findings": patient.findings.to_json(),
        "treated": _treated(patient),
        "questions": to_plain(ready.questions),
        "labels": ready.entry,
    }


def _treated(patient: Patient) -> dict[str, Any]:
    """The lesions that a session would treat, in the words of plan.json."""
    session = patient.session
    assert session is not None  # this kind of job chooses one
    listed = [*session.lesions]
    return {"targets": listed, "target_percent": [session.percent[n] for n in listed], "why": session.why}


def risk_json(risk: Risk) -> dict[str, Any]:
    """A risk as JSON, in the words of plan.json; a range is null where there is one value alone."""
    members = [min(risk.members), max(risk.members)] if risk.members else None
    return {
        "risk": risk.log_risk,
        "risk_interval": list(risk.interval) if len(risk.replicas) > 1 else None,
        "risk_members": members,
        "risk_uncertainty": risk.uncertainty,
        "risk_total_interval": to_plain(risk.total_interval),
        "median_survival_months": risk.median_survival_months,
        "median_interval_months": to_plain(risk.median_interval_months),
        "survival": {"months": list(risk.months), "probability": list(risk.survival)},
    }
