"""A ranked candidate as texts for tables and labels."""

from html import escape

from slicer.i18n import tr as _

from MeWMLib.core.outcome_words import months_text, viable_lines, written_lines

#: Title of a column, what it means (for its tool tip), and the cell of a candidate.
_COLUMNS = (
    ("Rank", "1 is the best", lambda c: str(c.rank)),
    ("Protocol", "Kind of protocol, and agents with doses", lambda c: c.described),
    ("Log-risk", "0 is the average patient; lower is better", lambda c: f"{c.risk.log_risk:+.2f}"),
    ("Hazard", "Hazard ratio, exp(log-risk): 2 is twice the risk of death", lambda c: f"{c.risk.hazard_ratio:.2f}"),
    (
        "Range",
        "Log-risk of the lowest and highest replica (one simulation with its own seed); not a confidence interval",
        lambda c: span_of(c.risk),
    ),
    (
        "Viable",
        "Change of the viable tumour volume in the treated region",
        lambda c: f"{c.tumour_change.viable_change_percent:+.0f} %",
    ),
    ("Survival", "Predicted median survival", lambda c: median_of(c.risk)),
)
TITLES = tuple(title for title, _tip, _cell in _COLUMNS)
TITLE_TIPS = tuple(tip for _title, tip, _cell in _COLUMNS)


def row_of(candidate):
    """The cells of one row."""
    return tuple(cell(candidate) for _title, _tip, cell in _COLUMNS)


def span_of(risk):
    """The range of the replicas, not broken over lines; one replica has none."""
    if len(risk.replicas) < 2:
        return "\N{EN DASH}"
    low, high = risk.interval
    return f"{low:+.2f} ... {high:+.2f}".replace(" ", "\N{NO-BREAK SPACE}")


def median_of(risk):
    """Median survival in words."""
    if risk.median_survival_months is not None:
        return f"{risk.median_survival_months:.1f} " + _("months")
    return _("over") + f" {risk.months[-1]:g} " + _("months") if risk.months else _("not reached")


def tip_of(candidate):
    """Protocol, warnings and what could not be judged, for a tool tip."""
    lines = [candidate.protocol.text, *(w.text for w in candidate.warnings)]
    if candidate.unjudged:
        lines.append(_("Cannot be judged:") + " " + candidate.unjudged_text)
    return "\n".join(lines)


def oil_of(candidate):
    """Tissue with Lipiodol, and Lipiodol itself: two numbers."""
    change, written = candidate.tumour_change, candidate.written
    tissue = change.lipiodol_ml_after if written is None else written.lipiodol_ml_after
    text = "" if tissue is None else ", " + _("tissue with Lipiodol") + f" {tissue:.1f} ml"
    return text + (
        "" if change.oil_ml_after is None else ", " + _("Lipiodol itself") + f" {change.oil_ml_after:.2f} ml"
    )


def facts_of(document, candidate):
    """Which viable number the risk used, how long after treatment the picture is, and what lies outside the limits."""
    lines = [*viable_lines(document, candidate), document.numbers.picture]
    return [
        *map(escape, lines),
        *(f'<span style="color:#b3261e">{escape(one.text)}</span>' for one in document.outside),
    ]


def summary_of(candidate, seed):
    """Some sentences in HTML."""
    risk, change, arrow = candidate.risk, candidate.tumour_change, "\N{RIGHTWARDS ARROW}"
    count = len(risk.replicas)
    spread = (
        _("range of") + f" {count} " + _("replicas") + " " + span_of(risk)
        if count > 1
        else _("a point estimate: one replica has no range")
    )
    tumour = (
        f" {change.volume_ml_before:.1f} {arrow} {change.volume_ml_after:.1f} ml, " + _("viable")
        + f" {change.viable_ml_before:.1f} {arrow} {change.viable_ml_after:.1f} ml "
        + f"({change.viable_change_percent:+.0f} %), " + _("diameter")
        + f" {change.diameter_mm_before:.0f} {arrow} {change.diameter_mm_after:.0f} mm" + oil_of(candidate)
    )  # fmt: skip
    lines = [
        f"<b>{escape(candidate.protocol.text)}</b>",
        _("Predicted risk of death (lower is better):") + f" <b>{risk.text}</b>, " + spread,
        _("Predicted median survival:") + " " + months_text(risk),
        _("Tumour:") + tumour,
        *(f'<span style="color:#b3261e">{escape(text)}</span>' for text in change.growth),
        *map(escape, written_lines(candidate)),
        *(f'<span style="color:#8a5a00">{escape(w.severity)}: {escape(w.reason)}</span>' for w in candidate.warnings),
        *(
            ['<span style="color:#8a5a00">' + _("Cannot be judged:") + f" {escape(candidate.unjudged_text)}</span>"]
            if candidate.unjudged
            else []
        ),
        '<span style="color:#666">' + _("Simulated; research use only. Seed") + f" {seed}.</span>",
    ]
    return "<br>".join(lines)
