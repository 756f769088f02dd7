"""The result of `mewm assess` in words and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from MeWMLib.cli import tables
from MeWMLib.cli.output import Output
from MeWMLib.core.outcome import Risk
from MeWMLib.core.outcome_words import AVERAGE_PATIENT, span
from MeWMLib.core.written import judged_lesions

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

#: Beside the risk: the same patient's plan may say twice as many months.
NOT_A_PLAN = (
    "It goes by the tumour that looks viable in the CT after treatment, and a plan's goes by what the model itself "
    "tells to be viable: the two cannot be compared, nor can their months."
)


def show(result: Mapping[str, Any], output: Output) -> None:
    """Print the cautions, then registration, volumes, lesions, responses and risk."""
    for line in result.get("caution", ()):  # a server of an older version has none
        output.result(line)
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
    for line in judged_lesions(result):
        output.result(f"{line.text}.")
    _risk(result, output)
    tables.questions(result.get("questions", ()), output)
    output.result("Research use only.")


def _registration(result: Mapping[str, Any], output: Output) -> None:
    found = result["registration"]
    by = "Registration by you" if result["registered_by"] == "user" else "Registration"
    output.result(f"{by}: {found['word']} (of the result: {found['text']}).")
    for missed in found["missed"]:
        output.result(f"  below its limit, accepted: {missed}")
    tried = [stage for stage in found["stages"] if stage["name"] not in _STAGES_SKIPPED]
    for kept in (True, False):
        # why is told while they run, by numbers on a coarser grid: those of the result are measured on the scan's own
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
    """Risk and months with the interval of all that is known to be uncertain, as of a plan."""
    found = Risk((result["risk"],))
    total, months = result.get("risk_total_interval"), result.get("median_interval_months")
    if total:  # a server of an older version has none
        ends = (total[0], total[1])
        spread, ratios = (f" (95 % interval {span(ends, as_ratio)})" for as_ratio in (False, True))
    else:
        spread = ratios = ""
    text = f"Of the tumour after treatment: log-risk {found.log_risk:+.2f}{spread}, "
    text += f"hazard ratio {found.hazard_ratio:.2f}{ratios} against {AVERAGE_PATIENT}"
    if result["risk_members"]:
        least, most = result["risk_members"]
        text += f"; members of the ensemble alone {least:+.2f} to {most:+.2f}"
    output.result(f"{text}.")
    median = f"Predicted median survival after treatment: {tables.months(result['median_survival_months'])}"
    if months:
        last = result["survival"]["months"][-1]
        median += f" (90 % interval {' to '.join(f'over {last:.0f}' if e is None else f'{e:.1f}' for e in months)})"
    output.result(f"{median}. The prediction was measured on synthetic patients alone.")
    output.result(NOT_A_PLAN)


def _numbers(values: Sequence[int]) -> str:
    return ", ".join(map(str, values)) or "-"


def _ml(value: float | None) -> str:
    return "cannot be judged" if value is None else f"{value:.1f}"


def _mm(value: float | None) -> str:
    return "?" if value is None else f"{value:.0f}"
