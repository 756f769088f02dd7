"""Figures with intervals, and the files in which they are written. No torch here."""

from __future__ import annotations

import argparse
import datetime
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import MeWMLib
from MeWMLib.core.bundles import PARTS, find_bundle
from MeWMLib.core.io import atomic_path, write_json

DRAWS = 2000
#: Metrics of a table that a page or a terminal still shows beside one another.
WIDEST = 7
Figure = Mapping[str, float]
Rows = Mapping[str, Mapping[str, Figure]]


def interval(mean: float, draws: Sequence[float] | NDArray[Any], n: int) -> dict[str, float]:
    """A figure with the middle 95 % of its draws; draws that could not be computed (NaN) are left out."""
    known = np.asarray(draws, float)
    known = known[np.isfinite(known)]
    low, high = np.percentile(known, [2.5, 97.5]) if len(known) else (np.nan, np.nan)
    return {"mean": float(mean), "low": float(low), "high": float(high), "n": n}


def exact(value: float, n: int = 1) -> dict[str, float]:
    """A figure without an interval of its own."""
    return {"mean": value, "low": value, "high": value, "n": n}


def bootstrap_mean(values: Sequence[float] | NDArray[Any], seed: int = 0, draws: int = DRAWS) -> dict[str, float]:
    """Mean over patients with a 95 % percentile bootstrap interval.

    Args:
        values: one number a patient; NaN is left out.
        seed: of the resampling.
        draws: how often the patients are drawn.

    Returns:
        mean, low, high and n (the patients that count).
    """
    known = np.asarray(values, float)
    known = known[np.isfinite(known)]
    if not len(known):
        return exact(float("nan"), 0)
    rng = np.random.default_rng(seed)
    means = known[rng.integers(0, len(known), (draws, len(known)))].mean(1)
    return interval(known.mean(), means, len(known))


def bootstrap(
    statistic: Callable[[NDArray[np.intp]], float],
    count: int,
    seed: int | np.random.Generator,
    draws: int = 500,
    centred: bool = False,
) -> dict[str, float]:
    """A statistic of `count` patients with its interval.

    Args:
        statistic: given the indices of those that were drawn.
        count: of the patients.
        seed: of the resampling.
        draws: how often the patients are drawn.
        centred: move the draws so that their mean is the statistic of all, and not below 0. For a distance between
            distributions, which repeated patients make larger: its percentiles can all lie above the distance itself.
    """
    rng = np.random.default_rng(seed)
    again = np.array([statistic(rng.integers(0, count, count)) for _ in range(draws)])
    found = statistic(np.arange(count))
    if centred and np.isfinite(again).any():
        again = np.maximum(again - np.nanmean(again) + found, 0.0)
    return interval(found, again, count)


def correlation(first: NDArray[Any], second: NDArray[Any]) -> float:
    """Pearson's; NaN where one side does not vary."""
    return float(np.corrcoef(first, second)[0, 1]) if first.std() > 0 and second.std() > 0 else float("nan")


def rows_of(patients: Sequence[Mapping[str, Mapping[str, float]]], seed: int) -> dict[str, dict[str, Any]]:
    """Means over patients with their intervals; each patient is row to metric to number, and may lack a metric."""
    names: dict[str, dict[str, None]] = {}
    for patient in patients:
        for row, metrics in patient.items():
            names.setdefault(row, {}).update(dict.fromkeys(metrics))
    nothing = float("nan")
    return {
        row: {m: bootstrap_mean([p.get(row, {}).get(m, nothing) for p in patients], seed) for m in metrics}
        for row, metrics in names.items()
    }


def jsonable(value: Any) -> Any:
    """Arrays as lists, and null for what is not a finite number; everything else as it is."""
    if isinstance(value, Mapping):
        return {key: jsonable(entry) for key, entry in value.items()}
    if isinstance(value, np.ndarray):
        return jsonable(value.tolist())
    if isinstance(value, list):
        return [jsonable(entry) for entry in value]
    return None if isinstance(value, float | np.floating) and not np.isfinite(value) else value


