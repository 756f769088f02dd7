"""Results as tables and sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from MeWMLib.cli.output import Output
from MeWMLib.core.beside import Beside
from MeWMLib.core.caution import cautions_of
from MeWMLib.core.difference_words import (
    INTERVAL_MEANING,
    ChangeRow,
    beside_lines,
    moved_rows,
    parts_lines,
    swap_rows,
)
from MeWMLib.core.outcome_words import (
    AVERAGE_PATIENT,
    growth_lines,
    interval_note,
    interval_text,
    months_text,
    order_lines,
    picture_words,
    ratio_text,
    span,
    unjudged_count,
    viable_lines,
    written_lines,
)
from MeWMLib.core.plan import TEMPLATES, Candidate, PlanSettings
from MeWMLib.core.plan_folder import SEARCHED, PlanDocument
from MeWMLib.core.questions import SEVERE
from MeWMLib.core.records import to_plain

_SHOWN = 10
#: A terminal of so many characters has room for a column of scores and one of hazard ratios.
_WIDE = 110
_MEANING = (
    f"A log-risk of 0 is {AVERAGE_PATIENT}; the hazard ratio (HR) is its exponential (2: twice the risk of death). "
    "Intervals hold all that is known to be uncertain: of risks 95 %, of months 90 %."
)
_RANGE_MEANING = (
    " Where only replicas are known, their range stands in place of an interval: simulations of one protocol with "
    "different seeds."
)


def plan(document: PlanDocument, output: Output) -> None:
    """The ranked protocols, or the one that the user named; the warnings about them, and whose labels were used."""
    candidates = document.plan.candidates
    if not candidates:
        output.result("No complete protocol has been simulated yet.")
        dice(to_plain(document.labels), output)
        questions(to_plain(document.questions), output)
        return
    ranked = document.kind == SEARCHED
    for line in cautions_of(document):
        output.result(line)
    output.table(_ranking(document, output))
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
    seen = picture_words(first)
    look = [f"Measured in the written picture, beside what the model predicts: {seen}."] if seen else []
    about = (*look, *parts_lines(first), *viable_lines(document, first))
    output.section("Rank 1" if many else "What is predicted", predicted, *about)
    output.section("How sure that is", interval_note(first.risk), *order_lines(document.plan))
    if document.beside is not None:
        output.section("Yours and MeWM's")
        _beside(document.beside, output)
    output.section(
        "What the written volume shows", *written_lines(document, first, short=True), document.numbers.picture
    )
    limits = (*_not_said(to_plain(document.questions), output), *rule_lines(first), _trained(document))
    output.section("What limits it", *limits)
    searched = weights_text(document.settings) if ranked else ""
    asked = filter(None, (*document.treated.lines, searched))
    output.section("What was asked for", *asked, *dice_lines(to_plain(document.labels)))
    replicas = any(c.risk.total_interval is None and c.risk.range_text for c in candidates[:_SHOWN])
    meaning = _MEANING + (_RANGE_MEANING if replicas else "")
    output.section("How to read the numbers", document.numbers.search, meaning)


def _trained(document: PlanDocument) -> str:
    if document.trained_on:
        return f"The model was trained on: {document.trained_on}."
    return "The bundle does not say what it was trained on, so that nobody can tell what lies outside of it."


def _ranking(document: PlanDocument, output: Output) -> Table:
    """The first protocols as a table; one that the user named has no rank, and no column for it.

    The protocol takes what the other columns leave of a line; its warnings stand below it. On a narrow terminal scores
    and hazard ratios share the column of the log-risk.
    """
    candidates = document.plan.candidates[:_SHOWN]
    for wide in (output.width >= _WIDE, False):
        table = _drawn(document, candidates, wide)
        if output.filled(table, int(document.kind == SEARCHED)):
            break
    return table


def _drawn(document: PlanDocument, candidates: Sequence[Candidate], wide: bool) -> Table:
    ranked = document.kind == SEARCHED
    weighed = ranked and any(document.settings.weights.values())
    what = (
        f"Protocols by predicted risk{' plus weights' if weighed else ''} (lower is better; "
        if ranked
        else "Predicted outcome of your protocol ("
    )
    table = Table(title=f"{what}simulated, research use only)")
    if ranked:
        table.add_column("#", justify="right", no_wrap=True)
    table.add_column("Protocol", overflow="fold")
    if weighed and wide:
        table.add_column("Score", justify="right", no_wrap=True)
    table.add_column(f"Log-risk\n({_spread_of(candidates)})", no_wrap=True)
    if wide:
        table.add_column(f"Hazard ratio\n({_spread_of(candidates)})", no_wrap=True)
    table.add_column("Viable tumour", justify="right", no_wrap=True)
    table.add_column("Median survival\n(90 %)" if wide else "Median\nsurvival\n(90 %)", justify="right", no_wrap=True)
    groups = [one.group for one in document.plan.standings]
    for n, candidate in enumerate(candidates):
        if ranked and n and groups and groups[n] != groups[n - 1]:
            table.add_section()  # what is told apart stands below a line
        rank = [str(candidate.rank)] if ranked else []
        score = [_score(candidate)] if weighed and wide else []
        cells = _row(candidate, wide)
        Output.row(table, *rank, cells[0], *score, *cells[1:])
    return table


def _spread_of(candidates: Sequence[Candidate]) -> str:
    """What the second line of a risk is, for the head of its column."""
    return "95 %" if any(c.risk.total_interval for c in candidates) else "replicas"


def _beside(pair: Beside, output: Output) -> None:
    """The user's protocol beside the first one, what each action moved, and what a single swap does."""
    mine, first = pair.mine, pair.first
    rows = [
        (who, c.described, "; ".join(filter(None, (c.risk.text, interval_text(c.risk)))),
         f"{c.tumour_change.viable_change_percent:+.0f} %", months_text(c.risk))
        for who, c in (("Yours", mine), ("First by MeWM", first))
    ]  # fmt: skip
    columns = ("", "Protocol", "Predicted risk", "Viable tumour", "Median survival")
    output.rows("Your protocol beside the first one (same seeds)", columns, rows, wrapped=4)
    for line in beside_lines(pair):
        output.result(line)
    for who, c in (("yours", mine), ("MeWM's", first)):
        _changes(f"What each action of {who} moved, against leaving it out", "Action", moved_rows(c), output)
    if pair.swaps:
        _changes("Yours with a single swap", "Swap", swap_rows(pair.swaps), output)
    if pair.difference is not None:
        output.result(INTERVAL_MEANING)


