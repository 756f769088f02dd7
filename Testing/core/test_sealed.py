"""Result folders: a wrong bit in any file is an error when the folder is opened; older folders still open."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from MeWMLib.core import sealed
from MeWMLib.core.errors import MeWMError, OutputError, UnreadableFileError
from MeWMLib.core.outcome import Risk, TumourChange
from MeWMLib.core.patient import Clinical, Findings
from MeWMLib.core.plan import Candidate, Plan, PlanSettings
from MeWMLib.core.plan_folder import (
    PLAN,
    RUN,
    BundleFacts,
    LabelsUsed,
    PlanDocument,
    PlanFolder,
    TreatmentSummary,
)
from MeWMLib.core.protocol import ActionSpace, Protocol
from MeWMLib.core.volume import Geometry, LabelMap, Provenance, Volume

GRID = Geometry((6, 8, 9), np.diag([-1.5, -1.5, 3.0, 1.0]))


def document(**changes) -> PlanDocument:
    space = ActionSpace(("Cisplatin",), ("Lipiodol",), {"Cisplatin": "ä reason", "Lipiodol": "another"}, "guideline")
    fields = {
        "plan": Plan((), (), "finished", 1), "case": "case", "goal": "", "clinical": Clinical(), "seed": 3,
        "device": "cpu", "settings": PlanSettings(), "bundle": BundleFacts("b", "ab" * 32), "versions": {"mewm": "1"},
        "findings": Findings(1000.0, 100.0, ()), "policy": space, "labels": LabelsUsed("user"),
        "treated": TreatmentSummary(1, 1, 100.0),
    }  # fmt: skip
    return PlanDocument(**(fields | changes))


def write_folder(path: Path) -> PlanFolder:
    """As a worker and the scene process write it."""
    rng = np.random.default_rng(0)
    ct = Volume(rng.integers(-1000, 1000, GRID.shape).astype(np.int16), GRID)
    labels = LabelMap(rng.integers(0, 3, GRID.shape).astype(np.uint8), GRID)
    folder = PlanFolder(path)
    files = folder.write_before(ct, labels)
    folder.write(document(files=files))
    protocol = Protocol.parse("Cisplatin 60 mg + Lipiodol 10 ml")
    mark = Provenance(protocol.text, 3, "b", "ab" * 32, {"mewm": "1"})
    sd = Volume(rng.random(GRID.shape).astype(np.float32), GRID)
    kept = folder.write_kept(1, ct.with_array(ct.array, mark), labels, sd)
    change = TumourChange(48.2, 44.0, 45.1, 9.0, 20.1, 51.0, 49.0)
    candidate = Candidate(protocol, Risk((0.1, 0.2), (0.0, 6.0), (1.0, 0.9)), change, (), kept)
    folder.write(document(files=files, plan=Plan((candidate,), (), "finished", 1)))
    folder.write_run({"stages_s": {"plan": 1.5}, "peak_memory_mb": 100})
    (path / "pictures").mkdir()
    for name in ("report.html", "scene.mrb", "pictures/axial.png"):
        (path / name).write_bytes(rng.bytes(300))
    folder.record_made(["report.html", "scene.mrb", "pictures/axial.png"])
    return folder


def read_all(path: Path) -> None:
    folder = PlanFolder(path)
    found = folder.read()
    before, _labels = folder.read_before(found)
    assert len(folder.read_kept(found, before)) == 1


def test_a_wrong_bit_in_any_file_is_noticed_when_the_folder_is_opened(tmp_path):
    write_folder(tmp_path)
    read_all(tmp_path)
    files = sorted(p for p in tmp_path.rglob("*") if p.is_file())
    assert {p.name for p in files} >= {PLAN, RUN, "pre.nrrd", "pre.seg.nrrd", "simulated_01_sd.nrrd", "report.html"}
    rng = np.random.default_rng(1)
    flips = [(file, int(rng.integers(8 * file.stat().st_size))) for file in (files * 50)[:400]]
    for file in (tmp_path / PLAN, tmp_path / RUN):  # every bit of the two ends, where the checksum itself stands
        size = 8 * file.stat().st_size
        flips += [(file, bit) for bit in range(size - 8 * 90, size)]
    for file, bit in flips:
        content = bytearray(file.read_bytes())
        content[bit // 8] ^= 1 << bit % 8
        before = file.read_bytes()
        file.write_bytes(content)
        with pytest.raises(MeWMError):
            PlanFolder(tmp_path).read()
            pytest.fail(f"bit {bit} of {file.name} was not noticed")
        file.write_bytes(before)
    read_all(tmp_path)


def test_keys_and_spaces_of_the_plan_are_guarded(tmp_path):
    write_folder(tmp_path)
    text = (tmp_path / PLAN).read_text(encoding="utf-8")
    for old, new in (
        ('"files_sha256"', '"Files_sha256"'), ('"sha256": "', '"Sha256": "'), ("\n ", "\r "), ("\n}", " }"),
        ('"seed": 3', '"seed": 2'), ("ä", "å"), ("}\n", "}"), ("{\n", "{ "),
    ):  # fmt: skip
        assert old in text
        (tmp_path / PLAN).write_bytes(text.replace(old, new).encode())
        with pytest.raises(UnreadableFileError):
            PlanFolder(tmp_path).read()


def test_what_is_not_checked_and_what_is_missing(tmp_path):
    folder = write_folder(tmp_path)
    (tmp_path / "report.html").write_text("changed")
    with pytest.raises(UnreadableFileError, match="not as it was written.*report.html"):
        folder.read()
    folder.read(verify="plan")  # the report is about to be made again
    (tmp_path / "pre.nrrd").write_bytes(b"half")
    with pytest.raises(UnreadableFileError, match=r"pre\.nrrd"):
        folder.read(verify="plan")
    found = folder.read(verify="none")  # a worker is writing
    (tmp_path / "pre.nrrd").unlink()
    (tmp_path / "report.html").unlink()
    assert folder.read() == found
    with pytest.raises(UnreadableFileError, match="missing"):
        folder.read_before(found)


def test_a_folder_without_checksums_opens(tmp_path):
    write_folder(tmp_path)
    for name in (PLAN, RUN):
        data = json.loads((tmp_path / name).read_text(encoding="utf-8"))
        assert list(data)[-1] == "sha256"
        del data["sha256"], data[sealed.FILES]
        (tmp_path / name).write_text(json.dumps(data), encoding="utf-8")
    read_all(tmp_path)
    assert PlanFolder(tmp_path).read().files_sha256 == {}


def test_a_new_plan_forgets_the_checksums_of_files_that_it_does_not_name(tmp_path):
    folder = write_folder(tmp_path)
    folder.write(document(files={"pre": "pre.nrrd"}))
    assert set(folder.read().files_sha256) == {"pre.nrrd"}


def test_run_json_cannot_name_a_file_elsewhere(tmp_path):
    write_folder(tmp_path)
    for name in ("../x", "/etc/passwd"):
        sealed.write_sealed({sealed.FILES: {name: "0" * 64}}, tmp_path / RUN)
        with pytest.raises(UnreadableFileError, match="not one of ours"):
            PlanFolder(tmp_path).read()


def test_errors_of_sealed_files(tmp_path):
    with pytest.raises(UnreadableFileError, match="The thing cannot be read"):
        sealed.read_sealed(tmp_path / "x.json", "The thing", "Do")
    with pytest.raises(OutputError, match="no JSON form"):
        sealed.write_sealed({sealed.FILES: {}, "x": float("nan")}, tmp_path / "x.json")
    with pytest.raises(UnreadableFileError, match="cannot be read"):
        sealed.sha256_of(tmp_path)
