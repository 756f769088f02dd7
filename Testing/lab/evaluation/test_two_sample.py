"""The two-sample test: the area is right, it sees what differs, and it does not see what does not."""

import json
import math

import numpy as np
import pytest

from MeWMLib.core import io
from MeWMLib.core.errors import InputError
from MeWMLib.core.volume import Geometry, LabelMap, Volume
from MeWMLib.lab.evaluation import __main__ as command
from MeWMLib.lab.evaluation import scans, two_sample
from MeWMLib.lab.evaluation.two_sample import Logistic, area, left_right, scores, slabs, two_sample_rows
from MeWMLib.lab.evaluation.two_sample_patches import NAMES, SIZE, Patches, patches_of


def test_area_is_the_share_of_pairs_in_order() -> None:
    rng = np.random.default_rng(0)
    real, other = rng.integers(0, 8, 40).astype(float), rng.integers(2, 10, 30).astype(float)
    pairs = [(o > r) + 0.5 * (o == r) for r in real for o in other]
    assert area(real, other) == pytest.approx(np.mean(pairs))
    assert area(np.array([1.0]), np.array([2.0])) == 1 and area(np.array([3.0]), np.array([2.0])) == 0


def test_the_logistic_regression_is_at_its_optimum_and_repeats() -> None:
    rng = np.random.default_rng(1)
    y = (np.arange(300) >= 200).astype(float)
    x = rng.normal(0, 1, (300, 3)) + y[:, None] * [1.5, 0, 0]
    model = Logistic.fit(x, y)
    assert np.array_equal(model.weights, Logistic.fit(x, y).weights)
    assert model.weights[0] > 5 * abs(model.weights[1:3]).max()
    # classes weigh the same: between two equal Gaussians the border lies in the middle, though one has half the samples
    assert model.score(np.array([[0.75, 0, 0]]))[0] == pytest.approx(0, abs=0.4)
    constant = Logistic.fit(np.c_[x, np.full(300, 7.0)], y)  # a feature that does not vary says nothing
    assert constant.score(np.c_[x, np.full(300, 7.0)]) == pytest.approx(model.score(x), abs=0.02)


def sample(rng: np.random.Generator, offset: float, count: int = 60, blocks: int = 12) -> Patches:
    """Patches whose features are noise, the first of them moved by an offset; those of a block are much alike."""
    which = rng.integers(0, blocks, count)
    features = rng.normal(0, 1, (blocks, 5))[which] + 0.1 * rng.normal(0, 1, (count, 5))
    features[:, 0] += offset
    return Patches(features, which, rng.uniform(-40, 40, (count, 3)))


def test_what_differs_is_told_and_what_does_not_is_not(monkeypatch) -> None:
    monkeypatch.setattr(two_sample, "DRAWS", 100)
    rng = np.random.default_rng(2)
    real = {name: sample(rng, 0) for name in "ABCDJ"}
    apart = {name: [sample(rng, 8), sample(rng, 8)] for name in "ABCDJ"}
    alike = {name: [sample(rng, 0), sample(rng, 0)] for name in "ABCDJ"}
    rows = two_sample_rows(real, apart, [sample(rng, 0) for _ in range(8)], ["J"])
    assert rows["bundle"]["auc"]["mean"] > 0.95 and rows["bundle"]["auc"]["n"] == 4
    assert rows["bundle"]["auc_J"]["mean"] > 0.9 and rows["bundle"]["auc_J"]["n"] == 1
    for row in ("world", "real_left_right", "real_slabs"):
        assert 0.25 < rows[row]["auc"]["mean"] < 0.75, row
        assert rows[row]["auc"]["low"] < rows[row]["auc"]["mean"] < rows[row]["auc"]["high"]
    mean = np.mean([rows["bundle"][f"auc_{name}"]["mean"] for name in "ABCD"])
    assert rows["bundle"]["auc"]["mean"] == pytest.approx(mean)  # without the one for judging
    none = two_sample_rows(real, alike, [], ["J"])
    assert 0.25 < none["bundle"]["auc"]["mean"] < 0.75 and "world" not in none
    # nothing is learned from a patient for judging
    strange = two_sample_rows({**real, "J": sample(rng, 99)}, {**apart, "J": [sample(rng, -99)]}, [], ["J"])
    assert strange["bundle"]["auc"] == rows["bundle"]["auc"] and strange["bundle"]["auc_J"]["mean"] < 0.1


def test_a_row_without_patches_is_left_out(monkeypatch) -> None:
    monkeypatch.setattr(two_sample, "DRAWS", 20)
    rng = np.random.default_rng(5)
    empty = Patches(np.zeros((0, 5)), np.zeros(0, np.intp), np.zeros((0, 3)))
    real = {name: sample(rng, 0) for name in "ABC"}
    bare = {"A": [empty], "B": [sample(rng, 8), empty], "C": [sample(rng, 8)]}
    rows = two_sample_rows(real, bare, [sample(rng, 0)])
    assert set(rows) == {"bundle", "real_left_right", "real_slabs"}
    assert set(rows["bundle"]) == {"auc", "auc_B", "auc_C"} and rows["bundle"]["auc"]["n"] == 2
    assert rows["bundle"]["auc_B"]["mean"] > 0.9
    assert "bundle" not in two_sample_rows(real, {name: [empty] for name in "ABC"}, [])


def test_one_patient_is_too_few() -> None:
    rng = np.random.default_rng(3)
    real = {"A": sample(rng, 0), "J": sample(rng, 0)}
    with pytest.raises(InputError, match="needs two patients"):
        two_sample_rows(real, {}, [], ["J"])
    empty = Patches(np.zeros((0, 5)), np.zeros(0, np.intp), np.zeros((0, 3)))
    with pytest.raises(InputError, match="A"):
        two_sample_rows({"A": sample(rng, 0), "B": empty}, {}, [])


