"""Results as tables and sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from MeWMLib.cli.output import Output
from MeWMLib.core.beside import Beside
from MeWMLib.core.outcome_words import (
    growth_lines,
    interval_note,
    months_text,
    order_lines,
    parts_lines,
    ratio_text,
    viable_lines,
    written_lines,
)
from MeWMLib.core.plan import TEMPLATES, Candidate, PlanSettings
from MeWMLib.core.plan_folder import SEARCHED, PlanDocument
from MeWMLib.core.questions import SEVERE
from MeWMLib.core.records import to_plain

_SHOWN = 10
#: A terminal of so many characters holds a protocol in one line.
_WIDE = 120
_MEANING = (
    "A log-risk of 0 is the average patient; the hazard ratio (HR) is its exponential (2: twice the risk of death)."
)
_RANGE_MEANING = " The range is that of the replicas: simulations of one protocol with different seeds."


def plan(document: PlanDocument, output: Output) -> None:
    """The ranked protocols, or the one that the user named; the warnings about them, and whose labels were used."""
    candidates = document.plan.candidates
    if not candidates:
        output.result("No complete protocol has been simulated yet.")
        dice(to_plain(document.labels), output)
        questions(to_plain(document.questions), output)
        return
    ranked = document.kind == SEARCHED
    ranges = any(c.risk.range_text for c in candidates[:_SHOWN])
    # the first layout that fits: all in one line, cells of two lines, and warnings below the protocol
    for narrow, break_ in ((False, " "), (False, "\n"), (True, "\n")):
        table = _ranking(document, output, narrow, break_)
        if not (narrow or output.width < _WIDE) and output.fits(table):
            break
    output.table(table)
    for text in document.forbidden:
        output.result(f"FORBIDDEN by the clinical rules, simulated because you asked for it: {text}.")
    if len(candidates) > _SHOWN:
        output.result(f"... and {len(candidates) - _SHOWN} more in plan.json.")
    reasons = {w.rule: f"{w.severity}: {w.reason}" for c in candidates[:_SHOWN] for w in c.warnings}
    for rule, reason in sorted(reasons.items()):
        output.result(f"  {rule}: {reason}")
    for line in growth_lines(document, _SHOWN):
        output.result(line)
    first, many = candidates[0], ranked and len(candidates) > 1
    predicted = f"Predicted: {ratio_text(first.risk)}; median survival {months_text(first.risk)}."
    about = (*parts_lines(first), *viable_lines(document, first))
    output.section("Rank 1" if many else "What is predicted", predicted, *about)
    output.section("How sure that is", interval_note(first.risk), *order_lines(document.plan))
    if document.beside is not None:
        output.section("Yours and MeWM's")
        _beside(document.beside, output)
    output.section("What the written volume shows", *written_lines(document, first), document.numbers.picture)
    limits = (*question_lines(to_plain(document.questions)), *rule_lines(first), _trained(document))
    output.section("What limits it", *limits)
    searched = weights_text(document.settings) if ranked else ""
    asked = filter(None, (f"Treated: {document.treated.text}.", document.treated.why, searched))
    output.section("What was asked for", *asked, *dice_lines(to_plain(document.labels)))
    meaning = _MEANING + (_RANGE_MEANING if ranges else "")
    output.section("How to read the numbers", document.numbers.search, meaning)


def _trained(document: PlanDocument) -> str:
    if document.trained_on:
        return f"The model was trained on: {document.trained_on}."
    return "The bundle does not say what it was trained on, so that nobody can tell what lies outside of it."


def _ranking(document: PlanDocument, output: Output, narrow: bool, break_: str) -> Table:
    """The first protocols as a table; one that the user named has no rank, and no column for it."""
    candidates = document.plan.candidates
    ranked = document.kind == SEARCHED
    weighed = " and weights" if ranked and any(document.settings.weights.values()) else ""
    what = (
        f"Protocols by predicted risk{weighed} (lower is better; " if ranked else "Predicted outcome of your protocol ("
    )
    table = Table(title=f"{what}simulated, research use only)")
    if ranked:
        table.add_column("#", justify="right", no_wrap=True)
    table.add_column("Protocol", overflow="fold", min_width=12 if narrow else 20)
    scored = bool(weighed) and not narrow
    if scored:
        table.add_column("Score", justify="right", no_wrap=True)
    ranges = f" (range{break_}of replicas)" if any(c.risk.range_text for c in candidates[:_SHOWN]) else ""
    table.add_column(f"Log-risk, hazard{break_}ratio{ranges}", no_wrap=True)
    table.add_column("Viable tumour", justify="right", no_wrap=True)
    table.add_column(f"Median{break_}survival", justify="right", no_wrap=True)
    if not narrow:
        table.add_column("Warnings", overflow="fold")
    groups = [one.group for one in document.plan.standings]
    for n, candidate in enumerate(candidates[:_SHOWN]):
        if ranked and n and groups and groups[n] != groups[n - 1]:
            table.add_section()  # what is told apart stands below a line
        number, protocol, *cells = _row(candidate, break_, narrow)
        rank, score = [number] if ranked else [], [_score(candidate)] if scored else []
        output.row(table, *rank, protocol, *score, *cells)
    return table


def _beside(pair: Beside, output: Output) -> None:
    """The user's protocol beside the first one, what each action moved, and what a single swap does."""
    mine, first = pair.mine, pair.first
    rows = [
        (who, c.described, c.risk.text, f"{c.tumour_change.viable_change_percent:+.0f} %",
         months(c.risk.median_survival_months))
        for who, c in (("Yours", mine), ("First by MeWM", first))
    ]  # fmt: skip
    columns = ("", "Protocol", "Predicted risk", "Viable tumour", "Median survival")
    output.rows("Your protocol beside the first one (same seeds)", columns, rows, wrapped=4)
    output.result(f"Yours minus MeWM's: {pair.risk_difference:+.2f} log-risk (lower is better).")
    for who, c in (("yours", mine), ("MeWM's", first)):
        moved = [f"{m.part} {m.risk_change:+.2f}" for m in c.contributions if m.risk_change is not None]
        output.result(f"What each action of {who} moved, against leaving it out: {', '.join(moved) or 'not known'}.")
    if not pair.swaps:
        output.result("The two protocols are the same.")
    for swap in pair.swaps:
        told = f"forbidden by {', '.join(swap.forbidden)}"
        if swap.log_risk is not None and swap.risk_change is not None:
            told = f"log-risk {swap.log_risk:+.2f} ({swap.risk_change:+.2f})"
        output.result(f"  yours with one swap, {swap.text}: {told}")


