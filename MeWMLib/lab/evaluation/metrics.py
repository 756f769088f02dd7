"""Figures with intervals, and the files in which they are written. No torch here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MeWMLib.core.io import atomic_path, write_json

DRAWS = 2000


def bootstrap_mean(values: Sequence[float] | NDArray[Any], seed: int = 0) -> dict[str, float]:
    """Mean over patients with a 95 % percentile bootstrap interval.

    Args:
        values: one number a patient; NaN is left out.
        seed: of the resampling.

    Returns:
        mean, low, high and n (the patients that count).
    """
    known = np.asarray(values, float)
    known = known[np.isfinite(known)]
    if not len(known):
        return {"mean": float("nan"), "low": float("nan"), "high": float("nan"), "n": 0}
    rng = np.random.default_rng(seed)
    means = known[rng.integers(0, len(known), (DRAWS, len(known)))].mean(1)
    low, high = np.percentile(means, [2.5, 97.5])
    return {"mean": float(known.mean()), "low": float(low), "high": float(high), "n": len(known)}


Rows = Mapping[str, Mapping[str, Mapping[str, float]]]


def write_metrics(out: Path, cohort: str, seed: int, rows: Rows) -> None:
    """Write `metrics.json` and `table.md` into `out`; figures that could not be computed are null."""

    def plain(value: float) -> float | None:
        return float(value) if np.isfinite(value) else None

    clean = {r: {m: {k: plain(v) for k, v in f.items()} for m, f in figures.items()} for r, figures in rows.items()}
    write_json({"cohort": cohort, "seed": seed, "rows": clean}, out / "metrics.json")
    with atomic_path(out / "table.md") as path:
        path.write_text(table(rows), encoding="utf-8")


def table(rows: Rows) -> str:
    """A Markdown table: one line a row, one column a metric, each as mean (low to high)."""
    names = list(dict.fromkeys(m for figures in rows.values() for m in figures))
    lines = ["| row | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for row, figures in rows.items():
        cells = []
        for name in names:
            f = figures.get(name)
            known = f is not None and np.isfinite(f["mean"])
            cells.append(f"{f['mean']:.3g} ({f['low']:.3g} to {f['high']:.3g})" if known and f is not None else "-")
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
