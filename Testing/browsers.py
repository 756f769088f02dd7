"""Chromium and packages of npm for tests in a browser: where they are, and what is said where they are not."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

#: Packages of npm: a folder of one's own, or where `make browser` puts them.
PACKAGES = Path(os.environ.get("MEWM_VIEWER_PACKAGES", Path(__file__).parent / "exchange" / "viewer" / "node_modules"))
AXE = PACKAGES / "axe-core" / "axe.min.js"


def chromium() -> str:
    """The command of Chromium; without one the test is skipped."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("Chromium is not installed: make browser")
    return found


def axe() -> str:
    """The source of axe-core; without it the test is skipped."""
    if not AXE.is_file():
        pytest.skip("axe-core of npm is not installed: make browser")
    return AXE.read_text(encoding="utf-8")


@contextmanager
def driven() -> Iterator[Any]:
    """Chromium without a window, driven by Playwright; without that the test is skipped."""
    api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed: pip install playwright")
    command = chromium()
    with api.sync_playwright() as play:
        running = play.chromium.launch(executable_path=command, args=["--no-sandbox"])
        yield running
        running.close()
