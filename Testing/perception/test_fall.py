"""Living tissue by the fall of density between two scans, on images whose tissue is known."""

from __future__ import annotations

import numpy as np
import pytest

from MeWMLib.core.errors import InputError
from MeWMLib.core.volume import Geometry, centred_grid
from MeWMLib.perception import fall
from MeWMLib.perception.fall import PORTAL_FALL_HU, BeforeTreatment
from MeWMLib.perception.viability import SMOOTHING_MM, LiverReference

GRID = centred_grid(np.zeros(3), (32, 32, 32), 1.5)
HALF = np.indices(GRID.shape)[2] < 16
ALL = np.ones(GRID.shape, bool)
DEEP = np.zeros(GRID.shape, bool)
DEEP[8:-8, 8:-8, 8:-8] = True


def scan(hu: float, noise: float = 0.0, seed: int = 0) -> np.ndarray:
    return (hu + noise * np.random.default_rng(seed).standard_normal(GRID.shape)).astype(np.float32)


@pytest.mark.parametrize(
    ("phase", "before", "after"), [("portal", 100, 60), ("arterial", 85, 45), ("unknown", 100, 60)]
)
def test_the_half_that_fell_is_dead_and_the_other_lives(phase: str, before: float, after: float) -> None:
    first = scan(before)
    second = np.where(HALF, after, before).astype(np.float32)
    alive = BeforeTreatment.of(first, ALL, GRID, phase).alive_after(second)
    assert alive[HALF & DEEP & (np.indices(GRID.shape)[2] < 12)].max() < 0.1
    assert alive[~HALF & DEEP & (np.indices(GRID.shape)[2] > 20)].min() > 0.9
    assert alive.mean() == pytest.approx(0.5, abs=0.06)


def test_what_fell_in_part_lives_in_part_and_noise_of_both_scans_takes_little_away() -> None:
    middle = 100 - sum(PORTAL_FALL_HU) / 2
    assert BeforeTreatment.of(scan(100), ALL, GRID, "portal").alive_after(scan(middle)).mean() == pytest.approx(0.5)
    noisy = BeforeTreatment.of(scan(100, 15, 1), ALL, GRID, "portal").alive_after(scan(middle, 15, 2))
    assert noisy.mean() == pytest.approx(0.5, abs=0.03)


def test_scans_of_livers_that_enhance_differently_are_told_by_how_much() -> None:
    before = BeforeTreatment.of(scan(100), ALL, GRID, "portal")
    assert before.alive_after(scan(80)).max() == 0
    assert before.alive_after(scan(80), shift_hu=-20).min() == pytest.approx(1)


def test_lipiodol_hides_and_what_it_hides_is_as_what_is_near() -> None:
    oil = np.zeros(GRID.shape, bool)
    oil[14:18, 14:18, 4:8] = True
    after = np.where(oil, 900, np.where(HALF, 60, 100)).astype(np.float32)
    alive = BeforeTreatment.of(scan(100), ALL, GRID, "portal").alive_after(after)
    assert alive[oil].max() < 0.1
    everywhere = BeforeTreatment.of(scan(100), ALL, GRID, "portal").alive_after(scan(900))
    assert np.isfinite(everywhere).all() and everywhere.min() >= 0 and everywhere.max() <= 1


@pytest.mark.parametrize("far", [False, True])
def test_where_only_some_voxels_are_asked_for_they_are_the_same(far: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    before = BeforeTreatment.of(scan(100, 15, 1), HALF & DEEP, GRID, "portal")
    after = scan(85, 15, 2)
    asked = ~HALF if far else HALF & DEEP  # far from all tissue the wider surroundings tell
    widths: list[float] = []
    blurred = fall._blurred

    def counted(values: np.ndarray, geometry: Geometry, width: float) -> np.ndarray:
        widths.append(width)
        return blurred(values, geometry, width)

    monkeypatch.setattr(fall, "_blurred", counted)
    whole = before.alive_after(after)
    assert any(w > SMOOTHING_MM for w in widths)
    widths.clear()
    assert np.array_equal(before.alive_after(after, where=asked)[asked], whole[asked])
    assert any(w > SMOOTHING_MM for w in widths) == far


def test_what_was_dead_before_treatment_stays_dead() -> None:
    liver = LiverReference("portal", 110, 3, 500)
    first = np.where(HALF, 30, 100).astype(np.float32)
    before = BeforeTreatment.of(first, ALL, GRID, "portal", liver)
    alive = before.alive_after(first)
    assert alive[HALF & DEEP & (np.indices(GRID.shape)[2] < 11)].max() == 0
    assert alive[~HALF & DEEP & (np.indices(GRID.shape)[2] > 21)].min() == 1
    assert BeforeTreatment.of(first, ALL, GRID, "portal").alive_after(first).min() == 1


def test_the_liver_beside_a_small_lesion_does_not_dilute_what_fell_in_it() -> None:
    index = np.stack(np.indices(GRID.shape), -1)
    ball = np.linalg.norm(1.5 * (index - 15.5), axis=-1) < 5
    after = np.where(ball, 70, 100).astype(np.float32)
    alive = BeforeTreatment.of(scan(100), ball, GRID, "portal").alive_after(after)
    assert alive[ball].max() < 0.01
    fat = np.where(ball & (index[..., 0] < 14), -80, 100).astype(np.float32)  # the outline is off there
    liver = LiverReference("portal", 110, 3, 500)
    assert BeforeTreatment.of(fat, ball, GRID, "portal", liver).alive[ball].min() == 1


def test_other_grids_are_refused() -> None:
    with pytest.raises(InputError, match="not on the grid"):
        BeforeTreatment.of(scan(100), ALL[1:], GRID, "portal")
    with pytest.raises(InputError, match="not on the grid"):
        BeforeTreatment.of(scan(100), ALL, GRID, "portal").alive_after(scan(100)[1:])
