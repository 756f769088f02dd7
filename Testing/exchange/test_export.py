"""What an export holds: attributes, voxels, segments, numbers; and that it is whole or absent."""

from __future__ import annotations

import errno
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest

from MeWMLib.core.difference_words import apart_of
from MeWMLib.core.errors import (
    GeometryMismatchError,
    InputError,
    NotCTError,
    OutcomeError,
    OutputError,
    SeriesError,
    UnreadableFileError,
)
from MeWMLib.core.inputs_used import InputUsed
from MeWMLib.core.io import read_labels, read_volume, write_volume
from MeWMLib.core.plan_folder import PlanFolder
from MeWMLib.core.records import to_plain
from MeWMLib.core.volume import Provenance, Volume
from MeWMLib.exchange.attributes import copied, short_text
from MeWMLib.exchange.ct_series import as_int16
from MeWMLib.exchange.export import MANIFEST, ExportSettings, export_plan, subject_of


def ct_of(planned, rank=1):
    """The simulated CT of a plan as the plan keeps it."""
    return read_volume(planned.plan / f"simulated_{rank:02d}.nrrd").array


def rectangle(exported, rank=1):
    """The rectangle of the mark, as slices of rows and columns."""
    marks = json.loads((exported.folder / MANIFEST).read_text(encoding="utf-8"))["marks"]
    (mark,) = [m for name, m in marks.items() if name.endswith(f"simulated{rank:02d}_ct")]
    return slice(mark["row"], mark["row_end"]), slice(mark["column"], mark["column_end"])


def test_a_simulated_ct_says_what_it_is(planned, exported, series_of):
    slices, sources = series_of(exported, "simulated01_ct"), [pydicom.dcmread(p) for p in planned.dicom.iterdir()]
    first = slices[0]
    assert list(first.ImageType[:2]) == ["DERIVED", "SECONDARY"]
    assert first.SeriesDescription.startswith("SIMULATED rank 1") and len(first.SeriesDescription) <= 64
    assert "Raltitrexed" in first.DerivationDescription and first.DerivationCodeSequence
    assert "do not measure" in first.ImageComments and first.ContentQualification == "RESEARCH"
    maker = [item.Manufacturer for item in first.ContributingEquipmentSequence]
    assert maker == ["GE MEDICAL SYSTEMS", "MeWM"]
    named = {"StudyInstanceUID", "FrameOfReferenceUID", "PatientID", "PatientName", "StudyDate", "StudyTime", "KVP"}
    assert {name: first[name].value for name in named} == {name: sources[0][name].value for name in named}
    assert first.PatientPosition == "FFS" and (first.PixelRepresentation, first.RescaleIntercept) == (1, 0)
    # every slice refers to the scan's slice at its own place, and takes no UID of the scan
    places = {str(s.SOPInstanceUID): list(s.ImagePositionPatient) for s in sources}
    referred = [str(s.SourceImageSequence[0].ReferencedSOPInstanceUID) for s in slices]
    assert sorted(referred) == sorted(places)
    for one, source in zip(slices, referred, strict=True):
        assert list(one.ImagePositionPatient) == places[source]
    new = {str(s.SOPInstanceUID) for s in slices} | {str(first.SeriesInstanceUID)}
    assert len(new) == len(slices) + 1 and not new & (set(places) | {str(sources[0].SeriesInstanceUID)})


def test_nothing_of_the_scan_that_is_not_true_any_more_is_taken_over(trunk, phantom, make_plan, tmp_path, series_of):
    def scanner(data, n):
        data.PixelPaddingValue, data.SmallestImagePixelValue, data.LargestImagePixelValue = -2000, -1111, 2222
        block = data.private_block(0x0009, "GEMS_IDEN_01", create=True)
        block.add_new(0x01, "LO", "private of GE")
        data.add_new(0x00091027, "UN", b"\x01\xff\x00\x80")
        data.AcquisitionNumber = ""

    hu, labels = trunk
    dicom = phantom.Series(hu, change=scanner).write(tmp_path / "scan")
    plan = make_plan(dicom, labels, tmp_path / "plan")
    done = export_plan(plan.plan, tmp_path / "out", ExportSettings(reference=dicom))
    one = series_of(done, "simulated01_ct")[5]
    assert not {"PixelPaddingValue", "SmallestImagePixelValue", "LargestImagePixelValue"} & set(one.dir())
    assert not any(element.tag.is_private for element in one)


