"""Charts of survival models over groups of patients: Kaplan-Meier, concordance, reliability, risk maps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from MeWMLib.core.errors import DependencyError
from MeWMLib.core.io import atomic_path
from MeWMLib.lab.evaluation.kaplan_meier import CurvePanel, StepCurve, kaplan_meier_nodes
from MeWMLib.lab.evaluation.survival_maps import RiskMaps
from MeWMLib.lab.evaluation.survival_metrics import kaplan_meier, reliability
from MeWMLib.scene.charts import BEST, FAINT, GREY, INK, OTHER, STYLE, new_figure, png

Figures = Mapping[str, Mapping[str, Mapping[str, float]]]
Outcome = tuple[NDArray[np.float64], NDArray[np.bool_]]
#: Low to high risk; two groups take the ends.
_GROUPS = ("#2f6f9f", "#8a8f3c", "#c2500a")
#: Rows of a risk map whose cells have room for their limits.
_ROOM = 3


@contextmanager
def _chart(path: Path, width: float, height: float) -> Iterator[Figure]:
    """A figure of a size in inches, written as PNG once it is drawn, whole or not at all."""
    with mpl.rc_context(STYLE):
        figure = new_figure(width, height)
        yield figure
        with atomic_path(path) as part:
            part.write_bytes(png(figure))


def kaplan_meier_chart(
    path: Path, panels: Sequence[CurvePanel], event: str = "survival", until: float | None = None
) -> None:
    """PNG: a panel a model, a curve with its 95 % band a risk group, and under it how many are at risk.

    Args:
        path: of the picture.
        panels: side by side.
        event: what the vertical axis counts.
        until: months at which the axis ends; the last observation if left out.
    """
    groups = max(len(p.curves) for p in panels)
    with _chart(path, 4.3 * len(panels) + 0.4, 3.7 + 0.19 * (groups + 1)) as figure:
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


def interval_chart(path: Path, rows: Mapping[str, Mapping[str, float]], label: str, reference: float = 0.5) -> None:
    """PNG: a figure with its interval for each row, first row on top; `reference` is a dashed line."""
    with _chart(path, 7.2, 0.9 + 0.27 * len(rows)) as figure:
        axes = figure.add_subplot()
        for n, (name, f) in enumerate(rows.items()):
            colour = GREY if name.startswith("single:") or "shuffled" in name else OTHER
            axes.plot([f["low"], f["high"]], [n, n], color=colour, linewidth=4, alpha=0.3, solid_capstyle="round")
            axes.plot(f["mean"], n, "o", color=colour, markersize=5)
            axes.annotate(f"{f['mean']:.2f}", (f["high"], n), xytext=(6, 0), textcoords="offset points", va="center",
                          fontsize=8, color=colour)  # fmt: skip
        axes.axvline(reference, color=BEST, linewidth=1, linestyle=(0, (4, 3)), zorder=0)
        axes.set_yticks(range(len(rows)), [name.replace("single:", "") for name in rows])
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.set(ylim=(len(rows) - 0.4, -0.6), xlabel=label, axisbelow=True)
        axes.grid(axis="x", color=FAINT, linewidth=0.7)
        axes.spines["left"].set_visible(False)


def reliability_chart(path: Path, panels: Mapping[str, Sequence[Mapping[str, float]]], label: str) -> None:
    """PNG: predicted against observed probability in groups of patients, a panel a model."""
    with _chart(path, 3.4 * len(panels) + 0.3, 3.75) as figure:
        places = figure.subplots(1, len(panels), squeeze=False)[0]
        for axes, (title, groups) in zip(places, panels.items(), strict=True):
            axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1.2)
            x, y, low, high = (np.array([g[name] for g in groups]) for name in ("predicted", "observed", "low", "high"))
            error = np.array([y - low, high - y]).clip(min=0)
            axes.errorbar(x, y, error, fmt="o", color=OTHER, ecolor=OTHER, elinewidth=1, markersize=5)
            axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xlabel=f"predicted {label}")
            axes.set_title(words(title), loc="left", fontsize=9.5, fontweight="bold")
        places[0].set_ylabel(f"observed {label} (Kaplan-Meier)")


def decision_chart(
    path: Path, thresholds: Sequence[float], models: Mapping[str, Mapping[str, Sequence[float]]], title: str
) -> None:
    """PNG: net benefit over the risk at which somebody would act, of each model, of acting on everyone and on nobody.

    Args:
        path: of the picture.
        thresholds: probabilities of death.
        models: name to its net benefits as "model", and those of acting on everyone as "all".
        title: of the chart.
    """
    with _chart(path, 5.2, 3.6) as figure:
        axes = figure.add_subplot()
        for n, (name, curves) in enumerate(models.items()):
            axes.plot(thresholds, curves["model"], color=_GROUPS[n % len(_GROUPS)], linewidth=1.8, label=words(name))
        every = next(iter(models.values()))["all"]
        axes.plot(thresholds, every, color=GREY, linewidth=1.2, linestyle=(0, (4, 3)), label="everyone")
        axes.axhline(0, color=FAINT, linewidth=1.2, label="nobody")
        axes.set(xlabel="risk of death at which one would act", ylabel="net benefit")
        axes.set_title(title, loc="left", fontsize=9.5, fontweight="bold")
        axes.legend(frameon=False, fontsize=8)


def risk_map_chart(path: Path, maps: RiskMaps, x_label: str, y_label: str) -> None:
    """PNG: maps of a risk on one grid with one scale, and under the predicted ones their squared errors.

    Empty cells stay white; `x_label` and `y_label` say what columns and rows mean, with units. Ticks are where the
    columns are cut. The observed map says how many patients each cell holds and, where there is room, of what y.
    """
    errors = {name: (map_ - maps.observed) ** 2 for name, map_ in maps.predicted.items()}
    worst = max(float(np.nanmax(e)) for e in errors.values())
    pictures = {"Nelson-Aalen": maps.observed, **maps.predicted}
    top = max(float(np.nanmax(m)) for m in pictures.values())
    with _chart(path, 2.35 * len(pictures) + 1.3, 5.3) as figure:
        figure.suptitle(f"Cumulative hazard of death at {maps.at:g} months", fontsize=9.5, fontweight="bold")
        grid = figure.subplots(2, len(pictures), squeeze=False)
        for axes in grid.flat:
            axes.set(xticks=np.arange(len(maps.columns)) + 0.5, yticks=[])
            axes.set_xticklabels([f"{cut:.3g}" for cut in maps.columns], fontsize=7)
            axes.spines[:].set_visible(False)
        for (name, values), (above, below) in zip(pictures.items(), grid.T, strict=True):
            shown = above.imshow(values, origin="lower", cmap="viridis", vmin=0, vmax=top)
            above.set_title(words(name), fontsize=9, fontweight="bold")
            if name in errors:
                wrong = below.imshow(errors[name], origin="lower", cmap="Reds", vmin=0, vmax=worst)
                note = "MSE {mean:.3f} ({low:.3f} to {high:.3f})".format(**maps.mse[name])
                below.set_title(note, fontsize=8, color=GREY)
            else:
                below.set_axis_off()
            (below if name in errors else above).set_xlabel(x_label, fontsize=8)
        _cells_in_words(grid[0, 0], maps)
        grid[0, 0].set_ylabel(y_label, fontsize=8)
        figure.colorbar(shown, ax=list(grid[0]), label="cumulative hazard", fraction=0.03)
        figure.colorbar(wrong, ax=list(grid[1]), label="squared error", fraction=0.03)


def _cells_in_words(axes: Axes, maps: RiskMaps) -> None:
    """Patients of each cell and, of a coarse grid, between which values of y they lie."""
    top = float(np.nanmax(maps.observed))
    for (row, column), count in np.ndenumerate(maps.patients):
        text = f"n {count}"
        cuts = maps.rows[column] if len(maps.patients) <= _ROOM and column < len(maps.rows) else ()
        if cuts:
            low, high = [None, *cuts][row], [*cuts, None][row]
            between = f"{low:.2g} to {high:.2g}" if low is not None and high is not None else (
                f"below {high:.2g}" if low is None else f"{low:.2g} and more"
            )  # fmt: skip
            text += f"\n{between}"
        dark = maps.observed[row, column] < 0.6 * top
        axes.text(column, row, text, ha="center", va="center", fontsize=6.5, color="white" if dark else INK)


def draw_halves(
    path: Path, rows: Figures, ranks: Mapping[str, NDArray[np.float64]], outcome: Outcome, event: str, until: float
) -> None:
    """Kaplan-Meier curves of the two halves by each model's risk, as PNG and as a Slicer scene (.mrb).

    Args:
        path: of the PNG.
        rows: row to metric to figure.
        ranks: row to (N,) share of patients of lower risk.
        outcome: months and events.
        event, until: see `kaplan_meier_chart`.
    """
    panels = [risk_panel(name, rows[name], rank, *outcome) for name, rank in ranks.items()]
    kaplan_meier_chart(path, panels, event, until)
    save_scene(path.with_suffix(".mrb"), panels)


def draw_reliability(
    path: Path, survival: Mapping[str, NDArray[np.float64]], outcome: Outcome, at: float, groups: int, event: str
) -> dict[str, list[dict[str, float]]]:
    """The reliability diagram of some models at one time, as PNG; returns its numbers."""
    tables = {name: reliability(predicted, *outcome, at, groups) for name, predicted in survival.items()}
    reliability_chart(path, tables, f"{event} at {at:g} months")
    return tables


def risk_panel(
    name: str, figures: Mapping[str, Mapping[str, float]], ranks: NDArray[np.float64], months: Any, events: Any
) -> CurvePanel:
    """Kaplan-Meier curves of the two halves by a model's risk, with its C-index and log-rank p."""
    note = "C {mean:.3f} ({low:.3f} to {high:.3f})".format(**figures["c_index"])
    curves = []
    for label, chosen in (("low risk", ranks < 0.5), ("high risk", ranks >= 0.5)):
        if chosen.any():
            seen = np.asarray(months, float)[chosen]
            curve = kaplan_meier(seen, np.asarray(events)[chosen])
            curves.append(StepCurve(label, **curve, patients=int(chosen.sum()), last_seen=seen))
    return CurvePanel(words(name), f"{note}, log-rank p = {figures['log_rank_p']['mean']:.2g}", tuple(curves))


def words(name: str) -> str:
    """Name of a row as words."""
    return name.replace("_", " ")


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
