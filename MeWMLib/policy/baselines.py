"""Policies that look at no image: the guideline, a constant plan, a frequency prior, and chance.

The last three are baselines: a policy knows something only if it beats them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from MeWMLib.core.errors import MeWMError, PolicyError, UnreadableFileError
from MeWMLib.core.io import write_json
from MeWMLib.core.plan import PlanSettings
from MeWMLib.core.protocol import DRUG, EMBOLIC, ActionSpace, Protocol
from MeWMLib.core.records import from_plain, read_json
from MeWMLib.policy import guideline
from MeWMLib.policy.agent_names import offered
from MeWMLib.policy.proposal import PolicyInput, Proposal, first_choice
from MeWMLib.policy.rules import allowed

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
            case.findings, case.clinical, case.goal, settings.drugs, settings.embolics, self.among
        )
        return Proposal(space, first_choice(space, case.clinical, settings))


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
        if self.obey_rules and not allowed(self.protocol, case.clinical, complete=True):
            raise _forbidden(self.protocol, self.name)
        reasons = {name: f"{name}: part of the constant plan." for name in self.protocol.agents}
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

    @classmethod
    def fit(cls, given: Sequence[Protocol], obey_rules: bool = True) -> FrequencyPrior:
        """Count regimens; doses and routes do not count.

        Raises:
            PolicyError: no protocol to count.
        """
        if not given:
            raise PolicyError(what="There is no protocol to fit a frequency prior on")
        counts = Counter(Protocol.of(p.agents).text for p in given)
        # a tie is broken by the text, so that the same patients in any order give the same prior
        return cls(tuple(sorted(counts.items(), key=lambda item: (-item[1], item[0]))), obey_rules)

    def propose(self, case: PolicyInput, settings: PlanSettings) -> Proposal:
        """The most frequent regimen, and the agents by how often each was given."""
        regimens = [(Protocol.parse(text), count) for text, count in self.regimens]
        possible = [p for p, _ in regimens if not self.obey_rules or allowed(p, case.clinical, complete=True)]
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
            n: f"{n}: given to {100 * given[n] / total:.0f} % of {total} patients that the prior was fitted on."
            for n in (*drugs, *embolics)
        }
        return Proposal(ActionSpace(drugs, embolics, reasons, self.name), possible[0])

    def save(self, path: Path) -> None:
        """Write it as JSON.

        Raises:
            OutputError: it cannot be written.
        """
        write_json({"format": PRIOR_FORMAT, "regimens": [list(r) for r in self.regimens]}, path)

    @classmethod
    def load(cls, path: Path) -> FrequencyPrior:
        """Read what `save` wrote.

        Raises:
            UnreadableFileError: the file cannot be read or does not hold a prior.
        """
        what, remedy = "The frequency prior", "Give the frequency_prior.json that `mewm evaluate policy` wrote"
        data = read_json(path, what, UnreadableFileError, remedy, {"format": str, "regimens": list})
        try:
            prior = from_plain(cls, {"regimens": data["regimens"]}, what)
            if data["format"] != PRIOR_FORMAT or not prior.regimens:
                raise PolicyError(what="It holds no regimens of this version", given=data["format"])
            return cls(tuple((Protocol.parse(text).text, count) for text, count in prior.regimens))
        except MeWMError as error:
            raise UnreadableFileError(
                what=f"{what} cannot be read", given=f"{path} ({error})", remedy=remedy
            ) from error


class RandomPolicy:
    """Any protocol that the rules allow, drawn evenly over sizes and then agents.

    Args:
        seed: of the draws, which depend on the order of the patients.
        among: agents to choose from; None is the whole vocabulary.
    """

    name = "random"

    def __init__(self, seed: int = 0, among: tuple[str, ...] | None = None) -> None:
        self.among = among
        self._rng = np.random.default_rng(seed)

    def propose(self, case: PolicyInput, settings: PlanSettings) -> Proposal:
        """A protocol by chance."""
        pools = [offered(kind, self.among) for kind in (DRUG, EMBOLIC)]
        horizons = (settings.drug_horizon, settings.embolic_horizon)
        for _ in range(200):
            names: list[str] = []
            for pool, horizon in zip(pools, horizons, strict=True):
                size = int(self._rng.integers(1, min(horizon, len(pool)) + 1))
                names += [str(n) for n in self._rng.choice(pool, size, replace=False)]
            protocol = Protocol.of(names)
            if allowed(protocol, case.clinical, complete=True):
                reasons = {n: f"{n}: drawn by chance." for n in names}
                return Proposal(ActionSpace(protocol.drugs, protocol.embolics, reasons, self.name), protocol)
        guideline.propose(case.findings, case.clinical, among=self.among)  # raises if the rules forbid everything
        raise PolicyError(what="No protocol that the rules allow was drawn", remedy="Give a larger vocabulary")


def _forbidden(protocol: Protocol, name: str) -> PolicyError:
    return PolicyError(
        what=f"The rules forbid in this patient what the policy {name} gives",
        given=protocol.text,
        remedy="See `mewm rules check`; the guideline policy proposes what is allowed",
    )
