"""Questions to labels and scans: what looks wrong before anything is planned on it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from MeWMLib.core.errors import InputError, LabelQuestionError, TargetQuestionError

SEVERE, WARNING, NOTE = "severe", "warning", "note"
_ORDER = (SEVERE, WARNING, NOTE)
ACCEPT_OPTION = "--accept-labels"


@dataclass(frozen=True)
class Question:
    """Something that a person should look at.

    Attributes:
        topic: short name of what was asked, such as "liver-volume".
        severity: "severe" stops a job unless the user accepts it; "warning" and "note" are shown.
        text: one sentence.
        numbers: what was measured; the unit is part of the name.

    Raises:
        InputError: another severity.
    """

    topic: str
    severity: str
    text: str
    numbers: dict[str, float] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if self.severity not in _ORDER:
            raise InputError(what="Unknown severity", given=self.severity, remedy="Use " + ", ".join(_ORDER))


def require_accepted(questions: Iterable[Question], accepted: bool) -> None:
    """Stop at severe questions.

    Raises:
        LabelQuestionError: there are some, and the user has not accepted them.
    """
    severe = [one.text for one in questions if one.severity == SEVERE]
    if severe and not accepted:
        raise LabelQuestionError(
            what="Something looks wrong with the labels or the scan",
            given=" ".join(severe).rstrip("."),
            remedy=f"Correct it and try again; if it is right as it is, go on with {ACCEPT_OPTION}",
        )


def require_target(questions: Iterable[Question], accepted: bool) -> None:
    """Stop where several lesions may be the target.

    Raises:
        TargetQuestionError: so it is, and the user has neither named one nor accepted the default.
    """
    severe = [one.text for one in questions if one.severity == SEVERE]
    if severe and not accepted:
        raise TargetQuestionError(
            what="It is not sure which lesion is to be treated",
            given=" ".join(severe).rstrip("."),
            remedy="Name the targets, such as --target 1, --target 2 or --target all; --target largest treats the "
            f"largest and what is in the cube around it, as {ACCEPT_OPTION} does",
        )


#: What the severities are called in a heading.
_HEADED = {SEVERE: "questions that were accepted", WARNING: "warnings", NOTE: "notes"}


def heading(questions: Iterable[Question]) -> str:
    """What a list of them is headed by, by what is in it, such as "Warnings and notes on this case"."""
    found = {one.severity for one in questions}
    words = [word for severity, word in _HEADED.items() if severity in found]
    listed = " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
    return f"{listed.capitalize()} on this case"


def in_line(question: Question) -> str:
    """Severity and sentence."""
    return f"{question.severity}: {question.text}"
