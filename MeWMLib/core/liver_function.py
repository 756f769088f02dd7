"""Scores of liver function from laboratory values and signs: ALBI and Child-Pugh."""

from __future__ import annotations

import math

#: mg/dl to umol/l: molar mass of bilirubin, 584.7 g/mol.
BILIRUBIN_UMOL = 17.1
#: Points of Child-Pugh to its class.
CHILD_PUGH_POINTS = {"A": (5, 6), "B": (7, 9), "C": (10, 15)}
_ASCITES = {"none": 1, "mild": 2, "moderate": 3, "severe": 3, "refractory": 3}
_ENCEPHALOPATHY = {"none": 1, "1": 2, "2": 2, "3": 3, "4": 3}


def albi_score(bilirubin_mg_per_dl: float, albumin_g_per_dl: float) -> float:
    """0.66 log10(bilirubin in umol/l) - 0.085 (albumin in g/l); Johnson et al., J Clin Oncol 2015;33:550-558."""
    return 0.66 * math.log10(bilirubin_mg_per_dl * BILIRUBIN_UMOL) - 0.085 * albumin_g_per_dl * 10.0


def albi_grade(score: float) -> int:
    """1 up to -2.60, 2 up to -1.39, else 3 (same source)."""
    return 1 if score <= -2.60 else 2 if score <= -1.39 else 3


def child_pugh_class(points: int | None) -> str | None:
    """The class of 5 to 15 points, None for anything else."""
    return next((name for name, (low, high) in CHILD_PUGH_POINTS.items() if points and low <= points <= high), None)


def child_pugh_points(
    bilirubin_mg_per_dl: float | None,
    albumin_g_per_dl: float | None,
    inr: float | None,
    ascites: str | None,
    encephalopathy: str | None,
) -> int | None:
    """The points of Child-Pugh, None unless all five are known.

    1, 2 or 3 points each: bilirubin up to 2, up to 3, above; albumin above 3.5, from 2.8, below; INR below 1.7, up to
    2.3, above; ascites none, mild (controlled), more; encephalopathy none, grade 1 or 2, more. Pugh et al., Br J Surg
    1973;60:646-649, with the INR in the place of the prothrombin time, as is usual today.

    Args:
        ascites, encephalopathy: in the words of `Clinical`; a degree that is not stated counts as not known.
    """
    if bilirubin_mg_per_dl is None or albumin_g_per_dl is None or inr is None:
        return None
    signs = _ASCITES.get(ascites or ""), _ENCEPHALOPATHY.get(encephalopathy or "")
    if signs[0] is None or signs[1] is None:
        return None
    worse = (
        (bilirubin_mg_per_dl >= 2.0, bilirubin_mg_per_dl > 3.0),
        (albumin_g_per_dl <= 3.5, albumin_g_per_dl < 2.8),
        (inr >= 1.7, inr > 2.3),
    )
    return sum(1 + two_points + three_points for two_points, three_points in worse) + signs[0] + signs[1]
