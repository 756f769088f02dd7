"""A job's inputs out of DICOM: the phase of the CT, the list of series, and a DICOM SEG as labels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

from MeWMLib.cohorts.samples import sample_info
from MeWMLib.core.copies import write_copies
from MeWMLib.core.errors import InputError, SampleError, SeriesError, UnreadableFileError
from MeWMLib.core.io import read_volume, write_volume
from MeWMLib.core.volume import Provenance
from MeWMLib.core.written import Sample, WrittenNumbers
from MeWMLib.jobs.inputs import read_case, read_ct, read_labels, require_there
from MeWMLib.jobs.job import Job
from MeWMLib.jobs.table import kind_of
from Testing.core.plan_data import write_folder


def no_sample(name: str):
    raise AssertionError(name)


def test_a_case_out_of_a_folder_from_the_archive(phantom, tmp_path):
    hu, truth = phantom.trunk("portal", tumour_hu=40)
    series = phantom.Series(hu)
    folder = series.write(tmp_path / "export")
    sources = [series.dataset(n) for n in range(len(hu))]
    kinds = [("Liver", "10200004", "Liver"), ("Mass", "4147007", "Mass")]
    seg = phantom.segmentation(folder / "seg.dcm", sources, [truth >= 1, truth == 2], kinds)
    case = read_case(Job("plan", {"case": str(folder), "labels": str(seg)}, "out"), no_sample)
    assert case.ct.phase == "portal" and case.labels_from == "user" and case.labels_name == "seg.dcm"
    np.testing.assert_array_equal(case.labels.array, truth)
    phantom.Series(phantom.trunk("arterial")[0], number=9).write(folder / "more")
    with pytest.raises(SeriesError, match=r"(?s)series 4: 26 slices.*portal \(.*series 9: .*arterial \(.*--series 4,"):
        read_case(Job("plan", {"case": str(folder.parent)}, "out"), no_sample)
    chosen = read_case(Job("segment", {"case": str(folder.parent), "series": "9"}, "out"), no_sample)
    assert chosen.ct.phase == "arterial" and chosen.labels is None


def test_a_simulated_volume_is_no_patient(phantom, fake, tmp_path):
    folder = write_folder(tmp_path / "plan")
    (copy,) = (name for name in write_copies(folder, "nifti") if Path(name).name == "SIMULATED_01.nii.gz")
    derived = phantom.Series(
        phantom.trunk("portal")[0], tags={"SeriesDescription": "SIMULATED A + B", "ImageType": ["DERIVED", "SECONDARY"]}
    ).write(tmp_path / "dicom")
    for path in (folder.path / "simulated_01.nrrd", folder.path / copy, derived):
        for kind, more in (("plan", {}), ("segment", {}), ("simulate", {"protocol": "PVA"}), ("propose", {})):
            with pytest.raises(InputError, match="is a simulated one") as caught:
                read_case(Job(kind, {"case": str(path), **more}, "out"), no_sample)
            assert caught.value.given.startswith(path.name) and "before treatment" in caught.value.remedy
        # as the scan after treatment it is none, either
        with pytest.raises(InputError, match="The scan after treatment is a simulated one"):
            read_ct(Job("assess", {"post": str(path)}), kind_of("assess").input("post"))
    assert read_volume(derived).simulated is not None, "other code reads it as it is"
    # a patient who was drawn and not yet treated is one to plan for
    drawn = replace(fake.small_ct(), simulated=Provenance("none (tumours planted in a real CT)", 1, "w", "ab" * 32))
    write_volume(drawn, tmp_path / "drawn.nrrd")
    assert read_case(Job("segment", {"case": str(tmp_path / "drawn.nrrd")}, "out"), no_sample).ct.simulated is not None


def test_labels_of_a_simulated_outcome_are_nobodys(phantom, tmp_path):
    folder = write_folder(tmp_path / "plan")
    copies = [name for kind in ("nifti", "mha") for name in write_copies(folder, kind) if "_01_labels." in name]
    before = str(folder.path / "pre.nrrd")
    for name in ("simulated_01.seg.nrrd", *(name for name in copies if not name.endswith(".json"))):
        path = str(folder.path / name)
        with pytest.raises(InputError, match="labels are those of a simulated outcome") as caught:
            read_case(Job("plan", {"case": before, "labels": path}, "out"), no_sample)
        assert caught.value.given.startswith(Path(name).name) and "pre.seg.nrrd" in caught.value.remedy
        with pytest.raises(InputError, match="--post-labels"):
            read_labels(Job("assess", {"post_labels": path}), "post_labels", read_volume(Path(before)).geometry)
    labels = str(folder.path / "pre.seg.nrrd")
    assert read_case(Job("plan", {"case": before, "labels": labels}, "out"), no_sample).labels_from == "user"
    hu, truth = phantom.trunk("portal", tumour_hu=40)
    series = phantom.Series(hu)
    ct, sources = series.write(tmp_path / "export"), [series.dataset(n) for n in range(len(hu))]
    kinds = [("Liver", "10200004", "Liver"), ("Mass", "4147007", "Mass")]
    seg = phantom.segmentation(tmp_path / "seg.dcm", sources, [truth >= 1, truth == 2], kinds)
    data = pydicom.dcmread(seg)
    data.SeriesDescription = "SIMULATED A + B"
    data.save_as(seg)
    with pytest.raises(InputError, match="simulated after A"):
        read_case(Job("plan", {"case": str(ct), "labels": str(seg)}, "out"), no_sample)


def test_a_copy_names_the_seed_of_the_sample_that_was_written(tmp_path):
    """Of several replicas the nearest to their mean is written, and not the first."""
    folder = write_folder(tmp_path / "plan")
    document = folder.read()
    (one,) = document.plan.candidates
    written = WrittenNumbers(Sample(5, 3), "portal", 9.0, 8.0, 9.0, 1.0, 9.0, 0.0, 0.0, 59.0, 47.0)
    assert document.provenance(one).seed == 3
    assert document.provenance(replace(one, written=written)).seed == 5


def test_what_is_not_there_is_said_first(tmp_path):
    for inputs in ({"case": str(tmp_path / "no.nrrd")}, {"case": "sample:synthetic", "labels": str(tmp_path / "no")}):
        with pytest.raises(UnreadableFileError, match="no such file"):
            require_there(Job("plan", inputs, "out"), sample_info)
    with pytest.raises(SampleError, match="Unknown sample"):
        require_there(Job("plan", {"case": "sample:nobody"}, "out"), sample_info)
    require_there(Job("plan", {"case": "sample:synthetic", "labels": str(tmp_path)}, "out"), sample_info)
