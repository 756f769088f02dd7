"""Painted outcomes: where nothing may change, what is kept, and that nothing ends at a step."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from scipy import ndimage

from MeWMLib.core.coarse_maps import OutcomeMaps
from MeWMLib.core.errors import GeometryError, NoTumourError
from MeWMLib.core.volume import Provenance, Volume, centred_grid
from MeWMLib.perception.cubes import cube_means
from MeWMLib.rendering.painter import RIM_MM, expected_change, expected_image, paint, treated_weight, with_change
from MeWMLib.rendering.scan_estimate import ScanEstimate

from .conftest import Case, case, cases, grid

# arrays are costly: what fails is shown as it was found
QUICK = settings(
    max_examples=8, deadline=None, suppress_health_check=list(HealthCheck), phases=(Phase.explicit, Phase.generate)
)


def iodine_mg(change: np.ndarray, one: Case) -> float:
    """Iodine (mg) of a change that is all Lipiodol, at 26 HU for a mg/ml."""
    return float(change.sum(dtype=np.float64)) / 26.0 * one.ct.geometry.voxel_ml


def without_tissue(maps: OutcomeMaps) -> OutcomeMaps:
    return replace(maps, change=np.zeros_like(maps.change))


def map_mg(maps: OutcomeMaps) -> float:
    return float(maps.iodine.sum(dtype=np.float64)) * maps.geometry.voxel_ml


@QUICK
@given(cases())
def test_the_weight_is_the_distance_to_treated_tumour(one: Case) -> None:
    """Against distances between the places of voxels, in patient space."""
    whole = np.zeros(one.ct.array.shape, np.float32)
    whole[one.box] = one.weight
    assert one.weight.dtype == np.float32
    assert (whole[one.treated] == 1).all() and (whole[one.untreated] == 0).all()
    geometry, rng = one.ct.geometry, np.random.default_rng(0)
    # the surface alone decides the distance of what is outside
    surface = one.treated & ~ndimage.binary_erosion(one.treated)
    tumour = geometry.to_ras(np.argwhere(surface))
    for voxel in np.argwhere(~one.treated & ~one.untreated)[rng.integers(0, 10**9, 60) % (~one.treated).sum() // 2]:
        distance = float(np.linalg.norm(tumour - geometry.to_ras(voxel), axis=1).min())
        assert whole[tuple(voxel)] == pytest.approx(max(0.0, 1 - distance / RIM_MM), abs=1e-3)


@QUICK
@given(cases(), st.integers(0, 2**40))
def test_nothing_changes_where_the_weight_is_0(one: Case, seed: int) -> None:
    for change in (
        paint(one.ct, one.box, one.weight, one.maps, seed),
        expected_change(one.ct, one.box, one.weight, one.maps),
        expected_image(one.ct, one.box, one.weight, one.maps) - one.ct.array[one.box],
    ):
        assert change.dtype == np.float32 and change.shape == one.weight.shape and np.isfinite(change).all()
        assert (change[one.weight == 0] == 0).all()
        assert (change[one.untreated[one.box]] == 0).all()
        assert np.abs(change[one.treated[one.box]]).max() > 1


@QUICK
@given(cases(spare=False), st.integers(0, 99))
def test_iodine_is_kept(one: Case, seed: int) -> None:
    maps = without_tissue(one.maps)
    # cubes that hardly have weight give a part of what they hold
    share = cube_means(one.weight, one.part, maps.geometry)
    expected = map_mg(replace(maps, iodine=maps.iodine * np.minimum(1, share / 0.25)))
    mean = expected_change(one.ct, one.box, one.weight, maps)
    # no edges and no noise: what they add has no sum, but where the rim cuts it
    plain = ScanEstimate(ScanEstimate.of(one.ct).spread_mm, noise_hu=1e6, edge=0.0)
    drawn = paint(one.ct, one.box, one.weight, maps, seed, plain)
    assert iodine_mg(drawn, one) == pytest.approx(iodine_mg(mean, one), rel=0.015)
    # a lesion that the end of the scan cuts, on voxels larger than its rim, is sampled otherwise by the oracle
    assert iodine_mg(mean, one) == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize("diameter", [8.0, 20.0, 60.0])
def test_iodine_of_scans_as_they_are(diameter: float) -> None:
    """On voxels of a scanner, with its edges and streaks."""
    geometry = grid((diameter + 30,) * 3, (2.5, 0.75, 0.75), (3.0, 0.0, 5.0))
    one = case(geometry, [((0.3, -0.7, 0.9), diameter)], 3)
    maps = without_tissue(one.maps)
    change = paint(one.ct, one.box, one.weight, maps, 0, ScanEstimate.of(one.ct))
    assert iodine_mg(change, one) == pytest.approx(map_mg(maps), rel=0.01, abs=0.2)
    mean = expected_change(one.ct, one.box, one.weight, maps)
    assert iodine_mg(mean, one) == pytest.approx(map_mg(maps), rel=0.01)


def test_iodine_that_a_map_holds_far_from_what_is_treated_is_left_out() -> None:
    one = case(grid((70,) * 3, (2.0, 1.0, 1.0)), [((0.0, 0.0, 0.0), 24.0)])
    at = np.linalg.norm(
        np.indices(one.maps.geometry.shape).T - (np.array(one.maps.geometry.shape[::-1]) - 1) / 2, axis=-1
    ).T
    far = np.where(at * 4 > 26, 5.0, 0.0).astype(np.float32)
    maps = replace(without_tissue(one.maps), iodine=far)
    assert not paint(one.ct, one.box, one.weight, maps, 0).any()
    assert np.abs(expected_change(one.ct, one.box, one.weight, maps)).max() < 1e-3
    # and no iodine below 0 is taken out
    maps = replace(maps, iodine=-np.ones_like(far))
    assert not paint(one.ct, one.box, one.weight, maps, 0).any()


def test_the_seed_decides_and_nothing_else() -> None:
    one = case(grid((60,) * 3, (2.5, 0.8, 0.8)), [((0.0, 0.0, 0.0), 26.0)])
    draws = [paint(one.ct, one.box, one.weight, one.maps, seed) for seed in (5, 5, 6)]
    assert np.array_equal(draws[0], draws[1]) and not np.array_equal(draws[0], draws[2])


def test_the_mean_of_many_paintings_is_the_expected_change() -> None:
    one = case(grid((44,) * 3, (2.5, 1.2, 1.2)), [((0.0, 0.0, 0.0), 24.0)], 1)
    estimate = ScanEstimate.of(one.ct)
    mean = np.mean([paint(one.ct, one.box, one.weight, one.maps, seed, estimate) for seed in range(40)], 0)
    expected = expected_change(one.ct, one.box, one.weight, one.maps)
    inside = one.weight > 0
    wide = [3.0 / s for s in one.ct.geometry.spacing]
    a, b = (ndimage.gaussian_filter(x, wide)[inside] for x in (mean, expected))
    assert np.corrcoef(a, b)[0, 1] > 0.95
    assert np.polyfit(b, a, 1)[0] == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("turn", [(0.0, 0.0, 0.0), (9.0, -4.0, 6.0)])
def test_no_seams_between_cubes(turn: tuple[float, float, float]) -> None:
    """The step from voxel to voxel across the face of a cube is that of its neighbourhood."""
    geometry = grid((64, 64, 64), (1.0, 1.0, 1.0), turn)
    one = case(geometry, [((0.0, 0.0, 0.0), 50.0)])
    rng = np.random.default_rng(2)
    rough = ndimage.gaussian_filter(rng.standard_normal(one.maps.change.shape), 1.0).astype(np.float32)
    maps = replace(one.maps, change=200 * rough, iodine=np.maximum(rough, 0))
    inner = ndimage.distance_transform_edt(one.weight == 1) > 4
    change = expected_change(one.ct, one.box, one.weight, maps)
    places = one.part.to_ras(np.moveaxis(np.indices(one.weight.shape), 0, -1))
    at = maps.geometry.to_kji(places)
    axis = 2
    # bends: second differences would peak at faces or middles of blocks
    bend = np.abs(np.diff(change, 2, axis))
    step = np.abs(np.diff(change, 1, axis))
    along = int(np.argmax(np.abs(at[0, 0, 1] - at[0, 0, 0])))
    part = (at[..., along] + 0.5) % 1  # 0 at faces
    near = np.minimum(part, 1 - part)
    first, second = inner[..., 1:-1], inner[..., 1:]
    face, middle = near[..., 1:-1] < 0.13, near[..., 1:-1] > 0.37
    assert bend[first & face].mean() == pytest.approx(bend[first & middle].mean(), rel=0.35)
    face, middle = near[..., 1:] < 0.13, near[..., 1:] > 0.37
    assert step[second & face].mean() == pytest.approx(step[second & middle].mean(), rel=0.35)
    # a blocky map would fail
    nearest = tuple(np.clip(np.rint(at[..., n]), 0, maps.geometry.shape[n] - 1).astype(int) for n in range(3))
    blocks = np.abs(np.diff(maps.change[nearest], 1, axis))
    assert blocks[second & face].mean() > 2 * blocks[second & middle].mean()


def test_the_change_is_that_of_the_map_in_the_middle_of_a_lesion() -> None:
    one = case(grid((80,) * 3, (2.0, 1.3, 1.3), (5.0, 0.0, 12.0)), [((0.0, 0.0, 0.0), 50.0)], iodine=0.0)
    change = paint(one.ct, one.box, one.weight, one.maps, 0)
    deep = ndimage.distance_transform_edt(one.weight == 1, sampling=one.ct.geometry.spacing) > 10
    assert change[deep] == pytest.approx(-30.0, abs=0.05)


def test_dense_grains_are_beside_stronger_noise_and_the_rest_keeps_its_own() -> None:
    one = case(grid((60,) * 3, (2.5, 0.8, 0.8)), [((0.0, 0.0, 0.0), 30.0)], iodine=2.0)
    maps = without_tissue(one.maps)
    quiet = ScanEstimate.of(one.ct)
    loud = replace(quiet, noise_hu=40.0)
    # streaks are a share of the oil, whatever the noise: beyond it nothing is added
    change = paint(one.ct, one.box, one.weight, replace(maps, iodine=0 * maps.iodine), 0, loud)
    assert not change.any()
    rise = paint(one.ct, one.box, one.weight, maps, 0, replace(quiet, noise_hu=1e6))
    noisy = paint(one.ct, one.box, one.weight, maps, 0, quiet)
    added = noisy - rise
    around = ndimage.uniform_filter(np.abs(rise), (3, 3, 17))
    near, far = around > 60, (around < 2) & (one.weight > 0)
    assert near.sum() > 1000 and far.sum() > 1000
    assert added[near].std() > 10 and added[far].std() < 0.3 * added[near].std()


def test_the_expected_image_has_less_noise_where_it_changes() -> None:
    one = case(grid((60,) * 3, (2.5, 0.8, 0.8)), [((0.0, 0.0, 0.0), 30.0)], iodine=0.0)
    gas = one.ct.array.copy()
    gas[:, :, :20] = -900
    ct = Volume(gas, one.ct.geometry, "portal")
    full = expected_image(ct, one.box, one.weight, one.maps, 3.0)
    kept = expected_image(ct, one.box, one.weight, one.maps, 0.0)
    deep = ndimage.distance_transform_edt(one.weight == 1, sampling=ct.geometry.spacing) > 9
    assert kept[deep].std() == pytest.approx(15, rel=0.1) and full[deep].std() < 5
    assert full[deep].mean() == pytest.approx(30, abs=1.0)
    # a border that may lie elsewhere is blurred
    border = (gas[one.box] == -900) & (one.weight > 0.5)
    assert full[border].max() > kept[border].max() + 100


def test_the_expected_image_shows_a_share_of_the_mean_iodine() -> None:
    one = case(grid((60,) * 3, (2.5, 0.8, 0.8)), [((0.0, 0.0, 0.0), 20.0)], iodine=2.0)
    none, half, full = (expected_image(one.ct, one.box, one.weight, one.maps, 3.0, share) for share in (0.0, 0.5, 1.0))
    assert np.allclose(half - none, 0.5 * (full - none), atol=1e-2)
    assert (full - none)[one.weight == 1].max() > 20


@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.float32])
def test_a_simulated_scan_keeps_type_and_bits(dtype: type) -> None:
    one = case(grid((60,) * 3, (2.5, 1.0, 1.0)), [((0.0, 0.0, 0.0), 26.0)], iodine=2.0)
    ct = Volume(one.ct.array.clip(0).astype(dtype), one.ct.geometry, "portal")
    change = paint(ct, one.box, one.weight, one.maps, 0)
    mark = Provenance("Lipiodol 5 ml", 0, "test", "0" * 64)
    found = with_change(ct, one.box, change, mark)
    assert found.array.dtype == dtype and found.simulated is mark and found.geometry is ct.geometry
    untouched = np.ones(ct.array.shape, bool)
    untouched[one.box] = one.weight == 0
    assert np.array_equal(found.array[untouched], ct.array[untouched])
    exact = ct.array[one.box].astype(np.float64) + change
    limits = (-np.inf, np.inf) if dtype is np.float32 else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    assert np.abs(found.array[one.box] - exact.clip(*limits)).max() <= (1e-3 if dtype is np.float32 else 0.5 + 1e-3)
    assert not np.array_equal(found.array, ct.array)


def test_nothing_is_moved_beyond_what_a_scanner_shows() -> None:
    one = case(grid((60,) * 3, (2.5, 1.0, 1.0)), [((0.0, 0.0, 0.0), 26.0)])
    ct = Volume(one.ct.array.astype(np.float32), one.ct.geometry, "portal")
    inside = np.argwhere(one.weight == 1)
    dense, metal, air = (tuple(inside[n] + [s.start for s in one.box]) for n in (0, 1, 2))
    ct.array[metal] = 8000
    change = np.zeros(one.weight.shape, np.float32)
    for place, by in ((dense, 9000), (metal, 50), (air, -9000)):
        change[tuple(np.subtract(place, [s.start for s in one.box]))] = by
    found = with_change(ct, one.box, change, Provenance("Lipiodol 5 ml", 0, "test", "0" * 64)).array
    assert (found[dense], found[metal], found[air]) == (3071, 8000, -1024)


def test_what_does_not_fit_is_refused() -> None:
    geometry = grid((40,) * 3, (2.0, 2.0, 2.0))
    nothing = np.zeros(geometry.shape, bool)
    with pytest.raises(NoTumourError, match="No tumour is treated"):
        treated_weight(nothing, geometry)
    with pytest.raises(GeometryError, match="does not fit the grid"):
        treated_weight(nothing[1:], geometry)
    one = case(geometry, [((0.0, 0.0, 0.0), 20.0)])
    with pytest.raises(GeometryError, match="does not fit its part"):
        paint(one.ct, one.box, one.weight[1:], one.maps, 0)
    away = OutcomeMaps(*one.maps.arrays, centred_grid(np.array([60.0, 0, 0]), one.maps.geometry.shape, 4.0))
    with pytest.raises(GeometryError, match="do not cover"):
        expected_change(one.ct, one.box, one.weight, away)
