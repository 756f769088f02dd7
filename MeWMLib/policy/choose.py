"""A policy by its name, as on the command line and in a job."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from MeWMLib.core.errors import PolicyError
from MeWMLib.core.patient import Patient
from MeWMLib.core.plan import PlanSettings
from MeWMLib.core.protocol import Protocol
from MeWMLib.policy.baselines import ConstantPolicy, FrequencyPrior, GuidelinePolicy
from MeWMLib.policy.llm.client import ChatClient
from MeWMLib.policy.llm.endpoints import find_endpoint
from MeWMLib.policy.llm.images import slices_png
from MeWMLib.policy.llm.language_model import LanguageModelPolicy
from MeWMLib.policy.proposal import Policy, PolicyInput, Proposal

DEFAULT = "guideline"
#: How many pictures of a patient a language model is shown.
SLICES = 3
FORMS = "guideline, constant:TEXT, prior:FILE, llm:ENDPOINT or llm:ENDPOINT+REFINER"


@dataclass(frozen=True)
class ChosenPolicy:
    """A policy by its name, for whole patients.

    Attributes:
        name: one of `FORMS`.
    """

    name: str

    def propose(self, patient: Patient, goal: str, settings: PlanSettings) -> Proposal:
        """Propose for a patient; pictures are made only for a policy that looks at them.

        Raises:
            RuleError: the rules and the goal leave nothing.
            MeWMError: see `policy_of`.
        """
        policy = policy_of(self.name)
        return policy.propose(_seen(policy, patient, goal), settings)

    def preview(self, patient: Patient, goal: str, settings: PlanSettings) -> bytes:
        """The exact bytes that a language model would be sent first; nothing is sent.

        Raises:
            PolicyError: the policy sends nothing.
            PrivacyError: the request would hold something that is never sent.
        """
        policy = policy_of(self.name)
        if not isinstance(policy, LanguageModelPolicy):
            raise PolicyError(what="This policy sends nothing", given=self.name, remedy="Give llm:ENDPOINT")
        return policy.request(_seen(policy, patient, goal), settings)


def _seen(policy: Policy, patient: Patient, goal: str) -> PolicyInput:
    images = isinstance(policy, LanguageModelPolicy) and policy.proposer.endpoint.images
    pictures = slices_png(patient.ct, patient.labels, SLICES) if images else ()
    return PolicyInput(patient.findings, patient.clinical, goal, pictures, patient.goal.insists)


def policy_of(text: str) -> Policy:
    """The policy that a text names.

    Args:
        text: one of `FORMS`.

    Raises:
        PolicyError: there is no policy of this name.
        MeWMError: something that the name refers to is missing (an endpoint, a file, an agent).
    """
    kind, _, rest = text.partition(":")
    if text == DEFAULT:
        return GuidelinePolicy()
    if kind == "constant" and rest:
        return ConstantPolicy(Protocol.parse(rest))
    if kind == "prior" and rest:
        return FrequencyPrior.load(Path(rest).expanduser())
    if kind == "llm" and rest:
        return language_model(text)
    raise PolicyError(what="There is no such policy", given=text, remedy=f"Use {FORMS}")


def language_model(text: str, among: tuple[str, ...] | None = None) -> LanguageModelPolicy:
    """The language-model policy that "llm:PROPOSER" or "llm:PROPOSER+REFINER" names.

    Raises:
        PolicyError: more than two names.
        EndpointError: an endpoint is not known.
    """
    names = text.removeprefix("llm:").split("+")
    if len(names) > 2:
        raise PolicyError(what="At most two endpoints can be combined", given=text, remedy="Write llm:PROPOSER+REFINER")
    clients = [ChatClient(find_endpoint(name)) for name in names]
    return LanguageModelPolicy(clients[0], clients[1] if len(clients) > 1 else None, among)
