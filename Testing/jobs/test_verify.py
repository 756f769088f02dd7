"""Results are verified: every number is measured again from the files, and no bit of a folder changes unnoticed."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MeWMLib import cli
from MeWMLib.core import io
from MeWMLib.core.bundles import Bundle
from MeWMLib.core.errors import InputError
from MeWMLib.core.plan_folder import PlanFolder
from MeWMLib.core.sealed import read_sealed, write_sealed
from MeWMLib.core.volume import LabelMap, Volume
from MeWMLib.jobs import worker
from MeWMLib.jobs.job import Job
from MeWMLib.jobs.verification import verify
from Testing.world.lesions import BALLS, people

FAST = {"space": "free", "beams": 2, "drugs": 2, "embolics": 2, "drug_horizon": 1, "embolic_horizon": 1,
        "replicas": 2, "steps": 1, "keep": 2}  # fmt: skip
MINE = "Doxorubicin 50 mg + Lipiodol 10 ml"


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A portal CT with three lesions, a scan after treatment in which they are smaller, and the labels of both."""
    folder, patient = tmp_path_factory.mktemp("given"), people(*BALLS)
    smaller = people(*((middle, radius - 2) for middle, radius in BALLS))
    scans = {"case": (patient.ct, patient.labels), "post": (smaller.ct, smaller.labels)}
    for name, (ct, labels) in scans.items():
        # darker than the liver, brighter than dead tissue: viable in the portal phase
        array = np.where(labels.tumour, ct.array - 10, ct.array).astype(np.int16)
        array[labels.array == 0] = -100  # fat around the liver
        io.write_volume(Volume(array, ct.geometry, "portal"), folder / f"{name}.nrrd")
        io.write_labels(labels, folder / f"{name}.seg.nrrd")
    return {
        "case": str(folder / "case.nrrd"), "labels": str(folder / "case.seg.nrrd"),
        "post": str(folder / "post.nrrd"), "post_labels": str(folder / "post.seg.nrrd"),
    }  # fmt: skip


def made(kind: str, out: Path, bundle: Bundle, inputs: dict, settings: dict | None = None) -> Path:
    job = Job(kind, inputs, str(out), 0, "cpu", str(bundle.path), settings or {})
    worker.run(job, lambda event: None, lambda: False)
    return out


@pytest.fixture(scope="module")
def plan(given, tiny_map_bundle: Bundle, tmp_path_factory) -> Path:
    """A whole plan of real networks, which are small and untrained, with the user's own protocol beside it."""
    inputs = {"case": given["case"], "labels": given["labels"], "accept_labels": True, "mine": MINE}
    return made("plan", tmp_path_factory.mktemp("plan") / "out", tiny_map_bundle, inputs, FAST)


@pytest.fixture(scope="module")
def simulated(given, tiny_bundle: Bundle, tmp_path_factory) -> Path:
    """One protocol, by the latent model on a cube."""
    inputs = {"case": given["case"], "labels": given["labels"], "accept_labels": True, "protocol": MINE}
    settings = {"replicas": 2, "steps": 1}
    return made("simulate", tmp_path_factory.mktemp("simulated") / "out", tiny_bundle, inputs, settings)


@pytest.fixture(scope="module")
def assessed(given, tiny_map_bundle: Bundle, tmp_path_factory) -> Path:
    inputs = {**given, "accept_labels": True, "register": False, "accept_registration": True, "registered": True}
    return made("assess", tmp_path_factory.mktemp("assessed") / "response.json", tiny_map_bundle, inputs)


def voxels(path: Path) -> np.ndarray:
    """Voxels of a file by a reader that is not MeWM's; of several layers the first."""
    array = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    return array[..., 0] if array.ndim == 4 else array


