"""The policy of the paper: a vision-language model proposes, a second one refines with the rules (section 3.1, B.1).

Whatever they answer is checked against the vocabulary, the clinical rules and the goal. After an unusable answer the
model is asked once more and told what was wrong. If that fails too, or the endpoint does, the offline guideline takes
over, and the plan says so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from MeWMLib.core.errors import EndpointAnswerError, EndpointConsentError, EndpointError, EndpointKeyError, PrivacyError
from MeWMLib.core.patient import Findings
from MeWMLib.core.plan import PlanSettings
from MeWMLib.core.protocol import DRUG, EMBOLIC, ActionSpace, Protocol, agent
from MeWMLib.policy import guideline
from MeWMLib.policy.agent_names import offered
from MeWMLib.policy.baselines import GuidelinePolicy
from MeWMLib.policy.llm import privacy
from MeWMLib.policy.llm.answers import proposal_schema, read_proposal
from MeWMLib.policy.llm.client import ChatClient, Message
from MeWMLib.policy.llm.prompts import PROPOSE, REFINE, fill
from MeWMLib.policy.proposal import PolicyInput, Proposal, first_choice
from MeWMLib.policy.rules import FORBIDDEN, check, load_rules

#: After these the user must do something; the guideline does not take over.
_FOR_THE_USER = (EndpointConsentError, EndpointKeyError, PrivacyError)


@dataclass
class LanguageModelPolicy:
    """See the module's text.

    Attributes:
        proposer: asked first, with pictures if it accepts them.
        refiner: asked for a better list, without pictures; None for none.
        among: agents to choose from; None is the whole vocabulary.
    """

    proposer: ChatClient
    refiner: ChatClient | None = None
    among: tuple[str, ...] | None = None

    @property
    def _clients(self) -> list[ChatClient]:
        return [self.proposer, *([self.refiner] if self.refiner else [])]

    @property
    def name(self) -> str:
        """Such as llm:gpt-4o+deepseek-r1."""
        return "llm:" + "+".join(client.endpoint.name for client in self._clients)

    def request(self, case: PolicyInput, settings: PlanSettings) -> bytes:
        """The exact bytes of the first request, to be read before anything is sent.

        Raises:
            PrivacyError: the goal or a picture holds something that is never sent.
        """
        return self.proposer.body(self._messages(case, settings, None), self._schema(settings))

    def propose(self, case: PolicyInput, settings: PlanSettings) -> Proposal:
        """Ask; see the module.

        Raises:
            RuleError: the rules and the goal leave nothing, whichever policy proposes.
            EndpointConsentError, EndpointKeyError, PrivacyError: the user must do something first.
        """
        # first, so that nothing is sent about a patient for whom the rules leave nothing
        fallback = GuidelinePolicy(self.among).propose(case, settings)
        found: ActionSpace | None = None
        notes: list[str] = []
        for client in self._clients:
            try:
                found = self._ask(client, self._messages(case, settings, found), settings)
            except _FOR_THE_USER:
                raise
            except EndpointError as error:
                if found is None:
                    return self._taken_over(fallback, f"{client.endpoint.name} gave no usable answer: {error}")
                notes.append(f"{client.endpoint.name} did not refine; the first proposal was kept: {error}")
        assert found is not None
        space, left_out = self._under_the_rules(found, case)
        notes += left_out
        clinical, goal = case.read
        protocol = first_choice(space, clinical, settings, case.findings, goal)
        if not protocol.complete:
            why = "; ".join(["the rules and the goal leave nothing of its proposal", *notes])
            return self._taken_over(fallback, why)
        return Proposal(space, protocol, tuple(notes), self._usage())

    def _messages(self, case: PolicyInput, settings: PlanSettings, found: ActionSpace | None) -> list[Message]:
        """What the proposer is asked, or the refiner about what was `found`."""
        images = case.images if found is None and self.proposer.endpoint.images else ()
        pictures = f"{len(images)} axial CT slices before treatment, soft-tissue window, those with the most tumour."
        form = '{"agent": a listed name, "reason": one short sentence}' if self._reasons else "a listed name"
        system, user = fill(
            PROPOSE if found is None else REFINE,
            pictures=pictures if images else "No picture is given.",
            proposed=", ".join((*found.drugs, *found.embolics)) if found else "",
            findings=findings_lines(case.findings),
            clinical=privacy.clinical_lines(case.clinical),
            goal=privacy.require_clean(case.goal.strip(), "the goal") or "none given",
            drugs=", ".join(offered(DRUG, self.among)),
            embolics=", ".join(offered(EMBOLIC, self.among)),
            rules="; ".join(r.reason for r in load_rules() if r.severity == FORBIDDEN and not r.field),
            most_drugs=str(settings.drugs),
            most_embolics=str(settings.embolics),
            form=f'Form: {{"drugs": [{form}, ...], "embolics": [{form}, ...]}}',
        )
        return [Message("system", system), Message("user", user, images)]

    @property
    def _reasons(self) -> bool:
        return self.proposer.endpoint.reasons

    def _limits(self, settings: PlanSettings) -> tuple[tuple[str, ...], tuple[str, ...], tuple[int, int]]:
        """Drugs and embolics to choose from, and how many of each at most."""
        return offered(DRUG, self.among), offered(EMBOLIC, self.among), (settings.drugs, settings.embolics)

    def _schema(self, settings: PlanSettings) -> dict[str, Any]:
        return proposal_schema(*self._limits(settings), self._reasons)

    def _ask(self, client: ChatClient, messages: list[Message], settings: PlanSettings) -> ActionSpace:
        """Ask, and once more with the error if the answer cannot be used."""
        schema, prompt = self._schema(settings), PROPOSE if client is self.proposer else REFINE
        text = client.ask(messages, schema, prompt)
        try:
            return read_proposal(text, *self._limits(settings))
        except EndpointAnswerError as error:
            # the bad answer itself is not sent back: it may be long, and it was not written by MeWM
            again = f"Your last answer could not be used. {error} Answer again, with one JSON object of the form."
            text = client.ask([*messages, Message("user", again)], schema, prompt)
            return read_proposal(text, *self._limits(settings))

    def _under_the_rules(self, found: ActionSpace, case: PolicyInput) -> tuple[ActionSpace, list[str]]:
        """What the rules and the goal leave of a proposal, and what they took out."""
        reasons, notes = dict[str, str](), []
        clinical, goal = case.read
        for name in (*found.drugs, *found.embolics):
            findings = check(Protocol.of([name]), clinical, complete=False, findings=case.findings)
            why = ["the goal excludes it"] if name in goal.ruled_out else []
            why += ["the goal wants no drug"] if goal.without_drugs and agent(name).kind == DRUG else []
            why += [f.reason for f in findings if f.severity == FORBIDDEN]
            if why:
                notes.append(f"{name} was proposed and left out: {why[0]}")
            else:
                reasons[name] = f"{self.name} says: {found.reasons.get(name, 'no reason')}"
        drugs, embolics = (tuple(n for n in names if n in reasons) for names in (found.drugs, found.embolics))
        sources = dict.fromkeys(reasons, "a language model's answer, not a source; needs physician review")
        return ActionSpace(drugs, embolics, reasons, self.name, sources), notes

    def _taken_over(self, fallback: Proposal, why: str) -> Proposal:
        space = replace(fallback.space, policy=f"{guideline.POLICY_NAME} (in place of {self.name})")
        note = f"The offline guideline policy was used in place of {self.name}: {why}"
        return Proposal(space, fallback.protocol, (note,), self._usage())

    def _usage(self) -> dict[str, Any]:
        return {client.endpoint.name: client.usage.to_json() for client in self._clients}


def _percent(share: float | None) -> str:
    return "not known" if share is None else f"{100 * share:.0f} %"


def findings_lines(findings: Findings, most: int = 5) -> str:
    """What was measured, in lines: sizes, densities and shares; no position, and nothing that was not measured."""
    lines = []
    if findings.liver_ml > 0:
        density = "density not known" if findings.liver_mean_hu is None else f"{findings.liver_mean_hu:.0f} HU"
        lines.append(f"liver {findings.liver_ml:.0f} ml, {density}")
    lines.append(f"{len(findings.lesions)} lesions" if len(findings.lesions) != 1 else "1 lesion")
    for lesion in findings.lesions[:most]:
        line = f"lesion {lesion.index}: {lesion.longest_axial_diameter_mm:.0f} mm"
        if lesion.volume_ml > 0:
            line += (
                f", {lesion.volume_ml:.1f} ml, {lesion.mean_hu:.0f} HU, necrotic {_percent(lesion.necrotic_fraction)}, "
                f"Lipiodol {_percent(lesion.lipiodol_fraction)}"
            )
        lines.append(line)
    return "\n".join(lines)