def stamp(args: argparse.Namespace, argv: Sequence[str], parts: Sequence[str], rows: Rows) -> dict[str, Any]:
    """Where figures come from: command, date, version, seed, device, patients, and the bundle with the parts used.

    Args:
        args: parsed; `seed` and `bundle` are read.
        argv: the arguments; of a path only its last name is kept.
        parts: of the bundle that the figures rest on; empty if no bundle was used.
        rows: their largest n is the number of patients.
    """
    from MeWMLib.world.machine import choose_device

    bundle = None
    if parts:
        used = find_bundle(args.bundle, require=())
        there = used.manifest.parts
        sums = {name: there[name].sha256 for name in parts if name in there}
        bundle = {"name": used.name, "version": used.manifest.version, "sha256": used.sha256, "parts": sums}
    return {
        "bundle": bundle,
        "command": " ".join(["mewm evaluate", *(without_folder(word) for word in argv)]),
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "mewm": MeWMLib.__version__,
        "seed": args.seed,
        # a whole world model goes to the card, single parts are measured on the CPU
        "device": choose_device("auto").type if set(PARTS) <= set(parts) else "cpu",
        "patients": max((f["n"] for figures in rows.values() for f in figures.values()), default=0),
    }


def without_folder(word: str) -> str:
    """An argument without the folders of a path in it, also in NAME=PATH; quoted if it holds spaces."""
    name, equals, value = word.rpartition("=")
    short = name + equals + (Path(value).name if Path(value).name else value)
    return f'"{short}"' if " " in short else short


def write_metrics(out: Path, cohort: str, seed: int, rows: Rows, origin: Mapping[str, Any] | None = None) -> None:
    """Write `metrics.json` and `table.md` into `out`; figures that could not be computed are null.

    Args:
        out: folder.
        cohort: on whom it was measured, in words.
        seed: of the evaluation.
        rows: the figures.
        origin: of `stamp`.
    """
    about = {"stamp": origin} if origin is not None else {}
    write_json({"cohort": cohort, "seed": seed, **about, "rows": jsonable(rows)}, out / "metrics.json")
    with atomic_path(out / "table.md") as path:
        path.write_text(table(rows), encoding="utf-8")


def shown(figure: Figure, form: str = ".3g") -> str:
    """A figure as text: mean (low to high), the mean alone where there is no interval or one patient.

    Args:
        figure: mean, and low, high, n where they are known.
        form: a format of Python such as ".3f" or ".0%"; with ":mean" after it the interval is left out.
    """
    number, _, alone = form.partition(":")
    bounds = [figure.get("low"), figure.get("high")]
    values = [figure["mean"]] if alone or None in bounds or figure.get("n") == 1 else [figure["mean"], *bounds]
    mean, *ends = (format(value, number).replace("%", " %") for value in values)
    return f"{mean} ({ends[0]} to {ends[1]})" if ends else mean


def table(rows: Rows) -> str:
    """A Markdown table: one line a row, one column a metric, each as mean (low to high).

    It is turned round where it would be wide: more than `WIDEST` metrics, and more of them than rows.
    """
    names = list(dict.fromkeys(m for figures in rows.values() for m in figures))
    cells = {
        row: [shown(f) if (f := figures.get(n)) is not None and np.isfinite(f["mean"]) else "-" for n in names]
        for row, figures in rows.items()
    }
    if len(names) > max(len(rows), WIDEST):
        return markdown(["metric", *cells], [[name, *line] for name, *line in zip(names, *cells.values(), strict=True)])
    return markdown(["row", *names], [[row, *line] for row, line in cells.items()])


def markdown(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    first, *rest = ("| " + " | ".join(cells) + " |\n" for cells in (header, *lines))
    return "".join([first, "|---" * len(header) + "|\n", *rest])
