"""An export that was changed is known, by the list of its files or by what the objects carry."""

from __future__ import annotations

import shutil

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from MeWMLib.core.errors import UnreadableFileError
from MeWMLib.core.volume import Geometry
from MeWMLib.exchange.export import MANIFEST, ExportSettings, export_plan
from MeWMLib.exchange.fingerprint import fingerprint, signed_with
from MeWMLib.exchange.verify import is_export, verify_export


@pytest.fixture
def copy(exported, tmp_path):
    """An export that may be damaged."""
    return shutil.copytree(exported.folder, tmp_path / "copy")


def flip(path, bit):
    """Turn one bit of a file around."""
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def test_an_export_is_as_it_was_written(exported, copy):
    found = verify_export(copy)
    assert found.listed and found.objects == found.fingerprints == exported.objects and not found.foreign
    assert found.study == exported.study and found.by_modality["SEG"] == 5
    (copy / MANIFEST).unlink()
    again = verify_export(copy)
    assert not again.listed and again.objects == found.objects and is_export(copy)


@pytest.fixture(scope="module")
def whole(exported, tmp_path_factory):
    """An export that is changed and put right again, and its files."""
    folder = shutil.copytree(exported.folder, tmp_path_factory.mktemp("whole") / "copy")
    return folder, [p for p in sorted(folder.rglob("*")) if p.is_file()]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.data())
def test_any_bit_that_is_flipped_is_found(whole, data):
    """Of any file at any place, ends and headers before others, and of the list itself."""
    folder, files = whole
    alone = [p for p in files if p.parent == folder]
    path = data.draw(st.one_of(st.sampled_from(alone), st.sampled_from(files)), label="file")
    last = 8 * path.stat().st_size - 1
    near = min(last, 8 * 2000)
    places = st.one_of(st.integers(0, last), st.integers(0, near), st.integers(last - min(last, 64), last))
    bit = data.draw(places, label="bit")
    flip(path, bit)
    try:
        with pytest.raises(UnreadableFileError):
            verify_export(folder)
    finally:
        flip(path, bit)
    assert files


def test_the_ends_of_every_kind_of_file(whole):
    folder, files = whole
    for path in {p.suffix + p.stem[-4:]: p for p in files}.values():
        for bit in (0, 8 * path.stat().st_size - 1):
            flip(path, bit)
            with pytest.raises(UnreadableFileError):
                verify_export(folder)
            flip(path, bit)
    assert verify_export(folder).objects == len(files) - 1


@pytest.mark.parametrize("ending", ["simulated01_ct", "before_dseg.dcm", "sd.dcm", "plan_pdf.dcm", "plan_sr.dcm"])
def test_content_that_is_changed_is_found_without_the_list(copy, ending):
    (copy / MANIFEST).unlink()
    path = next(p for p in sorted(copy.iterdir()) if p.name.endswith(ending))
    path = sorted(path.iterdir())[3] if path.is_dir() else path
    data = pydicom.dcmread(path)
    if data.Modality == "SR":
        data.ContentSequence[-1].ContentSequence[0].ContentSequence[0].TextValue = "another lesion"
    else:
        name = next(n for n in ("PixelData", "FloatPixelData", "EncapsulatedDocument") if n in data)
        content = bytearray(data[name].value)
        content[len(content) // 2] ^= 1
        data[name].value = bytes(content)
    data.save_as(path)
    with pytest.raises(UnreadableFileError, match="fingerprint"):
        verify_export(copy)


def test_a_slice_that_is_moved_is_found_without_the_list(copy):
    (copy / MANIFEST).unlink()
    path = sorted(next(copy.glob("*simulated01_ct")).iterdir())[2]
    data = pydicom.dcmread(path)
    data.ImagePositionPatient[2] += 1
    data.save_as(path)
    with pytest.raises(UnreadableFileError, match="fingerprint"):
        verify_export(copy)


def test_a_simulated_ct_that_hides_it_is_found(copy):
    (copy / MANIFEST).unlink()
    for path in next(copy.glob("*simulated01_ct")).iterdir():
        data = pydicom.dcmread(path)
        data.SeriesDescription = "portal phase"
        data.save_as(path)
    with pytest.raises(UnreadableFileError, match="does not say"):
        verify_export(copy)


def test_files_that_are_missing_or_do_not_belong(copy, planned, tmp_path):
    lost = sorted(next(copy.glob("*simulated02_ct")).iterdir())[4]
    content = lost.read_bytes()
    lost.unlink()
    with pytest.raises(UnreadableFileError, match="missing"):
        verify_export(copy)
    manifest = (copy / MANIFEST).read_bytes()
    (copy / MANIFEST).unlink()
    with pytest.raises(UnreadableFileError, match=r"Slices are missing|refers to slices"):
        verify_export(copy)
    lost.write_bytes(content)
    (copy / MANIFEST).write_bytes(manifest)
    (copy / "more.dcm").write_bytes(content)
    with pytest.raises(UnreadableFileError, match="do not belong"):
        verify_export(copy)
    (copy / MANIFEST).unlink()
    with pytest.raises(UnreadableFileError, match="twice"):
        verify_export(copy)
    with pytest.raises(UnreadableFileError, match="no DICOM that MeWM"):
        verify_export(planned.dicom)
    assert not is_export(planned.dicom)
    with pytest.raises(UnreadableFileError, match="no such folder"):
        verify_export(tmp_path / "nowhere")


def test_the_scan_beside_the_export_is_not_ours(copy, planned):
    (copy / MANIFEST).unlink()
    shutil.copytree(planned.dicom, copy / "scan")
    found = verify_export(copy)
    assert found.foreign == 8 and "8 others" in found.text


def test_a_fingerprint_stays_the_same_in_another_transfer_syntax(copy, tmp_path):
    path = sorted(next(copy.glob("*simulated01_ct")).iterdir())[2]
    data = pydicom.dcmread(path)
    data.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
    data.save_as(tmp_path / "implicit.dcm", enforce_file_format=True)
    again = pydicom.dcmread(tmp_path / "implicit.dcm")
    assert fingerprint(again) == signed_with(again) == signed_with(pydicom.dcmread(path)) != ""


def test_numbers_that_their_text_rounds(trunk, folders, tmp_path):
    """pydicom 3.0.2 keeps in memory what its text of 16 characters rounds: the fingerprint is that of the file."""
    hu, labels = trunk
    grid = Geometry(hu.shape, folders.oblique(folders.AXIAL / (1.7, 1.3, 1.1, 1)))
    plan = folders.write_plan_folder(tmp_path / "plan", hu, labels, grid, keep=1)
    done = export_plan(plan, tmp_path / "out", ExportSettings())
    (done.folder / MANIFEST).unlink()
    assert verify_export(done.folder).fingerprints == done.objects
    assert any(len(str(n)) > 14 for n in pydicom.dcmread(next(done.folder.rglob("0003.dcm"))).ImagePositionPatient)
