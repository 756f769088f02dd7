"""When a stage helps, what a verdict goes by, and where a job stops."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import ndimage

from MeWMLib.core.errors import GeometryMismatchError, RegistrationError
from MeWMLib.perception.registration_quality import LIMITS, helps, judge, require_fit, within

START = {"liver_dice": 0.885, "liver_mae_hu": 21.7, "near_correlation": 0.66}
GOOD = {
    "liver_dice_after": 0.95,
    "liver_covered_after": 1.0,
    "near_correlation_after": 0.7,
    "abdomen_correlation_after": 0.6,
    "liver_mae_hu_after": 20.0,
    "jacobian_low": 0.8,
}


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        ({"liver_dice": 0.92}, True),
        ({"liver_mae_hu": 18.0}, True),
        ({"near_correlation": 0.7}, True),
        ({}, False),  # nothing gained
        ({"liver_dice": 0.884}, False),
        ({"liver_dice": 0.95, "near_correlation": 0.80, "liver_mae_hu": 28.0}, False),  # bought with 29 % more error
        ({"liver_dice": 0.95, "near_correlation": 0.80, "liver_mae_hu": 24.0}, True),
        ({"liver_mae_hu": math.nan}, False),
    ],
)
def test_a_stage_is_kept_where_it_gains_on_average_and_loses_nothing_large(change, kept) -> None:
    found, reason = helps(START, {**START, **change})
    assert found is kept and "liver Dice 0.885 to" in reason and "error in the liver (HU)" in reason


def test_without_outlines_after_treatment_the_images_alone_decide() -> None:
    before = {name: START[name] for name in ("liver_mae_hu", "near_correlation")}
    found, reason = helps(before, {"liver_mae_hu": 15.0, "near_correlation": 0.7})
    assert found and "Dice" not in reason
    # a measure that is there at last is a gain, as after the first shift of scans that lay apart
    assert helps({"liver_mae_hu": math.nan, "near_correlation": math.nan}, before)[0]


def test_a_verdict_is_that_of_the_weakest_measure() -> None:
    assert judge(GOOD).word == "good" and "liver Dice 0.950" in judge(GOOD).text and not judge(GOOD).missed
    for name, (least, fair, good) in LIMITS.items():
        key = name if name in GOOD else f"{name}_after"
        for value, word in ((good, "good"), (fair, "fair"), (least, "poor"), (least - 0.001, "failed")):
            found = judge({**GOOD, key: value})
            assert found.word == word, (name, value)
            assert bool(found.missed) == (word == "failed")
        assert judge({**GOOD, key: math.nan}).word == "failed"
    undrawn = {name: value for name, value in GOOD.items() if name != "liver_dice_after"}
    assert judge(undrawn).word == "good" and "Dice" not in judge(undrawn).text


def test_a_failed_registration_stops_and_says_what_to_do() -> None:
    failed = judge({**GOOD, "liver_dice_after": 0.42, "abdomen_correlation_after": 0.31})
    with pytest.raises(RegistrationError) as caught:
        require_fit(failed, accepted=False)
    error = caught.value
    assert isinstance(error, GeometryMismatchError)
    assert "liver Dice 0.420 (at least 0.8)" in error.given and "abdomen 0.310 (at least 0.35)" in error.given
    assert all(option in error.remedy for option in ("--post-series", "--no-register", "--accept-registration"))
    require_fit(failed, accepted=True)
    require_fit(judge(GOOD), accepted=False)


@pytest.mark.parametrize("reach", [0.0, 4.0, 13.0])
def test_within_is_the_distance_to_the_mask(reach: float) -> None:
    spacing = (2.5, 1.5, 1.0)
    mask = np.zeros((12, 30, 40), bool)
    mask[3:5, 8:12, 30:38] = True
    expected = ndimage.distance_transform_edt(~mask, sampling=spacing) <= reach
    assert np.array_equal(within(mask, reach, spacing), expected)
    assert not within(np.zeros_like(mask), reach, spacing).any()
