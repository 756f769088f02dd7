"""Cohorts for the tests of training: a planted one in the form of `mewm train cohort`, a small drawn one of maps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from MeWMLib.dynamics.actions import known_agents
from MeWMLib.dynamics.appearance import features
from MeWMLib.lab.training.map_batches import Arrays
from MeWMLib.lab.training.map_cohort import prepare_split

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


#: Arrays with a row for each session.
OF_SESSIONS = ("fed", "viable", "tumour_after", "change", "iodine", "weeks", "actions")


@pytest.fixture(scope="session")
def maps_cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Coarse maps of two training patients and one to validate with; nobody writes into it."""
    folder = tmp_path_factory.mktemp("maps")
    prepare_split(folder, "train", 2)
    prepare_split(folder, "validation", 1)
    return folder


@pytest.fixture
def like_real(maps_cohort: Path) -> list[Arrays]:
    """Two drawn patients as real pairs; in the second all tissue is 30 HU darker, by the contrast's timing."""
    pairs = []
    for path in sorted((maps_cohort / "train").glob("*.npz")):
        with np.load(path) as file:
            one = {k: file[k][:1] if k in OF_SESSIONS else file[k] for k in file.files}
        shape = one["change"].shape
        one |= {f"known_{n}": np.ones(shape, bool) for n in ("change", "iodine")}
        one |= {f"known_{n}": np.zeros(shape, bool) for n in ("viable", "tumour")}
        pairs.append(one | {"fed_known": np.bool_(True), "liver_change": np.float32(0)})
    pairs[1]["change"] = pairs[1]["change"] - 30 * pairs[1]["liver"][None]
    pairs[1]["liver_change"] = np.float32(-30)
    return pairs


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Networks of these sizes gain nothing from more threads, which wait for one another on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def maps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve label maps of an egg with two balls in it, 3 mm."""
    import SimpleITK as sitk

    folder = tmp_path_factory.mktemp("maps")
    z, y, x = np.meshgrid(*(np.arange(n) - n / 2 for n in (40, 44, 56)), indexing="ij")
    liver = (z / 17) ** 2 + (y / 19) ** 2 + (x / 25) ** 2 < 1
    tumour = (z**2 + (y - 5) ** 2 + (x - 8) ** 2 < 36) | ((z - 8) ** 2 + y**2 + (x + 10) ** 2 < 16)
    image = sitk.GetImageFromArray((liver.astype(np.uint8) + (liver & tumour)).astype(np.uint8))
    image.SetSpacing((3.0, 3.0, 3.0))
    for n in range(12):
        sitk.WriteImage(image, str(folder / f"case_{n:03d}.nii.gz"))
    return folder
