"""A volume of Slicer's DICOM module: the panel says what MeWM's own checks find in its files."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest


@pytest.fixture
def database(monkeypatch):
    """Slicer's database of DICOM files: SOPInstanceUID to path."""
    import slicer

    known: dict[str, str] = {}
    fake = SimpleNamespace(fileForInstance=lambda uid: known.get(uid, ""))
    monkeypatch.setattr(slicer, "dicomDatabase", fake, raising=False)
    return known


def shown(user) -> str:
    user.look()
    return user.widget("patient", "patientLabel").text


def load(user, database, folder) -> None:
    """What Slicer's DICOM module leaves: a volume node with the identifiers of its files."""
    import pydicom
    import slicer

    from MeWMLib.core.volume import Geometry, Volume
    from MeWMLib.scene.nodes import volume_to_node

    found = {
        str(pydicom.dcmread(path, force=True).get("SOPInstanceUID", path.name)): str(path) for path in folder.iterdir()
    }
    database.clear()
    database.update(found)
    affine = np.diag([-6.5, -6.5, 7.5, 1.0])
    volume = Volume(np.zeros((12, 48, 48), np.int16), Geometry((12, 48, 48), affine))
    node = volume_to_node(slicer.mrmlScene, volume, "CT")
    node.SetAttribute("DICOM.instanceUIDs", " ".join([*found, "1.2.3.unknown"]))
    user.front.parameters.ct = node
    user.look()


def test_a_missing_slice_is_said_and_a_whole_series_is_not(user, database, phantom, tmp_path):
    hu = phantom.plain()
    load(user, database, phantom.classic(tmp_path / "good", hu))
    user.wait(lambda: user.front.patient._checked and "48 x 48 x 12" in shown(user))
    assert "not right" not in shown(user) and "another grid" not in shown(user)
    gap = phantom.classic(tmp_path / "gap", hu, series="5", places=[7.5 * (n + (n > 5)) for n in range(12)])
    load(user, database, gap)
    user.wait(lambda: "not right" in shown(user))
    assert "Slices are missing" in shown(user) and "15.00 mm" in shown(user)


def test_another_grid_and_a_damaged_file_are_said(user, database, phantom, tmp_path):
    """An enhanced CT whose frames are out of order comes into Slicer with voxels of 1 mm."""
    import slicer

    phantom.enhanced(tmp_path / "e" / "1.dcm", phantom.plain(), order=[*range(0, 12, 2), *range(1, 12, 2)])
    load(user, database, tmp_path / "e")
    node = user.front.parameters.ct
    user.wait(lambda: user.front.patient._checked == node.GetAttribute("DICOM.instanceUIDs"))
    assert "another grid" not in shown(user)
    node.SetSpacing(1, 1, 1)
    node.SetAttribute("DICOM.instanceUIDs", node.GetAttribute("DICOM.instanceUIDs") + " 1.2.3")
    user.front.refresh_soon()
    user.wait(lambda: "another grid" in shown(user))
    assert "6.5 x 6.5 x 7.5 mm" in shown(user)
    folder = phantom.classic(tmp_path / "c", phantom.plain(), series="6")
    path = sorted(folder.iterdir())[3]
    path.write_bytes(path.read_bytes()[:-2])
    load(user, database, folder)
    user.wait(lambda: path.name in shown(user))
    slicer.mrmlScene.RemoveNode(user.front.parameters.ct)


def test_a_volume_from_elsewhere_is_not_asked(user, monkeypatch):
    import slicer

    monkeypatch.delattr(slicer, "dicomDatabase", raising=False)
    user.load_sample()
    assert user.front.patient._warning == "" and "voxels" in shown(user)
