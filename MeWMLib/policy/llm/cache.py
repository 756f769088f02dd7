"""Answers by the content of their requests: the same question is not asked, and not paid, twice."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from MeWMLib.core.io import write_json
from MeWMLib.policy.llm.endpoints import Endpoint
from MeWMLib.policy.llm.places import answers_folder

FORMAT = "mewm-answer/1"


def key_of(endpoint: Endpoint, body: bytes, prompt: str) -> str:
    """Name of a request: who is asked, with which template, and every byte of what is asked."""
    digest = hashlib.sha256()
    for part in (endpoint.identity.encode(), prompt.encode(), body):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


def stored(key: str) -> dict[str, Any] | None:
    """The answer of a former request, or None."""
    try:
        data = json.loads((answers_folder() / f"{key}.json").read_text(encoding="utf-8"))
        if data["format"] == FORMAT and isinstance(data["content"], str):
            return {"content": data["content"], "usage": dict(data["usage"])}
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return None


def store(key: str, content: str, usage: dict[str, Any]) -> None:
    """Keep an answer.

    Raises:
        OutputError: it cannot be written.
    """
    write_json({"format": FORMAT, "content": content, "usage": usage}, answers_folder() / f"{key}.json")


def forget() -> int:
    """Remove all answers; returns how many there were."""
    count = 0
    for path in answers_folder().glob("*.json"):
        path.unlink(missing_ok=True)
        count += 1
    return count
