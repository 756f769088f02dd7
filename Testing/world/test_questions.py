"""Questions about a patient: Lipiodol in the scan beside the sessions that are stated."""

from __future__ import annotations

import numpy as np
import pytest

from MeWMLib.core.patient import Clinical
from MeWMLib.core.volume import Geometry, LabelMap, Volume
from MeWMLib.world.questions import question_patient

GEOMETRY = Geometry((30, 40, 40), np.diag([-4.0, -4.0, 4.0, 1.0]))


def scan(deposit: bool) -> tuple[Volume, LabelMap]:
    """A block of liver with a lesion, and some 4 ml at 500 HU beside it."""
    labels = np.zeros(GEOMETRY.shape, np.uint8)
    labels[5:25, 5:35, 5:35] = 1
    labels[10:14, 10:14, 10:14] = 2
    hu = np.where(labels, 100, -50).astype(np.int16)
    if deposit:
        hu[16:20, 16:20, 16:20] = 500
    return Volume(hu, GEOMETRY), LabelMap(labels, GEOMETRY)


@pytest.mark.parametrize(
    ("clinical", "severity", "words"),
    [
        (Clinical(), "warning", "previous_tace_sessions"),
        (Clinical(previous_tace_sessions=0), "warning", "one of them is wrong"),
        (Clinical(previous_tace=()), "warning", "one of them is wrong"),
        (Clinical(previous_tace_sessions=1), "note", "after the 1 session that you stated"),
        (Clinical(previous_tace=("Lipiodol", "Lipiodol")), "note", "after the 2 sessions that you stated"),
    ],
)
def test_lipiodol_is_asked_about_with_the_sessions(clinical: Clinical, severity: str, words: str) -> None:
    (asked,) = (q for q in question_patient(*scan(True), clinical) if q.topic == "lipiodol")
    assert (
        asked.severity == severity and words in asked.text and asked.numbers["volume_ml"] == pytest.approx(4.1, abs=0.1)
    )


def test_without_a_deposit_nothing_is_asked() -> None:
    assert not [q for q in question_patient(*scan(False), Clinical()) if q.topic == "lipiodol"]
