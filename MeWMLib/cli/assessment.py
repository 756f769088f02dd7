"""The result of `mewm assess` in words and tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from MeWMLib.cli import tables
from MeWMLib.cli.output import Output
from MeWMLib.core.outcome import Risk
from MeWMLib.core.written import Criterion, joined, small_ones

_STAGES_SKIPPED = ("as it was",)
_KINDS = {
    "same": "the same lesion",
    "merged": "merged into one",
    "split": "fell apart",
    "new": "new",
    "gone": "no longer seen",
    "not covered": "not shown by the CT after",
}
_VOLUMES = ("liver", "volume", "viable", "necrotic", "lipiodol", "unknown")
_VOLUME_WORDS = {"volume": "tumour", "lipiodol": "Lipiodol", "unknown": "not told"}


def show(result: Mapping[str, Any], output: Output) -> None:
    """Print registration, volumes, lesions, responses and risk."""
    _registration(result, output)
    tables.dice(result["labels"], output)
    output.result(f"Labels after treatment: {result['labels_after']['note']}.")
    for when in ("before", "after"):
        phase = result["phases"][when]
        output.result(f"Phase {when}: {phase['phase']} ({phase['reason']}).")
    _volumes(result["volumes_ml"], output)
    _lesions(result, output)
    confirmed = result["labels_after"]["source"] == "user"
    for criterion in ("recist", "mrecist"):
        _size(result[criterion], confirmed, output)
    small = small_ones({n: one["diameter_mm"] for n, one in enumerate(result["before"]["lesions"], start=1)})
    judged = [
        Criterion(
            f"LI-RADS treatment response, lesion {_numbers(one['before'])}", one["category"], tuple(one["reasons"])
        )
        for one in result["lirads"]
    ]
    for line in joined(judged, small):
        output.result(f"{line.text}.")
    _risk(result, output)
    tables.questions(result.get("questions", ()), output)
    output.result("Research use only.")


def _registration(result: Mapping[str, Any], output: Output) -> None:
    found = result["registration"]
    by = "Registration by you" if result["registered_by"] == "user" else "Registration"
    output.result(f"{by}: {found['word']} ({found['text']}).")
    for missed in found["missed"]:
        output.result(f"  below its limit, accepted: {missed}")
    tried = [stage for stage in found["stages"] if stage["name"] not in _STAGES_SKIPPED]
    for kept in (True, False):
        # why is told while they run
        if names := ", ".join(stage["name"] for stage in tried if stage["kept"] is kept):
            output.result(f"  steps that were {'kept' if kept else 'tried and not kept'}: {names}")
    if not tried and result["registered_by"] == "mewm":
        output.result("  the scans lie on one another already: nothing was moved")


def _volumes(volumes: Mapping[str, Mapping[str, float | None]], output: Output) -> None:
    rows = [
        [when, *(_ml(volumes[when][name]) for name in _VOLUMES)]
        for when in ("before", "after")
    ]  # fmt: skip
    columns = ("ml", *(_VOLUME_WORDS.get(name, name) for name in _VOLUMES))
    output.rows(
        "Volumes by density; viable and necrotic as far as the phase tells, response by size is below",
        columns,
        rows,
        wrapped=0,
    )


def _lesions(result: Mapping[str, Any], output: Output) -> None:
    rows = []
    for match in result["matches"]:
        sides = [_side(result[when]["lesions"], match[when]) for when in ("before", "after")]
        kind = _KINDS[match["kind"]]
        if match["distance_mm"]:
            kind += f", {match['distance_mm']:.0f} mm apart"
        rows.append([_numbers(match["before"]), _numbers(match["after"]), *sides, kind])
    if rows:
        columns = (
            "Before",
            "After",
            "Before: mm (viable), ml (Lipiodol)",
            "After: mm (viable), ml (Lipiodol)",
            "Match",
        )
        output.rows("Lesions, matched through the registration", columns, rows)


def _side(lesions: Sequence[Mapping[str, Any]], numbers: Sequence[int]) -> str:
    found = [lesions[n - 1] for n in numbers]
    return "; ".join(
        f"{one['diameter_mm']:.0f} ({_mm(one['viable_diameter_mm'])}), "
        f"{one['volume_ml']:.1f} ({one['lipiodol_ml']:.1f})"
        for one in found
    )


def _size(found: Mapping[str, Any], confirmed: bool, output: Output) -> None:
    what = found["category"] or "cannot be judged"
    if found["category"] and not confirmed:
        what += ", not confirmed"
    several = "s" if len(found["targets"]) > 1 else ""
    targets = f", target lesion{several} {_numbers(found['targets'])}" if found["targets"] else ""
    output.result(f"{found['criterion']}: {what}{targets} ({'; '.join(found['reasons'])}).")


def _risk(result: Mapping[str, Any], output: Output) -> None:
    found = Risk((result["risk"],))
    # of one real scan there is one replica, and no range of it
    low, high = result["risk_interval"] or (0.0, 0.0)
    spread = f" ({low:+.3f} to {high:+.3f})" if high > low else ""
    text = (
        f"Of the tumour after treatment: log-risk {found.log_risk:+.3f}{spread}, hazard ratio {found.hazard_ratio:.2f}"
    )
    median = f"Predicted median survival after treatment: {tables.months(result['median_survival_months'])}"
    if result["risk_members"]:
        least, most = result["risk_members"]
        text += f"; members of the ensemble {least:+.3f} to {most:+.3f}, deviation {result['risk_uncertainty']:.3f}"
        ends = [tables.months(_median(result, member)) for member in (most, least)]
        median += f" ({ends[0]} to {ends[1]} by the members of the ensemble)" if ends[0] != ends[1] else ""
    output.result(f"{text}; 0 is the average patient.")
    output.result(f"{median}. Other errors of the survival model are not in this range.")


def _median(result: Mapping[str, Any], log_risk: float) -> float | None:
    """Months by the survival curve of the result, if the log-risk were another one (proportional hazards)."""
    curve, ratio = result["survival"], math.exp(log_risk - result["risk"])
    moved = tuple(p**ratio for p in curve["probability"])
    return Risk((log_risk,), tuple(curve["months"]), moved).median_survival_months


def _numbers(values: Sequence[int]) -> str:
    return ", ".join(map(str, values)) or "-"


def _ml(value: float | None) -> str:
    return "cannot be judged" if value is None else f"{value:.1f}"


def _mm(value: float | None) -> str:
    return "?" if value is None else f"{value:.0f}"
