"""What operation reports are read into: clauses, administrations, and the group of agents that was named last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from MeWMLib.core.protocol import DRUG, agent
from MeWMLib.policy.agent_names import members

#: What a clause is, where a plan and what came of it are told apart.
PLANNED_PART, GIVEN_PART = "planned", "given"


@dataclass(frozen=True)
class Clause:
    """A part of a sentence.

    Attributes:
        text: without the blanks around it.
        sentence: number of its sentence; parts between semicolons are of one.
        part: PLANNED_PART or GIVEN_PART of a text that tells both; "" otherwise.
    """

    text: str
    sentence: int
    part: str = ""


@dataclass(frozen=True)
class Administration:
    """One agent, given once, or several times with an amount that is multiplied out.

    Attributes:
        agent: canonical name.
        dose: in the agent's unit; None if it is not stated.
        route: infused, emulsion or embolised; None if it is not stated.
        text: the clause that says so, the beginning of a long one.
        uncertain: the words for which the dose is not certain ("two vials", "per artery"); "" if it is.
    """

    agent: str
    dose: float | None
    route: str | None
    text: str
    uncertain: str = ""


@dataclass
class Group:
    """The agents that were named together last: what "half of it" and "a further 5 ml" refer to.

    Attributes:
        given: places in the list of administrations.
        agents: their names, each once.
        made: they were only prepared so far.
        parts: how much was given of the agents by name, and under "" of the mixture in ml.
        share: the words of a share of it that was given.
        all_given: the rest was given too.
        marked: their doses were said to be uncertain already.
    """

    given: list[int]
    agents: tuple[str, ...]
    made: bool
    parts: dict[str, float] = field(default_factory=dict)
    share: str = ""
    all_given: bool = False
    marked: bool = False

    def give(self, amount: float, said: str, of: str = "") -> None:
        """Count an amount of the mixture, or of one of its agents, as given."""
        self.parts[of] = self.parts.get(of, 0.0) + amount
        self.share = self.share or said

    def is_all_given(self, given: Sequence[Administration]) -> bool:
        """True unless the report says that a share was given and not that it was all.

        Args:
            given: all administrations of the report.
        """
        if not self.share or self.all_given:
            return True
        doses = {given[n].agent: given[n].dose or 0.0 for n in self.given}
        oil = sum(dose for name, dose in doses.items() if name in members("oil"))
        embolic = sum(dose for name, dose in doses.items() if agent(name).kind != DRUG)
        wholes = {"": oil or embolic, **doses}
        return bool(self.parts) and all(v >= wholes.get(of, 0.0) > 0 for of, v in self.parts.items())
