"""A plan directory is read whole, or refused with a sentence."""

import json

import numpy as np
import pytest

from MeWMLib.core.errors import GeometryMismatchError, UnreadableFileError
from MeWMLib.core.volume import Geometry
from MeWMLib.scene.plan_folder import open_plan_folder


def _change(folder, **changes):
    file = folder / "plan.json"
    data = json.loads(file.read_text())
    for key, value in changes.items():
        if value is None:
            del data[key]
        else:
            data[key] = value
    file.write_text(json.dumps(data))


def test_reads_what_was_written(axial_plan, folders):
    plan = open_plan_folder(axial_plan)
    before, labels = plan.read_before()
    ct, label_array, geometry = folders.small_patient()
    assert (before.array == ct).all() and (labels.array == label_array).all()
    assert before.geometry.same_as(geometry)
    assert [c.rank for c in plan.candidates] == list(range(1, 9)) and not plan.cancelled
    simulated = plan.read_simulated(plan.candidates[0], before)
    assert simulated.ct.simulated.protocol == plan.candidates[0].protocol
    assert simulated.ct.simulated.seed == 20
    assert simulated.sd.array.dtype == np.float32


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"schema": 99}', '{"schema": 1}', "\x00"],
    ids=["empty", "cut", "list", "99", "bare", "bytes"],
)
def test_plan_that_is_no_plan(tmp_path, text):
    (tmp_path / "plan.json").write_text(text)
    with pytest.raises(UnreadableFileError, match=r"plan\.json"):
        open_plan_folder(tmp_path)


def test_no_plan_at_all(tmp_path):
    with pytest.raises(UnreadableFileError, match="cannot be read"):
        open_plan_folder(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "key", ["candidates", "search_tree", "findings", "policy", "labels", "treated", "bundle", "seed"]
)
def test_missing_field_is_named(own_plan, key):
    _change(own_plan, **{key: None})
    with pytest.raises(UnreadableFileError, match=f"no field '{key}'"):
        open_plan_folder(own_plan)


def test_field_of_a_wrong_type(own_plan):
    _change(own_plan, findings=[1, 2])
    with pytest.raises(UnreadableFileError, match="findings is no object"):
        open_plan_folder(own_plan)


@pytest.mark.parametrize("name", ["pre.nrrd", "pre.seg.nrrd"])
def test_missing_scan(own_plan, name):
    (own_plan / name).unlink()
    with pytest.raises(UnreadableFileError, match=f"missing.*{name}"):
        open_plan_folder(own_plan).read_before()


@pytest.mark.parametrize("name", ["simulated_01.nrrd", "simulated_01.seg.nrrd", "simulated_01_sd.nrrd"])
def test_missing_simulated_file(own_plan, name):
    (own_plan / name).unlink()
    plan = open_plan_folder(own_plan)
    with pytest.raises(UnreadableFileError, match=f"missing.*{name}"):
        plan.read_simulated(plan.candidates[0], plan.read_before()[0])


def test_damaged_deviation_map(own_plan):
    (own_plan / "simulated_01_sd.nrrd").write_bytes(b"no image")
    plan = open_plan_folder(own_plan)
    with pytest.raises(UnreadableFileError, match="map"):
        plan.read_simulated(plan.candidates[0], plan.read_before()[0])


def test_file_outside_the_folder_is_refused(own_plan):
    _change(own_plan, files={"pre": "../pre.nrrd", "pre_labels": "pre.seg.nrrd"})
    with pytest.raises(UnreadableFileError, match="outside"):
        open_plan_folder(own_plan).read_before()


def test_simulated_volume_of_another_grid(own_plan, folders):
    ct, _, geometry = folders.small_patient()
    folders.write_image(own_plan / "simulated_01.nrrd", ct[1:], Geometry(ct[1:].shape, geometry.affine))
    plan = open_plan_folder(own_plan)
    with pytest.raises(GeometryMismatchError, match="simulated CT"):
        plan.read_simulated(plan.candidates[0], plan.read_before()[0])
