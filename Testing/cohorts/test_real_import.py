"""HCC_009 as The Cancer Imaging Archive lays it out: two dates, six series, their phases, and a stacked series."""

from __future__ import annotations

import json
import re
import tarfile
from pathlib import Path

import pytest

from MeWMLib.cohorts.dicom_import import ImportSettings, import_cohort
from MeWMLib.cohorts.dicom_patient import import_patient
from MeWMLib.cohorts.layout import PATIENT
from MeWMLib.core.dicom.scan import scan
from MeWMLib.core.errors import SeriesError
from MeWMLib.core.records import to_plain
from MeWMLib.perception.phase import guess_phase, read_ct

pytestmark = [pytest.mark.real_data, pytest.mark.slow]


@pytest.fixture(scope="session")
def hcc_009(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive, unpacked once."""
    archive = shared_data / "HCC-TACE-Seg_HCC_009_dicom.tar.xz"
    if not archive.exists():
        pytest.skip(f"{archive.name} is absent")
    folder = tmp_path_factory.mktemp("hcc_009")
    with tarfile.open(archive) as file:
        file.extractall(folder, filter="data")
    return folder


def test_the_real_patient_becomes_a_pair(hcc_009, shared_data, tmp_path):
    table = shared_data / "tables" / "hcc_tace_seg_clinical_80.csv"
    cohort = import_cohort(hcc_009, tmp_path / "out", ImportSettings("tcia", clinical=table))
    (row,) = cohort.rows
    assert (row.id, row.phase, row.phase_after, row.interval_days) == ("HCC_009", "portal", "portal", 33.0)
    assert row.protocol == "Cisplatin + Mitomycin + Doxorubicin + Lipiodol" and row.event is True
    assert row.months == pytest.approx(4.7, abs=0.01)
    stored = json.loads((cohort.folder / "HCC_009" / PATIENT).read_text(encoding="utf-8"))["import"]
    seen = {
        (s["when"], scan["series"]): (scan["phase"]["phase"], scan["used_as"])
        for s in stored["studies"]
        for scan in s["scans"]
    }
    assert seen == {
        ("before", "series 2, 20 slices"): ("non-contrast", None),
        ("before", "series 4, 69 slices"): ("arterial", None),
        ("before", "series 103, 69 slices"): ("portal", "pre"),
        ("after", "series 2, 20 slices"): ("non-contrast", None),
        ("after", "series 105, 70 slices"): ("arterial", None),
        ("after", "series 107, 96 slices"): ("portal", "post"),
    }
    assert all(scan["phase"]["confidence"] > 0.9 for s in stored["studies"] for scan in s["scans"])
    padded = [scan["series"] for s in stored["studies"] for scan in s["scans"] if "-3024" in str(scan["notes"])]
    assert padded == ["series 105, 70 slices", "series 107, 96 slices"] and stored["left_out"] == []
    case = cohort.case("HCC_009")
    assert case.before.geometry.spacing == pytest.approx((3.0, 0.8, 0.8)) and case.after.array.min() >= -1024


def named_by_plan(error: SeriesError) -> dict[str, tuple[int, str, str]]:
    """What `mewm plan` lists: what to type, to slices, phase and date."""
    found = {}
    for line in error.given.splitlines()[1:]:
        key = re.match(r"  series ([^\s,:]+)", line)[1]
        count, date = re.search(r": (\d+) slices", line)[1], re.search(r"\d{4}-\d\d-\d\d", line)[0]
        found[key] = int(count), re.search(r"(non-contrast|arterial|portal|delayed) \(\d+ %\)", line)[1], date
    return found


def test_plan_names_the_series_and_phases_of_the_import(hcc_009):
    with pytest.raises(SeriesError, match="more than one CT series") as caught:
        read_ct(hcc_009)
    listed = named_by_plan(caught.value)
    assert sorted(listed.values(), key=lambda one: (one[2], one[0], one[1])) == [
        (20, "non-contrast", "1998-02-15"),
        (69, "arterial", "1998-02-15"),
        (69, "portal", "1998-02-15"),
        (20, "non-contrast", "1998-03-20"),
        (70, "arterial", "1998-03-20"),
        (96, "portal", "1998-03-20"),
    ]
    assert listed["103"][1] == "portal" and "--series 103," in caught.value.remedy
    for key, (count, phase, _) in listed.items():
        ct = read_ct(hcc_009, series=key)
        assert (
            guess_phase(ct).phase == phase and ct.geometry.shape == (count, 512, 512) and ct.array.dtype.name == "int16"
        )


def test_two_real_acquisitions_in_one_series_are_split(hcc_009, tmp_path):
    """Arterial and portal of the first date under one SeriesInstanceUID, as 21 patients of the collection have them."""
    import pydicom

    sources = [d for d in hcc_009.rglob("*") if d.is_dir() and d.name.startswith(("103.", "4."))]
    uid = None
    for folder in sorted(sources):
        for path in sorted(folder.glob("*.dcm")):
            data = pydicom.dcmread(path)
            uid = uid or data.SeriesInstanceUID
            data.SeriesInstanceUID, data.SeriesNumber = uid, 5
            data.save_as(tmp_path / f"{folder.name[:3]}_{path.name}")
    found = import_patient("HCC_009", scan(tmp_path).objects, None, "native", False)
    (study,) = found.more["import"]["studies"]
    assert [(s["series"], s["phase"]["phase"]) for s in to_plain(study["scans"])] == [
        ("series 5, acquisition 1, 69 slices", "arterial"),
        ("series 5, acquisition 3, 69 slices", "portal"),
    ]
    with pytest.raises(SeriesError, match="Several acquisitions") as caught:
        read_ct(tmp_path)
    plan = {key: one[:2] for key, one in named_by_plan(caught.value).items()}
    assert plan == {"5/1": (69, "arterial"), "5/3": (69, "portal")}
    assert found.case.after is None and found.row.has_after is False and found.left_out == []
