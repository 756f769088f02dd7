"""Small studies for the tests."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

# With --import-mode=importlib a folder of tests is not on sys.path: its helper is loaded by place.
_SPEC = importlib.util.spec_from_file_location("mewm_small_scans", Path(__file__).with_name("small_scans.py"))
assert _SPEC is not None and _SPEC.loader is not None
small_scans = importlib.util.module_from_spec(_SPEC)
sys.modules["mewm_small_scans"] = small_scans
_SPEC.loader.exec_module(small_scans)


@pytest.fixture(scope="session")
def world() -> Any:
    """The functions that draw scans and answer studies."""
    return small_scans


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A study of 12 cases, six of either kind, two readers; only to be read."""
    root = tmp_path_factory.mktemp("reader-study")
    made = small_scans.small_study(root)
    return SimpleNamespace(
        folder=root / "study", key=root / "study_key.json", table=root / "scans" / "scans.csv", made=made
    )
