"""Linear Cox models on few covariates, fitted by lifelines: baselines, and where the network's training begins."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from lifelines import CoxPHFitter
from lifelines.exceptions import ConvergenceError, ConvergenceWarning
from numpy.typing import NDArray

from MeWMLib.core.errors import SurvivalDataError
from MeWMLib.lab.cox import breslow_baseline, check_outcomes

Array = NDArray[np.float64]
#: A standardised coefficient beyond this means that the likelihood has no maximum (the covariate separates the deaths).
_MAX_COEFFICIENT = 50.0


@dataclass(frozen=True, eq=False)
class LinearCox:
    """A fitted proportional-hazards model: log_risk = (covariates - mean) @ coefficients.

    Attributes:
        coefficients: (F,) log hazard ratio of one unit.
        standard_errors: (F,) from the observed information.
        mean: (F,) of the training patients, so that log-risk 0 is the average patient.
        log_likelihood: log partial likelihood at the maximum.
        baseline_months, baseline_hazard: (M,) Breslow's baseline cumulative hazard.
    """

    coefficients: Array
    standard_errors: Array
    mean: Array
    log_likelihood: float
    baseline_months: Array
    baseline_hazard: Array

    @classmethod
    def fit(cls, covariates: Any, months: Any, events: Any, *, ridge: float = 0.0) -> LinearCox:
        """Maximise the Cox partial likelihood (Cox, J R Stat Soc B 1972), ties as Efron.

        Args:
            covariates: (N, F), finite; each must vary.
            months: (N,) times in months.
            events: (N,) 1 for a death.
            ridge: weight of half the squared coefficients (of standardised covariates), per event.

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
        mean, scale = x.mean(axis=0), x.std(axis=0)
        constant = np.flatnonzero(scale <= 1e-9 * np.maximum(1.0, np.abs(mean)))
        if constant.size:
            raise SurvivalDataError(
                what="A covariate is the same in all patients", given=f"column {constant}", remedy="Leave it out"
            )
        # lifelines scales by the sample deviation and counts its penalty per patient
        fitter = CoxPHFitter(penalizer=ridge * died.mean() * (1 - 1 / len(x)))
        frame = pd.DataFrame((x - mean) / scale).assign(months=times, event=died)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                warnings.simplefilter("error", ConvergenceWarning)
                fitter.fit(frame, "months", "event", fit_options={"precision": 1e-10})
        except (ConvergenceError, ConvergenceWarning) as error:
            raise _no_maximum(str(error)) from error
        found = fitter.params_.to_numpy()
        if np.abs(found).max() > _MAX_COEFFICIENT:
            raise _no_maximum("standardised coefficients " + str(found.round(2)))
        baseline = breslow_baseline((x - mean) / scale @ found, times, died)
        errors = fitter.standard_errors_.to_numpy()
        return cls(found / scale, errors / scale, mean, fitter.log_likelihood_, *baseline)

    def log_risk(self, covariates: Any) -> Array:
        """Log-risk (N,) of patients (N, F) against the average training patient."""
        x = np.asarray(covariates, dtype=np.float64)
        if x.ndim != 2 or x.shape[1] != self.coefficients.size:
            raise SurvivalDataError(
                what="The covariates do not fit the model", given=str(x.shape),
                remedy=f"Give {self.coefficients.size} columns",
            )  # fmt: skip
        return np.asarray((x - self.mean) @ self.coefficients)

    def survival(self, covariates: Any, months: Any) -> Array:
        """Survival probability (N, M) of patients (N, F) at `months` (M,); flat after the last observed death."""
        steps = np.concatenate([[0.0], self.baseline_hazard])
        hazard = steps[np.searchsorted(self.baseline_months, np.asarray(months, dtype=np.float64), side="right")]
        return np.asarray(np.exp(-np.exp(self.log_risk(covariates))[:, None] * hazard))


def _no_maximum(given: str) -> SurvivalDataError:
    return SurvivalDataError(
        what="The Cox model has no maximum",
        given=given,
        remedy="A covariate is a combination of others or separates the deaths; leave it out or give a ridge penalty",
    )
