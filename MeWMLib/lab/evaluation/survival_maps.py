"""Figure 5: maps of the risk on a fixed grid of patients, and their error against Nelson-Aalen.

The paper names no grid, no time and no formula for its mean square error, so this is a definition of our own and its
numbers are not comparable with the printed ones (docs/SURVIVAL.md, equations 3 to 5).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from MeWMLib.core.errors import SurvivalDataError
from MeWMLib.lab.cox import check_outcomes
from MeWMLib.lab.evaluation.metrics import bootstrap, jsonable

Array = NDArray[np.float64]
#: Rows and columns of the grid.
CELLS = 5
#: A cell of fewer patients stays empty.
FEWEST = 5
_DRAWS = 300


@dataclass(frozen=True, eq=False)
class RiskMaps:
    """Maps (CELLS, CELLS) of the cumulative hazard at one time, NaN in empty cells, and their errors.

    Attributes:
        observed: Nelson-Aalen of each cell's patients.
        predicted: name to the mean predicted cumulative hazard of the cell's patients.
        patients: how many each cell holds.
        mse: name to {mean, low, high, n}, bootstrap over patients, centred: drawing patients again adds to the scatter
            of a cell, so that percentiles as they are lie above the error.
        at: months.
        columns: where the columns are cut, in the units of x.
        rows: where each column is cut into rows, in the units of y.
    """

    observed: Array
    predicted: dict[str, Array]
    patients: NDArray[np.intp]
    mse: dict[str, dict[str, float]]
    at: float
    columns: tuple[float, ...] = ()
    rows: tuple[tuple[float, ...], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """JSON-ready; empty cells are null."""
        maps = {"nelson_aalen": self.observed, "predicted": self.predicted, "mse": self.mse}
        cuts = {"columns": list(self.columns), "rows": [list(one) for one in self.rows]}
        return {"months": self.at, "patients": self.patients.tolist(), "cuts": cuts, **jsonable(maps)}


def risk_maps(
    x: Array,
    y: Array,
    months: Any,
    events: Any,
    survival: Mapping[str, Array],
    at: float,
    seed: int = 0,
    cells: int = CELLS,
) -> RiskMaps:
    """Maps over the quantiles of x (columns) and, within each column, of y (rows).

    Args:
        x, y: (N,) what is measured of the patients, the same for every model.
        months, events: (N,).
        survival: name to (N,) predicted probability of survival beyond `at`.
        at: months.
        seed: of the bootstrap.
        cells: rows and columns of the grid.

    Raises:
        SurvivalDataError: too few patients for any cell.
    """
    times, died = check_outcomes(months, events)
    cell = _cells(x, y, cells)
    hazards = {n: -np.log(np.clip(s, 1e-6, 1.0)) for n, s in survival.items()}
    every = np.ones(len(times))
    observed, count = nelson_aalen_map(cell, times, died, at, every, cells)
    if not np.isfinite(observed).any():
        raise SurvivalDataError(what="Too few patients for a risk map", given=str(len(times)), remedy="Give more")
    predicted = {n: _means(cell, h, every, np.isfinite(observed)) for n, h in hazards.items()}

    def error(chosen: NDArray[np.intp], hazard: Array) -> float:
        weight = np.bincount(chosen, minlength=len(times)).astype(float)
        truth, here = nelson_aalen_map(cell, times, died, at, weight, cells)
        # NaN if the draw leaves every cell empty
        return _mse(_means(cell, hazard, weight, np.isfinite(truth)), truth, here)

    # one seed: the same draws of patients for every model
    mse = {
        n: bootstrap(partial(error, hazard=h), len(times), seed, _DRAWS, centred=True) for n, h in hazards.items()
    }  # fmt: skip
    column = _quantile_group(x, cells)
    rows = tuple(_cuts(y[column == c], cells) for c in range(cells))
    return RiskMaps(observed, predicted, count.astype(np.intp), mse, at, _cuts(x, cells), rows)


def _cuts(values: Array, cells: int) -> tuple[float, ...]:
    """Between which values the groups of `_quantile_group` part: the middle of two neighbours."""
    ordered, group = np.sort(values), np.sort(_quantile_group(values, cells))
    return tuple(float(ordered[n : n + 2].mean()) for n in np.flatnonzero(np.diff(group)))


def nelson_aalen_map(
    cell: NDArray[np.intp], months: Array, events: NDArray[np.bool_], at: float, weight: Array, cells: int = CELLS
) -> tuple[Array, Array]:
    """Nelson-Aalen cumulative hazard at `at` of each cell's patients, each counted `weight` times; and their number."""
    order = np.argsort(months)
    t, d = months[order], events[order]
    counted = weight[order][:, None] * (cell[order][:, None] == np.arange(cells * cells))  # (N, cells)
    # of each patient's cell who is at risk when that patient leaves; ties leave together
    at_risk = counted[::-1].cumsum(axis=0)[::-1][np.searchsorted(t, t)]
    steps = np.divide(counted * (d & (t <= at))[:, None], at_risk, out=np.zeros_like(counted), where=counted > 0)
    count = counted.sum(axis=0)
    hazard = np.where(count >= FEWEST, steps.sum(axis=0), np.nan)
    return hazard.reshape(cells, cells), count.reshape(cells, cells)


def _cells(x: Array, y: Array, cells: int) -> NDArray[np.intp]:
    """Number of each patient's cell: row * cells + column."""
    column, row = _quantile_group(x, cells), np.zeros(len(x), np.intp)
    for c in range(cells):
        row[column == c] = _quantile_group(y[column == c], cells)
    return row * cells + column


def _quantile_group(values: Array, cells: int) -> NDArray[np.intp]:
    return np.asarray((rankdata(values, "ordinal") - 1) * cells // max(len(values), 1), np.intp)


def _means(cell: NDArray[np.intp], values: Array, weight: Array, known: NDArray[np.bool_]) -> Array:
    """Means over each cell, on the grid of `known`."""
    total, count = (np.bincount(cell, w, known.size).reshape(known.shape) for w in (weight * values, weight))
    return np.divide(total, count, out=np.full(known.shape, np.nan), where=known & (count > 0))


def _mse(predicted: Array, observed: Array, count: Array) -> float:
    """Mean of the squared errors of the cells, each weighted by its patients."""
    known = np.isfinite(observed)
    return float(np.average((predicted - observed)[known] ** 2, weights=count[known])) if known.any() else float("nan")
