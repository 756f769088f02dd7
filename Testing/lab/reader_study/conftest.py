"""Small studies for the tests."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from Testing.lab.reader_study import small_scans


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
