"""Baselines that are MeWM's own network, trained in another way."""

import json
from dataclasses import fields, replace
from pathlib import Path

import pytest

from MeWMLib.lab.evaluation.baselines import ACTIONLESS, difftumor, textomorph
from MeWMLib.lab.training.dynamics_settings import DynamicsTraining, read_settings


@pytest.mark.parametrize("baseline", [difftumor, textomorph])
def test_the_file_of_a_baseline_is_its_definition(repository: Path, baseline: object) -> None:
    path = repository / "Resources" / "Configs" / f"{baseline.ROW}.json"  # type: ignore[attr-defined]
    assert json.loads(path.read_text(encoding="utf-8")) == baseline.SETTINGS  # type: ignore[attr-defined]
    assert read_settings(path) == replace(DynamicsTraining(), **baseline.SETTINGS)  # type: ignore[attr-defined]


@pytest.mark.parametrize("baseline", [difftumor, textomorph])
def test_settings_are_those_of_the_training(baseline: object) -> None:
    known = {f.name for f in fields(DynamicsTraining)}
    assert set(baseline.SETTINGS) <= known  # type: ignore[attr-defined]
    replace(DynamicsTraining(), **baseline.SETTINGS)  # type: ignore[attr-defined]


def test_which_rows_are_simulated_without_their_action() -> None:
    assert difftumor.ROW in ACTIONLESS and "action_blind" in ACTIONLESS
    assert textomorph.ROW not in ACTIONLESS and "mewm" not in ACTIONLESS
    assert not difftumor.KNOWS_ACTION and textomorph.KNOWS_ACTION
