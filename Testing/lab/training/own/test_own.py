"""A cohort on disk trains each of the four parts: weights change, a stopped run goes on, the test side stays shut."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from MeWMLib.cohorts.dicom_import import ImportSettings, import_cohort
from MeWMLib.cohorts.identity import patient_mark
from MeWMLib.cohorts.layout import Cohort
from MeWMLib.cohorts.splits import FILE, TEST, TRAIN, VALIDATION, Splits, read_splits
from MeWMLib.core.bundle import write_training
from MeWMLib.core.bundles import Bundle, find_bundle
from MeWMLib.core.errors import CohortError, InputError
from MeWMLib.core.trained_on import Training
from MeWMLib.lab.training import __main__ as program
from MeWMLib.lab.training.assistant import AssistantTraining
from MeWMLib.lab.training.assistant_crops import Mix
from MeWMLib.lab.training.map_settings import FineTuning, MapTraining
from MeWMLib.lab.training.own.autoencoder import train_autoencoder
from MeWMLib.lab.training.own.cohort import Own
from MeWMLib.lab.training.own.dynamics import train_dynamics
from MeWMLib.lab.training.own.segmenter import train_segmenter
from MeWMLib.lab.training.own.survival import train_survival
from MeWMLib.lab.training.survival import TrainSurvivalConfig
from MeWMLib.survival.config import SurvivalConfig
from Testing.lab.training.own.eight import COUNT, write_cohort, write_dicom
from Testing.lab.training.test_distributed import torchrun

SIDES = Splits(train=("p1", "p2", "p4", "p5", "p6"), validation=("p3", "p8"), test=("p7",))
SEEN = {*SIDES.train, *SIDES.validation}


class Stopped(Exception):
    """Ends a run in its middle."""


@pytest.fixture(scope="session")
def eight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight patients; whoever opens a scan of the test side fails."""
    folder = write_cohort(tmp_path_factory.mktemp("hospital") / "cohort")
    SIDES.write(folder / FILE)
    for path in (folder / "p7").iterdir():
        path.write_bytes(b"not opened")
    return folder


def opened(eight: Path, part: str, work: Path, bundle: Path, start: Bundle | None) -> Own:
    return Own.open(eight, part, work, bundle, None if start is None else str(start.path))


def tensors(bundle: Path | Bundle, part: str) -> dict[str, np.ndarray]:
    found = bundle if isinstance(bundle, Bundle) else find_bundle(bundle.resolve(), require=())
    return {name: np.asarray(value) for name, value in found.part(part)[1].items()}


def same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


def stop_at(count: int) -> Callable[[str, float], None]:
    """Progress that ends the run when it has been told of so many steps of training."""
    seen = 0

    def tell(stage: str, share: float) -> None:
        nonlocal seen
        seen += "step" in stage or stage == "survival"
        if seen == count:
            raise Stopped

    return tell


def kept_from(there: Path, here: Path) -> None:
    """What one run measured of the patients, for the next: runs of different folders measure the same."""
    if there.exists() and not here.exists():
        here.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(there, here)


Run = Callable[[Path, Path, "Bundle | None", Any], dict[str, Any]]


def check(part: str, stored: str, eight: Path, start: Bundle | None, tmp_path: Path, run: Run, after: int) -> dict:
    """Run whole, and stopped and resumed: the same weights, which are not those of the start; returns the figures."""
    figures = run(tmp_path / "whole-work", tmp_path / "whole", start, None)
    with pytest.raises(Stopped):
        run(tmp_path / "work", tmp_path / "bundle", start, stop_at(after))
    assert not (tmp_path / "bundle" / "manifest.json").exists() or stored not in tensors_parts(tmp_path / "bundle")
    run(tmp_path / "work", tmp_path / "bundle", start, None)
    found = tensors(tmp_path / "bundle", stored)
    assert same(found, tensors(tmp_path / "whole", stored))
    if start is not None:
        former = tensors(start, stored)
        changed = [name for name in former if not np.array_equal(former[name], found.get(name, former[name]))]
        assert changed, "no weight changed"
        # what was not trained is that of the start
        others = [name for name in start.manifest.parts if name != stored]
        assert all(same(tensors(start, name), tensors(tmp_path / "bundle", name)) for name in others)
    note = json.loads((tmp_path / "work" / f"{part}_run.json").read_text(encoding="utf-8"))
    assert note["left_out"] == {} and note["test"] == ["p7"] and "p7" not in note["trained"] + note["validation"]
    training = find_bundle((tmp_path / "bundle").resolve(), require=()).manifest.training
    assert training is not None
    marks = {patient_mark(name): name for name in (f"p{n}" for n in range(1, COUNT + 1))}
    assert {marks[mark] for mark in training.patient_marks} == {*note["trained"], *note["validation"]} <= SEEN
    return figures


