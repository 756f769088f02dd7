"""Each question on a drawn trunk: one case in which it is asked, and the healthy case in which nothing is."""

from __future__ import annotations

import re

import numpy as np
import pytest

from MeWMLib.core.errors import GeometryMismatchError, InputError, LabelQuestionError
from MeWMLib.core.questions import Question, require_accepted
from MeWMLib.core.volume import Geometry, LabelMap, Volume
from MeWMLib.perception.label_questions import question_labels, question_phase

AFFINE = np.array([[-4.0, 0, 0, 190], [0, -4, 0, 190], [0, 0, 5, 0], [0, 0, 0, 1]])


@pytest.fixture
def drawn(phantom):
    """A whole trunk of 5 x 4 x 4 mm with a lesion of 20 mm radius: HU and labels, both may be changed."""
    hu, labels = phantom.trunk("portal", tumour_hu=80)
    return hu, labels


def asked(hu, labels, affine=AFFINE, **more):
    grid = Geometry(hu.shape, affine)
    return {q.topic: q for q in question_labels(Volume(hu, grid), LabelMap(labels, grid), **more)}


def inner(labels):
    """Labels that do not touch the upper and lower end of the scan."""
    cut = labels.copy()
    cut[:1] = cut[-1:] = 0
    return cut


def place(shape, affine=AFFINE):
    """RAS mm of every voxel."""
    return Geometry(shape, affine).to_ras(np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1))


def test_a_healthy_case_is_not_questioned(drawn):
    hu, labels = drawn
    assert asked(hu, inner(labels)) == {}
    grid = Geometry(hu.shape, AFFINE)
    assert question_labels(Volume(hu, grid), LabelMap(np.zeros_like(labels), grid)) == ()
    with pytest.raises(GeometryMismatchError):
        question_labels(Volume(hu, grid), LabelMap(labels[1:], Geometry(labels[1:].shape, AFFINE)))


def test_tumour_alone(drawn):
    hu, labels = drawn
    found = asked(hu, np.where(labels == 2, 2, 0).astype(np.uint8))
    assert found["no-parenchyma"].severity == "severe"


def test_values_that_are_swapped(drawn):
    hu, labels = drawn
    found = asked(hu, np.array([0, 2, 1], np.uint8)[inner(labels)])
    assert found["swapped"].severity == "severe" and found["swapped"].numbers["tumour_ml"] > 1000


def test_a_tumour_that_is_nearly_all_of_the_liver(drawn):
    hu, labels = drawn
    labels = inner(labels)
    most = np.where((labels > 0) & (place(labels.shape)[..., 0] > 40), 2, labels).astype(np.uint8)
    share = (most == 2).sum() / (most > 0).sum()
    assert 0.8 < share < 0.95
    found = asked(hu, most)
    assert found["tumour-share"].numbers["share"] == pytest.approx(share, abs=0.001)
    half = np.where((labels > 0) & (place(labels.shape)[..., 0] > 70), 2, labels).astype(np.uint8)
    assert "tumour-share" not in asked(hu, half) and "swapped" not in asked(hu, half)


def test_the_volume_of_the_liver(drawn):
    hu, labels = drawn
    labels = inner(labels)
    small = np.where(np.linalg.norm(place(labels.shape) - (70, 0, 62), axis=-1) < 38, labels, 0).astype(np.uint8)
    found = asked(hu, small)
    assert found["liver-volume"].severity == "severe" and found["liver-volume"].numbers["liver_ml"] < 300
    large = np.where(hu > -500, np.maximum(labels, 1), 0).astype(np.uint8)
    assert asked(hu, large)["liver-volume"].numbers["liver_ml"] > 5000
    # a scan that is smaller than a liver shows no whole one: nothing is asked
    grid = np.diag([-1.0, -1.0, 1.0, 1.0])
    assert "liver-volume" not in asked(hu, small, grid)


