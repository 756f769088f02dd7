"""Results as tables and sentences."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from MeWMLib.cli.output import Output
from MeWMLib.core.outcome import Risk
from MeWMLib.core.plan import Candidate
from MeWMLib.core.plan_folder import PlanDocument
from MeWMLib.core.records import to_plain

_SHOWN = 10
#: A terminal of so many characters holds a protocol in one line.
_WIDE = 120
_MEANING = (
    "A log-risk of 0 is the average patient; the hazard ratio (HR) is its exponential (2: twice the risk of death). "
    "The range is that of the replicas: simulations of one protocol with different seeds."
)


def plan(document: PlanDocument, output: Output) -> None:
    """The ranked protocols, the warnings about them, and whose labels were used."""
    candidates = document.plan.candidates
    if not candidates:
        output.result("No complete protocol has been simulated yet.")
        dice(to_plain(document.labels), output)
        return
    narrow = output.width < _WIDE
    break_ = "\n" if narrow else " "
    table = Table(title="Protocols by predicted risk (lower is better; simulated, research use only)")
    table.add_column("#", justify="right", no_wrap=True)
    table.add_column("Protocol", overflow="fold", min_width=20)
    table.add_column(f"Log-risk, hazard{break_}ratio (range{break_}of replicas)", no_wrap=True)
    table.add_column("Viable tumour", justify="right", no_wrap=True)
    table.add_column(f"Median{break_}survival", justify="right", no_wrap=True)
    if not narrow:
        table.add_column("Warnings")
    for candidate in candidates[:_SHOWN]:
        output.row(table, *_row(candidate, break_, narrow))
    output.table(table)
    if len(candidates) > _SHOWN:
        output.result(f"... and {len(candidates) - _SHOWN} more in plan.json.")
    reasons = {w.rule: f"{w.severity}: {w.reason}" for c in candidates[:_SHOWN] for w in c.warnings}
    for rule, reason in sorted(reasons.items()):
        output.result(f"  {rule}: {reason}")
    for line in rule_lines(candidates[0]):
        output.result(line)
    output.result(_MEANING)
    dice(to_plain(document.labels), output)


def rule_lines(candidate: Candidate) -> list[str]:
    """What could not be judged of the best protocol; that no rule objects is said only where all were asked."""
    if candidate.unjudged:
        return [f"Rules that cannot be judged for rank 1, since this is not known: {candidate.unjudged_text}."]
    asked = candidate.unjudged is not None and not candidate.warnings
    return ["Rules that rank 1 touches: none; all were asked."] if asked else []


def _row(candidate: Candidate, break_: str, narrow: bool) -> list[str]:
    risk, change = candidate.risk, candidate.tumour_change
    low, high = risk.interval
    warnings = ", ".join(w.rule for w in candidate.warnings)
    if candidate.unjudged:
        count = sum(map(len, candidate.unjudged.values()))
        warnings = ", ".join(part for part in (warnings, f"{count} not judged") if part)
    # on a narrow terminal a cell takes two lines, and the warnings are below the protocol
    under = f"\n({warnings})" if narrow and warnings else ""
    row = [
        str(candidate.rank),
        candidate.protocol.text + under,
        f"{risk.log_risk:+.2f}, HR {risk.hazard_ratio:.2f}{break_}({low:+.2f} to {high:+.2f})",
        f"{change.viable_ml_before:.1f} to {change.viable_ml_after:.1f} ml{break_}"
        f"({change.viable_change_percent:+.0f} %)",
        _months(risk.median_survival_months),
    ]
    return row if narrow else [*row, warnings]


def dice(labels: dict[str, Any], output: Output) -> None:
    """Whose labels were used, and how good the segmenter was."""
    output.result(f"Labels: {labels['note']}.")
    if labels["dice_liver"] is not None or labels["dice_tumour"] is not None:
        output.result(f"Segmenter: Dice liver {_dice(labels['dice_liver'])}, tumour {_dice(labels['dice_tumour'])}.")


def proposal(result: dict[str, Any], output: Output) -> None:
    """Proposed agents with reasons."""
    table = Table(title=f"Proposed by: {result['policy']}")
    table.add_column("Kind")
    table.add_column("Agent", no_wrap=True)
    table.add_column("Reason", overflow="fold")
    for kind in ("drugs", "embolics"):
        for name in result[kind]:
            output.row(table, kind.removesuffix("s"), name, result["reasons"].get(name, ""))
    output.table(table)
    dice(result["labels"], output)


def risk(result: dict[str, Any], output: Output) -> None:
    """A risk in words."""
    low, high = result["risk_interval"]
    found = Risk((result["risk"],))
    output.result(
        f"Log-risk {found.log_risk:+.3f} ({low:+.3f} to {high:+.3f}), hazard ratio {found.hazard_ratio:.2f}; 0 is the "
        "average patient."
    )
    output.result(f"Predicted median survival: {_months(result['median_survival_months'])}.")
    dice(result["labels"], output)
    output.result("Research use only.")


def minutes(seconds: float) -> str:
    """Such as "2 min 5 s"."""
    whole = round(seconds)
    return f"{whole // 60} min {whole % 60} s" if whole >= 60 else f"{seconds:.1f} s"


def _months(value: float | None) -> str:
    return "not reached" if value is None else f"{value:.0f} months"


def _dice(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"
