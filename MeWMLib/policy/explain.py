"""Why a protocol is allowed or not: every clinical rule with what became of it. `mewm rules check` prints this."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from MeWMLib.core.patient import Clinical
from MeWMLib.core.protocol import Protocol
from MeWMLib.policy.rules import FORBIDDEN, Rule, check, load_rules

#: What can become of a rule: it speaks, it has nothing to say, or it cannot be asked.
TOUCHED, SILENT, NOT_KNOWN = "touched", "silent", "not known"


@dataclass(frozen=True)
class Explained:
    """One rule before one protocol.

    Attributes:
        rule: its identifier.
        state: `TOUCHED`, `SILENT`, or `NOT_KNOWN` (the clinical field that it asks for was not given).
        severity: "forbidden" or "warning", if it is touched.
        reason: why, with what touched it.
        source: where that stands.
        field: the clinical field that is missing, or "".
    """

    rule: str
    state: str
    severity: str
    reason: str
    source: str
    field: str = ""

    def to_json(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {
            "rule": self.rule,
            "state": self.state,
            "severity": self.severity,
            "reason": self.reason,
            "source": self.source,
            "field": self.field,
        }


def explain(
    protocol: Protocol,
    clinical: Clinical | None = None,
    complete: bool = True,
    rules: Sequence[Rule] | None = None,
) -> tuple[Explained, ...]:
    """Say of every rule what became of it, in the order: forbidden, warning, not known, silent.

    Args:
        protocol: complete, or partial with `complete=False`.
        clinical: what is known of the patient; None means nothing is known.
        complete: whether the protocol must hold a drug and an embolic agent.
        rules: other rules than those of MeWM.
    """
    known = clinical or Clinical()
    found = []
    for rule in load_rules() if rules is None else rules:
        touched = check(protocol, known, complete, (rule,))
        if touched:
            found.append(Explained(rule.id, TOUCHED, rule.severity, touched[0].reason, rule.source))
        elif rule.field and getattr(known, rule.field) is None and rule.concerned(protocol):
            found.append(Explained(rule.id, NOT_KNOWN, rule.severity, rule.reason, rule.source, rule.field))
        else:
            found.append(Explained(rule.id, SILENT, rule.severity, rule.reason, rule.source))
    return tuple(sorted(found, key=_order))


def _order(entry: Explained) -> int:
    if entry.state == TOUCHED:
        return 0 if entry.severity == FORBIDDEN else 1
    return 2 if entry.state == NOT_KNOWN else 3
