"""Scores of liver function from laboratory values and signs: ALBI and Child-Pugh."""

from __future__ import annotations

import math

from MeWMLib.core.clinical_fields import UNSPECIFIED

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


def child_pugh_contradiction(stated: str | None, points: int | None, least: int, most: int) -> str:
    """How a stated class or points contradict what the values make, such as "stated A, by the values B (7 points)".

    Args:
        stated: class, or None.
        points: stated, or None.
        least, most: points that the values make.

    Returns:
        "" unless the values allow no point of the class, or make more points than are stated.
    """
    stated = stated or child_pugh_class(points)
    if stated is None:
        return ""
    low, high = CHILD_PUGH_POINTS[stated]
    more = least > (high if points is None else points)
    if not more and most >= low:
        return ""
    shown, made = stated if points is None else f"{stated}{points}", least if more else most
    bound = "" if least == most else "at least " if more else "at most "
    return f"stated {shown}, by the values {bound}{child_pugh_class(made)} ({bound}{made} points)"


def child_pugh_points(
    bilirubin_mg_per_dl: float | None,
    albumin_g_per_dl: float | None,
    inr: float | None,
    ascites: str | None,
    encephalopathy: str | None,
) -> int | None:
    """The points of Child-Pugh, None unless all five are known; arguments as those of `least_child_pugh_points`."""
    parts = _parts(bilirubin_mg_per_dl, albumin_g_per_dl, inr, ascites, encephalopathy)
    return sum(parts) if None not in parts else None  # type: ignore[arg-type]


def least_child_pugh_points(
    bilirubin_mg_per_dl: float | None,
    albumin_g_per_dl: float | None,
    inr: float | None,
    ascites: str | None,
    encephalopathy: str | None,
) -> int:
    """The points that there are at least: what is not known counts one.

    1, 2 or 3 points each: bilirubin up to 2, up to 3, above; albumin above 3.5, from 2.8, below; INR below 1.7, up to
    2.3, above; ascites none, mild (controlled), more; encephalopathy none, grade 1 or 2, more. Pugh et al., Br J Surg
    1973;60:646-649, with the INR in the place of the prothrombin time, as is usual today.

    Args:
        ascites, encephalopathy: in the words of `Clinical`; a degree that is not stated counts two points at least.
    """
    parts = _parts(bilirubin_mg_per_dl, albumin_g_per_dl, inr, ascites, encephalopathy)
    signs = (1, 1, 1, 1 + (ascites == UNSPECIFIED), 1 + (encephalopathy == UNSPECIFIED))
    return sum(least if part is None else part for part, least in zip(parts, signs, strict=True))


def most_child_pugh_points(
    bilirubin_mg_per_dl: float | None,
    albumin_g_per_dl: float | None,
    inr: float | None,
    ascites: str | None,
    encephalopathy: str | None,
) -> int:
    """The points that there are at most: what is not known counts three; arguments as `least_child_pugh_points`."""
    return sum(
        3 if part is None else part
        for part in _parts(bilirubin_mg_per_dl, albumin_g_per_dl, inr, ascites, encephalopathy)
    )


def _parts(
    bilirubin: float | None, albumin: float | None, inr: float | None, ascites: str | None, encephalopathy: str | None
) -> tuple[int | None, ...]:
    """Points of each of the five, None for what is not known."""
    return (
        None if bilirubin is None else 1 + (bilirubin >= 2.0) + (bilirubin > 3.0),
        None if albumin is None else 1 + (albumin <= 3.5) + (albumin < 2.8),
        None if inr is None else 1 + (inr >= 1.7) + (inr > 2.3),
        _ASCITES.get(ascites or ""),
        _ENCEPHALOPATHY.get(encephalopathy or ""),
    )
