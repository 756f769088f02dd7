"""How probable it is that one protocol is better than another."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from MeWMLib.core.comparison import PRIOR, Comparison, Difference, standings
from MeWMLib.core.errors import BundleError
from MeWMLib.core.outcome import Risk
from MeWMLib.core.records import from_plain

FITTED = Comparison(gain=0.5, error=0.3, spread=0.2, level=0.9, measured=True)
numbers = st.floats(-3, 3)
risks = st.builds(
    lambda replicas, members: Risk(tuple(replicas), members=tuple(members)),
    st.lists(numbers, min_size=3, max_size=3),
    st.lists(numbers, min_size=4, max_size=4),
)


@given(risks, risks)
def test_the_two_probabilities_add_up_and_follow_the_risks(first, second):
    chance = FITTED.better(first, second)
    assert chance + FITTED.better(second, first) == pytest.approx(1)
    assert (chance > 0.5) == (first.log_risk < second.log_risk) or chance == pytest.approx(0.5)
    assert FITTED.told_apart(first, second) == FITTED.told_apart(second, first)
    assert not FITTED.told_apart(first, first) and FITTED.better(first, first) == 0.5


@given(risks, risks, numbers)
def test_what_both_share_does_not_count(first, second, shift):
    moved = [
        Risk(tuple(x + shift for x in r.replicas), members=tuple(x + shift for x in r.members)) for r in (first, second)
    ]
    assert FITTED.better(*moved) == pytest.approx(FITTED.better(first, second), abs=1e-6)


def test_the_deviation_is_that_of_all_three_sources():
    first = Risk((0.1, 0.5, 0.0), members=(0.0, 0.2))
    second = Risk((0.3, 0.4, 0.6), members=(0.1, 0.5))
    of_replicas = np.var([-0.2, 0.1, -0.6], ddof=1)
    within = (2 * of_replicas + PRIOR * 0.2**2) / (2 + PRIOR)
    expected = math.sqrt(0.3**2 + np.var([-0.1, -0.3], ddof=1) + within * (1 + 1 / 3))
    assert FITTED.deviation(first, second) == pytest.approx(expected)
    difference = second.log_risk - first.log_risk
    assert FITTED.better(first, second) == pytest.approx(norm.cdf(0.5 * difference / expected))


@given(risks, risks)
def test_a_difference_has_the_spread_of_the_comparison(first, second):
    found = FITTED.difference(first, second)
    true = norm(0.5 * (first.log_risk - second.log_risk), FITTED.deviation(first, second))
    assert found.interval == pytest.approx(true.interval(0.95), abs=1e-4)
    assert found.better == pytest.approx(true.cdf(0)) and found.told_apart == (max(true.cdf(0), true.sf(0)) >= 0.9)
    told = found.to_json()
    assert from_plain(Difference, told, strict=False) == found
    assert (told["interval"], told["better"], told["told_apart"]) == (
        list(found.interval),
        found.better,
        found.told_apart,
    )


@pytest.mark.parametrize(
    "wrong", [(0.1, 0.0, 0.5, 0.9), (0.1, 0.3, 0.0, 0.9), (0.1, 0.3, 0.5, 1.0), (math.nan, 1, 1, 0.9)]
)
def test_a_difference_that_cannot_be_is_refused(wrong):
    with pytest.raises(BundleError, match="difference of two protocols"):
        Difference(*wrong)


def test_one_replica_has_the_usual_spread():
    alone = FITTED.deviation(Risk((0.0,)), Risk((1.0,)))
    assert alone == pytest.approx(math.sqrt(0.3**2 + 2 * 0.2**2))


def test_groups_hold_what_cannot_be_told_from_their_first():
    ranked = [Risk((x,)) for x in (0.0, 0.1, 0.9, 1.2, 5.0)]
    sure = Comparison(gain=1, error=0.3, spread=0.0, level=0.9, measured=True)
    assert [sure.told_apart(ranked[0], r) for r in ranked] == [False, False, True, True, True]
    assert sure.groups(ranked) == (1, 1, 2, 2, 3) and sure.groups([]) == ()


def test_the_interval_of_one_risk_has_all_sources() -> None:
    risk = Risk((0.1, 0.5, 0.0), members=(0.0, 0.2))
    of_replicas = np.var(risk.replicas, ddof=1)
    within = (2 * of_replicas + PRIOR * 0.2**2) / (2 + PRIOR)
    expected = math.sqrt(0.4**2 + np.var(risk.members, ddof=1) + within * (1 + 1 / 3))
    assert FITTED.uncertainty(risk) == pytest.approx(expected)
    low, high = FITTED.interval(risk)
    assert (low + high) / 2 == pytest.approx(risk.log_risk)
    assert norm.cdf((high - risk.log_risk) / expected) == pytest.approx(0.975, abs=1e-5)


def test_standings_say_how_sure_the_order_is() -> None:
    ranked = [Risk((x,)) for x in (0.0, 0.1, 2.0)]
    first, second, last = standings(ranked, FITTED)
    assert first.first_is_better is None and first.text == "" and last.next_is_worse is None
    assert first.next_is_worse == second.first_is_better == pytest.approx(FITTED.better(*ranked[:2]))
    assert "cannot be told apart" in second.text and "cannot" not in last.text
    assert (first.group, second.group, last.group) == (1, 1, 2)
    assert standings([], FITTED) == ()


def test_a_bundle_brings_its_own_or_none():
    assert not Comparison.of_settings({}).measured
    found = Comparison.of_settings(
        {"comparison": {"gain": 0.5, "error": 0.3, "spread": 0.2, "level": 0.9, "measured": True}}
    )
    assert found == FITTED


@pytest.mark.parametrize(
    "plain",
    [{"gain": 0}, {"error": math.nan}, {"error": 0}, {"spread": -1}, {"level": 0.5}, {"level": 1}, {"gain": "much"}, 3],
)
def test_one_that_cannot_be_is_refused(plain):
    with pytest.raises(BundleError):
        Comparison.of_settings({"comparison": plain})
