"""A patient's kept numbers beside what the cohort says of the patient."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MeWMLib.core.patient import Findings
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.records import from_plain
from MeWMLib.lab.evaluation.policy_cases import PolicyCase
from MeWMLib.lab.reproduce.kept import Kept
from MeWMLib.lab.reproduce.members import Member
from MeWMLib.policy.proposal import PolicyInput


@dataclass(frozen=True, eq=False)
class Record:
    """One patient of a run.

    Attributes:
        member: who it is.
        kept: where the numbers are.
    """

    member: Member
    kept: Kept

    @property
    def id(self) -> str:
        """Opaque."""
        return self.member.id

    @cached_property
    def result(self) -> dict[str, Any]:
        """The kept numbers; empty where there are none."""
        return self.kept.read() or {}

    @cached_property
    def crops(self) -> dict[str, NDArray[np.float32]]:
        """Row to crops (n, 64, 64) HU; "truth" are those of the scan after."""
        return self.kept.arrays()

    @property
    def generation(self) -> dict[str, dict[str, float]]:
        """Row to metric to number, of a patient with a scan after; a number that is not known is NaN."""
        rows = self.result.get("generation") or {}
        return {row: {m: _number(v) for m, v in values.items()} for row, values in rows.items()}

    @property
    def gold(self) -> Protocol | None:
        """What was given, where it is recorded."""
        return self.member.protocol if self.member.recorded else None

    @property
    def planning(self) -> dict[str, Any]:
        """See `searched.choices`; empty where nothing could be searched."""
        return self.result.get("planning") or {}

    @property
    def survived(self) -> tuple[float, bool] | None:
        """Months and whether death was seen."""
        return self.member.survived

    def features(self, which: str) -> dict[str, float] | None:
        """Of a scan ("before", "virtual", "scan_after"), or "clinical" or "procedure" numbers; None without any."""
        known = self.result.get("features") or {}
        # numbers that were kept before the scan after had this name
        found = known.get(which) or (known.get("real") if which == "scan_after" else None)
        return None if found is None else {name: _number(value) for name, value in found.items()}

    def number(self, name: str) -> float:
        """A number of the patient, such as log_risk_virtual; NaN where it is not known."""
        return _number(self.result.get(name))

    def policy_case(self, images: tuple[bytes, ...] = ()) -> PolicyCase | None:
        """What a policy is shown (slices as PNG too), with the gold action; None where one of both is not known."""
        if self.gold is None or "findings" not in self.result:
            return None
        findings = from_plain(Findings, self.result["findings"], f"The findings of {self.id}")
        return PolicyCase(
            self.id, PolicyInput(findings, self.member.clinical, images=images), frozenset(self.gold.agents)
        )


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)
