"""The ranked protocols as Slicer nodes: a table, and a plot of the risk with its range."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from MeWMLib.core.outcome_words import ALL_UNCERTAIN, AVERAGE_PATIENT
from MeWMLib.core.plan import Candidate
from MeWMLib.core.templates import title_of
from MeWMLib.scene.plots import FAINT, Column, add_chart, add_series, add_table

TABLE_NAME = "MeWM ranked protocols"
CHART_NAME = "MeWM risk by rank"
_RISK = "log risk"
_LOW, _HIGH = "log risk, lowest replica", "log risk, highest replica"
_FROM, _TO = "log risk, 95 % from", "log risk, 95 % to"
_TOTAL = f"the true log risk lies between with 95 %: {ALL_UNCERTAIN}"
_RANGE = "range of the replicas (simulations with different seeds), not a confidence interval"


def protocol_table(scene: Any, candidates: Sequence[Candidate]) -> Any:
    """Add the table of ranked protocols to a scene; one row a protocol.

    Returns:
        The new `vtkMRMLTableNode`.
    """
    risks, changes = [c.risk for c in candidates], [c.tumour_change for c in candidates]
    medians = ["" if r.median_survival_months is None else f"{r.median_survival_months:.1f}" for r in risks]
    rules = ["; ".join([*(w.text for w in c.warnings), *_unjudged(c), *_looks(c)]) for c in candidates]
    columns = [
        Column("rank", [c.rank for c in candidates], int, "1 is the best"),
        Column("protocol", [c.protocol.text for c in candidates], str, "agents with doses"),
        Column("kind", [title_of(c.protocol) for c in candidates], str, "the template that it fits"),
        Column(_RISK, [r.log_risk for r in risks], float, f"mean over the replicas; 0 is {AVERAGE_PATIENT}"),
        Column("hazard ratio", [r.hazard_ratio for r in risks], float, "exp(log risk): 2 is twice the risk of death"),
    ]
    if all(r.total_interval for r in risks):
        columns += [
            Column(name, [(r.total_interval or r.interval)[n] for r in risks], float, _TOTAL)
            for n, name in enumerate((_FROM, _TO))
        ]
    # one replica is a point estimate: a range of it would say nothing
    if any(len(r.replicas) > 1 for r in risks):
        columns += [Column(name, [r.interval[n] for r in risks], float, _RANGE) for n, name in enumerate((_LOW, _HIGH))]
    columns += [
        Column("median survival (months)", medians, str, "empty if the curve stays above one half"),
        Column(
            "viable volume change (%)", [c.viable_change_percent for c in changes], float, "of all tumour in the scan"
        ),
        *_both(candidates),
        Column("tissue with Lipiodol (ml)", _written_oil(candidates), str, "of the written volume, at 300 HU and more"),
        Column("Lipiodol itself (ml)", [_ml(c.oil_ml_after) for c in changes], str, "oil that is simulated to be left"),
        Column("warnings", rules, str, "clinical rules that the protocol touches, with their sources"),
    ]
    return add_table(scene, TABLE_NAME, columns)


def _written_oil(candidates: Sequence[Candidate]) -> list[str]:
    """Tissue with Lipiodol in the written volumes; where none was written, in the image of the search."""
    return [
        _ml(c.tumour_change.lipiodol_ml_after if c.written is None else c.written.lipiodol_ml_after) for c in candidates
    ]


def _ml(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _both(candidates: Sequence[Candidate]) -> list[Column]:
    """Viable tumour as it is predicted and as it is measured, where both are known."""
    pairs = [c.viable for c in candidates]
    if not any(pairs):
        return []
    return [
        Column(f"viable after, {who} (ml)", ["" if v is None else f"{ml(v):.1f}" for v in pairs], str, what)
        for who, ml, what in (
            ("predicted", lambda v: v.predicted_ml, "by the model"),
            ("measured", lambda v: v.measured_ml, "in the image of the search, which is not the written volume"),
        )
    ]


def _looks(candidate: Candidate) -> list[str]:
    return [candidate.look.text] if candidate.look is not None and candidate.look.text else []


def _unjudged(candidate: Candidate) -> list[str]:
    return [f"cannot be judged: {candidate.unjudged_text}"] if candidate.unjudged else []


def risk_chart(scene: Any, table_node: Any) -> list[Any]:
    """Add a plot of the columns of risk against rank.

    Returns:
        The new nodes: a plot series for each column of risk that the table has, and the chart that holds them.
    """
    title = "Risk of the ranked protocols (simulated, research use only)"
    span = (0.5, table_node.GetNumberOfRows() + 0.5)
    chart = add_chart(scene, CHART_NAME, title, ("rank", f"log hazard ratio against {AVERAGE_PATIENT}"), span)
    whole = table_node.GetTable().GetColumnByName(_FROM) is not None
    low, high = (_FROM, _TO) if whole else (_LOW, _HIGH)
    styles = {_RISK: ("Circle", (0.05, 0.35, 0.65)), low: ("Cross", FAINT), high: ("Cross", FAINT)}
    # no line between ranks: there is nothing between two protocols
    series = [
        add_series(chart, table_node, f"MeWM {column}", ("rank", column), colour, width=0, marker=marker)
        for column, (marker, colour) in styles.items()
        if table_node.GetTable().GetColumnByName(column) is not None
    ]
    return [*series, chart]
