"""Findings against closed forms, brute force and SimpleITK."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from MeWMLib.core.errors import GeometryMismatchError
from MeWMLib.core.io import to_sitk
from MeWMLib.core.volume import Geometry, LabelMap, Volume
from MeWMLib.perception.findings import (
    NECROSIS_HU,
    dice,
    longest_axial_diameter_mm,
    measure,
    viable_mask,
)
from MeWMLib.perception.findings_table import FIELDS, findings_rows, findings_table
from MeWMLib.perception.viability import NO_LIVER, OIL_HU, liver_reference


def grid(shape, spacing=(1.0, 1.0, 1.0), degrees=0.0) -> Geometry:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    affine = np.eye(4)
    affine[:3, :3] = np.array([[1, 0, 0], [0, c, -s], [0, s, c]]) @ np.diag(np.array(spacing[::-1]) * [-1, -1, 1])
    affine[:3, 3] = (30, -40, 50)
    return Geometry(shape, affine)


def ball(geometry: Geometry, centre_kji, radius: float) -> np.ndarray:
    index = np.stack(np.meshgrid(*map(np.arange, geometry.shape), indexing="ij"), -1)
    return np.linalg.norm(geometry.to_ras(index) - geometry.to_ras(centre_kji), axis=-1) <= radius


@pytest.mark.parametrize("degrees", [0.0, 20.0])
def test_spheres_have_their_volume_diameter_and_centre(degrees):
    geometry = grid((60, 70, 80), (1.5, 0.8, 0.8), degrees)
    large, small = ball(geometry, (30, 30, 25), 15.0), ball(geometry, (30, 55, 65), 6.0)
    labels = LabelMap((1 + large + small).astype(np.uint8), geometry)
    findings = measure(Volume(np.full(geometry.shape, 100, np.int16), geometry, "portal"), labels)
    assert findings.liver_ml == pytest.approx(np.prod(geometry.shape) * geometry.voxel_ml)
    assert [lesion.index for lesion in findings.lesions] == [1, 2]
    for lesion, radius, centre in zip(findings.lesions, (15.0, 6.0), ((30, 30, 25), (30, 55, 65)), strict=True):
        assert lesion.volume_ml == pytest.approx(4 / 3 * np.pi * radius**3 / 1000, rel=0.03)
        assert lesion.longest_axial_diameter_mm == pytest.approx(2 * radius, abs=1.0)
        assert np.allclose(lesion.centre_ras_mm, geometry.to_ras(centre), atol=0.2)
        assert lesion.viable_ml == pytest.approx(lesion.volume_ml)


def test_statistics_agree_with_simpleitk():
    rng = np.random.default_rng(3)
    geometry = grid((20, 30, 30), (2.0, 1.0, 1.0))
    labels = LabelMap(
        (1 + ball(geometry, (10, 10, 10), 8) + ball(geometry, (10, 24, 24), 4)).astype(np.uint8), geometry
    )
    ct = Volume(rng.normal(110, 90, geometry.shape).astype(np.float32), geometry)
    findings = measure(ct, labels, sizes_only=True)
    parts = sitk.RelabelComponent(sitk.ConnectedComponent(to_sitk(labels) == 2, True))
    stats = sitk.LabelIntensityStatisticsImageFilter()
    stats.Execute(parts, to_sitk(ct))
    for lesion in findings.lesions:
        assert lesion.mean_hu == pytest.approx(stats.GetMean(lesion.index), rel=1e-4)
        assert lesion.sd_hu == pytest.approx(stats.GetStandardDeviation(lesion.index), rel=1e-2)  # ITK divides by n - 1
        assert lesion.volume_ml == pytest.approx(stats.GetPhysicalSize(lesion.index) / 1000)
        assert np.allclose(np.array(stats.GetCentroid(lesion.index)) * (-1, -1, 1), lesion.centre_ras_mm)
        hu = ct.array[sitk.GetArrayFromImage(parts) == lesion.index]
        assert lesion.lipiodol_fraction == pytest.approx((hu >= OIL_HU).mean())
        assert lesion.necrotic_fraction == pytest.approx((hu < NECROSIS_HU).mean())
        viable = 1 - lesion.lipiodol_fraction - lesion.necrotic_fraction
        # what touches Lipiodol does not count as viable, so there is never more than this
        assert 0 <= lesion.viable_ml <= lesion.volume_ml * viable + 1e-9


def brute_force(mask: np.ndarray, step: tuple[float, float]) -> float:
    points = []
    for j, i in np.argwhere(mask):
        points += [(j - 0.5, i), (j + 0.5, i), (j, i - 0.5), (j, i + 0.5)]
    return max(float(np.linalg.norm((np.subtract(a, b)) * step)) for a, b in itertools.combinations(points, 2))


@pytest.mark.parametrize("seed", range(5))
def test_the_diameter_agrees_with_brute_force(seed):
    rng = np.random.default_rng(seed)
    mask = np.zeros((3, 9, 11), bool)
    mask[1] = rng.random((9, 11)) < 0.2
    mask[1, 4, 5] = mask[2, 0, 0] = True
    geometry = grid(mask.shape, (5.0, 0.7, 1.3))
    assert longest_axial_diameter_mm(mask, geometry) == pytest.approx(brute_force(mask[1], (0.7, 1.3)))


def test_axial_is_the_patients_axis_not_the_arrays():
    affine = np.zeros((4, 4))
    affine[2, 0] = affine[0, 1] = affine[1, 2] = affine[3, 3] = 1  # i runs to superior: a sagittal or coronal stack
    mask = np.zeros((5, 6, 30), bool)
    mask[1:4, 2, :] = True  # 30 mm long from head to foot, 3 mm in the axial plane
    assert longest_axial_diameter_mm(mask, Geometry(mask.shape, affine)) == pytest.approx(3.0)
    assert longest_axial_diameter_mm(np.zeros_like(mask), Geometry(mask.shape, affine)) == 0.0


def test_lesions_that_touch_at_a_corner_are_one():
    array = np.ones((6, 6, 6), np.uint8)
    array[1:3, 1:3, 1:3] = array[3:5, 3:5, 3:5] = 2
    geometry = grid(array.shape)
    findings = measure(Volume(np.zeros(array.shape, np.int16), geometry), LabelMap(array, geometry))
    assert len(findings.lesions) == 1 and findings.viable_ml == 0.0


def test_no_tumour_no_liver_and_another_grid():
    geometry = grid((4, 4, 4))
    ct = Volume(np.zeros((4, 4, 4), np.int16), geometry)
    findings = measure(ct, LabelMap(np.zeros((4, 4, 4), np.uint8), geometry))
    assert findings.lesions == () and findings.liver_ml == findings.tumour_ml == 0.0
    assert findings.liver_mean_hu is None  # no parenchyma is not a parenchyma of 0 HU
    other = grid((4, 4, 4), (2.0, 1.0, 1.0))
    with pytest.raises(GeometryMismatchError):
        measure(ct, LabelMap(np.zeros((4, 4, 4), np.uint8), other))


def test_dice():
    a, b = np.array([1, 1, 0, 0]), np.array([0, 1, 1, 0])
    assert dice(a, b) == 0.5 and dice(a, a) == 1.0 and dice(a, 0 * a) == 0.0 and dice(0 * a, 0 * a) == 1.0


def test_the_border_between_lipiodol_and_necrosis_is_not_alive() -> None:
    tumour = np.zeros((9, 9, 9), bool)
    tumour[1:8, 1:8, 1:8] = True
    hu = np.full(tumour.shape, 30.0)  # dead
    hu[4, 4, 2:6] = 400.0
    hu[4, 4, 6] = 120.0  # a mixed voxel beside the deposit
    hu[2, 2, 2] = 120.0  # viable tissue elsewhere
    hu[0, 0, 0] = 120.0  # outside
    found = viable_mask(hu, tumour)
    assert found[2, 2, 2] and found.sum() == 1
    hu[hu == 400] = 30.0
    assert viable_mask(hu, tumour).sum() == 2  # no deposit, nothing to be left out


def liver_with(lesion_centre, radius=6.0):
    """A liver of 60 x 90 x 90 mm in a larger image, LPS axes, with one lesion; HU 110 and 80."""
    geometry = grid((80, 110, 110))
    array = np.zeros(geometry.shape, np.uint8)
    array[10:70, 10:100, 10:100] = 1
    array[ball(geometry, lesion_centre, radius)] = 2
    return Volume(np.where(array == 2, 80, 110).astype(np.int16), geometry), LabelMap(array, geometry)


@pytest.mark.parametrize(
    ("centre", "words"),
    [
        ((60, 22, 22), "right part of the liver, front, upper"),
        ((20, 88, 88), "left part of the liver, back, lower"),
        ((40, 30, 55), "middle part of the liver, front, middle"),
    ],
)
def test_the_place_is_told_in_words(centre, words):
    (lesion,) = measure(*liver_with(centre)).lesions
    assert lesion.location.startswith(words)  # i runs to the left, j to posterior, k to superior


def test_distances_to_the_surface_and_to_vessels():
    ct, labels = liver_with((40, 55, 30), 8.0)
    vessels = np.zeros(labels.array.shape, bool)
    vessels[:, 55, 70] = True
    (lesion,) = measure(ct, labels, vessels).lesions
    assert lesion.liver_edge_mm == pytest.approx(30 - 8 - 10, abs=1.0)  # the liver begins at voxel 10 of i
    assert lesion.vessel_mm == pytest.approx(70 - 38, abs=1.0)
    assert "12 mm below its surface" in lesion.location or "13 mm below" in lesion.location
    (at_surface,) = measure(*liver_with((40, 55, 14), 6.0)).lesions
    assert at_surface.liver_edge_mm == 0.0 and at_surface.location.endswith("at its surface")
    assert at_surface.vessel_mm is None
    with pytest.raises(GeometryMismatchError, match="vessels"):
        measure(ct, labels, vessels[1:])


def test_the_border_of_the_image_is_no_surface_of_the_liver():
    array = np.ones((20, 20, 20), np.uint8)
    array[8:12, 8:12, 8:12] = 2
    geometry = grid(array.shape)
    (lesion,) = measure(Volume(np.full(array.shape, 90, np.int16), geometry), LabelMap(array, geometry)).lesions
    assert lesion.liver_edge_mm is None


def test_a_lesion_over_the_whole_liver_is_said_to_span_it():
    geometry = grid((40, 60, 90))
    array = np.zeros(geometry.shape, np.uint8)
    array[5:35, 5:55, 5:85] = 1
    array[8:32, 8:52, 8:82] = 2
    (lesion,) = measure(Volume(np.full(array.shape, 90, np.int16), geometry), LabelMap(array, geometry)).lesions
    assert lesion.location.startswith("right to left part of the liver, front to back, upper to lower")


def test_the_viable_diameter_leaves_out_dead_tissue_and_noise():
    ct, labels = liver_with((40, 55, 55), 20.0)
    hu = ct.array.copy()
    hu[(labels.array == 2) & (np.arange(110) >= 55)[None, None, :]] = 20  # the left half is dead
    hu[40, 55, 70] = 90  # a single bright voxel in it
    (lesion,) = measure(Volume(hu, ct.geometry, "arterial"), labels).lesions
    assert lesion.longest_axial_diameter_mm == pytest.approx(41, abs=1.5)
    assert lesion.viable_diameter_mm == pytest.approx(41, abs=2.0)  # the cut runs along the long side
    assert lesion.necrotic_fraction == pytest.approx(0.5, abs=0.06)
    hu[(labels.array == 2) & (np.arange(110) >= 45)[None, None, :]] = 20
    (lesion,) = measure(Volume(hu, ct.geometry, "arterial"), labels).lesions
    # the averaging moves the border of dead tissue by up to its width (2 mm) into what lives
    assert 2 * np.sqrt(20**2 - 13**2) - 2 < lesion.viable_diameter_mm < 2 * np.sqrt(20**2 - 10**2) + 1
    hu[labels.array == 2] = 10
    (dead,) = measure(Volume(hu, ct.geometry, "arterial"), labels).lesions
    assert dead.viable_diameter_mm == 0.0 and dead.hu_low == dead.hu_high == 10.0
    assert dead.necrotic_fraction == 1.0 and dead.viable_ml == 0.0


@pytest.mark.parametrize(
    ("phase", "told", "mrecist"),
    [("arterial", True, True), ("portal", True, False), ("delayed", True, False), ("non-contrast", False, False),
     ("unknown", False, False)],
)  # fmt: skip
def test_what_lives_is_told_only_in_phases_that_tell_and_mrecist_in_the_arterial_one(phase, told, mrecist):
    ct, labels = liver_with((40, 55, 55), 20.0)
    (lesion,) = measure(Volume(ct.array, ct.geometry, phase), labels).lesions
    assert (lesion.viable_ml is not None) == (lesion.necrotic_fraction is not None) == told
    assert (lesion.viable_diameter_mm is not None) == mrecist and lesion.lipiodol_fraction == 0.0
    # what is known better than the scan's own field counts
    (again,) = measure(Volume(ct.array, ct.geometry, phase), labels, phase="arterial").lesions
    assert again.viable_diameter_mm is not None
    # on the cube of the latent model two limits tell it whatever the phase
    (patch,) = measure(Volume(ct.array, ct.geometry, phase), labels, sizes_only=True).lesions
    assert patch.viable_ml == pytest.approx(patch.volume_ml) and patch.viable_diameter_mm is None
    # and on the region of the model on coarse maps all that is no Lipiodol lives where the phase does not tell
    (region,) = measure(
        Volume(ct.array, ct.geometry, phase), labels, sizes_only=True, liver=liver_reference(ct, labels, phase)
    ).lesions
    assert region.viable_ml == pytest.approx(patch.volume_ml) and (region.necrotic_fraction is not None) == told
    oil = np.where(labels.tumour & (np.arange(ct.array.shape[2]) < 27), 500, ct.array)
    (half,) = measure(Volume(oil, ct.geometry, phase), labels, sizes_only=True, liver=NO_LIVER).lesions
    assert half.viable_ml == pytest.approx((oil[labels.tumour] < 300).sum() * ct.geometry.voxel_ml)
    assert half.viable_ml + half.volume_ml * half.lipiodol_fraction == pytest.approx(half.volume_ml)


def test_noise_of_a_scanner_makes_no_tissue_dead():
    """Single voxels of a noisy scan are under any limit; averaged density against the scan's own liver is not."""
    ct, labels = liver_with((40, 55, 55), 20.0)
    noisy = ct.array + np.random.default_rng(1).normal(0, 30, ct.array.shape)
    (lesion,) = measure(Volume(noisy.astype(np.float32), ct.geometry, "portal"), labels).lesions
    (limits,) = measure(Volume(noisy.astype(np.float32), ct.geometry, "portal"), labels, sizes_only=True).lesions
    assert lesion.necrotic_fraction == pytest.approx(0.0, abs=0.01) and limits.necrotic_fraction > 0.1
    scan = Volume(noisy.astype(np.float32), ct.geometry, "portal")
    (told,) = measure(scan, labels, sizes_only=True, liver=liver_reference(scan, labels)).lesions
    assert (told.necrotic_fraction, told.viable_ml) == (lesion.necrotic_fraction, lesion.viable_ml)
    assert told.viable_diameter_mm is None and told.location == ""


