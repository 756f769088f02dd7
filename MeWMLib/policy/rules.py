"""The clinical rules: a small engine over `rules.json`, which prunes the search and warns about what is left.

The rules are data, so that a physician can read, question and change them without reading code. A *forbidden* finding
is monotone: once a partial protocol is forbidden, adding an agent cannot make it allowed, so a search may cut the whole
branch. Completeness is the exception, and only complete protocols are checked for it.

Source of the idea: arXiv 2506.02327, section 3.3 ("clinical rules are introduced to prune unreasonable branches").
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

from MeWMLib.core.allergens import allergen
from MeWMLib.core.dosing import over_limits
from MeWMLib.core.errors import ClinicalDataError, RuleError, UnknownAgentError
from MeWMLib.core.goal import WITHOUT_DRUGS, Goal
from MeWMLib.core.patient import Clinical, Findings
from MeWMLib.core.plan import RuleFinding
from MeWMLib.core.protocol import DRUG, Protocol, agent, agents_of, vocabulary
from MeWMLib.core.records import from_plain, read_json
from MeWMLib.policy import rule_checks
from MeWMLib.policy.agent_names import members
from MeWMLib.policy.rule_checks import KINDS, WHOLE_ONLY, Facts, Rule, lacking
from MeWMLib.policy.sources import references, source_text

FORBIDDEN, WARNING, NOTE = _SEVERITIES = (rule_checks.FORBIDDEN, rule_checks.WARNING, rule_checks.NOTE)
#: States of a rule: the protocol touches it, it cannot be judged since a clinical field is missing, or no objection.
TOUCHED, NOT_KNOWN, SILENT = STATES = ("touched", "cannot be judged", "silent")
RULES_PATH = Path(__file__).with_name("rules.json")


class RuleFileError(RuleError):
    """The file of clinical rules cannot be read or does not follow its schema."""


@dataclass(frozen=True)
class Explained(RuleFinding):
    """What one rule says to one protocol; `reason` names what breaks the rule, if anything does.

    Attributes:
        state: `TOUCHED`, `NOT_KNOWN` or `SILENT`.
        field: the first clinical field that is missing, or "".
        lacks: all that are missing, where several are.
    """

    state: str = SILENT
    field: str = ""
    lacks: tuple[str, ...] = ()


#: The type that a clinical field must have for a kind of rule, as annotated in `Clinical`.
_FIELD_TYPES = {"clinical_threshold": "float | None", "clinical_choice": "str | None", "clinical_flag": "bool | None"}
_COMMON = {"id", "kind", "severity", "reason", "source"}
_OPTIONAL = {"references", "needs_review"}


def check(
    protocol: Protocol,
    clinical: Clinical | None = None,
    complete: bool = True,
    rules: Sequence[Rule] | None = None,
    findings: Findings | None = None,
    goal: Goal | None = None,
) -> tuple[RuleFinding, ...]:
    """Say which clinical rules a protocol touches: the first of the three answers of `explain`.

    Args:
        protocol: complete, or partial with `complete=False`.
        clinical: what is known of the patient; what is not known breaks no rule. None means nothing is known.
        complete: whether the protocol must contain an embolic agent.
        rules: rules to use in place of MeWM's own.
        findings: measured on the labels; None means nothing is known.
        goal: what it rules out is forbidden, and so is what is above its limits.

    Returns:
        Findings: forbidden, warning, note; otherwise in the order of the rules.
    """
    facts, found = Facts(clinical or Clinical(), findings), list(_of_goal(protocol, goal))
    for rule in load_rules() if rules is None else rules:
        if rule.kind in WHOLE_ONLY and not complete:
            continue
        detail = KINDS[rule.kind][0](rule, protocol, facts)
        if detail:
            found.append(RuleFinding(rule.id, rule.severity, f"{rule.reason} ({detail})", rule.source))
    if rules is None:
        found += over_limits(protocol, clinical)
    return tuple(sorted(found, key=lambda f: _SEVERITIES.index(f.severity)))


def _of_goal(protocol: Protocol, goal: Goal | None) -> Iterator[RuleFinding]:
    """What the treatment goal forbids."""
    if goal is None:
        return
    excluded = [name for name in protocol.agents if name in goal.ruled_out]
    if excluded:
        reason = f"The goal rules it out ({' and '.join(excluded)})"
        yield RuleFinding("goal-excludes", FORBIDDEN, reason, "the treatment goal")
    if goal.without_drugs and protocol.drugs:
        reason = f"The goal asks for embolisation without a drug ({' and '.join(protocol.drugs)})"
        yield RuleFinding("goal-limits", FORBIDDEN, reason, "the treatment goal")
    over = [
        f"{broken}, {limit.text}"
        for limit in goal.limits
        if limit != WITHOUT_DRUGS and (broken := limit.broken_by(protocol))
    ]
    if over:
        reason = f"It is above a limit of the goal ({'; '.join(over)})"
        yield RuleFinding("goal-limits", FORBIDDEN, reason, "the treatment goal")


def allowed(
    protocol: Protocol,
    clinical: Clinical | None = None,
    complete: bool = False,
    rules: Sequence[Rule] | None = None,
    findings: Findings | None = None,
    goal: Goal | None = None,
) -> bool:
    """True if no rule forbids the protocol. With `complete=False` a search may prune partial protocols with it."""
    return not blocking(check(protocol, clinical, complete, rules, findings, goal), goal)


def blocking(found: Iterable[RuleFinding], goal: Goal | None = None) -> list[RuleFinding]:
    """Of what `check` says, what a protocol may not be given for.

    Where the user goes on although TACE is contraindicated (`Goal.insists`), rules about the patient as a whole do not
    block; they are still found, and every output says so.
    """
    lifted = {rule.id for rule in load_rules() if rule.of_patient} if goal is not None and goal.insists else set()
    return [f for f in found if f.severity == FORBIDDEN and f.rule not in lifted]


def contraindications(clinical: Clinical, findings: Findings | None = None) -> tuple[RuleFinding, ...]:
    """Rules by which TACE is contraindicated in this patient, whatever is given."""
    rules = [rule for rule in load_rules() if rule.of_patient and rule.severity == FORBIDDEN]
    # a rule of the patient asks for no agent in particular
    return check(Protocol.of(agents_of(DRUG)[:1]), clinical, False, rules, findings)


def of_whole_patient(clinical: Clinical, findings: Findings | None = None) -> tuple[RuleFinding, ...]:
    """What the rules say of this patient whatever is given, forbidden first: an allergy to contrast medium, a stent."""
    rules = [rule for rule in load_rules() if rule.whole_patient]
    return check(Protocol.of(agents_of(DRUG)[:1]), clinical, False, rules, findings)


def left_out(
    clinical: Clinical | None = None, findings: Findings | None = None, goal: Goal | None = None
) -> dict[str, str]:
    """Agents that may not be given to this patient at all, each with the reasons: no policy proposes them."""
    found = {}
    for name in vocabulary():
        alone = check(Protocol.of([name]), clinical, False, findings=findings, goal=goal)
        if reasons := [finding.reason for finding in blocking(alone, goal)]:
            found[name] = "; ".join(reasons)
    return found


def explain_none(
    drugs: Sequence[str],
    embolics: Sequence[str],
    clinical: Clinical | None = None,
    findings: Findings | None = None,
    goal: Goal | None = None,
) -> str:
    """Say in one line which rules forbid the pairs of these agents: the text of a `RuleError`.

    Where a single rule forbids every pair, only such rules are named.
    """
    # without drugs, each embolic alone
    pairs = [Protocol.of([*drug, embolic]) for drug in ([[d] for d in drugs] or [[]]) for embolic in embolics]
    reasons: dict[str, list[str]] = {}
    for pair in pairs:
        for finding in check(pair, clinical, findings=findings, goal=goal):
            if blocking([finding], goal):
                reasons.setdefault(finding.rule, []).append(finding.reason)
    everywhere = {rule: found for rule, found in reasons.items() if len(found) == len(pairs)}
    return "; ".join(f"{found[0]} [{rule}]" for rule, found in (everywhere or reasons).items())


def explain(
    protocol: Protocol,
    clinical: Clinical | None = None,
    complete: bool = True,
    rules: Sequence[Rule] | None = None,
    findings: Findings | None = None,
    goal: Goal | None = None,
) -> tuple[Explained, ...]:
    """Say what every rule says to a protocol; arguments as those of `check`.

    Returns:
        Touched rules first (forbidden, warning, note), then those that cannot be judged, with the clinical field that
        is missing (or, of allergies, names a substance that MeWM does not know), then the rest.
    """
    facts = Facts(clinical or Clinical(), findings)
    found = [Explained(f.rule, f.severity, f.reason, f.source, TOUCHED) for f in _of_goal(protocol, goal)]
    if rules is None or rules == load_rules():
        limits = over_limits(protocol, facts.clinical)
        found += [Explained(f.rule, f.severity, f.reason, f.source, TOUCHED) for f in limits]
    for rule in load_rules() if rules is None else rules:
        reason, state, lacks = rule.reason, SILENT, tuple[str, ...]()
        if broken := check(protocol, facts.clinical, complete, (rule,), findings):
            reason, state = broken[0].reason, TOUCHED
        elif lacks := lacking(rule, protocol, facts):
            state = NOT_KNOWN
        first = lacks[0] if lacks else ""
        found.append(Explained(rule.id, rule.severity, reason, rule.source, state, first, lacks))
    order = [*_SEVERITIES, ""]
    return tuple(sorted(found, key=lambda e: (STATES.index(e.state), order.index(e.severity) * (e.state == TOUCHED))))


def unjudged(explained: Sequence[Explained]) -> dict[str, tuple[str, ...]]:
    """Of what `explain` says: each clinical field that is missing, with the rules that cannot be judged without it.

    A rule that lacks several is counted with the first of them; `Explained.lacks` names all.
    """
    missing: dict[str, tuple[str, ...]] = {}
    for entry in explained:
        if entry.state == NOT_KNOWN:
            missing[entry.field] = (*missing.get(entry.field, ()), entry.rule)
    return missing


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
    if not isinstance(kind, str) or kind not in KINDS:
        raise RuleFileError(what=f"{name} is of an unknown kind", given=repr(kind), remedy="Use " + ", ".join(KINDS))
    _, required, optional = KINDS[kind]
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
            allergens=tuple(_allergen(text, name) for text in rule.allergens),
            counts_as={agent(text).name: agent(substance).name for text, substance in rule.counts_as.items()},
        )
    except UnknownAgentError as error:
        raise RuleFileError(what=f"{name}: {error.what}", given=error.given, remedy=error.remedy) from error
    for what, wrong, remedy in _problems(rule, entry):
        raise RuleFileError(what=f"{name} {what}", given=repr(wrong), remedy=remedy)
    return replace(rule, source=source_text(rule.source, rule.references, rule.needs_review))


def _allergen(text: str, name: str) -> str:
    try:
        return allergen(text)
    except ClinicalDataError as error:
        raise RuleFileError(what=f"{name}: {error.what}", given=error.given, remedy=error.remedy) from error


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
    if rule.severity not in _SEVERITIES:
        yield "has an unknown severity", rule.severity, "Use " + " or ".join(_SEVERITIES)
    if unknown := [key for key in rule.references if key not in references()]:
        remedy = "Use keys of MeWMLib/policy/sources.json, or write the publication out as source"
        yield "refers to publications that are not known", unknown, remedy
    # Only a field of the right type: a threshold on a text would fail later, in the middle of a search.
    usable = [f.name for f in fields(Clinical) if f.type == _FIELD_TYPES.get(rule.kind)]
    if "field" in entry and rule.field not in usable:
        yield "asks for a clinical field that it cannot use", rule.field, "Use " + ", ".join(usable)
    if min(rule.up_to, rule.below) <= rule.above or rule.at_least > rule.up_to or rule.at_least >= rule.below:
        yield "has an empty range", f"above {rule.above:g} up to {rule.up_to:g}", ""
