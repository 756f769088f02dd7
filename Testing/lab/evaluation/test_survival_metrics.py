"""Survival figures against lifelines, scikit-survival and torchsurv, on real and on random data, to 1e-6."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from MeWMLib.core.errors import SurvivalDataError
from MeWMLib.lab.cox import breslow_baseline, cox_loss, harrell_c_index, nelson_aalen
from MeWMLib.lab.evaluation.survival_maps import CELLS, nelson_aalen_map, risk_maps
from MeWMLib.lab.evaluation.survival_metrics import (
    Concordance,
    brier_terms,
    inverse_weights,
    kaplan_meier,
    log_rank_p,
    observed_survival,
    reliability,
)
from MeWMLib.lab.evaluation.survival_tables import read_table
from MeWMLib.lab.linear_cox import LinearCox

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import lifelines
    import pandas as pd
    import sksurv.compare
    import sksurv.linear_model
    import sksurv.metrics
    import sksurv.nonparametric
    import sksurv.util
    import torchsurv.loss.cox
    import torchsurv.metrics.auc
    import torchsurv.metrics.brier_score
    import torchsurv.metrics.cindex
    import torchsurv.stats.ipcw
    from lifelines.statistics import logrank_test
    from lifelines.utils import concordance_index

CLOSE = 1e-6
#: torchsurv computes in single precision.
SINGLE = 2e-5


@pytest.fixture(autouse=True)
def _torchsurv_may_warn():
    """It warns of ties, which are what the tests are about."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="torchsurv.*")
        warnings.filterwarnings("ignore", message="Ties in `time` detected")
        yield


def _random(seed: int, ties: bool):
    rng = np.random.default_rng(seed)
    n = 150
    x = rng.normal(size=n)
    months = rng.exponential(20 * np.exp(-0.7 * x)) + 0.01
    end = rng.uniform(1, 60, n)
    events = months <= end
    months = np.minimum(months, end)
    return x, np.ceil(months / 3) * 3 if ties else months, events


@pytest.fixture(params=["random", "random with ties", "real overall survival", "real progression"])
def data(request):
    """A score, months and events."""
    if request.param.startswith("random"):
        return _random(3, "ties" in request.param)
    folder = request.getfixturevalue("shared_data")
    table = read_table("hcc-tace-seg", folder / "tables" / "hcc_tace_seg_clinical_80.csv")
    one = table[0] if "overall" in request.param else table[1]
    size = one.covariates["log_size_mm"]
    return np.where(np.isnan(size), np.nanmedian(size), size), one.months, one.events


def _surv(months, events):
    return sksurv.util.Surv.from_arrays(events, months)


@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_partial_likelihood(data, ties):
    x, months, events = data
    ours = float(cox_loss(torch.as_tensor(x), months, events, ties))
    fitted = sksurv.linear_model.CoxPHSurvivalAnalysis(ties=ties, tol=1e-12).fit(x[:, None], _surv(months, events))
    if ties == "efron":
        model = LinearCox.fit(x[:, None], months, events)
        assert model.coefficients[0] == pytest.approx(fitted.coef_[0], abs=CLOSE)
    other = torchsurv.loss.cox.neg_partial_log_likelihood(
        torch.as_tensor(x), torch.as_tensor(events), torch.as_tensor(months), ties_method=ties, reduction="sum"
    )
    assert ours == pytest.approx(float(other) / events.sum(), rel=SINGLE)


def test_log_likelihood_and_coefficients_of_lifelines(data):
    x, months, events = data
    frame = pd.DataFrame({"x": x, "T": months, "E": events})
    want = lifelines.CoxPHFitter().fit(frame, "T", "E", fit_options={"precision": 1e-12})
    model = LinearCox.fit(x[:, None], months, events)
    assert model.log_likelihood == pytest.approx(want.log_likelihood_, abs=CLOSE)
    assert model.coefficients[0] == pytest.approx(want.params_["x"], abs=CLOSE)


def test_baseline_hazard(data):
    x, months, events = data
    fitted = sksurv.linear_model.CoxPHSurvivalAnalysis(ties="breslow", tol=1e-12).fit(x[:, None], _surv(months, events))
    points, hazard = breslow_baseline(x * fitted.coef_[0], months, events)
    # scikit-survival centres nothing: the baseline is that of covariates 0
    want = fitted.cum_baseline_hazard_
    np.testing.assert_allclose(hazard, want(points), atol=CLOSE)


def test_nelson_aalen(data):
    _, months, events = data
    points, hazard = nelson_aalen(months, events)
    t, want = sksurv.nonparametric.nelson_aalen_estimator(events, months)
    np.testing.assert_allclose(hazard, want[np.searchsorted(t, points)], atol=CLOSE)
    fit = lifelines.NelsonAalenFitter(nelson_aalen_smoothing=False).fit(months, events)
    np.testing.assert_allclose(hazard, fit.cumulative_hazard_at_times(points).to_numpy(), atol=CLOSE)