def _changes(title: str, what: str, rows: Sequence[ChangeRow], output: Output) -> None:
    """Changes of the log-risk with their intervals, and whether each can be told apart."""
    columns = ("Change of log-risk", "95 % interval", what, "Told apart")
    cells = [(row.change, row.interval, row.what, row.verdict) for row in rows]
    output.rows(title, columns, cells, wrapped=2)


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


def _row(candidate: Candidate, wide: bool) -> list[str]:
    """Protocol with its warnings, log-risk, hazard ratio (where it has a column), viable tumour and median survival."""
    risk, change = candidate.risk, candidate.tumour_change
    touched: dict[str, list[str]] = {}
    for one in candidate.warnings:
        touched.setdefault(one.severity, []).append(one.rule)
    told = [*(f"{severity}: {', '.join(rules)}" for severity, rules in touched.items()), unjudged_count(candidate)]
    warnings = "; ".join(filter(None, told))
    ends = risk.total_interval or (risk.interval if len(risk.replicas) > 1 else None)
    log = [f"{risk.log_risk:+.2f}", f"({span(ends)})" if ends else ""]
    ratio = [f"HR {risk.hazard_ratio:.2f}", f"({span(ends, as_ratio=True)})" if ends else ""]
    if not wide and candidate.utility is not None:
        ratio.append(f"score {_score(candidate)}")
    percent = f"({change.viable_change_percent:+.0f} %)"
    before, after = f"{change.viable_ml_before:.1f}", f"{change.viable_ml_after:.1f}"
    spread = risk.median_interval_months
    median = [months(risk.median_survival_months)]
    if spread is not None:
        last = risk.months[-1]
        median.append(f"({' to '.join(f'{end:.1f}' if end is not None else f'over {last:.0f}' for end in spread)})")
    cells = (
        [candidate.described, f"({warnings})" if warnings else ""],
        log if wide else [*log, *ratio],
        *([ratio] if wide else []),
        [f"{before} to {after} ml", percent] if wide else [f"{before} to", f"{after} ml", percent],
        median,
    )
    return ["\n".join(filter(None, lines)) for lines in cells]


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
    for line in _not_said(asked, output):
        output.result(line)


def _not_said(asked: Sequence[Mapping[str, Any]], output: Output) -> list[str]:
    """The lines of what was asked, but for those that stand above on the same terminal: those are counted."""
    lines = question_lines(asked)
    said = sum(map(output.on_screen, lines))
    above = [f"{said} remark{'s'[: said != 1]} on the case, said above while it was read."] if said else []
    return [*above, *(line for line in lines if not output.on_screen(line))]


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
    output.rows("Lesions, largest first", ("#", "Volume", "Diameter", "Treated", "Place"), rows)
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
