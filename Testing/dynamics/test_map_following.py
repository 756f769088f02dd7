"""Maps hold the response that they are told, whatever the network drew."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from MeWMLib.dynamics.map_following import Told, following

SHAPE = (6, 6, 6)
FALL = 15.0


def told(necrosis: float, volume: float, fed: np.ndarray, alive: np.ndarray, oil: bool = True) -> Told:
    tumour = np.zeros(SHAPE, np.float32)
    tumour[1:5, 1:5, 1:5] = 0.9
    arrays = (torch.from_numpy(np.asarray(a, np.float32)) for a in (fed[None], tumour, alive, np.full(SHAPE, FALL)))
    return Told(torch.tensor([necrosis]), torch.tensor([volume]), *arrays, torch.tensor([oil]))


def drawn(seed: int) -> tuple[torch.Tensor, ...]:
    """Maps of a network that follows nothing."""
    rng = np.random.default_rng(seed)
    tumour = np.zeros((1, *SHAPE))
    tumour[0, :5, :5, :5] = rng.uniform(0.3, 1, (5, 5, 5))
    viable = tumour * rng.uniform(0.05, 0.95, tumour.shape)
    return tuple(
        torch.from_numpy(a.astype(np.float32)) for a in (viable, tumour, rng.normal(0, 9, tumour.shape), 0.1 * tumour)
    )


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 99), st.floats(0.05, 0.95), st.floats(0.5, 1.3), st.sampled_from(["whole", "half", "none"]),
    st.booleans(),
)  # fmt: skip
def test_volumes_are_those_of_the_response(seed: int, necrosis: float, volume: float, where: str, core: bool) -> None:
    fed, alive = np.ones(SHAPE), np.ones(SHAPE)
    fed[:, :, {"whole": 6, "half": 3, "none": 0}[where] :] = 0
    alive[2:4, 2:4, 2:4] = 0 if core else 1
    wanted = told(necrosis, volume, fed, alive)
    viable, tumour, *_ = following(*drawn(seed), wanted)
    before = wanted.tumour.numpy()
    lived, dying = (before * alive).sum(), (before * alive * fed).sum()
    assert float(tumour.sum()) == pytest.approx(volume * before.sum(), rel=1e-3)
    # where the dead core takes more room than the map leaves it, viable tumour comes as near as it can
    most = float((tumour[0].numpy() * np.where(before > 0, alive, 1)).sum())
    assert float(viable.sum()) == pytest.approx(min(most, volume * (lived - necrosis * dying)), rel=2e-3, abs=0.02)
    assert bool((viable <= tumour + 1e-6).all()) and bool((tumour <= 1).all()) and bool((viable >= 0).all())
    assert not core or float(viable[0, 2:4, 2:4, 2:4].max()) == 0


def test_density_falls_where_tissue_dies_and_is_the_networks_beside_the_tumour() -> None:
    viable, tumour, change, iodine = drawn(1)
    wanted = told(0.6, 0.9, np.ones(SHAPE), np.ones(SHAPE))
    alive, after, moved, _ = following(viable, tumour, change, iodine, wanted)
    inside, beside = wanted.tumour.numpy() > 0.8, wanted.tumour.numpy() == 0
    assert np.array_equal(moved[0].numpy()[beside], change[0].numpy()[beside])
    dies = 1 - (alive / after)[0].numpy()[inside]
    assert np.allclose(moved[0].numpy()[inside], -FALL * dies, atol=1e-3)


def test_what_lived_of_a_cube_falls_whatever_was_dead_in_it() -> None:
    half = np.full(SHAPE, 0.5)
    wanted = told(0.6, 1.0, np.ones(SHAPE), half)
    alive, after, moved, _ = following(*drawn(4), wanted)
    inside = wanted.tumour.numpy() > 0.8
    left = (alive / after)[0].numpy()[inside]
    # an image that falls by so much shows this share of the living half alive
    assert np.allclose(0.5 * (1 + moved[0].numpy()[inside] / FALL), left, atol=1e-3)


def test_order_is_kept_and_more_necrosis_leaves_less() -> None:
    viable, tumour, change, iodine = drawn(2)
    order = np.argsort((viable / tumour.clamp_min(1e-6))[0].numpy()[1:5, 1:5, 1:5], axis=None)
    left = []
    for necrosis in (0.1, 0.5, 0.9):
        response = told(necrosis, 0.9, np.ones(SHAPE), np.ones(SHAPE))
        alive, after, *_ = following(viable, tumour, change, iodine, response)
        lives = (alive / after.clamp_min(1e-6))[0].numpy()[1:5, 1:5, 1:5].ravel()
        assert (np.diff(lives[order]) > -1e-5).all()
        left.append(float(alive.sum()))
    assert left == sorted(left, reverse=True)


@pytest.mark.parametrize("oil", [True, False])
def test_where_no_lipiodol_was_given_none_is_left(oil: bool) -> None:
    maps = drawn(3)
    *_, iodine = following(*maps, told(0.5, 0.9, np.ones(SHAPE), np.ones(SHAPE), oil))
    assert torch.equal(iodine, maps[3] if oil else torch.zeros_like(maps[3]))