def test_kaplan_meier(data):
    _, months, events = data
    curve = kaplan_meier(months, events)
    t, want = sksurv.nonparametric.kaplan_meier_estimator(events, months)
    np.testing.assert_allclose(curve["survival"][1:], want[np.searchsorted(t, curve["months"][1:])], atol=CLOSE)
    assert observed_survival(months, events, float(t[5]))[0] == pytest.approx(want[5], abs=CLOSE)


def test_harrell(data):
    x, months, events = data
    want = concordance_index(months, -x, events)
    assert harrell_c_index(x, months, events) == pytest.approx(want, abs=CLOSE)
    assert Concordance.harrell(months, events).share([x]) == pytest.approx(want, abs=CLOSE)
    assert sksurv.metrics.concordance_index_censored(events, months, x)[0] == pytest.approx(want, abs=CLOSE)
    other = torchsurv.metrics.cindex.ConcordanceIndex()
    got = other(torch.as_tensor(x), torch.as_tensor(events), torch.as_tensor(months))
    assert float(got) == pytest.approx(want, abs=SINGLE)


def test_uno(data):
    x, months, events = data
    until = float(np.quantile(months, 0.8))
    want = sksurv.metrics.concordance_index_ipcw(_surv(months, events), _surv(months, events), x, tau=until)[0]
    assert Concordance.uno(months, events, until).share([x]) == pytest.approx(want, abs=CLOSE)


def test_inverse_weights_are_those_of_torchsurv(data):
    _, months, events = data
    e, t = torch.as_tensor(events), torch.as_tensor(months)
    other = torchsurv.stats.ipcw.get_ipcw(e, t).numpy()
    got = inverse_weights(months, events)
    before = events & (months < np.quantile(months, 0.9))
    np.testing.assert_allclose(got[before], other[before], rtol=SINGLE)


def test_auc_and_brier(data):
    x, months, events = data
    own = _surv(months, events)
    times = np.quantile(months, [0.3, 0.5, 0.7]) + 1e-3  # not at a time of the data, where conventions differ
    want = sksurv.metrics.cumulative_dynamic_auc(own, own, x, times)[0]
    survival = np.stack([np.exp(-np.exp(0.5 * x) * t / 40) for t in times], axis=1)
    scores = sksurv.metrics.brier_score(own, own, survival, times)[1]
    for n, at in enumerate(times):
        assert Concordance.auc(months, events, at).share([x]) == pytest.approx(want[n], abs=CLOSE)
        assert brier_terms(survival[:, n], months, events, at).mean() == pytest.approx(scores[n], abs=CLOSE)


def test_auc_and_brier_of_torchsurv(data):
    x, months, events = data
    e, t = torch.as_tensor(events), torch.as_tensor(months)
    at = torch.tensor([float(np.quantile(months, 0.5)) + 1e-3], dtype=t.dtype)
    weight, weight_at = torchsurv.stats.ipcw.get_ipcw(e, t), torchsurv.stats.ipcw.get_ipcw(e, t, at)
    got = torchsurv.metrics.auc.Auc()(torch.as_tensor(x), e, t, new_time=at, weight=weight, weight_new_time=weight_at)
    assert float(got[0]) == pytest.approx(Concordance.auc(months, events, float(at)).share([x]), abs=SINGLE)
    survival = np.exp(-np.exp(0.5 * x) * float(at) / 40)
    score = torchsurv.metrics.brier_score.BrierScore()(
        torch.as_tensor(survival)[:, None], e, t, new_time=at, weight=weight, weight_new_time=weight_at
    )
    assert float(score[0]) == pytest.approx(brier_terms(survival, months, events, float(at)).mean(), abs=SINGLE)


def test_log_rank(data):
    x, months, events = data
    groups = x > np.median(x)
    p = log_rank_p(groups, months, events)
    assert p == pytest.approx(sksurv.compare.compare_survival(_surv(months, events), groups)[1], abs=CLOSE)
    two = logrank_test(months[groups], months[~groups], events[groups], events[~groups])
    assert p == pytest.approx(two.p_value, abs=CLOSE)
    assert np.isnan(log_rank_p(np.ones(len(x)), months, events))


