"""JSON files in the harness: what is no strict JSON must be refused, and nothing may end in a foreign traceback."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from MeWMLib.core.patient import Clinical
from MeWMLib.core.plan_folder import PLAN, PlanFolder
from MeWMLib.jobs.job import Event, Job
from MeWMLib.policy.rules import RULES_PATH, load_rules
from Testing.properties.case import Case, Group
from Testing.properties.json_damage import mutants
from Testing.properties.json_kinds import document

JSON = Group("JSON")
_KINDS: dict[str, tuple[str, str, Callable[[Path], Any]]] = {
    "plan": (json.dumps(document().to_json()), PLAN, lambda path: PlanFolder(path.parent).read()),
    "clinical data": (json.dumps(document().clinical.to_json()), "clinical.json", Clinical.load),
    "rules": (RULES_PATH.read_text(encoding="utf-8"), "rules.json", load_rules),
    "job": (Job("segment", {"case": "ct.nrrd"}, "labels.nrrd", 3).to_json(), "job.json", Job.load),
    "event": (Event("progress", "plan", 0.5, data={"a": [1]}).to_json(), "event.json", Event.load),
}


def _register(name: str, text: str, file: str, read: Callable[[Path], Any]) -> None:
    @JSON.kind(name)
    def _damaged(rng: Random) -> Case:
        ((data, may),) = mutants(text, rng.getrandbits(32), 1)
        return Case({file: data}, lambda folder: read(folder / file), lambda _: may)


for _name, _parts in _KINDS.items():
    _register(_name, *_parts)
