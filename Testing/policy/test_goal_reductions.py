"""A dose that is only called smaller is asked about, and nothing is dropped in silence."""

import pytest

from MeWMLib.policy.goal import read_goal


@pytest.mark.parametrize(
    "text",
    [
        "dose reduction by 50%", "reduce the dose by half", "half the dose of doxorubicin", "lower doses please",
        "use doxorubicin at a reduced dose", "halve the cisplatin dose", "Dosis um die Hälfte reduzieren",
        "réduire la dose", "dosis reducida a la mitad", "dose ridotta", "dose reduzida",
    ],
)  # fmt: skip
def test_a_smaller_dose_is_asked_about(text: str) -> None:
    assert any("how large may the dose be" in one for one in read_goal(text).questions)


@pytest.mark.parametrize(
    "text",
    ["no dose reduction", "epirubicin without dose reduction", "doxorubicin up to 50 mg", "prefer cisplatin 50 mg",
     "keine Dosisreduktion", "use the usual dose", "less than 50 mg doxorubicin"],
)  # fmt: skip
def test_other_doses_are_not(text: str) -> None:
    assert not any("how large may the dose be" in one for one in read_goal(text).questions)
