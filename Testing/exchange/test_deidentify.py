"""A de-identified export names nobody: every byte of every file is searched."""

from __future__ import annotations

import contextlib
import datetime
import re
import zlib

import pydicom
import pytest

from MeWMLib.cohorts.identity import Identity
from MeWMLib.core.io import read_labels, read_volume
from MeWMLib.exchange.deidentify import shifted
from MeWMLib.exchange.export import ExportSettings, export_plan
from MeWMLib.exchange.verify import verify_export

#: Everything that a header may say of a person, a place or a day, each with a word that is found nowhere else.
SECRETS = {
    "PatientName": "Qvarnström^Åsa",
    "PatientID": "HOSP-99421",
    "OtherPatientIDs": "ALT-77312",
    "IssuerOfPatientID": "KLINIK-QX",
    "PatientBirthDate": "19430617",
    "PatientSex": "F",
    "PatientAge": "057Y",
    "PatientAddress": "Zwirnweg 3",
    "StudyTime": "142536",
    "StudyID": "STID-5512",
    "AccessionNumber": "ACC-88123",
    "ReferringPhysicianName": "Überweiser^Dr",
    "StudyDescription": "CT Wxyz",
    "SeriesDescription": "Serie Qpq",
    "InstitutionName": "Klinikum Zzyzx",
    "StationName": "STAT-QQ7",
    "ManufacturerModelName": "Modelqq",
    "OperatorsName": "Bediener^Q",
    "AcquisitionDate": "20010204",
    "AcquisitionTime": "142733",
    "SeriesDate": "20010205",
    "DeviceSerialNumber": "SER-QQ-1",
    "ContrastBolusAgent": "Qontrast",
    "ProtocolName": "Protoqoll",
    "ImageComments": "Frau Qvarnström",
    "SoftwareVersions": "sv-qq-8",
    "PatientComments": "seen before",
}


@pytest.fixture(scope="module")
def case(trunk, phantom, make_plan, tmp_path_factory):
    """A plan of a scan that tells much, exported without it: the plan, the export, and the source's texts."""
    root = tmp_path_factory.mktemp("secret")
    hu, labels = trunk

    def more(data, n):
        data.SpecificCharacterSet = "ISO_IR 100"
        block = data.private_block(0x0011, "QQ PRIVATE", create=True)
        block.add_new(0x01, "LO", "private Qvarnström")

    tags = {name: value for name, value in SECRETS.items()}
    series = phantom.Series(hu, date="20010203", removed=False, tags=tags, change=more)
    dicom = series.write(root / "Qvarnstroem-Asa-scan")
    plan = make_plan(dicom, labels, root / "Qvarnstroem-plan")
    document = plan.plan / "plan.json"
    text = document.read_text(encoding="utf-8").replace("case-1", "case of HOSP-99421")
    document.write_text(text.replace("Control the tumour", "Frau Qvarnström"), encoding="utf-8")
    identity = Identity(b"a secret key of the tests........")
    done = export_plan(plan.plan, root / "out", ExportSettings(reference=dicom, identity=identity))
    return plan, done, identity


def secrets_of(dicom):
    """Texts of a source that must not be found, in every encoding."""
    found = set()
    for path in dicom.iterdir():
        data = pydicom.dcmread(path)
        found |= {str(element.value) for element in data.iterall() if element.VR == "UI" and "UID" in element.keyword}
        found -= {str(data.SOPClassUID), str(data.file_meta.TransferSyntaxUID)}
    found |= {value for name, value in SECRETS.items() if name not in ("PatientSex",)} | {"20010203", "Qvarnstr"}
    found |= {part for text in list(found) for part in text.split("^") if len(part) > 3}
    return {text.encode(code) for text in found for code in ("utf-8", "latin-1")}


def test_no_byte_of_any_file_tells_who_it_is(case):
    plan, done, _ = case
    secrets = secrets_of(plan.dicom)
    assert len(secrets) > 40
    names = [path.relative_to(done.folder).as_posix().encode() for path in done.folder.rglob("*")]
    contents = [path.read_bytes() for path in done.folder.rglob("*") if path.is_file()]
    leaked = {secret for secret in secrets for content in [*contents, *names] if secret in content}
    assert leaked == set()
    # the test itself can fail: the source and the plan hold them
    source = [path.read_bytes() for path in [*plan.dicom.iterdir(), plan.plan / "plan.json"]]
    assert {s for s in secrets if any(s in content for content in source)} > {b"HOSP-99421", b"Qvarnstr"}


