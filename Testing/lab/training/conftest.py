"""A planted cohort for the tests of training: small arrays in the form of `mewm train cohort`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from MeWMLib.dynamics.actions import known_agents
from MeWMLib.dynamics.appearance import features

#: Settings of a network that trains in milliseconds.
SMALL = {"widths": (8, 8), "condition": 16, "batch": 4, "pairs": 2}


def write_planted(folder: Path, train: int = 12, validation: int = 6) -> Path:
    """The latent inside the tumour goes up with one agent and down with another; the response says so."""
    agents = len(known_agents())
    rng = np.random.default_rng(0)
    actions = np.zeros((2, agents, 3), np.float32)
    actions[0, 0, 0] = actions[1, 1, 0] = 1
    for split, count in (("train", train), ("validation", validation)):
        (folder / split).mkdir(parents=True)
        for n in range(count):
            before = rng.normal(size=(4, 16, 16, 16)).astype(np.float16)
            masks = np.zeros((2, 16, 16, 16), np.float16)
            masks[0, 5:11, 5:11, 5:11] = 1
            changes = np.stack([masks[0] * s + 0 * before for s in (1.0, -1.0)]).astype(np.float16)
            answers = np.array([[0.9, -0.5, 0.3, -2.0], [0.2, 0.1, 0.0, 0.0]], np.float32)
            dimmed = np.stack([-0.1 * level * masks[0] + 0 * before for level in (1, 2, 3, 4)]).astype(np.float16)
            np.savez(
                folder / split / f"{n}.npz",
                before=before,
                changes=changes,
                attenuated=dimmed,
                masks=masks,
                actions=actions,
                levels=np.array([4, 1]),
                responses=answers,
                appearance=rng.normal(size=features(4)).astype(np.float32),
                noted_actions=np.tile(actions, (12, 1, 1)),
                noted_responses=np.tile(answers, (12, 1)),
                spacing=1.0,
            )
    return folder


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """Folder of the planted cohort."""
    return write_planted(tmp_path / "cohort")
