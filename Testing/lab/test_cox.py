"""Survival analysis against lifelines, closed forms and invariances."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch

from MeWMLib.core.errors import InputError, SurvivalDataError
from MeWMLib.lab.cox import (
    breslow_baseline,
    c_index_interval,
    cox_loss,
    discrete_nll,
    exposure,
    harrell_c_index,
    nelson_aalen,
)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import lifelines
    import pandas as pd
    from lifelines.utils import concordance_index

EDGES = (0.0, 3.0, 6.0, 12.0, 24.0)


def cohort(seed: int, n: int = 80, ties: bool = True):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    months = rng.exponential(20 * np.exp(-0.7 * x))
    follow_up = rng.uniform(0, 40, n)
    events = months <= follow_up
    months = np.minimum(months, follow_up)
    return x, (np.ceil(months / 4) * 4 if ties else months), events


def naive_loss(log_risk, months, events, ties):
    """The partial likelihood as it is written in a textbook."""
    total = 0.0
    for time in np.unique(months[events]):
        dead = np.flatnonzero((months == time) & events)
        at_risk = np.exp(log_risk[months >= time]).sum()
        for rank, i in enumerate(dead):
            share = rank / len(dead) if ties == "efron" else 0.0
            total += math.log(at_risk - share * np.exp(log_risk[dead]).sum()) - log_risk[i]
    return total / events.sum()


@pytest.mark.parametrize("ties", ["efron", "breslow"])
@pytest.mark.parametrize("seed", range(4))
def test_partial_likelihood_equals_the_textbook_loop(seed, ties):
    x, months, events = cohort(seed)
    got = float(cox_loss(torch.as_tensor(x), months, events, ties))
    assert got == pytest.approx(naive_loss(x, months, events, ties), rel=1e-12)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("tied", [True, False])
def test_efron_equals_the_log_likelihood_of_lifelines(seed, tied):
    x, months, events = cohort(seed, ties=tied)
    frame = pd.DataFrame({"x": x, "T": months + 1e-9, "E": events})
    model = lifelines.CoxPHFitter().fit(frame, "T", "E")
    log_risk = torch.as_tensor(x * float(model.params_["x"]))
    got = -float(cox_loss(log_risk, months, events, "efron")) * events.sum()
    assert got == pytest.approx(model.log_likelihood_, rel=1e-8)


def test_breslow_is_efron_without_ties():
    x, months, events = cohort(7, ties=False)
    losses = [float(cox_loss(torch.as_tensor(x), months, events, ties)) for ties in ("efron", "breslow")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-14)


def test_three_patients_by_hand():
    # Deaths at 1 and 2, the third censored at 3: L = [a / (a + b + c)] [b / (b + c)] with a, b, c = exp(log-risk).
    a, b, c = 2.0, 3.0, 5.0
    loss = cox_loss(torch.log(torch.tensor([a, b, c], dtype=torch.float64)), [1, 2, 3], [1, 1, 0])
    assert float(loss) == pytest.approx(-math.log(a / (a + b + c) * b / (b + c)) / 2)
    # Both deaths at 1, by Efron: L = a b / [(a + b + c) (c + (a + b) / 2)].
    tied = cox_loss(torch.log(torch.tensor([a, b, c], dtype=torch.float64)), [1, 1, 3], [1, 1, 0])
    assert float(tied) == pytest.approx(-math.log(a * b / ((a + b + c) * (c + (a + b) / 2))) / 2)


@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_order_shift_and_time_unit_do_not_matter(ties):
    x, months, events = cohort(3)
    order = np.random.default_rng(0).permutation(x.size)
    want = float(cox_loss(torch.as_tensor(x), months, events, ties))
    assert float(cox_loss(torch.as_tensor(x[order]), months[order], events[order], ties)) == pytest.approx(want)
    assert float(cox_loss(torch.as_tensor(x + 123.0), months, events, ties)) == pytest.approx(want)
    assert float(cox_loss(torch.as_tensor(x), months * 30.4, events, ties)) == pytest.approx(want)


@pytest.mark.parametrize("scale", [1e3, 1e6, 1e30])
def test_huge_log_risks_give_finite_loss_and_gradient(scale):
    x, months, events = cohort(1)
    log_risk = torch.tensor(x * scale, dtype=torch.float32, requires_grad=True)
    loss = cox_loss(log_risk, months, events)
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(log_risk.grad).all()


def test_gradient_equals_finite_differences():
    x, months, events = cohort(2, n=20)
    log_risk = torch.tensor(x, requires_grad=True)
    assert torch.autograd.gradcheck(lambda r: cox_loss(r, months, events), log_risk)
    bins = torch.randn(20, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda h: discrete_nll(h, months, events, EDGES), bins)


@pytest.mark.parametrize(
    ("months", "events"),
    [([-1, 2], [1, 1]), ([1, 2], [0, 0]), ([1, np.nan], [1, 1]), ([1, 2, 3], [1, 1]), ([1, 2], [1, 2]), ([], [])],
)
def test_impossible_outcomes_are_refused(months, events):
    with pytest.raises(SurvivalDataError) as caught:
        cox_loss(torch.zeros(len(months)), months, events)
    assert isinstance(caught.value, InputError) and caught.value.what


def test_log_risks_that_are_no_number_are_refused():
    with pytest.raises(SurvivalDataError, match="not finite"):
        cox_loss(torch.tensor([0.0, math.nan]), [1, 2], [1, 1])
    with pytest.raises(SurvivalDataError, match="fit"):
        cox_loss(torch.zeros(3), [1, 2], [1, 1])
    with pytest.raises(SurvivalDataError, match="ties"):
        cox_loss(torch.zeros(2), [1, 2], [1, 1], "exact")


def test_discrete_likelihood_by_hand():
    h = np.array([0.1, 0.2, 0.4, 0.8])
    increments = torch.log(torch.tensor(np.stack([h] * 5)))
    # Death in bin 2, censored half-way through bin 1, death at 0, death on an edge, death after the last edge.
    months, events = [7.0, 4.5, 0.0, 3.0, 99.0], [1, 0, 1, 1, 1]
    want = [
        -(h[0] + h[1]) + math.log(1 - math.exp(-h[2])),
        -(h[0] + 0.5 * h[1]),
        math.log(1 - math.exp(-h[0])),
        math.log(1 - math.exp(-h[0])),
        -h.sum(),
    ]
    assert float(discrete_nll(increments, months, events, EDGES)) == pytest.approx(-np.mean(want))


def test_discrete_likelihood_is_finite_at_the_extremes():
    increments = torch.tensor([[-200.0, 200.0, -50.0, 90.0]], requires_grad=True)
    for months, event in ((1.0, 1), (4.0, 1), (24.0, 0)):
        loss = discrete_nll(increments, [months], [event], EDGES)
        loss.backward()
        assert torch.isfinite(loss) and torch.isfinite(increments.grad).all()


def test_the_true_hazard_maximises_the_discrete_likelihood():
    rng = np.random.default_rng(0)
    months = rng.exponential(10.0, 4000)
    follow_up = rng.uniform(0, 30, months.size)
    events, months = months <= follow_up, np.minimum(months, follow_up)
    true = torch.log(torch.tensor(np.diff(EDGES) / 10.0)).expand(months.size, -1)
    losses = [float(discrete_nll(true + shift, months, events, EDGES)) for shift in (-0.1, 0.0, 0.1)]
    assert losses[1] < min(losses[0], losses[2])


def test_exposure_counts_each_death_once():
    months, events = np.array([0.0, 3.0, 3.1, 24.0, 25.0]), np.array([True] * 5)
    lived, death = exposure(months, events, np.array(EDGES))
    assert death.sum(axis=1).tolist() == [1, 1, 1, 1, 0]
    assert death.argmax(axis=1)[:4].tolist() == [0, 0, 1, 3]
    assert lived.sum(axis=1)[[0, 1, 4]].tolist() == [0, 1, 4]


@pytest.mark.parametrize("seed", range(5))
def test_c_index_equals_lifelines(seed):
    x, months, events = cohort(seed)
    score = np.round(x, 1)
    assert harrell_c_index(score, months, events) == pytest.approx(concordance_index(months, -score, events))


def test_c_index_of_perfect_reversed_and_constant_scores():
    months, events = np.array([1, 2, 3, 4]), np.array([1, 1, 1, 0])
    assert harrell_c_index(-months, months, events) == 1
    assert harrell_c_index(months, months, events) == 0
    assert harrell_c_index(np.zeros(4), months, events) == 0.5
    with pytest.raises(SurvivalDataError, match="compared"):
        harrell_c_index([0, 1], [5, 5], [1, 1])


def test_c_index_interval_holds_the_estimate_and_is_repeatable():
    x, months, events = cohort(0)
    low, high = c_index_interval(x, months, events, seed=1, draws=200)
    assert low < harrell_c_index(x, months, events) < high
    assert (low, high) == c_index_interval(x, months, events, seed=1, draws=200)


def test_nelson_aalen_equals_lifelines():
    _, months, events = cohort(4)
    times, hazard = nelson_aalen(months, events)
    fitted = lifelines.NelsonAalenFitter(nelson_aalen_smoothing=False).fit(months, events)
    np.testing.assert_allclose(hazard, fitted.cumulative_hazard_at_times(times).to_numpy(), rtol=1e-10)


def test_breslow_baseline_equals_lifelines():
    x, months, events = cohort(5)
    model = lifelines.CoxPHFitter().fit(pd.DataFrame({"x": x, "T": months, "E": events}), "T", "E")
    log_risk = (x - x.mean()) * float(model.params_["x"])
    times, hazard = breslow_baseline(log_risk, months, events)
    want = model.baseline_cumulative_hazard_["baseline cumulative hazard"].loc[times].to_numpy()
    np.testing.assert_allclose(hazard, want, rtol=1e-6)
    np.testing.assert_allclose(breslow_baseline(log_risk + 500, months, events)[1] * np.exp(500), hazard, rtol=1e-9)
