"""The result of a reader study as one HTML file that needs no other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from MeWMLib.core.errors import optional_packages
from MeWMLib.core.io import atomic_path
from MeWMLib.lab.reader_study.mrmc import METRICS
from MeWMLib.lab.reader_study.plain import NOISE, PLAIN
from MeWMLib.lab.reader_study.score import Scores

#: Table 1 of arXiv 2506.02327, its own method: means of three readers, percent. Other scans and other readers.
PAPER = {"sensitivity": 94.45, "specificity": 75.0, "accuracy": 84.72}
#: One a reader, told apart in light and dark and by dashes too.
_COLOURS = ("#2f6f9f", "#c2500a", "#3f7d3a", "#8a4fa3", "#8a6d00")
_DASHES = ("", "7 4", "2 4", "10 3 2 3", "1 6")
_SIZE, _MARGIN = 220, 34


def curve(points: Sequence[tuple[float, float]], n: int) -> dict[str, str]:
    """A ROC curve as the points of an SVG polyline, with its colour and dashes."""
    known = [(x, y) for x, y in points if np.isfinite(x) and np.isfinite(y)]
    text = " ".join(f"{_MARGIN + x * _SIZE:.1f},{8 + (1 - y) * _SIZE:.1f}" for x, y in known)
    return {"points": text, "colour": _COLOURS[n % len(_COLOURS)], "dashes": _DASHES[n % len(_DASHES)]}


def percent(value: float) -> str:
    """Such as "75.0 %"; a dash where there is none."""
    return f"{100 * value:.1f} %" if np.isfinite(value) else "\N{EN DASH}"


def number(value: float | None, form: str = ".2f") -> str:
    """A number; a dash where there is none."""
    return format(value, form) if value is not None and np.isfinite(value) else "\N{EN DASH}"


def write_result_page(scores: Scores, path: Path) -> None:
    """Write the page.

    Raises:
        OutputError: it cannot be written.
        DependencyError: jinja2 is not installed.
    """
    with optional_packages("The result page", "scene"):
        import jinja2
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters.update(percent=percent, number=number)
    source = Path(__file__).with_name("templates") / "result.html.j2"
    text = environment.from_string(source.read_text(encoding="utf-8")).render(page=_page(scores))
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _page(scores: Scores) -> dict[str, Any]:
    """What the template shows."""
    methods = []
    for method, readers in scores.figures.items():
        curves = [
            {"reader": reader, **curve(scores.roc[method][reader], n)}
            for n, reader in enumerate(reader for reader in readers if reader in scores.answers)
        ]
        methods.append(
            {
                "name": method,
                "readers": readers,
                "curves": curves,
                "mean": scores.comparison.methods[method] if scores.comparison else None,
                "plain": sorted(scores.plain[method], key=lambda one: -one.either_way),
            }
        )
    return {
        "title": scores.study.title,
        "id": scores.study.id,
        "notes": scores.notes,
        "methods": methods,
        "metrics": METRICS,
        "comparison": scores.comparison,
        "agreement": scores.agreement,
        "times": scores.times,
        "clicks": scores.clicks,
        "follows": [one.text for one in scores.follows if one.text],
        "noise_tells": [
            m for m, ones in scores.plain.items() if any(o.name in NOISE and o.p_holm < 0.05 for o in ones)
        ],
        "plain": PLAIN,
        "paper": PAPER,
        "size": _SIZE,
        "margin": _MARGIN,
    }