def unpacked(content):
    """All streams of a PDF, unpacked, and the text that they show."""
    streams = []
    for found in re.finditer(rb"stream\r?\n", content):
        with contextlib.suppress(zlib.error):
            streams.append(zlib.decompressobj().decompress(content[found.end() :]))
    shown = []
    for lines in re.findall(rb"\[(.*?)\]\s*TJ", b"\n".join(streams), re.DOTALL):
        pieces = re.findall(rb"\(((?:[^()\\]|\\.)*)\)", lines, re.DOTALL)
        shown.append(b"".join(re.sub(rb"\\(.)", rb"\1", piece) for piece in pieces).decode("utf-16-be", "replace"))
    return streams, "\n".join(shown)


def test_the_pdf_does_not_tell_either(case):
    """Text of a PDF is packed, a character of two bytes after the other: it is unpacked before it is searched."""
    from MeWMLib.core.plan_folder import PlanFolder
    from MeWMLib.exchange.report_pdf import pdf_of, summary

    plan, done, _ = case
    secrets = secrets_of(plan.dicom)
    document = PlanFolder(plan.plan).read()
    # the search itself can fail: it finds what the summary of the plan holds where nothing is left out
    open_streams, open_text = unpacked(pdf_of(summary(document)))
    assert "case of HOSP-99421" in open_text and "Qvarnstr" in open_text and len(open_streams) > 2
    (path,) = done.folder.glob("*plan_pdf.dcm")
    data = pydicom.dcmread(path)
    streams, text = unpacked(data.EncapsulatedDocument)
    assert "MeWM plan" in text and "Treated" in text and len(streams) > 2
    searched = [*streams, text.encode(), text.encode("utf-16-be")]
    assert {secret for secret in secrets for content in searched if secret in content} == set()


def test_pixels_hold_the_scan_and_the_mark_alone(case):
    """Nothing is drawn into the voxels but the word SIMULATED: what is not of the scan or the plan has its HU."""
    plan, done, _ = case
    for folder in done.folder.glob("*_ct"):
        name = folder.name.partition("desc-")[2]
        ours = "pre" if name == "before_ct" else name.removesuffix("_ct").replace("simulated", "simulated_")
        found = read_volume(folder).array
        changed = found != read_volume(plan.plan / f"{ours}.nrrd").array
        assert set(found[changed].tolist()) <= {400} and changed.any() == (name != "before_ct")


def test_it_says_so_by_the_attributes_of_the_profile(case):
    for path in case[1].folder.rglob("*.dcm"):
        data = pydicom.dcmread(path, stop_before_pixels=True)
        assert data.PatientIdentityRemoved == "YES", path.name
        codes = [item.CodeValue for item in data.DeidentificationMethodCodeSequence]
        assert codes == ["113100", "113107"] and data.LongitudinalTemporalInformationModified == "MODIFIED"
        assert (data.PatientSex, data.PatientBirthDate, data.AccessionNumber) == ("", "", "")
        assert not any(element.tag.is_private for element in data)


def test_voxels_and_labels_are_kept_and_hang_together(case):
    plan, done, _ = case
    scan = next(p for p in done.folder.iterdir() if p.name.endswith("before_ct"))
    assert read_volume(scan).geometry.same_as(plan.ct.geometry)
    assert (read_volume(scan).array == plan.ct.array).all()
    (seg,) = [p for p in done.folder.iterdir() if p.name.endswith("before_dseg.dcm")]
    assert (read_labels(seg, read_volume(scan).geometry).array == plan.labels).all()
    there = {str(pydicom.dcmread(p, stop_before_pixels=True).SOPInstanceUID) for p in scan.iterdir()}
    referred = pydicom.dcmread(seg).ReferencedSeriesSequence[0].ReferencedInstanceSequence
    assert {str(one.ReferencedSOPInstanceUID) for one in referred} <= there
    assert verify_export(done.folder).objects == done.objects


def test_two_exports_of_a_patient_belong_together_and_another_key_hides_that(case, tmp_path):
    plan, done, identity = case

    def facts(settings_identity, name):
        settings = ExportSettings(reference=plan.dicom, identity=settings_identity)
        export_plan(plan.plan, tmp_path / name, settings)
        path = next((tmp_path / name).glob("*plan_sr.dcm"))
        data = pydicom.dcmread(path)
        return str(data.PatientID), str(data.StudyInstanceUID), str(data.StudyDate)

    mine, others = facts(identity, "a"), facts(Identity(b"another key of the tests........."), "b")
    assert mine[1] == done.study
    assert not set(mine) & set(others)
    days = (datetime.date(2001, 2, 3) - datetime.datetime.strptime(mine[2], "%Y%m%d").date()).days
    assert 30 <= days <= 3650


@pytest.mark.parametrize(("date", "days", "expected"), [("20240301", 1, "20240229"), ("", 5, ""), ("x", 5, "")])
def test_dates_are_shifted(date, days, expected):
    assert shifted(date, days) == expected
