"""Studies as they are made and scored: balance, seeds, sessions, files that do not belong together."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from MeWMLib.cli import main as mewm
from MeWMLib.core.errors import InputError, NoTumourError, StudyError, UnreadableFileError
from MeWMLib.core.io import write_labels
from MeWMLib.core.plan_folder import PlanFolder
from MeWMLib.core.reader_study import (
    REAL,
    SIMULATED,
    StudyAnswer,
    StudyAnswers,
    case_file,
    joined,
    read_answers,
    read_case,
    read_study,
    write_answers,
)
from MeWMLib.core.volume import Geometry, LabelMap, Volume, centred_grid
from MeWMLib.lab.reader_study import prepare as prepare_module
from MeWMLib.lab.reader_study.__main__ import main
from MeWMLib.lab.reader_study.key import read_key
from MeWMLib.lab.reader_study.make import MakeSettings, make_study, secret_of
from MeWMLib.lab.reader_study.prepare import RANGE_HU, Frame, frame_of, patient_spacing, prepared
from MeWMLib.lab.reader_study.score import POOLED, score_study
from MeWMLib.lab.reader_study.score_files import write_scores
from MeWMLib.lab.reader_study.sources import Source, from_table, groups_of, named_folders, shared_real
from MeWMLib.scene.target import find_target


def source(method, patient, tmp_path):
    return Source(method, patient, tmp_path / f"{method}{patient}.nrrd", tmp_path / "l.nrrd")


def test_groups_are_balanced_and_patients_are_on_one_side_as_far_as_that_goes(tmp_path):
    both = [source(m, f"P{n}", tmp_path) for m in (REAL, "a", "b") for n in range(12)]
    groups = groups_of(both, 6, seed=1)
    assert [g.method for g in groups] == ["a", "b"]
    assert all(len(g.real) == len(g.simulated) == 6 and g.both_sides == () for g in groups)
    assert shared_real(groups) == 0
    whole = groups_of(both, None, seed=1)
    assert all(len(g.real) == 12 and len(g.both_sides) == 12 for g in whole) and shared_real(whole) == 12
    assert groups_of(both, 6, seed=1) == groups and groups_of(both, 6, seed=2) != groups
    # several scans of a patient: other patients first
    few = [Source(REAL, "P0", tmp_path / f"{n}", tmp_path / "l") for n in range(5)]
    few += [source(REAL, f"Q{n}", tmp_path) for n in range(2)] + [source("a", f"S{n}", tmp_path) for n in range(3)]
    assert {one.patient for one in groups_of(few, 3, 0)[0].real} == {"P0", "Q0", "Q1"}
    for bad, said in ((both[:12], "real and simulated"), (both[12:], "real and simulated")):
        with pytest.raises(StudyError, match=said):
            groups_of(bad, None, 0)
    with pytest.raises(StudyError, match="given twice"):
        groups_of([*both, both[0]], 6, 0)
    for size in (0, 13):
        with pytest.raises(StudyError, match="not enough scans"):
            groups_of(both, size, 0)


def test_the_papers_design_is_dealt_into_sessions(world, tmp_path):
    """Two methods, four of either kind, real ones shared: sessions are balanced, each reader has an own order."""
    table = world.write_scans(tmp_path / "scans", {REAL: 4, "a": 4, "b": 4})
    settings = MakeSettings(seed=5, readers=("R1", "R2", "R3"), per_session=6, box_mm=world.BOX_MM)
    made = make_study(from_table(table), tmp_path / "study", tmp_path / "key.json", settings)
    study, key = made.study, made.key
    assert [len(s) for s in study.sessions] == [6, 6] and len(study.cases) == 12
    for session in study.sessions:
        kinds = [(key.cases[n].truth, key.cases[n].methods) for n in session]
        assert kinds.count((REAL, ("a", "b"))) == 2 and kinds.count((SIMULATED, ("a",))) == 2
    assert len({study.orders[r][0] for r in study.readers}) == 3
    notes = " ".join(key.notes)
    assert "the paper has 24 and 24, 5 methods, 3 readers" in notes and "4 real scans serve several methods" in notes
    again = make_study(from_table(table), tmp_path / "again", tmp_path / "again.json", settings)
    assert again.study == study and again.key == key
    for name in ("session_1.html", "session_2.html", "study.json"):
        assert (tmp_path / "study" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    other = make_study(from_table(table), tmp_path / "other", tmp_path / "o.json", replace(settings, seed=6))
    assert other.study.id != study.id
    assert {n: c.truth for n, c in other.key.cases.items()} != {n: c.truth for n, c in key.cases.items()}
    # all readers, all sessions: pooled, compared, in agreement
    files = [
        world.answer_all(study, r, tmp_path / f"{r}{s}.json", lambda case: (key.is_real(case), 5), s)
        for r in study.readers
        for s in (1, 2)
    ]
    scores = score_study(tmp_path / "study", tmp_path / "key.json", files)
    assert scores.figures["a"][POOLED].accuracy.right == 24 and scores.agreement.fleiss == 1
    assert scores.comparison.differences["a minus b"]["auc"].value == 0
    write_scores(scores, tmp_path / "scores")
    page = (tmp_path / "scores" / "scores.html").read_text(encoding="utf-8")
    assert "a minus b" in page and "the paper has 24 and 24" in page and "http:" not in page and "https:" not in page
    plain = json.loads((tmp_path / "scores" / "scores.json").read_text())
    assert plain["figures"]["a"]["all"]["sensitivity"]["value"] == 1.0
    rows = (tmp_path / "scores" / "scores.csv").read_text().splitlines()
    assert "a,R1,sensitivity,1.0" in rows[1] and len(rows) == 1 + 2 * (4 * 4 + 4)
    assert len((tmp_path / "scores" / "answers.csv").read_text().splitlines()) == 1 + 36


def test_every_scan_goes_through_the_same_steps(world, monkeypatch):
    frame = Frame((16, 40, 40), (2.5, 1.5, 1.5))
    ct, labels = world.scan(1)
    case = prepared(ct, labels, frame, np.random.default_rng(0))
    assert case.array.dtype == np.int16 and case.array.shape == frame.shape
    assert case.array.min() >= RANGE_HU[0] and case.array.max() <= RANGE_HU[1]
    # the same tissue on a turned grid, in another type, from a program with another idea of air: the same picture
    middle = find_target(labels)
    monkeypatch.setattr(prepare_module, "find_target", lambda given: middle)
    turned = Volume(
        np.where(ct.array < -500, -3024, ct.array)[::-1, :, ::-1].astype(np.float32).copy(),
        _flipped(ct.geometry),
    )
    flipped = LabelMap(labels.array[::-1, :, ::-1].copy(), turned.geometry)
    other = prepared(turned, flipped, frame, np.random.default_rng(0))
    # two draws of dither on both sides of a half, where the middle of the lesion is rounded another way
    assert np.corrcoef(case.array.ravel(), other.array.ravel())[0, 1] > 0.99
    assert prepared(ct, labels, frame, np.random.default_rng(0)).array.tolist() == case.array.tolist()
    with pytest.raises(NoTumourError, match="needs a tumour"):
        prepared(ct, LabelMap((labels.array > 0).astype(np.uint8), ct.geometry), frame, np.random.default_rng(0), "P1")
    assert (
        case.outside == 0
        and prepared(ct, labels, Frame((60, 40, 40), (2.5, 1.5, 1.5)), np.random.default_rng(0)).outside > 0.3
    )


def _flipped(geometry):
    affine = np.array(geometry.affine)
    affine[:3, 3] = geometry.to_ras((geometry.shape[0] - 1, 0, geometry.shape[2] - 1))
    affine[:3, 0] *= -1
    affine[:3, 2] *= -1
    return Geometry(geometry.shape, affine)


def test_a_finer_scan_is_smoothed_to_the_coarsest_one(world):
    """White noise on grids of three sizes has about the same deviation in the study's frame."""
    rng, frame = np.random.default_rng(0), Frame((12, 30, 30), (2.5, 1.5, 1.5))
    found = []
    for spacing in ((2.5, 1.5, 1.5), (1.25, 0.75, 0.75), (2.5, 0.75, 1.0)):
        # noise of one strength per volume of tissue: a finer voxel has more of it
        ratio = np.prod(frame.spacing_mm) / np.prod(spacing)
        shape = tuple(int(n) for n in np.rint(np.array((50, 60, 60)) / spacing))
        grid = centred_grid(np.zeros(3), shape, np.array(spacing[::-1]))
        hu = rng.normal(100, 15 * np.sqrt(ratio), shape)
        hu[0, 0, 0] = -300
        labels = np.ones(shape, np.uint8)
        labels[tuple(n // 2 for n in shape)] = 2
        case = prepared(Volume(hu.astype(np.float32), grid), LabelMap(labels, grid), frame, np.random.default_rng(4))
        found.append(case.array.std())
    # interpolation between voxels smooths too, by where the grids happen to lie; in docs/READER_STUDY.md
    assert max(found) / min(found) < 1.35


def test_the_frame_is_the_coarsest_scans(tmp_path):
    swapped = np.array(
        [[0, 0, 1.0, 0], [1.2, 0, 0, 0], [0, 4.0, 0, 0], [0, 0, 0, 1]]
    )  # i anterior, j superior, k right
    assert patient_spacing(Geometry((8, 8, 8), swapped)) == (4.0, 1.2, 1.0)
    for n, spacing in enumerate(((3.0, 0.8, 0.8), (1.0, 1.7, 1.1))):
        grid = centred_grid(np.zeros(3), (8, 8, 8), np.array(spacing[::-1]))
        write_labels(LabelMap(np.zeros((8, 8, 8), np.uint8), grid), tmp_path / f"{n}.nrrd")
    sources = [Source(REAL, "P", tmp_path / f"{n}.nrrd", tmp_path / "l") for n in range(2)]
    frame = frame_of(sources, box_mm=(96, 170, 110))
    assert frame.spacing_mm == (3.0, 1.7, 1.1) and frame.shape == (32, 100, 100)
    assert frame_of([], (2.0, 1.0, 1.0), (20, 20, 20)).shape == (10, 20, 20)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"readers": ()}, "code of their own"),
        ({"readers": ("R1", "R1")}, "code of their own"),
        ({"readers": ("all",)}, "stands for all readers"),
        ({"per_session": 1}, "at least two"),
        ({"spacing_mm": (0.0, 1.0, 1.0)}, "cannot be of this size"),
        ({"box_mm": (9000.0, 1.0, 1.0)}, "cannot be of this size"),
    ],
)
def test_impossible_studies_are_refused_before_anything_is_written(tmp_path, settings, said):
    with pytest.raises(StudyError, match=said):
        make_study([], tmp_path / "s", tmp_path / "k.json", MakeSettings(**settings))
    assert not list(tmp_path.iterdir())


