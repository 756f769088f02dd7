"""What one clinical rule is, and the check of each kind of rule: what in a protocol or a patient breaks it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import Any

from MeWMLib.core.allergens import is_known
from MeWMLib.core.clinical_fields import UNSPECIFIED
from MeWMLib.core.dosing import agents_over_limits, usual_most
from MeWMLib.core.liver_function import CHILD_PUGH_POINTS, child_pugh_class
from MeWMLib.core.patient import Clinical, Findings
from MeWMLib.core.protocol import Protocol, agent, agents_of, vocabulary

FORBIDDEN, WARNING, NOTE = "forbidden", "warning", "note"
#: Beads that carry a drug whether it is named or not.
LOADED = "LC beads"


@dataclass(frozen=True)
class Rule:
    """One clinical rule. Which of the fields after `source` count depends on `kind` (see `KINDS`).

    Attributes:
        id: its unique name.
        kind: which check it is.
        severity: "forbidden", "warning" or "note" (something to know, no objection).
        reason: why, for a physician.
        source: who says so, in one line with the addresses of its references.
        agent_class: class of which at most one substance may be given.
        counts_as: agent to the substance that it carries.
        agents, others: none of the first may be given together with any of the second.
        field: the field of `Clinical` that it asks for.
        above, up_to: it applies where above < value <= up_to; for doses, in multiples of `Agent.dose_high`.
        at_least, below: and where at_least <= value < below.
        choices: values of the field to which it applies.
        allergens: allergies to which it applies; none means those to the agents of the protocol themselves.
        same_class: it applies to agents of the class of an allergen, in place of the allergen itself.
        applies_to: canonical names of the agents that it concerns; None means all.
        references: keys of `policy/sources.json`.
        needs_review: no physician has confirmed the rule, and no publication says exactly this.
    """

    id: str
    kind: str
    severity: str
    reason: str
    source: str
    agent_class: str = ""
    counts_as: Mapping[str, str] = dataclass_field(default_factory=dict, hash=False)
    agents: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    field: str = ""
    above: float = 0.0
    up_to: float = float("inf")
    at_least: float = float("-inf")
    below: float = float("inf")
    choices: tuple[str, ...] = ()
    allergens: tuple[str, ...] = ()
    same_class: bool = False
    applies_to: tuple[str, ...] | None = None
    references: tuple[str, ...] = ()
    needs_review: bool = False

    def covers(self, value: float | str | bool | None) -> bool:
        """True if the rule applies to this value of its clinical field; a value that is not known never counts."""
        if value is None or isinstance(value, bool):
            return value is True
        if isinstance(value, str):
            return value in self.choices
        return self.above < value <= self.up_to and self.at_least <= value < self.below

    @property
    def of_patient(self) -> bool:
        """True if it looks at the patient alone, whatever is given."""
        return (self.kind.startswith("clinical_") and self.applies_to is None) or self.kind == "child_pugh_values"

    @property
    def whole_patient(self) -> bool:
        """True if it speaks of every protocol alike: `of_patient`, and an allergy to what is given with each."""
        return self.of_patient or (self.kind == "allergy" and bool(self.allergens) and self.applies_to is None)

    def concerned(self, protocol: Protocol) -> tuple[str, ...]:
        """The agents of the protocol that the rule is about."""
        return tuple(a for a in protocol.agents if self.applies_to is None or a in self.applies_to)


@dataclass(frozen=True)
class Facts:
    """What the rules know of a patient."""

    clinical: Clinical
    findings: Findings | None = None

    def value(self, field: str) -> Any:
        """A clinical field, or what follows from the others or from the labels; None if it is not known."""
        value = self.clinical.known(field)
        if (
            value is None
            and field == "renal_failure"
            and (self.clinical.egfr_ml_per_min is not None or self.clinical.creatinine_mg_per_dl is not None)
        ):
            return False  # the rules on the numbers say more than the word
        found = self.findings
        if (
            value is None
            and field == "tumour_burden_percent"
            and found is not None
            and 0 < found.liver_ml >= found.tumour_ml  # more tumour than liver is no measurement
        ):
            return 100.0 * found.tumour_ml / found.liver_ml
        return value

    def possible(self, field: str) -> tuple[Any, ...]:
        """The values that a field may have by what is known: one that is known, several within bounds, or none."""
        value = self.value(field)
        stated = self.clinical.child_pugh_class
        if value is None and field == "child_pugh_score" and stated is not None:
            low, high = CHILD_PUGH_POINTS[stated]
            least, most = self.clinical.least_child_pugh, self.clinical.most_child_pugh
            if least > high:  # where the values contradict the class, the worse of the two counts
                return tuple(range(least, most + 1))
            return tuple(range(max(low, least), (min(high, most) if most >= low else high) + 1))
        return () if value in (None, UNSPECIFIED) else (value,)

    def named(self, field: str) -> str:
        """What was given of the patient that a field of a rule was judged by, such as "portal_vein_thrombosis main"."""
        clinical, value = self.clinical, self.value(field)
        given = getattr(clinical, field)
        if given is None and field == "main_portal_vein_thrombosis":
            return f"portal_vein_thrombosis {clinical.portal_vein_thrombosis}"
        if given in (None, UNSPECIFIED) and field == "portal_vein_thrombosis" and value == "main":
            return "main_portal_vein_thrombosis"
        if given is None and field.startswith("child_pugh"):
            other = "child_pugh_class" if field == "child_pugh_score" else "child_pugh_score"
            stated = getattr(clinical, other)
            if stated is not None:
                return f"{other} {stated}"
            return f"{field} {value} by the values"
        shown = "" if value is True else f" {value}" if isinstance(value, str) else f" {value:.6g}"
        if given is None and field == "previous_tace_sessions":
            return f"{field}{shown}, by previous_tace"
        return f"{field}{shown}" + (", as measured" if given is None else "")


# Each check returns what in the protocol or the patient breaks the rule, or "" if nothing does.


def _at_most_one_of_class(rule: Rule, protocol: Protocol, _: Facts) -> str:
    carriers: dict[str, str] = {}
    for name in protocol.agents:
        substance = rule.counts_as.get(name, name)
        if agent(substance).agent_class == rule.agent_class:
            # Doxorubicin together with beads that carry it is one substance, not two.
            carriers.setdefault(substance, name)
    return " and ".join(carriers.values()) if len(carriers) > 1 else ""


def _not_together(rule: Rule, protocol: Protocol, _: Facts) -> str:
    here = [a for a in protocol.agents if a in rule.agents]
    there = [a for a in protocol.agents if a in rule.others]
    return " and ".join([*here, *there]) if here and there else ""


def _dose_ceiling(rule: Rule, protocol: Protocol, facts: Facts) -> str:
    # a limit of the doses' own table says more than the usual range: nobody is warned twice of one dose
    said = agents_over_limits(protocol, facts.clinical)
    over = []
    for action in protocol.actions:
        if said.get(action.agent) in (rule.severity, FORBIDDEN):
            continue
        # what forbids must stay forbidden whatever is added, beads too
        usual = usual_most(action.agent, protocol) if rule.severity == WARNING else agent(action.agent).dose_high
        most, unit = usual, agent(action.agent).dose_unit
        # Compared as a product, so that a rounding error cannot lift a dose right at the ceiling above it.
        if action.dose is not None and rule.above * most < action.dose <= rule.up_to * most:
            over.append(f"{action.agent} {action.dose:g} {unit}, usual up to {most:g} {unit}")
    return "; ".join(over)


def _clinical(rule: Rule, protocol: Protocol, facts: Facts) -> str:
    concerned = rule.concerned(protocol)
    values = facts.possible(rule.field) or (facts.value(rule.field),)
    if not concerned or not all(map(rule.covers, values)):
        return ""
    return facts.named(rule.field) + ("" if rule.applies_to is None else ", " + " and ".join(concerned))


def _lacks_field(rule: Rule, protocol: Protocol, facts: Facts) -> tuple[str, ...]:
    values = facts.possible(rule.field)
    if not rule.concerned(protocol) or (values and not any(map(rule.covers, values))):
        return ()
    return (_SHOWN_AS.get(rule.field, rule.field),)


def _allergy(rule: Rule, protocol: Protocol, facts: Facts) -> str:
    known = facts.clinical.allergies or ()
    if rule.allergens:
        hit = [name for name in known if name in rule.allergens]
        concerned = rule.concerned(protocol)
        whom = "" if rule.applies_to is None else ", " + " and ".join(concerned)
        return f"allergic to {' and '.join(hit)}{whom}" if hit and concerned else ""
    hits = []
    for name in rule.concerned(protocol):
        substance = rule.counts_as.get(name, name)
        group = agent(substance).agent_class
        itself = {name, substance, group} & set(known)
        mates = [a for a in known if a not in itself and a != group and _class_of(a) == group]
        if itself and not rule.same_class:
            by_class = itself == {group}
            hits.append(f"{name}, allergic to the class {group}" if by_class else name)
        elif rule.same_class and mates and not itself:
            hits.append(f"{name}, allergic to {' and '.join(mates)}")
    return " and ".join(hits)


def _lacks_allergies(rule: Rule, protocol: Protocol, facts: Facts) -> tuple[str, ...]:
    """Allergies that are not known, or one to a substance of which nobody here knows whether it matters."""
    known = facts.clinical.allergies
    judged = known is not None and all(map(is_known, known))
    return () if judged or not rule.concerned(protocol) else ("allergies",)


def _class_of(name: str) -> str:
    return vocabulary()[name].agent_class if name in vocabulary() else ""


def _completeness(_rule: Rule, protocol: Protocol, _: Facts) -> str:
    return " and ".join(f"no {kind}, such as {' or '.join(agents_of(kind)[:2])}" for kind in protocol.lacking)


def _bland(_rule: Rule, protocol: Protocol, _: Facts) -> str:
    bare = not protocol.drugs and LOADED not in protocol.embolics
    return " and ".join(protocol.embolics) if protocol.embolics and bare else ""


def _unloaded(rule: Rule, protocol: Protocol, _: Facts) -> str:
    return " and ".join(a for a in protocol.agents if a in rule.agents) if not protocol.drugs else ""


def _child_pugh_values(rule: Rule, _protocol: Protocol, facts: Facts) -> str:
    """The class that values make differs from the stated one; with choices, only where it is one of them."""
    clinical = facts.clinical
    if not rule.choices:
        return clinical.child_pugh_contradiction
    # what is not known cannot make it better
    least, stated = clinical.least_child_pugh, clinical.known("child_pugh_class")
    if child_pugh_class(least) not in rule.choices or stated == child_pugh_class(least):
        return ""
    bound = "" if clinical.computed_child_pugh is not None else "at least "
    return f"stated {stated or 'nothing'}, by the values {child_pugh_class(least)} ({bound}{least} points)"


def _lacks_child_pugh(rule: Rule, _protocol: Protocol, facts: Facts) -> tuple[str, ...]:
    """The values without which it is open which class they make, or the class that they are held against."""
    clinical = facts.clinical
    least, most, stated = clinical.least_child_pugh, clinical.most_child_pugh, clinical.known("child_pugh_class")
    made = {child_pugh_class(points) for points in range(least, most + 1)}
    missing = [name for name in _OF_CHILD_PUGH if clinical.known(name) in (None, UNSPECIFIED)]
    if rule.choices:
        decided = not made & set(rule.choices) or stated in rule.choices
    elif stated is None:
        return ("child_pugh_class",)
    else:
        points = clinical.child_pugh_score
        decided = made == {stated} and (points is None or points >= most)
    return () if decided else tuple(missing)


def _lacks_nothing(_rule: Rule, _protocol: Protocol, _facts: Facts) -> tuple[str, ...]:
    """A protocol says all that the rule asks for."""
    return ()


#: What the points of Child-Pugh are made of.
_OF_CHILD_PUGH = ("bilirubin_mg_per_dl", "albumin_g_per_dl", "inr", "ascites", "encephalopathy")
#: Fields that are asked for under another name.
_SHOWN_AS = {"main_portal_vein_thrombosis": "portal_vein_thrombosis"}
#: Kind to what it needs of the patient and lacks, so that it cannot be judged.
_LACKING: dict[str, Callable[[Rule, Protocol, Facts], tuple[str, ...]]] = {
    "at_most_one_of_class": _lacks_nothing,
    "not_together": _lacks_nothing,
    "dose_ceiling": _lacks_nothing,
    "clinical_threshold": _lacks_field,
    "clinical_choice": _lacks_field,
    "clinical_flag": _lacks_field,
    "allergy": _lacks_allergies,
    "child_pugh_values": _lacks_child_pugh,
    "completeness": _lacks_nothing,
    "bland": _lacks_nothing,
    "unloaded": _lacks_nothing,
}


def lacking(rule: Rule, protocol: Protocol, facts: Facts) -> tuple[str, ...]:
    """The clinical fields that a rule which is not touched lacks: with them it might be; () where it is judged."""
    return _LACKING[rule.kind](rule, protocol, facts)


#: Kind to its check, the fields it must have and the fields it may have.
KINDS: dict[str, tuple[Callable[[Rule, Protocol, Facts], str], set[str], set[str]]] = {
    "at_most_one_of_class": (_at_most_one_of_class, {"agent_class"}, {"counts_as"}),
    "not_together": (_not_together, {"agents", "others"}, set()),
    "dose_ceiling": (_dose_ceiling, {"above"}, {"up_to"}),
    "clinical_threshold": (_clinical, {"field", "above"}, {"up_to", "at_least", "below", "applies_to"}),
    "clinical_choice": (_clinical, {"field", "is"}, {"applies_to"}),
    "clinical_flag": (_clinical, {"field"}, {"applies_to"}),
    "allergy": (_allergy, set(), {"allergens", "counts_as", "same_class", "applies_to"}),
    "child_pugh_values": (_child_pugh_values, set(), {"is"}),
    "completeness": (_completeness, set(), set()),
    "bland": (_bland, set(), set()),
    "unloaded": (_unloaded, {"agents"}, set()),
}
#: Kinds that are asked of whole protocols only: what is missing may still come.
WHOLE_ONLY = ("completeness", "bland", "unloaded")
