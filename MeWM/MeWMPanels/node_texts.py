"""What the texts of the parameter node say: findings, ticks, protocols, goal, and what the rules say of a protocol."""

import json
from dataclasses import dataclass
from functools import lru_cache

from MeWMLib.core.errors import MeWMError
from MeWMLib.core.patient import Clinical, Findings
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.questions import Question
from MeWMLib.core.records import from_plain, parse_json, to_plain
from MeWMLib.core.targets import Targets
from MeWMLib.policy.goal import read_goal, with_facts
from MeWMLib.policy.rules import TOUCHED, explain
from MeWMPanels.parameters import clinical_json


def explained(protocol, parameters, complete=True, outdated=""):
    """What every clinical rule says about a protocol in this patient, the goal and the measured lesions included.

    Lesions that are `outdated` count as not measured.
    """
    found = "" if outdated else parameters.findings
    return _explained(protocol, _clinical_text(parameters), parameters.exploration.goal, found, complete)


@lru_cache(maxsize=256)
def _explained(protocol, clinical_text, goal_text, found, complete):
    """Kept: panels ask the same of every protocol several times whenever they are shown anew."""
    clinical, goal = _read(clinical_text, goal_text)
    findings = from_plain(Findings, parse_json(found), "the findings", strict=False) if found else None
    return explain(protocol, clinical, complete, findings=findings, goal=goal)


def rule_findings(protocol, parameters, complete=True, outdated=""):
    """The rules that a protocol touches."""
    return [entry for entry in explained(protocol, parameters, complete, outdated) if entry.state == TOUCHED]


def read_rules():
    """Read the files of rules, sources and words, which are kept from then on; for a thread."""
    clinical, goal = with_facts(read_goal(""), Clinical())
    explain(Protocol(()), clinical, False, goal=goal)


def goal_of(parameters):
    """The clinical data with what the goal states, and the goal as it was read."""
    return _read(_clinical_text(parameters), parameters.exploration.goal)


def _clinical_text(parameters):
    return json.dumps(clinical_json(parameters.clinical))


def _read(clinical_text, goal_text):
    return with_facts(read_goal(goal_text), Clinical.from_json(parse_json(clinical_text)))


@dataclass(frozen=True)
class Asked:
    """What was asked about labels and scan, as it is kept beside the findings."""

    questions: tuple[Question, ...] = ()


def findings_of(text):
    """Read the findings of the parameter node: a dictionary of the numbers of `Findings` and, as `questions`, of what
    was asked about labels and scan; only `lesions` (none) where nothing was measured or the text cannot be read."""
    try:
        data = parse_json(text) if text else None
        if data is None:
            return {"lesions": []}
        found = from_plain(Findings, data, strict=False).to_json()
        return {**found, "questions": to_plain(from_plain(Asked, data, strict=False).questions)}
    except MeWMError:
        return {"lesions": []}


def ticked_lesions(parameters):
    """Numbers of the lesions that are ticked; none where the text of a damaged scene cannot be read."""
    try:
        return Targets.parse(parameters.targets).lesions if parameters.targets else ()
    except MeWMError:
        return ()


def protocols_of(text):
    """Read the protocols of the parameter node: pairs of name and `Protocol`; what cannot be read is left out."""
    found = []
    try:
        entries = parse_json(text or "[]")
    except MeWMError:  # of a scene that was damaged or edited
        return found
    for entry in entries if isinstance(entries, list) else ():
        try:
            found.append((str(entry["name"]), Protocol.from_json(entry["actions"])))
        except (MeWMError, KeyError, TypeError):
            continue
    return found


def protocols_text(named):
    """The counterpart of `protocols_of`."""
    return json.dumps([{"name": name, "actions": protocol.to_json()} for name, protocol in named])