def test_a_study_that_cannot_be_finished_leaves_nothing(world, tmp_path):
    table = world.write_scans(tmp_path / "scans", {REAL: 1, "mewm": 1})
    path = next((tmp_path / "scans").glob("mewm*.seg.nrrd"))
    labels = LabelMap(np.zeros((24, 72, 72), np.uint8), world.scan(2)[0].geometry)
    labels.array[10:14, 30:40, 30:40] = 1
    write_labels(labels, path)
    with pytest.raises(InputError):
        make_study(from_table(table), tmp_path / "study", tmp_path / "key.json", MakeSettings(box_mm=world.BOX_MM))
    assert {one.name for one in tmp_path.iterdir()} == {"scans"}


def test_the_seed_alone_gives_no_key(world, tmp_path):
    """Who knows seed and program, but not the files, cannot draw again what was drawn."""
    table = world.write_scans(tmp_path / "scans", {REAL: 8, "mewm": 8})
    sources = from_table(table)
    first = secret_of(sources, 0)
    assert secret_of(sources[::-1], 0) == first != secret_of(sources, 1)
    labels = sources[3].labels.read_bytes()
    sources[3].labels.write_bytes(labels[:-1] + bytes([labels[-1] ^ 1]))
    assert secret_of(sources, 0) != first
    # a folder of DICOM counts by what is in it
    folder = tmp_path / "dicom" / "deep"
    folder.mkdir(parents=True)
    (folder / "1").write_bytes(b"a")
    one = [replace(sources[0], ct=tmp_path / "dicom")]
    before = secret_of(one, 0)
    (folder / "1").write_bytes(b"b")
    assert secret_of(one, 0) != before


