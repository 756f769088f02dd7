"""What was found in a treatment goal so far, and what is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from MeWMLib.policy.goal_words import Token


@dataclass(frozen=True)
class Said:
    """What one statement says of a field.

    Attributes:
        value: None where a denial reaches no more than a grade, a level or a place.
        when: see `goal_stated`.
        shown: its words.
        careful: for a denial in part, the value that counts until it is answered.
    """

    value: Any
    when: str
    shown: str
    careful: Any = None


@dataclass
class Reading:
    """What was found so far."""

    text: str
    facts: dict[str, Any] = field(default_factory=dict)
    said: dict[str, list[Said]] = field(default_factory=dict)
    # in the order in which they were found, each once
    wanted: dict[str, None] = field(default_factory=dict)
    excluded: dict[str, None] = field(default_factory=dict)
    denied: dict[str, None] = field(default_factory=dict)
    unclear: dict[str, None] = field(default_factory=dict)
    adverse: dict[str, None] = field(default_factory=dict)
    questions: dict[str, None] = field(default_factory=dict)
    ignored: list[tuple[int, int]] = field(default_factory=list)
    used: set[int] = field(default_factory=set)
    # words that ask for embolisation without a drug: no refusal of the treatment
    bland: set[int] = field(default_factory=set)
    # the words that rule out drugs where that alone is said
    no_drugs: str = ""

    # a kind of agents, or "agents", to the words that rule out others of it: "no other drug"
    no_other: dict[str, str] = field(default_factory=dict)
    # kinds of which "only A" ruled out the others
    closed: dict[str, None] = field(default_factory=dict)
    # questions whether others are ruled out, to the kind of agents
    open_only: dict[str, str] = field(default_factory=dict)
    # parts that are understood and change nothing
    idle: list[tuple[int, int]] = field(default_factory=list)

    def ask(self, question: str) -> None:
        self.questions[question] = None

    def say(self, name: str, said: Said) -> None:
        """A statement of a field; `goal_findings.settle` makes a fact of all of them."""
        self.said.setdefault(name, []).append(said)

    def shown(self, tokens: Sequence[Token]) -> str:
        return self.text[tokens[0].start : tokens[-1].end].strip()

    def leave(self, tokens: Sequence[Token]) -> None:
        """These words were not used."""
        if tokens:
            self.ignored.append((tokens[0].start, tokens[-1].end))

    def note_idle(self, tokens: Sequence[Token]) -> None:
        """These words are understood, and change nothing."""
        if tokens:
            self.idle.append((tokens[0].start, tokens[-1].end))
