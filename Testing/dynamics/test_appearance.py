"""The appearance of a tumour: what changes it, and what does not."""

import numpy as np
import pytest

from MeWMLib.dynamics.appearance import DEPTHS, appearance, features
from MeWMLib.dynamics.maps import tumour_maps

C = 4


def scene(liver: float = 0.0, tumour: float = 1.0, radius: float = 4.5) -> tuple[np.ndarray, np.ndarray]:
    """A ball in liver on 16^3 blocks: latent (C, 16, 16, 16), shares (2, 16, 16, 16)."""
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(*[np.arange(16) - 7.5] * 3, indexing="ij"))
    inside = np.clip(radius + 0.5 - np.sqrt((grid**2).sum(0)), 0, 1)
    latent = 0.01 * rng.normal(size=(C, 16, 16, 16))
    latent[0] += liver + inside * (tumour - liver)
    return latent.astype(np.float32), np.stack([inside, np.ones_like(inside)]).astype(np.float32)


def described(latent: np.ndarray, shares: np.ndarray, spacing: float = 1.0) -> np.ndarray:
    return appearance(latent, shares, tumour_maps(latent[0], shares)[2], spacing)


#: Where the numbers stand (see `appearance`).
MEAN, DEPTH = 0, 1 + C
MEDIAN = DEPTH + 3 * len(DEPTHS) + 3 + 2
RIM, BESIDE = features(C) - 14, features(C) - 13
SIZE, SPACING, SURFACE, PARTS, LARGEST = range(features(C) - 12, features(C) - 7)
LIVER = features(C) - 3


def test_enhancement_is_told_beside_the_liver_of_the_same_scan() -> None:
    found, other = described(*scene(0.0, 1.0)), described(*scene(2.0, 3.0))
    assert found.shape == (features(C),) and np.isfinite(found).all()
    assert found[MEAN] == pytest.approx(1.0, abs=0.02) and found[MEDIAN] == pytest.approx(1.0, abs=0.02)
    assert other[LIVER] - found[LIVER] == pytest.approx(2.0, abs=1e-4)
    assert np.allclose(np.delete(found, LIVER), np.delete(other, LIVER), atol=1e-3)


def test_a_bright_rim_and_a_dark_middle_are_told_apart() -> None:
    latent, shares = scene()
    depth = tumour_maps(latent[0], shares)[2]
    latent[0] = np.where(shares[0] > 0, np.where(depth > 0.5, -1.0, 1.0), 0.0)
    at = described(latent, shares)[DEPTH : DEPTH + 3 * len(DEPTHS)].reshape(-1, 3)
    assert at[1, 0] > 0.8 and at[-2, 0] < -0.7 and at[-1, 0] < 0
    assert at[:, 2].sum() == pytest.approx(1.0, abs=1e-3)  # each part of the tumour counts once


def test_shape_counts_parts_and_surface() -> None:
    latent, shares = scene(radius=2.5)
    both = np.maximum(np.roll(shares[0], 4, 0), np.roll(shares[0], -4, 0))
    one, two = described(latent, shares), described(latent, np.stack([both, shares[1]]))
    assert one[PARTS] == 0 and two[PARTS] == pytest.approx(np.log(2)) and two[LARGEST] == pytest.approx(0.5)
    assert two[SURFACE] == pytest.approx(one[SURFACE] * 2 ** (1 / 3), rel=1e-4)
    assert two[SIZE] - one[SIZE] == pytest.approx(np.log(2), abs=1e-3)
    assert described(latent, shares, 2.0)[SPACING] == pytest.approx(np.log(2))


def test_a_smaller_tumour_of_the_same_brightness_looks_as_bright() -> None:
    large, small = described(*scene(radius=5.5)), described(*scene(radius=3.0))
    assert abs(large[MEAN] - small[MEAN]) < 0.05 and abs(large[BESIDE] - small[BESIDE]) < 0.1
    assert large[RIM] == pytest.approx(small[RIM], abs=0.2)


@pytest.mark.parametrize("radius", [0.4, 0.9])
def test_a_tumour_of_one_block_or_none_gives_finite_numbers(radius: float) -> None:
    latent, shares = scene(radius=radius)
    assert np.isfinite(described(latent, shares)).all()
    empty = described(latent, np.stack([np.zeros_like(shares[0]), shares[1]]))
    assert empty.shape == (features(C),) and not empty.any()


def test_a_tumour_that_fills_the_window_has_no_liver_beside_it() -> None:
    latent, shares = scene(2.0, 3.0)
    alone = described(latent, np.stack([np.ones_like(shares[0])] * 2))
    assert np.isfinite(alone).all() and alone[LIVER] == 0 and alone[MEAN] > 2
