"""Synthetic patients on disk: those of the world itself, marked, resumable, and open to any counterfactual."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from MeWMLib.cohorts.layout import PATIENT, POST, Cohort, write_manifest, write_table
from MeWMLib.cohorts.synthetic.world import SyntheticPatient, whole_geometry
from MeWMLib.core.errors import CohortError, InputError
from MeWMLib.core.io import read_volume
from MeWMLib.core.protocol import Protocol
from MeWMLib.lab.synthetic.__main__ import main
from MeWMLib.lab.synthetic.cases import SPLITS, draw_case
from MeWMLib.lab.synthetic.write import (
    BUNDLE,
    CohortSettings,
    counterfactual,
    fingerprint,
    held_out_seeds,
    observed,
    patient_id,
    require_synthetic,
    synthesize,
)

COARSE = (6.0, 6.0, 6.0)
SETTINGS = CohortSettings("test", 3, 2, COARSE)
OTHER = Protocol.parse("Cisplatin + Gelatin Sponge")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return synthesize(tmp_path_factory.mktemp("cohort") / "new", SETTINGS)


def test_the_images_are_those_of_the_world(written: Cohort) -> None:
    assert [row.seed for row in written.rows] == [200_003, 200_004] and written.synthetic
    row = written.rows[0]
    patient = SyntheticPatient.draw(200_003)
    case = written.case(row.id)
    geometry = whole_geometry(COARSE)
    drawn = patient.render(geometry)
    assert case.before.geometry.same_as(geometry) and case.before.phase == row.phase == patient.anatomy.phase
    assert np.abs(case.before.array - drawn.hu).max() <= 0.5
    assert np.array_equal(case.before_labels.array, drawn.labels)
    assert (row.tumour_type, row.perfusion) == (patient.kind, pytest.approx(patient.traits.perfusion, rel=1e-5))


def test_the_scan_after_treatment_is_marked(written: Cohort) -> None:
    row = written.rows[0]
    case = written.case(row.id)
    mark = case.after.simulated
    assert mark is not None and case.before.simulated is None
    assert (mark.protocol, mark.seed, mark.bundle, mark.bundle_sha256) == (
        row.protocol,
        row.seed,
        BUNDLE,
        fingerprint(),
    )
    assert not np.array_equal(case.after.array, case.before.array)
    assert "no clinical evidence" in " ".join(written.manifest["notice"].split())
    assert json.loads((written.folder / row.id / PATIENT).read_text())["synthetic"] is True


def test_the_manifest_says_which_world(written: Cohort) -> None:
    m = written.manifest
    assert (m["world"], m["split"], m["first_seed"], m["last_seed"], m["patients"]) == (2, "test", 200_003, 200_004, 2)
    assert m["law"]["median_months"] > 0 and "CC BY-SA 4.0" in m["licence"] and m["spacing_mm"] == [6, 6, 6]


@pytest.mark.slow
def test_survival_is_that_of_the_training_cases() -> None:
    case = draw_case(200_003, size=32)
    risk, months, event = observed(SyntheticPatient.draw(200_003), case.protocols[0], size=32)
    assert (risk, months, event) == (pytest.approx(case.true_log_risk[0]), pytest.approx(case.months), case.event)


def test_a_stopped_run_goes_on(written: Cohort, tmp_path: Path) -> None:
    first = synthesize(tmp_path, replace(SETTINGS, count=1))
    half = tmp_path / f".part-{patient_id(200_004)}"
    half.mkdir()
    (half / POST).write_text("half")
    kept = (tmp_path / first.rows[0].id / POST).stat().st_mtime_ns
    steps: list[float] = []
    cohort = synthesize(tmp_path, SETTINGS, lambda _, share: steps.append(share))
    assert cohort.rows == written.rows and steps == [1.0] and not half.exists()
    assert (tmp_path / first.rows[0].id / POST).stat().st_mtime_ns == kept


@pytest.mark.slow
def test_workers_write_the_same(written: Cohort, tmp_path: Path) -> None:
    assert synthesize(tmp_path, replace(SETTINGS, workers=2)).rows == written.rows


@pytest.mark.parametrize(
    "change", [{"spacing": (7.0, 6.0, 6.0)}, {"start": 4}, {"split": "validation"}, {"count": 1}]
)  # fmt: skip
def test_another_cohort_is_not_written_over(written: Cohort, change: dict[str, object]) -> None:
    with pytest.raises(CohortError, match="another cohort"):
        synthesize(written.folder, replace(SETTINGS, **change))


def test_a_folder_of_something_else_is_not_written_into(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("x")
    with pytest.raises(CohortError, match="something other"):
        synthesize(tmp_path, SETTINGS)


@pytest.mark.parametrize(
    "change",
    [{"split": "exam"}, {"count": 0}, {"start": -1}, {"start": 9_999}, {"spacing": (0.1, 1.0, 1.0)},
     {"spacing": (1.0, float("nan"), 1.0)}, {"workers": 0}],
)  # fmt: skip
def test_settings_that_cannot_be_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(InputError):
        replace(SETTINGS, **change)


def test_a_counterfactual_changes_the_tumour_and_nothing_else(written: Cohort, tmp_path: Path) -> None:
    row = written.rows[0]
    given, risk = counterfactual(written, row.id, Protocol.parse(row.protocol))
    case = written.case(row.id)
    assert np.abs(given.array.astype(int) - case.after.array).max() <= 1 and risk == pytest.approx(
        row.true_log_risk, rel=1e-4
    )
    other, other_risk = counterfactual(written, row.id, OTHER)
    assert other.simulated is not None and other.simulated.protocol == OTHER.text and other_risk != risk
    change = np.abs(other.array.astype(int) - case.before.array)
    tumour = case.before_labels.array == 2
    # elsewhere only the noise of another scan
    assert np.median(change[tumour]) > 2 * np.median(change[~tumour & (case.before_labels.array == 1)])


def test_held_out_patients_are_those_of_no_training(written: Cohort) -> None:
    assert held_out_seeds(written) == (200_003, 200_004)
    row = replace(written.rows[1], seed=SPLITS["train"][5])
    with pytest.raises(CohortError, match=f"training range.*{row.id}"):
        held_out_seeds(Cohort(written.folder, written.manifest, (written.rows[0], row)))


def test_other_cohorts_answer_no_counterfactual(written: Cohort) -> None:
    real = Cohort(written.folder, {**written.manifest, "synthetic": False}, written.rows)
    seedless = Cohort(written.folder, written.manifest, (replace(written.rows[0], seed=None),))
    for cohort in (real, seedless):
        with pytest.raises(CohortError, match="not synthetic"):
            counterfactual(cohort, written.rows[0].id, OTHER)
    with pytest.raises(CohortError, match="another version"):
        require_synthetic(Cohort(written.folder, {**written.manifest, "world_sha256": "0"}, written.rows))


def test_the_program_writes_and_asks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, file = tmp_path / "c", tmp_path / "other.nrrd"
    assert main(["synthesize", "--n", "1", "--seed", "3", "--spacing", "6,6,6", "--out", str(folder), "--quiet"]) == 0
    assert json.loads(capsys.readouterr().out)["patients"] == 1
    ask = ["counterfactual", "--cohort", str(folder), "--patient", patient_id(200_003), "--protocol", OTHER.text]
    assert main([*ask, "--out", str(file)]) == 0
    mark = read_volume(file).simulated
    assert mark is not None and mark.protocol == OTHER.text


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"--patient": "nobody"}, "no such patient"),
        ({"--protocol": "Aspirin + Lipiodol"}, "Aspirin"),
        ({"--out": "lost.nii.gz"}, "must keep its mark"),
        ({"--cohort": "nowhere"}, "cohort cannot be read"),
    ],
)
def test_the_program_says_what_is_wrong(
    written: Cohort, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: dict[str, str], text: str
) -> None:
    asked = {"--cohort": str(written.folder), "--patient": written.rows[0].id, "--protocol": OTHER.text}
    asked |= {"--out": str(tmp_path / "x.nrrd")} | change
    if "--out" in change:
        asked["--out"] = str(tmp_path / change["--out"])
    assert main(["counterfactual", *(word for pair in asked.items() for word in pair)]) == 2
    assert text in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_the_evaluation_refuses_patients_of_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], written: Cohort
) -> None:
    from MeWMLib.lab.evaluation.__main__ import main as evaluate

    row = replace(written.rows[0], seed=7)
    write_manifest(tmp_path, written.manifest)
    write_table(tmp_path, [row])
    assert evaluate(["generation", "--cohort", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    err = capsys.readouterr().err
    assert "training range" in err and row.id in err and not (tmp_path / "out").exists()


def test_a_voxel_that_is_no_voxel_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["synthesize", "--spacing", "6,6", "--out", str(tmp_path / "c")]) == 2
    assert "three numbers" in capsys.readouterr().err
