"""A job's inputs out of DICOM: the phase of the CT, the list of series, and a DICOM SEG as labels."""

from __future__ import annotations

import numpy as np
import pytest

from MeWMLib.core.errors import SeriesError
from MeWMLib.jobs.inputs import read_case
from MeWMLib.jobs.job import Job


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
    with pytest.raises(SeriesError, match=r"series 4: 26 slices.*portal \(.*series 9: .*arterial \(.*--series 4,"):
        read_case(Job("plan", {"case": str(folder.parent)}, "out"), no_sample)
    chosen = read_case(Job("segment", {"case": str(folder.parent), "series": "9"}, "out"), no_sample)
    assert chosen.ct.phase == "arterial" and chosen.labels is None
