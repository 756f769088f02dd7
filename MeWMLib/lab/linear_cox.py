"""Linear Cox models on few covariates: baselines of the evaluation, and where the training of the network begins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.autograd.functional import hessian

from MeWMLib.core.errors import SurvivalDataError
from MeWMLib.lab.cox import breslow_baseline, check_outcomes, cox_loss

_MAX_STEPS = 50
#: A standardised coefficient beyond this means that the likelihood has no maximum (the covariate separates the deaths).
_MAX_COEFFICIENT = 50.0


@dataclass(frozen=True, eq=False)
class LinearCox:
    """A fitted proportional-hazards model: log_risk = (covariates - mean) @ coefficients.

    Attributes:
        names: covariates in the order of the columns.
        coefficients: (F,) log hazard ratio of one unit.
        standard_errors: (F,) from the observed information.
        mean: (F,) of the training patients, so that log-risk 0 is the average patient.
        log_likelihood: log partial likelihood at the maximum (penalty left out).
        baseline_months, baseline_hazard: (M,) Breslow's baseline cumulative hazard.
    """

    names: tuple[str, ...]
    coefficients: NDArray[np.float64]
    standard_errors: NDArray[np.float64]
    mean: NDArray[np.float64]
    log_likelihood: float
    baseline_months: NDArray[np.float64]
    baseline_hazard: NDArray[np.float64]

    @classmethod
    def fit(
        cls,
        covariates: Any,
        months: Any,
        events: Any,
        names: tuple[str, ...] = (),
        *,
        ridge: float = 0.0,
        ties: str = "efron",
    ) -> LinearCox:
        """Maximise the Cox partial likelihood by Newton's method with step halving (Cox, J R Stat Soc B 1972).

        Args:
            covariates: (N, F), finite; each must vary.
            months: (N,) times in months.
            events: (N,) 1 for a death.
            names: F names; "x0", "x1" ... if left out.
            ridge: weight of half the squared coefficients (of standardised covariates), per event.
            ties: "efron" or "breslow".

        Raises:
            SurvivalDataError: data that do not fit, a constant or collinear covariate, or one that separates the
                deaths so that no maximum exists.
        """
        times, died = check_outcomes(months, events)
        x = np.asarray(covariates, dtype=np.float64)
        if x.ndim != 2 or x.shape[0] != times.size or x.shape[1] == 0 or not np.isfinite(x).all():
            raise SurvivalDataError(
                what="The covariates must be one row of finite numbers a patient",
                given=f"{x.shape} for {times.size} patients",
                remedy="Leave out patients or fill in values that are not known",
            )
        names = tuple(names) or tuple(f"x{n}" for n in range(x.shape[1]))
        if len(names) != x.shape[1]:
            raise SurvivalDataError(what="The names do not fit the covariates", given=f"{len(names)}, {x.shape[1]}")
        mean, scale = x.mean(axis=0), x.std(axis=0)
        constant = scale <= 1e-9 * np.maximum(1.0, np.abs(mean))
        if constant.any():
            raise SurvivalDataError(
                what="A covariate is the same in all patients",
                given=", ".join(n for n, flat in zip(names, constant, strict=True) if flat),
                remedy="Leave it out",
            )
        z = torch.as_tensor((x - mean) / scale)

        def objective(beta: torch.Tensor) -> torch.Tensor:
            return cox_loss(z @ beta, times, died, ties) + 0.5 * ridge * beta.square().sum()

        beta, information = _newton(objective, torch.zeros(x.shape[1], dtype=torch.float64))
        loss = float(cox_loss(z @ beta, times, died, ties))
        fitted = beta.numpy()
        deaths = int(died.sum())
        errors = np.sqrt(np.diag(np.linalg.inv(information * deaths)))
        baseline = breslow_baseline(z.numpy() @ fitted, times, died)
        return cls(names, fitted / scale, errors / scale, mean, -loss * deaths, *baseline)

    def log_risk(self, covariates: Any) -> NDArray[np.float64]:
        """Log-risk (N,) of patients (N, F) against the average training patient."""
        x = np.asarray(covariates, dtype=np.float64)
        if x.ndim != 2 or x.shape[1] != self.coefficients.size:
            raise SurvivalDataError(
                what="The covariates do not fit the model", given=str(x.shape), remedy="Needs " + ", ".join(self.names)
            )
        return np.asarray((x - self.mean) @ self.coefficients)

    def survival(self, covariates: Any, months: Any) -> NDArray[np.float64]:
        """Survival probability (N, M) of patients (N, F) at `months` (M,); flat after the last observed death."""
        steps = np.concatenate([[0.0], self.baseline_hazard])
        hazard = steps[np.searchsorted(self.baseline_months, np.asarray(months, dtype=np.float64), side="right")]
        return np.asarray(np.exp(-np.exp(self.log_risk(covariates))[:, None] * hazard))


def _newton(objective: Any, start: torch.Tensor) -> tuple[torch.Tensor, NDArray[np.float64]]:
    """Minimise a convex function; return its minimum and the Hessian there."""
    beta = start
    for _ in range(_MAX_STEPS):
        point = beta.clone().requires_grad_()
        value = objective(point)
        (gradient,) = torch.autograd.grad(value, point)
        curvature = hessian(objective, beta)
        eigenvalues = torch.linalg.eigvalsh(curvature)
        if eigenvalues[0] <= 1e-10 * eigenvalues[-1].clamp(min=1e-6):
            break
        step = torch.linalg.solve(curvature, gradient)
        decrement = float(gradient @ step)
        if decrement < 1e-16:
            return beta, curvature.numpy()
        size = 1.0
        # A full step may overshoot where the likelihood is far from its quadratic; the slack is rounding.
        while float(objective(beta - size * step)) > float(value.detach()) + 1e-14 and size > 1e-6:
            size /= 2
        if size <= 1e-6:
            return beta, curvature.numpy()
        beta = beta - size * step
        if float(beta.abs().max()) > _MAX_COEFFICIENT:
            break
    raise SurvivalDataError(
        what="The Cox model has no maximum",
        given=f"standardised coefficients {[round(float(b), 2) for b in beta]}",
        remedy="A covariate is a combination of others or separates the deaths; leave it out or give a ridge penalty",
    )
