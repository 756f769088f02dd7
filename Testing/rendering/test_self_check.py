"""A sample is drawn until its deposits look like those of real scans, and flagged where none does."""

import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from MeWMLib.core.errors import InputError
from MeWMLib.rendering.self_check import REAL_RANGES, checked_sample, near, outside

FITTING = {name: 0.5 * (low + high) for name, (low, high) in REAL_RANGES.items()} | {
    "share_200_percent": 6.0,
    "share_300_percent": 2.4,
    "blobs_per_100ml": 24.0,
}
CLOT = {**FITTING, "blobs_per_100ml": 2.4, "diameter_max_mm": 60.0}
WORSE = {**CLOT, "hu_50": 700.0}


def drawn(looks: list[Mapping[str, float]], attempts: int = 3):
    asked: list[int] = []

    def draw(attempt: int) -> int:
        asked.append(attempt)
        return attempt

    return checked_sample(draw, lambda n: looks[n], attempts), asked


def test_the_first_that_fits_is_shown_and_none_is_drawn_after_it() -> None:
    first, asked = drawn([FITTING, CLOT, CLOT])
    assert (first.sample, first.attempt, first.attempts, first.fits, asked) == (0, 0, 1, True, [0])
    second, asked = drawn([CLOT, FITTING, CLOT])
    assert (second.sample, second.attempt, second.attempts, second.fits, asked) == (1, 1, 2, True, [0, 1])
    assert second.outside == ({"blobs_a_dense_ml": 1.0, "diameter_max_mm": 60.0}, {})


def test_none_fits_so_the_nearest_is_shown_and_flagged() -> None:
    found, asked = drawn([WORSE, CLOT, WORSE])
    assert (found.sample, found.fits, asked) == (1, False, [0, 1, 2])
    assert [set(one) for one in found.outside] == [
        {"blobs_a_dense_ml", "diameter_max_mm", "hu_50"},
        {"blobs_a_dense_ml", "diameter_max_mm"},
        {"blobs_a_dense_ml", "diameter_max_mm", "hu_50"},
    ]
    once, asked = drawn([CLOT], attempts=1)
    assert not once.fits and asked == [0]


def test_the_record_of_all_draws_is_json() -> None:
    found, _ = drawn([CLOT, {**FITTING, "diameter_50_mm": float("nan")}, CLOT])
    record = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert record["attempts"] == 3 and record["shown"] == 1 and record["fits"] is False and "n = 2" in record["ranges"]
    assert record["outside"][1] == {"diameter_50_mm": None}


def test_without_lipiodol_there_is_no_look_to_judge() -> None:
    nothing = dict.fromkeys(REAL_RANGES, float("nan")) | {"share_200_percent": 0.2, "blobs_per_100ml": 0.0}
    assert outside(nothing) == {}
    little = {name: v for name, v in FITTING.items()} | {"share_200_percent": 1.5, "share_300_percent": 0.6}
    assert outside(little | {"blobs_per_100ml": 6.0}) == {}  # in proportion
    assert outside(little | {"blobs_per_100ml": 0.6}) == {"blobs_a_dense_ml": pytest.approx(1.0)}
    much = FITTING | {"share_200_percent": 60.0, "share_300_percent": 24.0, "blobs_per_100ml": 240.0}
    assert set(outside(much)) == {"share_200_percent", "share_300_percent"}
    # with Lipiodol, what cannot be measured does not pass
    assert "diameter_50_mm" in outside({**FITTING, "diameter_50_mm": float("nan")})


@given(low=st.floats(-500, 500), width=st.floats(0, 500), beyond=st.floats(0.0, 2.0))
def test_a_range_is_widened_by_a_quarter_of_its_ends(low: float, width: float, beyond: float) -> None:
    high = low + width
    for end, way in ((low, -1), (high, 1)):
        value = end + way * beyond * abs(end)
        if abs(beyond - 0.25) > 1e-6 and abs(end) > 1e-6:
            assert near(value, low, high) == (beyond < 0.25)
    assert near(0.5 * (low + high), low, high) and not near(float("nan"), low, high)


def test_what_was_not_measured_is_refused() -> None:
    with pytest.raises(InputError, match="hu_50"):
        outside({name: v for name, v in FITTING.items() if name != "hu_50"})
    with pytest.raises(InputError, match="at least once"):
        checked_sample(lambda n: n, lambda n: FITTING, 0)