def tensors_parts(bundle: Path) -> set[str]:
    return set(find_bundle(bundle.resolve(), require=()).manifest.parts)


def test_autoencoder(eight: Path, tiny_map_bundle: Bundle, tmp_path: Path) -> None:
    def run(work: Path, bundle: Path, start: Bundle | None, tell: Any) -> dict[str, Any]:
        stop = None if tell is None else _after_two
        return train_autoencoder(opened(eight, "autoencoder", work, bundle, start), bundle, work, tell=stop)

    figures = check("autoencoder", "autoencoder", eight, tiny_map_bundle, tmp_path, run, 2)
    assert figures["patients"] == 5 and figures["tumour_psnr_db"] > figures["start_psnr_db"]
    run(tmp_path / "new-work", tmp_path / "new", None, None)
    assert tensors(tmp_path / "new", "autoencoder")["basis"].shape == (16, 64)
    assert tensors_parts(tmp_path / "new") == {"autoencoder"}


def _after_two(stage: str, share: float) -> None:
    if stage == "train patients" and share > 0.3:
        raise Stopped


def test_dynamics(eight: Path, tiny_map_bundle: Bundle, maps_cohort: Path, tmp_path: Path) -> None:
    tiny = FineTuning(rows=2, drawn_rows=2, every=1, steps=4)

    def run(work: Path, bundle: Path, start: Bundle | None, tell: Any) -> dict[str, Any]:
        kept_from(tmp_path / "pairs", work / "pairs")
        own = opened(eight, "dynamics", work, bundle, start)
        try:
            return train_dynamics(own, bundle, work, tiny, maps_cohort, first=TINY_FIRST, tell=tell)
        finally:
            kept_from(work / "pairs", tmp_path / "pairs")

    figures = check("dynamics", "dynamics", eight, tiny_map_bundle, tmp_path, run, 3)
    assert figures["trained"] == ["p1", "p2", "p4", "p5"] and figures["held_out"] == ["p3", "p8"]
    assert find_bundle((tmp_path / "bundle").resolve(), require=()).manifest.training.real_pairs == 4
    told = run(tmp_path / "new-work", tmp_path / "new", None, None)
    assert told["steps"] == 4 and tensors_parts(tmp_path / "new") >= {"dynamics"}


TINY_FIRST = MapTraining(widths=(8,), condition=16, rows=2, sessions=1, head_steps=3, steps=2)


def test_segmenter(eight: Path, tiny_map_bundle: Bundle, tmp_path: Path) -> None:
    tiny = AssistantTraining(steps=3, mix=Mix(batch=1, coarse=1, sides=(32,)), save=1, half=False, validation=1)

    def run(work: Path, bundle: Path, start: Bundle | None, tell: Any) -> dict[str, Any]:
        kept_from(tmp_path / "data", work / "data")
        own = opened(eight, "segmenter", work, bundle, start)
        try:
            return train_segmenter(own, bundle, work, tiny, tell=tell)
        finally:
            kept_from(work / "data", tmp_path / "data")

    figures = check("segmenter", "assistant", eight, tiny_map_bundle, tmp_path, run, 2)
    assert figures["steps"] == 3
    named = [f"{whose}dice_{kind}_before" for whose in ("", "start_") for kind in ("abdomen", "patch")]
    assert any(name in figures for name in named) and np.isfinite(list(figures.values())).all()
    # the network that finds the liver is not begun anew where the start has none
    assert tensors(tmp_path / "bundle", "assistant").keys() == tensors(tiny_map_bundle, "assistant").keys()
    names = {path.name.split("-")[0] for path in (tmp_path / "work" / "data").iterdir()}
    assert names == {"train", "validation"}


def test_survival(eight: Path, tiny_map_bundle: Bundle, tmp_path: Path) -> None:
    tiny = TrainSurvivalConfig(
        network=SurvivalConfig(covariates=("log1p_viable_ml_after",), images=False), steps=4, patients=4,
        checkpoint_every=1, members=2,
    )  # fmt: skip

    def run(work: Path, bundle: Path, start: Bundle | None, tell: Any) -> dict[str, Any]:
        return train_survival(opened(eight, "survival", work, bundle, start), bundle, work, tiny, tell)

    figures = check("survival", "survival", eight, tiny_map_bundle, tmp_path, run, 3)
    assert figures["patients_train"] == 5 and figures["c_index"]["n"] == 2 and "start_c_index" in figures
    assert figures["without_scan_after"] == 2  # p6 has none, p8 no labels on it
    run(tmp_path / "new-work", tmp_path / "new", None, None)
    assert tensors_parts(tmp_path / "new") == {"survival"}


