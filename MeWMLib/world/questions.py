"""What is asked about a patient before anything is computed: labels, place and phase of the scan. No networks."""

from __future__ import annotations

from MeWMLib.core.questions import Question
from MeWMLib.core.volume import LabelMap, Volume
from MeWMLib.perception.label_questions import question_labels, question_phase


def question_scan(ct: Volume) -> tuple[Question, ...]:
    """What a CT alone lets one ask: whether the segmenter was trained on its phase."""
    return question_phase(ct)


def question_patient(ct: Volume, labels: LabelMap) -> tuple[Question, ...]:
    """What labels on a CT before treatment let one ask; `question_scan` is asked apart."""
    return question_labels(ct, labels, before_treatment=True)
