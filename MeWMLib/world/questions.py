"""What is asked about a patient before anything is computed: labels, scan and clinical data. No networks."""

from __future__ import annotations

from MeWMLib.core.patient import Clinical
from MeWMLib.core.questions import WARNING, Question
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


def question_scan(ct: Volume) -> tuple[Question, ...]:
    """What a CT alone lets one ask: whether the segmenter was trained on its phase."""
    return question_phase(ct)


def question_after(ct: Volume, labels: LabelMap) -> tuple[Question, ...]:
    """What labels on a CT after treatment let one ask; Lipiodol belongs there."""
    return question_labels(ct, labels, before_treatment=False)


def question_patient(ct: Volume, labels: LabelMap) -> tuple[Question, ...]:
    """What labels on a CT before treatment let one ask; `question_scan` is asked apart."""
    return question_labels(ct, labels, before_treatment=True)
