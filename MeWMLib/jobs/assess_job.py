"""What the worker does for the job `assess`: a real CT after treatment, registered, measured and judged."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from MeWMLib.cohorts.samples import load_treated
from MeWMLib.core import io
from MeWMLib.core.caution import cautions
from MeWMLib.core.errors import InputError
from MeWMLib.core.plan_document import RESEARCH_USE_ONLY
from MeWMLib.core.questions import Question
from MeWMLib.core.records import to_plain
from MeWMLib.core.sealed import FILES, sha256_of, write_sealed
from MeWMLib.core.volume import LabelMap, Volume
from MeWMLib.jobs.inputs import inputs_used, read_post
from MeWMLib.jobs.kinds import risk_json
from MeWMLib.jobs.table import kind_of
from MeWMLib.jobs.task import PatientAtWork, Task, labels_entry

if TYPE_CHECKING:
    from MeWMLib.world.assessment import Assessment

#: The segmenter's word that a lesion is gone counts only if it finds the lesion before treatment so well (Dice).
KNOWS_LESION = 0.5


def assess(task: Task) -> dict[str, Any]:
    """Register, measure and judge the real CT after treatment, and predict the risk."""
    from MeWMLib.world.assessment import assess_pair, known_phase, require_tumour_shown

    inputs = task.job.inputs
    stated = str(inputs.get("phase") or ""), str(inputs.get("post_phase") or "")
    out = Path(task.job.out) if task.job.out else None
    if inputs.get("registered") and out is None:
        raise InputError(what="The registered CT goes beside the JSON file, and none is written", remedy="Give --out")
    with task.report.stage("read", "Reading the CT after treatment"):
        post, given = read_post(task.job, load_treated)
        known_phase(post, stated[0])  # a phase that does not exist is refused before the minutes that follow
        known_phase(post, stated[1])
    ready = task.patient()
    labels, entry, noted = _labels_after(task, ready, post, given)
    questions = ready.questions + noted + task.ask_after(post, labels)
    registered = inputs.get("register", True) is False

    def on_stage(fraction: float, name: str) -> None:
        task.check_cancelled()
        task.report.progress(fraction, f"Registering the CT after treatment: {name}")

    with task.report.stage("register", "Registering the CT after treatment"):
        found = assess_pair(
            ready.patient,
            post,
            labels,
            outlined_by=(ready.entry["source"] != "assistant", given is not None),
            doubt=_doubt(ready, given),
            stated=stated,
            registered=registered,
            accepted=bool(inputs.get("accept_registration")),
            on_stage=on_stage,
            log=task.report.log,
        )
        require_tumour_shown(found.registered, ready.patient.labels)
    task.check_cancelled()
    with task.report.stage("assess", "Assessing the risk"):
        image, outline = (post, given) if registered else (found.registered.ct, given and found.labels)
        world = ready.world
        risk = world.comparison.told(world.assess_scan(ready.patient, image, outline))
    training = world.bundle.manifest.training
    trained_on = training.text if training is not None else ""
    result = {
        "research_use_only": RESEARCH_USE_ONLY,
        "caution": cautions("what follows", trained_on, questions, ready.entry["source"]),
        "trained_on": trained_on,
        "case": ready.case.name,
        "labels": ready.entry,
        "labels_after": entry,
        "questions": to_plain(questions),
        **risk_json(risk),
        "registered_by": "user" if registered else "mewm",
        "seed": task.job.seed,
        "bundle": {"name": ready.world.bundle.name, "sha256": ready.world.bundle.sha256},
        "versions": task.engine.versions(),
        "inputs": to_plain(inputs_used(task.job, case=ready.case.ct, post=post)),
        **found.to_json(),
    }
    task.check_cancelled()
    if out is not None:
        with task.report.stage("write", "Writing the result"):
            written = _write_beside(found, ready, out, bool(inputs.get("registered")))
            write_sealed({**result, FILES: {path.name: sha256_of(path) for path in written}}, out)
    return result


def _labels_after(
    task: Task, ready: PatientAtWork, post: Volume, given: LabelMap | None
) -> tuple[LabelMap, dict[str, Any], tuple[Question, ...]]:
    """The labels of the CT after treatment: those that were given, or the segmenter's on that CT's own grid."""
    if given is not None:
        own = bool(task.job.inputs.get("post_labels"))
        note = "Your own labels of the CT after treatment are used" if own else "The sample's own labels are used"
        return given, labels_entry("user" if own else "expert", note), ()
    found, noted = task.segment(ready.world, post, "segment_after", "Segmenting the CT after treatment")
    note = (
        "No labels of the CT after treatment were given (--post-labels): those of the segmenter are used. Look at them "
        "before you trust what follows"
    )
    return found, labels_entry("assistant", note), noted


def _doubt(ready: PatientAtWork, given: LabelMap | None) -> str:
    """Why a lesion that is not outlined after treatment may be there all the same."""
    if given is not None:
        return ""
    found = ready.world.treatment_summary(ready.patient).assistant_dice_on_patch
    if found is None or found >= KNOWS_LESION:
        return ""
    return (
        "the segmenter outlines no lesion there after treatment, but it does not find the lesion before treatment "
        f"either (Dice {found:.2f}): give labels with --post-labels"
    )


def _write_beside(found: Assessment, ready: PatientAtWork, out: Path, registered: bool) -> list[Path]:
    """Write the picture and, if asked for, the registered CT and the deformation; returns what was written."""
    output = kind_of("assess").output
    assert output is not None
    picture, ct, deformation = output.beside_of(out).values()
    found.write_picture(ready.patient, picture)
    if not registered:
        return [picture]
    io.write_volume(found.registered.ct, ct)
    found.registered.write_deformation(deformation)
    return [picture, ct, deformation]
