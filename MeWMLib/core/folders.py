"""Where MeWM keeps things of the user, on every platform: the user's data and cache folders."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def data_folder() -> Path:
    """Bundles, consents, keys of cohorts: MEWM_DATA, or the user's data folder (XDG_DATA_HOME counts on Linux)."""
    if chosen := os.environ.get("MEWM_DATA"):
        return Path(chosen)
    return platformdirs.user_data_path("mewm", appauthor=False)


def cache_folder() -> Path:
    """What can be fetched again: MEWM_CACHE, or the user's cache folder (XDG_CACHE_HOME counts on Linux)."""
    if chosen := os.environ.get("MEWM_CACHE"):
        return Path(chosen)
    return platformdirs.user_cache_path("mewm", appauthor=False)