@pytest.mark.parametrize("which", ["plan", "simulated"])
def test_every_number_of_a_plan_can_be_measured_in_its_files(which, request, given) -> None:
    folder: Path = request.getfixturevalue(which)
    found = verify(folder, [Path(given["case"]).parent])
    assert [one.text for one in found.findings if one.wrong] == [] and found.numbers > 150
    assert {"case.nrrd (case) is the file that was used."} <= {one.text for one in found.findings}
    # and by hand, with other readers than MeWM's
    data = json.loads((folder / "plan.json").read_text())
    before, outline = voxels(folder / "pre.nrrd"), voxels(folder / "pre.seg.nrrd")
    voxel_ml = 2.0**3 / 1000
    assert data["findings"]["lesions"][0]["volume_ml"] == pytest.approx(
        max(
            np.bincount(
                sitk.GetArrayFromImage(sitk.ConnectedComponent(sitk.GetImageFromArray((outline == 2) * 1))).ravel()
            )[1:]
        )
        * voxel_ml
    )
    rows = [*data["candidates"], *([data["beside"]["mine"]] if data["beside"] else [])]
    kept = [row for row in rows if row["files"]]
    assert kept and all(row["written"] for row in kept)
    for row in kept:
        said = row["written"]
        after, labels = voxels(folder / row["files"]["ct"]), voxels(folder / row["files"]["labels"])
        assert said["tumour_ml_before"] == pytest.approx((outline == 2).sum() * voxel_ml)
        assert said["tumour_ml_after"] == pytest.approx((labels == 2).sum() * voxel_ml)
        assert said["lipiodol_ml_after"] == pytest.approx(((labels == 2) & (after >= 300)).sum() * voxel_ml)
        beside = (labels != 2) & (after >= 300) & (before < 300)
        assert said["lipiodol_outside_ml"] == pytest.approx(beside.sum() * voxel_ml)
        old = (after >= 300) & (labels == 2) & (before >= 300)
        assert said["dense_before_ml"] == pytest.approx(old.sum() * voxel_ml)
        segments = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / row["files"]["labels"])))[..., 1]
        for value, name in ((3, "viable_ml_after"), (4, "necrotic_ml_after"), (5, "lipiodol_ml_after")):
            assert said[name] == pytest.approx((segments == value).sum() * voxel_ml)
        assert ((segments > 0) == (labels == 2)).all()  # together they are the tumour
        assert row["risk"] == pytest.approx(np.mean(row["risk_replicas"]))
        assert row["hazard_ratio_treated"] == pytest.approx(np.exp(row["risk"] - row["risk_untreated"]))
    # before treatment there is one number for the volume and one for what of it lives
    whole = sum(one["volume_ml"] for one in data["findings"]["lesions"])
    assert kept[0]["tumour_change"]["volume_ml_before"] == pytest.approx(whole)
    alive = sum(one["viable_ml"] for one in data["findings"]["lesions"])
    assert (
        kept[0]["tumour_change"]["viable_ml_before"] == pytest.approx(alive) == kept[0]["written"]["viable_ml_before"]
    )


def test_every_number_of_an_assessment_can_be_measured_again(assessed, given) -> None:
    found = verify(assessed, [Path(given["case"]).parent])
    assert [one.text for one in found.findings if one.wrong] == [] and found.numbers > 50
    lonely = verify(assessed)
    assert lonely.whole and any("--inputs" in one.text for one in lonely.findings)
    data = json.loads(assessed.read_text())
    outline = voxels(Path(given["post_labels"]))
    assert data["volumes_ml"]["after"]["volume"] == pytest.approx((outline == 2).sum() * 2.0**3 / 1000)
    # a number that somebody changed, with all checksums right
    data.pop("sha256")
    data["volumes_ml"]["after"]["volume"] += 1.0
    data["risk_total_interval"][1] -= 0.5
    write_sealed(data, assessed.parent / "changed.json")
    wrong = [
        one.text for one in verify(assessed.parent / "changed.json", [Path(given["case"]).parent]).findings if one.wrong
    ]
    assert len(wrong) == 2 and wrong[0].startswith("risk_total_interval[1] is ")
    assert wrong[1].startswith("volumes_ml.after.volume is ")


