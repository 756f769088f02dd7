"""The user's folders: chosen by MeWM's own variables, else those of the platform."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from MeWMLib.core.folders import cache_folder, data_folder


@pytest.mark.parametrize(("folder", "variable"), [(data_folder, "MEWM_DATA"), (cache_folder, "MEWM_CACHE")])
def test_a_folder_can_be_chosen(folder, variable, monkeypatch, tmp_path):
    monkeypatch.setenv(variable, str(tmp_path / "own"))
    assert folder() == tmp_path / "own"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="XDG variables are those of Linux")
@pytest.mark.parametrize(
    ("folder", "variable", "usual"),
    [(data_folder, "XDG_DATA_HOME", ".local/share"), (cache_folder, "XDG_CACHE_HOME", ".cache")],
)
def test_the_folders_of_linux(folder, variable, usual, monkeypatch, tmp_path):
    for name in ("MEWM_DATA", "MEWM_CACHE", variable):
        monkeypatch.delenv(name, raising=False)
    assert folder() == Path.home() / usual / "mewm"
    monkeypatch.setenv(variable, str(tmp_path))
    assert folder() == tmp_path / "mewm"