@pytest.mark.real_data
def test_real_pairs_make_a_study_of_after_and_before(shared_data, tmp_path):
    """Scans after treatment as real ones, those from before as a method that simulates nothing: `copy_pre`."""
    folder = shared_data / "hcc_tace_real"
    rows = ["method,patient,ct,labels"]
    for method, time in ((REAL, "post"), ("copy_pre", "pre")):
        for patient in ("004", "007"):
            files = [folder / f"HCC_{patient}_{time}_portal{kind}_1p5mm.nii.gz" for kind in ("", "_labels_APPROX")]
            if not all(path.is_file() for path in files):
                pytest.skip(f"no real pair of HCC_{patient}")
            rows.append(",".join([method, patient, *map(str, files)]))
    (tmp_path / "scans.csv").write_text("\n".join(rows))
    settings = MakeSettings(readers=("R1",), box_mm=(60.0, 90.0, 90.0))
    made = make_study(from_table(tmp_path / "scans.csv"), tmp_path / "study", tmp_path / "key.json", settings)
    assert made.study.spacing_mm == (2.5, 1.5, 1.5) and any("2 patients" in note for note in made.key.notes)
    cases = {n: read_case(tmp_path / "study", made.study, n).array for n in made.study.cases}
    assert all(one.shape == (24, 60, 60) and one.min() >= -200 for one in cases.values())
    # Lipiodol lies in the lesions after, not before
    lipiodol = {n: float((one[4:-4, 14:-14, 14:-14] >= 300).mean()) for n, one in cases.items()}
    assert min(lipiodol[n] for n in made.key.names("copy_pre", REAL)) > max(
        lipiodol[n] for n in made.key.names("copy_pre", SIMULATED)
    )
    page = (tmp_path / "study" / "session_1.html").read_text(encoding="utf-8")
    # with signs that base64 does not have
    assert "HCC_" not in page and ".nii" not in page and str(folder) not in page


