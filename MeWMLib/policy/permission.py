"""What the clinical rules forbid is refused before a scan is read or a network is loaded, unless the user insists."""

from __future__ import annotations

# callers know this module only
from MeWMLib.core.errors import ContraindicatedError as ContraindicatedError
from MeWMLib.core.errors import ForbiddenProtocolError as ForbiddenProtocolError
from MeWMLib.core.goal import Goal
from MeWMLib.core.patient import Clinical, Findings
from MeWMLib.core.plan import RuleFinding
from MeWMLib.core.protocol import Protocol
from MeWMLib.policy.rules import FORBIDDEN, check, contraindications


def require_indicated(clinical: Clinical, allow_forbidden: bool = False) -> None:
    """Refuse to plan TACE for a patient in whom it is contraindicated.

    Args:
        clinical: what is known of the patient.
        allow_forbidden: the user wants it nevertheless.

    Raises:
        ContraindicatedError: a rule about the patient as a whole forbids TACE.
    """
    found = contraindications(clinical)
    if found and not allow_forbidden:
        raise ContraindicatedError(
            what="TACE is contraindicated in this patient",
            given="; ".join(f"{f.reason} [{f.rule}]" for f in found),
            remedy="Correct the clinical data if they are wrong, or go on with --allow-forbidden: every output says so",
        )


def require_allowed(
    protocol: Protocol,
    clinical: Clinical,
    allow_forbidden: bool = False,
    findings: Findings | None = None,
    goal: Goal | None = None,
) -> tuple[RuleFinding, ...]:
    """Refuse a protocol that the rules forbid in this patient.

    Args:
        protocol: that the user named.
        clinical: what is known of the patient.
        allow_forbidden: the user wants it nevertheless.
        findings: measured on the labels; None before anything is read: rules that ask for them are silent then.
        goal: as it was read; what it rules out is forbidden.

    Returns:
        What the rules say, forbidden findings first; those are there only where the user insists.

    Raises:
        ForbiddenProtocolError: a rule forbids it; an incomplete protocol is told by name what it lacks.
    """
    found = check(protocol, clinical, findings=findings, goal=goal)
    forbidden = [f for f in found if f.severity == FORBIDDEN]
    if forbidden and not allow_forbidden:
        raise ForbiddenProtocolError(
            what="The clinical rules forbid this protocol in this patient",
            given=f"{protocol.text}: " + "; ".join(f"{f.reason} [{f.rule}]" for f in forbidden),
            remedy="Change it, or go on with --allow-forbidden: every output then says that it is forbidden",
        )
    return found
