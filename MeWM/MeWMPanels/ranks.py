"""A ranked candidate as texts for tables and labels."""

from html import escape

from slicer.i18n import tr as _

from MeWMLib.core.outcome_words import apart_line, months_text, order_lines, viable_lines, written_lines
from MeWMPanels.ink import QUIET, WARNING, inked
from MeWMPanels.words import sentences


def _columns(by_score):
    """Title of a column, what it means (for its tool tip), and the cell of a candidate."""
    score = (_("Score"), ranked_by(True), lambda c: f"{c.utility:+.2f}")
    return (
        (_("Rank"), _("1 is the best"), lambda c: str(c.rank)),
        (_("Protocol"), _("Kind of protocol, and agents with doses"), lambda c: c.described),
        *([score] if by_score else []),
        (_("Log-risk"), _("0 is the average synthetic patient; lower is better"), lambda c: f"{c.risk.log_risk:+.2f}"),
        (
            _("Hazard"),
            _("Hazard ratio, exp(log-risk): 2 is twice the risk of death"),
            lambda c: f"{c.risk.hazard_ratio:.2f}",
        ),
        (
            _("Interval"),
            _(
                "Where the true log-risk lies with 95 %; for models that do not tell it, the lowest and highest "
                "replica (one simulation with its own seed)"
            ),
            lambda c: _in_two_lines(span_of(c.risk)),
        ),
        (
            _("Viable"),
            _("Change of the viable volume of all tumour in the scan, mean of the replicas"),
            lambda c: f"{c.tumour_change.viable_change_percent:+.0f} %",
        ),
        (_("Survival"), _("Predicted median survival"), lambda c: _in_two_lines(median_of(c.risk))),
    )


def table_of(candidates):
    """Titles of the columns, what they mean, and the rows."""
    columns = _columns(by_score(candidates))
    titles, tips, cells = zip(*columns, strict=True)
    return titles, tips, [tuple(cell(candidate) for cell in cells) for candidate in candidates]


def _in_two_lines(text):
    """The last word below the others: a narrow column leaves room for the agents, and rows have two lines anyway."""
    first, _space, last = text.replace("\N{NO-BREAK SPACE}", " ").rpartition(" ")
    return f"{first}\n{last}" if first else last


def by_score(candidates):
    """True where weights of the plan make a score that ranks in place of the log-risk."""
    return bool(candidates) and all(candidate.utility is not None for candidate in candidates)


def ranked_by(score):
    """One sentence: what the order goes by."""
    if score:
        return _(
            "Ranked by score, lowest first: the log-risk and what the weights of the search add, such as for warnings "
            "and for agents beyond two."
        )
    return _("Ranked by log-risk, lowest first.")


def span_of(risk):
    """The 95 % interval, else the range of the replicas, not broken over lines; one replica has none."""
    ends = risk.total_interval or (risk.interval if len(risk.replicas) > 1 else None)
    if ends is None:
        return "\N{EN DASH}"
    return f"{ends[0]:+.2f} ... {ends[1]:+.2f}".replace(" ", "\N{NO-BREAK SPACE}")


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
    if risk.total_interval is not None:
        text = _("Predicted risk of death (lower is better): <b>{risk}</b>, 95 % interval {span}")
        return text.format(risk=risk.text, span=span_of(risk))
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


def summary_of(document, candidate):
    """What is looked at first, in HTML: protocol, risk, whether it is told apart, tumour, criteria, and what warns."""
    warnings = [*map(escape, candidate.tumour_change.growth)]
    warnings += [f"{escape(w.severity.capitalize())}: {escape(w.reason)}" for w in candidate.warnings]
    if document.outside:
        text = _("Outside of what the model was trained on, in {n} points: see Details.")
        warnings.append(text.format(n=len(document.outside)))
    lines = [
        f"<b>{escape(candidate.protocol.text)}</b>",
        _risk_line(candidate.risk),
        escape(apart_line(document.plan)),
        next(_tumour_lines(candidate)),
        sentences(*_judged(candidate)),
        *(inked(WARNING, line) for line in warnings),
    ]
    return "<br>".join(filter(None, lines))


def _judged(candidate):
    """RECIST and mRECIST of the simulated outcome, without their reasons."""
    for one in candidate.written.criteria if candidate.written is not None else ():
        if one.name in ("RECIST 1.1", "mRECIST"):
            text = _("Simulated {criterion}: {category}.") if one.category else _("Simulated {criterion}: not judged.")
            yield text.format(criterion=escape(one.name), category=escape(one.category or ""))


def details_of(document, candidate, seed):
    """The rest, in HTML: survival, what was measured in which image, how sure the order is, what is not known."""
    growth = {inked(WARNING, escape(text)) for text in candidate.tumour_change.growth}
    missing = ""
    if candidate.unjudged:
        missing = inked(WARNING, _("Cannot be judged: {missing}").format(missing=escape(candidate.unjudged_text)))
    order = order_lines(document.plan) if candidate.rank == 1 else []
    facts = [*viable_lines(document, candidate), *order, document.numbers.picture]
    lines = [
        _("Predicted median survival: {time}").format(time=months_text(candidate.risk)),
        *(line for line in list(_tumour_lines(candidate))[1:] if line not in growth),
        *map(escape, written_lines(document, candidate)),
        missing,
        *(escape(line) for line in facts if line != apart_line(document.plan)),
        *(inked(WARNING, escape(one.text)) for one in document.outside),
        inked(QUIET, _("Simulated; research use only. Seed {seed}.").format(seed=seed)),
    ]
    return "<br>".join(filter(None, lines))