def test_the_key_stays_out_of_the_folder_and_is_its_owners_alone(made, tmp_path):
    with pytest.raises(StudyError, match="The key would lie in the folder"):
        make_study([], tmp_path / "s", tmp_path / "s" / "deep" / "k.json", MakeSettings())
    with pytest.raises(StudyError, match="holds something already"):
        make_study([], made.folder, tmp_path / "k.json", MakeSettings())
    if os.name == "posix":
        assert made.key.stat().st_mode & 0o077 == 0
    assert read_key(made.key, made.made.study) == made.made.key


def test_a_table_of_scans_is_checked(tmp_path):
    (tmp_path / "a.nrrd").touch()
    head = "method,patient,ct,labels\n"
    for row, said in (("real,P1,a.nrrd,\n", "needs its labels"), ("real,P1,a.nrrd,b.nrrd\n", "is not there")):
        (tmp_path / "scans.csv").write_text(head + row)
        with pytest.raises(StudyError, match=said) as refused:
            from_table(tmp_path / "scans.csv")
        assert "line 2" in str(refused.value)
    (tmp_path / "scans.csv").write_text("method,ct\nreal,a\n")
    with pytest.raises(StudyError, match="lacks columns"):
        from_table(tmp_path / "scans.csv")
    for words in (["x"], ["real=."], ["a=.", "a=."]):
        with pytest.raises(StudyError, match="NAME=DIR"):
            named_folders(words)
    with pytest.raises(StudyError, match="not there"):
        named_folders([f"a={tmp_path}/none"])


