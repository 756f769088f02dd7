"""Response as a second outcome: does the simulated response to what was given agree with what was measured after it?

The truth is the change of the viable diameter (mRECIST-like) that the cohort holds: that of the readers (their mean, in
`patient.json`), else `viable_before_mm` and `viable_after_mm` of the table. The prediction is the change of the viable
volume in the simulated scans, inside the outline before treatment.

Inside that outline liver takes the place of a tumour that has shrunk, and counts as viable by its density: of two
tumours the one that shrinks more may seem to live more. So the table says too what the same voxels tell inside the
outline of the scan after, where a cohort has one (no simulated scan has), and what the fall of the network's log-risk
tells, which reads the product's own outline after.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from MeWMLib.cohorts.layout import Cohort
from MeWMLib.lab.evaluation.metrics import bootstrap
from MeWMLib.lab.evaluation.response import CLASSES, CRITERIA
from MeWMLib.lab.evaluation.two_sample import area
from MeWMLib.lab.reproduce.records import Record
from MeWMLib.perception.findings import viable_mask

Array = NDArray[np.float64]
#: Fewer patients on either side have no AUC worth printing.
LEAST_EACH = 5
MRECIST = CRITERIA[1]


def measured_change(record: Record, stored: Mapping[str, Any]) -> float:
    """Relative change of the viable diameter; NaN where it was not measured.

    Args:
        record: of the patient.
        stored: what `patient.json` says under "clinical".
    """
    readers = [stored.get(f"mrecist_{when}_mm") for when in ("before", "after")]
    if all(isinstance(one, list) for one in readers):
        pairs = [(b, a) for b, a in zip(*readers, strict=False) if b and a is not None]
        if pairs:
            return float(np.mean([a / b - 1 for b, a in pairs]))
    before, after = record.member.row.viable_before_mm, record.member.row.viable_after_mm
    return after / before - 1 if before and after is not None else float("nan")


def response_table(
    records: Sequence[Record], stored: Mapping[str, Mapping[str, Any]], seed: int, cohort: Cohort | None = None
) -> dict[str, Any]:
    """AUC of objective response (CR or PR by mRECIST) by the simulated change of what was given, and by other scores.

    Rows: `mewm`; `mewm_scan_after`, the same measure on the scan after: what the measure itself can reach; `mewm_risk`
    and `mewm_risk_scan_after`, the fall of the network's log-risk from that without treatment, after either scan;
    `outline_after`, viable volume in the scan after inside its own outline; and `size_alone` (small tumours respond).
    Metrics: `auc`, `rank_correlation` of predicted and measured change.

    Args:
        records: of the patients.
        stored: id to what `patient.json` says under "clinical".
        seed: of the bootstrap.
        cohort: its scans, for `outline_after`; without it that row is left out.
    """
    change = np.array([measured_change(r, stored.get(r.id, {})) for r in records])
    told = np.array([_viable_change(r, "virtual") for r in records])
    known = np.isfinite(change) & np.isfinite(told)
    responds_all = change <= MRECIST.partial + 1e-9
    responds = change[known] <= MRECIST.partial + 1e-9
    out: dict[str, Any] = {"rows": {}, "patients": int(known.sum()), "responders": int(responds.sum()), "gaps": []}
    if min(int(responds.sum()), int((~responds).sum())) < LEAST_EACH:
        out["gaps"].append(
            f"The AUC of the response needs {LEAST_EACH} responders and as many others with measured diameters; "
            f"there are {int(responds.sum())} and {int((~responds).sum())}"
        )
        return out
    out["classes"] = {name: _count(change[known], name) for name in CLASSES}
    size = [-(r.features("before") or {}).get("log_volume_ml", np.nan) for r in records]
    scores = {
        "mewm": -told,
        "mewm_scan_after": -np.array([_viable_change(r, "scan_after") for r in records]),
        "mewm_risk": np.array([r.number("log_risk_untreated") - r.number("log_risk_virtual") for r in records]),
        "mewm_risk_scan_after": np.array([r.number("log_risk_untreated") - r.number("log_risk_real") for r in records]),
        "outline_after": -np.array(
            [_outlined_change(cohort, r) if k else np.nan for r, k in zip(records, known, strict=True)]
        ),
        "size_alone": np.array(size, float),
    }
    for row, score in scores.items():
        used = known & np.isfinite(score)
        yes = int((responds_all & used).sum())
        if min(yes, int(used.sum()) - yes) < LEAST_EACH:
            out["gaps"].append(f"The score {row} is known of fewer than {LEAST_EACH} responders, or of as few others")
            continue
        out["rows"][row] = _figures(score[used], change[used], seed)
    return out


def _count(change: Array, name: str) -> int:
    return sum(MRECIST.class_of(1.0, 1.0 + c) == name for c in change)


def _viable_change(record: Record, which: str) -> float:
    """Relative change of the viable volume in a scan after, inside the outline before treatment."""
    before, after = record.features("before"), record.features(which)
    if before is None or after is None or before["log_viable_ml"] <= 0:
        return float("nan")
    return float(np.expm1(after["log_viable_ml"]) / np.expm1(before["log_viable_ml"]) - 1)


def _outlined_change(cohort: Cohort | None, record: Record) -> float:
    """Relative change of the viable volume, each scan inside its own outline; NaN where one is not there."""
    case = None if cohort is None else cohort.case(record.id)
    if case is None or case.after is None or case.before_labels is None or case.after_labels is None:
        return float("nan")
    before, after = (
        float(viable_mask(ct.array, labels.tumour).sum()) * ct.geometry.voxel_ml
        for ct, labels in ((case.before, case.before_labels), (case.after, case.after_labels))
    )
    return after / before - 1 if before else float("nan")


def _figures(score: Array, change: Array, seed: int) -> dict[str, Any]:
    responds = change <= MRECIST.partial + 1e-9

    def auc(chosen: NDArray[np.intp]) -> float:
        yes, no = score[chosen][responds[chosen]], score[chosen][~responds[chosen]]
        return area(no, yes) if len(yes) and len(no) else float("nan")

    def rank(chosen: NDArray[np.intp]) -> float:
        first, second = -score[chosen], change[chosen]
        return float(spearmanr(first, second)[0]) if np.ptp(first) > 0 and np.ptp(second) > 0 else float("nan")

    return {"auc": bootstrap(auc, len(score), seed), "rank_correlation": bootstrap(rank, len(score), seed)}
