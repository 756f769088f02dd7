"""The kinds of job: one function each, from a task to the data of its result event."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from MeWMLib.core import io
from MeWMLib.core.errors import InputError, OutputError
from MeWMLib.core.outcome import Risk
from MeWMLib.jobs import plan_job
from MeWMLib.jobs.inputs import check_inputs, clinical_of, plan_settings, read_post
from MeWMLib.jobs.task import Task, dice_scores, labels_entry


def _file_to_write(out: str) -> Path:
    path = Path(out)
    if path.is_dir():
        raise OutputError(what="A folder is in the way of the file", given=str(path), remedy="Give a file with --out")
    if not path.name.lower().endswith((".nrrd", ".nii", ".nii.gz")):
        raise InputError(what="Labels are written as .seg.nrrd, .nrrd or .nii.gz", given=path.name)
    return path


def segment(task: Task) -> dict[str, Any]:
    """Write the assistant's labels; measure them where labels were given."""
    check_inputs(task.job)
    out = _file_to_write(task.job.out or "")
    bundle, case = task.bundle(), task.read()
    found = task.segment(task.world(bundle), case)
    entry = labels_entry("assistant", "Look at the labels before you use them")
    if case.labels is not None:
        entry = labels_entry("assistant", "Dice is that against the labels given", dice_scores(found, case.labels))
    with task.report.stage("write", "Writing the labels"):
        io.write_labels(found, out)
    voxel = found.geometry.voxel_ml
    return {
        "file": out.name,
        "labels": entry,
        "liver_ml": round(float(found.liver.sum()) * voxel, 2),
        "tumour_ml": round(float(found.tumour.sum()) * voxel, 2),
    }


def propose(task: Task) -> dict[str, Any]:
    """Candidate drugs and embolics with reasons."""
    check_inputs(task.job)
    settings, clinical = plan_settings(task.job), clinical_of(task.job)
    bundle, case = task.bundle(), task.read()
    world = task.world(bundle)
    labels, entry = task.labels(world, case)
    patient = world.patient(case.ct, labels, clinical, case.id)
    with task.report.stage("propose", "Proposing drugs and embolics"):
        if task.job.inputs.get("preview"):
            return task.preview(world, patient, settings, Path(str(task.job.inputs["preview"])))
        space = task.propose(world, patient, settings)
    return {
        "policy": space.policy,
        "drugs": list(space.drugs),
        "embolics": list(space.embolics),
        "reasons": dict(space.reasons),
        "sources": dict(space.sources),
        "findings": patient.findings.to_json(),
        "labels": entry,
    }


def assess(task: Task) -> dict[str, Any]:
    """Risk of a patient from a real CT before and a real CT after treatment."""
    check_inputs(task.job)
    clinical, bundle = clinical_of(task.job), task.bundle()
    case = task.read()
    with task.report.stage("read", "Reading the CT after treatment"):
        post, post_labels = read_post(task.job)
    world = task.world(bundle)
    labels, entry = task.labels(world, case)
    patient = world.patient(case.ct, labels, clinical, case.id)
    task.check_cancelled()
    with task.report.stage("assess", "Registering and judging the CT after treatment"):
        risk = world.assess_scan(patient, post, post_labels)
    result = {"case": case.name, "labels": entry, **risk_json(risk)}
    if task.job.out:
        io.write_json(result, Path(task.job.out))
    return result


def risk_json(risk: Risk) -> dict[str, Any]:
    """A risk as JSON, in the words of plan.json."""
    return {
        "risk": risk.log_risk,
        "risk_interval": list(risk.interval),
        "median_survival_months": risk.median_survival_months,
        "survival": {"months": list(risk.months), "probability": list(risk.survival)},
    }


KINDS: dict[str, Callable[[Task], dict[str, Any]]] = {
    "segment": segment,
    "propose": propose,
    "simulate": plan_job.simulate,
    "assess": assess,
    "plan": plan_job.plan,
}
