"""What `mewm reproduce` measures, and which of it a patient's numbers depend on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from MeWMLib.core.errors import InputError
from MeWMLib.core.plan import FREE, PlanSettings

#: Rows that are made here; another model needs a name of its own.
OWN_ROWS = (
    "mewm", "mewm_expected", "mewm_action_dropped", "mewm_best_first", "mewm_exhaustive", "mewm_assistant",
    "no_assistant", "judged_by_model", "random_in_space", "copy_pre", "syntumor", "pixel2cancer", "guideline",
    "constant", "frequency_prior", "random", "truth",
)  # fmt: skip
#: Increased when a patient's numbers are computed differently: what was kept before is computed again.
FORMAT = 2


@dataclass(frozen=True)
class ReproduceSettings:
    """One run.

    Attributes:
        cohort: folder in the layout of docs/COHORTS.md.
        out: folder for page, JSON and what is kept of each patient.
        bundle: name or folder; None for the default.
        seed: of replicas, splits, hand-made baselines and bootstrap.
        replicas: simulations of what was given.
        searched: T, simulations of each protocol in a search.
        steps: of the sampler.
        drugs, embolics, drug_horizon, embolic_horizon, beams: D, E, Hd, He and B of Algorithm 1.
        most_protocols: a patient whose space holds more is not searched exhaustively.
        assistant_patients: so many patients are also searched with the segmenter's outline of every simulation
            (Algorithm 1 as printed), a pass of the segmenter for each.
        fitted_on: synthetic training patients on which the hand-made baselines are fitted.
        among: agents to choose from; empty for the whole vocabulary.
        others: row name to bundle, for rows with weights of their own.
        baselines: draw the hand-made baselines of Table 1.
        planning: search protocols for Tables 2 and 3.
        assumed: protocol to simulate in patients whose own is not recorded; "" leaves them out.
    """

    cohort: Path
    out: Path
    bundle: str | None = None
    seed: int = 0
    replicas: int = 3
    searched: int = 1
    steps: int = 8
    drugs: int = 4
    embolics: int = 3
    drug_horizon: int = 2
    embolic_horizon: int = 2
    beams: int = 3
    most_protocols: int = 80
    assistant_patients: int = 12
    fitted_on: int = 8
    among: tuple[str, ...] = ()
    others: tuple[tuple[str, str], ...] = ()
    assumed: str = ""
    baselines: bool = True
    planning: bool = True

    def __post_init__(self) -> None:
        for name, low in (("replicas", 1), ("searched", 1), ("steps", 1), ("assistant_patients", 0), ("fitted_on", 1)):
            if getattr(self, name) < low:
                raise InputError(
                    what=f"{name} is too small", given=str(getattr(self, name)), remedy=f"Give at least {low}"
                )
        names = [name for name, _ in self.others]
        taken = [name for name in names if name in OWN_ROWS or names.count(name) > 1]
        if taken:
            raise InputError(what="A row of this name is there already", given=", ".join(taken), remedy="Name it anew")

    @property
    def plan(self) -> PlanSettings:
        """Settings of the searches: all combinations without doses, as Algorithm 1 has them."""
        return PlanSettings(
            space=FREE, beams=self.beams, drugs=self.drugs, embolics=self.embolics, drug_horizon=self.drug_horizon,
            embolic_horizon=self.embolic_horizon, replicas=self.searched, steps=self.steps,
        )  # fmt: skip

    def of_a_patient(self, sums: Mapping[str, str]) -> dict[str, Any]:
        """What the numbers of a patient depend on besides the patient's own files, JSON-ready.

        Args:
            sums: checksum of each bundle by the name of its row; "" is the main one.
        """
        values = asdict(self)
        for name in ("cohort", "out", "bundle", "others", "assistant_patients"):
            del values[name]
        # what is left out is part of the key, and only then
        values = {name: v for name, v in values.items() if name not in ("baselines", "planning") or not v}
        return {"format": FORMAT, "bundles": dict(sums), **values}
