"""The clinical rules: a small engine over `rules.json`, which prunes the search and warns about what is left.

The rules are data, so that a physician can read, question and change them without reading code. A *forbidden* finding
is monotone: once a partial protocol is forbidden, adding an agent cannot make it allowed, so a search may cut the whole
branch. Completeness is the exception, and only complete protocols are checked for it.

Source of the idea: arXiv 2506.02327, section 3.3 ("clinical rules are introduced to prune unreasonable branches").
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from dataclasses import field as dataclass_field
from functools import cache
from pathlib import Path
from typing import Any

from MeWMLib.core.dosing import over_limits
from MeWMLib.core.errors import RuleError, UnknownAgentError
from MeWMLib.core.patient import Clinical
from MeWMLib.core.plan import RuleFinding
from MeWMLib.core.protocol import Protocol, agent, agents_of, vocabulary
from MeWMLib.core.records import from_plain, read_json
from MeWMLib.policy.agent_names import members
from MeWMLib.policy.sources import references, source_text

FORBIDDEN, WARNING = "forbidden", "warning"
#: States of a rule: the protocol breaks it, a clinical field that it asks for is not known, or it has no objection.
TOUCHED, NOT_KNOWN, SILENT = STATES = ("touched", "not known", "silent")
RULES_PATH = Path(__file__).with_name("rules.json")


class RuleFileError(RuleError):
    """The file of clinical rules cannot be read or does not follow its schema."""


@dataclass(frozen=True)
class Rule:
    """One clinical rule. Which of the fields after `source` count depends on `kind` (see `_KINDS`).

    Attributes:
        id: its unique name.
        kind: which check it is.
        severity: "forbidden" or "warning".
        reason: why, for a physician.
        source: who says so, in one line with the addresses of its references.
        agent_class: class of which at most one substance may be given.
        counts_as: agent to the substance of `agent_class` that it carries.
        agents, others: none of the first may be given together with any of the second.
        field: the field of `Clinical` that it asks for.
        above, up_to: it applies where above < value <= up_to; for doses, in multiples of `Agent.dose_high`.
        choices: values of the field to which it applies.
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
    choices: tuple[str, ...] = ()
    applies_to: tuple[str, ...] | None = None
    references: tuple[str, ...] = ()
    needs_review: bool = False

    def covers(self, value: float | str | bool | None) -> bool:
        """True if the rule applies to this value of its clinical field; a value that is not known never counts."""
        if value is None or isinstance(value, bool):
            return value is True
        return value in self.choices if isinstance(value, str) else self.above < value <= self.up_to

    def concerned(self, protocol: Protocol) -> tuple[str, ...]:
        """The agents of the protocol that the rule is about."""
        return tuple(a for a in protocol.agents if self.applies_to is None or a in self.applies_to)


@dataclass(frozen=True)
class Explained(RuleFinding):
    """What one rule says to one protocol; `reason` names what breaks the rule, if anything does.

    Attributes:
        state: `TOUCHED`, `NOT_KNOWN` or `SILENT`.
        field: the clinical field that is missing, or "".
    """

    state: str = SILENT
    field: str = ""


# Each check returns what in the protocol or the patient breaks the rule, or "" if nothing does.


def _at_most_one_of_class(rule: Rule, protocol: Protocol, _: Clinical) -> str:
    carriers: dict[str, str] = {}
    for name in protocol.agents:
        substance = rule.counts_as.get(name, name)
        if agent(substance).agent_class == rule.agent_class:
            # Doxorubicin together with beads that carry it is one substance, not two.
            carriers.setdefault(substance, name)
    return " and ".join(carriers.values()) if len(carriers) > 1 else ""


def _not_together(rule: Rule, protocol: Protocol, _: Clinical) -> str:
    here = [a for a in protocol.agents if a in rule.agents]
    there = [a for a in protocol.agents if a in rule.others]
    return " and ".join([*here, *there]) if here and there else ""


def _dose_ceiling(rule: Rule, protocol: Protocol, _: Clinical) -> str:
    over = []
    for action in protocol.actions:
        known = agent(action.agent)
        # Compared as a product, so that a rounding error cannot lift a dose right at the ceiling above it.
        if action.dose is not None and rule.above * known.dose_high < action.dose <= rule.up_to * known.dose_high:
            unit = known.dose_unit
            over.append(f"{action.agent} {action.dose:g} {unit}, usual up to {known.dose_high:g} {unit}")
    return "; ".join(over)


def _clinical(rule: Rule, protocol: Protocol, clinical: Clinical) -> str:
    value = getattr(clinical, rule.field)
    concerned = rule.concerned(protocol)
    if not concerned or not rule.covers(value):
        return ""
    shown = "" if value is True else f" {value}" if isinstance(value, str) else f" {value:g}"
    return rule.field + shown + ("" if rule.applies_to is None else ", " + " and ".join(concerned))


