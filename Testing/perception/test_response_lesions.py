"""Lesions of two scans: measured against closed forms, and matched whatever happened to them."""

from __future__ import annotations

import numpy as np
import pytest

from MeWMLib.core.errors import GeometryMismatchError
from MeWMLib.core.volume import Geometry, LabelMap, Volume
from MeWMLib.perception.findings import measure
from MeWMLib.perception.response_lesions import components_of, match_lesions, measure_lesions
from MeWMLib.perception.viability import liver_reference

SHAPE = (30, 60, 60)
GRID = Geometry(SHAPE, np.diag([-1.5, -1.5, 2.0, 1.0]))
INDEX = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), -1) * GRID.spacing
ALL = np.ones(SHAPE, bool)


def ball(centre_mm: tuple[float, float, float], radius_mm: float) -> np.ndarray:
    return np.linalg.norm(INDEX - centre_mm, axis=-1) <= radius_mm


def numbered(*balls: tuple[tuple[float, float, float], float]) -> np.ndarray:
    out = np.zeros(SHAPE, np.int32)
    for n, one in enumerate(balls, start=1):
        out[ball(*one)] = n
    return out


def kinds(before: np.ndarray, after: np.ndarray, covered: np.ndarray = ALL, **more):
    return [(m.before, m.after, m.kind) for m in match_lesions(before, after, covered, GRID, **more)]


A, B, C = (30.0, 25.0, 25.0), (30.0, 65.0, 65.0), (30.0, 25.0, 65.0)


def test_the_same_lesions_whatever_their_order() -> None:
    assert kinds(numbered((A, 10.0), (B, 8.0)), numbered((B, 12.0), (A, 5.0))) == [
        ((1,), (2,), "same"),
        ((2,), (1,), "same"),
    ]


def test_merged_split_new_and_gone() -> None:
    near, far = (30.0, 25.0, 40.0), (30.0, 40.0, 33.0)
    assert kinds(numbered((A, 6.0), (near, 6.0)), numbered(((30.0, 25.0, 32.0), 12.0))) == [((1, 2), (1,), "merged")]
    assert kinds(numbered(((30.0, 25.0, 32.0), 12.0)), numbered((A, 4.0), (near, 4.0))) == [((1,), (1, 2), "split")]
    assert kinds(numbered((A, 8.0)), numbered((A, 8.0), (B, 6.0))) == [((1,), (1,), "same"), ((), (2,), "new")]
    assert kinds(numbered((A, 8.0), (B, 8.0)), numbered((A, 8.0))) == [((1,), (1,), "same"), ((2,), (), "gone")]
    assert far and kinds(numbered(), numbered()) == []


def test_lesions_that_just_miss_one_another_are_matched_by_their_distance() -> None:
    moved = (30.0, 25.0, 25.0 + 6.0 + 6.0 + 5.0)
    (match,) = match_lesions(numbered((A, 6.0)), numbered((moved, 6.0)), ALL, GRID)
    assert match.kind == "same" and 3.0 <= match.distance_mm <= 8.0
    away = (30.0, 25.0, 25.0 + 6.0 + 6.0 + 20.0)
    assert kinds(numbered((A, 6.0)), numbered((away, 6.0))) == [((1,), (), "gone"), ((), (1,), "new")]


def test_each_is_matched_with_the_nearest_and_once() -> None:
    left, right = (30.0, 25.0, 40.0), (30.0, 25.0, 60.0)
    found = kinds(numbered(((30.0, 25.0, 52.0), 3.0)), numbered((left, 4.0), (right, 4.0)))
    assert found == [((1,), (2,), "same"), ((), (1,), "new")]


def test_touching_by_a_voxel_is_no_overlap() -> None:
    before, after = numbered((A, 8.0)), numbered((A, 8.0), ((30.0, 25.0, 41.5), 9.0))
    after[ball(A, 8.0)] = 1
    assert kinds(before, after) == [((1,), (1,), "same"), ((), (2,), "new")]


def test_what_the_scan_after_does_not_show_is_not_gone() -> None:
    covered = INDEX[..., 2] > 25.0
    assert kinds(numbered((A, 8.0)), numbered(), covered) == [((1,), (), "not covered")]
    # and what it shows outside of the scan before is new
    assert kinds(numbered((A, 8.0)), numbered((A, 8.0)), after_count=2) == [((1,), (1,), "same"), ((), (2,), "new")]


def test_lesions_are_numbered_and_measured_as_the_findings_are() -> None:
    labels = np.ones(SHAPE, np.uint8)
    hu = np.full(SHAPE, 70, np.int16)
    for centre, radius, value in ((A, 14.0, 110), (B, 9.0, 20), (C, 6.0, 800)):
        labels[ball(centre, radius)], hu[ball(centre, radius)] = 2, value
    ct, known = Volume(hu, GRID, "arterial"), LabelMap(labels, GRID)
    scan, components = measure_lesions(ct, known, liver_reference(ct, known))
    expected = measure(ct, known).lesions
    for mine, theirs in zip(scan.lesions, expected, strict=True):
        assert mine.volume_ml == pytest.approx(theirs.volume_ml) and mine.index == theirs.index
        assert mine.diameter_mm == theirs.longest_axial_diameter_mm
        assert mine.centre_ras_mm == pytest.approx(theirs.centre_ras_mm)
        assert (components == mine.index).sum() * GRID.voxel_ml == pytest.approx(mine.volume_ml)
    alive, dead, oily = scan.lesions
    assert alive.viable_diameter_mm == pytest.approx(alive.diameter_mm, abs=4) and alive.necrotic_ml < 0.1
    assert alive.bright_diameter_mm == alive.viable_diameter_mm
    assert dead.viable_diameter_mm == 0 and dead.necrotic_ml == pytest.approx(dead.volume_ml)
    assert oily.lipiodol_ml == pytest.approx(oily.volume_ml) and oily.hidden_share == pytest.approx(1)
    assert scan.total("viable_ml") == pytest.approx(alive.viable_ml) and scan.slice_mm == 2.0
    assert scan.liver_ml == pytest.approx(np.prod(SHAPE) * GRID.voxel_ml)


def test_where_the_phase_tells_nothing_volumes_are_not_known() -> None:
    labels = np.ones(SHAPE, np.uint8)
    labels[ball(A, 10.0)] = 2
    ct, known = Volume(np.full(SHAPE, 60, np.int16), GRID, "non-contrast"), LabelMap(labels, GRID)
    scan, _ = measure_lesions(ct, known, liver_reference(ct, known))
    (one,) = scan.lesions
    assert one.viable_ml is one.viable_diameter_mm is None and one.lipiodol_ml == 0
    assert scan.total("viable_ml") is None and scan.total("volume_ml") == pytest.approx(one.volume_ml)
    with pytest.raises(GeometryMismatchError):
        measure_lesions(Volume(ct.array[1:], Geometry((29, 60, 60), GRID.affine)), known, None)


def test_components_are_largest_first() -> None:
    labels = np.zeros(SHAPE, np.uint8)
    labels[ball(A, 5.0) | ball(B, 10.0) | ball(C, 7.0)] = 2
    found = components_of(LabelMap(labels, GRID))
    assert [int(found[tuple(int(c / s) for c, s in zip(p, GRID.spacing, strict=True))]) for p in (B, C, A)] == [1, 2, 3]