def test_inputs_are_found_beside_the_result_and_in_the_current_folder(plan, given, tmp_path, monkeypatch) -> None:
    """As it was planned: `mewm plan scans/case.nrrd --out out`, whose folder keeps the name and no path."""

    def told() -> dict[str, str]:
        return {one.text.split(" ")[0]: one.text for one in verify(out).findings if one.topic == "input"}

    out, scans, other = tmp_path / "out", tmp_path / "scans", tmp_path / "another patient"
    shutil.copytree(plan, out)
    for folder in (scans, other):
        folder.mkdir()
    shutil.copy(given["case"], scans)
    shutil.copy(given["post"], other / "case.seg.nrrd")  # of that name, and of somebody else
    (other / "case.nrrd").write_bytes(b"of somebody else")
    assert told()["case.nrrd"] == "case.nrrd (case) is the file that was used."
    assert told()["case.seg.nrrd"].endswith("Give the folder that holds it: --inputs FOLDER.")
    assert not [one for one in verify(out).findings if one.wrong]
    monkeypatch.chdir(Path(given["labels"]).parent)
    assert told()["case.seg.nrrd"] == "case.seg.nrrd (labels) is the file that was used."


@pytest.mark.parametrize("which", ["plan", "assessed"])
def test_a_bit_that_flips_anywhere_is_found(which, request, tmp_path) -> None:
    source: Path = request.getfixturevalue(which)
    folder = tmp_path / "copy"
    shutil.copytree(source if source.is_dir() else source.parent, folder, ignore=shutil.ignore_patterns("changed.json"))
    target = folder if source.is_dir() else folder / source.name
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    assert len(files) >= 4 and verify(target).whole
    rng = np.random.default_rng(0)
    for file in files:
        content = file.read_bytes()
        for at in (0, len(content) - 1, *rng.integers(0, len(content), 3)):
            changed = bytearray(content)
            changed[at] ^= 1 << int(rng.integers(8))
            file.write_bytes(changed)
            found = verify(target)
            assert not found.whole and any(file.name in one.text for one in found.findings if one.wrong), (
                file.name,
                at,
            )
        file.write_bytes(content)
    assert verify(target).whole