def test_the_table_holds_every_lesion_and_its_place():
    ct, labels = liver_with((60, 22, 22))
    found = measure(ct, labels)
    (row,) = findings_rows(found)
    assert tuple(row) == FIELDS and row["lesion"] == 1 and row["vessel_mm"] == "" and row["mean_hu"] == 80.0
    lines = findings_table([{"patient": "p1", **row}]).splitlines()
    assert (
        lines[0].split()[:5] == ["patient", "lesion", "volume_ml", "recist_mm", "mrecist_mm"]
        and "right part" in lines[1]
    )
    assert findings_table([]) == ""
    assert row["location"].startswith("right part of the liver, front, upper")


@pytest.mark.parametrize("seed", range(4))
def test_slices_that_are_too_narrow_are_not_measured_and_nothing_is_missed(seed):
    rng = np.random.default_rng(seed)
    mask = ndimage.gaussian_filter(rng.standard_normal((9, 24, 20)), 2) > 0.03
    geometry = Geometry(mask.shape, np.diag([1.3, 0.7, 2.0, 1.0]))
    each = [longest_axial_diameter_mm(mask[n : n + 1], geometry) for n in range(len(mask))]
    assert longest_axial_diameter_mm(mask, geometry) == pytest.approx(max(each), abs=1e-9)


def test_sizes_alone_are_those_of_a_whole_measurement():
    geometry = Geometry((24, 24, 24), np.eye(4))
    z, y, x = np.mgrid[:24, :24, :24] - 11.5
    labels = np.where(z**2 + y**2 + x**2 < 7**2, 2, 1).astype(np.uint8)
    hu = np.random.default_rng(0).normal(90, 30, labels.shape).astype(np.float32)
    whole, sizes = (
        measure(Volume(hu, geometry), LabelMap(labels, geometry), sizes_only=only).lesions[0] for only in (False, True)
    )
    told = {name: getattr(sizes, name) for name in ("lipiodol_fraction", "necrotic_fraction", "viable_ml")}
    unknown = {"viable_diameter_mm": None, "liver_edge_mm": None, "vessel_mm": None, "location": ""}
    assert sizes == replace(whole, **unknown, **told)
    assert whole.location
