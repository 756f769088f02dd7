"""Policies that look at no image: the guideline, a constant plan, and a frequency prior.

The last two are baselines: a policy knows something only if it beats them. Priors are fitted, and chance is measured
as well, in `lab/evaluation/baselines/policies.py`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from MeWMLib.core.errors import MeWMError, PolicyError, UnreadableFileError
from MeWMLib.core.plan import PlanSettings
from MeWMLib.core.protocol import DRUG, EMBOLIC, ActionSpace, Protocol
from MeWMLib.core.records import from_plain, read_json
from MeWMLib.policy import guideline
from MeWMLib.policy.agent_names import offered
from MeWMLib.policy.proposal import PolicyInput, Proposal, first_choice

PRIOR_FORMAT = "mewm-frequency-prior/1"


@dataclass(frozen=True)
class GuidelinePolicy:
    """The offline policy (`guideline.propose`).

    Attributes:
        among: agents to choose from; None is the whole vocabulary.
    """

    among: tuple[str, ...] | None = None
    name: str = guideline.POLICY_NAME

    def propose(self, case: PolicyInput, settings: PlanSettings) -> Proposal:
        """See `guideline.propose`."""
        space = guideline.propose(
            case.findings, case.clinical, case.goal, settings.drugs, settings.embolics, self.among, case.insists
        )
        clinical, goal = case.read
        return Proposal(space, first_choice(space, clinical, settings, case.findings, goal))


@dataclass(frozen=True)
class ConstantPolicy:
    """The same plan for everybody.

    Attributes:
        protocol: the plan.
        obey_rules: refuse patients in whom the rules forbid the plan; a baseline in a table is given to everybody.
    """

    protocol: Protocol
    obey_rules: bool = True
    name: str = "constant"

    def propose(self, case: PolicyInput, settings: PlanSettings) -> Proposal:
        """The same plan for every patient."""
        if self.obey_rules and not case.allows(self.protocol):
            raise _forbidden(self.protocol, self.name)
        reasons = dict.fromkeys(self.protocol.agents, "Part of the constant plan.")
        return Proposal(ActionSpace(self.protocol.drugs, self.protocol.embolics, reasons, self.name), self.protocol)


@dataclass(frozen=True)
class FrequencyPrior:
    """What was given most often in the cohort that it was fitted on.

    Attributes:
        regimens: text of each regimen (agents only) and how many patients had it, most frequent first.
        obey_rules: skip regimens that the rules forbid in this patient.
    """

    regimens: tuple[tuple[str, int], ...]
    obey_rules: bool = True
    name: str = "frequency_prior"

    def propose(self, case: PolicyInput, settings: PlanSettings) -> Proposal:
        """The most frequent regimen, and the agents by how often each was given."""
        regimens = [(Protocol.parse(text), count) for text, count in self.regimens]
        possible = [p for p, _ in regimens if not self.obey_rules or case.allows(p)]
        if not possible:
            raise _forbidden(regimens[0][0], self.name)
        given: Counter[str] = Counter()
        for protocol, count in regimens:
            given.update(dict.fromkeys(protocol.agents, count))
        total = sum(count for _, count in regimens)
        known = {name for protocol in possible for name in protocol.agents}
        ranked = [n for n, _ in sorted(given.items(), key=lambda item: (-item[1], item[0])) if n in known]
        drugs = tuple(n for n in ranked if n in offered(DRUG))[: settings.drugs]
        embolics = tuple(n for n in ranked if n in offered(EMBOLIC))[: settings.embolics]
        reasons = {
            n: f"Given to {100 * given[n] / total:.0f} % of {total} patients that the prior was fitted on."
            for n in (*drugs, *embolics)
        }
        return Proposal(ActionSpace(drugs, embolics, reasons, self.name), possible[0])

    @classmethod
    def load(cls, path: Path) -> FrequencyPrior:
        """Read what `mewm evaluate policy` wrote.

        Raises:
            UnreadableFileError: the file cannot be read or does not hold a prior.
        """
        what, remedy = "The frequency prior", "Give the frequency_prior.json that `mewm evaluate policy` wrote"
        data = read_json(path, what, UnreadableFileError, remedy, {"format": str, "regimens": list})
        try:
            prior = from_plain(cls, {"regimens": data["regimens"]}, what)
            if data["format"] != PRIOR_FORMAT or not prior.regimens:
                raise PolicyError(what="The file has no regimens in this version's format", given=data["format"])
            return cls(tuple((Protocol.parse(text).text, count) for text, count in prior.regimens))
        except MeWMError as error:
            raise UnreadableFileError(
                what=f"{what} cannot be read", given=f"{path} ({error})", remedy=remedy
            ) from error


def _forbidden(protocol: Protocol, name: str) -> PolicyError:
    return PolicyError(
        what=f"The rules forbid in this patient, or the goal rules out, what the policy {name} gives",
        given=protocol.text,
        remedy="See `mewm rules check`; the guideline policy proposes what is allowed",
    )
