"""Answers of a language model: the JSON schema that is asked for, and what is taken from an answer.

An answer is treated as data and nothing else: names that the vocabulary knows, and a cleaned sentence for each. Any
instructions, markup, addresses or paths in it are dropped.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Any

from MeWMLib.core.errors import EndpointAnswerError, MeWMError
from MeWMLib.core.protocol import DRUG, EMBOLIC, Action, ActionSpace, agent
from MeWMLib.core.records import find_json
from MeWMLib.policy.report_given import Administration

#: Most characters of the sentence that is kept for an agent.
MOST_REASON = 240
_UNITS = re.compile(r"\b(mg|ng|ug|g)/(dl|ml|l|m2|kg)\b", re.I)


def proposal_schema(
    drugs: Sequence[str], embolics: Sequence[str], most: tuple[int, int], reasons: bool
) -> dict[str, Any]:
    """JSON schema of a proposal.

    Args:
        drugs, embolics: canonical names to choose from.
        most: D and E.
        reasons: whether each agent comes with a sentence (small local models do better without).
    """

    def array(names: Sequence[str], count: int) -> dict[str, Any]:
        item: dict[str, Any] = {"type": "string", "enum": list(names)}
        if reasons:
            item = _object({"agent": item, "reason": {"type": "string", "maxLength": MOST_REASON}})
        return {"type": "array", "items": item, "minItems": 1, "maxItems": min(count, len(names))}

    return _object({"drugs": array(drugs, most[0]), "embolics": array(embolics, most[1])})


def report_schema(names: Sequence[str]) -> dict[str, Any]:
    """JSON schema of what a report says."""
    given = _object(
        {
            "agent": {"type": "string", "enum": list(names)},
            "dose": {"type": ["number", "null"]},
            "route": {"type": ["string", "null"], "enum": ["infused", "emulsion", "embolised", None]},
        }
    )
    level = {"type": ["integer", "null"], "enum": [1, 2, 3, 4, None]}
    return _object({"administrations": {"type": "array", "items": given, "maxItems": 20}, "attenuation_level": level})


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def read_proposal(text: str, drugs: Sequence[str], embolics: Sequence[str], most: tuple[int, int]) -> ActionSpace:
    """Take canonical names, best first, and the reasons for them from an answer.

    Args:
        text: what the model said.
        drugs, embolics: canonical names that it could choose from.
        most: D and E; agents beyond these are left out.

    Raises:
        EndpointAnswerError: no JSON object, no list, an unknown name, nothing of one kind. The message goes back to the
            model, so it quotes only cleaned names from the answer.
    """
    data = _json_object(text)
    reasons: dict[str, str] = {}
    found = []
    for key, kind, choice, count in (("drugs", DRUG, drugs, most[0]), ("embolics", EMBOLIC, embolics, most[1])):
        entries = data.get(key)
        if not isinstance(entries, list) or not entries:
            raise EndpointAnswerError(what=f'The answer has no list "{key}" with an agent in it')
        names: list[str] = []
        for entry in entries[:50]:
            name, reason = _agent_and_reason(entry, key, kind, choice)
            if name not in names and len(names) < count:
                names.append(name)
                reasons |= {name: reason} if reason else {}
        found.append(tuple(names))
    return ActionSpace(found[0], found[1], reasons, "language model")


def read_administrations(text: str) -> tuple[tuple[Administration, ...], int | None]:
    """Take agents, doses, routes and the level from an answer about a report.

    Raises:
        EndpointAnswerError: no JSON object, an unknown name, an impossible dose or route.
    """
    data = _json_object(text)
    entries, level = data.get("administrations"), data.get("attenuation_level")
    if not isinstance(entries, list) or len(entries) > 50:
        raise EndpointAnswerError(what='The answer has no list "administrations"')
    given = []
    for entry in entries:
        try:
            action = Action(str(entry["agent"]), entry.get("dose"), entry.get("route"))
        except (MeWMError, TypeError, KeyError, AttributeError) as error:
            reason = error.what if isinstance(error, MeWMError) else "not an agent with dose and route"
            raise EndpointAnswerError(
                what=f"An administration in the answer is not possible: {clean(reason)}"
            ) from error
        given.append(Administration(action.agent, action.dose, action.route, "language model"))
    if isinstance(level, bool) or level not in (None, 1, 2, 3, 4):
        raise EndpointAnswerError(what="The attenuation_level of the answer is not 1, 2, 3, 4 or null")
    return tuple(given), level


def clean(text: str, most: int = MOST_REASON) -> str:
    """One line of plain words: no markup, addresses, paths or control characters; at most `most` characters."""
    # cut first: the text may be long, and no step below may take long
    plain = unicodedata.normalize("NFKC", text[: 8 * most])
    plain = re.sub(r"<[^<>]{0,300}>?", " ", plain)
    plain = _UNITS.sub(lambda m: f"{m[1]} per {m[2]}", plain)
    plain = " ".join(word for word in plain.split() if not _is_address(word))
    plain = re.sub(r"[^A-Za-z0-9 ,.;:%()+'\-\u00c0-\u024f]", " ", plain)
    plain = re.sub(r"\s+", " ", plain).strip()
    return plain if len(plain) <= most else plain[: most - 3].rsplit(" ", 1)[0] + "..."


def _is_address(word: str) -> bool:
    """True for anything like a path, an address or a script."""
    lower = word.lower()
    schemes = ("http:", "https:", "file:", "ftp:", "data:", "javascript:", "www.")
    return word.count("/") + word.count("\\") > 1 or ".." in word or any(s in lower for s in schemes)


def _agent_and_reason(entry: Any, key: str, kind: str, choice: Sequence[str]) -> tuple[str, str]:
    """The canonical name and the cleaned sentence of one entry of the list `key`."""
    name, reason = (entry.get("agent"), entry.get("reason")) if isinstance(entry, dict) else (entry, None)
    if not isinstance(name, str):
        raise EndpointAnswerError(what=f'"{key}" of the answer holds something that is not an agent')
    try:
        known = agent(name[:80])
    except MeWMError as error:
        raise EndpointAnswerError(
            what=f"The answer names {clean(name, 60)!r}, which is not an agent of the list",
            remedy="Use the listed names",
        ) from error
    if known.kind != kind or known.name not in choice:
        raise EndpointAnswerError(what=f"The answer names {known.name} where it cannot be chosen")
    return known.name, clean(reason) if isinstance(reason, str) else ""


def _json_object(text: str) -> dict[str, Any]:
    """The first JSON object of the right form; thoughts before it (<think>) and a code fence are skipped."""
    rest = re.sub(r"<think>.*?</think>", "", text, flags=re.DOTALL)
    if (data := find_json(rest, ("drugs", "administrations"))) is not None:
        return data
    raise EndpointAnswerError(what="The answer contains no JSON object in the requested form")
