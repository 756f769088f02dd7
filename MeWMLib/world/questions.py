"""What is asked about a patient before anything is computed: labels, scan and clinical data. No networks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from MeWMLib.core.patient import Clinical, Patient
from MeWMLib.core.questions import NOTE, WARNING, Question
from MeWMLib.core.trained_on import CaseFacts, Training, outside
from MeWMLib.core.volume import LabelMap, Volume
from MeWMLib.perception.label_questions import question_labels, question_phase

#: In mg/dl nobody with so much is treated by TACE; in umol/l it is normal.
_BILIRUBIN_MG_PER_DL = 5.0
_UMOL_PER_L = 17.1


def question_clinical(clinical: Clinical) -> tuple[Question, ...]:
    """Values that are possible, but more likely written in another unit."""
    bilirubin = clinical.bilirubin_mg_per_dl
    if bilirubin is None or bilirubin < _BILIRUBIN_MG_PER_DL:
        return ()
    text = (
        f"A bilirubin of {bilirubin:g} mg/dl rules TACE out: if it is in umol/l, write {bilirubin / _UMOL_PER_L:.1f}."
    )
    return (Question("bilirubin-unit", WARNING, text, {"bilirubin_mg_per_dl": float(bilirubin)}),)


def question_scan(ct: Volume, stated_by: str = "as its file says") -> tuple[Question, ...]:
    """What a CT alone lets one ask: whether the segmenter was trained on its phase, which somebody may have stated."""
    return question_phase(ct, stated_by)


def question_after(ct: Volume, labels: LabelMap) -> tuple[Question, ...]:
    """What labels on a CT after treatment let one ask; Lipiodol belongs there."""
    return question_labels(ct, labels, before_treatment=False)


def question_patient(
    ct: Volume, labels: LabelMap, clinical: Clinical | None = None, looked_at: bool = True
) -> tuple[Question, ...]:
    """What labels on a CT before treatment let one ask; `question_scan` is asked apart.

    Without `looked_at` the labels are the segmenter's and nobody has seen them.

    What is as dense as Lipiodol is asked about with the previous sessions that the clinical data state.
    """
    sessions = (clinical or Clinical()).known("previous_tace_sessions")
    found = question_labels(ct, labels, before_treatment=True, looked_at=looked_at)
    return tuple(_with_sessions(one, sessions) if one.topic == "lipiodol" else one for one in found)


def question_limits(
    patient: Patient, training: Training, phase: str, weeks: float | None, synthetic: bool
) -> tuple[Question, ...]:
    """What of a patient lies outside of what a bundle was trained on.

    Args:
        patient: with the session that is simulated; without one, all lesions count.
        training: of the bundle's manifest.
        phase: contrast phase of the scan.
        weeks: from treatment to the simulated scan; None where the dynamics model is not told them.
        synthetic: the patient was drawn, and is nobody.
    """
    session, grid = patient.session, patient.ct.geometry
    treated = [x for x in patient.findings.lesions if session is None or x.index in session.lesions]
    # axes that are nearest to the patient's long one are those between slices
    axes = np.abs(grid.affine[2, :3] / np.linalg.norm(grid.affine[:3, :3], axis=0))
    steps = np.linalg.norm(grid.affine[:3, :3], axis=0)
    across = int(np.argmax(axes))
    case = CaseFacts(
        diameters_mm=[x.longest_axial_diameter_mm for x in treated],
        tumour_hu=[x.mean_hu for x in treated],
        lesions=len(patient.findings.lesions),
        phase=phase,
        pixel_mm=float(max(s for n, s in enumerate(steps) if n != across)),
        slice_mm=float(steps[across]),
        weeks=weeks,
        synthetic=synthetic,
    )
    return outside(training, case)


def _with_sessions(asked: Question, sessions: float | None) -> Question:
    """The question about Lipiodol, with what is stated about previous sessions."""
    ml = f"{asked.numbers['volume_ml']:.1f} ml of the liver are as dense as Lipiodol"
    if sessions is None:
        text = f"{asked.text} State previous sessions with previous_tace_sessions in the clinical data."
        return replace(asked, text=text)
    if not sessions:
        text = f"{ml}, although the clinical data state that there was no TACE before: one of them is wrong."
        return replace(asked, text=text)
    many = "1 session" if sessions == 1 else f"{sessions:g} sessions"
    text = f"{ml}, as after the {many} that you stated: what is simulated is a first treatment, without what is there."
    return replace(asked, text=text, severity=NOTE)
