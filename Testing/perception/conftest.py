"""The drawn trunk of the cohort tests, for tests of what is seen in it."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest


@pytest.fixture(scope="session")
def phantom() -> SimpleNamespace:
    """Drawn trunks at the densities of each phase; see Testing/cohorts/conftest.py."""
    source = Path(__file__).resolve().parents[1] / "cohorts" / "conftest.py"
    spec = importlib.util.spec_from_file_location("mewm_drawn_trunk", source)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return SimpleNamespace(trunk=module.trunk, PHASES=module.PHASES, SHAPE=module.SHAPE, SPACING=module.SPACING)
