"""What the page is told while somebody fills it in: fields, templates, how the goal is read, what the rules say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from MeWMLib.core.clinical import field_table
from MeWMLib.core.dosing import doses_for
from MeWMLib.core.errors import ClinicalDataError, MeWMError
from MeWMLib.core.patient import Clinical
from MeWMLib.core.protocol import Protocol, agent
from MeWMLib.core.targets import Targets
from MeWMLib.core.templates import described, templates
from MeWMLib.core.territory import Territory
from MeWMLib.core.unjudged import unjudged_in_words
from MeWMLib.policy.goal import read_goal, with_facts
from MeWMLib.policy.rules import FORBIDDEN, TOUCHED, blocking, contraindications, explain, unjudged

#: An older form of another field, which files may still hold; a form asks once.
_ASKED_ELSEWHERE = ("main_portal_vein_thrombosis",)


def fields() -> list[dict[str, Any]]:
    """The clinical fields for a form, from the one table; `others` are units by the keys that take them."""
    return [
        {
            "name": name,
            "title": info.title,
            "kind": info.kind,
            "unit": info.unit,
            "low": info.low,
            "high": info.high,
            "choices": list(info.choices),
            "help": info.help.replace("[] is none", "none if there are none"),
            "others": [{"key": key, "unit": unit} for key, (unit, _factor) in info.others.items()],
        }
        for name, info in field_table().items()
        if name not in _ASKED_ELSEWHERE
    ]


def template_list() -> list[dict[str, Any]]:
    """The templates that a protocol can be made from: slots with agents and doses that are usual."""
    dose, found = doses_for(None), []
    for template in templates():
        if not all(slot.proposed for slot in template.slots):
            continue  # it is recognised only
        slots = [
            {
                "name": slot.name,
                "optional": slot.fewest == 0,
                "agents": [
                    {"name": name, "unit": agent(name).dose_unit, "dose": dose(slot.name, name)} for name in slot.agents
                ],
            }
            for slot in template.slots
        ]
        entry = {"name": template.name, "title": template.title, "text": template.text, "source": template.source}
        found.append({**entry, "slots": slots})
    return found


def clinical_of(form: Mapping[str, Any]) -> Clinical:
    """The clinical data of a form; fields that are empty are not known.

    Raises:
        ClinicalDataError: something in it is not possible.
    """
    given = form.get("clinical") or {}
    if not isinstance(given, Mapping):
        raise ClinicalDataError(what="The clinical data are no table of fields", given=repr(given)[:80])
    return Clinical.from_json({name: value for name, value in given.items() if value not in (None, "")})


def advise(form: Mapping[str, Any]) -> dict[str, Any]:
    """What is said of a form.

    Args:
        form: "clinical" (fields), "goal", "protocol", "target" and "territory" (texts).

    Returns:
        "clinical": an error or None; "goal": lines, questions; "patient": rules by which TACE is contraindicated;
        "protocol": how it is understood, what each rule that it touches says, an error or None; "session": errors of
        target and territory.
    """
    clinical, wrong = Clinical(), None
    try:
        clinical = clinical_of(form)
    except MeWMError as error:
        wrong = error.to_json()
    told: dict[str, Any] = {"clinical": wrong}
    try:
        clinical, goal = with_facts(read_goal(str(form.get("goal") or "")), clinical)
        told["goal"] = {
            "lines": goal.lines if goal.text.strip() else [],
            "questions": list(goal.questions),
            "error": None,
        }
    except MeWMError as error:
        goal = read_goal("")
        told["goal"] = {"lines": [], "questions": [], "error": error.to_json()}
    told["patient"] = [_plain(one) for one in contraindications(clinical)]
    told["session"] = list(_session_errors(form))
    told["protocol"] = None
    text = str(form.get("protocol") or "").strip()
    if text:
        try:
            protocol = Protocol.parse(text)
            found = explain(protocol, clinical, goal=goal)
            touched = [one for one in found if one.state == TOUCHED]
            told["protocol"] = {
                "text": protocol.text,
                "described": described(protocol),
                "rules": [_plain(one) for one in touched],
                "unjudged": unjudged_in_words(unjudged(found)),
                "forbidden": bool(blocking(touched, goal)),
                "error": None,
            }
        except MeWMError as error:
            told["protocol"] = {"error": error.to_json()}
    return told


def _session_errors(form: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for name, parse in (("target", Targets.parse), ("territory", Territory.parse)):
        text = str(form.get(name) or "").strip()
        try:
            if text:
                parse(text)
        except MeWMError as error:
            yield dict(error.to_json())


def _plain(finding: Any) -> dict[str, Any]:
    return {
        "rule": finding.rule,
        "severity": finding.severity,
        "reason": finding.reason,
        "source": finding.source,
        "forbids": finding.severity == FORBIDDEN,
    }
