"""How a search went, in words and numbers: what each action moved, what the rules pruned, the tree as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from MeWMLib.scene.core_app import vtk
from MeWMLib.scene.plan_folder import PlanFolder, ShownStep

TABLE_NAME = "MeWM search tree"
_COLUMNS = {
    "step": "of the search; 0 is the policy's first choice",
    "from": "protocol that was extended; empty for the start",
    "protocol": "the protocol that was simulated",
    "log risk": "mean log hazard ratio over the replicas (with weights set: the utility)",
    "kept": "1 if the search went on from it",
}
#: Protocols that are named for each rule in the report.
EXAMPLES = 3


def moved(plan: PlanFolder) -> list[tuple[str, float | None, float | None]]:
    """Action, log-risk without it and what it moved, for the best protocol; none in plans of older versions."""
    candidates = plan.data["candidates"]
    entries = candidates[0].get("contributions", []) if candidates else []
    return [(str(e["action"]), _number(e["risk_without"]), _number(e["risk_change"])) for e in entries]


def pruned(plan: PlanFolder) -> list[tuple[str, int, str]]:
    """Rule, how many protocols it forbade, and some of them; most often first."""
    by_rule: dict[str, list[str]] = {}
    for entry in plan.data.get("pruned", []):
        for rule in entry["rules"]:
            by_rule.setdefault(str(rule), []).append(str(entry["protocol"]))
    ordered = sorted(by_rule.items(), key=lambda item: (-len(item[1]), item[0]))
    return [(rule, len(found), "; ".join(sorted(found, key=len)[:EXAMPLES])) for rule, found in ordered]


def search_table(scene: Any, tree: Sequence[ShownStep]) -> Any:
    """Add the search tree to a scene as a table, one row an expansion.

    Returns:
        The new `vtkMRMLTableNode`.
    """
    node = scene.AddNewNodeByClass("vtkMRMLTableNode", TABLE_NAME)
    kinds = (vtk.vtkIntArray, vtk.vtkStringArray, vtk.vtkStringArray, vtk.vtkDoubleArray, vtk.vtkIntArray)
    for kind, (name, description) in zip(kinds, _COLUMNS.items(), strict=True):
        column = kind()
        column.SetName(name)
        node.AddColumn(column)
        node.SetColumnDescription(name, description)
    table = node.GetTable()
    for row, one in enumerate(tree):
        node.AddEmptyRow()
        for column, value in enumerate((one.step, one.parent, one.child, one.risk, int(one.kept))):
            table.SetValue(row, column, vtk.vtkVariant(value))
    node.SetLocked(True)
    node.SetUseFirstColumnAsRowHeader(False)
    table.Modified()
    return node


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
