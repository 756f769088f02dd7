"""Real pairs as coarse maps: against drawn patients whose maps are known, and what is said not to be known."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from MeWMLib.cohorts.synthetic.fields import Axes
from MeWMLib.cohorts.synthetic.look import LOOK
from MeWMLib.cohorts.synthetic.outcome import Session
from MeWMLib.cohorts.synthetic.study import StudyPatient
from MeWMLib.core.coarse_maps import seen_hu
from MeWMLib.core.errors import InputError
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.volume import Geometry, LabelMap, Volume
from MeWMLib.dynamics.actions import known_agents
from MeWMLib.lab.evaluation import pair_prepared
from MeWMLib.lab.evaluation.pair_prepared import PreparedPair
from MeWMLib.lab.evaluation.pairs import PairFiles
from MeWMLib.lab.training.map_pairs import encode_pair, filled
from MeWMLib.perception.cubes import cube_means, region_of
from MeWMLib.perception.registration import Registration, measured_as_it_is
from MeWMLib.rendering.grains import iodine_in_voxels

GIVEN = Protocol.parse("Cisplatin + Doxorubicin + Mitomycin + Lipiodol")
NOWHERE = Path("nowhere.nii")


def files(**more) -> PairFiles:
    return PairFiles("P1", NOWHERE, NOWHERE, NOWHERE, GIVEN, **more)


@pytest.fixture
def _in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scans that lie in one place: what a registration leaves is not asked here."""
    monkeypatch.setattr(
        pair_prepared, "register", lambda fixed, labels, moving, _: measured_as_it_is(fixed, labels, moving)
    )


def drawn(seed: int):
    """A patient scanned before and after in one pose, as a pair, and the scan after with its truth."""
    patient = StudyPatient.draw(seed, replace(LOOK, shift_mm=0.0, turn_deg=0.0, breath_mm=0.0))
    grid = patient.scan_geometry(25.0)
    before, after = patient.render_all(grid, [None, GIVEN], session=Session(6.0), phase="portal")
    one, two = (Volume(np.round(s.hu).astype(np.int16), grid, "portal") for s in (before, after))
    labels = [LabelMap(s.labels, grid) for s in (before, after)]
    pair = PreparedPair.of(files(weeks=6.0), one, labels[0], two, None, None, Registration(), labels[1])
    return pair, before, after


@pytest.mark.usefixtures("_in_place")
def test_maps_of_two_noisy_scans_are_those_that_were_drawn() -> None:
    iodine, true_iodine, change, true_change, ratios = [], [], [], [], []
    for seed in (8, 11, 15):
        pair, before, after = drawn(seed)
        maps = encode_pair(pair, known_agents())
        cubes = region_of(pair.labels.tumour, pair.labels.geometry)
        assert maps["affine"] == pytest.approx(cubes.affine)
        axes = Axes.of(cubes)
        grains = iodine_in_voxels(after.grains, (axes.z, axes.y, axes.x))
        where = maps["known_iodine"][0] & (maps["tumour"] > 0.5)
        assert where.sum() > 0.95 * (maps["tumour"] > 0.5).sum()
        iodine.append(maps["iodine"][0][where].astype(float))
        true_iodine.append(grains[where])
        ratios.append(maps["iodine"].sum(dtype=float) / grains.sum())
        told = maps["known_change"][0] & (maps["tumour"] > 0.5)
        true = [seen_hu(cube_means(s.tissue, pair.after.geometry, cubes)) for s in (before, after)]
        change.append(maps["change"][0][told].astype(float))
        true_change.append((true[1] - true[0])[told])
        ml = 0.064 * maps["tumour_after"].sum(dtype=float)
        assert ml == pytest.approx((after.labels == 2).sum() * pair.after.geometry.voxel_ml, rel=0.02)
        assert maps["known_viable"][0][maps["tumour"] > 0.5].mean() > 0.8
    for found, true, least in ((iodine, true_iodine, 0.85), (change, true_change, 0.7)):
        assert np.corrcoef(np.concatenate(found), np.concatenate(true))[0, 1] > least
    total = sum(one.sum() for one in iodine) / sum(one.sum() for one in true_iodine)
    assert total == pytest.approx(1, abs=0.15) and ratios == pytest.approx([1, 1, 1], abs=0.35)
    bias = np.concatenate(change).mean() - np.concatenate(true_change).mean()
    assert abs(bias) < 3


def phantom(oil: bool = False, gas: bool = False, reach: int = 40) -> tuple[Volume, LabelMap]:
    """Liver of 110 HU with a tumour of 70 HU; a rib; slices up to `reach`."""
    affine = np.diag([-1.5, -1.5, 2.5, 1.0])
    grid = Geometry((reach, 70, 70), affine)
    index = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), -1) * grid.spacing
    far = np.linalg.norm(index - [50, 52, 52], axis=-1)
    hu = np.where(far < 20, 70.0, 110.0)
    labels = np.where(far < 20, 2, 1).astype(np.uint8)
    labels[:, :, :16], hu[:, :, :16] = 0, 40
    hu[:, :, 8:14] = 600  # a rib
    labels[:, 58:], hu[:, 58:] = 0, -800 if gas else 40  # bowel
    hu[18:22, 49:53, 34:38] = 260  # a vessel in the liver
    if oil:
        hu[(far < 12) & (index[..., 0] > 50)] = 450
    hu = hu + np.random.default_rng(int(oil)).normal(0, 8, hu.shape)
    return Volume(np.round(hu).astype(np.int16), grid, "portal"), LabelMap(labels, grid)


