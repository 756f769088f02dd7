"""Table 1: how much simulated scans look like the real ones after treatment, over all patients of a cohort."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MeWMLib.lab.evaluation.baselines import FULL, RETRAINED
from MeWMLib.lab.evaluation.metrics import bootstrap, bootstrap_mean, rows_of
from MeWMLib.lab.evaluation.perceptual import FeatureNetwork, fid, lpips, pooled
from MeWMLib.lab.reproduce.records import Record

TRUTH = "truth"
#: Fewer crops of scans after have no Fréchet distance.
LEAST_CROPS = 8
#: Draws of the interval of the Fréchet distance.
DRAWS = 40
#: Metrics of single patients in which rows with weights of their own are held against the full one of their budget.
PAIRED = ("mae_hu", "mae_8mm_hu", "mae_ratio", "mae_8mm_ratio", "change_r_8mm", "lipiodol_error_ml")


def table1(records: Sequence[Record], network: FeatureNetwork | None, seed: int) -> dict[str, Any]:
    """Rows of Table 1 and what was left out.

    Metrics: `fid`, `lpips` (see `evaluation.perceptual`) by `network`, and those of `images.measure_images`. Intervals
    are over patients.

    Args:
        records: of the patients; those without a scan after do not count.
        network: gives the features; None where there is nothing to compare.
        seed: of the bootstrap.

    Returns:
        JSON-ready: `rows`, `differences` (of rows with weights of their own from the full one of the same budget,
        patient by patient), `network`, `patients`, `crops`, `fid_dimensions`, `gaps` (sentences).
    """
    seen = [r for r in records if r.generation]
    out: dict[str, Any] = {
        "rows": rows_of([r.generation for r in seen], seed) if seen else {},
        "differences": _differences([r.generation for r in seen], seed),
        "patients": len(seen),
        "network": network.name if network and seen else None,
        "gaps": [] if seen else ["No patient has a scan after treatment and a protocol to simulate"],
    }
    if not seen or network is None:
        return out
    crops = [r.crops for r in seen]
    out["crops"] = sum(len(c[TRUTH]) for c in crops)
    real = [pooled(c[TRUTH], network) for c in crops]
    few = out["crops"] < LEAST_CROPS
    if few:
        out["gaps"].append(f"FID needs {LEAST_CROPS} crops of scans after; there are {out['crops']}")
    distances: dict[str, NDArray[np.float64]] = {}
    for row, metrics in out["rows"].items():
        distances[row] = np.array([float(lpips(c[row], c[TRUTH], network).mean()) for c in crops])
        metrics["lpips"] = bootstrap_mean(distances[row], seed)
        if not few:
            other = [pooled(c[row], network) for c in crops]
            metrics["fid"], out["fid_dimensions"] = _fid(real, other, seed)
    for pair, metrics in out["differences"].items():
        row, _, full = pair.partition(" - ")
        metrics["lpips"] = bootstrap_mean(distances[row] - distances[full], seed)
    return out


def _differences(patients: Sequence[Mapping[str, Mapping[str, float]]], seed: int) -> dict[str, Any]:
    """Each row with weights of its own less the full one of the same budget, over the patients that have both."""
    out = {}
    for row in RETRAINED:
        both = [p for p in patients if row in p and FULL in p]
        if both:
            metrics = [m for m in PAIRED if all(m in p[row] and m in p[FULL] for p in both)]
            out[f"{row} - {FULL}"] = {m: bootstrap_mean([p[row][m] - p[FULL][m] for p in both], seed) for m in metrics}
    return out


def _fid(
    real: Sequence[NDArray[np.float64]], other: Sequence[NDArray[np.float64]], seed: int
) -> tuple[dict[str, float], int]:
    """Fréchet distance with its interval over patients, and the dimensions that it was computed in."""
    _, dimensions = fid(np.concatenate(real), np.concatenate(other))

    def distance(chosen: NDArray[np.intp]) -> float:
        first, second = (np.concatenate([each[i] for i in chosen]) for each in (real, other))
        # patients have different numbers of crops: a draw may hold too few for all dimensions
        most = min(len(first), len(second)) // 2
        return fid(first, second, min(dimensions, most))[0] if most >= LEAST_CROPS // 2 else float("nan")

    # one patient drawn again and again is no other set of patients
    draws = DRAWS if len(real) > 1 else 0
    return bootstrap(distance, len(real), seed, draws, centred=True), dimensions