@pytest.mark.parametrize("rank", [1, 2])
def test_hounsfield_units_are_those_of_the_plan_outside_of_the_mark(planned, exported, series_of, rank):
    slices = series_of(exported, f"simulated{rank:02d}_ct")
    hu = np.stack([s.pixel_array * int(s.RescaleSlope) + int(s.RescaleIntercept) for s in slices])
    expected, marked = ct_of(planned, rank), rectangle(exported, rank)
    changed = hu != expected
    assert changed.any() and not changed[0].all()
    inside = np.zeros(hu.shape, bool)
    inside[:, marked[0], marked[1]] = True
    assert not (changed & ~inside).any()
    assert (expected[changed] < -500).all(), "only air is written over"
    assert (hu[changed] == 400).all() and changed.any(axis=(1, 2)).all()
    assert read_volume(slices[0].filename and Path(slices[0].filename).parent).geometry.same_as(planned.ct.geometry)


def test_a_second_run_without_the_mark_and_with_copies_of_slices(planned, exported, tmp_path):
    """Every voxel is that of the plan, copies do no harm, no UID is used twice and none again."""
    shutil.copytree(planned.dicom, tmp_path / "scan")
    for path in list((tmp_path / "scan").iterdir())[:3]:
        shutil.copy(path, path.with_name(f"copy_{path.name}"))
    again = export_plan(planned.plan, tmp_path / "out", ExportSettings(reference=tmp_path / "scan", mark=False))
    folder = next(p for p in again.folder.iterdir() if p.name.endswith("simulated01_ct"))
    assert sum(1 for _ in folder.iterdir()) == 8
    assert np.array_equal(read_volume(folder).array, ct_of(planned))
    uids = []
    for one in (exported, again):
        found = [pydicom.dcmread(p, stop_before_pixels=True).SOPInstanceUID for p in one.folder.rglob("*.dcm")]
        assert len(set(found)) == len(found) == one.objects
        uids.append(set(map(str, found)))
    assert not uids[0] & uids[1]
    assert exported.study == again.study


def test_a_body_that_fills_the_image_gets_no_mark_and_a_sentence(trunk, phantom, make_plan, tmp_path):
    hu, labels = trunk
    hu = np.maximum(hu, -300)
    dicom = phantom.Series(hu).write(tmp_path / "scan")
    plan = make_plan(dicom, labels, tmp_path / "plan")
    done = export_plan(plan.plan, tmp_path / "out", ExportSettings(reference=dicom))
    assert any("no mark was burned in" in note for note in done.notes)
    assert done.marked == 0 < done.simulated
    folder = next(p for p in done.folder.iterdir() if p.name.endswith("simulated01_ct"))
    assert np.array_equal(read_volume(folder).array, ct_of(plan))


def test_a_mark_moves_where_a_simulation_shows_something_in_its_place(planned, exported, tmp_path):
    """The place is found in the scan; a simulated CT that has no air there gets its mark elsewhere."""
    rows, columns = rectangle(exported)
    shutil.copytree(planned.plan, tmp_path / "plan")
    ct = ct_of(planned)
    ct[6, rows.start, columns.start] = 30
    made_by = Provenance("Lipiodol", 1, "b", "0" * 64)
    write_volume(Volume(ct, planned.ct.geometry, simulated=made_by), tmp_path / "plan" / "simulated_01.nrrd")
    done = export_plan(tmp_path / "plan", tmp_path / "out", ExportSettings(reference=planned.dicom))
    hu = read_volume(next(p for p in done.folder.iterdir() if p.name.endswith("simulated01_ct"))).array
    inside = np.zeros(hu.shape, bool)
    inside[:, rectangle(done)[0], rectangle(done)[1]] = True
    assert rectangle(done) != (rows, columns) and rectangle(done, 2) == rectangle(exported, 2)
    assert hu[6, rows.start, columns.start] == 30 and np.array_equal(hu[~inside], ct[~inside])
    assert (hu[inside] == 400).any()


