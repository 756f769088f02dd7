"""Figures of a benchmark as a file that documents take them from (`MeWMLib/lab/figures.py`)."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from pathlib import Path

import MeWMLib
from MeWMLib.core.bundles import find_bundle
from MeWMLib.core.io import write_json
from MeWMLib.lab.evaluation.metrics import jsonable


def figure(values: Sequence[float], kind: str = "median") -> dict[str, float]:
    """Median of some runs with the least and the greatest, or the greatest alone."""
    ordered = sorted(values)
    if kind == "greatest":
        return {"mean": ordered[-1], "n": len(ordered)}
    middle = ordered[len(ordered) // 2]
    if len(ordered) % 2 == 0:
        middle = (ordered[len(ordered) // 2 - 1] + middle) / 2
    return {"mean": middle, "low": ordered[0], "high": ordered[-1], "n": len(ordered)}


def ratio(upper: Sequence[float], lower: Sequence[float]) -> dict[str, float]:
    """Ratio of two medians, with the least and the greatest of the runs that followed one another."""
    pairs = [one / other for one, other in zip(upper, lower, strict=True)]
    middle = figure(upper)["mean"] / figure(lower)["mean"]
    return {"mean": middle, "low": min(pairs), "high": max(pairs), "n": len(pairs)}


def processor() -> str:
    """The model of the processor, where the system tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def write_figures(
    path: Path, rows: Mapping[str, Mapping[str, Mapping[str, float]]], command: str, cohort: str, device: str
) -> None:
    """Write rows of figures with the shipped bundle, the command and today's date.

    Args:
        path: `Resources/Results/NAME.json`, or where it is looked at first.
        rows: row to metric to `figure`.
        command: as a user types it.
        cohort: what was run how often, in words.
        device: on what, in words; the processor's name follows it.
    """
    bundle = find_bundle(None, require=())
    sums = {name: part.sha256 for name, part in bundle.manifest.parts.items()}
    stamp = {
        "bundle": {
            "name": bundle.name, "version": bundle.manifest.version, "sha256": bundle.sha256, "parts": sums,
        },
        "command": command,
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "mewm": MeWMLib.__version__,
        "seed": 0,
        "device": f"{device}; {processor()}",
        "patients": 1,
    }  # fmt: skip
    write_json({"cohort": cohort, "seed": 0, "stamp": stamp, "rows": jsonable(rows)}, path)
