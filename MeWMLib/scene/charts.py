"""Charts of a plan, drawn with matplotlib: risk of the ranked protocols, survival curves, search tree."""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Sequence

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from MeWMLib.core.outcome import NINETY_FIVE
from MeWMLib.core.outcome_words import AVERAGE_PATIENT
from MeWMLib.core.plan import Candidate, SearchStep, way_to_best
from MeWMLib.core.protocol import Protocol
from MeWMLib.scene.survival_curves import last_month

INK, GREY, FAINT, BEST, OTHER = "#1d2a35", "#66727c", "#d5dbe0", "#c2500a", "#2f6f9f"
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "text.color": INK,
    "figure.facecolor": "white",
    # A protocol is text: a dollar sign in it does not begin a formula.
    "text.parse_math": False,
}
_DPI = 170
MAX_PROTOCOLS = 20
MAX_TREE_ROWS = 14
#: Width of a letter in the tree, in columns of three inches.
_CHARACTER = 0.0275


def new_figure(width: float, height: float) -> Figure:
    """A figure of a size in inches."""
    # No pyplot: its figures are global, and they would live on in a long-running process.
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def png(figure: Figure) -> bytes:
    """A figure as the bytes of a PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI)
    return buffer.getvalue()


def short(protocol: str, width: int = 46) -> str:
    """Break a protocol into lines, at the plus signs where that is possible."""
    lines = [""]
    for part in protocol.split(" + "):
        longer = f"{lines[-1]} + {part}" if lines[-1] else part
        # a plus sign may follow, and has its place on the same line
        if lines[-1] and len(longer) > width - 2:
            lines[-1] += " +"
            lines.append(part)
        else:
            lines[-1] = longer
    wrapped = (textwrap.wrap(line, width, break_long_words=False, break_on_hyphens=False) for line in lines)
    return "\n".join("\n".join(parts) for parts in wrapped)


def risk_chart(candidates: Sequence[Candidate]) -> bytes:
    """PNG: for each protocol, best on top, the replicas, their mean, and the 95 % interval of the log-risk.

    Where nothing is known beside the replicas, their range stands in its place. A legend says which is which.
    """
    shown = candidates[:MAX_PROTOCOLS]
    total = any(c.risk.total_interval for c in shown)
    names = [f"{c.rank}.  {short(c.protocol.text, 58)}" for c in shown]
    # a name of several lines needs as many; a row's place is in its middle
    heights = [0.42 + 0.17 * name.count("\n") for name in names]
    places = [sum(heights[:n]) + heights[n] / 2 for n in range(len(shown))]
    with mpl.rc_context(STYLE):
        figure = new_figure(9.2, 1.4 + max(sum(heights), 0.42))
        axes = figure.add_subplot()
        for row, candidate in zip(places, shown, strict=True):
            colour = BEST if candidate is shown[0] else OTHER
            replicas = candidate.risk.replicas
            ends = candidate.risk.total_interval or candidate.risk.interval
            if ends[0] < ends[1]:  # one replica alone has no range
                axes.plot(ends, [row, row], color=colour, linewidth=5, alpha=0.25, solid_capstyle="round")
            if len(replicas) > 1:
                axes.plot(replicas, [row] * len(replicas), "|", color=colour, markersize=9)
            axes.plot(candidate.risk.log_risk, row, "o", color=colour, markersize=7)
        axes.set_yticks(places, names)
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.set_ylim(sum(heights) + 0.05, -0.05)
        axes.grid(axis="x", color=FAINT, linewidth=0.7)
        axes.set_axisbelow(True)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel(f"log hazard ratio against {AVERAGE_PATIENT}  (\N{LEFTWARDS ARROW} lower is better)")
        marks = [Line2D([], [], color=GREY, marker="o", markersize=7, linestyle="")]
        names = ["predicted"]
        if any(len(c.risk.replicas) > 1 for c in shown):
            marks.append(Line2D([], [], color=GREY, marker="|", markersize=9, linestyle=""))
            names.append("each replica (a simulation with its own seed)")
        if total or any(len(c.risk.replicas) > 1 for c in shown):
            marks.append(Line2D([], [], color=GREY, linewidth=5, alpha=0.35, solid_capstyle="round"))
            names.append("95 % interval, all that is uncertain" if total else "range of the replicas")
        figure.legend(marks, names, loc="outside upper center", ncols=3, frameon=False, labelcolor=INK)
        return png(figure)


def survival_chart(candidates: Sequence[Candidate]) -> bytes | None:
    """PNG: predicted survival of the best protocol with its 95 % interval against the others; None without a curve.

    The interval is by `Risk.uncertainty`; it holds for the first alone, and overlaps those of the others.
    """
    shown = [c for c in candidates[:MAX_PROTOCOLS] if c.risk.months]
    if not shown:
        return None
    with mpl.rc_context(STYLE):
        figure = new_figure(9.2, 3.9)
        axes = figure.add_subplot()
        axes.axhline(0.5, color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
        last = last_month(shown)
        _band(axes, shown[0], last, "" if len(shown) == 1 else f"rank {shown[0].rank}: ")
        for candidate in reversed(shown):
            best = candidate is shown[0]
            axes.plot(
                *_until(candidate, last),
                color=BEST if best else OTHER,
                linewidth=2.6 if best else 1.1,
                alpha=1.0 if best else 0.55,
            )
        if len(shown) > 1:  # one alone has no rank
            _label_ends(axes, shown, last)
        axes.set_ylim(0, 1.02)
        axes.set_xlim(0, last * 1.1)
        axes.set_yticks([0, 0.25, 0.5, 0.75, 1.0], ["0 %", "25 %", "50 %", "75 %", "100 %"])
        axes.set_xlabel("months after treatment")
        axes.set_ylabel("predicted survival")
        return png(figure)


def _band(axes: mpl.axes.Axes, candidate: Candidate, last: float, who: str) -> None:
    """Where the true curve lies with 95 %: a log-risk that is higher by d raises a curve to the power exp(d)."""
    risk = candidate.risk
    if risk.uncertainty <= 0:
        return
    months, curve = _until(candidate, last)
    off = NINETY_FIVE * risk.uncertainty
    low, high = ([p ** math.exp(d) for p in curve] for d in (off, -off))
    known = "95 % interval, all that is uncertain" if risk.unseen is not None else "95 % spread of replicas and members"
    axes.fill_between(months, low, high, color=BEST, alpha=0.15, linewidth=0, label=f"{who}{known}")
    axes.legend(loc="upper right", frameon=False, labelcolor=INK)


def _until(candidate: Candidate, last: float) -> tuple[list[float], list[float]]:
    """Months and survival up to a month."""
    kept = [(t, p) for t, p in zip(candidate.risk.months, candidate.risk.survival, strict=True) if t <= last]
    return [t for t, _ in kept], [p for _, p in kept]


def _label_ends(axes: mpl.axes.Axes, shown: Sequence[Candidate], last: float, gap: float = 0.06) -> None:
    """Write at the end of the curves which ranks they are: the first, and all others that lie too near to one another.

    A number for each of many curves that end together would stand far from its curve and say nothing.
    """
    ends = {c.rank: _until(c, last)[1][-1] for c in shown}
    groups: list[list[int]] = []
    for rank in sorted((c.rank for c in shown[1:]), key=lambda r: ends[r]):
        if groups and ends[rank] - ends[groups[-1][-1]] < gap:
            groups[-1].append(rank)
        else:
            groups.append([rank])
    first = shown[0].rank
    at = {f"rank {first}": ends[first]}
    for ranks in groups:
        name = str(ranks[0]) if len(ranks) == 1 else f"{min(ranks)} to {max(ranks)}"
        if len(ranks) > 1 and max(ranks) - min(ranks) + 1 != len(ranks):
            name = f"{len(ranks)} others"
        at[name] = sum(ends[r] for r in ranks) / len(ranks)
    floor = -1.0
    for name, end in sorted(at.items(), key=lambda item: (round(item[1], 3), item[0].startswith("rank"))):
        floor = max(end, floor + gap)
        best = name.startswith("rank")
        axes.annotate(
            name,
            (last, end),
            xytext=(last * 1.012, floor),
            va="center",
            color=BEST if best else OTHER,
            fontweight="bold" if best else "normal",
            annotation_clip=False,
        )


def _added(parent: Protocol, child: Protocol) -> str:
    """The action that leads from parent to child."""
    return " + ".join(a.text for a in child.actions if a not in parent.actions) or child.text


def tree_chart(tree: Sequence[SearchStep], best: Protocol | None) -> bytes | None:
    """PNG: the search tree, one column a step, kept expansions in bold; None for an empty tree.

    A search without beams extends no protocol: there, one row for each number of agents, and a point for a protocol.

    Args:
        tree: every expansion.
        best: the best protocol; the way to it is drawn in the colour of the best.
    """
    if not tree:
        return None
    steps = sorted({s.step for s in tree})
    if len(steps) > 1 and all(not s.parent.actions for s in tree):
        return _strip(tree, steps, best)
    columns = [_column([s for s in tree if s.step == step]) for step in steps]
    rows = max(len(c) for c, _ in columns)
    way = way_to_best(tree, best)
    with mpl.rc_context(STYLE):
        figure = new_figure(min(3.0 * len(steps) + 1.2, 13.0), 0.7 + 0.36 * max(rows, 3))
        axes = figure.add_subplot()
        axes.set_axis_off()
        axes.set_xlim(-0.35, len(steps) + 0.45)
        axes.set_ylim(rows - 0.2, -1.2)
        middle = (rows - 1) / 2
        # For each protocol: where its box ends, where its edges part, and on which level.
        place: dict[str, tuple[float, float, float]] = {"": (0.1, 0.22, middle)}
        axes.text(0.0, middle, "start", ha="center", va="center", bbox=_box(INK, False), color=INK, zorder=3)
        for number, (step, (shown, hidden)) in enumerate(zip(steps, columns, strict=True)):
            x = number + 0.62
            axes.text(x, -0.9, f"step {step}" if step else "policy's choice", color=GREY, fontweight="bold")
            here: dict[str, tuple[float, float, float]] = {}
            for row, one in enumerate(shown):
                y = row + middle - (len(shown) - 1) / 2
                on_way = one in way
                colour = BEST if on_way else OTHER if one.kept else GREY
                if one.parent.text in place:
                    end, stub, level = place[one.parent.text]
                    edge = colour if one.kept else FAINT
                    width = 2.0 if one.kept else 0.8
                    order = -1 if not one.kept else 1 if on_way else 0
                    axes.plot([end, stub, x - 0.02], [level, level, y], color=edge, linewidth=width, zorder=order)
                value = f"{one.risk:+.2f}".replace("-", "\N{MINUS SIGN}")
                text = f"{_boxed(one.parent, one.child)}  {value}"
                weight = "bold" if one.kept else "normal"
                axes.text(
                    x, y, text, va="center", color=colour, fontweight=weight, bbox=_box(colour, one.kept), zorder=3
                )
                if one.kept:
                    here[one.child.text] = (x + _CHARACTER * max(map(len, text.split("\n"))), x + 0.84, y)
            if hidden:
                axes.text(x, middle + len(shown) / 2, f"and {hidden} more", color=GREY, va="center")
            place.update(here)
        return png(figure)


def _strip(tree: Sequence[SearchStep], steps: Sequence[int], best: Protocol | None) -> bytes:
    """PNG: what every protocol of a search without beams is ranked by, in a row for each number of agents."""
    with mpl.rc_context(STYLE):
        figure = new_figure(9.2, 0.9 + 0.5 * len(steps))
        axes = figure.add_subplot()
        for row, step in enumerate(steps):
            values = [s.risk for s in tree if s.step == step and s.child != best]
            axes.plot(values, [row] * len(values), "o", color=OTHER, alpha=0.45, markersize=7, markeredgewidth=0)
        for one in (s for s in tree if s.child == best):
            row = steps.index(one.step)
            axes.plot(one.risk, row, "o", color=BEST, markersize=9)
            axes.annotate(
                short(one.child.text, 60), (one.risk, row), xytext=(0, 9), textcoords="offset points",
                color=BEST, fontweight="bold", ha="left",
            )  # fmt: skip
        axes.set_yticks(range(len(steps)), [f"{n} agent{'s'[: n != 1]}" for n in steps])
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.set_ylim(len(steps) - 0.5, -0.75)
        axes.grid(axis="x", color=FAINT, linewidth=0.7)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("what protocols are ranked by  (\N{LEFTWARDS ARROW} lower is better)")
        return png(figure)


def _boxed(parent: Protocol, child: Protocol, width: int = 30) -> str:
    """What a box of the tree says: the actions that are new; without doses where two lines do not hold them.

    Nothing is cut inside of a word or a number, so that two protocols of one column do not read alike.
    """
    whole = short(_added(parent, child), width)
    if whole.count("\n") < 2:
        return whole
    return short(" + ".join(a.agent for a in child.actions if a not in parent.actions) or child.text, width)


def _box(colour: str, kept: bool) -> dict[str, object]:
    return {"boxstyle": "round,pad=0.25", "facecolor": "white", "edgecolor": colour if kept else FAINT, "linewidth": 1}


def _column(expansions: Sequence[SearchStep]) -> tuple[list[SearchStep], int]:
    """The expansions of one step that are drawn, best first, and how many are not; each protocol once."""
    by_child: dict[str, SearchStep] = {}
    for one in sorted(expansions, key=lambda s: (not s.kept, s.risk)):
        by_child.setdefault(one.child.text, one)
    shown = list(by_child.values())
    return sorted(shown[:MAX_TREE_ROWS], key=lambda s: s.risk), max(0, len(shown) - MAX_TREE_ROWS)
