"""The policy of the paper: a vision-language model proposes, a second one refines with the rules (section 3.1, B.1).

Whatever they answer is held against the vocabulary, the clinical rules and the goal. A bad answer is asked for once
more with what was wrong; then, and where the endpoint fails, the offline guideline stands in and says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from MeWMLib.core.errors import (
    EndpointAnswerError,
    EndpointConsentError,
    EndpointError,
    EndpointKeyError,
    PrivacyError,
)
from MeWMLib.core.patient import Findings
from MeWMLib.core.plan import PlanSettings
from MeWMLib.core.protocol import DRUG, EMBOLIC, ActionSpace, Protocol, agents_of
from MeWMLib.policy import guideline
from MeWMLib.policy.baselines import GuidelinePolicy
from MeWMLib.policy.goal import excluded_agents
from MeWMLib.policy.llm import privacy
from MeWMLib.policy.llm.answers import ProposedAgents, proposal_schema, read_proposal
from MeWMLib.policy.llm.client import ChatClient, Message
from MeWMLib.policy.llm.prompts import PROPOSE, REFINE, load_prompt
from MeWMLib.policy.proposal import PolicyInput, Proposal, first_choice
from MeWMLib.policy.rules import FORBIDDEN, allowed, check, load_rules

#: These say that the user must do something; the guideline does not stand in for them.
_FOR_THE_USER = (EndpointConsentError, EndpointKeyError, PrivacyError)


@dataclass
class LanguageModelPolicy:
    """See the module's text.

    Attributes:
        proposer: asked first, with pictures if it takes them.
        refiner: asked for a better list, without pictures; None for none.
        among: agents to choose from; None is the whole vocabulary.
        reasons: ask for a sentence for each agent.
    """

    proposer: ChatClient
    refiner: ChatClient | None = None
    among: tuple[str, ...] | None = None
    reasons: bool = True
    _fallback: GuidelinePolicy = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._fallback = GuidelinePolicy(self.among)

    @property
    def name(self) -> str:
        """Such as llm:gpt-4o+deepseek-r1."""
        names = [c.endpoint.name for c in (self.proposer, self.refiner) if c is not None]
        return "llm:" + "+".join(names)

    def request(self, case: PolicyInput, settings: PlanSettings) -> bytes:
        """The exact bytes of the first request, to be looked at before anything is sent.

        Raises:
            PrivacyError: the goal or a picture holds what is never sent.
        """
        return self.proposer.body(*self._first(case, settings))

    def propose(self, case: PolicyInput, settings: PlanSettings) -> Proposal:
        """Ask; see the module.

        Raises:
            RuleError: the rules and the goal leave nothing, whoever proposes.
            EndpointConsentError, EndpointKeyError, PrivacyError: the user must do something first.
        """
        # first, so that a patient whom the rules leave nothing is told so, and nothing is sent about him
        stand_in = self._fallback.propose(case, settings)
        notes: list[str] = []
        try:
            messages, schema = self._first(case, settings)
            found = self._ask(self.proposer, messages, schema, PROPOSE, settings)
        except _FOR_THE_USER:
            raise
        except EndpointError as error:
            return self._stood_in(stand_in, f"{self.proposer.endpoint.name} gave no usable answer: {error}")
        if self.refiner is not None:
            try:
                messages, schema = self._second(case, settings, found)
                found = self._ask(self.refiner, messages, schema, REFINE, settings)
            except _FOR_THE_USER:
                raise
            except EndpointError as error:
                notes.append(f"{self.refiner.endpoint.name} did not refine, the first proposal stands: {error}")
        space, left_out = self._under_the_rules(found, case)
        notes += left_out
        protocol = first_choice(space, case.clinical, settings) if space is not None else Protocol(())
        if space is None or not protocol.complete:
            return self._stood_in(stand_in, "; ".join(["the rules and the goal leave nothing of its proposal", *notes]))
        return Proposal(space, protocol, tuple(notes), self._usage())

    def _choice(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        kinds = (agents_of(DRUG), agents_of(EMBOLIC))
        drugs, embolics = (tuple(n for n in names if self.among is None or n in self.among) for names in kinds)
        return drugs, embolics

    def _first(self, case: PolicyInput, settings: PlanSettings) -> tuple[list[Message], dict[str, Any]]:
        images = case.images if self.proposer.endpoint.images else ()
        pictures = (
            f"{len(images)} axial CT slices before treatment, soft-tissue window, those with most tumour."
            if images
            else "No picture is given."
        )
        values, schema = self._values(case, settings)
        system, user = load_prompt(PROPOSE).fill(pictures=pictures, **values)
        return [Message("system", system), Message("user", user, images)], schema

    def _second(
        self, case: PolicyInput, settings: PlanSettings, found: ProposedAgents
    ) -> tuple[list[Message], dict[str, Any]]:
        values, schema = self._values(case, settings)
        proposed = ", ".join((*found.drugs, *found.embolics))
        system, user = load_prompt(REFINE).fill(proposed=proposed, **values)
        return [Message("system", system), Message("user", user)], schema

    def _values(self, case: PolicyInput, settings: PlanSettings) -> tuple[dict[str, str], dict[str, Any]]:
        drugs, embolics = self._choice()
        most = (settings.drugs, settings.embolics)
        form = '"agent": a listed name, "reason": one short sentence' if self.reasons else "a listed name"
        one = "{" + form + "}" if self.reasons else form
        values = {
            "findings": findings_lines(case.findings),
            "clinical": privacy.clinical_lines(case.clinical),
            "goal": privacy.require_clean(case.goal.strip(), "the goal") or "none given",
            "drugs": ", ".join(drugs),
            "embolics": ", ".join(embolics),
            "rules": "; ".join(r.reason for r in load_rules() if r.severity == FORBIDDEN and not r.field),
            "most_drugs": str(settings.drugs),
            "most_embolics": str(settings.embolics),
            "form": f'Form: {{"drugs": [{one}, ...], "embolics": [{one}, ...]}}',
        }
        return values, proposal_schema(drugs, embolics, most, self.reasons)

    def _ask(
        self, client: ChatClient, messages: list[Message], schema: dict[str, Any], prompt: str, settings: PlanSettings
    ) -> ProposedAgents:
        """Ask, and once more with the error if the answer cannot be used."""
        drugs, embolics = self._choice()
        most = (settings.drugs, settings.embolics)
        text = client.ask(messages, schema, prompt)
        try:
            return read_proposal(text, drugs, embolics, most)
        except EndpointAnswerError as error:
            # the bad answer itself is not sent back: it may be long, and it is not ours
            again = f"Your last answer could not be used. {error} Answer again, with one JSON object of the form."
            text = client.ask([*messages, Message("user", again)], schema, prompt)
            return read_proposal(text, drugs, embolics, most)

    def _under_the_rules(self, found: ProposedAgents, case: PolicyInput) -> tuple[ActionSpace | None, list[str]]:
        """What the rules and the goal leave of a proposal, and what they took out."""
        unwanted, notes = excluded_agents(case.goal), []
        kept: list[tuple[str, ...]] = []
        for names in (found.drugs, found.embolics):
            good = []
            for name in names:
                alone = Protocol.of([name])
                if name in unwanted:
                    notes.append(f"{name} was proposed and left out: the goal excludes it")
                elif not allowed(alone, case.clinical):
                    reason = next(f for f in check(alone, case.clinical, False) if f.severity == FORBIDDEN)
                    notes.append(f"{name} was proposed and left out: {reason.reason}")
                else:
                    good.append(name)
            kept.append(tuple(good))
        if not all(kept):
            return None, notes
        reasons = {n: f"{n}: {self.name} says: {found.reasons.get(n, 'no reason')}" for n in (*kept[0], *kept[1])}
        sources = {n: "a language model's answer, not a source; needs physician review" for n in reasons}
        return ActionSpace(kept[0], kept[1], reasons, self.name, sources), notes

    def _stood_in(self, stand_in: Proposal, why: str) -> Proposal:
        space = replace(stand_in.space, policy=f"{guideline.POLICY_NAME} (stands in for {self.name})")
        note = f"The offline guideline policy stands in for {self.name}: {why}"
        return Proposal(space, stand_in.protocol, (note,), self._usage())

    def _usage(self) -> dict[str, Any]:
        used = {self.proposer.endpoint.name: self.proposer.usage.to_json()}
        if self.refiner is not None:
            used[self.refiner.endpoint.name] = self.refiner.usage.to_json()
        return used


def findings_lines(findings: Findings, most: int = 5) -> str:
    """What was measured, in lines: sizes, densities and shares; no place in space, nothing that was not measured."""
    lines = []
    if findings.liver_ml > 0:
        lines.append(f"liver {findings.liver_ml:.0f} ml, {findings.liver_mean_hu:.0f} HU")
    lines.append(f"{len(findings.lesions)} lesions" if len(findings.lesions) != 1 else "1 lesion")
    for lesion in findings.lesions[:most]:
        line = f"lesion {lesion.index}: {lesion.longest_axial_diameter_mm:.0f} mm"
        if lesion.volume_ml > 0:
            line += (
                f", {lesion.volume_ml:.1f} ml, {lesion.mean_hu:.0f} HU, necrosis density "
                f"{100 * lesion.necrotic_fraction:.0f} %, Lipiodol density {100 * lesion.lipiodol_fraction:.0f} %"
            )
        lines.append(line)
    return "\n".join(lines)


def names_of(text: str) -> Sequence[str]:
    """Endpoint names of "llm:PROPOSER" or "llm:PROPOSER+REFINER"."""
    return text.removeprefix("llm:").split("+")