def test_a_border_that_cuts_is_a_warning(drawn):
    hu, labels = drawn
    part = (slice(8, 18), slice(None), slice(None))
    found = asked(hu[part], labels[part])
    assert found["liver-cut"].severity == "warning" and found["liver-cut"].numbers["sides"] == 2
    through = labels.copy()
    through[: labels.shape[0] // 2] = 0
    half = (slice(labels.shape[0] // 2, None), slice(None), slice(None))
    assert asked(hu[half], labels[half])["lesion-cut"].severity == "warning"
    assert all(q.severity == "warning" for q in found.values())


def test_a_liver_on_the_left(drawn):
    hu, labels = drawn
    turned = AFFINE.copy()
    turned[0] *= -1  # the header says left for right
    found = asked(hu, inner(labels), turned)
    assert found["liver-left"].severity == "severe" and found["liver-left"].numbers["share"] > 0.9
    # the same image stored the other way round, with a header that says so
    stored = AFFINE.copy()
    stored[0] = [4.0, 0, 0, 190 - 95 * 4]
    assert asked(hu[..., ::-1].copy(), inner(labels)[..., ::-1].copy(), stored) == {}
    # a crop does not show the body: nothing can be said
    crop = (slice(None), slice(20, 76), slice(8, 56))
    assert "liver-left" not in asked(hu[crop].copy(), inner(labels)[crop].copy(), turned)


def test_a_spine_in_front(drawn):
    hu, labels = drawn
    turned = AFFINE.copy()
    turned[1] *= -1
    assert asked(hu, inner(labels), turned)["front-back"].severity == "severe"


def test_lungs_at_the_lower_end(drawn):
    hu, labels = drawn
    with_lungs, labels = hu.copy(), labels.copy()
    where = place(hu.shape)
    lungs = (where[..., 2] > 100) & (np.abs(np.abs(where[..., 0]) - 70) < 45) & (np.abs(where[..., 1] - 5) < 60)
    with_lungs[lungs], labels[lungs] = -850, 0
    assert asked(with_lungs, inner(labels)) == {}
    turned = AFFINE.copy()
    turned[2] *= -1
    assert asked(with_lungs, inner(labels), turned)["up-down"].severity == "severe"


def test_a_lesion_outside_of_the_liver(drawn):
    hu, labels = drawn
    labels = inner(labels)
    far = np.linalg.norm(place(labels.shape) - (-90, 20, 60), axis=-1)
    small, large = labels.copy(), labels.copy()
    small[far < 12], large[far < 30] = 2, 2
    found = asked(hu, small)
    assert found["lesion-outside"].severity == "warning" and found["lesion-outside"].numbers["lesions"] == 1
    assert asked(hu, large)["lesion-outside"].severity == "severe"


def test_air_and_bone_in_a_lesion(drawn):
    hu, labels = drawn
    labels = inner(labels)
    airy, bony = hu.copy(), hu.copy()
    lesion = labels == 2
    upper = lesion & (np.arange(hu.shape[0]) > 13)[:, None, None]
    airy[upper] = -800
    assert asked(airy, labels)["air-in-lesion"].severity == "severe"
    # a rib: dense in the lesion, and on beyond the liver
    shifted = np.roll(np.where(lesion, 2, 0), (0, 17, 17), axis=(0, 1, 2)).astype(np.uint8)  # onto the spine
    bony[np.broadcast_to(hu > 300, hu.shape)] = 500
    found = asked(bony, np.maximum(np.where(lesion, 1, labels), shifted).astype(np.uint8))
    assert found["bone-in-lesion"].numbers["share"] > 0.05


@pytest.mark.parametrize("wrong", ["front", "left", "another scan"])
def test_labels_that_lie_on_something_else(drawn, wrong):
    hu, labels = drawn
    labels = inner(labels)
    moved = {
        "front": np.roll(labels, -60 // 4, axis=1),
        "left": np.roll(labels, -48 // 4, axis=2),
        "another scan": labels,
    }[wrong]
    if wrong == "another scan":
        hu = np.roll(hu, 60 // 4, axis=1)
    on_air = ((moved == 1) & (hu < -100)).sum() / (moved == 1).sum()  # not averaged: what the phantom was drawn with
    assert on_air > 0.1
    assert asked(hu, moved)["fat-in-liver"].severity == "severe"


def test_a_fatty_liver_is_no_displaced_one(drawn):
    hu, labels = drawn
    labels = inner(labels)
    fatty = hu.copy()
    fatty[labels == 1] = -20
    assert "fat-in-liver" not in asked(fatty, labels)
    # noise that is averaged away in voxels of 1.3 mm: a tenth of them is below the limit
    fine = AFFINE @ np.diag([1 / 3, 1 / 3, 1 / 3, 1.0])
    noisy = np.kron(fatty, np.ones((3, 3, 3), np.float32))
    noisy += np.random.default_rng(0).normal(0, 30, noisy.shape).astype(np.float32)
    more = np.kron(labels, np.ones((3, 3, 3), np.uint8))
    assert ((more == 1) & (noisy < -50)).sum() > 0.1 * (more == 1).sum()
    assert "fat-in-liver" not in asked(noisy, more, fine)


def test_oral_contrast_that_was_taken_for_a_lesion(drawn):
    hu, labels = drawn
    labels = inner(labels)
    full = hu.copy()
    half = (labels == 2) & (np.arange(hu.shape[0]) > 13)[:, None, None]
    full[half] = 240
    found = asked(full, labels)
    share = half.sum() / (labels == 2).sum()
    assert found["bright-lesion"].severity == "warning"
    assert share / 2 < found["bright-lesion"].numbers["share"] <= share
    assert "bright-lesion" not in asked(full, labels, before_treatment=False)
    # at outlines of the segmenter nobody has looked: a person is asked, and told where
    unseen = asked(full, labels, looked_at=False)["bright-lesion"]
    assert unseen.severity == "severe" and "the segmenter's" in unseen.text
    ml, middle = half.sum() * 0.08, place(hu.shape)[half].mean(axis=0)
    (said,) = re.findall(r"([\d.]+) ml at \((-?\d+), (-?\d+), (-?\d+)\)", unseen.text)
    assert ml / 2 < float(said[0]) <= ml and np.allclose([float(x) for x in said[1:]], middle, atol=6)
    # a twentieth of all lesions is the limit, for both
    few = hu.copy()
    few[np.unravel_index(np.flatnonzero(labels == 2)[: int(0.04 * (labels == 2).sum())], hu.shape)] = 240
    assert "bright-lesion" not in asked(few, labels, looked_at=False)


def test_lipiodol_before_treatment(drawn):
    hu, labels = drawn
    treated = hu.copy()
    treated[np.linalg.norm(place(hu.shape) - (70, 5, 62), axis=-1) < 12] = 700
    found = asked(treated, inner(labels))
    assert found["lipiodol"].severity == "warning" and found["lipiodol"].numbers["volume_ml"] == pytest.approx(7, abs=2)
    assert "bone-in-lesion" not in found
    assert asked(treated, inner(labels), before_treatment=False) == {}


@pytest.mark.parametrize("phase", ["non-contrast", "arterial", "portal", "delayed"])
def test_the_phase_is_named_with_what_follows(phantom, phase):
    ct = Volume(phantom.trunk(phase)[0], Geometry(phantom.SHAPE, AFFINE))
    found = question_phase(ct)
    if phase == "portal":
        assert found == ()
        return
    (one,) = found
    word = "without contrast" if phase == "non-contrast" else phase
    assert one.severity == "warning" and word in one.text and "portal" in one.text and one.numbers["chance"] > 0.8
    # what the user says counts before what the image looks like
    assert question_phase(Volume(ct.array, ct.geometry, "portal")) == ()


def test_a_scan_without_aorta_says_nothing_of_its_phase(phantom):
    part = phantom.trunk("arterial")[0][:5]
    assert question_phase(Volume(part, Geometry(part.shape, AFFINE))) == ()


def test_only_what_is_severe_stops_and_only_where_it_is_not_accepted():
    severe, warning = Question("a", "severe", "It is upside down."), Question("b", "warning", "It is cut.")
    require_accepted([warning], accepted=False)
    require_accepted([severe, warning], accepted=True)
    with pytest.raises(LabelQuestionError, match="upside down.*--accept-labels") as error:
        require_accepted([severe, warning], accepted=False)
    assert "cut" not in error.value.given
    with pytest.raises(InputError, match="grave"):
        Question("a", "grave", "It is wrong.")
