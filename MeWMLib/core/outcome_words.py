"""What a candidate's numbers say, in sentences that command line, report and panel share."""

from __future__ import annotations

import math
from dataclasses import replace

from MeWMLib.core.difference_words import number, percent
from MeWMLib.core.outcome import Risk
from MeWMLib.core.plan import Candidate, Plan
from MeWMLib.core.plan_document import PlanDocument
from MeWMLib.core.protocol import agent
from MeWMLib.core.written import Criterion, change_in_words, grows, joined, runs_in_words, small_ones

#: What is uncertain of a prediction beside what replicas and members show.
FURTHER_ERROR = "how wrong predictions are beyond that"
#: All that an interval counts, in words.
ALL_UNCERTAIN = f"how much replicas differ, how much the members of the survival model differ, and {FURTHER_ERROR}"
#: What a hazard ratio is against: survival is learnt from patients who were drawn.
AVERAGE_PATIENT = "the average synthetic patient"


def interval_text(risk: Risk, as_ratio: bool = False) -> str:
    """Where the true log-risk (or hazard ratio) lies, such as "95 % interval +0.04 to +1.68".

    Where nothing is known beside the replicas, their range stands there under its own name; one replica has none: "".
    """
    ends, name = risk.total_interval, "95 % interval"
    if ends is None:
        if len(risk.replicas) < 2:
            return ""
        ends, name = risk.interval, f"{len(risk.replicas)} replicas alone"
    return f"{name} {span(ends, as_ratio)}"


def span(ends: tuple[float, float], as_ratio: bool = False) -> str:
    """Two log-risks such as "+0.04 to +1.68", or as hazard ratios, "1.04 to 5.37"."""
    return " to ".join(f"{math.exp(end):.2f}" if as_ratio else number(end) for end in ends)


def months_text(risk: Risk) -> str:
    """Median survival with its interval, such as "32.4 months (90 % interval 27.0 to 38.5)"."""
    if not risk.months:
        return "not predicted"
    last = risk.months[-1]
    median = risk.median_survival_months
    told = f"over {last:.0f} months" if median is None else f"{median:.1f} months"
    ends = risk.median_interval_months
    if ends is None:
        return told
    words = [f"over {last:.0f}" if end is None else f"{end:.1f}" for end in ends]
    return told if words[0] == words[1] else f"{told} (90 % interval {words[0]} to {words[1]})"


def interval_note(risk: Risk) -> str:
    """Where the interval of the months comes from, or why there is none."""
    if not risk.months:
        return "The survival network of this bundle predicts no months."
    if risk.median_interval_months is None:
        return "The months have no interval: there is one replica, and the survival network has no ensemble."
    parts = []
    if len(risk.replicas) > 1:
        parts.append(f"how much the {len(risk.replicas)} replicas differ")
    if len(risk.members) > 1:
        parts.append(f"how much the {len(risk.members)} members of the survival ensemble differ")
    if risk.unseen is not None:
        parts.append(FURTHER_ERROR if parts else "how wrong predictions are beyond what replicas and members show")
    *rest, last = parts
    told = f"{', '.join(rest)} and {last}" if rest else last
    end = "" if risk.unseen is not None else "; an error that all of them share is not in it"
    return f"The 90 % interval of the months counts {told}{end}."


def same_as_first(plan: Plan) -> str:
    """The ranks that cannot be told from the first, such as "ranks 2 to 11"; "" for none, or where it was not asked."""
    same = sum(one.group == 1 for one in plan.standings)
    return "" if same < 2 else "rank 2" if same == 2 else f"ranks 2 to {same}"


def apart_line(plan: Plan) -> str:
    """Whether rank 1 can be told apart from those behind it; "" where that was not asked."""
    standing = plan.standings
    if len(standing) < 2 or plan.comparison is None:
        return ""
    chance = f"a probability of {100 * (standing[1].first_is_better or 0):.0f} %"
    asked = f"two are told apart from {percent(plan.comparison.level)} on"
    if others := same_as_first(plan):
        return f"Rank 1 CANNOT BE TOLD APART from {others}: it is truly better than rank 2 with {chance} ({asked})."
    return f"Rank 1 is told apart from the others: it is truly better than rank 2 with {chance} ({asked})."


def order_lines(plan: Plan) -> list[str]:
    """How sure the order of a plan is, and the interval of its first log-risk."""
    if plan.comparison is None or not plan.candidates:
        return []
    first, lines = plan.candidates[0].risk, []
    if (ends := first.total_interval) is not None:
        lines.append(
            f"With all that is known to be uncertain ({ALL_UNCERTAIN}), "
            f"the log-risk of rank 1 lies between {ends[0]:+.2f} and {ends[1]:+.2f} with a probability of 95 %, and "
            f"its hazard ratio between {math.exp(ends[0]):.2f} and {math.exp(ends[1]):.2f}."
        )
    if apart := apart_line(plan):
        lines.append(apart)
    if plan.comparison.measured:
        lines.append("How far predictions are from the truth was measured on synthetic patients, not on real ones.")
    else:
        lines.append(
            "How far predictions of this bundle are from the truth was not measured: cautious values are used."
        )
    return lines


