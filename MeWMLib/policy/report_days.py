"""Clauses of an operation report that are about another day than that of the report."""

from __future__ import annotations

from MeWMLib.core.texts import shortened
from MeWMLib.policy import report_words as words
from MeWMLib.policy.report_given import Clause

_SHOWN = 300


class OtherDays:
    """Tells clause after clause whether it is about another day.

    Args:
        today: the last sentence that says "today"; -1 if none does.
        notes: takes in what is left out.
    """

    def __init__(self, today: int, notes: list[str]) -> None:
        self._today, self._notes = today, notes
        self._another_day = -1  # the sentence that is about another day

    def is_another(self, clause: Clause) -> bool:
        """True if the clause is about another day; to be asked of the clauses in their order."""
        today = words.TODAY.search(clause.text) is not None
        once = clause.sentence < self._today and words.ONCE.search(clause.text) is not None
        if not today and (once or words.ANOTHER_DAY.search(clause.text)):
            named = bool(words.find_names(clause.text))
            # what follows in the sentence is about the same day, if this tells what was given then
            self._another_day = clause.sentence if named else -1
            if not named:
                return True
        if words.RESUMES.search(clause.text) and not words.ANOTHER_DAY.search(clause.text):
            self._another_day = -1
        if self._another_day != clause.sentence or today:
            return False
        if words.find_names(clause.text):
            self._notes.append(f"left out, since it is about another day: {shortened(clause.text, _SHOWN)!r}")
        return True
