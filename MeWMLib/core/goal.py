"""How a treatment goal was understood: what it wants, excludes and limits, what it states, and what is not clear."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from MeWMLib.core.protocol import Protocol, agent

#: What a limit counts, and the word for it.
COUNTED = ("drugs", "embolics", "agents")


@dataclass(frozen=True)
class GoalLimit:
    """An upper limit that a goal sets.

    Attributes:
        of: canonical name of an agent whose dose is limited, or one of `COUNTED`.
        at_most: the limit; a dose in the unit of the agent.
    """

    of: str
    at_most: float

    @property
    def text(self) -> str:
        """Such as "Doxorubicin up to 50 mg", "drugs up to 1" or "no drugs"."""
        if self == WITHOUT_DRUGS:
            return "no drugs"
        unit = "" if self.of in COUNTED else f" {agent(self.of).dose_unit}"
        return f"{self.of} up to {self.at_most:g}{unit}"

    def broken_by(self, protocol: Protocol) -> str:
        """What in a protocol is above the limit, or ""; adding an agent cannot mend it."""
        if self.of in COUNTED:
            counted = {"drugs": protocol.drugs, "embolics": protocol.embolics, "agents": protocol.agents}[self.of]
            return f"{len(counted)} {self.of}" if len(counted) > self.at_most else ""
        doses = [a for a in protocol.actions if a.agent == self.of and a.dose is not None and a.dose > self.at_most]
        return doses[0].text if doses else ""


#: Embolisation without a drug (TAE) is asked for.
WITHOUT_DRUGS = GoalLimit("drugs", 0)


@dataclass(frozen=True)
class Goal:
    """A treatment goal as it was read.

    Attributes:
        text: in the user's words.
        wanted: agents that a wish word governs, by canonical name, in the order of the goal.
        excluded: agents that it rules out; never also in `wanted`.
        limits: upper limits on doses and numbers of agents.
        facts: fields of `Clinical` that it states, such as {"heart_failure": "III"}.
        changes_nothing: the parts that are understood and change nothing: what was given before, what is allowed, what
            is hoped for.
        not_understood: the parts that were not used.
        questions: what must be answered before anything relies on this reading.
        insists: the user goes on although TACE is contraindicated in this patient.
    """

    text: str = ""
    wanted: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    limits: tuple[GoalLimit, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict, hash=False)
    changes_nothing: tuple[str, ...] = ()
    not_understood: tuple[str, ...] = ()
    questions: tuple[str, ...] = ()
    insists: bool = False

    @property
    def ruled_out(self) -> tuple[str, ...]:
        """The excluded agents, and what carries them.

        The beads are loaded with doxorubicin: a goal that excludes the drug excludes them too, unless it asks for them,
        and so does a goal that wants no drug.
        """
        if self.without_drugs:
            return tuple(dict.fromkeys((*self.excluded, "LC beads")))
        if "Doxorubicin" in self.excluded and "LC beads" not in self.wanted:
            return tuple(dict.fromkeys((*self.excluded, "LC beads")))
        return self.excluded

    @property
    def without_drugs(self) -> bool:
        """True if no drug may be given: embolisation without one (TAE)."""
        return any(limit.of == "drugs" and limit.at_most < 1 for limit in self.limits)

    @property
    def lines(self) -> list[str]:
        """The reading, to be shown to whoever wrote the goal."""
        facts = [f"{name} {_shown(value)}" for name, value in self.facts.items()]
        carried = [name for name in self.ruled_out if name not in self.excluded]
        excluded = [*self.excluded, *(f"{name} (loaded with doxorubicin)" for name in carried)]
        parts = [
            ("wanted", list(self.wanted)),
            ("excluded", excluded),
            ("limits", [limit.text for limit in self.limits]),
            ("stated about the patient", facts),
            *([("changes nothing", _quoted(self.changes_nothing))] if self.changes_nothing else []),
            ("not understood", _quoted(self.not_understood)),
        ]
        return [f"{title}: {', '.join(found) or 'nothing'}" for title, found in parts]


def _quoted(parts: tuple[str, ...]) -> list[str]:
    return [f"\u201c{part}\u201d" for part in parts]


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(value) if isinstance(value, list | tuple) else f"{value}"
