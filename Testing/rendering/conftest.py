"""Grids of any direction with lesions on them, and coarse maps of what a session leaves there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from MeWMLib.core.coarse_maps import OutcomeMaps
from MeWMLib.core.volume import Geometry, LabelMap, Volume
from MeWMLib.perception.cubes import cube_means, region_of
from MeWMLib.rendering.painter import Box, treated_weight


@dataclass(frozen=True, repr=False)
class Case:
    """A scan (K, J, I) with lesions, of which the last may not be treated, and maps of its region."""

    ct: Volume
    labels: LabelMap
    treated: np.ndarray
    untreated: np.ndarray
    box: Box
    weight: np.ndarray
    maps: OutcomeMaps

    def __repr__(self) -> str:
        sizes = int(self.treated.sum()), int(self.untreated.sum())
        return f"Case({self.ct.geometry.affine.tolist()}, {self.ct.geometry.shape}, {sizes} voxels)"

    @property
    def part(self) -> Geometry:
        return self.ct.geometry.crop(tuple(s.start for s in self.box), self.weight.shape)


def grid(
    extent_mm: tuple[float, float, float],
    spacing: tuple[float, float, float],
    turn: tuple[float, float, float] = (0.0, 0.0, 0.0),
    flips: tuple[int, int, int] = (-1, -1, 1),
    order: tuple[int, int, int] = (0, 1, 2),
) -> Geometry:
    """A grid about the origin; `order` says which axis of the patient i, j and k run along."""
    axes = Rotation.from_euler("xyz", turn, degrees=True).as_matrix()[:, list(order)]
    sizes = [max(2, int(np.ceil(extent_mm[n] / spacing[n]))) for n in (2, 1, 0)]
    affine = np.eye(4)
    affine[:3, :3] = axes * (np.array(flips) * np.array(spacing[::-1]))
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(sizes) - 1) / 2)
    return Geometry((sizes[2], sizes[1], sizes[0]), affine)


def case(
    geometry: Geometry,
    lesions: list[tuple[tuple[float, float, float], float]],
    seed: int = 0,
    spare_last: bool = False,
    iodine: float = 0.3,
    change: float = -30.0,
) -> Case:
    """Balls (middle in RAS mm, diameter) in a liver that fills the scan."""
    k, j, i = (np.arange(n) for n in geometry.shape)
    ras = geometry.to_ras(np.stack(np.meshgrid(k, j, i, indexing="ij"), -1))
    balls = [((ras - middle) ** 2).sum(-1) <= (0.5 * diameter) ** 2 for middle, diameter in lesions]
    untreated = balls.pop() if spare_last else np.zeros(geometry.shape, bool)
    treated = np.logical_or.reduce(balls)
    # a lesion that lies between the voxels has at least one of them
    for middle, _ in lesions[: len(balls)]:
        at = np.rint(geometry.to_kji(np.array(middle))).astype(int)
        treated[tuple(np.clip(at, 0, np.array(geometry.shape) - 1))] = True
    treated &= ~untreated
    rng = np.random.default_rng(seed)
    ct = Volume(rng.normal(60, 15, geometry.shape).round().astype(np.int16), geometry, "portal")
    labels = LabelMap((1 + (treated | untreated)).astype(np.uint8), geometry)
    box, weight = treated_weight(treated, geometry, untreated if spare_last else None)
    cubes = region_of(treated, geometry)
    share = cube_means(treated, geometry, cubes)
    held = iodine * share * rng.gamma(0.3, 1 / 0.3, share.shape).astype(np.float32)
    maps = OutcomeMaps(0.4 * share, share, np.float32(change) * share, held.astype(np.float32), cubes)
    return Case(ct, labels, treated, untreated, box, weight, maps)


@st.composite
def cases(draw: st.DrawFn, spare: bool | None = None) -> Case:
    """One to three lesions of 5 to 180 mm on a grid of any direction, with voxels that keep it small."""
    largest = draw(st.sampled_from([5.0, 12.0, 40.0, 90.0, 180.0]))
    # coarse voxels for large lesions
    step = max(1.4, largest / 22)
    spacing = tuple(step * draw(st.floats(0.8, 1.25)) for _ in range(3))
    turn = tuple(draw(st.sampled_from([0.0, 0.0, 4.0, -17.0, 38.0])) for _ in range(3))
    flips = tuple(draw(st.sampled_from([-1, 1])) for _ in range(3))
    order = tuple(draw(st.permutations([0, 1, 2])))
    extent = 1.3 * largest + 30
    geometry = grid((extent,) * 3, spacing, turn, flips, order)  # type: ignore[arg-type]
    lesions = [((0.0, 0.0, 0.0), largest)]
    lesions += [
        (tuple(draw(st.floats(-0.4, 0.4)) * extent for _ in range(3)), draw(st.floats(5, 0.5 * largest + 5)))
        for _ in range(draw(st.integers(0, 2)))
    ]  # type: ignore[misc]
    spared = draw(st.booleans()) if spare is None else spare
    if spared:
        lesions.append(((0.5 * largest + 2, 0.0, 0.0), 0.5 * largest + 3))
    return case(geometry, lesions, draw(st.integers(0, 99)), spared)
