"""Result folders: a wrong bit in any file is an error when the folder is opened; older folders still open."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from MeWMLib.core import sealed
from MeWMLib.core.errors import MeWMError, OutputError, UnreadableFileError
from MeWMLib.core.plan_folder import (
    PLAN,
    RUN,
    PlanFolder,
)
from Testing.core.plan_data import document, write_folder


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