def _completeness(rule: Rule, protocol: Protocol, _: Clinical) -> str:
    return " and ".join(f"no {kind}, such as {' or '.join(agents_of(kind)[:2])}" for kind in protocol.lacking)


#: Kind to its check, the fields it must have and the fields it may have.
_KINDS: dict[str, tuple[Callable[[Rule, Protocol, Clinical], str], set[str], set[str]]] = {
    "at_most_one_of_class": (_at_most_one_of_class, {"agent_class"}, {"counts_as"}),
    "not_together": (_not_together, {"agents", "others"}, set()),
    "dose_ceiling": (_dose_ceiling, {"above"}, {"up_to"}),
    "clinical_threshold": (_clinical, {"field", "above"}, {"up_to", "applies_to"}),
    "clinical_choice": (_clinical, {"field", "is"}, {"applies_to"}),
    "clinical_flag": (_clinical, {"field"}, {"applies_to"}),
    "completeness": (_completeness, set(), set()),
}
#: The type that a clinical field must have for a kind of rule, as annotated in `Clinical`.
_FIELD_TYPES = {"clinical_threshold": "float | None", "clinical_choice": "str | None", "clinical_flag": "bool | None"}
_COMMON = {"id", "kind", "severity", "reason", "source"}
_OPTIONAL = {"references", "needs_review"}


def check(
    protocol: Protocol, clinical: Clinical | None = None, complete: bool = True, rules: Sequence[Rule] | None = None
) -> tuple[RuleFinding, ...]:
    """Say which clinical rules a protocol breaks.

    Args:
        protocol: complete, or partial with `complete=False`.
        clinical: what is known of the patient; what is not known breaks no rule. None means nothing is known.
        complete: whether the protocol must contain a drug and an embolic agent.
        rules: rules to use in place of MeWM's own.

    Returns:
        Findings, the forbidden ones first, otherwise in the order of the rules.
    """
    findings = []
    for rule in load_rules() if rules is None else rules:
        if rule.kind == "completeness" and not complete:
            continue
        detail = _KINDS[rule.kind][0](rule, protocol, clinical or Clinical())
        if detail:
            findings.append(RuleFinding(rule.id, rule.severity, f"{rule.reason} ({detail})", rule.source))
    if rules is None:
        findings += over_limits(protocol, clinical)
    return tuple(sorted(findings, key=lambda f: f.severity != FORBIDDEN))


def allowed(
    protocol: Protocol, clinical: Clinical | None = None, complete: bool = False, rules: Sequence[Rule] | None = None
) -> bool:
    """True if no rule forbids the protocol. With `complete=False` a search may prune partial protocols with it."""
    return all(finding.severity != FORBIDDEN for finding in check(protocol, clinical, complete, rules))


def explain_none(drugs: Sequence[str], embolics: Sequence[str], clinical: Clinical | None = None) -> str:
    """Say in one line which rules forbid the pairs of these agents: the text of a `RuleError`.

    Where a single rule forbids every pair, only such rules are named.
    """
    pairs = [Protocol.of([drug, embolic]) for drug in drugs for embolic in embolics]
    reasons: dict[str, list[str]] = {}
    for pair in pairs:
        for finding in check(pair, clinical):
            if finding.severity == FORBIDDEN:
                reasons.setdefault(finding.rule, []).append(finding.reason)
    everywhere = {rule: found for rule, found in reasons.items() if len(found) == len(pairs)}
    return "; ".join(f"{found[0]} [{rule}]" for rule, found in (everywhere or reasons).items())


def explain(
    protocol: Protocol, clinical: Clinical | None = None, complete: bool = True, rules: Sequence[Rule] | None = None
) -> tuple[Explained, ...]:
    """Say what every rule says to a protocol; arguments as those of `check`.

    Returns:
        Broken rules first (forbidden, then warning), then those that could not be checked, then the rest.
    """
    known = clinical or Clinical()
    found = []
    if rules is None or rules == load_rules():
        limits = over_limits(protocol, known)
        found += [Explained(f.rule, f.severity, f.reason, f.source, TOUCHED) for f in limits]
    for rule in load_rules() if rules is None else rules:
        reason, state, field = rule.reason, SILENT, ""
        if broken := check(protocol, known, complete, (rule,)):
            reason, state = broken[0].reason, TOUCHED
        elif rule.field and getattr(known, rule.field) is None and rule.concerned(protocol):
            state, field = NOT_KNOWN, rule.field
        found.append(Explained(rule.id, rule.severity, reason, rule.source, state, field))
    return tuple(sorted(found, key=lambda e: (STATES.index(e.state), e.state == TOUCHED and e.severity != FORBIDDEN)))


