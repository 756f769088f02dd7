"""Predicted survival curves as pictures and Slicer nodes take them; no matplotlib here."""

from __future__ import annotations

from collections.abc import Sequence

from MeWMLib.core.plan import Candidate

#: Predicted survival at which a curve is over, for a picture.
HARDLY = 0.03


def last_month(candidates: Sequence[Candidate]) -> float:
    """Where the axis ends: when hardly anyone is predicted to live under any protocol, else at the last month."""
    curves = [(c.risk.months, c.risk.survival) for c in candidates]
    return max(next((t for t, p in zip(*curve, strict=True) if p < HARDLY), curve[0][-1]) for curve in curves)
