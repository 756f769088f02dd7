"""A plan in the words that the page shows."""

from __future__ import annotations

from typing import Any

from MeWMLib.core.caution import cautions_of
from MeWMLib.core.difference_words import apart_of
from MeWMLib.core.outcome_words import interval_text, months_text, picture_words
from MeWMLib.core.plan import Candidate
from MeWMLib.core.plan_folder import PlanDocument
from MeWMLib.core.records import to_plain
from MeWMLib.core.templates import title_of

#: A page shows no more; the file that is saved holds all.
MOST_SHOWN = 12


def ranking(document: PlanDocument) -> dict[str, Any]:
    """The candidates of a plan, best first, and what must be known of it."""
    plan, apart = document.plan, apart_of(document)
    return {
        "evaluated": plan.evaluated,
        "stopped": plan.cancelled,
        "kind": document.kind,
        "questions": to_plain(document.questions),
        "cautions": cautions_of(document),
        "candidates": [
            {**_candidate(one), "apart": apart.get(one.rank, ""), "named": document.called(one.rank)}
            for one in plan.candidates[:MOST_SHOWN]
        ],
    }


def _candidate(one: Candidate) -> dict[str, Any]:
    risk, change = one.risk, one.tumour_change
    shown = one.files.get("ct") is not None
    return {
        "rank": one.rank,
        "protocol": one.protocol.text,
        "template": title_of(one.protocol),
        "described": one.described,
        "log_risk": risk.log_risk,
        "interval": interval_text(risk),
        "hazard_ratio": risk.hazard_ratio,
        "survival": months_text(risk),
        "viable_before_ml": change.viable_ml_before,
        "viable_after_ml": change.viable_ml_after,
        "viable_change_percent": change.viable_change_percent,
        "volume_before_ml": change.volume_ml_before,
        "volume_after_ml": change.volume_ml_after,
        "picture": picture_words(one),
        "warnings": [{"severity": w.severity, "reason": w.reason, "source": w.source} for w in one.warnings],
        "unjudged": one.unjudged_text,
        "shown": shown,
        "sd": "sd" in one.files,
        "seed": one.written.sample.seed if one.written and one.written.sample else None,
        "forbidden": one.forbidden,
    }
