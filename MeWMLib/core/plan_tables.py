"""The ranking and the lesions of a plan as rows of `ranking.csv` and `lesions.csv`: the numbers of plan.json."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

from MeWMLib.core.outcome import Risk
from MeWMLib.core.plan import Candidate
from MeWMLib.core.plan_document import PlanDocument

#: In every row, so that one that is copied elsewhere still says it.
NOTE = "simulated, research use only"
Row = dict[str, Any]


def ranking_rows(document: PlanDocument) -> list[Row]:
    """One row for each candidate, best first; what is not known is empty."""
    return [_ranked(one) for one in document.plan.candidates]


def risk_columns(risk: Risk) -> Row:
    """What every table says of a risk: the log-risk, its spread, and the same as hazard ratios and months."""
    low, high = risk.interval if len(risk.replicas) > 1 else (None, None)
    total = risk.total_interval or (None, None)
    least, most = risk.median_interval_months or (None, None)
    return {
        "log_risk": risk.log_risk,
        "log_risk_lowest_replica": low,
        "log_risk_highest_replica": high,
        "log_risk_uncertainty": risk.uncertainty,
        "log_risk_95_low": total[0],
        "log_risk_95_high": total[1],
        "hazard_ratio": risk.hazard_ratio,
        "hazard_ratio_95_low": None if total[0] is None else math.exp(total[0]),
        "hazard_ratio_95_high": None if total[1] is None else math.exp(total[1]),
        "hazard_ratio_against_no_treatment": risk.hazard_ratio_treated,
        "median_survival_months": risk.median_survival_months,
        "median_survival_months_low": least,
        "median_survival_months_high": most,
    }


def _ranked(one: Candidate) -> Row:
    change, written = one.tumour_change, one.written
    return {
        "rank": one.rank,
        "protocol": one.protocol.text,
        **risk_columns(one.risk),
        "score": one.utility,
        "volume_ml_before": change.volume_ml_before,
        "volume_ml_after": change.volume_ml_after,
        "viable_ml_before": change.viable_ml_before,
        "viable_ml_after": change.viable_ml_after,
        "viable_ml_predicted": None if one.viable is None else one.viable.predicted_ml,
        "viable_ml_measured": None if one.viable is None else one.viable.measured_ml,
        "diameter_mm_before": change.diameter_mm_before,
        "diameter_mm_after": change.diameter_mm_after,
        "oil_ml_after": change.oil_ml_after,
        "written_volume_ml": None if written is None else written.tumour_ml_after,
        "written_viable_ml": None if written is None else written.viable_ml_after,
        "written_diameter_mm": None if written is None else written.diameter_mm_after,
        "written_tissue_with_lipiodol_ml": None if written is None else written.lipiodol_ml_after,
        "grows": " ".join(change.growth),
        "rules": ", ".join(warning.rule for warning in one.warnings),
        "file": one.files.get("ct", ""),
        "note": NOTE,
    }


def lesion_rows(document: PlanDocument) -> list[Row]:
    """One row for each lesion before treatment, largest first; what is not known is empty."""
    treated = dict(zip(document.treated.targets, document.treated.target_percent, strict=False))
    rows = []
    for one in document.findings.lesions:
        right, anterior, superior = one.centre_ras_mm
        rows.append(
            {
                "lesion": one.index,
                "treated_percent": treated.get(one.index, 0.0) if document.treated.targets else None,
                "volume_ml": one.volume_ml,
                "longest_axial_diameter_mm": one.longest_axial_diameter_mm,
                "viable_diameter_mm": one.viable_diameter_mm,
                "mean_hu": one.mean_hu,
                "viable_ml": one.viable_ml,
                "necrotic_fraction": one.necrotic_fraction,
                "lipiodol_fraction": one.lipiodol_fraction,
                "right_mm": right,
                "anterior_mm": anterior,
                "superior_mm": superior,
                "location": one.location,
                "note": "before treatment, research use only",
            }
        )
    return rows


def csv_text(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] = ()) -> str:
    """Rows of the same columns as CSV; "" for none.

    Args:
        rows: by the names of their columns.
        columns: which of them are written; all without it.
    """
    if not rows:
        return ""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(columns or rows[0]), lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
