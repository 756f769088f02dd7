"""The import reads what `plan` reads: enhanced CT, damage that is named, segmentations that name no slice."""

from __future__ import annotations

import json

import numpy as np
import pytest

from MeWMLib.cohorts.dicom_import import ImportSettings, import_cohort
from MeWMLib.cohorts.layout import PATIENT
from MeWMLib.core.errors import CohortError, SeriesError, UnreadableFileError
from MeWMLib.core.io import read_volume

TCIA = ImportSettings("tcia", grid="native")


@pytest.fixture
def wide(phantom, monkeypatch):
    """The drawn trunk at the voxel size of the plain builders."""
    monkeypatch.setattr(phantom, "STEP", phantom.SPACING[0])
    monkeypatch.setattr(phantom, "PIXEL", phantom.SPACING[1])
    return phantom.trunk("portal", tumour_hu=40)


def test_an_enhanced_ct_is_imported_as_it_is_planned(phantom, wide, tmp_path):
    hu, _ = wide
    order = np.random.default_rng(0).permutation(len(hu)).tolist()
    shifts = [(1.0, -1024.0 - 8 * n) for n in range(len(hu))]
    phantom.enhanced(tmp_path / "in" / "P1" / "1.dcm", hu, order=order, rescale=shifts)
    cohort = import_cohort(tmp_path / "in", tmp_path / "out", TCIA)
    case = cohort.case("P1")
    np.testing.assert_array_equal(case.before.array, hu)
    np.testing.assert_array_equal(read_volume(tmp_path / "in").array, hu)
    assert case.before.phase == "portal" and case.before.geometry.spacing == pytest.approx((5, 4, 4))


def test_a_segmentation_that_names_no_slice_is_matched_by_its_place(phantom, wide, tmp_path):
    import pydicom

    hu, truth = wide
    folder = phantom.classic(tmp_path / "in" / "P1" / "ct", hu)
    sources = sorted((pydicom.dcmread(p) for p in folder.iterdir()), key=lambda d: d.ImagePositionPatient[2])

    def bare(seg):
        for frame in seg.PerFrameFunctionalGroupsSequence:
            del frame.DerivationImageSequence
        if "ReferencedSeriesSequence" in seg:
            del seg.ReferencedSeriesSequence

    kinds = [("Liver", "10200004", "Liver"), ("Mass", "4147007", "Mass")]
    phantom.segmentation(folder / "seg", sources, [truth >= 1, truth == 2], kinds, change=bare)
    cohort = import_cohort(tmp_path / "in", tmp_path / "out", TCIA)
    np.testing.assert_array_equal(cohort.case("P1").before_labels.array, truth)
    scan = json.loads((cohort.folder / "P1" / PATIENT).read_text(encoding="utf-8"))["import"]["studies"][0]["scans"][0]
    assert "masks were matched by their place, since they name no slice" in scan["notes"]


@pytest.mark.parametrize("kind", ["cut", "empty", "no rescale"])
def test_a_damaged_slice_leaves_its_series_out_and_names_nobody(phantom, wide, tmp_path, kind):
    hu, _ = wide

    def change(data, n):
        data.PatientName, data.PatientIdentityRemoved = "Mustermann^Erika", "NO"
        if kind == "no rescale" and n == len(hu) - 1:
            del data.RescaleSlope

    folder = phantom.classic(tmp_path / "in" / "P1" / "ct", hu, change=change)
    for n, path in enumerate(sorted(folder.iterdir())):
        path.rename(folder / f"Mustermann_{n:03d}.dcm")
    last = sorted(folder.iterdir(), key=lambda p: read_position(p))[-1]
    if kind != "no rescale":
        last.write_bytes(last.read_bytes()[:-2] if kind == "cut" else b"")
    lines: list[str] = []
    settings = ImportSettings("folder", grid="native", key_file=tmp_path / "key")
    (tmp_path / "key").write_bytes(b"k" * 32)
    with pytest.raises(CohortError, match="No patient"):
        import_cohort(tmp_path / "in", tmp_path / "out", settings, None, lines.append)
    text = (tmp_path / "out" / "cohort.json").read_bytes() if (tmp_path / "out" / "cohort.json").exists() else b""
    assert any("damaged" in line or "rescale" in line for line in lines) and b"Mustermann" not in text
    assert not any("Mustermann" in line.split(": ", 1)[1] for line in lines if "series 4" in line)
    with pytest.raises((UnreadableFileError, SeriesError), match=last.name):
        read_volume(tmp_path / "in")


def read_position(path) -> float:
    import pydicom

    return float(pydicom.dcmread(path).ImagePositionPatient[2])
