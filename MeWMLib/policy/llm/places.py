"""Where the user's endpoints, consents, audit file and cached answers lie: never beside a scene, a plan or a report."""

from __future__ import annotations

import os
from pathlib import Path


def user_folder() -> Path:
    """The user's own folder of MeWM."""
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    if os.name == "nt":
        base = os.environ.get("LOCALAPPDATA") or str(Path.home() / "AppData" / "Local")
    return Path(base) / "mewm"


def endpoints_file() -> Path:
    """Endpoints that the user added or changed."""
    return user_folder() / "endpoints.json"


def consent_file() -> Path:
    """Addresses that the user agreed to."""
    return user_folder() / "endpoint_consent.json"


def audit_file() -> Path:
    """One line for each request that was sent."""
    return user_folder() / "endpoint_audit.jsonl"


def answers_folder() -> Path:
    """Answers that need not be asked for again."""
    return user_folder() / "endpoint_answers"
