"""A cohort of real patients in the evaluations: whose side is measured, and who is refused."""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import pytest

from MeWMLib.cohorts.identity import patient_mark
from MeWMLib.cohorts.layout import Cohort
from MeWMLib.cohorts.splits import FILE, Splits
from MeWMLib.core.bundle import write_training
from MeWMLib.core.bundles import Bundle
from MeWMLib.core.errors import CohortError, UnreadableFileError
from MeWMLib.core.trained_on import Training
from MeWMLib.lab.evaluation.__main__ import _parser, main
from MeWMLib.lab.evaluation.cohort_pairs import asked_ids, listed_pairs, pairs_of
from MeWMLib.lab.evaluation.known_patients import chosen_patients
from MeWMLib.lab.synthetic.cases import SPLITS
from MeWMLib.lab.synthetic.write import patient_id
from Testing.lab.training.own.eight import WITHOUT_AFTER, write_cohort

SIDES = Splits(train=("p1", "p2", "p6"), validation=("p3", "p5", "p8"), test=("p4", "p7"))


@pytest.fixture(scope="module")
def eight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_cohort(tmp_path_factory.mktemp("evaluated") / "cohort")
    SIDES.write(folder / FILE)
    return folder


def knowing(bundle: Bundle, folder: Path, *patients: str) -> str:
    """A bundle that was trained on some patients."""
    shutil.copytree(bundle.path, folder)
    write_training(folder, Training(patient_marks=tuple(sorted(map(patient_mark, patients)))))
    return str(folder)


def test_the_side_that_is_asked_for_is_measured(eight: Path, tiny_map_bundle: Bundle, tmp_path: Path) -> None:
    cohort, bundle = Cohort.read(eight), str(tiny_map_bundle.path)
    assert asked_ids(cohort, bundle) == ["p4", "p7"] == asked_ids(cohort, bundle, "test")
    assert asked_ids(cohort, bundle, "validation") == ["p3", "p5", "p8"]
    assert len(asked_ids(cohort, bundle, "all")) == 8
    with pytest.raises(CohortError, match="side judging"):
        asked_ids(cohort, bundle, "judging")
    with pytest.raises((CohortError, UnreadableFileError)):
        asked_ids(cohort, bundle, "test", tmp_path / "nothing.json")


def test_a_bundle_that_knows_them_is_refused(eight: Path, tiny_map_bundle: Bundle, tmp_path: Path) -> None:
    cohort = Cohort.read(eight)
    known = knowing(tiny_map_bundle, tmp_path / "b", "p1", "p7")
    with pytest.raises(CohortError, match="(?s)test side.*p7"):
        asked_ids(cohort, known)
    assert asked_ids(cohort, knowing(tiny_map_bundle, tmp_path / "c", "p1")) == ["p4", "p7"]
    # without splits everybody is measured, and nobody may be known
    plain = tmp_path / "plain"
    shutil.copytree(eight, plain)
    (plain / FILE).unlink()
    with pytest.raises(CohortError, match="p1"):
        asked_ids(Cohort.read(plain), known)
    assert len(asked_ids(Cohort.read(plain), str(tiny_map_bundle.path))) == 8


def test_synthetic_patients_that_were_trained_on_as_a_cohort_are_refused(
    tiny_map_bundle: Bundle, tmp_path: Path
) -> None:
    seeds = SPLITS["test"]
    known = knowing(tiny_map_bundle, tmp_path / "b", patient_id(seeds[1]))
    args = argparse.Namespace(cohort=None, bundle=known, patients=1, split="test")
    assert chosen_patients(args)[0] == (seeds[0],)
    args.patients = 2
    with pytest.raises(CohortError, match=f"(?s)test split.*{patient_id(seeds[1])}"):
        chosen_patients(args)
    args.bundle = str(tiny_map_bundle.path)
    assert len(chosen_patients(args)[0]) == 2


def test_pairs_of_a_cohort_are_those_of_a_list(eight: Path, tiny_map_bundle: Bundle, tmp_path: Path) -> None:
    words = ["real-pairs", "--cohort", str(eight), "--bundle", str(tiny_map_bundle.path), "--out", str(tmp_path)]
    found = listed_pairs(_parser().parse_args([*words, "--side", "validation"]))
    assert [pair.patient for pair in found] == ["p3", "p5", "p8"]
    assert found[0].registered and found[0].weeks == 4.0 and found[0].labels_after is not None
    assert found[2].labels_after is None and found[0].protocol.agents[0] == "Epirubicin"
    assert [pair.patient for pair in listed_pairs(_parser().parse_args(words))] == ["p4"]  # p7 has no protocol
    with pytest.raises(CohortError, match="(?s)no pair.*p6"):
        pairs_of(Cohort.read(eight), [f"p{WITHOUT_AFTER}"])


@pytest.mark.parametrize("more", [[], ["--pairs", "x.csv", "--cohort", "{eight}"]], ids=["neither", "both"])
def test_pairs_come_from_one_place(
    eight: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str]
) -> None:
    words = [word.format(eight=eight) for word in more]
    assert main(["look", "--out", str(tmp_path), *words]) == 2
    assert "a list or from a cohort" in capsys.readouterr().err


def test_survival_of_real_patients_is_measured(
    eight: Path, tiny_map_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["survival", "--cohort", str(eight), "--bundle", str(tiny_map_bundle.path), "--side", "validation"]
    assert main([*words, "--out", str(tmp_path / "out")]) == 0
    told = json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))
    assert set(told["rows"]) == {"mewm", "tumour_before"}  # p8 has no labels after treatment
    assert told["rows"]["mewm"]["c_index"]["n"] == 3 and "1 without an outlined scan" in told["cohort"]
    # larger tumours die first in this cohort, by its making
    assert told["rows"]["tumour_before"]["c_index"]["mean"] == 1.0
    with pytest.raises(SystemExit):
        _parser().parse_args([*words, "--side", "nobody"])
    Splits(train=("p1",), test=("p4",)).write(tmp_path / "one.json")
    few = ["--splits", str(tmp_path / "one.json"), "--out", str(tmp_path / "few")]
    assert main([*words[:-1], "test", *few]) == 2
    assert "Too few patients" in capsys.readouterr().err
