"""Charts of survival models over groups of patients: Kaplan-Meier, concordance, reliability, risk maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from MeWMLib.core.errors import DependencyError
from MeWMLib.core.io import atomic_path
from MeWMLib.lab.evaluation.kaplan_meier import CurvePanel, StepCurve, kaplan_meier_nodes
from MeWMLib.lab.evaluation.survival_metrics import kaplan_meier
from MeWMLib.scene.charts import BEST, FAINT, GREY, INK, OTHER, STYLE, new_figure, png

#: Low to high risk; two groups take the ends.
_GROUPS = ("#2f6f9f", "#8a8f3c", "#c2500a")


def kaplan_meier_chart(panels: Sequence[CurvePanel], event: str = "survival", until: float | None = None) -> bytes:
    """PNG: a panel a model, a curve with its 95 % band a risk group, and under it how many are at risk.

    Args:
        panels: side by side.
        event: what the vertical axis counts.
        until: months at which the axis ends; the last observation if left out.
    """
    with mpl.rc_context(STYLE):
        groups = max(len(p.curves) for p in panels)
        figure = new_figure(4.3 * len(panels) + 0.4, 3.7 + 0.19 * (groups + 1))
        for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
            last = until or max(float(c.months[-1]) for c in panel.curves)
            for n, curve in enumerate(panel.curves):
                colour = _colour(n, len(panel.curves))
                axes.step(curve.months, curve.survival, where="post", color=colour, linewidth=1.8)
                axes.fill_between(curve.months, curve.low, curve.high, step="post", color=colour, alpha=0.15, lw=0)
                axes.plot([], [], color=colour, linewidth=3, label=f"{curve.label} (n = {curve.patients})")
            axes.legend(frameon=False, loc="upper right", fontsize=8, handlelength=1.2)
            axes.set_title(panel.title, loc="left", fontsize=9.5, fontweight="bold", pad=20)
            axes.text(0, 1.03, panel.note, transform=axes.transAxes, color=GREY, fontsize=8)
            # whole years, at most eight of them, and not left to the layout: the numbers at risk are under them
            months = np.arange(0, last + 1e-9, 12 * max(1, np.ceil(last / 96)) if last >= 24 else 3)
            axes.set(xlim=(0, last), xticks=months, xlabel="months", ylim=(0, 1.02))
            axes.set_yticks([0, 0.25, 0.5, 0.75, 1.0], ["0 %", "25 %", "50 %", "75 %", "100 %"])
            _numbers_at_risk(axes, panel)
        figure.axes[0].set_ylabel(event)
        return png(figure)


def _numbers_at_risk(axes: Axes, panel: CurvePanel) -> None:
    """Under each tick of months the patients of every group who are known to live then, in the group's colour."""
    if not all(c.last_seen.size for c in panel.curves):
        return
    for n, curve in enumerate(panel.curves):
        for month in axes.get_xticks():
            axes.annotate(
                f"{curve.at_risk(month)}", (month, 0), xycoords=("data", "axes fraction"), xytext=(0, -47 - 13 * n),
                textcoords="offset points", ha="center", va="top", fontsize=8, color=_colour(n, len(panel.curves)),
            )  # fmt: skip
    axes.annotate(
        "at risk", (0, 0), xycoords="axes fraction", xytext=(-22, -34), textcoords="offset points", va="top",
        fontsize=8, color=GREY,
    )  # fmt: skip


def _colour(number: int, groups: int) -> str:
    return _GROUPS[0 if number == 0 else 2 if number == groups - 1 else 1]


def interval_chart(rows: Mapping[str, Mapping[str, float]], label: str, reference: float | None = None) -> bytes:
    """PNG: a figure with its interval for each row, first row on top; `reference` is a dashed line."""
    with mpl.rc_context(STYLE):
        figure = new_figure(7.2, 0.9 + 0.27 * len(rows))
        axes = figure.add_subplot()
        for n, (name, f) in enumerate(rows.items()):
            colour = GREY if name.startswith("single:") or "shuffled" in name else OTHER
            axes.plot([f["low"], f["high"]], [n, n], color=colour, linewidth=4, alpha=0.3, solid_capstyle="round")
            axes.plot(f["mean"], n, "o", color=colour, markersize=5)
            axes.annotate(f"{f['mean']:.2f}", (f["high"], n), xytext=(6, 0), textcoords="offset points", va="center",
                          fontsize=8, color=colour)  # fmt: skip
        if reference is not None:
            axes.axvline(reference, color=BEST, linewidth=1, linestyle=(0, (4, 3)), zorder=0)
        axes.set_yticks(range(len(rows)), [name.replace("single:", "") for name in rows])
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.set(ylim=(len(rows) - 0.4, -0.6), xlabel=label, axisbelow=True)
        axes.grid(axis="x", color=FAINT, linewidth=0.7)
        axes.spines["left"].set_visible(False)
        return png(figure)


