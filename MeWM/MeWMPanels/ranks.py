"""A ranked candidate as texts for tables and labels."""

from html import escape

from slicer.i18n import tr as _

TITLES = ("Rank", "Protocol", "Risk", "Range", "Viable", "Survival")
#: What the titles mean, for tool tips.
TITLE_TIPS = (
    "1 is the best",
    "Agents with doses",
    "Predicted log hazard ratio against the average patient; lower is better",
    "Lowest and highest replica, no confidence interval; one replica has no range",
    "Change of the viable tumour volume in the treated region",
    "Predicted median survival",
)


def row_of(candidate):
    """The cells of one row."""
    return (
        str(candidate.rank),
        candidate.protocol,
        f"{candidate.risk:+.2f}",
        span_of(candidate),
        f"{candidate.change['viable_change_percent']:+.0f} %",
        median_of(candidate),
    )


def span_of(candidate):
    """The range of the replicas, not broken over lines; one replica has none."""
    if len(candidate.replicas) < 2:
        return "\N{EN DASH}"
    low, high = candidate.interval
    return f"{low:+.2f} ... {high:+.2f}".replace(" ", "\N{NO-BREAK SPACE}")


def median_of(candidate):
    """Median survival in words."""
    if candidate.median_survival_months is None:
        last = f"{candidate.months[-1]:g}" if candidate.months else ""
        return _("over") + f" {last} " + _("months") if last else _("not reached")
    return f"{candidate.median_survival_months:g} " + _("months")


def tip_of(candidate):
    """Protocol and warnings, for a tool tip."""
    warnings = [f"{w.severity}: {w.reason} ({w.source})" for w in candidate.warnings]
    return "\n".join([candidate.protocol, *warnings])


def summary_of(candidate, seed):
    """Some sentences in HTML."""
    change = candidate.change
    count = len(candidate.replicas)
    spread = (
        _("range of") + f" {count} " + _("replicas") + " " + span_of(candidate)
        if count > 1
        else _("a point estimate: one replica has no range")
    )
    lines = [
        f"<b>{escape(candidate.protocol)}</b>",
        _("Predicted risk (log hazard ratio, lower is better):") + f" <b>{candidate.risk:+.2f}</b>, " + spread,
        _("Predicted median survival:") + " " + median_of(candidate),
        _("Tumour:")
        + f" {change['volume_ml_before']:.1f} \N{RIGHTWARDS ARROW} {change['volume_ml_after']:.1f} ml, "
        + _("viable")
        + f" {change['viable_ml_before']:.1f} \N{RIGHTWARDS ARROW} {change['viable_ml_after']:.1f} ml "
        + f"({change['viable_change_percent']:+.0f} %), "
        + _("diameter")
        + f" {change['diameter_mm_before']:.0f} \N{RIGHTWARDS ARROW} {change['diameter_mm_after']:.0f} mm, "
        + _("Lipiodol")
        + f" {change['lipiodol_ml_after']:.1f} ml",
        *(f'<span style="color:#8a5a00">{escape(w.severity)}: {escape(w.reason)}</span>' for w in candidate.warnings),
        '<span style="color:#666">' + _("Simulated; research use only. Seed") + f" {seed}.</span>",
    ]
    return "<br>".join(lines)
