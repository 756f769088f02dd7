"""What the clinical rules say of a report, which may name the load of its beads and drugs that no rule knows."""

from __future__ import annotations

from dataclasses import replace

from MeWMLib.core.dosing import over_limits
from MeWMLib.core.plan import RuleFinding
from MeWMLib.policy import rules as clinical_rules
from MeWMLib.policy.agent_names import members
from MeWMLib.policy.reports import OperationReport
from MeWMLib.policy.rule_checks import LOADED as BEADS
from MeWMLib.policy.rule_checks import Rule


def rule_findings(report: OperationReport) -> tuple[tuple[RuleFinding, ...], tuple[str, ...]]:
    """What the clinical rules say of the protocol of a report, and what they were told beyond it.

    Beads count as loaded with doxorubicin unless the report names their load: exactly one anthracycline that it says
    they are loaded with takes its place. Drugs that are no agent of MeWM are drugs all the same: no embolisation is
    called bland, and none without a drug, where one was given.
    """
    protocol = report.protocol
    if not protocol.actions:
        return (), ()
    rules, said = list(clinical_rules.load_rules()), []
    drugs = [name for name in protocol.drugs if name in members("anthracycline")]
    load = [name for name in report.loaded if name in members("anthracycline")]
    if BEADS in protocol.agents and len(drugs) == 1 and load == drugs:
        rules = [_with_load(rule, load[0]) for rule in rules]
        if load[0] != "Doxorubicin":
            rules = [r for r in rules if not (r.kind == "not_together" and r.severity != clinical_rules.FORBIDDEN
                     and set(load) <= {*r.agents} and BEADS in r.others)]  # fmt: skip
            said.append(f"the beads are loaded with {load[0]}, as the report says, and not counted as doxorubicin")
    if report.unread_drugs:
        rules = [rule for rule in rules if rule.kind not in ("bland", "unloaded")]
        if not protocol.drugs:
            rules = [rule for rule in rules if rule.kind != "completeness"]
        names = " and ".join(report.unread_drugs)
        said.append(f"{names} was given too, which no rule knows: the rules see the other agents only")
    found = [*clinical_rules.check(protocol, rules=rules), *over_limits(protocol, None)]
    order = (clinical_rules.FORBIDDEN, clinical_rules.WARNING, clinical_rules.NOTE)
    return tuple(sorted(found, key=lambda finding: order.index(finding.severity))), tuple(said)


def _with_load(rule: Rule, load: str) -> Rule:
    return replace(rule, counts_as={**rule.counts_as, BEADS: load}) if BEADS in rule.counts_as else rule
