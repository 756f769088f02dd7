"""What a policy is given, what it answers, and the plan that it would choose by itself."""

from __future__ import annotations

import typing
from dataclasses import dataclass, field, replace
from typing import Any

from MeWMLib.core.goal import Goal
from MeWMLib.core.patient import Clinical, Findings
from MeWMLib.core.plan import TEMPLATES, PlanSettings
from MeWMLib.core.protocol import ActionSpace, Protocol
from MeWMLib.core.templates import template_of
from MeWMLib.policy.goal import read_goal, with_facts
from MeWMLib.policy.rules import allowed


@dataclass(frozen=True)
class PolicyInput:
    """One patient and goal, as a policy sees them: x0 and g of arXiv 2506.02327.

    Attributes:
        findings: measured on the labels.
        clinical: what is known of the patient.
        goal: the treatment goal in words.
        images: PNG files of slices, without any metadata; only language models look at them.
        insists: see `Goal.insists`.
    """

    findings: Findings
    clinical: Clinical = field(default_factory=Clinical)
    goal: str = ""
    images: tuple[bytes, ...] = ()
    insists: bool = False

    @property
    def read(self) -> tuple[Clinical, Goal]:
        """The clinical data with what the goal states, and the goal as it was read."""
        return with_facts(replace(read_goal(self.goal), insists=self.insists), self.clinical)

    def allows(self, protocol: Protocol) -> bool:
        """True if neither the rules nor the goal forbid a whole protocol in this patient."""
        clinical, goal = self.read
        return allowed(protocol, clinical, complete=True, findings=self.findings, goal=goal)


@dataclass(frozen=True)
class Proposal:
    """What a policy answers.

    Attributes:
        space: candidates for the search, best first.
        protocol: what the policy would give without a search; empty if the rules allow none of its candidates.
        notes: what the user must know, such as that another policy was used in its place.
        usage: tokens, cost and requests of a language model; empty for the others.
    """

    space: ActionSpace
    protocol: Protocol
    notes: tuple[str, ...] = ()
    usage: dict[str, Any] = field(default_factory=dict)


class Policy(typing.Protocol):
    """pi(x0, g): anything that proposes."""

    @property
    def name(self) -> str:
        """Row name in tables, and `ActionSpace.policy`."""

    def propose(self, case: PolicyInput, settings: PlanSettings) -> Proposal:
        """Propose for one patient.

        Raises:
            RuleError: the rules and the goal leave nothing.
        """


def first_choice(
    space: ActionSpace,
    clinical: Clinical,
    settings: PlanSettings,
    findings: Findings | None = None,
    goal: Goal | None = None,
) -> Protocol:
    """The plan of a policy without a search: down its ranking, each agent that the rules allow with those before it.

    Args:
        space: ranked candidates.
        clinical: of the patient.
        settings: its horizons Hd and He limit how many drugs and embolics are taken; in the space of templates an agent
            is taken only where the protocol then still fills one.
        findings: measured on the labels.
        goal: what it rules out or limits is not taken.

    Returns:
        A complete protocol, or the empty one if the rules allow none.
    """

    def may(protocol: Protocol) -> bool:
        usual = settings.space != TEMPLATES or template_of(protocol) is not None
        return usual and allowed(protocol, clinical, complete=True, findings=findings, goal=goal)

    drugs = [[name] for name in space.drugs] or [[]]  # without drugs, embolisation alone (TAE)
    pairs = (Protocol.of([*drug, embolic]) for drug in drugs for embolic in space.embolics)
    chosen = next((pair for pair in pairs if may(pair)), Protocol(()))
    for name in (*space.drugs, *space.embolics):
        if not chosen.complete or name in chosen.agents:
            continue
        larger = Protocol.of([*chosen.agents, name])
        fits = len(larger.drugs) <= settings.drug_horizon and len(larger.embolics) <= settings.embolic_horizon
        if fits and may(larger):
            chosen = larger
    return chosen
