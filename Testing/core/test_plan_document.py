"""What plan.json says of the lesions that were treated."""

from __future__ import annotations

import numpy as np

from MeWMLib.core.plan_document import TreatmentSummary
from MeWMLib.core.targets import Session
from MeWMLib.core.territory import Territory
from MeWMLib.core.volume import Geometry


def session() -> Session:
    grid = Geometry((2, 2, 2), np.eye(4))
    fed = Territory.parse("A8")
    return Session(3, (1, 3), {1: 34.4, 3: 100.0}, np.ones((2, 2, 2), bool), grid, fed, "drawn", (4,), "Because.")


def test_a_session_is_told_lesion_by_lesion() -> None:
    told = TreatmentSummary(1, 5, 62.3).with_session(session())
    assert told.lesion == 3 and told.beyond == (4,) and told.territory == "A8" and told.why == "Because."
    assert told.text == "lesions 1 (34 %), 3 of 5; 62 % of all tumour"
    assert [told.of(n) for n in (1, 2, 3)] == ["34 %", "no", "all"]


def test_a_plan_of_an_older_version_says_what_it_knows() -> None:
    told = TreatmentSummary(1, 5, 62.3)
    assert told.text == "lesion 1 and what is close to it; 62 % of all tumour" and told.of(1) == ""


def test_a_long_list_is_cut() -> None:
    many = TreatmentSummary(1, 40, 90.0, targets=tuple(range(1, 31)), target_percent=(100.0,) * 30)
    assert many.text.startswith("lesions 1, 2, 3") and "and 18 more of 40" in many.text
