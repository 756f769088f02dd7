"""The linear Cox model against lifelines."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from MeWMLib.core.errors import SurvivalDataError
from MeWMLib.lab.cox import cox_loss
from MeWMLib.lab.linear_cox import LinearCox

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import lifelines
    import pandas as pd


def cohort(seed: int, n: int = 150):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3)) * (1.0, 20.0, 0.1) + (0.0, 100.0, 5.0)
    months = rng.exponential(20 * np.exp(-0.8 * x[:, 0] + 0.03 * (x[:, 1] - 100)))
    follow_up = rng.uniform(0, 60, n)
    return x, np.ceil(np.minimum(months, follow_up) / 3) * 3, months <= follow_up


@pytest.mark.parametrize("seed", range(3))
def test_fit_equals_lifelines(seed):
    x, months, events = cohort(seed)
    model = LinearCox.fit(x, months, events)
    frame = pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "c": x[:, 2], "T": months, "E": events})
    want = lifelines.CoxPHFitter().fit(frame, "T", "E", fit_options={"precision": 1e-9})
    np.testing.assert_allclose(model.coefficients, want.params_.to_numpy(), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(model.standard_errors, want.standard_errors_.to_numpy(), rtol=1e-3)
    assert model.log_likelihood == pytest.approx(want.log_likelihood_, rel=1e-8)
    times = [3.0, 12.0, 30.0]
    got = model.survival(x[:4], times)
    np.testing.assert_allclose(got.T, want.predict_survival_function(frame.iloc[:4], times).to_numpy(), rtol=1e-3)


def test_average_patient_has_log_risk_zero_and_curves_follow_the_risk():
    x, months, events = cohort(5)
    model = LinearCox.fit(x, months, events)
    risk = model.log_risk(x)
    assert abs(risk.mean()) < 1e-9
    curves = model.survival(x[np.argsort(risk)], np.arange(0, 60, 3))
    assert (np.diff(curves, axis=0) <= 1e-12).all() and (np.diff(curves, axis=1) <= 0).all()
    assert (curves[:, 0] == 1).all()


def test_ridge_shrinks():
    x, months, events = cohort(6)
    free, tight = (LinearCox.fit(x, months, events, ridge=ridge) for ridge in (0.0, 1.0))
    assert abs(tight.coefficients[0]) < 0.7 * abs(free.coefficients[0])


@pytest.mark.parametrize("kind", ["constant", "collinear", "separated", "nan", "rows", "censored"])
def test_data_without_an_answer_are_refused(kind):
    x, months, events = cohort(1)
    if kind == "constant":
        x[:, 1] = 3.0
    elif kind == "collinear":
        x[:, 1] = 2 * x[:, 0] + 1
    elif kind == "separated":
        months, events = np.arange(1.0, len(x) + 1), np.ones(len(x), bool)
        x = -months[:, None]
    elif kind == "nan":
        x[0, 0] = np.nan
    elif kind == "rows":
        x = x[1:]
    elif kind == "censored":
        events[:] = False
    with pytest.raises(SurvivalDataError):
        LinearCox.fit(x, months, events)
    if kind == "separated":
        assert np.isfinite(LinearCox.fit(x, months, events, ridge=0.1).coefficients).all()


def test_columns_are_checked():
    x, months, events = cohort(2)
    with pytest.raises(SurvivalDataError, match="3 columns"):
        LinearCox.fit(x, months, events).log_risk(x[:, :2])


def test_fit_is_the_maximum_of_our_own_likelihood_with_its_ridge():
    x, months, events = cohort(3)
    z = torch.as_tensor((x - x.mean(0)) / x.std(0))
    for ridge in (0.0, 0.3):
        beta = torch.as_tensor(LinearCox.fit(x, months, events, ridge=ridge).coefficients * x.std(0)).requires_grad_()
        loss = cox_loss(z @ beta, months, events) + 0.5 * ridge * beta.square().sum()
        assert torch.autograd.grad(loss, beta)[0].abs().max() < 1e-6