@pytest.mark.usefixtures("_in_place")
def test_what_the_scans_do_not_tell_is_not_known() -> None:
    before, labels = phantom()
    after, _ = phantom(oil=True, gas=True, reach=30)
    pair = PreparedPair.of(files(), before, labels, after, None, None, Registration())
    maps = encode_pair(pair, known_agents())
    cubes = region_of(labels.tumour, labels.geometry)

    def at(name: str, k: float, j: float, i: float) -> float:
        place = cubes.to_kji(before.geometry.to_ras(np.array([[k, j, i]])))[0]
        assert (place > 0).all() and (place < np.array(cubes.shape) - 1).all()
        return maps[name].reshape(cubes.shape)[tuple(np.rint(place).astype(int))]

    tumour, oil, liver, vessel, rib, bowel, beyond = (
        (16, 34, 34), (22, 34, 34), (20, 17, 34), (19.5, 50.5, 35.5), (20, 34, 11), (20, 63, 34), (34, 34, 34),
    )  # fmt: skip
    assert [at("known_change", *p) for p in (tumour, liver, bowel, beyond)] == [True, True, False, False]
    assert [at("known_iodine", *p) for p in (tumour, oil, liver, bowel, beyond)] == [True, True, True, False, False]
    assert not at("known_iodine", *rib) and not at("known_iodine", *vessel) and at("known_change", *rib)
    assert at("iodine", *oil) == pytest.approx((450 - 70) / 26, rel=0.1) and at("iodine", *tumour) == 0
    assert at("iodine", *rib) == at("iodine", *vessel) == 0
    assert abs(at("change", *tumour)) < 10 and abs(at("change", *liver)) < 10 and at("change", *bowel) == 0
    assert not maps["known_viable"].any() and not maps["known_tumour"].any() and not maps["tumour_after"].any()
    assert abs(maps["liver_change"]) < 1
    # in the middle of the oil nothing is seen of the tissue, and the neighbours' stands for it
    assert not at("known_change", *oil) and abs(at("change", *oil)) < 10 and maps["tumour"].max() == 1
    # all Lipiodol: iodine mg of the whole
    true = (((after.array > 300) & labels.tumour[:30]).sum() * before.geometry.voxel_ml) * 380 / 26
    assert maps["iodine"].sum(dtype=float) * 0.064 == pytest.approx(true, rel=0.15)


@pytest.mark.usefixtures("_in_place")
def test_what_was_not_stated_is_not_known() -> None:
    before, labels = phantom()
    after, _ = phantom(oil=True)

    def maps(**stated) -> dict[str, np.ndarray]:
        pair = PreparedPair.of(files(**stated), before, labels, after, None, None, Registration(), labels)
        return encode_pair(pair, known_agents())

    nothing = maps(recorded=False)
    assert np.isnan(nothing["weeks"]).all() and not nothing["protocol_known"] and not nothing["fed_known"]
    assert (nothing["fed"] == 1).all() and nothing["phase_known"] and not nothing["arterial"]
    assert nothing["known_tumour"].any() and nothing["known_viable"].any()
    assert nothing["actions"][0, :, 0].sum() == 4
    whole = maps(side_stated=True, weeks=7.5)
    assert whole["fed_known"] and (whole["fed"] == 1).all() and whole["weeks"] == [7.5] and whole["protocol_known"]
    back = maps(side="back")
    share = back["fed"][0][back["tumour"] > 0.5].astype(float)
    assert back["fed_known"] and share.mean() == pytest.approx(0.5, abs=0.08) and (abs(share - 0.5) > 0.45).mean() > 0.7
    shape = back["hu"].shape
    for name in ("fed", "viable", "tumour_after", "change", "iodine"):
        assert back[name].shape == (1, *shape) and back[name].dtype == np.float16
    for name in ("known_change", "known_iodine", "known_viable", "known_tumour"):
        assert back[name].shape == (1, *shape) and back[name].dtype == bool


@pytest.mark.usefixtures("_in_place")
def test_native_voxels_count_where_there_are_any() -> None:
    before, labels = phantom()
    after, _ = phantom()
    native, _ = phantom(oil=True)
    crop = replace(
        native, array=native.array[10:30, 15:55, 15:55], geometry=native.geometry.crop((10, 15, 15), (20, 40, 40))
    )
    pair = PreparedPair.of(files(), before, labels, after, None, crop, Registration())
    # the scan that was registered shows none of it, so that half of it at most is taken away
    assert encode_pair(pair, known_agents())["iodine"].max() > 5
    without = PreparedPair.of(files(), before, labels, after, None, None, Registration())
    assert encode_pair(without, known_agents())["iodine"].max() < 1


@pytest.mark.usefixtures("_in_place")
def test_patients_for_judging_are_refused() -> None:
    before, labels = phantom()
    pair = PreparedPair.of(files(judging=True), before, labels, before, None, None, Registration())
    with pytest.raises(InputError, match="(?s)judging.*P1"):
        encode_pair(pair, known_agents())
    named = replace(pair, files=replace(pair.files, patient="hcc-009", judging=False))
    with pytest.raises(InputError, match="(?s)judging.*hcc-009"):
        encode_pair(named, known_agents())


def test_a_cube_that_is_all_oil_takes_the_tissue_beside_it() -> None:
    values = np.full((9, 9, 9), 50, np.float32)
    values[:, :, 5:] = 90
    values[4, 4, 4] = 3000
    known = np.ones(values.shape, bool)
    known[4, 4, 4] = False
    found = filled(values, known, np.ones(values.shape, bool))
    assert 50 < found[4, 4, 4] < 90 and (found[known] == values[known]).all()
    hole = np.zeros(values.shape, bool)
    hole[0, 0, 0] = True
    assert filled(values, hole, np.ones(values.shape, bool)) == pytest.approx(50)
    unwanted = filled(values, known, known)
    assert unwanted[4, 4, 4] == 3000