def test_segmentations_are_the_labels_of_the_plan(planned, exported):
    for ending, file in (("before_dseg.dcm", "pre.seg.nrrd"), ("simulated01_dseg.dcm", "simulated_01.seg.nrrd")):
        (path,) = [p for p in exported.folder.iterdir() if p.name.endswith(ending) and "tissue" not in p.name]
        expected = read_labels(planned.plan / file, planned.ct.geometry)
        assert np.array_equal(read_labels(path, planned.ct.geometry).array, expected.array)


def test_one_lesion_has_one_tracking_uid_everywhere(exported, series_of):
    (before,), (after,) = series_of(exported, "before_dseg.dcm"), series_of(exported, "simulated02_dseg.dcm")
    uids = [[s.get("TrackingUID") for s in one.SegmentSequence] for one in (before, after)]
    assert uids[0] == uids[1] and uids[0][0] is None and uids[0][1]
    (report,) = series_of(exported, "plan_sr.dcm")
    assert str(uids[0][1]) in report.to_json()
    item = before.SegmentSequence[1]
    assert item.SegmentedPropertyTypeCodeSequence[0].CodeValue == "4147007"
    assert before.SegmentSequence[0].SegmentAlgorithmType == "MANUAL"  # the labels of the plan are a user's
    made_by = after.SegmentSequence[0].SegmentationAlgorithmIdentificationSequence[0]
    assert made_by.AlgorithmName == "mewm-small" and "ab" * 32 in made_by.AlgorithmParameters


def test_a_name_is_read_by_its_declared_characters_in_every_object(exported):
    for path in exported.folder.rglob("*.dcm"):
        data = pydicom.dcmread(path, stop_before_pixels=True)
        assert data.SpecificCharacterSet == "ISO_IR 192" and data.PatientName == "Müller^Änne", path.name
        assert data.preamble == bytes(128)


def test_the_report_holds_the_numbers_of_the_plan(planned, exported, series_of):
    (report,) = series_of(exported, "plan_sr.dcm")
    numbers, texts = {}, []

    def walk(item):
        for child in item.get("ContentSequence") or ():
            name = child.ConceptNameCodeSequence[0].CodeValue if child.get("ConceptNameCodeSequence") else ""
            if child.ValueType == "NUM":
                numbers.setdefault(name, []).append(float(child.MeasuredValueSequence[0].NumericValue))
            elif child.ValueType == "TEXT":
                texts.append(str(child.TextValue))
            walk(child)

    walk(report)
    assert report.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    kept = [c for c in PlanFolder(planned.plan).read().plan.candidates if c.files]
    assert numbers["log-risk"] == pytest.approx([c.risk.log_risk for c in kept], abs=1e-5)
    assert numbers["log-risk-low"] == pytest.approx([c.risk.interval[0] for c in kept], abs=1e-5)
    # with all that is known to be uncertain, and how each stands to rank 1
    ends = [c.risk.total_interval for c in kept]
    assert all(ends)
    for n, side in enumerate(("low", "high")):
        assert numbers[f"log-risk-95-{side}"] == pytest.approx([one[n] for one in ends], abs=1e-5)
        assert numbers[f"hazard-95-{side}"] == pytest.approx([np.exp(one[n]) for one in ends], rel=1e-4)
    told = apart_of(PlanFolder(planned.plan).read())
    assert {f"Predicted risk: {told[c.rank]}" for c in kept if c.rank > 1} <= set(texts) and len(kept) > 1
    assert {c.protocol.text for c in kept} <= set(texts)
    # volumes from the masks themselves: before, and after each outcome
    voxel = planned.ct.geometry.voxel_ml
    after = [read_labels(planned.plan / f"simulated_0{n}.seg.nrrd", planned.ct.geometry).tumour for n in (1, 2)]
    expected = [float((planned.labels == 2).sum()) * voxel, *(float(m.sum()) * voxel for m in after)]
    assert numbers["118565006"] == pytest.approx(expected, rel=1e-5)


def test_the_deviation_is_a_parametric_map_in_hu(planned, exported, series_of):
    (data,) = series_of(exported, "simulated01_sd.dcm")
    sd = np.asarray(pydicom.pixels.pixel_array(data)) if data.NumberOfFrames > 1 else data.pixel_array[None]
    import SimpleITK as sitk

    expected = sitk.GetArrayFromImage(sitk.ReadImage(str(planned.plan / "simulated_01_sd.nrrd")))
    shown = expected.any(axis=(1, 2))
    assert np.array_equal(sd, expected[shown].astype(np.float32))
    assert data.SeriesDescription.startswith("SIMULATED deviation")