@cache
def load_rules(path: Path = RULES_PATH) -> tuple[Rule, ...]:
    """Read a file of clinical rules; read once, then kept.

    Raises:
        RuleFileError: the file cannot be read, or a rule does not have the form of its kind.
    """
    data = read_json(path, "The file of clinical rules", RuleFileError)
    if not isinstance(data, dict) or data.get("version") != 1 or not isinstance(data.get("rules"), list):
        raise RuleFileError(
            what="A file of clinical rules is one JSON object with version 1 and a list of rules", given=str(path)
        )
    rules = tuple(_read_rule(entry, n) for n, entry in enumerate(data["rules"], start=1))
    ids = [rule.id for rule in rules]
    twice = sorted({name for name in ids if ids.count(name) > 1})
    if twice:
        raise RuleFileError(what="Two clinical rules have the same id", given=", ".join(twice))
    return rules


def _read_rule(entry: Any, number: int) -> Rule:
    if not isinstance(entry, dict):
        raise RuleFileError(what=f"Clinical rule {number} is not a JSON object", given=repr(entry))
    name = f"Clinical rule {entry.get('id', number)!r}"
    kind = entry.get("kind")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise RuleFileError(what=f"{name} is of an unknown kind", given=repr(kind), remedy="Use " + ", ".join(_KINDS))
    _, required, optional = _KINDS[kind]
    missing = sorted((_COMMON | required) - set(entry))
    unknown = sorted(set(entry) - _COMMON - _OPTIONAL - required - optional)
    if missing or unknown:
        given = [f"{' and '.join(missing)} missing"] * bool(missing) + [f"unknown {', '.join(unknown)}"] * bool(unknown)
        raise RuleFileError(what=f"{name} does not have the fields of its kind", given="; ".join(given))
    # "is" is a word of Python
    values = {"choices" if key == "is" else key: value for key, value in entry.items()}
    try:
        if "applies_to" in entry:
            values["applies_to"] = _concerned(entry["applies_to"], name)
        rule = from_plain(Rule, values, name, RuleFileError, "See MeWMLib/policy/rules.schema.json")
        if rule.agent_class:
            members(rule.agent_class)
        rule = replace(
            rule,
            agents=tuple(agent(text).name for text in rule.agents),
            others=tuple(agent(text).name for text in rule.others),
            counts_as={agent(text).name: agent(substance).name for text, substance in rule.counts_as.items()},
        )
    except UnknownAgentError as error:
        raise RuleFileError(what=f"{name}: {error.what}", given=error.given, remedy=error.remedy) from error
    for what, wrong, remedy in _problems(rule, entry):
        raise RuleFileError(what=f"{name} {what}", given=repr(wrong), remedy=remedy)
    return replace(rule, source=source_text(rule.source, rule.references, rule.needs_review))


@dataclass(frozen=True)
class _Groups:
    """`applies_to` of a rule, as the file has it."""

    agents: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()


def _concerned(value: Any, name: str) -> list[str]:
    """Canonical names of the agents that a rule applies to."""
    groups = from_plain(_Groups, value, f"applies_to of {name}", RuleFileError)
    if not value or not all(value.values()):
        raise RuleFileError(what=f"{name} applies to no agent and no class", given=repr(value))
    chosen = {agent(text).name for text in groups.agents}.union(*map(members, groups.classes))
    return [known for known in vocabulary() if known in chosen]


def _problems(rule: Rule, entry: Mapping[str, Any]) -> Iterator[tuple[str, Any, str]]:
    """Why a rule of the right form cannot be used: what is wrong, what was given, what to do."""
    for key, value in entry.items():
        if (value == [] and key != "references") or (isinstance(value, str) and not value.strip()):
            yield f"has an empty {key!r}", value, ""
    if rule.severity not in (FORBIDDEN, WARNING):
        yield "has an unknown severity", rule.severity, "Use forbidden or warning"
    if unknown := [key for key in rule.references if key not in references()]:
        remedy = "Use keys of MeWMLib/policy/sources.json, or write the publication out as source"
        yield "refers to publications that are not known", unknown, remedy
    # Only a field of the right type: a threshold on a text would fail later, in the middle of a search.
    usable = [f.name for f in fields(Clinical) if f.type == _FIELD_TYPES.get(rule.kind)]
    if "field" in entry and rule.field not in usable:
        yield "asks for a clinical field that it cannot use", rule.field, "Use " + ", ".join(usable)
    if rule.up_to <= rule.above:
        yield "has an empty range", f"above {rule.above:g} up to {rule.up_to:g}", ""