def test_patients_of_a_pacs_train_too(tiny_map_bundle: Bundle, tmp_path: Path) -> None:
    hospital = write_dicom(tmp_path / "hospital", count=3, move=(3, -4, 2))
    (tmp_path / "key").write_bytes(b"key of opaque ids")
    settings = ImportSettings("folder", "native", clinical=hospital / "patients.csv", key_file=tmp_path / "key")
    cohort = import_cohort(hospital / "export", tmp_path / "ours", settings)
    assert [row.weeks for row in cohort.rows] == [5.71] * 3 and not any(row.registered for row in cohort.rows)
    ids = [row.id for row in cohort.rows]
    Splits(train=(ids[0],), validation=(ids[1],), test=(ids[2],)).write(cohort.folder / FILE)
    for path in (cohort.folder / ids[2]).glob("*.nrrd"):
        path.unlink()
    work, bundle = tmp_path / "work", tmp_path / "bundle"
    figures = train_autoencoder(opened(cohort.folder, "autoencoder", work, bundle, tiny_map_bundle), bundle, work)
    assert figures["patients"] == 1 and figures["tumour_psnr_db"] > figures["start_psnr_db"]


def test_a_test_on_patients_the_bundle_knows_is_refused(eight: Path, tiny_map_bundle: Bundle, tmp_path: Path) -> None:
    start = tmp_path / "start"
    shutil.copytree(tiny_map_bundle.path, start)
    write_training(start, Training(patient_marks=(patient_mark("P-7"),)))
    with pytest.raises(CohortError, match="(?s)test side.*p7"):
        Own.open(eight, "segmenter", tmp_path / "w", tmp_path / "b", str(start))
    # the bundle that is written to counts too, and so does a bundle that replaces itself
    with pytest.raises(CohortError, match="(?s)test side.*p7"):
        Own.open(eight, "segmenter", tmp_path / "w", start, str(tiny_map_bundle.path))
    with pytest.raises(InputError, match="replace the one"):
        Own.open(eight, "segmenter", tmp_path / "w", tiny_map_bundle.path, str(tiny_map_bundle.path))


def test_nobody_to_train_on_is_said_with_what_is_lacking(
    eight: Path, tiny_map_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    splits = tmp_path / "other.json"
    Splits(train=("p6", "p7"), validation=("p1",), test=("p2", "p3", "p4", "p5", "p8")).write(splits)
    words = ["dynamics", "--cohort", eight, "--bundle", tmp_path / "b", "--work", tmp_path / "w", "--splits", splits]
    assert program.main([*map(str, words), "--start", str(tiny_map_bundle.path)]) == 2
    told = capsys.readouterr().err
    assert "No patient of the training side serves the dynamics" in told
    assert "1 of 8 have no scan after treatment: it serves" in told and "not the dynamics" in told
    assert not (tmp_path / "b").exists()


def test_two_processes_train_one_bundle(repository: Path, eight: Path, tiny_map_bundle: Bundle, tmp_path: Path) -> None:
    words = ["survival", "--cohort", eight, "--bundle", tmp_path / "b", "--work", tmp_path / "w", "--steps", 2]
    # after "--", or torchrun takes --start for an abbreviation of its own --start-method
    program = ("-m", "--", "MeWMLib.lab.training", "--threads", 1)
    done = torchrun(repository, *program, *words, "--start", tiny_map_bundle.path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout)["patients_train"] == 5  # one of them speaks
    assert not same(tensors(tmp_path / "b", "survival"), tensors(tiny_map_bundle, "survival"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("segmenter", "--data", "x", "--from-nothing"), "--from-nothing"),
        (("segmenter",), "neither --data nor --cohort"),
        (("dynamics", "--cohort", "{eight}", "--pairs", "x"), "--pairs"),
        (("dynamics", "--cohort", "{eight}", "--model", "latent"), "latent"),
        (("survival", "--cohort", "{eight}", "--start", "x", "--from-nothing"), "told twice"),
        (("survival", "--cohort", "x", "--splits", "y"), "--splits"),
    ],
)
def test_options_of_the_other_kind_are_refused(
    eight: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    given = [word.format(eight=eight) for word in words]
    assert program.main([*given, "--bundle", str(tmp_path / "b"), "--work", str(tmp_path / "w")]) == 2
    assert said in capsys.readouterr().err and not (tmp_path / "b").exists()


def test_the_whole_command_line_trains_and_speaks(
    eight: Path, tiny_map_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["survival", "--cohort", eight, "--bundle", tmp_path / "b", "--work", tmp_path / "w", "--steps", 2]
    assert program.main(["--threads", "1", *map(str, words), "--start", str(tiny_map_bundle.path)]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["steps"] == 2 and "survival: 8 of 8 patients" in err
    assert Cohort.read(eight).row("p1").weeks == 5.0
    assert {side: len(read_splits(eight / FILE).part(side)) for side in (TRAIN, VALIDATION, TEST)} == {
        "train": 5, "validation": 2, "test": 1,
    }  # fmt: skip
