"""The approximate division of a liver: landmarks, order, and shares on the shapes of real livers."""

from __future__ import annotations

import json

import cc3d
import numpy as np
import pytest
import SimpleITK as sitk

from MeWMLib.core import io
from MeWMLib.core.territory import SEGMENTS, Territory
from MeWMLib.core.volume import Geometry, LabelMap
from MeWMLib.perception.findings import measure
from MeWMLib.perception.segments import APPROXIMATE, Division, SegmentMap, place_in_words, shares_of


def liver_like(turned: bool = False) -> LabelMap:
    """A wedge with a pocket in its lower surface, 4 mm voxels; i runs to the left, or to the right where turned."""
    geometry = Geometry((44, 46, 62), np.diag([-4.0, -4.0, 4.0, 1.0]))
    k, j, i = np.indices(geometry.shape)
    inside = (k > 3) & (k < 40) & (i > 3) & (i < 58) & (j > 4) & (j < 42)
    inside &= k > 4 + 0.5 * i  # thin on the left
    inside &= ~(((i - 28) / 7.0) ** 2 + ((j - 22) / 8.0) ** 2 + ((k - 10) / 12.0) ** 2 < 1)
    array = inside.astype(np.uint8)
    if not turned:
        return LabelMap(array, geometry)
    affine = np.array(geometry.affine)
    affine[:3, 3] += affine[:3, 0] * (geometry.shape[2] - 1)
    affine[:3, 0] *= -1
    return LabelMap(np.ascontiguousarray(array[:, :, ::-1]), Geometry(geometry.shape, affine))


def place_of(labels: LabelMap, found: SegmentMap, *segments: str) -> np.ndarray:
    """Centroid in RAS mm."""
    mask = found.mask(segments)
    assert mask.any(), segments
    return labels.geometry.to_ras(np.argwhere(mask)).mean(axis=0)


def in_order(labels: LabelMap, found: SegmentMap) -> None:
    """What must hold in every liver: R grows to the right, A to the front, S upwards."""
    at = {name: place_of(labels, found, *Territory.parse(name).segments) for name in (
        "right lobe", "left lobe", "segment 4", "left lateral section", "right anterior section",
        "right posterior section", "segment 8", "segment 5", "segment 7", "segment 6",
    )}  # fmt: skip
    assert at["right lobe"][0] > at["left lobe"][0]
    assert at["right lobe"][0] > at["segment 4"][0] > at["left lateral section"][0]
    assert at["right anterior section"][1] > at["right posterior section"][1]
    assert at["segment 8"][2] > at["segment 5"][2] and at["segment 7"][2] > at["segment 6"][2]


def test_every_voxel_of_the_liver_is_in_one_segment_and_they_are_in_order():
    labels = liver_like()
    division = Division.of(labels)
    assert division is not None and division.found
    # the pocket is found where it was drawn: its middle is hollow between 4 and 22 along k
    assert np.abs(division.pocket[:2] - labels.geometry.to_ras(np.array([12, 22, 28]))[:2]).max() < 25
    found = SegmentMap.approximate(labels)
    assert found.source == APPROXIMATE and found.is_approximate
    assert ((found.codes > 0) == labels.liver).all() and found.codes.max() <= len(SEGMENTS)
    in_order(labels, found)


def test_the_order_of_the_voxels_makes_no_difference():
    labels, turned = liver_like(), liver_like(turned=True)
    one, other = SegmentMap.approximate(labels).codes, SegmentMap.approximate(turned).codes[:, :, ::-1]
    assert (one == other)[labels.liver].mean() > 0.98


def test_a_part_of_a_liver_and_a_ball_show_no_landmarks():
    geometry = Geometry((40, 40, 40), np.diag([-4.0, -4.0, 4.0, 1.0]))
    index = np.stack(np.indices(geometry.shape), -1)
    ball = LabelMap((np.linalg.norm(index - 20, axis=-1) < 15).astype(np.uint8), geometry)
    whole = liver_like()
    cut = LabelMap(np.ascontiguousarray(whole.array[:, :, 20:]), Geometry((44, 46, 42), whole.geometry.affine))
    for labels in (ball, cut):
        division = Division.of(labels)
        assert division is not None and not division.found
        assert (SegmentMap.approximate(labels).codes[labels.liver] > 0).all()  # still divided, and said to be worse
    assert Division.of(LabelMap(np.zeros(geometry.shape, np.uint8), geometry)) is None


def test_the_words_of_a_lesion_and_the_masks_are_one_division():
    labels = liver_like()
    found = SegmentMap.approximate(labels)
    array = labels.array.copy()
    middle = np.argwhere(found.mask(["8"])).mean(axis=0).round().astype(int)
    array[tuple(slice(m - 1, m + 2) for m in middle)] = 2
    both = LabelMap(array, labels.geometry)
    (lesion,) = measure(_ct(both), both).lesions
    held = SegmentMap.approximate(both).shares(both.tumour)
    assert lesion.location.startswith(place_in_words(held)) and lesion.location.startswith("about segment")


