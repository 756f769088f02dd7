"""A plan directory is read whole, or refused with a sentence; what is written is read back."""

import json
from dataclasses import replace

import numpy as np
import pytest

from MeWMLib.core.errors import GeometryMismatchError, OutputError, UnreadableFileError
from MeWMLib.core.plan_folder import PlanDocument, PlanFolder
from MeWMLib.core.volume import Geometry


def _change(folder, **changes):
    file = folder / "plan.json"
    data = json.loads(file.read_text())
    for key, value in changes.items():
        if value is None:
            del data[key]
        else:
            data[key] = value
    file.write_text(json.dumps(data))


def _read_all(path):
    folder = PlanFolder(path)
    document = folder.read()
    before, labels = folder.read_before(document)
    return document, before, labels, folder.read_kept(document, before)


def test_reads_what_was_written(axial_plan, folders):
    document, before, labels, kept = _read_all(axial_plan)
    ct, label_array, geometry = folders.small_patient()
    assert (before.array == ct).all() and (labels.array == label_array).all()
    assert before.geometry.same_as(geometry)
    plan = document.plan
    assert [c.rank for c in plan.candidates] == list(range(1, 9)) and not plan.cancelled
    assert [one.candidate for one in kept] == list(plan.candidates[:3])
    simulated = kept[0]
    assert simulated.ct.simulated.protocol == plan.candidates[0].protocol.text
    assert simulated.ct.simulated.seed == 20
    assert simulated.sd.array.dtype == np.float32


def test_a_document_is_written_as_it_was_read(axial_plan, tmp_path):
    written = json.loads((axial_plan / "plan.json").read_text())
    document = PlanDocument.from_json(written)
    read_back = document.to_json()
    assert {key: read_back[key] for key in written if key not in ("bundle", "policy", "treated")} == {
        key: value for key, value in written.items() if key not in ("bundle", "policy", "treated")
    }
    for key in ("bundle", "policy", "treated"):
        assert written[key].items() <= read_back[key].items(), "fields were added, none was changed"
    PlanFolder(tmp_path / "new").write(document)
    assert PlanFolder(tmp_path / "new").read() == document


def test_a_plan_of_an_older_version_opens(own_plan):
    """Schema 1 as it was before doses, weights, ensembles and explanations."""
    data = json.loads((own_plan / "plan.json").read_text())
    for candidate in data["candidates"]:
        for name in ("utility", "contributions", "risk_members", "risk_uncertainty"):
            del candidate[name]
    for name in ("simulations", "ruled_out", "pruned"):
        del data[name]
    for name in ("search", "space", "dose_levels", "toxicity_weight", "complexity_weight", "uncertainty_weight"):
        del data["settings"][name]
    data["treated"] = {"lesion": 1, "lesions": 2, "share_of_tumour_percent": 94.0}
    data["findings"]["lesions"] = [
        {k: v for k, v in one.items() if k not in ("hu_low", "hu_high", "liver_edge_mm", "location")}
        for one in data["findings"]["lesions"]
    ]
    data["a field of a later version"] = 1
    (own_plan / "plan.json").write_text(json.dumps(data))
    document, *_, kept = _read_all(own_plan)
    assert len(kept) == 3 and document.settings.search == "beam" and document.plan.pruned == ()
    assert document.plan.candidates[0].risk.members == () and document.treated.outline_after_by == ""


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"schema": 99}', '{"schema": 1}', "\x00"],
    ids=["empty", "cut", "list", "99", "bare", "bytes"],
)
def test_plan_that_is_no_plan(tmp_path, text):
    (tmp_path / "plan.json").write_text(text)
    with pytest.raises(UnreadableFileError, match=r"plan\.json"):
        PlanFolder(tmp_path).read()


def test_no_plan_at_all(tmp_path):
    with pytest.raises(UnreadableFileError, match="cannot be read"):
        PlanFolder(tmp_path / "nowhere").read()


