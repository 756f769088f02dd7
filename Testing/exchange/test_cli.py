"""`mewm export`, `pull`, `push`, and a study of a PACS as the input of a job."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
import tempfile
from pathlib import Path

import pydicom
import pytest

from MeWMLib import cli
from MeWMLib.exchange.mark import told
from MeWMLib.exchange.verify import verify_export

_SPEC = importlib.util.spec_from_file_location("mewm_fake_pacs_of_cli", Path(__file__).with_name("fake_pacs.py"))
assert _SPEC is not None and _SPEC.loader is not None
fake_pacs = importlib.util.module_from_spec(_SPEC)
sys.modules["mewm_fake_pacs_of_cli"] = fake_pacs
_SPEC.loader.exec_module(fake_pacs)


@pytest.fixture
def mewm(fake_script, small_bundle, capsys, monkeypatch):
    """Run a command over the small world: (exit code, standard output, standard error)."""
    for name in ("MEWM_PACS_TOKEN", "MEWM_PACS_USER", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments) -> tuple[int, str, str]:
        code = cli.main([str(a) for a in arguments], worker=[sys.executable, str(fake_script)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def store(planned):
    pytest.importorskip("dicomweb_client", reason='dicomweb-client is not installed: pip install "mewm[pacs]"')
    one = fake_pacs.Store()
    for path in planned.dicom.iterdir():
        one.add(path.read_bytes())
    return one


def test_a_plan_goes_to_the_pacs_only_after_consent(mewm, store, planned, tmp_path):
    out = tmp_path / "out"
    code, said, _ = mewm("export", planned.plan, "--to", "dicom", "--reference", planned.dicom, "--out", out)
    assert code == 0 and f"Written: {out}" in said and "Research use only" in said
    assert "begins with SIMULATED, and the word is burned into every slice." in said
    code, said, _ = mewm("export", planned.plan, "--to", "dicom", "--out", tmp_path / "plain", "--no-mark")
    assert code == 0 and "begins with SIMULATED, and no word is burned into their slices." in said
    found = verify_export(out)
    with fake_pacs.dicomweb(store) as place:
        code, _, errors = mewm("push", out, f"dicomweb:{place}")
        assert code == 2 and "You have not agreed" in errors and "name, the id" in errors
        assert store.asked == [], "nobody is asked anything before that"
        code, _, errors = mewm("push", out, f"dicomweb:{place}?study=1.2.3", "--yes-send-images")
        assert code == 2 and "another study" in errors
        code, said, _ = mewm("push", out, f"dicomweb:{place}", "--yes-send-images", "--json")
        assert code == 0 and {one["state"] for one in json.loads(said)["objects"]} == {"sent"}
        code, said, _ = mewm("pull", f"dicomweb:{place}?study={found.study}", "--out", tmp_path / "back")
        assert code == 0 and str(8 + found.objects) in said
    assert verify_export(tmp_path / "back").fingerprints == found.objects


def test_what_is_told_of_marks_is_what_was_burned_in():
    assert told(2, 3).endswith("the word is burned into the slices of 2 of 3.")
    assert told(0, 0) == "none was written."


def test_a_job_reads_a_study_of_a_pacs_and_leaves_no_copy(mewm, fake, store, tmp_path, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    from MeWMLib.exchange.ct_series import write_scan
    from MeWMLib.exchange.study import made_up

    ct = fake.small_ct()
    study = made_up(ct, "x")
    write_scan(tmp_path / "scan", study, ct.array, 1)
    for path in (tmp_path / "scan").iterdir():
        store.add(path.read_bytes())
    out = tmp_path / "labels.seg.nrrd"
    uid = str(study.header.StudyInstanceUID)
    with fake_pacs.dicomweb(store) as place:
        code, said, errors = mewm("segment", f"dicomweb:{place}?study={uid}", "--out", out)
        assert code == 0 and out.is_file() and "12 CT images were fetched" in errors, errors
        code, _, errors = mewm("segment", f"dicomweb:{place}?study=9.9", "--out", tmp_path / "n.seg.nrrd")
        assert code == 2 and "holds no CT of this study" in errors
    assert list((tmp_path / "temporary").iterdir()) == []
    code, _, errors = mewm("segment", "dicomweb:http://x", "--out", tmp_path / "n.seg.nrrd")
    assert code == 2 and "names no study" in errors


def test_a_reference_in_a_pacs(mewm, store, planned, tmp_path):
    uid = str(pydicom.dcmread(next(planned.dicom.iterdir())).StudyInstanceUID)
    with fake_pacs.dicomweb(store) as place:
        address = f"dicomweb:{place}?study={uid}"
        code, said, _ = mewm(
            "export", planned.plan, "--to", "dicom", "--reference", address, "--out", tmp_path / "out", "--json"
        )
    assert code == 0 and json.loads(said)[0]["study"] == uid


def test_a_cohort_is_named_as_in_bids(mewm, planned, tmp_path):
    shutil.copytree(planned.plan, tmp_path / "plans" / "HCC_009")
    code, said, _ = mewm("export", tmp_path / "plans", "--to", "dicom", "--out", tmp_path / "out")
    assert code == 0
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["sub-HCC009"]
    names = [p.name for p in (tmp_path / "out" / "sub-HCC009").iterdir() if p.suffix == ".dcm"]
    assert names and all(name.startswith("sub-") and "_desc-" in name for name in names)
    code, _, errors = mewm(
        "export", tmp_path / "plans", "--to", "dicom", "--reference", planned.dicom, "--out", tmp_path / "b"
    )
    assert code == 2 and "several patients" in errors


def test_an_export_is_verified(mewm, exported, tmp_path):
    copy = shutil.copytree(exported.folder, tmp_path / "copy")
    code, said, _ = mewm("verify", copy)
    assert code == 0 and "as they were written" in said
    path = sorted(next(copy.glob("*simulated01_ct")).iterdir())[0]
    path.write_bytes(path.read_bytes()[:-1] + b"\x55")
    code, said, _ = mewm("verify", copy, "--json")
    assert code == 4 and "0001.dcm" in json.loads(said)["findings"][0]["text"]


def test_what_is_no_plan_is_refused(mewm, tmp_path):
    code, _, errors = mewm("export", tmp_path, "--to", "dicom")
    assert code == 2 and "no plan" in errors
    code, _, errors = mewm("push", tmp_path, "dicomweb:https://pacs.example.org/x")
    assert code == 2 and "holds no DICOM" in errors


def test_without_the_packages_of_the_extra(mewm, monkeypatch, tmp_path):
    for name in ("dicomweb_client", "pynetdicom"):
        monkeypatch.setitem(sys.modules, name, None)
    for address in ("dicomweb:https://pacs.example.org/x?study=1.2", "dimse:A@pacs.example.org:104?study=1.2"):
        code, _, errors = mewm("pull", address, "--out", tmp_path / "o")
        assert code == 3 and "pacs" in errors and "install" in errors.lower()
