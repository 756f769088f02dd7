"""Kinds of treatment: what completes a protocol, in which order it is built, and how a tumour responds to it.

Everything that MeWM knows about TACE as a kind, and not about one agent, is in `TACE`; protocols, the stages of the
search and the numbers of the response head ask it. Ablation or radioembolisation would be a second entry beside it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

DRUG, EMBOLIC = "drug", "embolic"


@dataclass(frozen=True)
class Stage:
    """One stage in which a protocol is built.

    Attributes:
        kind: of the agents that it adds.
        horizon: the field of `PlanSettings` with the largest number of them.
    """

    kind: str
    horizon: str


@dataclass(frozen=True)
class TreatmentKind:
    """One kind of treatment.

    Attributes:
        name: as in files and options.
        title: in full.
        stages: in the order in which a search of all combinations adds agents, one of every stage at least.
        needs: the kinds without which a protocol is not complete. Embolisation without a drug (TAE) is a treatment; a
            drug without anything that stops the flow is not this one.
        response: the numbers that say how a tumour responded, in the order of the response head.
    """

    name: str
    title: str
    stages: tuple[Stage, ...]
    needs: tuple[str, ...]
    response: tuple[str, ...]

    def missing(self, kinds: Iterable[str]) -> tuple[str, ...]:
        """The kinds of agents that a search still has to add to a protocol with agents of these kinds."""
        found = set(kinds)
        return tuple(stage.kind for stage in self.stages if stage.kind not in found)

    def lacking(self, kinds: Iterable[str]) -> tuple[str, ...]:
        """The kinds that a protocol with agents of these kinds lacks; none if it is complete."""
        found = set(kinds)
        return tuple(kind for kind in self.needs if kind not in found)


TACE = TreatmentKind(
    name="tace",
    title="Transarterial chemoembolisation (TACE)",
    stages=(Stage(DRUG, "drug_horizon"), Stage(EMBOLIC, "embolic_horizon")),
    needs=(EMBOLIC,),
    response=("dead share", "volume ratio", "Lipiodol uptake"),
)
