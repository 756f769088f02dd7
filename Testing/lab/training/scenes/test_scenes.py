"""Scenes around label maps: what is drawn around the liver and inside it is no tumour, and what dies in a tumour is."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from MeWMLib.cohorts.synthetic.fields import Axes
from MeWMLib.lab.training.scenes import chest, gut, vessels
from MeWMLib.lab.training.scenes.canvas import FAR, Canvas, Piece
from MeWMLib.lab.training.scenes.draw import MapAnatomy, draw_scenes
from MeWMLib.lab.training.scenes.lesions import LesionLook, paint_lesions
from MeWMLib.lab.training.scenes.outlines import read_map, warped

SIDE, STEP = 56, 5.0


def canvas(seed: int = 0, phase: str = "portal") -> Canvas:
    """A liver of 8 cm at the middle of fat, chest wall on the right, lung above; 5 mm voxels, 28 cm wide."""
    steps = STEP * (np.arange(SIDE, dtype=np.float32) - SIDE / 2)
    axes = Axes(steps, -steps, -steps)
    z, y, x = axes.grids
    liver = np.asarray(80 - np.sqrt(z**2 + y**2 + (x - 20) ** 2), np.float32)
    rng = np.random.default_rng(seed)
    fine, wide = (ndimage.gaussian_filter(rng.standard_normal((SIDE,) * 3), s) for s in (1.0, 4.0))
    wall = np.broadcast_to(110 - np.sqrt(x**2 + y**2), liver.shape).astype(np.float32)
    hu = np.where(wall > 0, -100.0, np.where(wall > -14, 60.0, -1000.0))
    dome = np.maximum(np.broadcast_to(70 - z, liver.shape), liver + 4).astype(np.float32)
    hu = np.where((dome < 0) & (wall > 0), -850, hu)
    hu = np.where(liver > 0, 105, hu).astype(np.float32)
    blood = 45.0 if phase == "none" else 170.0
    tissue = {"liver": 105.0, "vessel": blood, "aorta": blood, "spleen": 120.0, "kidney": 170.0, "muscle": 60.0}
    fields = [np.asarray(f / f.std(), np.float32) for f in (fine, wide)]
    return Canvas(axes, hu, liver, liver.copy(), wall, dome, *fields, tissue, phase, 1.0, rng)


def test_a_scene_is_drawn_from_its_seed_and_labels_follow_the_image(maps) -> None:
    array, spacing = read_map(maps / "case_000.nii.gz")
    first, again = (draw_scenes(array, spacing, 3, 64) for _ in range(2))
    for a, b in zip(first, again, strict=True):
        assert np.array_equal(a.hu, b.hu) and np.array_equal(a.labels, b.labels)
    for scene in first:
        assert scene.hu.shape == scene.labels.shape == (64, 64, 64) and 1.3 < scene.spacing_mm < 2.3
        assert set(np.unique(scene.labels)) <= {0, 1, 2} and (scene.labels == 1).any()
        liver = scene.hu[ndimage.binary_erosion(scene.labels == 1, iterations=2)]
        assert -60 < np.median(liver) < 220 and liver.std() < 90
        assert scene.hu.min() < -500  # lung or air
    assert not np.array_equal(first[0].hu, first[1].hu)
    assert not np.array_equal(first[0].hu, draw_scenes(array, spacing, 4, 64)[0].hu)


def test_some_scenes_have_no_tumour(maps) -> None:
    array, spacing = read_map(maps / "case_000.nii.gz")
    empty = [not (scene.labels == 2).any() for seed in range(8) for scene in draw_scenes(array, spacing, seed, 24)]
    assert 0 < np.mean(empty) < 0.6


@pytest.mark.parametrize("draw", [*chest.ALL, *gut.ALL])
def test_neighbours_are_drawn_outside_of_the_liver_only(draw) -> None:
    changed = 0
    for seed in range(4):
        drawn, before = canvas(seed), canvas(seed)
        draw(drawn)
        assert np.isfinite(drawn.hu).all()
        # a gallbladder that is sunk into the liver is taken out of it
        inside = drawn.liver > 0
        assert np.array_equal(drawn.hu[inside], before.hu[inside]) and not (inside & (before.liver <= 0)).any()
        changed += int((drawn.hu != before.hu).sum())
    assert changed > 100


@pytest.mark.parametrize("phase", ["portal", "inflow", "arterial", "none"])
def test_what_is_drawn_inside_stays_liver(phase) -> None:
    shares, darker = [], []
    for seed in range(5):
        drawn, before = canvas(seed, phase), canvas(seed, phase)
        vessels.draw_vessels(drawn)
        assert np.array_equal(drawn.liver, before.liver)
        inside = drawn.liver > 0
        difference = (drawn.hu - before.hu)[inside]
        shares.append((difference > 25).mean())
        darker.append((difference < -8).mean())
    assert phase != "portal" or np.mean(shares) > 0.004  # 170 HU in 105, thick enough to be seen on 5 mm
    # portal and hepatic veins are no brighter than the liver yet; arteries are, and thin
    assert phase != "arterial" or np.mean(darker) > 2 * np.mean(shares)
    assert phase != "none" or np.mean(shares) == 0  # unenhanced blood is darker than this liver


def test_the_heart_holds_a_pool_of_a_ventricles_size_on_the_dome() -> None:
    found = []
    for seed in range(12):
        drawn = canvas(seed)
        blood = drawn.tissue["aorta"]
        chest.draw_heart(drawn)
        above = (drawn.dome <= 1) & (np.abs(drawn.hu - blood) < 45)
        parts, count = ndimage.label(above)
        found.append(max((np.bincount(parts.ravel())[1:] * STEP**3 / 1000).tolist(), default=0.0) if count else 0.0)
        heart = (drawn.hu > 20) & (drawn.dome <= 1) & (drawn.wall > 2)
        if count:
            z = drawn.axes.grids[0]
            assert (z + 0 * drawn.hu)[heart].min() < 80  # it touches the diaphragm at 70 mm
    large = [ml for ml in found if ml > 20]
    assert len(large) >= 6 and max(large) < 500


def test_ribs_are_shells_and_cartilage_is_softer() -> None:
    drawn = canvas(1)
    chest.draw_ribs(drawn)
    bone = drawn.hu > 280
    assert bone.sum() > 100 and (drawn.wall[bone] > -30).all() and (drawn.liver[bone] <= 0).all()
    front = drawn.axes.grids[1] > 70
    soft = (drawn.hu > 70) & (drawn.hu < 170) & (drawn.wall < 2) & front
    assert soft.sum() > 20  # cartilage of 75 to 150 HU in front


def test_a_tube_is_as_wide_as_it_is_said_to_be() -> None:
    drawn = canvas()
    depth = drawn.tubes([Piece((0.0, 0.0, -60.0), (0.0, 0.0, 60.0), 12.0, 12.0)])
    z, y, x = drawn.axes.grids
    expected = 12 - np.sqrt(z**2 + y**2) + 0 * x
    straight = (np.abs(x) < 50) & (expected > 0)
    assert np.allclose(depth[straight], expected[straight], atol=1e-4)
    assert (depth[np.broadcast_to(np.abs(x) > 90, depth.shape)] == FAR).all()
    assert drawn.surface((0, 0, 1))[2] == pytest.approx(100, abs=6)


@pytest.mark.parametrize(
    "kind",
    [
        {"oil_share": 1.0, "core_share": 1.0, "oil_hu": 600.0},
        {"calcium_share": 0.9},
        {"core_share": 1.0, "gas_share": 0.1},
    ],
)
def test_what_is_dense_or_holds_gas_in_a_tumour_stays_tumour(kind) -> None:
    axes = canvas().axes
    z, y, x = axes.grids
    distance = np.asarray(30 - np.sqrt(z**2 + y**2 + x**2), np.float32)
    plain = replace(
        LesionLook.draw(np.random.default_rng(0), False),
        core_share=0.0,
        oil_share=0.0,
        calcium_share=0.0,
        gas_share=0.0,
    )
    hu = np.full(distance.shape, 100, np.float32)
    mask = paint_lesions(hu, distance, np.ones(hu.shape, bool), axes, replace(plain, soft_mm=1.0, **kind), 100.0, 4)
    assert np.array_equal(mask, distance > 0)
    odd = (hu > 140) if "gas_share" not in kind else hu < -300
    assert odd[distance > 2].mean() > (0.8 if "gas_share" not in kind else 0.03) and not odd[distance < -4].any()


def test_vessels_of_a_plain_scan_in_a_fatty_liver_are_brighter_than_it(maps) -> None:
    array, spacing = read_map(maps / "case_000.nii.gz")
    shape = warped(array, spacing, np.random.default_rng(0)).liver
    drawn = [MapAnatomy.around(seed, shape) for seed in range(400)]
    assert {a.contrast for a in drawn} == {"portal", "inflow", "arterial", "none"}
    plain = [a.tissue for a in drawn if a.contrast == "none"]
    darker = [t["vessel"] < t["liver"] for t in plain]
    assert 0.5 < np.mean(darker) < 0.95 and all(27 < t["vessel"] < 59 for t in plain)
    assert all(a.tissue["vessel"] > a.tissue["liver"] for a in drawn if a.contrast == "portal")
