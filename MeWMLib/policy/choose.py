"""A policy by its name, as it stands on the command line and in a job."""

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
from MeWMLib.policy.llm.language_model import LanguageModelPolicy, names_of
from MeWMLib.policy.proposal import Policy, PolicyInput, Proposal

DEFAULT = "guideline"
#: Pictures of one patient that a language model is shown.
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
        images = isinstance(policy, LanguageModelPolicy) and policy.proposer.endpoint.images
        return policy.propose(_seen(patient, goal, images), settings)

    def preview(self, patient: Patient, goal: str, settings: PlanSettings) -> bytes:
        """The exact bytes that a language model would be sent first; nothing is sent.

        Raises:
            PolicyError: the policy is none that sends anything.
            PrivacyError: something in it is never sent.
        """
        policy = policy_of(self.name)
        if not isinstance(policy, LanguageModelPolicy):
            raise PolicyError(what="This policy sends nothing", given=self.name, remedy="Give llm:ENDPOINT")
        return policy.request(_seen(patient, goal, policy.proposer.endpoint.images), settings)


def _seen(patient: Patient, goal: str, images: bool) -> PolicyInput:
    pictures = slices_png(patient.ct, patient.labels, SLICES) if images else ()
    return PolicyInput(patient.findings, patient.clinical, goal, pictures)


def policy_of(text: str, among: tuple[str, ...] | None = None) -> Policy:
    """The policy that a text names.

    Args:
        text: one of `FORMS`.
        among: agents to choose from; None is the whole vocabulary.

    Raises:
        PolicyError: no policy of this name.
        MeWMError: what the name needs is not there (an endpoint, a file, a protocol).
    """
    kind, _, rest = text.partition(":")
    if text == DEFAULT:
        return GuidelinePolicy(among)
    if kind == "constant" and rest:
        return ConstantPolicy(Protocol.parse(rest))
    if kind == "prior" and rest:
        return FrequencyPrior.load(Path(rest).expanduser())
    if kind == "llm" and rest:
        return language_model(text, among)
    raise PolicyError(what="There is no such policy", given=text, remedy=f"Use {FORMS}")


def language_model(text: str, among: tuple[str, ...] | None = None) -> LanguageModelPolicy:
    """The language-model policy that "llm:PROPOSER" or "llm:PROPOSER+REFINER" names.

    Raises:
        PolicyError: more than two names.
        EndpointError: an endpoint is not known.
    """
    names = names_of(text)
    if not 1 <= len(names) <= 2:
        raise PolicyError(what="At most two endpoints work together", given=text, remedy="Write llm:PROPOSER+REFINER")
    clients = [ChatClient(find_endpoint(name)) for name in names]
    return LanguageModelPolicy(clients[0], clients[1] if len(clients) > 1 else None, among, clients[0].endpoint.reasons)
