"""The clinical rules: a small engine over `rules.json`, which prunes the search and warns about what is left.

The rules are data, so that a physician can read, question and change them without reading code. A *forbidden* finding
is monotone: once a partial protocol is forbidden, no further action repairs it, so a search may cut the whole branch.
Only completeness is not, and it is asked of complete protocols alone.

Source of the idea: arXiv 2506.02327, section 3.3 ("clinical rules are introduced to prune unreasonable branches").
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from dataclasses import field as dataclass_field
from functools import cache
from pathlib import Path
from typing import Any

from MeWMLib.core.errors import RuleError, UnknownAgentError
from MeWMLib.core.patient import Clinical
from MeWMLib.core.plan import RuleFinding
from MeWMLib.core.protocol import Protocol, agent, vocabulary
from MeWMLib.policy.sources import references, source_text

FORBIDDEN, WARNING = "forbidden", "warning"
RULES_PATH = Path(__file__).with_name("rules.json")


class RuleFileError(RuleError):
    """The file of clinical rules cannot be read or does not follow its schema."""


@dataclass(frozen=True)
class Rule:
    """One clinical rule. Which of the last fields count depends on `kind` (see `_SCHEMAS`).

    Attributes:
        id: its unique name.
        kind: which check it is.
        severity: "forbidden" or "warning".
        reason: why, for a physician.
        source: where that stands, in one line with the addresses of its references.
        agent_class: class of which at most one substance may be given.
        counts_as: agent to the substance of `agent_class` that it carries.
        agents, others: none of the first may stand beside one of the second.
        field: the field of `Clinical` that is looked at.
        above, up_to: the rule speaks for above < value <= up_to; for doses, in multiples of `Agent.dose_high`.
        choices: values of the field for which it speaks.
        applies_to: canonical names of the agents that it concerns; None means all.
        references: keys of `policy/sources.json`.
        needs_review: no physician has confirmed the rule, and no work says exactly this.
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

    def within(self, value: float) -> bool:
        """True if the rule speaks for this value."""
        return self.above < value <= self.up_to

    def concerned(self, protocol: Protocol) -> tuple[str, ...]:
        """The agents of the protocol that the rule is about."""
        return tuple(a for a in protocol.agents if self.applies_to is None or a in self.applies_to)


# Each check returns what in the protocol or the patient touches the rule, or "" if nothing does.


def _at_most_one_of_class(rule: Rule, protocol: Protocol, _: Clinical) -> str:
    carriers: dict[str, str] = {}
    for name in protocol.agents:
        substance = rule.counts_as.get(name, name)
        if agent(substance).agent_class == rule.agent_class:
            # Doxorubicin beside beads that carry it is one substance, not two.
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
        # Compared as a product, so that a dose right at the ceiling does not pass it by a rounding error.
        if action.dose is not None and rule.above * known.dose_high < action.dose <= rule.up_to * known.dose_high:
            unit = known.dose_unit
            over.append(f"{action.agent} {action.dose:g} {unit}, usual up to {known.dose_high:g} {unit}")
    return "; ".join(over)


def _clinical_threshold(rule: Rule, protocol: Protocol, clinical: Clinical) -> str:
    value = getattr(clinical, rule.field)
    concerned = rule.concerned(protocol)
    if value is None or not rule.within(value) or not concerned:
        return ""
    return f"{rule.field} {value:g}" + _of(rule, concerned)


def _clinical_choice(rule: Rule, protocol: Protocol, clinical: Clinical) -> str:
    value = getattr(clinical, rule.field)
    concerned = rule.concerned(protocol)
    return f"{rule.field} {value}" + _of(rule, concerned) if value in rule.choices and concerned else ""


def _clinical_flag(rule: Rule, protocol: Protocol, clinical: Clinical) -> str:
    concerned = rule.concerned(protocol)
    return rule.field + _of(rule, concerned) if getattr(clinical, rule.field) is True and concerned else ""


def _of(rule: Rule, concerned: Sequence[str]) -> str:
    return "" if rule.applies_to is None else ", " + " and ".join(concerned)


def _completeness(rule: Rule, protocol: Protocol, _: Clinical) -> str:
    missing = [kind for kind, names in (("drug", protocol.drugs), ("embolic", protocol.embolics)) if not names]
    return "no " + " and no ".join(missing) if missing else ""


