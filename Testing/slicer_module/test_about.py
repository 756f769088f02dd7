"""What a bug report needs: shown in the panel Setup, copied by a button, without data of a patient."""

from __future__ import annotations

import sys
from pathlib import Path

import psutil
import pytest

from MeWMLib.core.errors import UnreadableFileError


def _copied() -> str:
    import slicer

    return str(slicer.app.clipboard().text())


def test_the_check_shows_torch_memory_python_and_the_last_error(user):
    import torch

    user.click("setup", "checkButton")
    user.wait(lambda: "PyTorch:" in user.front.setup.ui.systemLabel.text, 180)
    shown = user.widget("setup", "systemLabel").text
    assert f"PyTorch: {torch.__version__}" in shown and "CUDA of PyTorch:" in shown and "NVIDIA driver:" in shown
    assert f"({sys.version.split()[0]})" in shown and "Last error: none" in shown
    free = float(shown.split("Free memory: ")[1].split()[0])
    assert 0 < free <= psutil.virtual_memory().total / 1024**3
    user.click("setup", "copyButton")
    assert _copied().splitlines() == shown.splitlines()


@pytest.mark.parametrize("kind", ["ours", "foreign"])
def test_no_data_of_a_patient_is_copied(user, kind):
    def fail():
        if kind == "ours":
            raise UnreadableFileError(what="The file cannot be read", given="/home/x/DOE^JOHN.nrrd", remedy="No")
        raise ValueError("DOE^JOHN 1950-01-01")

    user.load_sample()
    user.front.parameters.ct.SetName("CT of DOE^JOHN")
    user.error_after(fail)
    user.click("setup", "copyButton")
    copied = _copied()
    assert "DOE" not in copied and "1950" not in copied
    assert ("The file cannot be read" if kind == "ours" else "ValueError") in copied
    assert "test_about.py:" in copied, "the place in the code"


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("The segmentation has no segment 'DOE^JOHN'", "The segmentation has no segment ..."),
        ('No series is called "DOE JOHN 1950"', "No series is called ..."),
        ("The store of jobs cannot be used (/home/doe/x y.db)", "The store of jobs cannot be used (... y.db)"),
        ("It is in C:\\Users\\doe\\x.nrrd", "It is in ..."),
        ("Slicer's own list and the patient's labels differ", "Slicer's own list and the patient's labels differ"),
        ("48 of 96 bytes and/or 3 mm", "48 of 96 bytes and/or 3 mm"),
    ],
)
def test_names_and_paths_in_a_sentence_are_left_out(host, what, told):
    from MeWMPanels import about

    last = about.lines(None, UnreadableFileError(what=what, given="-", remedy="-"))[-1]
    assert last == f"Last error: UnreadableFileError. {told}"


def test_the_users_own_folder_is_not_told(host):
    from MeWMPanels import about

    home = str(Path.home())
    found = {"python": f"{home}/p", "version": "3.12", "torch error": f"OSError: {home}/lib/libtorch.so is damaged"}
    told = "\n".join(about.lines(found, None))
    assert home not in told and "~/lib/libtorch.so is damaged" in told


def test_a_python_that_does_not_work_is_told(tmp_path):
    from MeWMPanels import about

    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho 'no such library' >&2\nexit 3\n")
    broken.chmod(0o755)
    for python in (str(broken), str(tmp_path / "absent")):
        told = "\n".join(about.lines(about.ask(python), None))
        assert "It does not work:" in told and python.replace(str(tmp_path.home()), "~") in told
    assert "no such library" in "\n".join(about.lines(about.ask(str(broken)), None))


def test_a_card_and_its_driver_are_named(host):
    from MeWMPanels import about

    found = {"python": "/p", "version": "3.12", "torch": "2.9.1", "cuda": "12.6", "driver": "560.1", "memory": 2**30}
    told = about.lines({**found, "devices": [["A card", 3 * 2**30]]}, None)
    assert {"CUDA of PyTorch: 12.6", "NVIDIA driver: 560.1", "Free memory: 1.0 GB"} <= set(told)
    assert "Graphics card: A card, 3.0 GB free" in told
