"""Where the user's endpoints, consents, audit file and cached answers lie: never beside a scene, a plan or a report."""

from __future__ import annotations

from pathlib import Path

from MeWMLib.core.folders import data_folder


def endpoints_file() -> Path:
    """Endpoints that the user added or changed."""
    return data_folder() / "endpoints.json"


def consent_file() -> Path:
    """Addresses that the user agreed to."""
    return data_folder() / "endpoint_consent.json"


def audit_file() -> Path:
    """One line for each request that was sent."""
    return data_folder() / "endpoint_audit.jsonl"


def answers_folder() -> Path:
    """Answers that need not be asked for again."""
    return data_folder() / "endpoint_answers"
