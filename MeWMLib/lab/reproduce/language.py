"""Rows of Table 2 in which a language model names the whole plan: named presets of prompt and reading.

Unlike the policy of the product (`policy.llm.language_model`) nothing takes over where an answer cannot be used: such a
patient counts as an empty plan, and the row says how many there were. Clinical rules are not applied to the answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from MeWMLib.core.errors import (
    EndpointAnswerError,
    EndpointConsentError,
    EndpointError,
    EndpointKeyError,
    PolicyError,
    PrivacyError,
)
from MeWMLib.core.plan import PlanSettings
from MeWMLib.core.protocol import DRUG, EMBOLIC, ActionSpace, Protocol
from MeWMLib.core.records import from_plain, read_json
from MeWMLib.policy.agent_names import by_letters, letters, offered, pattern_of, written_names
from MeWMLib.policy.choose import language_model
from MeWMLib.policy.llm import privacy
from MeWMLib.policy.llm.answers import proposal_schema, read_proposal
from MeWMLib.policy.llm.client import ChatClient, Message
from MeWMLib.policy.llm.endpoints import find_endpoint
from MeWMLib.policy.llm.language_model import findings_lines
from MeWMLib.policy.llm.prompts import fill
from MeWMLib.policy.proposal import Policy, PolicyInput, Proposal
from MeWMLib.policy.reports import parse_report

JSON, NAMES, REPORT = "json", "names", "report"
#: After these the user must do something first.
FOR_THE_USER = (EndpointConsentError, EndpointKeyError, PrivacyError)
#: Words by which a sentence does not recommend what it names.
_NOT = re.compile(
    r"\b(not|no|never|avoid\w*|without|instead of|rather than|contraindicat\w*|unsuitable|withhold|omit\w*)\b", re.I
)


@dataclass(frozen=True)
class Preset:
    """How a model is asked and read.

    Attributes:
        name: of the row.
        endpoint: that is asked, unless another is named.
        prompt: template.
        parsing: "json", "names" (agents that the text recommends) or "report" (read as an operation report).
    """

    name: str
    endpoint: str
    prompt: str
    parsing: str


@cache
def presets() -> Mapping[str, Preset]:
    """The presets by name."""
    data = read_json(Path(__file__).with_name("presets.json"), "The presets of language models", PolicyError)
    found = [from_plain(Preset, entry, "A preset") for entry in data["presets"]]
    return {preset.name: preset for preset in found}


def language_row(text: str, among: tuple[str, ...] | None) -> tuple[str, Policy]:
    """Row and policy that a text names: PRESET, PRESET=ENDPOINT, or llm:ENDPOINT[+REFINER] for the product's policy.

    Raises:
        PolicyError: there is no such preset.
        EndpointError: the endpoint is not known.
    """
    if text.startswith("llm:"):
        return text, language_model(text, among)
    name, _, endpoint = text.partition("=")
    if name not in presets():
        raise PolicyError(
            what="There is no such preset of a language model",
            given=name,
            remedy="Use " + ", ".join(presets()) + ", one of them as PRESET=ENDPOINT, or llm:ENDPOINT",
        )
    preset = presets()[name]
    client = ChatClient(find_endpoint(endpoint or preset.endpoint))
    return name if not endpoint else f"{name} ({endpoint})", DirectPlan(client, preset, among)


@dataclass
class DirectPlan:
    """A model that names the whole plan.

    Attributes:
        client: who is asked.
        preset: how.
        among: agents to choose from; None is the whole vocabulary.
        unusable: why each answer that could not be used was not.
    """

    client: ChatClient
    preset: Preset
    among: tuple[str, ...] | None = None
    unusable: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Of the row."""
        return self.preset.name

    @property
    def usage(self) -> dict[str, Any]:
        """Tokens and money so far."""
        return {self.client.endpoint.name: self.client.usage.to_json()}

    def propose(self, case: PolicyInput, settings: PlanSettings) -> Proposal:
        """Ask for the plan; an empty one where no answer can be used.

        Raises:
            EndpointConsentError, EndpointKeyError, PrivacyError: the user must do something first.
        """
        messages = self._messages(case, settings)
        schema = self._schema(settings) if self.preset.parsing == JSON else None
        try:
            plan = self._read(self.client.ask(messages, schema, self.preset.prompt), settings)
        except FOR_THE_USER:
            raise
        except EndpointAnswerError as error:
            plan = self._again(messages, schema, settings, error)
        except EndpointError as error:
            plan = self._none(error)
        space = ActionSpace(plan.drugs, plan.embolics, {}, self.name)
        return Proposal(space, plan, (), self.usage)

    def _again(
        self, messages: list[Message], schema: dict[str, Any] | None, settings: PlanSettings, error: EndpointError
    ) -> Protocol:
        """Ask once more, told what was wrong."""
        again = Message("user", f"Your last answer could not be used. {error} Answer again.")
        try:
            return self._read(self.client.ask([*messages, again], schema, self.preset.prompt), settings)
        except FOR_THE_USER:
            raise
        except EndpointError as second:
            return self._none(second)

    def _none(self, error: EndpointError) -> Protocol:
        self.unusable.append(str(error))
        return Protocol(())

    def _offered(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return offered(DRUG, self.among), offered(EMBOLIC, self.among)

    def _schema(self, settings: PlanSettings) -> dict[str, Any]:
        return proposal_schema(*self._offered(), (settings.drug_horizon, settings.embolic_horizon), False)

    def _messages(self, case: PolicyInput, settings: PlanSettings) -> list[Message]:
        drugs, embolics = self._offered()
        images = case.images if self.client.endpoint.images else ()
        pictures = f"{len(images)} axial CT slices before treatment, soft-tissue window, those with the most tumour."
        system, user = fill(
            self.preset.prompt,
            pictures=pictures if images else "No picture is given.",
            findings=findings_lines(case.findings),
            clinical=privacy.clinical_lines(case.clinical),
            drugs=", ".join(drugs),
            embolics=", ".join(embolics),
            most_drugs=str(settings.drug_horizon),
            most_embolics=str(settings.embolic_horizon),
            first_drug=drugs[0],
            first_embolic=embolics[0],
        )
        return [Message("system", system), Message("user", user, images)]

    def _read(self, text: str, settings: PlanSettings) -> Protocol:
        """The plan that an answer names.

        Raises:
            EndpointAnswerError: none.
        """
        drugs, embolics = self._offered()
        if self.preset.parsing == JSON:
            space = read_proposal(text, drugs, embolics, (settings.drug_horizon, settings.embolic_horizon))
            return Protocol.of([*space.drugs, *space.embolics])
        found = READERS[self.preset.parsing](text)
        names = [name for name in found if name in (*drugs, *embolics)]
        if not names:
            raise EndpointAnswerError(what="The answer names no agent of the list")
        return Protocol.of(names)


def recommended(text: str) -> list[str]:
    """Agents that a text recommends: named in a clause that takes nothing back, and not refused in another.

    Each agent once, in the order in which they come. Thoughts before the answer (<think>) do not count.
    """
    answer = re.sub(r"<think>.*?</think>", "", text, flags=re.DOTALL)
    names = pattern_of(written_names())
    out: dict[str, None] = {}
    refused: set[str] = set()
    for clause in re.split(r"[.;\n]|,?\s+but\s+", answer):
        found = [by_letters()[letters(match)] for match in names.findall(clause) if letters(match) in by_letters()]
        if _NOT.search(clause):
            refused.update(found)
        else:
            out.update(dict.fromkeys(found))
    return [name for name in out if name not in refused]


def _reported(text: str) -> list[str]:
    return list(parse_report(text).protocol.agents)


#: How an answer that is no JSON is read.
READERS: Mapping[str, Callable[[str], list[str]]] = {NAMES: recommended, REPORT: _reported}