def answers_file(made, tmp_path, change=lambda plain: None, name="a.json"):
    study = made.made.study
    answers = StudyAnswers(study.id, 1, "R1", source="page")
    for case in study.order("R1", 1)[:3]:
        answers = answers.with_answer(StudyAnswer(case, REAL, 2, 1.5))
    write_answers(answers, tmp_path / name)
    plain = json.loads((tmp_path / name).read_text())
    change(plain)
    (tmp_path / name).write_text(json.dumps(plain))
    return tmp_path / name


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda p: p.update(study="other"), "another study"),
        (lambda p: p.update(reader="R9"), "no such reader"),
        (lambda p: p.update(session=2), "no such session"),
        (lambda p: p.update(format="x/1"), "another format"),
        (lambda p: p["answers"][0].update(case="999"), "not in it"),
        (lambda p: p["answers"].append(p["answers"][0]), "answered twice"),
        (lambda p: p["answers"][0].update(answer="maybe"), "real or simulated"),
        (lambda p: p["answers"][0].update(confidence=6), "1 to 5"),
        (lambda p: p["answers"][0].update(seconds=-1), "negative"),
        (lambda p: p["answers"][0].update(answer=SIMULATED), "not those of the clicks"),
        (lambda p: p["answers"].pop(), "not those of the clicks"),
        (lambda p: p.update(events=[]), "not those of the clicks"),
        (lambda p: p.pop("reader"), "lacks a field"),
    ],
)
def test_answers_that_do_not_belong_or_were_changed_are_refused(made, tmp_path, change, said):
    path = answers_file(made, tmp_path)
    assert len(read_answers(path, made.made.study)[0].answers) == 3
    with pytest.raises(InputError, match=said):
        read_answers(answers_file(made, tmp_path, change), made.made.study)


def test_a_table_of_answers_and_files_that_contradict_each_other(made, tmp_path):
    study = made.made.study
    head = "study,session,reader,case,answer,confidence,seconds,at\n"
    row = f"{study.id},1,R1,{study.cases[0]},real,4,2.5,\n"
    (tmp_path / "a.csv").write_text(head + row)
    (one,) = read_answers(tmp_path / "a.csv", study)
    assert one.answers == (StudyAnswer(study.cases[0], REAL, 4, 2.5),) and one.source == "table"
    for bad in (row.replace(",4,", ",,"), row.replace(",4,", ",2.5,")):
        (tmp_path / "b.csv").write_text(head + bad)
        with pytest.raises(StudyError, match="needs a confidence"):
            read_answers(tmp_path / "b.csv", study)
    other = replace(one, answers=(StudyAnswer(study.cases[0], SIMULATED, 4, 2.5),))
    assert joined([one, one])["R1"].keys() == {study.cases[0]}
    with pytest.raises(StudyError, match="answer one case differently"):
        joined([one, other])
    with pytest.raises(InputError, match="No case was answered"):
        joined([replace(one, answers=())])
    with pytest.raises(StudyError, match="answered before"):
        one.with_answer(one.answers[0])
    scores = score_study(made.folder, made.key, [tmp_path / "a.csv"])
    assert any("1 of 12 cases" in note for note in scores.notes) and any("as a table" in note for note in scores.notes)
    assert scores.comparison is None and scores.agreement is None
    write_scores(scores, tmp_path / "scores")