def _ct(labels: LabelMap):
    from MeWMLib.core.volume import Volume

    return Volume(np.full(labels.array.shape, 90, np.int16), labels.geometry)


def test_shares_and_their_words():
    codes = np.array([1 + SEGMENTS.index(s) for s in ["5"] * 5 + ["8"] * 4 + ["2"]], np.uint8)
    assert shares_of(codes) == {"5": 0.5, "8": 0.4, "2": 0.1}
    assert place_in_words(shares_of(codes)) == "about segments 5, 8 (right lobe)"
    assert place_in_words({"4a": 0.5, "8": 0.5}, approximate=False) == "segments 4a, 8 (both lobes)"
    # a lesion of many segments lies in none of them: its lobes are named, by their shares
    many = {"8": 0.31, "4a": 0.18, "2": 0.16, "4b": 0.15, "3": 0.11, "5": 0.09}
    assert place_in_words(many) == "about left lobe 60 %, right lobe 40 %"
    assert place_in_words({"8": 0.7, "4a": 0.15, "4b": 0.15}) == "about right lobe 70 %, left lobe 30 %"
    assert place_in_words({"5": 0.3, "6": 0.19, "7": 0.19, "8": 0.19, "2": 0.13}) == "about right lobe 87 %"
    assert place_in_words({"1": 1.0}) == "about segment 1 (caudate lobe)"
    assert place_in_words({}) == ""


def test_a_segment_4_that_nobody_divided_is_fed_whole():
    geometry = Geometry((2, 2, 2), np.eye(4))
    codes = np.full((2, 2, 2), 1 + SEGMENTS.index("4a"), np.uint8)
    assert SegmentMap(codes, geometry, "drawn").mask(["4b"]).all()
    codes[0] = 1 + SEGMENTS.index("4b")
    assert SegmentMap(codes, geometry, "drawn").mask(["4b"]).sum() == 4


def test_what_drawn_segments_leave_out_goes_to_the_nearest():
    geometry = Geometry((4, 6, 20), np.diag([-1.0, -1.0, 3.0, 1.0]))
    liver = np.ones(geometry.shape, np.uint8)
    codes = np.zeros(geometry.shape, np.uint8)
    codes[:, :, :8], codes[:, :, 12:] = 1 + SEGMENTS.index("8"), 1 + SEGMENTS.index("2")
    found = SegmentMap.drawn(codes, LabelMap(liver, geometry))
    assert found.mask(["8"])[:, :, :10].all() and found.mask(["2"])[:, :, 10:].all() and not found.is_approximate
    liver[:, :, 9] = 0
    assert not SegmentMap.drawn(codes, LabelMap(liver, geometry)).codes[:, :, 9].any()


#: Percent of the liver: what published volumetry found in normal livers (right liver, 2 and 3, 4: Abdalla et al.,
#: Surgery 2004;135:404; segment 8: Mise et al., HPB 2014;16:439).
PUBLISHED = {"right lobe": (49, 82), "left lateral section": (5, 27), "segment 4": (10, 29), "segment 8": (11, 38)}


def test_real_livers_are_divided_in_order_and_within_published_shares(shared_data):
    folder = shared_data / "liver_shapes"
    if not folder.is_dir():
        pytest.skip(f"no liver shapes: {folder} is absent")
    files = sorted(folder.glob("lits_*.nii.gz"))[::11]
    json.loads((folder / "index.json").read_text())
    within = {name: 0 for name in PUBLISHED}
    for file in files:
        array, geometry = io.from_sitk(sitk.ReadImage(str(file)))
        affine = np.array(geometry.affine)
        affine[:3, :3] *= 3
        thin = np.ascontiguousarray(np.pad(array[::3, ::3, ::3] > 0, 1).astype(np.uint8))
        labels = LabelMap(thin, Geometry(thin.shape, affine))
        found = SegmentMap.approximate(labels)
        division = Division.of(labels)
        assert division is not None and division.found, file.name
        in_order(labels, found)
        for segment in SEGMENTS[1:]:
            if segment == "4b":  # thin, and now and then in two pieces
                continue
            pieces = np.bincount(cc3d.connected_components(found.mask([segment]), connectivity=26).ravel())[1:]
            assert pieces.max() > 0.9 * pieces.sum(), (file.name, segment)
        for name, (low, high) in PUBLISHED.items():
            share = 100 * found.mask(Territory.parse(name).segments).sum() / labels.liver.sum()
            within[name] += low <= share <= high
    assert all(count >= 0.8 * len(files) for count in within.values()), within
