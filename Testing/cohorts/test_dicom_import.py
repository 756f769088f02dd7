"""The import from end to end on drawn patients: pairs, masks, resuming, opaque ids, and every lie that headers tell."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from MeWMLib.cohorts import dicom_import, dicom_patient
from MeWMLib.cohorts.__main__ import main as cohorts_main
from MeWMLib.cohorts.dicom_import import ImportSettings, import_cohort
from MeWMLib.cohorts.layout import MANIFEST, PATIENT, POST, PRE, Cohort, read_manifest
from MeWMLib.cohorts.quality_page import QUALITY_PAGE
from MeWMLib.core.errors import CohortError, InputError, OutputError, UnreadableFileError
from MeWMLib.core.io import read_volume
from MeWMLib.core.volume import TUMOUR

TCIA = ImportSettings("tcia", grid="native")


def stored(cohort: Cohort, patient: str) -> dict:
    return json.loads((cohort.folder / patient / PATIENT).read_text(encoding="utf-8"))


def contents(folder: Path) -> bytes:
    """Everything that was written, names of files included."""
    files = [p for p in sorted(folder.rglob("*")) if p.is_file()]
    return b"\n".join([str(p.relative_to(folder)).encode() + p.read_bytes() for p in files])


@pytest.mark.slow
def test_two_dates_become_a_pair_of_one_phase(patient_folder, phantom, tmp_path):
    steps: list[tuple[str, int, int]] = []
    cohort = import_cohort(patient_folder, tmp_path / "out", TCIA, lambda *a: steps.append(a))
    (row,) = cohort.rows
    assert (row.id, row.phase, row.phase_after, row.interval_days) == ("P1", "portal", "portal", 30.0)
    assert row.has_after is True and row.registered is False
    assert row.protocol == "" and row.months is None and row.event is None
    case = cohort.case("P1")
    assert case.before_labels is None and case.after_labels is None
    assert np.array_equal(case.before.array, phantom.trunk("portal")[0]) and case.before.phase == "portal"
    assert case.before.geometry.spacing == pytest.approx((5.0, 4.0, 4.0))
    studies = stored(cohort, "P1")["import"]["studies"]
    seen = [(s["when"], s["days"], [(x["phase"]["phase"], x["used_as"]) for x in s["scans"]]) for s in studies]
    assert seen == [
        ("before", 0, [("arterial", None), ("portal", "pre")]),
        ("after", 30, [("arterial", None), ("portal", "post")]),
    ]
    assert steps[-1] == ("patients", 1, 1) and ("headers", 104, 0) in steps
    assert b"2001" not in (cohort.folder / "P1" / PATIENT).read_bytes()  # dates stay out
    page = (cohort.folder / QUALITY_PAGE).read_text(encoding="utf-8")
    assert "aorta 158 HU" in page and "data:image/png;base64" in page and "not registered, 30 days apart" in page
    # what was imported with other settings is read again
    cohort = import_cohort(patient_folder, tmp_path / "out", ImportSettings("tcia", "native", all_phases=True))
    assert sorted(p.name for p in (cohort.folder / "P1").glob("*.nrrd")) == [
        "post.nrrd", "post_arterial.nrrd", "pre.nrrd", "pre_arterial.nrrd",
    ]  # fmt: skip
    assert read_volume(cohort.folder / "P1" / "pre_arterial.nrrd").phase == "arterial"


def test_a_stacked_series_a_gap_and_a_tilt(phantom, tmp_path):
    root = tmp_path / "in"
    both = np.concatenate([phantom.trunk("arterial")[0], phantom.trunk("portal")[0]])
    n = len(both) // 2
    places = [5.0 * k for k in range(n)] * 2
    stack = phantom.Series(both, acquisitions=["1"] * n + ["2"] * n, places=places)
    stack.write(root / "P1" / "a")
    gap = phantom.Series(both[:n], date="20010305", number=7, places=[5.0 * k + 5.0 * (k > 9) for k in range(n)])
    gap.write(root / "P1" / "b")
    tilt = phantom.Series(
        both[:n], date="20010305", number=8, tags={"ImageOrientationPatient": [1, 0, 0, 0, 0.966, -0.259]}
    )
    tilt.write(root / "P1" / "c")
    lines: list[str] = []
    cohort = import_cohort(root, tmp_path / "out", TCIA, None, lines.append)
    scans = stored(cohort, "P1")["import"]["studies"][0]["scans"]
    assert [(s["series"], s["phase"]["phase"]) for s in scans] == [
        ("series 4, acquisition 1, 26 slices", "arterial"), ("series 4, acquisition 2, 26 slices", "portal"),
    ]  # fmt: skip
    assert np.array_equal(cohort.case("P1").before.array, both[n:]) and cohort.case("P1").after is None
    left_out = {one["what"]: one["reason"] for one in cohort.manifest["left_out"]}
    assert "slices are missing" in left_out["series 7, 26 slices"] and "10.00 mm" in left_out["series 7, 26 slices"]
    assert "gantry tilt" in left_out["series 8, 26 slices"]
    assert len(lines) == 2 and str(tmp_path) not in json.dumps(cohort.manifest)
    assert "there is no study after treatment" in stored(cohort, "P1")["import"]["notes"][0]


def test_masks_of_people_are_taken_before_those_of_programs(phantom, tmp_path):
    hu, truth = phantom.trunk("portal", tumour_hu=40)
    series = phantom.Series(hu)
    series.write(tmp_path / "in" / "P1" / "ct")
    sources = [series.dataset(n) for n in range(len(hu))]
    write_seg(tmp_path / "in" / "P1" / "s1", sources, [truth >= 1, truth == TUMOUR], "SEMIAUTOMATIC")
    write_seg(tmp_path / "in" / "P1" / "s2", sources, [truth >= 2, truth == TUMOUR], "AUTOMATIC", number=301)
    (tmp_path / "in" / "P1" / "s3").write_bytes((tmp_path / "in" / "P1" / "s1").read_bytes()[:3000])
    cohort = import_cohort(tmp_path / "in", tmp_path / "out", TCIA)
    case = cohort.case("P1")
    assert np.array_equal(case.before_labels.array, truth)
    (scan,) = stored(cohort, "P1")["import"]["studies"][0]["scans"]
    assert "masks drawn by people" in scan["notes"]
    assert cohort.rows[0].diameter_before_mm == pytest.approx(40, abs=4)
    assert cohorts_main(["findings", "--cohort", str(cohort.folder), "--out", str(tmp_path / "f"), "--quiet"]) == 0
    (lesion,) = csv.DictReader((tmp_path / "f" / "findings.csv").read_text().splitlines())
    assert (lesion["patient"], lesion["when"]) == ("P1", "before") and float(lesion["mean_hu"]) == pytest.approx(
        40, abs=2
    )
    assert json.loads((tmp_path / "f" / "findings.json").read_text())["P1"]["before"]["lesions"][0]["location"]
    cohort = import_cohort(tmp_path / "in", tmp_path / "grid", ImportSettings("tcia"))
    labels = cohort.case("P1").before_labels
    assert labels.geometry.spacing == pytest.approx((3.0, 0.8, 0.8))
    volume = labels.tumour.sum() * labels.geometry.voxel_ml
    assert volume == pytest.approx((truth == TUMOUR).sum() * 0.08, rel=0.06)


def write_seg(path: Path, sources: list, masks: list[np.ndarray], algorithm: str, number: int = 300) -> None:
    import highdicom as hd
    from pydicom.sr.codedict import codes

    found = [("Liver", codes.SCT.Liver), ("Mass", codes.SCT.Mass)]
    method = None
    if algorithm != "MANUAL":
        method = hd.AlgorithmIdentificationSequence("phantom", codes.DCM.ArtificialIntelligence, "1")
    segments = [
        hd.seg.SegmentDescription(n, label, codes.SCT.Organ, code, algorithm, method)
        for n, (label, code) in enumerate(found, 1)
    ]
    pixels = np.stack([m.astype(np.uint8) for m in masks], -1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the phantom's one-word names
        seg = hd.seg.Segmentation(
            sources, pixels, "BINARY", segments, hd.UID(), number, hd.UID(), 1, "phantom", "phantom", "1", "1",
        )  # fmt: skip
    seg.PatientIdentityRemoved = "YES"
    seg.save_as(path)


def spoil(root: Path, phantom) -> None:
    """One folder `x` of a patient with every kind of trouble beside one good series."""
    hu = phantom.trunk("portal")[0]
    person = {"patient": "4711", "name": "Mustermann^Erika", "removed": False}

    def series(number: int, array=hu, **more):
        return phantom.Series(array, number=number, **person, **more)

    place = root / "Mustermann, Erika"
    series(4).write(place / "good")
    series(10, tags={"Modality": "MR"}).write(place / "mr")
    series(11, tags={"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7", "Modality": "OT"}).write(place / "capture")
    series(12, tags={"PixelSpacing": [40.0, 40.0]}).write(place / "spacing")
    series(13, tags={"ImagePositionPatient": None}).write(place / "nowhere")
    series(14, tags={"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}).write(place / "scout")
    series(15, tags={"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]}).write(place / "coronal")
    series(16, places=[0.0] * len(hu)).write(place / "tracking")
    series(17, (hu + 1024).astype(np.int16)).write(place / "no intercept")  # the tag that would shift it is gone
    series(18, hu[:4]).write(place / "short")

    def colour(data, n):
        data.SamplesPerPixel, data.PhotometricInterpretation, data.PlanarConfiguration = 3, "RGB", 0
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 8, 8, 7, 0
        data.PixelData = bytes(data.Rows * data.Columns * 3)

    series(19, change=colour).write(place / "colour")
    series(20, hu[:1]).write(place / "cut")
    for path in (place / "cut").iterdir():
        path.write_bytes(path.read_bytes()[:-4])
    series(21, tags={"LossyImageCompression": "01"}, date="20010401").write(place / "lossy")
    phantom.Series(hu, patient="4712", name="Zwei^Person", number=5, removed=False).write(root / "two" / "a")
    phantom.Series(hu, patient="4713", name="Drei^Person", number=6, removed=False).write(root / "two" / "b")
    (root / "notes.txt").write_text("Erika Mustermann")


@pytest.mark.slow
def test_every_lie_becomes_one_line_and_the_rest_goes_on(phantom, tmp_path):
    root, out = tmp_path / "in", tmp_path / "out"
    spoil(root, phantom)
    before = contents(root)
    key = tmp_path / "key"
    key.write_bytes(b"0123456789abcdef0123456789abcdef")
    lines: list[str] = []
    cohort = import_cohort(root, out, ImportSettings("folder", "native", key_file=key), None, lines.append)
    assert contents(root) == before
    assert len(cohort.rows) == 3 and all(row.id.startswith("p") and len(row.id) == 17 for row in cohort.rows)
    erika = next(row for row in cohort.rows if row.has_after)
    scans = [s for study in stored(cohort, erika.id)["import"]["studies"] for s in study["scans"]]
    assert [s["series"].split(",")[0] for s in scans] == ["series 4", "series 21"]
    assert "the slices went through lossy compression" in scans[1]["notes"]
    reasons = {one["what"].split(",")[0]: one["reason"] for one in cohort.manifest["left_out"]}
    expected = {
        "series 10": "the modality is MR", "series 11": "secondary capture", "series 12": "PixelSpacing cannot be true",
        "series 13": "ImagePositionPatient", "series 14": "localiser", "series 15": "not axial",
        "series 16": "bolus tracking", "series 17": "no fat and no air", "series 18": "too short",
        "series 19": "in colour", "a file": "cut", "a folder": "holds 2 patients",
    }  # fmt: skip
    assert {name: text in reasons.get(name, "") for name, text in expected.items()} == dict.fromkeys(expected, True)
    assert len(cohort.manifest["left_out"]) == len(expected) == len(lines)
    assert cohort.manifest["passed_over"] == {"documents": 0, "files_that_are_no_dicom": 1}
    # nothing that was written knows who it is
    text = contents(out)
    for secret in (
        b"4711",
        b"4712",
        b"Mustermann",
        b"Erika",
        b"Zwei",
        b"20010203",
        b"19400101",
        b"Drei",
        key.read_bytes(),
    ):
        assert secret not in text, secret
    other = tmp_path / "other"
    other.write_bytes(b"another key of 16 bytes")
    again = import_cohort(root, tmp_path / "again", ImportSettings("folder", "native", key_file=other))
    assert not {row.id for row in again.rows} & {row.id for row in cohort.rows}


def test_a_public_layout_refuses_names(phantom, tmp_path):
    hu = phantom.trunk("portal")[0]
    phantom.Series(hu, patient="A1", name="A1", removed=False).write(tmp_path / "in" / "good")
    phantom.Series(hu, patient="4711", name="Mustermann^Erika", removed=False).write(tmp_path / "in" / "named")
    phantom.Series(hu[:1], patient="no plain word!", name="", removed=True).write(tmp_path / "in" / "odd")
    cohort = import_cohort(tmp_path / "in", tmp_path / "out", TCIA)
    assert [row.id for row in cohort.rows] == ["A1"]
    reasons = [one["reason"] for one in cohort.manifest["left_out"]]
    assert any("--layout folder" in r and "still name a patient" in r for r in reasons)
    assert any("not a plain word" in r for r in reasons)
    assert b"Mustermann" not in contents(cohort.folder) and b"plain word!" not in contents(cohort.folder)


def test_the_clinical_table_fills_the_row(phantom, tmp_path):
    for date in ("20010203", "20010301", "20010401"):
        phantom.Series(phantom.trunk("portal")[0], patient="", name="", date=date).write(
            tmp_path / "in" / "case 7" / date
        )
    table = tmp_path / "t.csv"
    table.write_text(
        "patient,protocol,os_weeks,event,treatment_date,child_pugh_class\n"
        "case 7,Epirubicin + Lipiodl,20,1,2001-03-05,B\n"
    )
    cohort = import_cohort(tmp_path / "in", tmp_path / "out", ImportSettings("folder", "native", clinical=table))
    (row,) = cohort.rows
    assert row.protocol == "Epirubicin + Lipiodol" and row.event is True
    assert row.months == pytest.approx(20 * 7 / 30.4375, rel=1e-4)
    data = stored(cohort, row.id)
    assert [s["when"] for s in data["import"]["studies"]] == ["not used", "before", "after"]
    assert data["clinical"]["child_pugh_class"] == "B" and row.interval_days == 31
    assert "'Lipiodl' was read as Lipiodol" in data["import"]["notes"]


def test_a_second_import_reads_only_what_changed(phantom, tmp_path, monkeypatch):
    root, out = tmp_path / "in", tmp_path / "out"
    hu = phantom.trunk("portal")[0]
    for name in ("A", "B"):
        phantom.Series(hu, patient=name, name=name).write(root / name)
    import_cohort(root, out, TCIA)
    read: list[str] = []
    real = dicom_import.import_patient
    monkeypatch.setattr(dicom_import, "import_patient", lambda p, *a: read.append(p) or real(p, *a))
    import_cohort(root, out, TCIA)
    assert read == []
    phantom.Series(hu, patient="B", name="B", date="20010401").write(root / "B2")
    cohort = import_cohort(root, out, TCIA)
    assert read == ["B"] and [row.has_after for row in cohort.rows] == [False, True]
    # patients of another folder stay
    phantom.Series(hu, patient="C", name="C").write(tmp_path / "more" / "C")
    shutil.rmtree(root)
    assert [row.id for row in import_cohort(tmp_path / "more", out, TCIA).rows] == ["A", "B", "C"]


@pytest.mark.slow
def test_an_import_that_was_killed_goes_on(phantom, tmp_path):
    root, out = tmp_path / "in", tmp_path / "out"
    for name in ("A", "B", "C", "D"):
        phantom.Series(phantom.trunk("portal")[0], patient=name, name=name).write(root / name)
    command = [sys.executable, "-m", "MeWMLib.cohorts", "import", str(root), "--layout", "tcia", "--out", str(out)]
    process = subprocess.Popen([*command, "--quiet"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 300
        while not (out / "A" / PATIENT).exists() and process.poll() is None and time.monotonic() < until:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL if os.name != "nt" else signal.SIGTERM)
    finally:
        process.wait(60)
    assert read_manifest(out)["complete"] is False
    with pytest.raises(CohortError, match="not finished"):
        Cohort.read(out)
    finished = {p.parent.name: p.stat().st_mtime_ns for p in out.glob("*/" + PATIENT) if p.parent.name[0] != "."}
    assert 1 <= len(finished) < 4
    cohort = import_cohort(root, out, ImportSettings("tcia"))
    assert [row.id for row in cohort.rows] == ["A", "B", "C", "D"]
    after = {name: (out / name / PATIENT).stat().st_mtime_ns for name in finished}
    assert after == finished and not list(out.glob(".part-*"))


def test_a_patient_or_series_that_breaks_the_reader_ends_nothing(phantom, tmp_path, monkeypatch):
    for name in ("A", "B"):
        phantom.Series(phantom.trunk("portal")[0], patient=name, name=name).write(tmp_path / "in" / name)
    real = dicom_patient.guess_phase
    calls: list[int] = []

    def breaks(ct):
        calls.append(1)
        if len(calls) == 1:
            raise ZeroDivisionError
        return real(ct)

    monkeypatch.setattr(dicom_patient, "guess_phase", breaks)
    cohort = import_cohort(tmp_path / "in", tmp_path / "out", TCIA)
    assert [row.id for row in cohort.rows] == ["B"]
    reasons = [(one["patient"], one["reason"]) for one in cohort.manifest["left_out"]]
    assert reasons == [("A", "could not be read (ZeroDivisionError)"), ("A", "no usable CT before treatment")]


def test_what_cannot_be_imported_at_all(phantom, tmp_path, monkeypatch):
    with pytest.raises(UnreadableFileError, match="no such folder"):
        import_cohort(tmp_path / "missing", tmp_path / "out", TCIA)
    (tmp_path / "empty").mkdir()
    with pytest.raises(CohortError, match="No patient could be imported"):
        import_cohort(tmp_path / "empty", tmp_path / "out", TCIA)
    root = tmp_path / "in"
    phantom.Series(phantom.trunk("portal")[0]).write(root / "A")
    with pytest.raises(CohortError, match="inside the folder that is read"):
        import_cohort(root, root / "out", TCIA)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "x").write_text("x")
    with pytest.raises(CohortError, match="something other than a cohort"):
        import_cohort(root, tmp_path / "other", TCIA)
    (tmp_path / "synthetic").mkdir()
    (tmp_path / "synthetic" / MANIFEST).write_text('{"format": "mewm-cohort/1", "synthetic": true}')
    with pytest.raises(CohortError, match="another cohort"):
        import_cohort(root, tmp_path / "synthetic", TCIA)
    with pytest.raises(InputError, match="no such layout"):
        ImportSettings("pacs")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("MeWMLib.cohorts.layout.write_volume", full)
    with pytest.raises(OutputError, match="disk is full"):  # a full disk is no fault of the patient
        import_cohort(root, tmp_path / "full", TCIA)
    assert not (tmp_path / "full" / "P1" / PRE).exists() and not (tmp_path / "full" / "P1" / POST).exists()
