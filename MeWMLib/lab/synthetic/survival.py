"""Survival in the synthetic world: the log-hazard that an outcome means, and a time drawn from it."""

from __future__ import annotations

import numpy as np

from MeWMLib.cohorts.synthetic.law import LAW, LawConstants, Response

#: Weibull shape of the survival time, weight of the viable volume in the log-hazard, and its zero.
WEIBULL_SHAPE = 1.6
VIABLE_WEIGHT = 0.5
REFERENCE_VIABLE_ML = 15.0
NEW_LESION_WEIGHT = 0.25


def attenuation_level(response: Response) -> int:
    """What the operation report would say of the occlusion: 1 (little) to 4 (no tumour staining left)."""
    return 1 + min(3, int(4 * response.occlusion))


def true_log_risk(viable_ml: float, response: Response) -> float:
    """Log-hazard beside a patient who keeps `REFERENCE_VIABLE_ML` of viable tumour and was not harmed."""
    size = VIABLE_WEIGHT * float(np.log((1 + viable_ml) / (1 + REFERENCE_VIABLE_ML)))
    return size + NEW_LESION_WEIGHT * response.new_lesion + response.toxicity


def survival_months(log_risk: float, rng: np.random.Generator, law: LawConstants = LAW) -> tuple[float, bool]:
    """Draw a survival time and whether death was seen (else follow-up ended before)."""
    scale = law.median_months / np.log(2) ** (1 / WEIBULL_SHAPE)
    death = scale * (-np.log(rng.uniform(1e-9, 1)) * np.exp(-log_risk)) ** (1 / WEIBULL_SHAPE)
    # Of the 80 patients of the public table 89 % were followed to their death.
    end = rng.uniform(12, 240)
    return float(max(0.1, min(death, end))), bool(death <= end)