def test_the_summary_is_a_pdf(exported, series_of):
    (data,) = series_of(exported, "plan_pdf.dcm")
    pdf = data.EncapsulatedDocument[: data.EncapsulatedDocumentLength]
    assert pdf.startswith(b"%PDF-") and pdf.rstrip().endswith(b"%%EOF")
    assert data.MIMETypeOfEncapsulatedDocument == "application/pdf"


def test_without_matplotlib_everything_but_the_summary_is_written(planned, exported, tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.setitem(sys.modules, name, None)
    done = export_plan(planned.plan, tmp_path / "out", ExportSettings(reference=planned.dicom))
    assert done.objects == exported.objects - 1 and any("No PDF was written" in note for note in done.notes)


def test_without_a_reference_the_study_is_made_up_and_says_so(planned, tmp_path, series_of):
    done = export_plan(planned.plan, tmp_path / "out", ExportSettings())
    scan = series_of(done, "before_ct")
    assert "made up" in done.notes[0] and str(scan[0].PatientName).startswith("MADE-UP^")
    assert scan[0].PatientID.startswith("MADE-UP-") and scan[0].StudyDescription.startswith("MADE-UP STUDY")
    # a real scan under a made-up name is no synthetic patient, which is one that was drawn
    assert scan[0].SeriesDescription == "Scan before treatment, made-up study"
    assert not str(scan[0].SeriesDescription).startswith("SIMULATED")
    folder = Path(scan[0].filename).parent
    assert np.array_equal(read_volume(folder).array, planned.ct.array)
    assert read_volume(folder).geometry.same_as(planned.ct.geometry)


def test_label_maps_are_an_option(planned, exported, tmp_path, series_of):
    kind = "LABELMAP"
    assert series_of(exported, "before_dseg.dcm")[0].SegmentationType == "BINARY"
    done = export_plan(planned.plan, tmp_path / "out", ExportSettings(reference=planned.dicom, kind=kind))
    (seg,) = series_of(done, "before_dseg.dcm")
    assert seg.SegmentationType == kind
    labels = read_labels(Path(seg.filename), planned.ct.geometry)
    assert np.array_equal(labels.array, planned.labels)


def test_frames_of_an_enhanced_ct_are_referred_to(phantom, make_plan, tmp_path, series_of):
    hu = phantom.plain()
    labels = np.zeros(hu.shape, np.uint8)
    labels[2:10, 10:40, 10:40], labels[4:7, 20:25, 20:25] = 1, 2
    order = [5, 3, 11, 0, 1, 2, 4, 10, 9, 8, 7, 6]
    dicom = phantom.enhanced(tmp_path / "scan" / "e.dcm", hu, order=order)
    plan = make_plan(dicom, labels, tmp_path / "plan")
    done = export_plan(plan.plan, tmp_path / "out", ExportSettings(reference=dicom))
    source = pydicom.dcmread(dicom)
    slices, (seg,) = series_of(done, "simulated01_ct"), series_of(done, "before_dseg.dcm")
    referred = [s.SourceImageSequence[0] for s in slices]
    assert {str(r.ReferencedSOPInstanceUID) for r in referred} == {str(source.SOPInstanceUID)}
    assert [order[int(r.ReferencedFrameNumber) - 1] for r in referred] == list(range(12))
    instances = [i for s in seg.ReferencedSeriesSequence for i in s.ReferencedInstanceSequence]
    assert [str(i.ReferencedSOPInstanceUID) for i in instances] == [str(source.SOPInstanceUID)]
    assert np.array_equal(read_labels(Path(seg.filename), plan.ct.geometry).array, labels)


def test_an_oblique_scan_with_pixels_that_are_not_square(trunk, phantom, make_plan, tmp_path):
    turn = np.deg2rad(20)
    row, column = [np.cos(turn), np.sin(turn), 0.0], [-np.sin(turn), np.cos(turn), 0.0]

    def tilt(data, n):
        data.ImageOrientationPatient = [*row, *column]
        data.PixelSpacing = [5.0, 3.0]

    hu, labels = trunk
    dicom = phantom.Series(hu, change=tilt).write(tmp_path / "scan")
    plan = make_plan(dicom, labels, tmp_path / "plan")
    done = export_plan(plan.plan, tmp_path / "out", ExportSettings(reference=dicom))
    folder = next(p for p in done.folder.iterdir() if p.name.endswith("simulated01_ct"))
    again = read_volume(folder)
    assert again.geometry.same_as(plan.ct.geometry) and again.geometry.spacing[1:] == pytest.approx((5.0, 3.0))
    (path,) = [p for p in done.folder.iterdir() if p.name.endswith("before_dseg.dcm")]
    assert np.array_equal(read_labels(path, plan.ct.geometry).array, labels)


def test_one_of_several_acquisitions_is_named(trunk, phantom, make_plan, tmp_path):
    hu, labels = trunk
    both = np.concatenate([hu, hu + 7])
    places = [5.0 * n for n in range(8)] * 2
    dicom = phantom.Series(both, acquisitions=["1"] * 8 + ["2"] * 8, places=places).write(tmp_path / "scan")
    plan = make_plan(dicom, labels, tmp_path / "plan", series="4/2")
    with pytest.raises(SeriesError, match="Several acquisitions"):
        export_plan(plan.plan, tmp_path / "out", ExportSettings(reference=dicom))
    with pytest.raises(SeriesError, match="not the one that the plan was computed from"):
        export_plan(plan.plan, tmp_path / "out", ExportSettings(reference=dicom, series="4/1"))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["plan", "scan"]
    done = export_plan(plan.plan, tmp_path / "out", ExportSettings(reference=dicom, series="4/2"))
    folder = next(p for p in done.folder.iterdir() if p.name.endswith("simulated01_ct"))
    assert sum(1 for _ in folder.iterdir()) == 8


def test_of_several_series_the_one_of_the_plan_is_taken(trunk, phantom, make_plan, tmp_path):
    hu, labels = trunk
    for number, shift in ((4, 7), (103, 0), (104, 9)):
        phantom.Series(hu + shift, number=number).write(tmp_path / "scan" / str(number))
    plan = make_plan(tmp_path / "scan", labels, tmp_path / "plan", series="103")
    with pytest.raises(SeriesError, match="more than one CT series"):
        export_plan(plan.plan, tmp_path / "out", ExportSettings(reference=plan.dicom))
    file = plan.plan / "plan.json"
    used = to_plain(InputUsed.of("scan", None, read_volume(plan.dicom, "103")))
    for n, asked in enumerate(({"series": "103"}, {}, {"series": "4"})):
        file.write_text(json.dumps({**json.loads(file.read_text()), "inputs": {"case": used}, "asked": asked}))
        done = export_plan(plan.plan, tmp_path / f"out{n}", ExportSettings(reference=plan.dicom))
        source = pydicom.dcmread(next((plan.dicom / "103").iterdir()))
        assert done.study == source.StudyInstanceUID
    with pytest.raises(SeriesError, match="not the one that the plan was computed from"):
        export_plan(plan.plan, tmp_path / "out", ExportSettings(reference=plan.dicom, series="4"))


def changed_scan(phantom, planned, folder, **more):
    """The scan of `planned` with something else about it."""
    hu = planned.ct.array.copy()
    return phantom.Series(more.pop("hu", hu), **more).write(folder)


def test_a_scan_that_is_not_the_plans_is_refused(phantom, planned, tmp_path):
    other = planned.ct.array.copy()
    other[3, 40, 40] += 90
    one_voxel = changed_scan(phantom, planned, tmp_path / "one", hu=other)
    with pytest.raises(SeriesError, match=r"though most voxels agree.*90 HU"):
        export_plan(planned.plan, tmp_path / "out", ExportSettings(reference=one_voxel))
    places = [5.0 * n for n in range(8)]
    del places[4]
    gap = changed_scan(phantom, planned, tmp_path / "gap", hu=np.delete(planned.ct.array, 4, 0), places=places)
    with pytest.raises(SeriesError, match="Slices are missing"):
        export_plan(planned.plan, tmp_path / "out", ExportSettings(reference=gap))
    moved = changed_scan(phantom, planned, tmp_path / "moved", places=[5.0 * n + 1 for n in range(8)])
    with pytest.raises(GeometryMismatchError, match=r"not on the grid.*first voxel"):
        export_plan(planned.plan, tmp_path / "out", ExportSettings(reference=moved))
    unplaced = changed_scan(phantom, planned, tmp_path / "unplaced", tags={"FrameOfReferenceUID": None})
    with pytest.raises(UnreadableFileError, match="frame of reference"):
        export_plan(planned.plan, tmp_path / "out", ExportSettings(reference=unplaced))
    assert not [p for p in tmp_path.iterdir() if "out" in p.name]


def test_two_frames_of_reference_are_two_volumes(phantom, planned, tmp_path):
    def half(data, n):
        if n > 3:
            data.FrameOfReferenceUID = data.FrameOfReferenceUID[:60] + ".9"

    mixed = changed_scan(phantom, planned, tmp_path / "mixed", change=half)
    with pytest.raises(SeriesError, match="frames of reference"):
        export_plan(planned.plan, tmp_path / "out", ExportSettings(reference=mixed))


def test_values_beyond_16_bits_are_refused_and_nothing_is_left(planned, tmp_path):
    shutil.copytree(planned.plan, tmp_path / "plan")
    high = ct_of(planned).astype(np.float32)
    high[5, 5, 5] = 40000
    made_by = Provenance("Lipiodol", 1, "b", "0" * 64)
    write_volume(Volume(high, planned.ct.geometry, simulated=made_by), tmp_path / "plan" / "simulated_01.nrrd")
    # the CT passes through slice by slice: what does not fit shows in its slice, a wrong range behind the last one
    with pytest.raises(OutcomeError, match="16 bits"):
        export_plan(tmp_path / "plan", tmp_path / "out", ExportSettings())
    high[5, 5, 5] = 25000
    write_volume(Volume(high, planned.ct.geometry, simulated=made_by), tmp_path / "plan" / "simulated_01.nrrd")
    with pytest.raises(NotCTError, match="too high"):
        export_plan(tmp_path / "plan", tmp_path / "out", ExportSettings())
    assert [p.name for p in tmp_path.iterdir()] == ["plan"]
    with pytest.raises(OutcomeError, match="16 bits"):
        as_int16(high + 20000, "the CT")
    assert as_int16(np.array([[[1.5, 2.4]]], np.float32), "x").tolist() == [[[2, 2]]]


def test_a_folder_with_something_in_it_is_not_written_over(planned, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match="not empty"):
        export_plan(planned.plan, tmp_path / "out", ExportSettings())
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    "step",
    [
        "outcome_images.write_simulated",
        "outcome_images.Deviation",
        "export.write_segmentation",
        "export.write_deviation",
        "export.write_report",
        "export.write_sealed",
    ],
)
def test_nothing_half_written_is_left(planned, tmp_path, monkeypatch, step):
    def full(*args, **more):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(f"MeWMLib.exchange.{step}", full)
    with pytest.raises(OutputError, match="disk is full"):
        export_plan(planned.plan, tmp_path / "out", ExportSettings(reference=planned.dicom))
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_exported(planned, tmp_path):
    with pytest.raises(UnreadableFileError):
        export_plan(tmp_path, tmp_path / "out", ExportSettings())
    from MeWMLib.cohorts.identity import Identity

    with pytest.raises(InputError, match="nobody to be de-identified"):
        export_plan(planned.plan, tmp_path / "out", ExportSettings(identity=Identity(b"k" * 32)))


def test_texts_and_names_that_do_not_fit():
    assert short_text("SIMULATED " + "x" * 80) == "SIMULATED " + "x" * 51 + "..."
    assert short_text("a\\b\n c") == "a/b c"
    assert subject_of("HCC_009-b") == "HCC009b" and subject_of("__") == "x"
    broken = pydicom.Dataset()
    broken.PatientID = "1"
    broken.add_new("PatientWeight", "DS", "70")
    broken["PatientWeight"]._value = "seventy"
    kept = copied(broken, ("PatientID", "PatientWeight"))
    assert kept.PatientID == "1"
