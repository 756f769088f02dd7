"""Training of the follow-up network at a size that takes seconds."""

from pathlib import Path

import numpy as np
import pytest
import torch

from MeWMLib.dynamics.autoencoder import compand, fit, to_blocks
from MeWMLib.lab.synthetic.cases import draw_case
from MeWMLib.lab.training import followup


@pytest.fixture(scope="module")
def kept() -> followup._Kept:
    case = draw_case(3)
    blocks = to_blocks(compand(torch.from_numpy(case.before.hu)[None, None])).reshape(-1, 64)
    return followup._keep(3, fit(blocks[::7], 8), 8.0)


def codec() -> object:
    case = draw_case(3)
    blocks = to_blocks(compand(torch.from_numpy(case.before.hu)[None, None])).reshape(-1, 64)
    return fit(blocks[::7], 8)


def test_an_example_is_an_outcome_and_its_tumour(kept: followup._Kept) -> None:
    hu, tumour = followup.example(kept, 1, codec(), np.random.default_rng(0))
    assert hu.shape == tumour.shape == kept.case.before.hu.shape
    assert np.array_equal(tumour, kept.case.after[1].labels == 2)


def test_a_cube_lies_in_the_patch_and_touches_the_tumour() -> None:
    tumour = np.zeros((96, 96, 96), bool)
    tumour[90:96, 0:4, 50:60] = True
    for seed in range(8):
        box = followup._cube(tumour, 64, np.random.default_rng(seed))
        assert tumour[box].shape == (64, 64, 64) and tumour[box].any()


@pytest.mark.slow
def test_it_trains_and_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(followup, "validate", lambda model, codec: {"dice_after": 0.5})
    small = followup.FollowUpTraining(steps=2, batch=1, kept=2, side=32)
    followup.train(tmp_path, small, codec())
    _, figures = followup.train(tmp_path, followup.FollowUpTraining(steps=3, batch=1, kept=2, side=32), codec())
    assert figures["steps"] == 3
