"""Look statistics of many scans as one table: the real range, and where drawn and simulated scans lie in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from MeWMLib.lab.evaluation.look_noise import BAND_NAMES
from MeWMLib.lab.evaluation.metrics import Rows, bootstrap_mean
from MeWMLib.rendering.self_check import near

#: What does not depend on treatment: scans before it count as well.
UNTREATED = (
    "noise_sd_hu",
    "noise_sd_1mm_hu",
    "noise_half_mm",
    "noise_slice_1",
    *BAND_NAMES,
    "liver_hu",
    "arterial_liver_hu",
)
#: Statistics that say how much was measured, not how it looks.
SIZES = ("tumour_ml", "noise_ml")

Looks = Sequence[Mapping[str, float]]


def look_rows(
    after: Mapping[str, Mapping[str, float]],
    before: Mapping[str, Mapping[str, float]],
    judging: Mapping[str, Mapping[str, float]],
    others: Mapping[str, Looks],
    seed: int = 0,
) -> Rows:
    """One row a statistic.

    Columns: `real_PATIENT` and `before_PATIENT`, each one scan; `real_low` and `real_high` over those, n being the
    number of scans; and for each of `others` (drawn, simulated) its name: the mean over scans with its interval;
    NAME`_place`: percent of the real range, 0 at its lower and 100 at its upper end; NAME`_fits`: 1 if the mean lies in
    the range or at most `TOLERANCE` of an end beside it.

    Args:
        after: patient to the look of the real scan after treatment.
        before: the same before treatment, of which `UNTREATED` count.
        judging: scans for judging only: shown, and not in the range.
        others: name of a column to the looks of its scans.
        seed: of the intervals.
    """
    names = list(dict.fromkeys(n for looks in (after, judging, before) for one in looks.values() for n in one))
    rows: dict[str, dict[str, dict[str, float]]] = {}
    for name in names:
        row = {f"real_{patient}": _one(one[name]) for patient, one in {**after, **judging}.items() if name in one}
        real = [one[name] for one in after.values() if name in one]
        if name in UNTREATED:
            row |= {f"before_{patient}": _one(one[name]) for patient, one in before.items() if name in one}
            real += [one[name] for one in before.values() if name in one]
        known = [value for value in real if np.isfinite(value)]
        low, high = (min(known), max(known)) if known else (np.nan, np.nan)
        row |= {"real_low": {"mean": low, "n": len(known)}, "real_high": {"mean": high, "n": len(known)}}
        for column, looks in others.items():
            figure = bootstrap_mean([one.get(name, np.nan) for one in looks], seed)
            row[column] = figure
            if name not in SIZES:
                n = figure["n"]
                row[f"{column}_place"] = {"mean": place(figure["mean"], low, high), "n": n}
                row[f"{column}_fits"] = {"mean": fits(figure["mean"], low, high), "n": n}
        rows[name] = row
    return rows


def _one(value: float) -> dict[str, float]:
    return {"mean": value, "n": 1}


def place(value: float, low: float, high: float) -> float:
    """Percent of the way from the lower to the upper end of a range; NaN where the range is one number or unknown."""
    return 100 * (value - low) / (high - low) if high > low else float("nan")


def fits(value: float, low: float, high: float) -> float:
    """1 if a value lies in a range, or beside it by at most `TOLERANCE` of its nearer end; else 0; NaN if unknown."""
    if not np.isfinite([value, low, high]).all():
        return float("nan")
    return float(near(value, low, high))
