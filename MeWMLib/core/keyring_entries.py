"""Secrets that a user keeps in the system's keyring. The package `keyring` is optional."""

from __future__ import annotations

import contextlib
import importlib


def from_keyring(service: str, user: str) -> str:
    """The entry of a service and a user; "" if there is none."""
    # a package that is not installed, a keyring without a back end and a locked one are the same as no entry
    with contextlib.suppress(Exception):
        return str(importlib.import_module("keyring").get_password(service, user) or "")
    return ""