def test_pairs_stay_inside_a_fold():
    """A constant added to the risks of one fold changes nothing, while it would over all pairs."""
    x, months, events = _random(1, False)
    fold = np.arange(len(x)) % 5
    pairs = Concordance.harrell(months, events)
    moved = x + 10.0 * (fold == 2)
    assert pairs.share([moved], [fold]) == pairs.share([x], [fold])
    assert pairs.share([moved]) != pytest.approx(pairs.share([x]), abs=1e-3)
    by_hand = [Concordance.harrell(months[fold == n], events[fold == n]) for n in range(5)]
    right = sum(p.share([x[fold == n]]) * p.weight.sum() for n, p in enumerate(by_hand))
    assert pairs.share([x], [fold]) == pytest.approx(right / sum(p.weight.sum() for p in by_hand), abs=1e-12)


def test_interval_holds_the_figure_and_shrinks():
    x, months, events = _random(5, True)
    pairs = Concordance.harrell(months, events)
    one = pairs.of([x], seed=1)
    assert one["low"] < one["mean"] < one["high"] and one["n"] == len(x)
    assert pairs.of([x], seed=1) == one
    few = Concordance.harrell(months[:40], events[:40]).of([x[:40]], seed=1)
    assert few["high"] - few["low"] > one["high"] - one["low"]


def test_lives_add_up():
    x, months, events = _random(7, False)
    again = np.random.default_rng(0).permutation(len(x))
    lives = [(months, events), (months[again], events[again])]
    both = Concordance.lives(lives)
    alone = [Concordance.harrell(*one) for one in lives]
    want = sum(a.share([x]) * a.weight.sum() for a in alone) / sum(a.weight.sum() for a in alone)
    assert both.share([x]) == pytest.approx(want, abs=1e-12)


def test_no_pair_is_refused():
    with pytest.raises(SurvivalDataError, match="No two patients"):
        Concordance.harrell([3.0, 1.0], [True, False])
    pairs = Concordance.harrell([1.0, 2.0], [True, True])
    with pytest.raises(SurvivalDataError, match="one fold"):
        pairs.share([np.zeros(2)], [np.array([0, 1])])


def test_brier_after_everybody_was_lost_is_refused():
    with pytest.raises(SurvivalDataError, match="No one is observed"):
        brier_terms([0.5, 0.5], [1.0, 2.0], [True, False], 3.0)


def test_reliability_of_the_truth_lies_on_the_line():
    rng = np.random.default_rng(0)
    risk = rng.normal(size=4000)
    months = rng.exponential(20 / np.exp(risk))
    rows = reliability(np.exp(-np.exp(risk) * 12 / 20), months, np.ones(4000, bool), 12.0, 5)
    assert [r["n"] for r in rows] == [800] * 5
    for row in rows:
        assert row["observed"] == pytest.approx(row["predicted"], abs=0.06)
        assert row["low"] <= row["observed"] <= row["high"]


def test_risk_map_is_nelson_aalen_of_its_cells():
    rng = np.random.default_rng(2)
    x, y, risk = rng.normal(size=(3, 600))
    months = rng.exponential(20 / np.exp(0.5 * risk + 0.5 * x))
    events = rng.random(600) < 0.8
    good = np.exp(-np.exp(0.5 * risk + 0.5 * x) * 12 / 20)
    maps = risk_maps(x, y, months, events, {"good": good, "flat": np.full(600, good.mean())}, 12.0)
    assert maps.patients.sum() == 600 and maps.patients.min() > 15
    assert maps.mse["good"]["mean"] < maps.mse["flat"]["mean"]
    # drawing patients again adds to the scatter of the cells: the interval is centred, and holds its figure
    assert all(one["low"] <= one["mean"] <= one["high"] for one in maps.mse.values())
    order = np.sort(x)
    assert maps.columns == pytest.approx([order[n - 1 : n + 1].mean() for n in (120, 240, 360, 480)])
    assert maps.rows[0][0] == pytest.approx(np.sort(y[np.argsort(x)[:120]])[23:25].mean())
    # the first column, first row: lowest fifth of x, and of y among them
    column = np.argsort(x)[:120]
    cell = column[np.argsort(y[column], kind="stable")[:24]]
    t, want = sksurv.nonparametric.nelson_aalen_estimator(events[cell], months[cell])
    assert maps.observed[0, 0] == pytest.approx(want[np.searchsorted(t, 12.0, "right") - 1], abs=1e-9)
    assert maps.to_json()["months"] == 12.0


def test_a_cell_of_few_patients_stays_empty():
    cell = np.zeros(10, np.intp)
    observed, count = nelson_aalen_map(cell, np.arange(1.0, 11), np.ones(10, bool), 5.0, np.ones(10))
    assert np.isfinite(observed).sum() == 1 and count.sum() == 10 and observed.shape == (CELLS, CELLS)
    with pytest.raises(SurvivalDataError, match="Too few patients"):
        risk_maps(np.arange(6.0), np.arange(6.0), np.arange(1.0, 7), np.ones(6, bool), {}, 3.0)
