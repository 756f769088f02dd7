"""MeWMTest, as Slicer's test runner calls it: with everything installed, and in a fresh Slicer."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
ALWAYS = {"Geometry of an oblique volume", "A transform is refused", "Protocols and rules", "Settings in the scene"}
WITH_PACKAGES = {"Sample", "Editing the tumour", "Protocols in the scene"}

#: A Python in which packages are absent: neither importable nor known to their metadata.
_FRESH = """
import importlib.metadata as metadata, sys, unittest
absent = set(sys.argv[1].split())
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in absent:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocker())
real = metadata.version
def version(name):
    if {"connected-components-3d": "cc3d"}.get(name, name) in absent:
        raise metadata.PackageNotFoundError(name)
    return real(name)
metadata.version = version
import slicer_host
slicer_host.start()
loaded = slicer_host.load_module(sys.argv[2])
loaded.module.MeWMTest.delayDisplay = lambda case, text, *_rest: print("TOLD", text)
result = unittest.TextTestRunner(stream=sys.stderr).run(loaded.module.MeWMTest())
print("OFFERS", loaded.widget.front is None and loaded.widget.bare.setup.ui.installButton.enabled)
loaded.close()
sys.stdout.flush()
import os
os._exit(0 if result.wasSuccessful() and result.testsRun == 1 else 1)
"""
FRESH = "psutil platformdirs safetensors scipy cc3d monai torch jinja2 matplotlib"


@pytest.mark.parametrize("absent", ["", "torch monai", FRESH])
def test_it_tests_what_can_be_tested_and_says_the_rest(host, absent, tmp_path):
    path = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "Testing")])
    done = subprocess.run(
        [sys.executable, "-c", _FRESH, absent, str(REPOSITORY / "MeWM" / "MeWM.py")],
        env={**os.environ, "PYTHONPATH": path, "QT_QPA_PLATFORM": "offscreen"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    told = {line.removeprefix("TOLD ") for line in done.stdout.splitlines() if line.startswith("TOLD")}
    rest = {sentence for sentence in told if "not tested" in sentence}
    assert told >= ALWAYS
    assert (told >= WITH_PACKAGES) is ("psutil" not in absent)
    assert len(rest) == {"": 0, "torch monai": 1, FRESH: 2}[absent]
    for name in absent.split():
        assert any(name in sentence for sentence in rest), name
    assert f"OFFERS {absent == FRESH}" in done.stdout


def test_a_failure_is_a_failure(user, monkeypatch):
    """A check that cannot fail would be green in any Slicer."""
    from MeWMPanels import self_test

    def wrong(*_arguments):
        raise AssertionError("wrong")

    for part in ("node_geometry", "check", "_sample"):
        with monkeypatch.context() as patch:
            patch.setattr(self_test, part, wrong)
            with pytest.raises(AssertionError, match="wrong"):
                user.loaded.instance.runTest(msec=1)