#: Kind to its check, the fields it must have and the fields it may have.
_SCHEMAS: dict[str, tuple[Callable[[Rule, Protocol, Clinical], str], set[str], set[str]]] = {
    "at_most_one_of_class": (_at_most_one_of_class, {"agent_class"}, {"counts_as"}),
    "not_together": (_not_together, {"agents", "others"}, set()),
    "dose_ceiling": (_dose_ceiling, {"above"}, {"up_to"}),
    "clinical_threshold": (_clinical_threshold, {"field", "above"}, {"up_to", "applies_to"}),
    "clinical_choice": (_clinical_choice, {"field", "is"}, {"applies_to"}),
    "clinical_flag": (_clinical_flag, {"field"}, {"applies_to"}),
    "completeness": (_completeness, set(), set()),
}
#: The type that a clinical field must have for a kind of rule, as it is written in `Clinical`.
_FIELD_TYPES = {"clinical_threshold": "float | None", "clinical_choice": "str | None", "clinical_flag": "bool | None"}
_COMMON = {"id", "kind", "severity", "reason", "source"}
_OPTIONAL = {"references", "needs_review"}


def check(
    protocol: Protocol,
    clinical: Clinical | None = None,
    complete: bool = True,
    rules: Sequence[Rule] | None = None,
) -> tuple[RuleFinding, ...]:
    """Say which clinical rules a protocol touches.

    Args:
        protocol: complete, or partial with `complete=False`.
        clinical: what is known of the patient; what is not known touches no rule. None means nothing is known.
        complete: whether the protocol must hold a drug and an embolic agent.
        rules: other rules than those of MeWM.

    Returns:
        Findings, the forbidden ones first, otherwise in the order of the rules.
    """
    findings = []
    for rule in load_rules() if rules is None else rules:
        if rule.kind == "completeness" and not complete:
            continue
        detail = _SCHEMAS[rule.kind][0](rule, protocol, clinical or Clinical())
        if detail:
            findings.append(RuleFinding(rule.id, rule.severity, f"{rule.reason} ({detail})", rule.source))
    return tuple(sorted(findings, key=lambda f: f.severity != FORBIDDEN))


def allowed(
    protocol: Protocol,
    clinical: Clinical | None = None,
    complete: bool = False,
    rules: Sequence[Rule] | None = None,
) -> bool:
    """True if no rule forbids the protocol. With `complete=False` a search may prune partial protocols with it."""
    return all(finding.severity != FORBIDDEN for finding in check(protocol, clinical, complete, rules))


def explain_none(drugs: Sequence[str], embolics: Sequence[str], clinical: Clinical | None = None) -> str:
    """Say in one line which rules forbid the pairs of these agents: the text of a `RuleError`.

    A rule that forbids every pair is reason enough: then only such rules are named.
    """
    pairs = [Protocol.of([drug, embolic]) for drug in drugs for embolic in embolics]
    reasons: dict[str, list[str]] = {}
    for pair in pairs:
        for finding in check(pair, clinical):
            if finding.severity == FORBIDDEN:
                reasons.setdefault(finding.rule, []).append(finding.reason)
    everywhere = {rule: found for rule, found in reasons.items() if len(found) == len(pairs)}
    return "; ".join(f"{found[0]} [{rule}]" for rule, found in (everywhere or reasons).items())


