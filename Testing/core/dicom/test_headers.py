"""Headers of files as a PACS exports them: cut, compressed, without preamble, with names that no encoding fits."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from MeWMLib.core.dicom.headers import read_object
from MeWMLib.core.dicom.packages import package
from MeWMLib.core.dicom.scan import scan
from MeWMLib.core.errors import DependencyError, UnreadableFileError


def read_slice(path: Path):
    """The one slice of a file."""
    (one,) = read_object(path).slices
    return one


@pytest.fixture
def dataset(phantom):
    return phantom.Series(phantom.trunk()[0][:1], places=[7.5], number=12, acquisitions=["3"]).dataset(0)


def save(data, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)
    return path


def test_a_header_holds_what_the_file_says(dataset, tmp_path):
    found = read_slice(save(dataset, tmp_path / "a"))
    file = found.file
    assert file.modality == "CT" and file.patient_id == "P1" and file.identity_removed and file.date == "20010203"
    assert file.series_number == "12" and found.acquisition == "3" and found.position == (-190.0, -190.0, 7.5)
    assert found.shape == (96, 96) and found.spacing == (4.0, 4.0) and found.axes == (1, 0, 0, 0, 1, 0)
    assert found.image_type == ("ORIGINAL", "PRIMARY", "AXIAL") and file.kind == "ct" and found.frame == 0
    assert (found.slope, found.intercept, found.layout.bits, found.layout.signed) == (1, 0, 16, True)


def test_a_file_without_preamble_is_known_and_another_file_is_not(dataset, tmp_path):
    path = save(dataset, tmp_path / "a")
    bare = tmp_path / "bare"
    content = path.read_bytes()
    bare.write_bytes(
        content[content.index(b"\x08\x00\x08\x00") :]
    )  # as old programs wrote them: no preamble, no group 2
    assert read_object(bare).header.series_number == "12"
    (tmp_path / "note.dcm").write_text("text " * 100)
    assert read_object(tmp_path / "note.dcm") is None
    (tmp_path / "empty.dcm").write_bytes(b"")
    assert read_object(tmp_path / "empty.dcm") is None


@pytest.mark.parametrize("cut", [1, 4, 5000])
def test_a_file_that_lacks_its_last_bytes_is_refused(dataset, tmp_path, cut):
    path = save(dataset, tmp_path / "a")
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(UnreadableFileError, match="cut"):
        read_object(path)


def test_a_file_that_is_cut_in_its_header_is_refused(dataset, tmp_path):
    path = save(dataset, tmp_path / "a")
    path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(UnreadableFileError):
        read_object(path)


@pytest.mark.parametrize("syntax", ["RLELossless", "JPEGLSLossless"])
def test_compressed_slices_are_whole_or_refused(dataset, tmp_path, syntax):
    import pydicom.uid

    dataset.compress(getattr(pydicom.uid, syntax), generate_instance_uid=False)
    path = save(dataset, tmp_path / "a")
    assert read_slice(path).shape == (96, 96)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(UnreadableFileError, match="cut"):
        read_object(path)


def test_one_broken_value_is_a_missing_value(dataset, tmp_path):
    path = save(dataset, tmp_path / "a")
    content = path.read_bytes()
    where = content.index(b"\x18\x00\x50\x00DS")  # SliceThickness
    length = content[where + 6]
    path.write_bytes(content[: where + 8] + b"x" * length + content[where + 8 + length :])
    found = read_slice(path)
    assert found.thickness == 0.0 and found.spacing == (4.0, 4.0)


def test_a_folder_is_scanned_whatever_its_files_are_called(dataset, tmp_path):
    save(dataset, tmp_path / "in" / "Müller, Hans" / "bild 1.jpg")
    save(dataset, tmp_path / "in" / "Müller, Hans" / "DICOMDIR")
    raw = os.fsencode(tmp_path / "in") + b"/bad\xff\xfename"
    Path(os.fsdecode(raw)).write_bytes((tmp_path / "in" / "Müller, Hans" / "bild 1.jpg").read_bytes())
    (tmp_path / "in" / "cut.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\x02\x00")
    (tmp_path / "in" / "readme.txt").write_text("x")
    seen: list[int] = []
    found = scan(tmp_path / "in", seen.append)
    assert len(found.objects) == len(found.slices) == 2
    assert (
        [path.name for path in found.other] == ["readme.txt"]
        and [bad.path.name for bad in found.bad] == ["cut.dcm"]
        and seen[-1] == 4
    )


def test_reports_beside_the_images_are_counted(dataset, tmp_path):
    dataset.SOPClassUID, dataset.Modality = "1.2.840.10008.5.1.4.1.1.88.33", "SR"
    save(dataset, tmp_path / "in" / "report")
    assert len(scan(tmp_path / "in").documents) == 1


def test_what_the_system_refuses_becomes_a_line(dataset, tmp_path, monkeypatch):
    """The tests may run as root, whom no mode keeps out; so the refusal is played."""
    save(dataset, tmp_path / "in" / "p" / "a")
    save(dataset, tmp_path / "in" / "q" / "b")
    real_open, real_scan = Path.open, os.scandir

    def no_open(self, *args, **kwargs):
        if self.name == "b":
            raise PermissionError(13, "Permission denied", str(self))
        return real_open(self, *args, **kwargs)

    def no_list(path):
        if Path(path).name == "p":
            raise PermissionError(13, "Permission denied", str(path))
        return real_scan(path)

    monkeypatch.setattr(Path, "open", no_open)
    monkeypatch.setattr(os, "scandir", no_list)
    found = scan(tmp_path / "in")
    assert found.objects == () and sorted(bad.path.name for bad in found.bad) == ["b", "p"]
    assert all("Permission denied" in bad.reason for bad in found.bad)


def test_no_folder_and_no_pydicom(tmp_path, monkeypatch):
    with pytest.raises(UnreadableFileError, match="no such folder"):
        scan(tmp_path / "missing")
    monkeypatch.setitem(sys.modules, "pydicom", None)  # as if it were not installed
    with pytest.raises(DependencyError, match="pip install pydicom"):
        package("pydicom")


def test_every_header_field_survives_odd_types(phantom, tmp_path):
    """Tags that are there without a value, and one value where several belong."""
    empty = {name: "" for name in ("AcquisitionNumber", "StudyDate", "PatientID", "SliceThickness", "SeriesNumber")}
    series = phantom.Series(phantom.trunk()[0][:1], tags={**empty, "ImageType": "DERIVED", "PixelSpacing": "4"})
    found = read_slice(save(series.dataset(0), tmp_path / "a"))
    assert (
        found.file.date == "" and found.acquisition == "" and found.image_type == ("DERIVED",) and found.spacing == ()
    )
    assert isinstance(found.thickness, float) and np.isfinite(found.thickness)


def test_reading_is_what_loads_pydicom():
    code = (
        "import sys, MeWMLib, MeWMLib.core.io, MeWMLib.cli.arguments, MeWMLib.jobs.inputs\n"
        "import MeWMLib.cohorts.dicom_import\n"
        "raise SystemExit(sorted({'pydicom', 'highdicom'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_file_that_was_cut_anywhere_is_named_or_has_no_magic(dataset, tmp_path):
    whole = save(dataset, tmp_path / "whole").read_bytes()
    path = tmp_path / "cut"
    for end in range(140, len(whole) - 1, 7):
        path.write_bytes(whole[:end])
        found = scan(tmp_path)
        assert [bad.path for bad in found.bad] == [path] and not found.documents and len(found.objects) == 1, end
