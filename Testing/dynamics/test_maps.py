"""Maps of a tumour on the latent grid."""

import numpy as np

from MeWMLib.dynamics.maps import MASKS, tumour_maps


def shares(*boxes: tuple[slice, slice, slice]) -> np.ndarray:
    out = np.zeros((2, 16, 16, 16), np.float32)
    out[1] = 1
    for box in boxes:
        out[(0, *box)] = 1
    return out


def test_a_ball_is_deepest_in_its_middle() -> None:
    z, y, x = np.mgrid[:16, :16, :16] - 7.5
    given = shares()
    given[0] = (z**2 + y**2 + x**2) < 36
    found = tumour_maps(np.zeros((16, 16, 16)), given)
    assert found.shape == (MASKS, 16, 16, 16) and found.dtype == np.float32
    depth, rank = found[2], found[3]
    assert depth.max() == 1 and depth[7, 7, 7] > 0.85 > 0.4 > depth[7, 7, 2]
    inside = given[0] > 0
    assert (found[2:, ~inside] == 0).all()
    # ranks are the order of depths, spread evenly
    assert np.allclose(np.sort(rank[inside]), (np.arange(inside.sum()) + 0.5) / inside.sum())
    assert rank[7, 7, 7] > 0.9 and rank[7, 7, 2] < 0.4


def test_brightness_is_ranked_in_each_tumour_by_itself() -> None:
    a, b = (slice(1, 4),) * 3, (slice(9, 13),) * 3
    brightness = np.random.default_rng(0).normal(size=(16, 16, 16))
    brightness[b] += 100  # a brighter lesion keeps its own ranks
    found = tumour_maps(brightness, shares(a, b))[4]
    for box in (a, b):
        order = np.argsort(brightness[box].ravel())
        assert np.array_equal(np.argsort(found[box].ravel()), order)
        assert found[box].max() < 1 and found[box].min() > 0


def test_the_shares_are_passed_on_and_no_tumour_gives_no_maps() -> None:
    given = shares()
    found = tumour_maps(np.ones((16, 16, 16)), given)
    assert np.array_equal(found[:2], given) and not found[2:].any()


def test_enhancement_is_beside_tissue_at_the_same_depth() -> None:
    """A bright rim is no enhancement; one brighter side is."""
    z, y, x = np.mgrid[:16, :16, :16] - 7.5
    given = shares()
    radius = np.sqrt(z**2 + y**2 + x**2)
    given[0] = radius < 6
    rim = np.where(radius > 4.5, 5.0, 0.0)
    inside = given[0] > 0
    ringed = tumour_maps(rim, given, 1.0)[5]
    sided = tumour_maps(rim + (x > 0), given, 2.0)[5]
    right = inside & (x > 0)
    left = inside & (x < 0)
    assert np.abs(ringed[inside]).mean() < 0.8  # in units in which the rim is 5
    assert sided[right].mean() - sided[left].mean() > 1.2  # 2 units apart
    assert np.abs(tumour_maps(100 * rim, given, 1.0)[5]).max() <= 4


def test_order_and_place_rank_by_their_weights() -> None:
    rng = np.random.default_rng(0)
    z, y, x = np.mgrid[:16, :16, :16] - 7.5
    given = shares()
    given[0] = (z**2 + y**2 + x**2) < 36
    inside = given[0] > 0
    maps = tumour_maps(rng.normal(size=(16, 16, 16)), given, 1.0, (1.0, 0.0, 0.0, 1.0))
    assert not tumour_maps(rng.normal(size=(16, 16, 16)), given, 1.0)[7:].any()
    for channel, by in ((7, 2), (8, 6)):
        assert np.array_equal(np.argsort(maps[channel][inside]), np.argsort(maps[by][inside], kind="stable"))
