"""Small images whose every voxel and place is known: what the readers are held to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

import numpy as np

SPACINGS = (0.6, 0.75, 0.8, 1.0, 1.5, 2.5, 3.0, 5.0)


@dataclass(frozen=True, eq=False, repr=False)
class Truth:
    """An image.

    Attributes:
        array: (K, J, I), HU or labels.
        affine: voxel (i, j, k) to RAS mm.
    """

    array: np.ndarray
    affine: np.ndarray

    @property
    def spacing(self) -> np.ndarray:
        """Along i, j, k."""
        return np.linalg.norm(self.affine[:3, :3], axis=0)

    @property
    def direction(self) -> np.ndarray:
        """Columns are the directions of i, j, k in RAS."""
        return self.affine[:3, :3] / self.spacing

    @property
    def lps(self) -> np.ndarray:
        """The affine to LPS mm."""
        return np.diag([-1.0, -1.0, 1.0, 1.0]) @ self.affine

    def values(self) -> dict[tuple[float, ...], float]:
        """Value at each place (RAS mm, rounded): the same for one image whatever the order of its axes."""
        k, j, i = np.indices(self.array.shape)
        points = np.stack([i, j, k, np.ones_like(i)], -1).reshape(-1, 4) @ self.affine.T
        keys = map(tuple, np.round(points[:, :3], 2) + 0.0)
        return dict(zip(keys, self.array.ravel().astype(float).tolist(), strict=True))

    def same_as(self, other: Truth) -> bool:
        """True if both have the same value at the same place, to a hundredth of a voxel."""
        if sorted(self.array.shape) != sorted(other.array.shape):
            return False
        if self.array.shape == other.array.shape:
            corners = np.array([[i, j, k, 1] for i in (0, 1) for j in (0, 1) for k in (0, 1)], float)
            corners[:, :3] *= np.array(self.array.shape[::-1]) - 1
            apart = np.abs(corners @ (self.affine - other.affine).T).max()
            if apart < 0.01 * min(self.spacing):
                return bool(np.allclose(self.array, other.array, atol=1e-3))
        return bool(self.values() == other.values())  # axes in another order

    def __repr__(self) -> str:
        """In one line: enough to see what is wrong with it."""
        shape, spacing, place = self.array.shape, np.round(self.spacing, 3).tolist(), np.round(self.affine[:3, 3], 1)
        low, high = float(self.array.min()), float(self.array.max())
        return f"{shape} voxels of {spacing} mm at {place.tolist()}, {low:g} to {high:g}, {self.array.ravel()[:6]}"

    def with_array(self, array: np.ndarray) -> Truth:
        """Other voxels in the same place."""
        return replace(self, array=array)


def _grid(rng: Random, oblique: bool) -> np.ndarray:
    affine = np.eye(4)
    spacing = [rng.choice(SPACINGS[:5]), 0.0, rng.choice(SPACINGS[3:])]
    spacing[1] = spacing[0] if rng.random() < 0.5 else rng.choice(SPACINGS[:5])
    turn = np.eye(3)
    if oblique:
        a, b = np.deg2rad(rng.uniform(3, 25)), np.deg2rad(rng.uniform(3, 25))
        about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
        about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
        turn = about_z @ about_x
    affine[:3, :3] = turn @ np.diag([-1.0, -1.0, 1.0]) @ np.diag(spacing)
    affine[:3, 3] = [round(rng.uniform(-200, 200), 1) for _ in range(3)]
    return affine


def _shape(rng: Random) -> tuple[int, int, int]:
    i, j, k = rng.sample((4, 5, 6, 7), 3)  # different sizes: axes that were exchanged are seen
    return k, j, i


def draw_ct(rng: Random, oblique: bool | None = None) -> Truth:
    """An image with air, fat, water and bone, no two neighbours alike."""
    shape = _shape(rng)
    array = np.random.default_rng(rng.getrandbits(32)).integers(-1000, 1500, shape).astype(np.int16)
    array.flat[:4] = (-1000, -100, 40, 1200)
    return Truth(array, _grid(rng, rng.random() < 0.3 if oblique is None else oblique))


def draw_labels(rng: Random) -> Truth:
    """Background, liver and tumour."""
    shape = _shape(rng)
    array = np.random.default_rng(rng.getrandbits(32)).integers(0, 3, shape).astype(np.uint8)
    array.flat[:3] = (0, 1, 2)
    return Truth(array, _grid(rng, rng.random() < 0.3))
