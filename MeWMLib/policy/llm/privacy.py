"""The privacy gate: nothing is sent without consent, and nothing that looks like a person, an id or a date.

A request holds only what is on an allow-list (measured numbers, clinical fields, the agents of the vocabulary, grey
values) and at most two texts of the user: the goal, and sentences of a report. These two texts are searched here. No
filter can find every name; that is why the user can look at the whole request before it is sent.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from datetime import datetime, timezone
from typing import Any

from MeWMLib.core.errors import EndpointConsentError, MeWMError, PrivacyError, UnreadableFileError, output_error
from MeWMLib.core.folders import data_folder
from MeWMLib.core.io import write_json
from MeWMLib.core.patient import Clinical
from MeWMLib.core.records import dump_json, parse_json, read_json
from MeWMLib.policy.llm.endpoints import Endpoint
from MeWMLib.policy.llm.images import png_chunks

#: Addresses that the user agreed to, and one line for each request that was sent; both in the user's data folder, never
#: in that of a scene, a plan or a report.
CONSENT_FILE, AUDIT_FILE = "endpoint_consent.json", "endpoint_audit.jsonl"
#: So few people are older that an age alone may reveal who they are (the limit of the HIPAA safe harbour rule).
OLDEST = 89
#: Longer than any goal, or the sentences of a report about what was given.
MOST_CHARACTERS = 20_000
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|sept|oct|nov|dec)[a-z]*"
#: What is searched for, and its name in a message.
_PATTERNS = (
    ("a date", r"\b\d{4}[-/.]\d{1,2}[-/.]\d{1,2}\b|\b\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}\b|\b(?:19|20)\d{6}\b"),
    ("a date", rf"\b\d{{1,2}}(?:st|nd|rd|th)?\.? (?:of )?{_MONTH}\.?,? (?:19|20)\d\d\b"),
    ("a date", rf"\b{_MONTH}\.? \d{{1,2}}(?:st|nd|rd|th)?,? (?:19|20)\d\d\b|\b{_MONTH}\.? (?:19|20)\d\d\b"),
    ("an id", r"\b(?:MRN|PID|patient ?(?:id|no|number)|case ?(?:id|no|number)|accession|ssn)\b[\s:#.]*\w*\d"),
    ("an id", r"\b\w*\d{6,}\w*\b|\bHCC[-_]\d+|\b\d(?:\.\d+){5,}\b"),
    ("an e-mail address", r"[\w.+-]{1,64}@[\w-]+\.\w+"),
    ("a name", r"(?-i:\b(?:Mr|Mrs|Ms|Miss|Dr|Prof|Herr|Frau|Mme|Sra?)\b\.? ?[A-Z]\w+)"),
    ("a name", r"\b(?:patient(?:'s)? name|name|named|patient|operator|surgeon|physician|signed(?: by)?)\s*[:=]\s*\w+"),
    ("a telephone number", r"\+\d[\d ()/-]{7,}\d"),
    ("a path", r"(?:[A-Za-z]:\\|/(?:home|Users|mnt|data|work)/)\S+"),
)
_COMPILED = tuple((what, re.compile(pattern, re.IGNORECASE)) for what, pattern in _PATTERNS)
_CLEAN_CHUNKS = [b"IHDR", b"IDAT", b"IEND"]


def require_clean(text: str, what: str) -> str:
    """Return a text of the user if nothing in it looks like a person, an id or a date.

    Args:
        text: what is about to be sent.
        what: its name in the message, such as "the goal".

    Raises:
        PrivacyError: something does; the message says what kind of thing, and does not quote it.
    """
    if len(text) > MOST_CHARACTERS:
        raise PrivacyError(
            what=f"Not sent: {what} is too long to be checked",
            given=f"{len(text)} characters",
            remedy=f"Use at most {MOST_CHARACTERS}",
        )
    found = [kind for kind, pattern in _COMPILED if pattern.search(text)]
    if found:
        raise PrivacyError(
            what=f"Not sent: {what} holds what looks like {' and '.join(dict.fromkeys(found))}",
            given=f"{len(text)} characters",
            remedy="Remove it; names, ids and dates are never sent",
        )
    return text


def masked(text: str) -> str:
    """The text with everything that looks like a person, an id or a date replaced by [...]."""
    for _, pattern in _COMPILED:
        text = pattern.sub("[...]", text)
    return text


def require_clean_image(data: bytes) -> bytes:
    """Return a PNG if it has pixels and nothing else.

    Raises:
        PrivacyError: it is not a PNG, or holds a chunk that could carry text, a time or metadata.
    """
    kinds = png_chunks(data)
    if kinds != _CLEAN_CHUNKS:
        named = ", ".join(k.decode("latin-1") for k in kinds) or "not a PNG"
        raise PrivacyError(
            what="Not sent: a picture holds more than pixels",
            given=named,
            remedy="Only pictures that MeWM made are sent",
        )
    return data


def clinical_lines(clinical: Clinical) -> str:
    """Clinical data for a prompt: the fields of `Clinical` only; an age above 89 years is given as 90 or older."""
    data = clinical.to_json()
    # the only field with words of the user's own
    require_clean("; ".join(clinical.allergies or ()), "the list of allergies")
    age = data.get("age_years")
    if isinstance(age, int | float) and age > OLDEST:
        data["age_years"] = "90 or older"
    return "\n".join(f"{name}: {value}" for name, value in data.items()) or "none given"


def consents() -> dict[str, str]:
    """What the user agreed to (`Endpoint.identity`), and on which day.

    Raises:
        UnreadableFileError: the file is broken.
    """
    path = data_folder() / CONSENT_FILE
    if not path.exists():
        return {}
    remedy = "Remove the file and agree again"
    data = read_json(path, "The file of consents", UnreadableFileError, remedy, {"agreed": dict})
    return {str(k): str(v) for k, v in data["agreed"].items()}


def grant(endpoint: Endpoint) -> None:
    """Agree that pictures, findings, clinical data and goal are sent to this endpoint from this installation."""
    day = datetime.now(timezone.utc).date().isoformat()
    _write_consents({**consents(), endpoint.identity: day})


def revoke(endpoint: Endpoint) -> bool:
    """Withdraw a consent; True if there was one."""
    left = consents()
    had = left.pop(endpoint.identity, None) is not None
    if had:
        _write_consents(left)
    return had


def _write_consents(agreed: dict[str, str]) -> None:
    write_json({"version": 1, "agreed": agreed}, data_folder() / CONSENT_FILE)


def require_consent(endpoint: Endpoint) -> None:
    """Raise `EndpointConsentError` unless the user has agreed to exactly this address and model."""
    if endpoint.identity not in consents():
        raise EndpointConsentError(
            what=f"You have not agreed to send data to the endpoint {endpoint.name}; nothing was sent",
            given=f"{endpoint.url}, model {endpoint.model}",
            remedy=f"Look at what would be sent (--preview), then run `mewm endpoint allow {endpoint.name}`",
        )


def audit(endpoint: Endpoint, body: bytes, outcome: str, seconds: float, usage: dict[str, Any] | None = None) -> None:
    """Write one line about a request that was sent: when, to whom and how much, but nothing of its content.

    Raises:
        OutputError: the line cannot be written.
    """
    line = {
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "endpoint": endpoint.name,
        "host": endpoint.host,
        "model": endpoint.model,
        "bytes": len(body),
        "sha256": hashlib.sha256(body).hexdigest(),
        "outcome": outcome,
        "seconds": round(seconds, 3),
        **{k: v for k, v in (usage or {}).items() if k in ("prompt_tokens", "completion_tokens")},
    }
    path = data_folder() / AUDIT_FILE
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(dump_json(line) + "\n")
    except OSError as error:
        raise output_error(error, path) from error


def read_audit() -> list[dict[str, Any]]:
    """The lines of the audit file; broken ones, and those that say something else, are left out."""
    try:
        lines = (data_folder() / AUDIT_FILE).read_bytes().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        with contextlib.suppress(MeWMError):
            found.append(parse_json(line, require={"time": str, "endpoint": str, "bytes": int, "outcome": str}))
    return found
