"""Tissue against the scan's own liver: phantoms of known parts, noise, phases, and the healthy livers of real scans."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from MeWMLib.core.errors import GeometryMismatchError, InputError
from MeWMLib.core.io import read_labels, read_volume
from MeWMLib.core.volume import Geometry, LabelMap, Volume
from MeWMLib.perception import viability
from MeWMLib.perception.viability import (
    OIL_HU,
    LiverReference,
    liver_reference,
    smoothed,
    tissue_of,
)

SHAPE = (24, 60, 60)
GRID = Geometry(SHAPE, np.diag([-1.5, -1.5, 2.5, 1.0]))
INDEX = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), -1) * GRID.spacing


def ball(centre_mm: tuple[float, float, float], radius_mm: float) -> np.ndarray:
    return np.linalg.norm(INDEX - centre_mm, axis=-1) <= radius_mm


MASS = ball((30.0, 45.0, 45.0), 20.0)
CORE = ball((30.0, 45.0, 45.0), 12.0)


def scan(liver: float, rim: float, core: float, noise: float = 0.0, phase: str = "arterial") -> tuple[Volume, LabelMap]:
    """Liver everywhere but at the border, and a mass of a rim and a core."""
    labels = np.zeros(SHAPE, np.uint8)
    labels[1:-1, 3:-3, 3:-3] = 1
    hu = np.where(labels == 1, liver, -90.0)
    hu[MASS], hu[CORE] = rim, core
    labels[MASS] = 2
    hu = hu + np.random.default_rng(0).normal(0, noise, SHAPE)
    return Volume(np.rint(hu).astype(np.int16), GRID, phase), LabelMap(labels, GRID)


def parts(ct: Volume, labels: LabelMap) -> dict[str, float]:
    """Share of the core and of the rim (2 mm from either border) in each mask."""
    found = tissue_of(ct, labels.tumour, liver_reference(ct, labels))
    core = ndimage.binary_erosion(CORE, iterations=2)
    rim = ndimage.binary_erosion(MASS, iterations=2) & ~ndimage.binary_dilation(CORE, iterations=2)
    names = ("viable", "necrotic", "lipiodol", "unknown")
    return {f"{n} {w}": float(getattr(found, n)[m].mean()) for n in names for w, m in (("core", core), ("rim", rim))}


@pytest.mark.parametrize("noise", [0.0, 8.0, 35.0])
def test_an_enhancing_rim_around_a_dead_core_is_told_apart_whatever_the_noise(noise: float) -> None:
    found = parts(*scan(70.0, 120.0, 25.0, noise))
    assert found["viable rim"] > 0.97 and found["necrotic core"] > 0.97
    assert found["lipiodol core"] == 0


def test_the_masks_are_a_division_of_the_region() -> None:
    ct, labels = scan(70.0, 120.0, 25.0, 15.0)
    oily = ct.array.copy()
    oily[ball((30.0, 45.0, 60.0), 5.0)] = 900
    ct = ct.with_array(oily)
    found = tissue_of(ct, labels.tumour, liver_reference(ct, labels))
    masks = np.stack([found.lipiodol, found.necrotic, found.viable, found.unknown])
    assert np.array_equal(masks.sum(0), labels.tumour.astype(int))
    assert not (found.bright & ~found.viable).any() and found.tells
    # Lipiodol counts in the scan as it is, voxel by voxel
    assert np.array_equal(found.lipiodol, labels.tumour & (ct.array >= OIL_HU))
    beside = ndimage.binary_dilation(found.lipiodol) & labels.tumour & ~found.lipiodol
    assert found.unknown[beside].all()


@pytest.mark.parametrize(("liver", "tumour", "alive"), [(60.0, 62.0, True), (60.0, 30.0, False), (100.0, 98.0, True)])
def test_arterial_tissue_is_viable_if_it_is_not_darker_than_the_liver(liver, tumour, alive) -> None:
    found = parts(*scan(liver, tumour, tumour, 12.0))
    assert found["viable rim" if alive else "necrotic rim"] > 0.95


@pytest.mark.parametrize(("tumour", "alive"), [(85.0, True), (70.0, True), (40.0, False), (25.0, False)])
def test_portal_washout_is_not_necrosis(tumour: float, alive: bool) -> None:
    """A liver of 110 HU: viable tumour washes out to 70 or 85; what was never perfused is near 30."""
    found = parts(*scan(110.0, tumour, tumour, 12.0, "portal"))
    assert found["viable core" if alive else "necrotic core"] > 0.95


@pytest.mark.parametrize("phase", ["non-contrast", "unknown"])
def test_without_a_telling_phase_only_oil_is_told(phase: str) -> None:
    ct, labels = scan(60.0, 40.0, 500.0, 0.0, phase)
    found = tissue_of(ct, labels.tumour, liver_reference(ct, labels))
    assert not found.tells and not (found.viable | found.necrotic).any()
    assert np.array_equal(found.lipiodol, CORE) and np.array_equal(found.unknown, MASS & ~CORE)
    assert not tissue_of(ct, labels.tumour, None).tells


def test_thin_oil_is_neither_tissue_nor_oil() -> None:
    found = parts(*scan(70.0, 120.0, 250.0))
    assert found["unknown core"] > 0.95 and found["lipiodol core"] == 0


def test_the_reference_is_the_liver_without_tumour_and_border() -> None:
    ct, labels = scan(83.0, 400.0, -20.0, 10.0)
    found = liver_reference(ct, labels)
    assert found.median_hu == pytest.approx(83, abs=0.7) and found.deviation_hu < 5 and found.phase == "arterial"
    assert found.liver_ml < float((labels.array == 1).sum()) * GRID.voxel_ml
    assert liver_reference(ct, labels, "portal").phase == "portal"
    small = LabelMap((labels.array * ball((30.0, 45.0, 45.0), 21.0)).astype(np.uint8), GRID)
    assert liver_reference(ct, small) is None
    assert liver_reference(ct, LabelMap(np.zeros(SHAPE, np.uint8), GRID)) is None
    with pytest.raises(InputError, match="phase"):
        liver_reference(ct, labels, "late")
    other = LabelMap(labels.array[:-1], Geometry((SHAPE[0] - 1, *SHAPE[1:]), GRID.affine))
    with pytest.raises(GeometryMismatchError):
        liver_reference(ct, other)
    with pytest.raises(InputError, match="region"):
        tissue_of(ct, np.zeros((2, 2, 2), bool), found)


def test_limits_are_those_that_the_text_says() -> None:
    arterial, portal = LiverReference("arterial", 70, 4, 500), LiverReference("portal", 110, 4, 500)
    assert arterial.margin_hu == 12 and arterial.bright_from_hu == 82
    assert arterial.dead_below_hu == pytest.approx(35 + 0.4 * 35)
    assert portal.dead_below_hu == pytest.approx(35 + 0.4 * 75)  # nearer to tissue without contrast than to the liver
    assert LiverReference("portal", 60, 8, 500).dead_below_hu == pytest.approx(min(40, 45))


def test_fat_in_the_outline_is_not_necrosis() -> None:
    found = parts(*scan(110.0, 120.0, -80.0, 8.0, "portal"))
    assert found["unknown core"] > 0.95 and found["necrotic core"] < 0.05


def test_smoothing_takes_nothing_from_outside() -> None:
    hu = np.full(SHAPE, 500.0)
    hu[MASS] = 40.0
    assert np.abs(smoothed(hu, MASS, GRID)[MASS] - 40).max() < 1e-3


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["HCC_004_pre", "HCC_004_post", "HCC_007_pre", "HCC_007_post"])
def test_a_healthy_liver_is_not_dead(shared_data, name: str) -> None:
    folder = shared_data / "hcc_tace_real"
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}")
    ct = read_volume(folder / f"{name}_portal_1p5mm.nii.gz")
    labels = read_labels(folder / f"{name}_portal_labels_APPROX_1p5mm.nii.gz", ct.geometry)
    healthy = labels.array == 1
    found = tissue_of(ct, healthy, liver_reference(ct, labels, "portal"))
    assert found.necrotic.sum() < 0.05 * healthy.sum()


def test_the_liver_is_measured_slab_by_slab_as_it_would_be_at_once():
    """Depth and averaged density do not depend on how many slices are looked at together."""
    draw = np.random.default_rng(4)
    mask = ndimage.binary_opening(ndimage.gaussian_filter(draw.random((50, 40, 44)), 3) > 0.495)
    hu = draw.normal(100, 30, mask.shape).astype(np.int16)
    for spacing in ((2.5, 0.75, 0.75), (0.8, 0.7, 0.7), (5.0, 1.0, 1.0)):
        grid = Geometry(mask.shape, np.diag([*spacing[::-1], 1.0]))
        for deep in (2.0, 6.0):
            expected = ndimage.distance_transform_edt(mask, sampling=spacing) > deep
            assert np.array_equal(viability._deeper(mask, deep, grid), expected)
        inner = viability._deeper(mask, 2.0, grid)
        expected = smoothed(hu, mask, grid)[inner]
        assert np.array_equal(viability._smoothed_at(inner, hu, mask, grid), expected)
    assert viability._smoothed_at(np.zeros(mask.shape, bool), hu, mask, grid).shape == (0,)