def test_files_too_many_too_few_and_under_other_names_are_told(plan, tmp_path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(plan, folder)
    (folder / "notes.txt").write_text("mine")
    (folder / "simulated_01.nrrd").rename(folder / "simulated_09.nrrd")
    (folder / "simulated_02_sd.nrrd").unlink()
    (folder / "run.json").unlink()
    wrong = {one.text for one in verify(folder).findings if one.wrong}
    assert wrong == {
        "run.json is missing.",
        "notes.txt is no file of this result: it was put there later.",
        "simulated_01.nrrd was renamed to simulated_09.nrrd.",
        "simulated_02_sd.nrrd is missing.",
    }


def test_what_a_file_browser_left_is_no_fault_and_what_cannot_be_checked_is_no_intruder(plan, tmp_path, capsys) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(plan, folder)
    (folder / "report.html").write_text("a report")
    PlanFolder(folder).record_made(["report.html"])
    for name in (".DS_Store", "Thumbs.db", "desktop.ini", "._plan.json"):
        (folder / name).write_bytes(b"x")
    found = verify(folder)
    assert found.whole and found.numbers > 150  # the numbers are measured all the same
    assert sum("file browsers leave such files" in one.text for one in found.findings) == 4
    run = (folder / "run.json").read_bytes()
    (folder / "run.json").write_bytes(run[:40] + bytes([run[40] ^ 1]) + run[41:])
    found = verify(folder)
    wrong = [one.text for one in found.findings if one.wrong]
    assert len(wrong) == 1 and wrong[0].startswith("run.json is not as it was written")
    assert any("files could not be checked" in one.text for one in found.findings)
    assert cli.main(["verify", str(folder)]) == 4
    told = capsys.readouterr().out
    assert "NOT as it was written: 1 finding." in told and "make it again from its inputs" in told


def test_a_number_that_was_changed_with_its_checksum_is_found(plan, tmp_path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(plan, folder)
    data = read_sealed(folder / "plan.json", "the plan", "")
    data.pop("sha256")
    data["candidates"][0]["written"]["tumour_ml_after"] += 0.5
    data["candidates"][1]["hazard_ratio"] = 0.1
    data["findings"]["lesions"][0]["longest_axial_diameter_mm"] += 1
    data["beside"]["difference"]["better"] = 0.99
    data["beside"]["swaps"][0]["difference"]["interval"][1] = -0.1
    moved = next(one for one in data["candidates"][0]["contributions"] if one["difference"])
    moved["risk_change"] -= 1
    write_sealed(data, folder / "plan.json")
    wrong = [one.text for one in verify(folder).findings if one.wrong]
    # the tables hold two of the numbers once more
    assert len(wrong) == 8, wrong
    changed = ("candidates[0].written.tumour_ml_after", "candidates[1].hazard_ratio", "longest_axial_diameter_mm",
               "beside.difference.better", "beside.swaps[0].difference.interval[1]", ".difference.change")  # fmt: skip
    for name in (*changed, "ranking.csv[1]", "lesions.csv[1]"):
        assert any(name in text for text in wrong)


def test_another_input_another_bundle_and_what_is_no_result(plan, given, tiny_bundle, tmp_path, capsys) -> None:
    ct = io.read_volume(Path(given["case"]))
    io.write_volume(ct.with_array(ct.array + 1), tmp_path / "case.nrrd")
    wrong = [one for one in verify(plan, [tmp_path], str(tiny_bundle.path)).findings if one.wrong]
    assert [one.topic for one in wrong] == ["bundle", "input"]
    assert "case.nrrd (case) is another file than the one that was used." in wrong[1].text
    for nothing in (tmp_path, tmp_path / "absent"):
        with pytest.raises(InputError):
            verify(nothing)
    (tmp_path / "a.txt").write_text("x")
    assert cli.main(["verify", str(tmp_path / "a.txt")]) == 2
    (tmp_path / "a.json").write_text("{}")
    assert cli.main(["verify", str(tmp_path / "a.json")]) == 2
    capsys.readouterr()


def test_one_image_is_verified_by_its_own_checksum(plan, given, tmp_path, capsys) -> None:
    assert cli.main(["verify", str(plan / "simulated_01.nrrd"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["whole"] and "a SIMULATED volume as MeWM wrote it" in told["findings"][0]["text"]
    labels = LabelMap(voxels(plan / "pre.seg.nrrd"), io.read_volume(Path(given["case"])).geometry)
    plain = tmp_path / "labels.nii"
    io.write_labels(labels, plain)
    assert cli.main(["verify", str(plain)]) == 4
    assert "carries no checksum of MeWM" in capsys.readouterr().out


def test_a_plan_is_made_again_and_compared(simulated, tiny_bundle, monkeypatch, capsys) -> None:
    def here(job: Job, *_: object, **__: object) -> dict:  # in this process: starting another one takes long
        return worker.run(job, lambda event: None, lambda: False)

    monkeypatch.setattr("MeWMLib.cli.verify.runner.run", here)
    command = ["verify", str(simulated), "--rerun", "--bundle", str(tiny_bundle.path), "--quiet"]
    assert cli.main(command) == 0
    assert "The plan was made again, and all of its numbers and voxels are the same." in capsys.readouterr().out
    monkeypatch.setattr("MeWMLib.cli.verify.runner.run", lambda job, *_, **__: here(replace(job, seed=7)))
    assert cli.main(command) == 4
    told = capsys.readouterr().out
    assert "candidates[0].risk is " in told and "simulated_01.nrrd differs in " in told