def reliability_chart(panels: Mapping[str, Sequence[Mapping[str, float]]], label: str) -> bytes:
    """PNG: predicted against observed probability in groups of patients, a panel a model."""
    with mpl.rc_context(STYLE):
        figure = new_figure(3.4 * len(panels) + 0.3, 3.75)
        places = figure.subplots(1, len(panels), squeeze=False)[0]
        for axes, (title, groups) in zip(places, panels.items(), strict=True):
            axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1.2)
            x, y, low, high = (np.array([g[name] for g in groups]) for name in ("predicted", "observed", "low", "high"))
            error = np.array([y - low, high - y]).clip(min=0)
            axes.errorbar(x, y, error, fmt="o", color=OTHER, ecolor=OTHER, elinewidth=1, markersize=5)
            axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xlabel=f"predicted {label}")
            axes.set_title(title, loc="left", fontsize=9.5, fontweight="bold")
        places[0].set_ylabel(f"observed {label} (Kaplan-Meier)")
        return png(figure)


def risk_map_chart(
    maps: Mapping[str, NDArray[np.float64]],
    errors: Mapping[str, NDArray[np.float64]],
    x_label: str,
    y_label: str,
    notes: Mapping[str, str] | None = None,
) -> bytes:
    """PNG: maps of a risk on one grid with one scale, and under them the squared errors of the predicted ones.

    Args:
        maps: name to (R, C); the first is what was observed. NaN cells stay white.
        errors: name to (R, C) for the others.
        x_label, y_label: what columns and rows mean.
        notes: a line over the errors of each.
    """
    top = max(float(np.nanmax(m)) for m in maps.values())
    worst = max(float(np.nanmax(e)) for e in errors.values())
    with mpl.rc_context(STYLE):
        figure = new_figure(2.35 * len(maps) + 1.0, 4.9)
        grid = figure.subplots(2, len(maps), squeeze=False)
        for axes in grid.flat:
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
        for (name, values), (above, below) in zip(maps.items(), grid.T, strict=True):
            shown = above.imshow(values, origin="lower", cmap="viridis", vmin=0, vmax=top)
            above.set_title(name, fontsize=9, fontweight="bold")
            if name in errors:
                wrong = below.imshow(errors[name], origin="lower", cmap="Reds", vmin=0, vmax=worst)
                below.set_title((notes or {}).get(name, ""), fontsize=8, color=GREY)
            else:
                below.set_axis_off()
            (below if name in errors else above).set_xlabel(x_label, fontsize=8)
        grid[0, 0].set_ylabel(y_label, fontsize=8)
        figure.colorbar(shown, ax=list(grid[0]), label="cumulative hazard", fraction=0.03)
        figure.colorbar(wrong, ax=list(grid[1]), label="squared error", fraction=0.03)
        return png(figure)


def risk_panel(
    name: str, figures: Mapping[str, Mapping[str, float]], percentiles: NDArray[np.float64], months: Any, events: Any
) -> CurvePanel:
    """Kaplan-Meier curves of the two halves by a model's risk, with its C-index and log-rank p."""
    c, p = figures["c_index"], figures["log_rank_p"]["mean"]
    note = f"C {c['mean']:.3f} ({c['low']:.3f} to {c['high']:.3f}), log-rank p = {p:.2g}"
    curves = []
    for label, chosen in (("low risk", percentiles < 0.5), ("high risk", percentiles >= 0.5)):
        if chosen.any():
            seen = np.asarray(months, float)[chosen]
            curve = kaplan_meier(seen, np.asarray(events)[chosen])
            curves.append(StepCurve(label, **curve, patients=int(chosen.sum()), last_seen=seen))
    return CurvePanel(words(name), note, tuple(curves))


def words(name: str) -> str:
    """Name of a row as words."""
    return name.replace("_", " ")


def save_png(path: Path, data: bytes) -> None:
    """Write a picture, whole or not at all."""
    with atomic_path(path) as part:
        part.write_bytes(data)


def save_scene(path: Path, panels: Sequence[CurvePanel]) -> bool:
    """Write Kaplan-Meier curves as tables and plots of a Slicer scene; False where Slicer's core is not installed."""
    try:
        from MeWMLib.scene.core_app import SlicerCore
        from MeWMLib.scene.mrb import write_mrb
    except DependencyError:
        return False
    with SlicerCore() as core:
        for panel in panels:
            kaplan_meier_nodes(core.scene, panel)
        write_mrb(core.scene, path)
    return True