def test_a_study_that_was_changed_is_refused(made, tmp_path):
    plain = json.loads((made.folder / "study.json").read_text())
    changes = [
        (lambda p: p.update(format="x"), "another format"),
        (lambda p: p.update(readers=["R1"]), "order of the cases for each reader"),
        (lambda p: p["orders"]["R1"][0].pop(), "does not hold the cases"),
        (lambda p: p["sessions"][0].append(p["sessions"][0][0]), "each of them once"),
        (lambda p: p["images_sha256"].popitem(), "an image for each case"),
        (lambda p: p.update(id="../../x"), "letters, digits"),
        (lambda p: p["readers"].append("../R"), "letters, digits"),
    ]
    for change, said in changes:
        copy = json.loads(json.dumps(plain))
        change(copy)
        (tmp_path / "study.json").write_text(json.dumps(copy))
        with pytest.raises(StudyError, match=said):
            read_study(tmp_path)
    (tmp_path / "study.json").write_text(json.dumps(plain))
    study = read_study(tmp_path)
    with pytest.raises(StudyError, match="missing"):
        read_case(tmp_path, study, study.cases[0])
    path = case_file(tmp_path, study.cases[0])
    path.parent.mkdir()
    path.write_bytes(case_file(made.folder, study.cases[1]).read_bytes())
    with pytest.raises(StudyError, match="not as it was written"):
        read_case(tmp_path, study, study.cases[0])
    for text, said in (("{}", "no 'format'"), ('{"format": "x"}', "another format")):
        (tmp_path / "key.json").write_text(text)
        with pytest.raises(StudyError, match=said):
            read_key(tmp_path / "key.json", study)
    other = json.loads(made.key.read_text())
    (tmp_path / "key.json").write_text(json.dumps(other | {"study": "other"}))
    with pytest.raises(StudyError, match="another study"):
        read_key(tmp_path / "key.json", study)
    other["cases"][study.cases[0]] = {**other["cases"][study.cases[0]], "methods": []}
    (tmp_path / "key.json").write_text(json.dumps(other))
    with pytest.raises(StudyError, match="neither a scan nor simulated"):
        read_key(tmp_path / "key.json", study)


def test_the_commands_make_and_score(made, world, tmp_path, capsys):
    out = tmp_path / "study"
    words = [
        "--scans",
        str(made.table),
        "--out",
        str(out),
        "--size",
        "2",
        "--readers",
        "1",
        "--box",
        "30",
        "--seed",
        "4",
    ]
    assert main(["make", *words]) == 0
    said = capsys.readouterr().out
    assert "Cases: 4, sessions: 1, readers: 1" in said and "the noise in the lesion" in said
    study, key = read_study(out), read_key(tmp_path / "study_key.json", read_study(out))
    path = world.answer_all(study, "R1", tmp_path / "a.json", lambda case: (key.is_real(case), 3))
    assert main(["score", str(out), str(path)]) == 0
    said = capsys.readouterr().out
    assert "mewm, R1: sensitivity 100.0 % (16 to 100)" in said
    assert (tmp_path / "study_scores" / "scores.html").is_file()
    assert main(["score", str(out), str(path), "--key", str(made.key)]) == 2
    assert main(["make", *words]) == 2 and main(["make", *words, "--box", "1", "2"]) == 2
    assert mewm(["study", "score", str(out), str(tmp_path / "none.json")]) == 2


