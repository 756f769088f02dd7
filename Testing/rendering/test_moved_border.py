"""Where the outline moves the picture moves, and nowhere else."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from scipy import ndimage

from MeWMLib.core.volume import LIVER, TUMOUR, LabelMap, Volume
from MeWMLib.perception.cubes import cube_means
from MeWMLib.rendering.painter import paint
from MeWMLib.rendering.treated_scan import TreatedScan

from .conftest import Case, case, cases, grid

QUICK = settings(
    max_examples=6, deadline=None, suppress_health_check=list(HealthCheck), phases=(Phase.explicit, Phase.generate)
)
LIVER_HU, TUMOUR_HU, NOISE = 110.0, 60.0, 12.0


def scan_of(one: Case, noise: float = NOISE) -> Case:
    """The case with a tumour that is darker than its liver."""
    rng = np.random.default_rng(2)
    level = np.where(one.labels.array == TUMOUR, TUMOUR_HU, LIVER_HU)
    hu = (level + rng.normal(0, noise, level.shape)).round().astype(np.int16)
    return replace(one, ct=Volume(hu, one.ct.geometry, "portal"))


def treated(one: Case) -> TreatedScan:
    share = cube_means(one.treated, one.ct.geometry, one.maps.geometry)
    spared = one.treated if one.untreated.any() else None
    return TreatedScan.of(one.ct, one.labels, spared, share, one.maps.geometry)


def told(one: Case, wanted: np.ndarray, change: float = 0.0):
    share = cube_means(wanted, one.ct.geometry, one.maps.geometry)
    fall = np.full_like(share, change) * cube_means(one.treated, one.ct.geometry, one.maps.geometry)
    return replace(one.maps, tumour=share, viable=share, change=fall, iodine=0 * share)


def depth_of(one: Case) -> np.ndarray:
    spacing = one.ct.geometry.spacing
    inside, outside = (ndimage.distance_transform_edt(m, sampling=spacing) for m in (one.treated, ~one.treated))
    return inside - outside


@pytest.mark.parametrize("turn", [(0.0, 0.0, 0.0), (9.0, 0.0, 24.0)])
@pytest.mark.parametrize("fall", [0.0, -20.0])
def test_what_shrinks_leaves_liver_and_what_grows_is_tumour(turn, fall: float) -> None:
    one = scan_of(case(grid((90,) * 3, (2.0, 1.2, 1.2), turn), [((0.0, 0.0, 0.0), 44.0)]))
    scan, depth, hu = treated(one), depth_of(one), one.ct.array[one.box].astype(float)
    for by, side in ((8.0, "gone"), (-4.0, "grown")):
        maps = told(one, depth > by, fall)
        labels = scan.labels_after(maps)
        after = hu + scan.painted(maps, labels)(3)
        now, was = labels.array[one.box] == TUMOUR, one.treated[one.box]
        moved = (was & ~now) if side == "gone" else (now & ~was)
        core = ndimage.binary_erosion(moved)
        assert core.sum() > 100
        wanted = LIVER_HU if side == "gone" else TUMOUR_HU + fall
        assert after[core].mean() == pytest.approx(wanted, abs=4)
        assert after[core].std() == pytest.approx(NOISE, rel=0.25), "the noise of the scan stays"
        # tumour that stays falls as the maps say, and no more
        kept = ndimage.binary_erosion(was & now, iterations=3)
        assert after[kept].mean() == pytest.approx(TUMOUR_HU + fall, abs=3)


def test_no_ring_is_left_of_a_lesion_that_is_gone() -> None:
    one = scan_of(case(grid((80,) * 3, (1.5, 1.0, 1.0)), [((0.0, 0.0, 0.0), 30.0)]), noise=0.0)
    scan = treated(one)
    maps = told(one, np.zeros_like(one.treated))
    labels = scan.labels_after(maps)
    assert not labels.tumour.any()
    after = one.ct.array[one.box] + scan.painted(maps, labels)(0)
    assert np.abs(after - LIVER_HU).max() < 4


@QUICK
@given(cases())
def test_only_where_it_moved(one: Case) -> None:
    """Bits stay where the weight is 0 and in tumour that is not treated; an outline that stays adds nothing."""
    one = scan_of(one)
    scan = treated(one)
    for wanted in (depth_of(one) > 3, one.treated):
        maps = told(one, wanted, -10.0)
        labels = scan.labels_after(maps)
        change = scan.painted(maps, labels)(5)
        assert (change[one.weight == 0] == 0).all() and (change[one.untreated[one.box]] == 0).all()
        plain = paint(one.ct, scan.box, scan.weight, maps, 5, scan.scanner)
        far = ndimage.binary_dilation(labels.array[one.box] != one.labels.array[one.box], iterations=12)
        assert np.allclose(change[~far], plain[~far], atol=1e-4)


@pytest.mark.parametrize("values", [(0, 2), (1, 2)])
def test_without_liver_to_be_seen_nothing_is_made_up(values) -> None:
    """Labels of tumours alone, and a liver without soft tissue."""
    one = scan_of(case(grid((60,) * 3, (2.0,) * 3), [((0.0, 0.0, 0.0), 24.0)]))
    array = np.where(one.labels.array == TUMOUR, values[1], values[0]).astype(np.uint8)
    hu = one.ct.array.copy()
    if values[0] == LIVER:
        hu[array == LIVER] = 900
    one = replace(one, labels=LabelMap(array, one.ct.geometry), ct=one.ct.with_array(hu))
    scan, maps = treated(one), told(one, depth_of(one) > 5)
    assert not scan.painted(maps, scan.labels_after(maps))(0).any()
