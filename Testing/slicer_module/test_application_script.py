"""The script that walks the checklist inside Slicer, run in the stand-in host: every check of it works here."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "slicer_application"


@pytest.fixture
def script(user, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.setenv("MEWM_WALK_LARGE", "24,40,40")
    monkeypatch.setenv("MEWM_WALK_WAIT_S", "60")
    monkeypatch.delenv("MEWM_WALK_FOLDER", raising=False)
    walk = importlib.import_module("walk")
    checks = importlib.import_module("checks")
    yield walk, checks
    for name in ("walk", "checks"):
        sys.modules.pop(name, None)


def test_the_checklist_walks_by_itself(script, user, tmp_path):
    walk, checks = script
    # these have tests of their own and take long here
    left_out = {"Report", "The module's own test", "Sample Data"}
    told = walk.walk(tmp_path, [one for one in checks.CHECKS if one[0] not in left_out])
    failed = [f"{title}: {words}" for title, state, words, _shot in told if state == "failed"]
    assert failed == []
    assert {title for title, state, *_rest in told if state == "not tried"} == {"A scene of the command line"}
    assert (tmp_path / told[0][3]).stat().st_size > 0
    page = walk.page([*told, ("A check <b>", "failed", "why & where", "")])
    assert 'data-failed="1"' in page and "A check &lt;b&gt;" in page and "why &amp; where" in page


def test_a_check_that_fails_is_told_and_the_next_one_goes_on(script, user, tmp_path):
    walk, _checks = script

    def wrong(walker):
        walker.sample()
        raise AssertionError("three views, not two")

    def after(walker):
        assert walker.front.parameters.ct is None
        return "the scene was empty"

    told = walk.walk(tmp_path, [("One", wrong), ("Two", after)])
    assert [one[1] for one in told] == ["failed", "passed"] and "three views, not two" in told[0][2]


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script")
def test_the_shell_script_hands_over_what_the_walk_needs(tmp_path):
    """A stand-in for the executable writes down how it was called, and a page."""
    fake, out = tmp_path / "Slicer", tmp_path / "out"
    fake.write_text(
        '#!/bin/sh\necho "$@" > "$MEWM_WALK_FOLDER/called"\n'
        'echo "$MEWM_WALK_CODE" >> "$MEWM_WALK_FOLDER/called"\n'
        "echo '<html data-failed=\"'$FAILED'\">' > \"$MEWM_WALK_FOLDER/index.html\"\n",
        encoding="utf-8",
    )
    fake.chmod(0o755)
    for failed, code in (("0", 0), ("2", 1)):
        done = subprocess.run(
            [str(FOLDER / "run.sh"), str(fake), str(out)], env={"PATH": "/usr/bin:/bin", "FAILED": failed}, check=False
        )
        assert done.returncode == code
    called = (out / "called").read_text(encoding="utf-8")
    assert f"--python-script {FOLDER / 'walk.py'}" in called and called.splitlines()[1] == str(FOLDER)
    assert (FOLDER / "../../MeWM/MeWM.py").is_file() and "../../MeWM" in called