def test_halves_are_told_by_place() -> None:
    patches = sample(np.random.default_rng(4), 0, 200)
    right, left = left_right(patches)
    assert right.middles[:, 2].max() <= left.middles[:, 2].min() and abs(len(right) - len(left)) <= 1
    even, odd = slabs(patches)
    assert len(even) + len(odd) == 200
    assert {math.floor(z / 16) % 2 for z in even.middles[:, 0]} == {0}
    assert {math.floor(z / 16) % 2 for z in odd.middles[:, 0]} == {1}


def treated(seed: int, radius: float, lump: int, spacing: float = 0.8) -> tuple[Volume, LabelMap]:
    """A tumour of a ball with Lipiodol in cubes of so many voxels."""
    shape = (36, 110, 110)
    affine = np.diag([-spacing, -spacing, 2.5, 1.0])
    geometry = Geometry(shape, affine)
    k, j, i = np.ogrid[:36, :110, :110]
    tumour = ((k - 18) * 2.5) ** 2 + ((j - 55) * spacing) ** 2 + ((i - 55) * spacing) ** 2 < radius**2
    rng = np.random.default_rng(seed)
    hu = rng.normal(90, 15, shape)
    count = round(0.05 * tumour.sum() / lump**3)
    where = np.argwhere(tumour)
    for at in where[rng.integers(0, len(where), count)]:
        hu[tuple(slice(a, a + lump) for a in at)] = 450
    return Volume(hu.astype(np.float32), geometry), LabelMap(np.where(tumour, 2, 1).astype(np.uint8), geometry)


def test_patches_lie_in_treated_tumour_and_tell_grains_from_lumps() -> None:
    grains = [patches_of(*treated(seed, 30.0, 2), seed, 25) for seed in (1, 2)]
    lumps = [patches_of(*treated(seed, 30.0, 6), seed, 25) for seed in (3, 4)]
    for one in (*grains, *lumps):
        assert one.features.shape == (25, len(NAMES)) and np.isfinite(one.features).all()
        assert np.linalg.norm(one.middles, axis=1).max() < 31  # mm, inside the ball
        assert 1 < len(np.unique(one.blocks)) <= 25
    again = patches_of(*treated(1, 30.0, 2), 1, 25)
    assert np.array_equal(again.features, grains[0].features)
    found = scores(two_sample.Fold(([grains[0]], [lumps[0]]), ([grains[1]], [lumps[1]])))
    assert area(*(np.concatenate([s for s, _ in side]) for side in found)) > 0.95


def test_the_command_compares_scans_of_a_list(tiny_bundle, tmp_path, monkeypatch, capsys) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    text = "patient,before,labels,after,labels_after,after_native,protocol\n"
    for seed, name in ((1, "A"), (2, "B")):
        for when, lump in (("before", 6), ("after", 2)):
            ct, labels = treated(seed, 30.0, lump)
            hu = ct.array.copy()
            hu[:, :3] = -100  # fat, by which a CT is known
            io.write_volume(ct.with_array(hu.astype(np.int16)), data / f"{name}_{when}.nrrd")
        io.write_labels(labels, data / f"{name}.seg.nrrd")
        after = f"{name}_after.nrrd"
        text += f"{name},{name}_before.nrrd,{name}.seg.nrrd,{after},{name}.seg.nrrd,{after},Lipiodol\n"
    (data / "pairs.csv").write_text(text, encoding="utf-8")
    drawn = [scans.Seen("drawn", *treated(seed, 30.0, 6)) for seed in (5, 6)]
    monkeypatch.setattr(two_sample, "drawn_scans", lambda count, protocol, version: iter(drawn[:count]))
    given = ["two-sample", "--pairs", str(data / "pairs.csv"), "--out", str(out), "--replicas", "1", "--drawn", "2"]
    assert command.main([*given, "--bundle", str(tiny_bundle.path)]) == 0
    written = json.loads((out / "metrics.json").read_text())
    rows = written["rows"]
    assert rows["world"]["auc"]["mean"] > 0.95  # grains against lumps
    assert rows["real_slabs"]["auc"]["n"] == 2 and "A (60 patches)" in written["cohort"]
    assert not (out / "judging.log").exists() and "real_left_right" in capsys.readouterr().out


def test_no_patch_where_there_is_no_room_or_no_lipiodol() -> None:
    ct, labels = treated(1, 30.0, 2)
    assert len(patches_of(ct.with_array(np.minimum(ct.array, 150)), labels, 0)) == 0
    assert len(patches_of(*treated(1, 8.0, 2), 0)) == 0  # smaller than 30 % of a cube of 32 mm
    small = tuple(slice(n // 2 - 5, n // 2 + 5) for n in ct.array.shape)
    geometry = ct.geometry.crop((13, 50, 50), (10, 10, 10))
    part = Volume(ct.array[small], geometry), LabelMap(np.ascontiguousarray(labels.array[small]), geometry)
    assert len(patches_of(*part, 0)) == 0


def test_patches_do_not_see_what_lies_outside_of_the_tumour() -> None:
    ct, labels = treated(1, 30.0, 2)
    other = np.where(labels.tumour, ct.array, ct.array[::-1])  # other noise around it
    liver = patches_of(ct.with_array(other), labels, 0, 5)
    plain = patches_of(ct, labels, 0, 5)
    # what is interpolated across the border changes a little
    assert np.abs(liver.features - plain.features).mean() < 0.05
    assert SIZE == 32
