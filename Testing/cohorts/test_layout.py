"""The layout of a cohort: what is written is read back, and what is broken is refused."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from MeWMLib.cohorts.layout import (
    FORMAT,
    PATIENT,
    POST,
    PRE,
    TABLE,
    Cohort,
    CohortCase,
    PatientRow,
    finished_row,
    read_manifest,
    read_table,
    write_manifest,
    write_patient,
    write_table,
)
from MeWMLib.core.errors import CohortError, OutputError, UnreadableFileError
from MeWMLib.core.volume import Geometry, LabelMap, Provenance, Volume

ROW = PatientRow(
    "a1", "Doxorubicin + Lipiodol", 12.5, True, "portal", 200_007, "capsule", -0.25, 0.5, 40.0, 31.5, 40.0, 0.0
)
IMPORTED = PatientRow("b2", "Cisplatin + Gelatin Sponge", 3.0, False)


def case() -> CohortCase:
    geometry = Geometry((4, 5, 6), np.diag([-2.0, -2.0, 3.0, 1.0]))
    hu = 4 * np.arange(120, dtype=np.int16).reshape(4, 5, 6) - 200
    labels = LabelMap((np.arange(120).reshape(4, 5, 6) % 3).astype(np.uint8), geometry)
    mark = Provenance("Doxorubicin + Lipiodol", 1, "b", "c")
    return CohortCase(
        Volume(hu, geometry, "portal"),
        labels,
        Volume(hu + 1, geometry, "portal", mark),
        LabelMap(labels.array[::-1].copy(), geometry),
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_manifest(tmp_path, {"synthetic": False, "complete": True})
    write_table(tmp_path, [ROW, IMPORTED])
    write_patient(tmp_path, ROW, case(), {"note": "x"})
    return tmp_path


def test_a_cohort_is_read_as_it_was_written(folder: Path) -> None:
    cohort = Cohort.read(folder)
    assert cohort.rows == (ROW, IMPORTED) and not cohort.synthetic
    read, wrote = cohort.case("a1"), case()
    for ours, theirs in ((read.before, wrote.before), (read.after, wrote.after)):
        assert np.array_equal(ours.array, theirs.array) and ours.geometry.same_as(theirs.geometry)
        assert ours.simulated == theirs.simulated and ours.phase == "portal"
    assert np.array_equal(read.before_labels.array, wrote.before_labels.array)
    assert np.array_equal(read.after_labels.array, wrote.after_labels.array)
    assert finished_row(folder, "a1") == ROW and not list(folder.glob(".part-*"))


def test_columns_of_other_programs_are_left_out(folder: Path) -> None:
    lines = (folder / TABLE).read_text().splitlines()
    assert lines[0].split(",") == [f.name for f in fields(PatientRow)]
    (folder / TABLE).write_text("hospital," + lines[0] + "\nH," + lines[1] + "\n")
    assert read_table(folder) == (ROW,)


def test_a_patient_without_its_last_file_is_not_finished(folder: Path) -> None:
    (folder / "a1" / PATIENT).write_text('{"row": {"id"')
    assert finished_row(folder, "a1") is None and finished_row(folder, "nobody") is None


def test_a_failed_patient_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("MeWMLib.cohorts.layout.write_json", fail)
    with pytest.raises(OutputError, match="disk is full"):
        write_patient(tmp_path, ROW, case())
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_patient_is_refused(folder: Path) -> None:
    with pytest.raises(CohortError, match="no such patient.*zz"):
        Cohort.read(folder).case("zz")


@pytest.mark.parametrize("text", [None, "{", "[]", '{"format": "other/9"}'])
def test_what_is_no_cohort_is_refused(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "cohort.json").write_text(text)
    with pytest.raises(CohortError):
        read_manifest(tmp_path)


def test_an_unfinished_cohort_is_refused(folder: Path) -> None:
    write_manifest(folder, {"complete": False})
    assert read_manifest(folder)["format"] == FORMAT
    with pytest.raises(CohortError, match="not finished"):
        Cohort.read(folder)


@pytest.mark.parametrize(
    "table",
    [
        "",
        "id,protocol,months\na,b,1\n",
        "id,protocol,months,event\na,b,soon,1\n",
        "id,protocol,months,event\na,b,1,yes\n",
        "id,protocol,months,event\n../a,b,1,1\n",
        "id,protocol,months,event\n.part-a,b,1,1\n",
    ],
)
def test_a_broken_table_is_refused(folder: Path, table: str) -> None:
    if table:
        (folder / TABLE).write_text(table)
    else:
        (folder / TABLE).unlink()
    with pytest.raises(UnreadableFileError, match="table"):
        Cohort.read(folder)


def test_a_missing_image_is_refused_where_the_table_says_that_it_is_there(folder: Path) -> None:
    (folder / "a1" / POST).unlink()
    assert Cohort.read(folder).case("a1").after is None  # the table does not say
    write_table(folder, [replace(ROW, has_after=True), IMPORTED])
    with pytest.raises(CohortError, match="table says"):
        Cohort.read(folder).case("a1")
    (folder / "a1" / PRE).unlink()
    with pytest.raises(UnreadableFileError):
        Cohort.read(folder).case("a1")
    write_manifest(folder, {"synthetic": True, "complete": True})  # a synthetic one has everything
    with pytest.raises(UnreadableFileError):
        Cohort.read(folder).case("a1")
