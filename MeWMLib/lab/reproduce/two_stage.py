"""The paper's policy in its own two stages (appendix B.1): one model observes, another proposes without conflicts.

The observer is shown the slices and words what it sees; the second model is given these words, the vocabulary and the
rules, and proposes. Both prompts are files (`observe-1.txt`, `act-1.txt`). The proposal is the action space of a
search; the plan of the row is its first choice under the rules, as for the product's policy.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from MeWMLib.core.errors import EndpointError
from MeWMLib.core.plan import PlanSettings
from MeWMLib.core.protocol import DRUG, EMBOLIC, ActionSpace, Protocol
from MeWMLib.lab.reproduce.language import FOR_THE_USER
from MeWMLib.policy.agent_names import offered
from MeWMLib.policy.llm import privacy
from MeWMLib.policy.llm.answers import clean, proposal_schema, read_proposal
from MeWMLib.policy.llm.client import ChatClient, Message
from MeWMLib.policy.llm.language_model import findings_lines
from MeWMLib.policy.llm.prompts import fill
from MeWMLib.policy.proposal import PolicyInput, Proposal, first_choice
from MeWMLib.policy.rules import FORBIDDEN, load_rules

OBSERVE, ACT = "observe-1", "act-1"
#: Most letters of an observation that are passed on.
MOST_OBSERVED = 1500


@dataclass
class TwoStagePlan:
    """See the module.

    Attributes:
        observer: shown the slices, if it accepts pictures.
        actor: given the observation.
        among: agents to choose from; None is the whole vocabulary.
        unusable: why each answer that could not be used was not.
    """

    observer: ChatClient
    actor: ChatClient
    among: tuple[str, ...] | None = None
    unusable: list[str] = field(default_factory=list)

    @property
    def client(self) -> ChatClient:
        """Who is shown pictures."""
        return self.observer

    @property
    def name(self) -> str:
        """Of the row."""
        return f"stages:{self.observer.endpoint.name}+{self.actor.endpoint.name}"

    @property
    def usage(self) -> dict[str, Any]:
        """Tokens and money so far."""
        return {c.endpoint.name: c.usage.to_json() for c in (self.observer, self.actor)}

    def propose(self, case: PolicyInput, settings: PlanSettings) -> Proposal:
        """Observe, then propose; an empty plan where no answer can be used.

        Raises:
            EndpointConsentError, EndpointKeyError, PrivacyError: the user must do something first.
        """
        try:
            space = self._act(self._observe(case), case, settings)
        except FOR_THE_USER:
            raise
        except EndpointError as error:
            self.unusable.append(str(error))
            return Proposal(ActionSpace((), (), {}, self.name), Protocol(()), (), self.usage)
        clinical, goal = case.read
        return Proposal(space, first_choice(space, clinical, settings, case.findings, goal), (), self.usage)

    def _observe(self, case: PolicyInput) -> str:
        images = case.images if self.observer.endpoint.images else ()
        pictures = f"{len(images)} axial CT slices before treatment, soft-tissue window, those with the most tumour."
        system, user = fill(
            OBSERVE,
            pictures=pictures if images else "No picture is given.",
            findings=findings_lines(case.findings),
            clinical=privacy.clinical_lines(case.clinical),
        )
        text = self.observer.ask([Message("system", system), Message("user", user, images)], None, OBSERVE)
        # what a model says is cleaned before another one is told it
        return clean(text, MOST_OBSERVED) or "nothing"

    def _act(self, observation: str, case: PolicyInput, settings: PlanSettings) -> ActionSpace:
        drugs, embolics = offered(DRUG, self.among), offered(EMBOLIC, self.among)
        most = settings.drugs, settings.embolics
        system, user = fill(
            ACT,
            observation=observation,
            clinical=privacy.clinical_lines(case.clinical),
            drugs=", ".join(drugs),
            embolics=", ".join(embolics),
            rules="; ".join(r.reason for r in load_rules() if r.severity == FORBIDDEN and not r.field),
            most_drugs=str(most[0]),
            most_embolics=str(most[1]),
        )
        schema = proposal_schema(drugs, embolics, most, False)
        text = self.actor.ask([Message("system", system), Message("user", user)], schema, ACT)
        return read_proposal(text, drugs, embolics, most)
