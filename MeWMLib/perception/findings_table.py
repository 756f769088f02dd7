"""Findings as a table: one row a lesion, for CSV files and terminals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from MeWMLib.core.patient import Findings

#: Columns and their decimals; the names hold the units.
_DECIMALS = {
    "volume_ml": 2,
    "longest_axial_diameter_mm": 1,
    "viable_diameter_mm": 1,
    "viable_ml": 2,
    "mean_hu": 1,
    "sd_hu": 1,
    "hu_low": 1,
    "hu_high": 1,
    "lipiodol_fraction": 3,
    "necrotic_fraction": 3,
    "liver_edge_mm": 1,
    "vessel_mm": 1,
}
FIELDS = ("lesion", *_DECIMALS, "location")
_SHORT = {
    "longest_axial_diameter_mm": "recist_mm",
    "viable_diameter_mm": "mrecist_mm",
    "lipiodol_fraction": "lipiodol",
    "necrotic_fraction": "necrotic",
}


def findings_rows(findings: Findings) -> list[dict[str, Any]]:
    """One row for each lesion with the columns `FIELDS`; what is not known is ""."""
    rows = []
    for lesion in findings.lesions:
        numbers = {name: getattr(lesion, name) for name in _DECIMALS}
        rounded = {n: "" if v is None else round(float(v), _DECIMALS[n]) for n, v in numbers.items()}
        rows.append({"lesion": lesion.index, **rounded, "location": lesion.location})
    return rows


def findings_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as aligned text with short headings; "" without rows."""
    if not rows:
        return ""
    names = list(rows[0])
    lines = [[_SHORT.get(name, name) for name in names], *([str(row[name]) for name in names] for row in rows)]
    widths = [max(len(line[n]) for line in lines) for n in range(len(names))]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in lines)
