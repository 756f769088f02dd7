"""Baselines that are MeWM's own network, trained in another way."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from MeWMLib.lab.evaluation.baselines import ACTIONLESS
from MeWMLib.lab.training.dynamics_settings import DynamicsTraining, read_settings


@pytest.mark.parametrize(("row", "told"), [("difftumor", {"action_blind": True}), ("textomorph", {"reports": True})])
def test_the_settings_of_a_baseline_leave_out_all_that_knows_an_action(repository: Path, row: str, told: dict) -> None:
    path = repository / "Resources" / "Configs" / f"{row}.json"
    off = {"text": False, "attenuation": False, "contrastive_weight": 0.0, "response": False, "fate": False}
    assert json.loads(path.read_text(encoding="utf-8")) == {**told, **off, "response_weight": 0.0}
    assert read_settings(path) == replace(DynamicsTraining(), **told, **off, response_weight=0.0)


def test_which_rows_are_simulated_without_their_action() -> None:
    assert set(ACTIONLESS) == {"difftumor", "action_blind"}