def test_cohorts_and_their_simulated_patients_serve_as_sources(tmp_path, world):
    from MeWMLib.cohorts.layout import Cohort, CohortCase, PatientRow, write_manifest, write_patient, write_table
    from MeWMLib.jobs.job import Job
    from MeWMLib.lab.cohort_plans.engines import Answer
    from MeWMLib.lab.reader_study.simulate import jobs_of, simulate_cohort
    from MeWMLib.lab.reader_study.sources import from_cohort, from_plans

    rows = [
        PatientRow("P1", "Epirubicin + Lipiodol", 10.0, True, interval_days=42.0, has_after=True),
        PatientRow("P2", "", 10.0, True, has_after=False),
    ]
    ct, labels = world.scan(3)
    write_patient(tmp_path, rows[0], CohortCase(ct, labels, ct, labels))
    write_patient(tmp_path, rows[1], CohortCase(ct, labels, None, None))
    write_table(tmp_path, rows)
    write_manifest(tmp_path, {"complete": True, "synthetic": False})
    (found,) = from_cohort(tmp_path)
    assert found.patient == "P1" and found.method == REAL and from_plans(tmp_path, "x")[0].method == "x"
    cohort = Cohort.read(tmp_path)
    jobs, left_out = jobs_of(cohort, tmp_path / "out", "", Job("simulate", seed=4))
    ((name, job),) = jobs
    assert name == "P1" and job.inputs["protocol"] == "Epirubicin + Lipiodol" and job.settings == {"weeks": 6.0}
    assert job.seed == 4 and "not known what was given" in left_out["P2"]
    assert len(jobs_of(cohort, tmp_path / "out", "Lipiodol", Job("simulate"))[0]) == 2

    class Failing:
        def run(self, jobs, on_event, cancelled):
            for one, _ in jobs:
                yield Answer(one, error=UnreadableFileError(what="It is broken"))

    with pytest.raises(StudyError, match="Nobody of the cohort was simulated") as refused:
        simulate_cohort(tmp_path, tmp_path / "out", engine=Failing())
    assert "It is broken" in str(refused.value)
    with pytest.raises(StudyError, match="no plan with a simulated volume"):
        from_plans(tmp_path / "P1", "x")
    # who was simulated before is not simulated again
    (tmp_path / "out" / "P1").mkdir(parents=True)
    (tmp_path / "out" / "P1" / "plan.json").touch()
    found = simulate_cohort(tmp_path, tmp_path / "out", engine=Failing())
    assert found.done == ("P1",) and set(found.left_out) == {"P2"}


@pytest.fixture(scope="module")
def plans(tmp_path_factory):
    """Two finished plans of the scene's tests."""
    spec = importlib.util.spec_from_file_location(
        "mewm_plan_folders_for_studies", Path(__file__).parents[2] / "scene" / "plan_folders.py"
    )
    folders = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = folders
    spec.loader.exec_module(folders)
    root = tmp_path_factory.mktemp("plans")
    for name in ("P1", "P2"):
        folders.write_plan_folder(root / name, *folders.small_patient(folders.AXIAL))
    return root


def test_plans_serve_as_simulated_scans_and_in_forms(plans, world, tmp_path):
    from MeWMLib.lab.reader_study.forms import read_forms, write_forms
    from MeWMLib.lab.reader_study.sources import from_plans

    sources = from_plans(plans, "mewm")
    assert [one.patient for one in sources] == ["P1", "P2"] and from_plans(plans / "P1", "mewm")[0].ct == sources[0].ct
    real = from_table(world.write_scans(tmp_path / "scans", {REAL: 2}))
    made = make_study([*real, *sources], tmp_path / "s", tmp_path / "k.json", MakeSettings(box_mm=world.BOX_MM))
    assert [made.key.cases[n].truth for n in sorted(made.key.cases)].count(SIMULATED) == 2
    written = write_forms(plans, tmp_path / "forms", ("R1", "R2"), 0)
    assert {path.name for path in written} == {f"{p}_{r}.csv" for p in ("with", "without") for r in ("R1", "R2")}
    best = PlanFolder(plans / "P1").read("plan").plan.best.protocol.text
    text = (tmp_path / "forms" / "with_R1.csv").read_text()
    assert best in text and best not in (tmp_path / "forms" / "without_R1.csv").read_text()
    assert {row["patient"] for row in read_forms(tmp_path / "forms")} == {"P1", "P2"}
    with pytest.raises(StudyError, match="there already"):
        write_forms(plans, tmp_path / "forms", ("R1",), 0)
    with pytest.raises(StudyError, match="nothing to choose for"):
        write_forms(tmp_path, tmp_path / "forms", ("R1",), 0)