@cache
def load_rules(path: Path = RULES_PATH) -> tuple[Rule, ...]:
    """Read a file of clinical rules; read once, then kept.

    Raises:
        RuleFileError: the file cannot be read, or a rule does not follow the schema of its kind.
    """
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise RuleFileError(what="The clinical rules cannot be read", given=f"{path} ({error})") from error
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
        raise RuleFileError(what=f"Clinical rule {number} is no JSON object", given=repr(entry))
    name = f"Clinical rule {entry.get('id', number)!r}"
    kind = entry.get("kind")
    if not isinstance(kind, str) or kind not in _SCHEMAS:
        raise RuleFileError(what=f"{name} is of an unknown kind", given=repr(kind), remedy="Use " + ", ".join(_SCHEMAS))
    _, required, optional = _SCHEMAS[kind]
    missing = sorted((_COMMON | required) - set(entry))
    unknown = sorted(set(entry) - _COMMON - _OPTIONAL - required - optional)
    if missing or unknown:
        given = [f"{' and '.join(missing)} missing"] * bool(missing) + [f"unknown {', '.join(unknown)}"] * bool(unknown)
        raise RuleFileError(what=f"{name} does not have the fields of its kind", given="; ".join(given))
    for key in ("id", "severity", "reason", "source"):
        if not isinstance(entry[key], str) or not entry[key].strip():
            raise RuleFileError(what=f"{name} needs a text as {key}", given=repr(entry[key]))
    if entry["severity"] not in (FORBIDDEN, WARNING):
        raise RuleFileError(
            what=f"{name} has an unknown severity", given=entry["severity"], remedy="Use forbidden or warning"
        )
    keys, review = entry.get("references", []), entry.get("needs_review", False)
    if not isinstance(keys, list) or not all(key in references() for key in keys):
        remedy = "Use keys of MeWMLib/policy/sources.json, or write the work out as source"
        raise RuleFileError(what=f"{name} has references that are not known", given=repr(keys), remedy=remedy)
    if not isinstance(review, bool):
        raise RuleFileError(what=f"{name} needs true or false as needs_review", given=repr(review))
    if "field" in entry:
        # Only a field of the right type: a threshold on a text would fail later, in the middle of a search.
        known = [f.name for f in fields(Clinical) if f.type == _FIELD_TYPES[kind]]
        if entry["field"] not in known:
            raise RuleFileError(
                what=f"{name} asks for a clinical field that it cannot use",
                given=repr(entry["field"]),
                remedy="Use " + ", ".join(known),
            )
    values = {key: value for key, value in entry.items() if key not in ("is", "applies_to")}
    values |= {"references": tuple(keys), "source": source_text(entry["source"], keys, review)}
    for key in ("above", "up_to"):
        if key in entry and (isinstance(entry[key], bool) or not isinstance(entry[key], int | float)):
            raise RuleFileError(what=f"{name} needs a number as {key}", given=repr(entry[key]))
    if "up_to" in entry and entry["up_to"] <= entry["above"]:
        raise RuleFileError(what=f"{name} has an empty range", given=f"above {entry['above']} up to {entry['up_to']}")
    for key in ("agents", "others"):
        if key in entry:
            values[key] = _agents(entry[key], name)
    if "is" in entry:
        values["choices"] = _texts(entry["is"], name)
    if "agent_class" in entry:
        _known_class(entry["agent_class"], name)
    if "counts_as" in entry:
        values["counts_as"] = _counts_as(entry["counts_as"], name)
    if "applies_to" in entry:
        values["applies_to"] = _applies_to(entry["applies_to"], name)
    return Rule(**values)


def _texts(value: Any, name: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(text, str) for text in value):
        raise RuleFileError(what=f"{name} needs a list of texts", given=repr(value))
    return tuple(value)


def _agents(value: Any, name: str) -> tuple[str, ...]:
    try:
        return tuple(agent(text).name for text in _texts(value, name))
    except UnknownAgentError as error:
        raise RuleFileError(what=f"{name} names an unknown agent", given=error.given, remedy=error.remedy) from error


def _known_class(value: Any, name: str) -> str:
    classes = {known.agent_class for known in vocabulary().values()}
    if not isinstance(value, str) or value not in classes:
        remedy = "Use " + ", ".join(sorted(classes))
        raise RuleFileError(what=f"{name} names an unknown class of agents", given=repr(value), remedy=remedy)
    return value


def _counts_as(value: Any, name: str) -> dict[str, str]:
    if not isinstance(value, dict):
        raise RuleFileError(what=f"{name} needs an object as counts_as", given=repr(value))
    return {_agents([key], name)[0]: _agents([substance], name)[0] for key, substance in value.items()}


def _applies_to(value: Any, name: str) -> tuple[str, ...]:
    if not isinstance(value, dict) or not value or set(value) - {"agents", "classes"}:
        raise RuleFileError(what=f"{name} applies to agents or classes", given=repr(value))
    chosen = set(_agents(value["agents"], name)) if "agents" in value else set()
    for text in _texts(value["classes"], name) if "classes" in value else ():
        _known_class(text, name)
        chosen |= {known.name for known in vocabulary().values() if known.agent_class == text}
    return tuple(known for known in vocabulary() if known in chosen)
