"""Iodine and tissue apart: deposits of known iodine in noise, and what is no deposit."""

import numpy as np
import pytest
from scipy import ndimage

from MeWMLib.lab.training.map_oil import local_tissue, separated

SPACING = (2.5, 0.8, 0.8)
SHAPE = (16, 60, 60)
ML = float(np.prod(SPACING)) / 1000


def ball(centre: tuple[float, float, float], radius: float) -> np.ndarray:
    z, y, x = (np.arange(n)[tuple(slice(None) if a == b else None for b in range(3))] * s - c
               for a, (n, s, c) in enumerate(zip(SHAPE, SPACING, centre, strict=True)))  # fmt: skip
    return np.asarray(z**2 + y**2 + x**2 < radius**2)


@pytest.fixture(scope="module")
def scan() -> tuple[np.ndarray, np.ndarray, float]:
    """HU of a tumour (60) in liver (110) with points of Lipiodol, the tumour, and the mg of iodine."""
    rng = np.random.default_rng(3)
    tumour = ball((20, 24, 24), 14)
    hu = ndimage.gaussian_filter(np.where(tumour, 60.0, 110.0), 0.6)
    points = rng.choice(np.flatnonzero(ball((20, 24, 24), 10)), 25, replace=False)
    mg = np.zeros(SHAPE)
    mg.flat[points] = rng.uniform(0.1, 0.6, 25)  # 0.6 mg in a voxel of 1.6 ul is 9,750 HU before it is blurred
    hu += ndimage.gaussian_filter(mg / ML * 26, (0.4, 0.8, 0.8))
    noise = ndimage.gaussian_filter(rng.standard_normal(SHAPE), (0, 0.6, 0.6))
    return hu + 20 * noise / noise.std(), tumour, float(mg.sum())


def test_iodine_is_found_whole_and_tissue_does_not_hold_it(scan) -> None:
    hu, tumour, mg = scan
    found = separated(hu, np.ones(SHAPE, bool), tumour, tumour, SPACING)
    assert found.iodine.sum() * ML == pytest.approx(mg, rel=0.12)
    # voxels over a threshold alone lose what is blurred under it
    threshold = tumour & (hu >= 200)
    assert ((hu - 60)[threshold].sum() / 26 * ML) < 0.9 * mg
    assert found.noise_hu == pytest.approx(20, rel=0.15)
    assert hu[found.tissue & ball((20, 24, 24), 11)].mean() == pytest.approx(60, abs=4)
    assert np.all(found.iodine[found.tissue] == 0)


def test_a_scan_without_oil_has_none(scan) -> None:
    rng = np.random.default_rng(1)
    _, tumour, _ = scan
    hu = np.where(tumour, 60.0, 110.0) + 20 * rng.standard_normal(SHAPE)
    found = separated(hu, np.ones(SHAPE, bool), tumour, tumour, SPACING)
    assert found.iodine.sum() * ML < 0.05 and found.tissue.mean() > 0.99


def test_vessels_outside_of_the_tumour_and_what_is_left_out_are_no_oil(scan) -> None:
    _, tumour, _ = scan
    hu = np.where(tumour, 60.0, 110.0)
    hu[:, 2:6, :] = 250  # a vessel: oil in a tumour, but none in liver
    inside = np.ones(SHAPE, bool)
    assert separated(hu, inside, tumour, tumour, SPACING).iodine.sum() == 0
    assert separated(hu, inside, tumour, inside, SPACING).iodine.sum() > 0
    hu[:, 2:6, :] = 900  # bone
    assert separated(hu, inside, tumour, tumour, SPACING).iodine.sum() > 0
    inside[:, :10] = False
    assert separated(hu, inside, tumour, tumour, SPACING).iodine.sum() == 0
    nothing = separated(hu, np.zeros(SHAPE, bool), tumour, tumour, SPACING)
    assert nothing.iodine.sum() == 0 and nothing.tissue.all()


def test_tissue_is_read_beside_what_is_left_out() -> None:
    hu = np.full((20, 50, 53), 50, np.float32)
    hu[10:] = 100
    hu[:, 20:24] = 3000
    where = np.ones(hu.shape, bool)
    where[:, 18:26] = False
    found = local_tissue(hu, where, SPACING)
    assert found.shape == hu.shape
    assert found[1, 22, 26] == pytest.approx(50, abs=1) and found[18, 22, 26] == pytest.approx(100, abs=1)
    far = np.zeros(hu.shape, bool)
    far[0, 0, 0] = True
    assert local_tissue(hu, far, SPACING)[19, 49, 52] == 50  # nothing is near: the median of what there is
