"""Stored answers by the content of their requests: no question is asked, or paid for, twice."""

from __future__ import annotations

import hashlib
from typing import Any

from MeWMLib.core.errors import MeWMError
from MeWMLib.core.folders import data_folder
from MeWMLib.core.io import write_json
from MeWMLib.core.records import read_json
from MeWMLib.policy.llm.endpoints import Endpoint

FORMAT = "mewm-answer/1"
#: Folder of the answers in the user's data folder.
ANSWERS = "endpoint_answers"


def key_of(endpoint: Endpoint, body: bytes, prompt: str) -> str:
    """Name of a request: who is asked, with which template, and every byte of what is asked."""
    digest = hashlib.sha256()
    for part in (endpoint.identity.encode(), prompt.encode(), body):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


def stored(key: str) -> str | None:
    """The answer to an earlier request, or None."""
    try:
        data = read_json(data_folder() / ANSWERS / f"{key}.json", require={"format": str, "content": str})
    except MeWMError:
        return None
    return str(data["content"]) if data["format"] == FORMAT else None


def store(key: str, content: str, usage: dict[str, Any]) -> None:
    """Keep an answer.

    Raises:
        OutputError: it cannot be written.
    """
    write_json({"format": FORMAT, "content": content, "usage": usage}, data_folder() / ANSWERS / f"{key}.json")


def forget() -> int:
    """Remove all answers; returns how many there were."""
    paths = list((data_folder() / ANSWERS).glob("*.json"))
    for path in paths:
        path.unlink(missing_ok=True)
    return len(paths)
