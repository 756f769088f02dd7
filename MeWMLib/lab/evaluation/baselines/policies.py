"""Baselines of `mewm evaluate policy`: chance, and the fitting of frequency priors.

They are here and not in `policy/baselines.py`, since nobody plans by chance and a prior is fitted to a cohort once;
the product only reads the prior that was written here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from MeWMLib.core.errors import PolicyError
from MeWMLib.core.io import write_json
from MeWMLib.core.plan import PlanSettings
from MeWMLib.core.protocol import DRUG, EMBOLIC, ActionSpace, Protocol
from MeWMLib.policy import guideline
from MeWMLib.policy.agent_names import offered
from MeWMLib.policy.baselines import PRIOR_FORMAT, FrequencyPrior
from MeWMLib.policy.proposal import PolicyInput, Proposal
from MeWMLib.policy.rules import allowed


def fit_prior(given: Sequence[Protocol], obey_rules: bool = True) -> FrequencyPrior:
    """Count regimens; doses and routes do not count.

    Raises:
        PolicyError: no protocol to count.
    """
    if not given:
        raise PolicyError(what="There is no protocol to fit a frequency prior on")
    counts = Counter(Protocol.of(p.agents).text for p in given)
    # a tie is broken by the text, so that the same patients in any order give the same prior
    return FrequencyPrior(tuple(sorted(counts.items(), key=lambda item: (-item[1], item[0]))), obey_rules)


def save_prior(prior: FrequencyPrior, path: Path) -> None:
    """Write a prior as JSON, which `FrequencyPrior.load` reads.

    Raises:
        OutputError: it cannot be written.
    """
    write_json({"format": PRIOR_FORMAT, "regimens": [list(r) for r in prior.regimens]}, path)


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
                reasons = dict.fromkeys(names, "Drawn by chance.")
                return Proposal(ActionSpace(protocol.drugs, protocol.embolics, reasons, self.name), protocol)
        guideline.propose(case.findings, case.clinical, among=self.among)  # raises if the rules forbid everything
        raise PolicyError(what="No protocol that the rules allow was drawn", remedy="Give a larger vocabulary")
