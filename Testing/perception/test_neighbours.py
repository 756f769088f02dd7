"""Blood, bone and gut that a network calls tumour, in drawn abdomens of which every part is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import ndimage

from MeWMLib.core.errors import GeometryMismatchError
from MeWMLib.core.questions import Question
from MeWMLib.core.volume import Geometry, LabelMap, Volume
from MeWMLib.perception import neighbours
from MeWMLib.perception.neighbours import cleaned, without_neighbours
from MeWMLib.perception.postprocess import clean
from MeWMLib.perception.removals import Removal, question_removed
from MeWMLib.perception.surroundings import Surroundings
from MeWMLib.perception.viability import liver_reference

#: An abdomen of 240 x 200 x 240 mm in voxels of 3 mm, array axes superior, posterior, left; the liver's HU is 100.
STEP, SHAPE, LIVER_HU, BLOOD_HU = 3.0, (80, 66, 80), 100.0, 165.0
Mask = np.ndarray


def grids() -> tuple[np.ndarray, ...]:
    """mm from the middle: up, back, left."""
    return np.meshgrid(*(STEP * (np.arange(n) - (n - 1) / 2) for n in SHAPE), indexing="ij", sparse=True)


def ball(up: float, back: float, left: float, radius: float, stretch: float = 1.0) -> Mask:
    z, y, x = grids()
    return ((z - up) / stretch) ** 2 + (y - back) ** 2 + (x - left) ** 2 <= radius**2


def rod(a: tuple[float, float, float], b: tuple[float, float, float], radius: float) -> Mask:
    start, way = np.array(a), np.array(b) - np.array(a)
    off = [g - s for g, s in zip(grids(), start, strict=True)]
    along = np.clip(sum(o * w for o, w in zip(off, way, strict=True)) / (way @ way), 0, 1)
    return sum((o - along * w) ** 2 for o, w in zip(off, way, strict=True)) <= radius**2


class Abdomen:
    """A liver of 60 mm radius on the right under a lung, in fat, in a wall of muscle with ribs; an aorta beside it."""

    def __init__(self, blood: float = BLOOD_HU) -> None:
        z, y, x = grids()
        body = (y / 90) ** 2 + (x / 112) ** 2 <= 1 + 0 * z
        inner = (y / 74) ** 2 + (x / 96) ** 2 <= 1 + 0 * z
        self.liver = ball(-10, 0, -30, 60)
        self.hu = np.where(body, np.where(inner, -95.0, 55.0), -1000.0) + 0 * z
        self.hu[inner & (z > 30)] = -850  # lung
        self.hu[self.liver] = LIVER_HU
        self.ribs = body & ~inner & ((z % 24) < 9) & ((y / 86) ** 2 + (x / 108) ** 2 <= 1)
        self.hu[self.ribs] = 450
        self.aorta = rod((-120, 55, 15), (120, 55, 15), 11)
        self.hu[self.aorta] = blood
        self.labels = self.liver.astype(np.uint8)
        self.blood = blood

    def paint(self, where: Mask, hu: float, label: int | None = None, spread: float = 0.0) -> Mask:
        self.hu[where] = hu + spread * np.random.default_rng(1).standard_normal(int(where.sum()))
        if label is not None:
            self.labels[where] = label
        return where

    @property
    def geometry(self) -> Geometry:
        return Geometry(SHAPE, np.diag([-STEP, -STEP, STEP, 1.0]))

    def scan(self, monkeypatch: pytest.MonkeyPatch, noise: float = 12.0) -> tuple[Volume, LabelMap]:
        """With noise; the density of the aorta is that which was drawn (how it is found is tested with the phase)."""
        guess = type("Guess", (), {"aorta_hu": self.blood})
        monkeypatch.setattr(neighbours, "guess_phase", lambda ct: guess)
        hu = ndimage.gaussian_filter(self.hu, 0.4) + noise * np.random.default_rng(0).standard_normal(SHAPE)
        return Volume(np.rint(hu).astype(np.int16), self.geometry), LabelMap(self.labels, self.geometry)


def share(found: LabelMap, mask: Mask) -> float:
    """Of a mask that is tumour."""
    return float(found.tumour[mask].mean())


def heart(abdomen: Abdomen) -> tuple[Mask, Mask]:
    """Muscle around a chamber on the dome of the liver; all of it, and the chamber."""
    whole, chamber = ball(62, -15, 0, 36), ball(62, -15, 0, 25)
    whole &= ~abdomen.liver
    abdomen.paint(whole, 90)
    abdomen.paint(chamber & whole, abdomen.blood)
    return whole, chamber & whole


@pytest.mark.parametrize("blood", [BLOOD_HU, 330.0])
@pytest.mark.parametrize("outlined", ["chamber", "whole"])
def test_a_ventricle_is_no_tumour(blood, outlined, monkeypatch) -> None:
    abdomen = Abdomen(blood)
    whole, chamber = heart(abdomen)
    lesion = abdomen.paint(ball(-20, 0, -40, 14), 65, 2)
    abdomen.labels[whole] = 1  # the liver's outline leaks into the muscle
    abdomen.labels[whole if outlined == "whole" else chamber] = 2
    scan = abdomen.scan(monkeypatch)
    found, removed = cleaned(*scan)
    if outlined == "whole":  # with no liver around it, its place alone tells
        assert not clean(scan[1]).tumour[whole].any() and not found.liver[whole].any() and removed == ()
        return
    assert share(clean(scan[1]), chamber) > 0.9  # geometry alone keeps it
    assert share(found, whole) < 0.03 and share(found, lesion) > 0.97
    assert found.liver[whole].mean() < 0.25 and found.liver[abdomen.liver].mean() > 0.98
    taken = max(removed, key=lambda one: one.volume_ml * one.was_tumour)
    assert taken.kind == "blood" and taken.volume_ml > 0.8 * chamber.sum() * STEP**3 / 1000
    true = abdomen.geometry.to_ras(np.argwhere(chamber)).mean(0)
    assert np.linalg.norm(np.array(taken.centre_ras_mm) - true) < 12


def test_a_branch_of_the_portal_vein_is_liver(monkeypatch) -> None:
    abdomen = Abdomen()
    abdomen.paint(rod((-60, 30, 40), (-15, 5, -20), 6), BLOOD_HU)
    branch = abdomen.paint(rod((-15, 5, -20), (0, -20, -50), 6), BLOOD_HU)
    abdomen.paint(rod((-60, 30, 40), (-110, 40, 40), 8), BLOOD_HU)
    outlined = ndimage.binary_dilation(branch) & abdomen.liver
    abdomen.labels[outlined] = 2
    asked: list[Question] = []
    found, removed = cleaned(*abdomen.scan(monkeypatch), asked)
    assert not found.tumour.any() and found.liver[outlined].mean() > 0.98
    assert {one.kind for one in removed} == {"blood"} and asked == list(question_removed(removed))


@pytest.mark.parametrize("mass", [False, True])
def test_a_rib_is_cut_off_and_the_mass_beside_it_stays(mass, monkeypatch) -> None:
    abdomen = Abdomen()
    rib = abdomen.ribs & ball(0, 0, -105, 30)
    lesion = abdomen.paint(ball(0, 0, -70, 18) & abdomen.liver, 60) if mass else np.zeros(SHAPE, bool)
    abdomen.labels[lesion] = 2
    between = rod((0, 0, -80), (0, 0, -104), 9) & ~abdomen.liver
    abdomen.labels[between | (ndimage.binary_dilation(rib) & ball(0, 0, -105, 30))] = 2
    ct, labels = abdomen.scan(monkeypatch)
    found, removed = without_neighbours(ct, labels)
    assert share(found, rib) < 0.05
    assert removed and {one.kind for one in removed} == {"dense"}
    if mass:
        assert share(found, lesion) > 0.95


def test_contrast_in_the_stomach_is_no_tumour(monkeypatch) -> None:
    abdomen = Abdomen()
    stomach = ball(-20, -10, 58, 30) & ~abdomen.liver
    abdomen.paint(stomach, 70)
    filling = abdomen.paint(ball(-20, -10, 60, 25) & ~abdomen.liver, 380)
    abdomen.labels[stomach & (grids()[2] < 50)] = 2
    found, _ = without_neighbours(*abdomen.scan(monkeypatch))
    assert share(found, filling) < 0.02


def test_gas_beside_it_tells_a_stomach(monkeypatch) -> None:
    abdomen = Abdomen()
    stomach = abdomen.paint(ball(-20, -10, 58, 30) & ~abdomen.liver, 60, 2)
    abdomen.paint(stomach & (grids()[1] < -14), -990, 0)
    found, removed = without_neighbours(*abdomen.scan(monkeypatch))
    assert not found.tumour.any() and [one.kind for one in removed] == ["gut"]


def dark(abdomen: Abdomen, lesion: Mask) -> None:
    abdomen.paint(lesion, 60, 2)


def calcified(abdomen: Abdomen, lesion: Mask) -> None:
    abdomen.paint(lesion, 60, 2)
    abdomen.paint(lesion & ndimage.binary_erosion(lesion, iterations=2), 600, 2, 200)


def oily(abdomen: Abdomen, lesion: Mask) -> None:
    abdomen.paint(lesion, 450, 2, 150)


def thinly_oily(abdomen: Abdomen, lesion: Mask) -> None:
    abdomen.paint(lesion, BLOOD_HU, 2, 30)


def enhancing(abdomen: Abdomen, lesion: Mask) -> None:
    abdomen.paint(lesion, BLOOD_HU, 2)


def with_a_vessel(abdomen: Abdomen, lesion: Mask) -> None:
    abdomen.paint(lesion, 60, 2)
    abdomen.paint(rod((-60, 30, 40), (-10, 5, -40), 4), BLOOD_HU)


@pytest.mark.parametrize("place", [(-10.0, 0.0, -40.0), (-35.0, -35.0, -30.0)], ids=["inside", "at the surface"])
@pytest.mark.parametrize("radius", [12.0, 24.0])
@pytest.mark.parametrize("look", [dark, calcified, oily, thinly_oily, enhancing, with_a_vessel])
def test_true_tumours_stay(look: Callable[[Abdomen, Mask], None], radius, place, monkeypatch) -> None:
    abdomen = Abdomen()
    lesion = ball(*place, radius) & abdomen.liver
    look(abdomen, lesion)
    found, removed = cleaned(*abdomen.scan(monkeypatch))
    assert share(found, lesion) > 0.97 and not [one for one in removed if one.was_tumour and one.volume_ml > 1]


LOOKS = (dark, calcified, oily, thinly_oily, enhancing)


def beside_a_rib(abdomen: Abdomen, rng: np.random.Generator) -> Mask:
    """Under the capsule at the side, where muscle of 6 mm parts it from a rib."""
    up, back = rng.uniform(-30, 10), rng.uniform(-15, 15)
    side = np.sqrt(60**2 - (up + 10) ** 2 - back**2)
    radius = rng.uniform(10, 22)
    return ball(up, back, -30 - side + 0.7 * radius, radius) & abdomen.liver


def beside_a_stomach(abdomen: Abdomen, rng: np.random.Generator) -> Mask:
    """A mass that bulges out to a stomach with bright contrast under gas; its wall of 5 mm is between them."""
    radius = rng.uniform(18, 26)
    up, back = rng.uniform(-30, 0), rng.uniform(-25, 0)
    lesion = ball(up, back, 28, radius)
    whole = ball(up, back - 4, 32 + radius + 26, 32) & ~abdomen.liver & ~lesion
    inside = whole & (ndimage.distance_transform_edt(whole, sampling=STEP) > 5)
    abdomen.paint(whole, 75)
    abdomen.paint(inside, 300)
    abdomen.paint(inside & (grids()[1] < back - 8), -990)
    return lesion


def fed(abdomen: Abdomen, rng: np.random.Generator) -> Mask:
    """Reached by an artery as thick as any, which leaves the aorta."""
    centre = (rng.uniform(-35, 5), rng.uniform(-20, 20), rng.uniform(-60, -20))
    abdomen.paint(rod((-20, 50, 15), centre, 3), abdomen.blood)
    return ball(*centre, rng.uniform(9, 20)) & abdomen.liver


def on_a_vein(abdomen: Abdomen, rng: np.random.Generator) -> Mask:
    """Around a branch of the portal vein, or beside it."""
    abdomen.paint(rod((-60, 30, 40), (-15, 5, -20), 6), abdomen.blood)
    abdomen.paint(rod((-15, 5, -20), (0, -20, -60), 5), abdomen.blood)
    return ball(-10 + rng.uniform(-8, 8), -3 + rng.uniform(-8, 8), -35, rng.uniform(13, 22)) & abdomen.liver


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("place", [beside_a_rib, beside_a_stomach, fed, on_a_vein])
def test_drawn_tumours_beside_what_is_taken_away_stay(place, seed, monkeypatch) -> None:
    rng = np.random.default_rng(seed)
    abdomen = Abdomen(float(rng.choice((BLOOD_HU, 330.0))))
    lesion = place(abdomen, rng)
    veins = lesion & (abdomen.hu == abdomen.blood)
    LOOKS[int(rng.integers(len(LOOKS)))](abdomen, lesion)
    if place is on_a_vein:
        abdomen.paint(veins, abdomen.blood)
    outlined = lesion | (ndimage.binary_dilation(lesion) & (rng.random(SHAPE) < 0.3))  # no outline is exact
    abdomen.labels[outlined] = 2
    found, removed = without_neighbours(*abdomen.scan(monkeypatch))
    assert share(found, lesion) > 0.95, [(one.kind, one.volume_ml) for one in removed]


@pytest.mark.parametrize("blood", [140.0, BLOOD_HU, 190.0])
def test_a_mass_as_bright_as_blood_that_touches_a_kidney_stays(blood, monkeypatch) -> None:
    abdomen = Abdomen(blood)
    abdomen.paint(ball(-45, 38, 28, 26) & ~abdomen.liver, blood)
    lesion = abdomen.paint(ball(-40, 20, 18, 20), blood, 2)
    found, removed = without_neighbours(*abdomen.scan(monkeypatch))
    assert share(found, lesion) > 0.95, removed


def test_a_mass_that_bulges_out_of_the_liver_stays(monkeypatch) -> None:
    abdomen = Abdomen()
    lesion = abdomen.paint(ball(-55, 0, -30, 26), 75, 2)
    abdomen.paint(ndimage.binary_erosion(lesion, iterations=3), 500, 2, 150)
    found, _ = cleaned(*abdomen.scan(monkeypatch))
    assert share(found, lesion) > 0.97


@pytest.mark.parametrize("liver", [-15.0, 15.0, 110.0])
def test_a_fatty_liver_holds_its_lesions_and_fat_does_not(liver, monkeypatch) -> None:
    abdomen = Abdomen()
    abdomen.paint(abdomen.liver, liver)
    lesion = abdomen.paint(ball(-10, 0, -40, 14), 60, 2)
    abdomen.labels[ndimage.binary_dilation(abdomen.liver, iterations=3) & (abdomen.labels == 0)] = 1
    ct, labels = abdomen.scan(monkeypatch)
    reference = liver_reference(ct, LabelMap(np.where(abdomen.liver, labels.array, 0).astype(np.uint8), ct.geometry))
    seen = Surroundings.of(ct.array, reference, None, STEP)
    outlined = seen.outlined(labels.array)
    assert seen.held(lesion, outlined) > 0.99
    assert outlined[(abdomen.hu < -90) & ~ndimage.binary_dilation(abdomen.liver)].mean() < 0.01


def test_without_contrast_agent_blood_tells_nothing(monkeypatch) -> None:
    abdomen = Abdomen(LIVER_HU)
    lesion = abdomen.paint(ball(-10, 0, -40, 20), LIVER_HU, 2)
    found, removed = without_neighbours(*abdomen.scan(monkeypatch))
    assert share(found, lesion) == 1 and removed == ()


def test_labels_without_liver_and_other_grids(monkeypatch) -> None:
    ct, labels = Abdomen().scan(monkeypatch)
    tumours = labels.with_array(np.where(labels.array == 1, 2, 0).astype(np.uint8))
    assert without_neighbours(ct, tumours) == (tumours, ())
    with pytest.raises(GeometryMismatchError):
        without_neighbours(ct, LabelMap(labels.array, Geometry(SHAPE, np.diag([-2.0, -3.0, 3.0, 1.0]))))


def test_what_was_removed_is_told_by_kind() -> None:
    removed = [Removal("blood", ml, (1.0, 2.0, ml), True) for ml in (125.0, 4.0, 3.0, 2.0)]
    asked = question_removed([*removed, Removal("dense", 7.5, (-60.0, 8.0, 9.0), False)])
    assert [one.topic for one in asked] == ["blood-in-lesion", "dense-in-liver"]
    assert all(one.severity == "note" for one in asked) and asked[0].numbers == {"volume_ml": 134.0}
    assert "125.0 ml at (1, 2, 125)" in asked[0].text and "and 1 more" in asked[0].text
    assert "bone" in asked[1].text and "(-60, 8, 9)" in asked[1].text
    assert question_removed(()) == ()
