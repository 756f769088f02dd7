"""The longest line inside a mask against closed forms and a brute-force search."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from MeWMLib.core.volume import Geometry
from MeWMLib.perception.chords import BRIDGE_MM, longest_chord_mm
from MeWMLib.perception.findings import longest_axial_diameter_mm


def grid(shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> Geometry:
    return Geometry(shape, np.diag([-spacing[2], -spacing[1], spacing[0], 1.0]))


def places(geometry: Geometry) -> np.ndarray:
    index = np.stack(np.meshgrid(*map(np.arange, geometry.shape), indexing="ij"), -1)
    return (index - (np.array(geometry.shape) - 1) / 2) * geometry.spacing


@pytest.mark.parametrize("spacing", [(2.5, 1.5, 1.5), (5.0, 0.7, 0.7), (2.5, 1.0, 1.6)])
def test_a_ball_is_as_long_as_its_diameter(spacing) -> None:
    geometry = grid((15, 90, 90), spacing)
    mask = np.linalg.norm(places(geometry), axis=-1) <= 25.0
    assert longest_chord_mm(mask, geometry) == pytest.approx(50.0, abs=2.0)


@pytest.mark.parametrize(("outer", "inner"), [(30.0, 20.0), (30.0, 10.0), (25.0, 22.0)])
def test_a_rim_is_measured_beside_its_core(outer: float, inner: float) -> None:
    geometry = grid((9, 80, 80), (3.0, 1.0, 1.0))
    radius = np.linalg.norm(places(geometry)[..., 1:], axis=-1)
    mask = (radius <= outer) & (radius >= inner)
    assert longest_chord_mm(mask, geometry) == pytest.approx(2 * np.sqrt(outer**2 - inner**2), rel=0.12)
    assert longest_axial_diameter_mm(mask, geometry) == pytest.approx(2 * outer, abs=2)


def test_a_gap_is_bridged_if_it_is_short() -> None:
    geometry = grid((3, 40, 80), (3.0, 1.0, 1.0))
    for gap, expected in ((int(BRIDGE_MM), 60.0), (int(BRIDGE_MM) + 2, 35.0)):
        mask = np.zeros(geometry.shape, bool)
        mask[1, 18:22, 10:45] = True
        mask[1, 18:22, 45 + gap : 70] = True
        assert longest_chord_mm(mask, geometry) == pytest.approx(expected, abs=1.5)


def test_nothing_has_no_length_and_one_voxel_has_its_own() -> None:
    geometry = grid((4, 10, 10), (2.0, 1.0, 1.0))
    mask = np.zeros(geometry.shape, bool)
    assert longest_chord_mm(mask, geometry) == 0
    mask[2, 5, 5] = True
    assert 0 < longest_chord_mm(mask, geometry) <= longest_axial_diameter_mm(mask, geometry)


def test_any_shape_agrees_with_a_search_over_all_pairs() -> None:
    rng = np.random.default_rng(1)
    geometry = grid((1, 26, 26), (3.0, 1.5, 1.5))
    for _ in range(4):
        mask = ndimage.gaussian_filter(rng.normal(size=geometry.shape), (0, 3, 3)) > 0.02
        points = np.argwhere(mask[0])
        best = 0.0
        for a in points:
            for b in points:
                length = float(np.linalg.norm((b - a) * 1.5))
                if length <= best:
                    continue
                line = np.rint(np.linspace(a, b, 60)).astype(int)
                if mask[0][line[:, 0], line[:, 1]].all():
                    best = length
        assert longest_chord_mm(mask, geometry) >= best * 0.93
        assert longest_chord_mm(mask, geometry) <= longest_axial_diameter_mm(mask, geometry) + 1e-9