@pytest.mark.parametrize(
    "key", ["candidates", "search_tree", "findings", "policy", "labels", "treated", "bundle", "seed"]
)
def test_missing_field_is_named(own_plan, key):
    _change(own_plan, **{key: None})
    with pytest.raises(UnreadableFileError, match=f"lacks a field: {key}"):
        PlanFolder(own_plan).read()


@pytest.mark.parametrize("name", ["actions", "risk_replicas", "survival", "tumour_change", "warnings"])
def test_missing_field_of_a_candidate_is_named(own_plan, name):
    data = json.loads((own_plan / "plan.json").read_text())
    del data["candidates"][2][name]
    _change(own_plan, candidates=data["candidates"])
    with pytest.raises(UnreadableFileError, match=f"candidate lacks a field: {name}"):
        PlanFolder(own_plan).read()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"findings": [1, 2]}, "findings of the plan must be one JSON object"),
        ({"seed": "3"}, "seed of the plan must be a whole number"),
        ({"clinical": {"shoe_size": 44}}, "Unknown field of the clinical data"),
        (
            {"search_tree": [{"step": 1, "beam": 0, "parent": "", "child": "Water", "risk": 0, "kept": True}]},
            "Unknown drug",
        ),
    ],
)
def test_field_of_a_wrong_type(own_plan, changes, words):
    _change(own_plan, **changes)
    with pytest.raises(UnreadableFileError, match=words):
        PlanFolder(own_plan).read()


def test_a_curve_needs_a_probability_for_each_month(own_plan):
    data = json.loads((own_plan / "plan.json").read_text())
    data["candidates"][0]["survival"]["months"].pop()
    _change(own_plan, candidates=data["candidates"])
    with pytest.raises(UnreadableFileError, match="one probability for each month"):
        PlanFolder(own_plan).read()


@pytest.mark.parametrize(
    "name",
    ["pre.nrrd", "pre.seg.nrrd", "simulated_01.nrrd", "simulated_01.seg.nrrd", "simulated_01_sd.nrrd"],
)
def test_missing_file(own_plan, name):
    (own_plan / name).unlink()
    with pytest.raises(UnreadableFileError, match=f"missing.*{name}"):
        _read_all(own_plan)


def test_damaged_deviation_map(own_plan):
    (own_plan / "simulated_01_sd.nrrd").write_bytes(b"no image")
    with pytest.raises(UnreadableFileError, match="map"):
        _read_all(own_plan)


@pytest.mark.parametrize("name", ["../pre.nrrd", "", "..", "a/pre.nrrd"])
def test_file_outside_the_folder_is_refused(own_plan, name):
    _change(own_plan, files={"pre": name, "pre_labels": "pre.seg.nrrd"})
    with pytest.raises(UnreadableFileError, match="outside"):
        _read_all(own_plan)


@pytest.mark.parametrize(
    ("name", "words"), [("simulated_01.nrrd", "simulated CT"), ("simulated_01_sd.nrrd", "deviation")]
)
def test_simulated_volume_of_another_grid(own_plan, folders, name, words):
    ct, _, geometry = folders.small_patient()
    folders.write_image(own_plan / name, ct[1:], Geometry(ct[1:].shape, geometry.affine))
    with pytest.raises(GeometryMismatchError, match=words):
        _read_all(own_plan)


def test_a_new_plan_replaces_the_old_one_and_keeps_what_is_the_users(own_plan):
    (own_plan / "notes.txt").write_text("mine")
    folder = PlanFolder(own_plan)
    document = folder.read()
    assert (own_plan / "simulated_01.nrrd").is_file()
    folder.write(replace(document, seed=21))
    assert {p.name for p in own_plan.iterdir()} == {"plan.json", "notes.txt"} and folder.read().seed == 21


def test_a_folder_that_cannot_be_written_is_refused_before_the_work(tmp_path):
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(OutputError, match="already exists"):
            PlanFolder(path).require_writable()
    folder = PlanFolder(tmp_path / "deep" / "plan").require_writable()
    folder.journal_file()
    folder.leave()
    assert not (tmp_path / "deep").exists(), "what was made and left empty is removed"