def ratio_text(risk: Risk) -> str:
    """Hazard ratios in words."""
    interval = interval_text(risk, as_ratio=True)
    told = f"hazard ratio {risk.hazard_ratio:.2f}{f' ({interval})' if interval else ''} against {AVERAGE_PATIENT}"
    treated = risk.hazard_ratio_treated
    if treated is None:
        return told
    percent = 100 * (treated - 1)
    word = "as high as" if abs(percent) < 0.5 else f"{abs(percent):.0f} % {'lower' if percent < 0 else 'higher'} than"
    return (
        f"{told}, and {treated:.2f} against a tumour that stays as it is: the model predicts a hazard of death {word} "
        "the one that it predicts for such a tumour, which is a prediction and no effect that was measured"
    )


def growth_lines(document: PlanDocument, shown: int) -> list[str]:
    """What grows under the first protocols, which a rank does not tell: a line for each of them, and one for those of
    which the same is said."""
    alike: dict[str, list[int]] = {}
    for candidate in document.plan.candidates[:shown]:
        if found := [*candidate.tumour_change.growth, *_written_growth(candidate)]:
            alike.setdefault(" ".join(found), []).append(candidate.rank)
    if len(document.plan.candidates) < 2:
        return list(alike)
    return [f"Rank{'s'[: len(ranks) > 1]} {runs_in_words(ranks)}: {text}" for text, ranks in alike.items()]


def _written_growth(candidate: Candidate) -> list[str]:
    """What grows in the written volume, which is one sample and may grow where the mean of the replicas does not."""
    one = candidate.written
    if one is None or not grows(one.tumour_ml_before, one.tumour_ml_after):
        return []
    return [f"In its written volume the tumour {change_in_words(one.tumour_ml_before, one.tumour_ml_after)}."]


def judgements(document: PlanDocument, candidate: Candidate) -> tuple[Criterion, ...]:
    """How the published criteria judge its written volume; lesions that are too small to be measured share a line."""
    if candidate.written is None:
        return ()
    small = small_ones({one.index: one.longest_axial_diameter_mm for one in document.findings.lesions})
    return joined(candidate.written.criteria, small)


def written_lines(document: PlanDocument, candidate: Candidate, short: bool = False) -> list[str]:
    """What its written volume shows, and how the published criteria judge it.

    Args:
        document: the plan.
        candidate: one of its protocols.
        short: tell the first reason of each judgement alone, and where the others are.
    """
    if candidate.written is None:
        return []
    return [
        *candidate.written.told(has_oil(candidate)),
        *(
            f"Of the simulated outcome, {_shortened(one) if short else one.text}."
            for one in judgements(document, candidate)
        ),
    ]


def _shortened(one: Criterion) -> str:
    """A judgement with its first reason; the rest stands in plan.json and in the report."""
    if len(one.reasons) < 2:
        return one.text
    return f"{replace(one, reasons=one.reasons[:1]).text}; more on it in plan.json"


def picture_words(candidate: Candidate) -> str:
    """What the written picture shows beside the predicted number, such as "19.0 ml look viable, mRECIST SD".

    "" where no volume was written, or none of it can be told.
    """
    if candidate.written is None:
        return ""
    seen = candidate.written.seen_viable_ml
    parts = [] if seen is None else [f"{seen:.1f} ml look viable"]
    parts += [f"mRECIST {one.category}" for one in candidate.written.criteria if one.name == "mRECIST" and one.category]
    return ", ".join(parts)


def unjudged_count(candidate: Candidate) -> str:
    """Such as "40 rules not judged"; "" for none."""
    count = sum(map(len, (candidate.unjudged or {}).values()))
    return f"{count} rule{'s'[: count != 1]} not judged" if count else ""


def has_oil(candidate: Candidate) -> bool:
    """Whether the protocol gives Lipiodol: without it nothing is said of what it leaves."""
    return any(agent(a.agent).agent_class == "oil" for a in candidate.protocol.actions)


def viable_lines(document: PlanDocument, candidate: Candidate) -> list[str]:
    """Which viable number the risk used, the two numbers, and the oil."""
    found = [document.numbers.risk_goes_by]
    if candidate.viable is not None:
        found.append(f"Viable tumour after treatment: {candidate.viable.text}.")
    oil = candidate.tumour_change.oil_ml_after
    if oil is not None and has_oil(candidate):
        found.append(f"Lipiodol itself that is simulated to be left: {_oil_text(candidate, oil)}")
    return found


def _oil_text(candidate: Candidate, oil_ml: float) -> str:
    """The oil that is left beside what was given: the model lets tumour alone hold oil, and what it holds wash out."""
    given = [a.dose for a in candidate.protocol.actions if a.dose and agent(a.agent).agent_class == "oil"]
    left = f"{oil_ml:.1f} ml" if round(oil_ml, 1) or not oil_ml else "under 0.1 ml"
    if not given:
        return f"{left} of oil, spread over the tissue."
    text = f"{left} of oil, spread over the tissue, of {given[0]:g} ml given"
    if oil_ml >= given[0]:
        return f"{text}."
    return f"{text}; in the model the rest is held by no tumour, or washed out by then."
