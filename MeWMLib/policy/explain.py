"""Why a protocol is allowed or not: what every clinical rule says to it. `mewm rules check` prints this."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from MeWMLib.core.patient import Clinical
from MeWMLib.core.protocol import Protocol
from MeWMLib.policy.rules import FORBIDDEN, Rule, check, load_rules

#: States of a rule: the protocol breaks it, it has no objection, or a clinical field that it asks for is not known.
TOUCHED, SILENT, NOT_KNOWN = "touched", "silent", "not known"
_ORDER = (TOUCHED, NOT_KNOWN, SILENT)


@dataclass(frozen=True)
class Explained:
    """What one rule says to one protocol.

    Attributes:
        rule: its identifier.
        state: `TOUCHED`, `SILENT` or `NOT_KNOWN`.
        severity: "forbidden" or "warning".
        reason: why, and what in the protocol or the patient breaks the rule.
        source: who says so.
        field: the clinical field that is missing, or "".
    """

    rule: str
    state: str
    severity: str
    reason: str
    source: str
    field: str = ""


def explain(
    protocol: Protocol,
    clinical: Clinical | None = None,
    complete: bool = True,
    rules: Sequence[Rule] | None = None,
) -> tuple[Explained, ...]:
    """Say what every rule says to a protocol; arguments as those of `check`.

    Returns:
        Broken rules first (forbidden, then warning), then those that could not be checked, then the rest.
    """
    known = clinical or Clinical()
    found = []
    for rule in load_rules() if rules is None else rules:
        reason, state, field = rule.reason, SILENT, ""
        if broken := check(protocol, known, complete, (rule,)):
            reason, state = broken[0].reason, TOUCHED
        elif rule.field and getattr(known, rule.field) is None and rule.concerned(protocol):
            state, field = NOT_KNOWN, rule.field
        found.append(Explained(rule.id, state, rule.severity, reason, rule.source, field))
    return tuple(sorted(found, key=lambda e: (_ORDER.index(e.state), e.state == TOUCHED and e.severity != FORBIDDEN)))
