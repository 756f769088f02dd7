"""A cohort that people wrote themselves holds NIfTI or MetaImage: every command of the lab reads them as NRRD."""

import csv
from pathlib import Path

import pytest

from MeWMLib.cohorts.layout import POST, POST_LABELS, PRE, PRE_LABELS, Cohort, image_of
from MeWMLib.core.errors import CohortError
from MeWMLib.core.io import read_labels, read_volume, write_labels, write_volume
from MeWMLib.jobs.job import Job
from MeWMLib.lab.cohort_plans.__main__ import jobs_of as plans_of
from MeWMLib.lab.reader_study.simulate import jobs_of as simulations_of
from MeWMLib.lab.reader_study.sources import from_cohort
from MeWMLib.lab.reproduce.members import gaps_of, is_for_judging, members_of
from MeWMLib.lab.reproduce.settings import ReproduceSettings
from Testing.lab.reproduce import phantoms

IMAGES = (PRE, PRE_LABELS, POST, POST_LABELS)


@pytest.fixture(params=[".nii.gz", ".nii", ".mha"])
def cohort(request: pytest.FixtureRequest, tmp_path: Path) -> Cohort:
    folder = tmp_path / "cohort"
    written = phantoms.write_cohort(folder, 2, bare=(1,))
    for row in written.rows:
        for name in IMAGES:
            path = folder / row.id / name
            if path.exists():
                stem = folder / row.id / name.removesuffix(".seg.nrrd").removesuffix(".nrrd")
                other = stem.with_name(stem.name + request.param)
                if name in (PRE_LABELS, POST_LABELS):
                    write_labels(read_labels(path, phantoms.geometry()), other)
                else:
                    write_volume(read_volume(path), other)
                path.unlink()
    return Cohort.read(folder)


def test_reproduce_finds_them_and_sees_when_they_change(cohort: Cohort, tmp_path: Path) -> None:
    settings = ReproduceSettings(cohort.folder, tmp_path / "out")
    members, _ = members_of(cohort, settings, {}, judging=False)
    lacks = {gap.what: gap.patients for gap in gaps_of(members, cohort)}
    assert [m.id for m in members] == ["P00", "P01"]
    assert lacks["No scan after treatment"] == ("P01",)
    assert "No labels of liver and tumour before treatment" not in lacks
    scan = image_of(cohort.folder / "P00", PRE)
    assert scan is not None and scan.suffix != ".nrrd"
    before = read_volume(scan)
    write_volume(before.with_array(before.array + 1), scan)
    again, _ = members_of(cohort, settings, {}, judging=False)
    assert again[0].key != members[0].key and again[1].key == members[1].key
    scan.unlink()
    with pytest.raises(CohortError, match="no scan before treatment"):
        members_of(cohort, settings, {}, judging=False)


def test_reader_studies_and_plans_of_a_cohort_find_them(cohort: Cohort, tmp_path: Path) -> None:
    (source,) = from_cohort(cohort.folder)
    assert source.patient == "P00" and read_volume(source.ct).array.shape == phantoms.SHAPE
    jobs, left_out = simulations_of(cohort, tmp_path / "out", "Lipiodol", Job("simulate"))
    assert [name for name, _ in jobs] == ["P00", "P01"] and not left_out
    plans = plans_of(cohort.folder, tmp_path / "out", Job("plan"))
    for given in (jobs, plans):
        for name, job in given:
            assert job.inputs["case"] == str(image_of(cohort.folder / name, PRE))
            assert job.inputs["labels"] == str(image_of(cohort.folder / name, PRE_LABELS))


def test_an_image_in_two_forms_is_refused(cohort: Cohort, tmp_path: Path) -> None:
    first = image_of(cohort.folder / "P00", PRE)
    assert first is not None
    write_volume(read_volume(first), cohort.folder / "P00" / PRE)
    with pytest.raises(CohortError, match="there twice"):
        plans_of(cohort.folder, tmp_path / "out", Job("plan"))
    with pytest.raises(CohortError, match="there twice"):
        members_of(cohort, ReproduceSettings(cohort.folder, tmp_path / "out"), {}, judging=False)


def test_the_column_judging_keeps_a_patient_from_a_run(tmp_path: Path) -> None:
    folder = tmp_path / "cohort"
    phantoms.write_cohort(folder, 2)
    with (folder / "patients.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    rows[1]["judging"] = "1"
    with (folder / "patients.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    cohort = Cohort.read(folder)
    assert [is_for_judging(cohort, row.id) for row in cohort.rows] == [False, True]
    members, left = members_of(cohort, ReproduceSettings(folder, tmp_path / "out"), {}, judging=False)
    assert [m.id for m in members] == ["P00"] and left[0].patients == ("P01",)
