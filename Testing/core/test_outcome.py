"""The median survival is where the printed curve crosses one half."""

from __future__ import annotations

import json

import numpy as np
import pytest

from MeWMLib.core.errors import PlanSettingsError
from MeWMLib.core.outcome import CrossCheck, ReplicaScore, Risk, TumourChange
from MeWMLib.core.plan import Candidate, PlanSettings
from MeWMLib.core.protocol import Protocol

EDGES = (0.0, 3.0, 6.0, 9.0, 12.0, 18.0, 24.0, 36.0, 48.0, 60.0, 84.0, 120.0)


def _risk(survival: tuple[float, ...], months: tuple[float, ...] = EDGES) -> Risk:
    return Risk((0.0,), months, survival)


def test_between_two_months_it_is_read_off_the_straight_line() -> None:
    # 0.55 at 9 and 0.41 at 12 months: 0.05 of 0.14 down the line
    risk = _risk((1.0, 0.85, 0.7, 0.55, 0.41, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01, 0.0))
    assert risk.median_survival_months == pytest.approx(9.0 + 3.0 * 5 / 14)


@pytest.mark.parametrize("seed", range(30))
def test_it_lies_on_the_curve_as_it_is_drawn(seed: int) -> None:
    """Oracle: numpy's interpolation, which draws a line as matplotlib does."""
    rng = np.random.default_rng(seed)
    survival = np.cumprod(np.concatenate([[1.0], rng.uniform(0.6, 1.0, len(EDGES) - 1)]))
    median = _risk(tuple(map(float, survival))).median_survival_months
    if survival[-1] > 0.5:
        assert median is None
    else:
        assert median is not None and np.interp(median, EDGES, survival) == pytest.approx(0.5)
        assert (np.interp(np.linspace(0.0, median - 1e-6, 50), EDGES, survival) > 0.5).all()


def test_at_a_month_of_the_curve_it_is_that_month() -> None:
    assert _risk((1.0, 0.5, 0.5), (0.0, 6.0, 12.0)).median_survival_months == 6.0
    assert _risk((0.4, 0.3), (3.0, 6.0)).median_survival_months == 3.0
    assert _risk((1.0, 0.51), (0.0, 6.0)).median_survival_months is None
    assert Risk((0.0,)).median_survival_months is None


def test_one_figure_everywhere() -> None:
    from MeWMLib.jobs.kinds import risk_json

    risk = _risk((1.0, 0.6, 0.2), (0.0, 6.0, 12.0))
    assert risk_json(risk)["median_survival_months"] == risk.median_survival_months == pytest.approx(7.5)


def test_predicted_and_measured_viable_volumes_are_compared_with_the_tumour() -> None:
    change = TumourChange(20.0, 15.0, 18.0, 6.0, 1.0, 40.0, 30.0)
    scores = [ReplicaScore(0.1, (), (), change, (), told, seen) for told, seen in ((4.0, 6.0), (6.0, 9.0))]
    check = CrossCheck.over(scores)
    assert check == CrossCheck(5.0, 7.5, 20.0)
    assert check is not None and not check.differ
    assert check.text == "predicted by the model 5.0 ml, measured in the search's image 7.5 ml"
    far = CrossCheck(5.0, 8.5, 20.0)
    assert far.differ and "which DIFFER by more than 2.8 ml" in far.text
    plain = far.to_json()
    assert plain["tolerance_ml"] == pytest.approx(8.5 / 3) and plain["differ"]
    # of a large tumour 15 % may be most of what is left: the two are held against one another too
    assert CrossCheck(3.2, 5.7, 28.7).differ and not CrossCheck(0.1, 0.5, 28.7).differ
    asked = CrossCheck(5.0, 5.1, 20.0, {"image": -0.44, "model": -0.16})
    assert not asked.volumes_differ and asked.differ and asked.risks_apart == pytest.approx(0.28)
    assert (
        "the hazard ratio is 0.64 by the volume measured in the image, 0.85 by the volume that the model" in asked.text
    )
    assert "the highest is 32 % above the lowest" in asked.text and "DIFFER" not in asked.text
    assert CrossCheck.over([]) is None
    assert CrossCheck.over([ReplicaScore(0.1, (), (), change, (), None, 6.0)]) is None


def test_a_candidate_keeps_both_volumes_in_its_file() -> None:
    change = TumourChange(20.0, 15.0, 18.0, 6.0, 1.0, 40.0, 30.0)
    one = Candidate(Protocol.parse("Cisplatin + Lipiodol"), Risk((0.1,)), change, viable=CrossCheck(5.0, 8.5, 20.0))
    assert Candidate.from_json(json.loads(json.dumps(one.to_json()))) == one
    before = {k: v for k, v in one.to_json().items() if k != "viable"}  # of an older version
    assert Candidate.from_json(before).viable is None


def test_ways_to_judge_are_named() -> None:
    assert PlanSettings().judge == "image"
    with pytest.raises(PlanSettingsError, match="Use image or assistant or model"):
        PlanSettings(judge="picture")
