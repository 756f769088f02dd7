"""The models in the panel Setup: import of a good and of a damaged file, deletion with a question, the list."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from MeWMLib.core import bundles
from MeWMLib.core.errors import BundleError


def archive(folder: Path, name: str, damage: str = "") -> Path:
    """A bundle as a .zip; `damage` says what is wrong with it."""
    source = folder / name
    for n, part in enumerate(bundles.PARTS):
        if damage == "incomplete" and part == "survival":
            continue
        bundles.write_part(source, part, {"width": n}, {"weight": np.full((2, 2), n, dtype=np.float32)})
    if damage == "changed":
        file = source / "dynamics.safetensors"
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.write_bytes(bytes(content))
    path = folder / f"{name}.zip"
    if damage == "no archive":
        path.write_bytes(b"PK no more")
        return path
    with zipfile.ZipFile(path, "w") as zipped:
        for file in source.iterdir():
            zipped.write(file, f"{name}/{file.name}")
        if damage == "unsafe":
            zipped.writestr("../evil.txt", "x")
    shutil.rmtree(source)
    return path


@pytest.fixture
def chooser(monkeypatch: pytest.MonkeyPatch, user: Any) -> Any:
    """Answers the file dialog."""
    import qt

    def choose(path: Path | str) -> None:
        monkeypatch.setattr(qt.QFileDialog, "getOpenFileName", lambda *_: str(path))

    return choose


def listed(user: Any) -> list[str]:
    box = user.widget("setup", "bundleBox")
    return [box.itemText(n) for n in range(box.count)]


def test_a_model_is_imported_chosen_and_listed(user, chooser, tmp_path):
    assert "mewm-own" not in listed(user)
    chooser(archive(tmp_path, "mewm-own"))
    user.click("setup", "importButton")
    user.wait(lambda: "mewm-own" in listed(user))
    user.wait_idle()
    assert user.front.parameters.computer.bundle == "mewm-own"
    assert user.widget("setup", "bundleBox").currentText == "mewm-own"
    assert bundles.find_bundle("mewm-own").path.parent == bundles.user_bundles()
    assert any("Imported: mewm-own" in line for line in user.front.desk.state.log)


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        ("changed", "does not have the sha256"),
        ("incomplete", "lacks survival"),
        ("no archive", "cannot be read"),
        ("unsafe", "not safe"),
    ],
)
def test_a_damaged_model_is_refused_with_its_reason(user, chooser, tmp_path, damage, text):
    before = listed(user)
    chooser(archive(tmp_path, "mewm-bad", damage))
    user.click("setup", "importButton")
    error = user.wait_error()
    assert isinstance(error, BundleError) and text in error.what and error.given
    assert listed(user) == before and user.front.parameters.computer.bundle == ""
    assert not user.front.desk.busy and user.widget("setup", "importButton").enabled
    left = bundles.user_bundles()
    assert not left.is_dir() or list(left.iterdir()) == [], "nothing half imported"


def test_a_model_that_is_there_already(user, chooser, tmp_path):
    path = archive(tmp_path, "mewm-own")
    bundles.import_bundle(path)
    chooser(path)
    user.click("setup", "importButton")
    error = user.wait_error()
    assert isinstance(error, BundleError) and "already there" in error.what


def test_who_closes_the_file_dialog_imports_nothing(user, chooser):
    chooser("")
    user.click("setup", "importButton")
    assert not user.front.desk.busy and user.front.messages.box is None


def test_deleting_is_asked_first_and_clears_the_choice(user, monkeypatch, tmp_path):
    import slicer

    bundles.import_bundle(archive(tmp_path, "mewm-own"))
    user.front.refresh()
    box = user.widget("setup", "bundleBox")
    box.setCurrentIndex(listed(user).index("mewm-own"))
    user.look()
    assert user.front.parameters.computer.bundle == "mewm-own"
    asked: list[str] = []
    answers = iter([False, True])
    monkeypatch.setattr(
        slicer.util, "confirmOkCancelDisplay", lambda text, title=None: asked.append(text) or next(answers)
    )
    user.click("setup", "removeButton")
    assert "mewm-own" in asked[0] and "mewm-own" in listed(user), "who says no keeps it"
    user.click("setup", "removeButton")
    assert len(asked) == 2 and "mewm-own" not in listed(user)
    assert user.front.parameters.computer.bundle == "" and box.currentText == "default"
    assert not (bundles.user_bundles() / "mewm-own").exists()
    button = user.widget("setup", "removeButton")
    assert not button.enabled and "imported" in button.toolTip


def test_a_model_that_came_with_mewm_cannot_be_deleted(user, small_bundle):
    user.front.parameters.computer.bundle = small_bundle.name
    user.look()
    assert not user.widget("setup", "removeButton").enabled


def test_a_model_that_vanished_is_said(user, monkeypatch, tmp_path):
    """It was deleted by hand, or the scene comes from another computer."""
    user.front.parameters.computer.bundle = "mewm-elsewhere"
    user.look()
    assert user.widget("setup", "bundleBox").currentText == "mewm-elsewhere (missing)"
    assert not user.widget("setup", "removeButton").enabled


def test_without_any_model_the_panel_says_what_to_press(user, monkeypatch):
    label = user.widget("setup", "bundleLabel")
    assert not label.isVisible()
    monkeypatch.setattr(bundles, "list_bundles", list)
    user.front.refresh()
    user.look()
    assert label.isVisible() and "Import model..." in label.text
    assert listed(user) == ["default"]


def test_a_damaged_model_is_found_when_a_job_wants_it(user, small_bundle):
    from MeWMLib.core.protocol import Protocol

    manifest = json.loads((small_bundle / "manifest.json").read_text())
    (small_bundle / manifest["parts"]["dynamics"]["file"]).write_bytes(b"damaged")
    user.load_sample()
    user.front.actions.add("A", Protocol.parse("Cisplatin + Lipiodol"))
    user.look()
    user.click("simulation", "simulateButton")
    error = user.wait_error()
    assert isinstance(error, BundleError) and "damaged" in error.what
    user.front.messages.show(error)
    assert "Open Setup" in [b.text for b in user.front.messages.box.buttons()]
