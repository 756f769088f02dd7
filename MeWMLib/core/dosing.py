"""Doses: what a search proposes for a patient, and limits to warn of. The numbers and their sources: `doses.json`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from MeWMLib.core.errors import UnreadableFileError
from MeWMLib.core.patient import Clinical, Findings
from MeWMLib.core.plan import RuleFinding
from MeWMLib.core.protocol import DRUG, Protocol, agent
from MeWMLib.core.records import from_plain, read_json

#: Body surface (m2) of the adult whose doses the table states.
STANDARD_M2 = 1.7


@dataclass(frozen=True)
class DoseRule:
    """How much of an agent is proposed.

    Attributes:
        agent: canonical name.
        slot: name of the slot of a template for which this is; "" for all others.
        typical: dose where the size of the tumour is not known.
        least, most: bounds of every dose, in the agent's unit.
        source: where the numbers come from.
        steps: longest axial diameter (mm; None: any) up to which a dose is taken, and the dose.
        per_cm: dose for each cm of the diameter, in place of steps.
        usual_most: upper end of what is usual in this slot, where it is another one than that of the vocabulary.
    """

    agent: str
    slot: str
    typical: float
    least: float
    most: float
    source: str
    steps: tuple[tuple[float | None, float], ...] = ()
    per_cm: float | None = None
    usual_most: float | None = None

    def dose(self, diameter_mm: float | None, body_surface_m2: float | None, factor: float = 1.0) -> float:
        """The dose for a lesion of this diameter in a patient of this body surface, in whole mg or ml.

        Args:
            factor: by which a value of the patient reduces it; a reduced dose may fall to the lower end of the range.
        """
        if diameter_mm is None:
            dose = self.typical
        elif self.per_cm is not None:
            dose = self.per_cm * diameter_mm / 10
        else:
            dose = next(amount for up_to, amount in self.steps if up_to is None or diameter_mm <= up_to)
        if body_surface_m2 is not None and agent(self.agent).kind == DRUG:
            dose *= body_surface_m2 / STANDARD_M2
        least = self.least if factor == 1.0 else agent(self.agent).dose_low
        return float(min(max(round(dose * factor), least), self.most))


@dataclass(frozen=True)
class Reduction:
    """A value of the patient by which doses are reduced.

    Attributes:
        agents: canonical names.
        field: the number of `Clinical` that it asks for; where it is not known nothing is reduced.
        steps: value up to which a factor counts (None: any), and the factor.
        source: where the numbers come from.
    """

    agents: tuple[str, ...]
    field: str
    steps: tuple[tuple[float | None, float], ...]
    source: str

    def factor(self, clinical: Clinical | None) -> float:
        """By what doses are multiplied in this patient."""
        value = clinical.known(self.field) if clinical is not None else None
        if value is None:
            return 1.0
        return next(factor for up_to, factor in self.steps if up_to is None or value <= up_to)


@dataclass(frozen=True)
class DoseLimit:
    """A dose that is warned of.

    Attributes:
        id: name of the finding.
        agent: canonical name.
        above: the limit, in the agent's unit.
        reason, source: as those of a clinical rule.
        per_m2: the limit is for each m2 of body surface, and is not asked where that is not known.
        severity: "warning" or "forbidden".
    """

    id: str
    agent: str
    above: float
    reason: str
    source: str
    per_m2: bool = False
    severity: str = "warning"


@cache
def _tables() -> tuple[tuple[DoseRule, ...], tuple[DoseLimit, ...], tuple[Reduction, ...]]:
    needed = dict.fromkeys(("doses", "limits", "reductions"), list)
    data = read_json(Path(__file__).with_name("doses.json"), require=needed)
    rules = tuple(from_plain(DoseRule, entry, "a dose") for entry in data["doses"])
    for rule in rules:
        known = agent(rule.agent)
        # outside of the usual range the networks were trained with no dose at all
        if not known.dose_low <= rule.least <= rule.typical <= rule.most <= known.dose_high:
            raise UnreadableFileError(what="A dose of doses.json is outside of the usual range", given=rule.agent)
    reductions = tuple(from_plain(Reduction, entry, "a reduction") for entry in data["reductions"])
    return rules, tuple(from_plain(DoseLimit, entry, "a limit") for entry in data["limits"]), reductions


def dose_rule(slot: str, name: str) -> DoseRule | None:
    """The rule for an agent in a slot; None for what is given until the flow stops."""
    found = [rule for rule in _tables()[0] if rule.agent == name and rule.slot in (slot, "")]
    return max(found, key=lambda rule: bool(rule.slot), default=None)


def usual_most(name: str, protocol: Protocol) -> float:
    """Upper end of an agent's usual range in a protocol: on beads more is usual than in an emulsion."""
    rule = dose_rule("loaded", name) if "LC beads" in protocol.embolics else None
    return agent(name).dose_high if rule is None or rule.usual_most is None else rule.usual_most


def doses_for(findings: Findings | None, clinical: Clinical | None = None) -> Callable[[str, str], float | None]:
    """Doses for a patient: a function of slot and agent, for `templates.completions`.

    Args:
        findings: the largest lesion decides; None or no lesion gives typical doses.
        clinical: its body surface and the values that reduce doses, where they are known.
    """
    lesions = findings.lesions if findings is not None else ()
    diameter = lesions[0].longest_axial_diameter_mm if lesions else None
    surface = clinical.body_surface_m2 if clinical is not None else None

    def dose(slot: str, name: str) -> float | None:
        rule = dose_rule(slot, name)
        if rule is None:
            return None
        factors = [r.factor(clinical) for r in _tables()[2] if name in r.agents]
        return rule.dose(diameter, surface, min(factors, default=1.0))

    return dose


def over_limits(protocol: Protocol, clinical: Clinical | None = None) -> tuple[RuleFinding, ...]:
    """The limits that doses of a protocol exceed; of two for one agent the stricter finding alone."""
    found = []
    exceeded = list(_exceeded(protocol, clinical))
    banned = {limit.agent for limit, _, _ in exceeded if limit.severity != "warning"}
    for limit, dose, most in exceeded:
        if limit.severity == "warning" and limit.agent in banned:
            continue
        unit = agent(limit.agent).dose_unit
        reason = f"{limit.reason} ({limit.agent} {dose:g} {unit}, limit {most:g} {unit})"
        found.append(RuleFinding(limit.id, limit.severity, reason, limit.source))
    return tuple(found)


def agents_over_limits(protocol: Protocol, clinical: Clinical | None = None) -> dict[str, str]:
    """The agents of which `over_limits` speaks, each with the severity."""
    # the stricter one of two limits comes last
    found = sorted((limit.severity == "forbidden", limit.agent) for limit, _, _ in _exceeded(protocol, clinical))
    return {name: "forbidden" if banned else "warning" for banned, name in found}


def _exceeded(protocol: Protocol, clinical: Clinical | None) -> Iterator[tuple[DoseLimit, float, float]]:
    """Each limit that is exceeded, the dose, and the limit for this patient."""
    surface = clinical.body_surface_m2 if clinical is not None else None
    for limit in _tables()[1]:
        dose = next((a.dose for a in protocol.actions if a.agent == limit.agent), None)
        most = limit.above if not limit.per_m2 else None if surface is None else limit.above * surface
        if dose is not None and most is not None and dose > most:
            yield limit, dose, most
