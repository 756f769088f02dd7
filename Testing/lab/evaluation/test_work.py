"""What the evaluations share: settings, worker processes, boxes; and what the command says of itself."""

import argparse
import operator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from MeWMLib.core.errors import DependencyError
from MeWMLib.lab.evaluation import __main__ as command
from MeWMLib.lab.evaluation.work import box_of, case_name, each_patient, settings_from


@dataclass(frozen=True)
class Settings:
    seeds: tuple[int, ...]
    steps: int = 4
    names: tuple[str, ...] = ("a",)


def test_settings_are_the_arguments_of_their_names() -> None:
    args = argparse.Namespace(steps=8, names=["b", "c"], out=Path("x"), seeds=None)
    assert settings_from(Settings, args, seeds=(1, 2)) == Settings((1, 2), 8, ("b", "c"))
    assert settings_from(Settings, argparse.Namespace(), seeds=()) == Settings(())


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_patients_are_done_in_order(workers: int) -> None:
    seen: list[tuple[str, float]] = []

    def say(stage: str, done: float) -> None:
        seen.append((stage, done))

    found = each_patient(operator.itemgetter, 1, ["ab", "cd", "ef", "gh"], workers, "letters", say)
    assert found == ["b", "d", "f", "h"] and seen == [("letters", n / 4) for n in (1, 2, 3, 4)]


def test_a_box_is_cut_at_the_borders() -> None:
    mask = np.zeros((9, 9), bool)
    mask[1:3, 5:8] = True
    assert box_of(mask, 2) == (slice(0, 5), slice(3, 9)) and mask[box_of(mask, 0)].all()
    assert box_of(np.zeros((4, 5), bool), 1) == (slice(0, 4), slice(0, 5))


def test_the_name_of_a_case_has_no_ending() -> None:
    assert case_name("/data/HCC_009.nii.gz") == case_name(Path("HCC_009.nii")) == "HCC_009"


def test_a_missing_package_of_the_lab_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError("No module named 'lifelines'", name="lifelines")

    monkeypatch.setattr(command.importlib, "import_module", missing)
    assert command.main(["survival", "--out", str(tmp_path)]) == DependencyError.exit_code
    said = capsys.readouterr().err
    assert "Given: lifelines" in said and "pip install" in said and "[lab]" in said

    def broken(name: str) -> None:
        raise ModuleNotFoundError("No module named 'MeWMLib.x'", name="MeWMLib.x")

    monkeypatch.setattr(command.importlib, "import_module", broken)
    with pytest.raises(ModuleNotFoundError):  # a mistake of ours is not a missing package
        command.main(["survival", "--out", str(tmp_path)])


def test_a_policy_needs_a_cohort_or_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["policy", "--out", str(tmp_path)]) == 2
    both = ["--cohort", str(tmp_path), "--table", str(tmp_path / "x.csv")]
    assert command.main(["policy", *both, "--out", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("one cohort or one table") == 2


def test_every_command_has_its_module() -> None:
    folder = Path(command.__file__).parent
    for one in command.COMMANDS:
        for table, maps in ((None, False), (None, True), ("dtsdhcc", False)):
            module = folder / f"{one.module(argparse.Namespace(table=table, maps=maps))}.py"
            assert "def run(args" in module.read_text(encoding="utf-8"), one.name
        assert set(one.parts) <= set(command.PARTS)