def weights_text(settings: PlanSettings) -> str:
    """What protocols are ranked by, and from which space they come."""
    where = "Searched: protocols that fill a template" if settings.space == TEMPLATES else "Searched: all combinations"
    if not any(settings.weights.values()):
        return f"{where}. Ranked by the predicted risk alone."
    return (
        f"{where}. Ranked by score, which is log-risk plus weights: {settings.weights_text} (toxicity for each rule "
        "that warns, complexity for each agent beyond two, uncertainty for the deviation over the replicas)."
    )


def rule_lines(candidate: Candidate) -> list[str]:
    """What could not be judged of the best protocol; that no rule objects is said only where all were asked."""
    if candidate.unjudged:
        return [f"Cannot be judged: {candidate.unjudged_text} (--clinical; `mewm clinical template` writes a file)."]
    asked = candidate.unjudged is not None and not candidate.warnings
    return ["Rules that rank 1 touches: none; all were asked."] if asked else []


def _row(candidate: Candidate, break_: str, narrow: bool) -> list[str]:
    risk, change = candidate.risk, candidate.tumour_change
    span = f"{break_}({risk.range_text})" if risk.range_text else ""
    warnings = ", ".join(w.rule for w in candidate.warnings)
    if candidate.unjudged:
        count = sum(map(len, candidate.unjudged.values()))
        warnings = f"{warnings or 'none'} ({count} not judged)"
    # on a narrow terminal a cell takes two lines, and the warnings are below the protocol
    under = f"\n({warnings})" if narrow and warnings else ""
    row = [
        str(candidate.rank),
        candidate.described + under,
        f"{risk.log_risk:+.2f}, HR {risk.hazard_ratio:.2f}{span}"
        + (f"\nscore {_score(candidate)}" if narrow and candidate.utility is not None else ""),
        f"{change.viable_ml_before:.1f} to {change.viable_ml_after:.1f} ml{break_}"
        f"({change.viable_change_percent:+.0f} %)",
        months(risk.median_survival_months),
    ]
    return row if narrow else [*row, warnings]


def _score(candidate: Candidate) -> str:
    """What a candidate is ranked by."""
    return f"{candidate.risk.log_risk if candidate.utility is None else candidate.utility:+.2f}"


def dice(labels: dict[str, Any], output: Output) -> None:
    """Whose labels were used, and how good the segmenter was."""
    for line in dice_lines(labels):
        output.result(line)


def dice_lines(labels: dict[str, Any]) -> list[str]:
    """The same, as lines."""
    lines = [f"Labels: {labels['note']}."]
    if labels["dice_liver"] is not None or labels["dice_tumour"] is not None:
        lines.append(f"Segmenter: Dice liver {_dice(labels['dice_liver'])}, tumour {_dice(labels['dice_tumour'])}.")
    return lines


def questions(asked: Sequence[Mapping[str, Any]], output: Output) -> None:
    """What looked wrong with labels or scan, printed again beside the result, where it is read."""
    for line in question_lines(asked):
        output.result(line)


def question_lines(asked: Sequence[Mapping[str, Any]]) -> list[str]:
    """The same, as lines."""
    words = ["accepted" if one["severity"] == SEVERE else one["severity"] for one in asked]
    return [f"{word.capitalize()}: {one['text']}" for word, one in zip(words, asked, strict=True)]


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
    for found in result.get("patient_rules", ()):  # a server of an older version has none
        output.result(f"{found['severity'].capitalize()} for every protocol: {found['reason']} [{found['rule']}]")
    for name, reason in result.get("left_out", {}).items():
        output.result(f"Left out, {name}: {reason}")
    lesions(result, output)
    dice(result["labels"], output)
    questions(result.get("questions", ()), output)


def lesions(result: Mapping[str, Any], output: Output) -> None:
    """The lesions by number, with the share of each that a session would treat."""
    treated = dict(zip(result["treated"]["targets"], result["treated"]["target_percent"], strict=True))
    listed = result["findings"]["lesions"]
    rows = [
        (str(one["index"]), f"{one['volume_ml']:.1f} ml", f"{one['longest_axial_diameter_mm']:.0f} mm",
         f"{treated[one['index']]:.0f} %" if one["index"] in treated else "no", one["location"])
        for one in listed[:_SHOWN]
    ]  # fmt: skip
    output.rows("Lesions, largest first", ("#", "Volume", "RECIST", "Treated", "Place"), rows)
    if len(listed) > _SHOWN:
        output.result(f"... and {len(listed) - _SHOWN} smaller ones (--json lists all).")
    output.result(result["treated"]["why"])


def minutes(seconds: float) -> str:
    """Such as "2 min 5 s"."""
    whole = round(seconds)
    return f"{whole // 60} min {whole % 60} s" if whole >= 60 else f"{seconds:.1f} s"


def months(value: float | None) -> str:
    return "not reached" if value is None else f"{value:.1f} months"


def _dice(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"
