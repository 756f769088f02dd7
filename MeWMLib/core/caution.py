"""What stands above every result: whom it may be trusted for, who looked at the outlines, and how much warns."""

from __future__ import annotations

from collections.abc import Iterable

from MeWMLib.core.outcome_words import same_as_first
from MeWMLib.core.plan_document import SEARCHED, PlanDocument
from MeWMLib.core.questions import SEVERE, WARNING, Question
from MeWMLib.core.trained_on import TOPIC

#: The labels are the segmenter's own (`LabelsUsed.source`).
BY_SEGMENTER = "assistant"
UNSEEN_OUTLINES = "Outlines: found by the segmenter, looked at by nobody."


def cautions(
    what: str, trained_on: str, questions: Iterable[Question], labels_by: str, same_rank: str = ""
) -> list[str]:
    """Sentences for the first lines of a page, a terminal or a file.

    Args:
        what: what is not to be trusted, such as "a ranking of protocols".
        trained_on: of the bundle, in words (`Training.text`); "" where it does not say it.
        questions: what was asked about the case.
        labels_by: whose labels were used, as `LabelsUsed.source`.
        same_rank: with which ranks the first one shares its place, such as "ranks 2 to 11"; "" for none.
    """
    if trained_on:
        patients = trained_on.split(";")[0].replace("synthetic patients", "drawn (synthetic) patients")
        known = f"the model was trained on {patients}"
    else:
        known = "the bundle does not say what the model was trained on"
    found = [f"Do not trust {what} for a real patient: {known}."]
    if labels_by == BY_SEGMENTER:
        found.append(UNSEEN_OUTLINES)
    if warned := _counted(list(questions)):
        found.append(warned)
    if same_rank:
        found.append(f"Rank 1 cannot be told from {same_rank}.")
    return found


def cautions_of(document: PlanDocument) -> list[str]:
    """Those of a plan, or of one protocol that was simulated."""
    what = "a ranking of protocols" if document.kind == SEARCHED else "the predicted outcome of a protocol"
    same = same_as_first(document.plan)
    found = cautions(what, document.trained_on, document.questions, document.labels.source, same)
    return found + unmet_wishes(document) if document.kind == SEARCHED else found


def unmet_wishes(document: PlanDocument) -> list[str]:
    """A sentence for each agent that the goal asks for and rank 1 does not hold: wishes order proposals, no more."""
    goal, ranked = document.goal_reading, document.plan.candidates
    if not ranked:
        return []
    found = []
    for name in goal.wanted:
        if name in ranked[0].protocol.agents:
            continue
        holds = next((one for one in ranked if name in one.protocol.agents), None)
        told = (
            f"the first with it is rank {holds.rank}: {holds.protocol.text}" if holds else "no protocol here holds it"
        )
        found.append(f"The goal asks for {name}, which rank 1 does not hold; {told}.")
    return found


def _counted(questions: list[Question]) -> str:
    """Such as "7 warnings on this case, 5 of them: outside of what the model was trained on."; "" for none."""
    warned = [one for one in questions if one.severity == WARNING]
    accepted = sum(one.severity == SEVERE for one in questions)
    parts = []
    if warned:
        beyond = sum(one.topic.startswith(TOPIC) for one in warned)
        of = f", {beyond} of them" if beyond < len(warned) else ", all"
        outside = f"{of}: outside of what the model was trained on" if beyond else ""
        parts.append(f"{_many(len(warned), 'warning')} on this case{outside}")
    if accepted:
        parts.append(f"{_many(accepted, 'question')} about it {'were' if accepted > 1 else 'was'} accepted unanswered")
    return "; ".join(parts) + "." if parts else ""


def _many(count: int, word: str) -> str:
    return f"{count} {word}{'s'[: count != 1]}"
