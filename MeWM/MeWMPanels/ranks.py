"""A ranked candidate as texts for tables and labels."""

from html import escape

from slicer.i18n import tr as _

from MeWMLib.core.outcome_words import months_text, order_lines, viable_lines, written_lines
from MeWMPanels.ink import QUIET, WARNING, inked


def _columns():
    """Title of a column, what it means (for its tool tip), and the cell of a candidate."""
    return (
        (_("Rank"), _("1 is the best"), lambda c: str(c.rank)),
        (_("Protocol"), _("Kind of protocol, and agents with doses"), lambda c: c.described),
        (_("Log-risk"), _("0 is the average patient; lower is better"), lambda c: f"{c.risk.log_risk:+.2f}"),
        (
            _("Hazard"),
            _("Hazard ratio, exp(log-risk): 2 is twice the risk of death"),
            lambda c: f"{c.risk.hazard_ratio:.2f}",
        ),
        (
            _("Range"),
            _(
                "Log-risk of the lowest and highest replica (one simulation with its own seed); "
                "not a confidence interval"
            ),
            lambda c: span_of(c.risk),
        ),
        (
            _("Viable"),
            _("Change of the viable volume of all tumour in the scan, mean of the replicas"),
            lambda c: f"{c.tumour_change.viable_change_percent:+.0f} %",
        ),
        (_("Survival"), _("Predicted median survival"), lambda c: median_of(c.risk)),
    )


def titles():
    """Titles of the columns."""
    return tuple(title for title, _tip, _cell in _columns())


def title_tips():
    """What the columns mean."""
    return tuple(tip for _title, tip, _cell in _columns())


def row_of(candidate):
    """The cells of one row."""
    return tuple(cell(candidate) for _title, _tip, cell in _columns())


def span_of(risk):
    """The range of the replicas, not broken over lines; one replica has none."""
    if len(risk.replicas) < 2:
        return "\N{EN DASH}"
    low, high = risk.interval
    return f"{low:+.2f} ... {high:+.2f}".replace(" ", "\N{NO-BREAK SPACE}")


def median_of(risk):
    """Median survival in words."""
    if risk.median_survival_months is not None:
        return _("{n:.1f} months").format(n=risk.median_survival_months)
    return _("over {n:g} months").format(n=risk.months[-1]) if risk.months else _("not reached")


def tip_of(candidate):
    """Protocol, warnings and what could not be judged, for a tool tip."""
    lines = [candidate.protocol.text, *(w.text for w in candidate.warnings)]
    if candidate.unjudged:
        lines.append(_("Cannot be judged: {missing}").format(missing=candidate.unjudged_text))
    return "\n".join(lines)


def _risk_line(risk):
    if len(risk.replicas) < 2:
        text = _("Predicted risk of death (lower is better): <b>{risk}</b>, a point estimate: one replica has no range")
        return text.format(risk=risk.text)
    text = _("Predicted risk of death (lower is better): <b>{risk}</b>, range of {n} replicas {span}")
    return text.format(risk=risk.text, n=len(risk.replicas), span=span_of(risk))


def _tumour_lines(candidate):
    """Volumes and diameter; tissue with Lipiodol and Lipiodol itself are two numbers."""
    change, written = candidate.tumour_change, candidate.written
    text = _(
        "All tumour in the scan, mean of the replicas: {volume:.1f} \u2192 {volume_after:.1f} ml, "
        "viable {viable:.1f} \u2192 {viable_after:.1f} ml ({percent:+.0f} %)"
    )
    yield text.format(
        volume=change.volume_ml_before,
        volume_after=change.volume_ml_after,
        viable=change.viable_ml_before,
        viable_after=change.viable_ml_after,
        percent=change.viable_change_percent,
    )
    tissue = change.lipiodol_ml_after if written is None else written.lipiodol_ml_after
    if tissue is not None:
        yield _("Tissue with Lipiodol: {ml:.1f} ml").format(ml=tissue)
    if change.oil_ml_after is not None:
        yield _("Lipiodol itself: {ml:.2f} ml").format(ml=change.oil_ml_after)
    for text in change.growth:
        yield inked(WARNING, escape(text))


def facts_of(document, candidate):
    """Which viable number the risk used, how long after treatment the picture is, and what lies outside the limits."""
    order = order_lines(document.plan) if candidate.rank == 1 else []
    lines = [*viable_lines(document, candidate), *order, document.numbers.picture]
    return [*map(escape, lines), *(inked(WARNING, escape(one.text)) for one in document.outside)]


def summary_of(candidate, seed):
    """Some sentences in HTML."""
    missing = ""
    if candidate.unjudged:
        missing = _("Cannot be judged: {missing}").format(missing=escape(candidate.unjudged_text))
    lines = [
        f"<b>{escape(candidate.protocol.text)}</b>",
        _risk_line(candidate.risk),
        _("Predicted median survival: {time}").format(time=months_text(candidate.risk)),
        *_tumour_lines(candidate),
        *map(escape, written_lines(candidate)),
        *(inked(WARNING, f"{escape(w.severity)}: {escape(w.reason)}") for w in candidate.warnings),
        *([inked(WARNING, missing)] if missing else []),
        inked(QUIET, _("Simulated; research use only. Seed {seed}.").format(seed=seed)),
    ]
    return "<br>".join(lines)
