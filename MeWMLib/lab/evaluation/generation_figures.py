"""What the two measures of generation share: settings, what one patient adds, correlations within a patient."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import spearmanr

from MeWMLib.core.plan import PlanSettings
from MeWMLib.lab.evaluation.known_patients import WorldSettings
from MeWMLib.lab.evaluation.metrics import correlation
from MeWMLib.lab.evaluation.montage import Tile

#: Protocols shown in the montage.
SHOWN = 5
Tiles = list[list[Tile | None]]


@dataclass(frozen=True)
class GenerationSettings(WorldSettings):
    """What to measure.

    Attributes:
        steps: of the sampler.
        montage: number of patients whose pictures are kept.
        world: version of the synthetic world; None for the newest that the bundle's dynamics model fits.
    """

    steps: int = PlanSettings().steps
    montage: int = 4
    world: int | None = None


@dataclass(frozen=True, eq=False)
class PatientFigures:
    """What one patient adds.

    Attributes:
        values: row to metric to number.
        crops: of the tumour by row, and of the truth.
        viable: by row (protocols, 2) log(1 + viable ml), predicted and true.
        tiles: lines of the montage.
    """

    values: Mapping[str, Mapping[str, float]]
    crops: Mapping[str, NDArray[np.float32]]
    viable: Mapping[str, NDArray[np.float64]]
    tiles: Tiles


def ranks_agree(predicted: ArrayLike, true: ArrayLike) -> float:
    """Spearman's correlation; 0 where the prediction does not vary, NaN where the truth does not."""
    return _agree(np.asarray(predicted, float), np.asarray(true, float), lambda a, b: float(spearmanr(a, b)[0]))


def logs_agree(predicted_ml: ArrayLike, true_ml: ArrayLike) -> float:
    """Pearson's correlation of log(1 + ml), as `ranks_agree`; NaN with fewer than three."""
    if np.size(true_ml) < 3:
        return float("nan")
    return _agree(np.log1p(predicted_ml), np.log1p(true_ml), correlation)


def _agree(predicted: NDArray[Any], true: NDArray[Any], measure: Any) -> float:
    if np.ptp(true) == 0:
        return float("nan")
    return float(measure(predicted, true)) if np.ptp(predicted) > 0 else 0.0
