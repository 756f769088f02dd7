"""The measures of a real pair, and the whole on a synthetic and on a real one."""

import json
import math
from dataclasses import replace
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import torch

from MeWMLib.core import io
from MeWMLib.core.bundles import find_bundle
from MeWMLib.core.errors import GeometryMismatchError
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.volume import LabelMap, Provenance, Volume
from MeWMLib.dynamics.autoencoder import Autoencoder, fit
from MeWMLib.lab.evaluation import __main__ as command
from MeWMLib.lab.evaluation import real_pair, real_pairs
from MeWMLib.lab.evaluation.pair_measures import fed_half, lipiodol_figures
from MeWMLib.lab.evaluation.pair_prepared import PreparedPair
from MeWMLib.lab.evaluation.pair_simulated import CubeSimulated, MapSimulated, simulated
from MeWMLib.lab.evaluation.pairs import PairFiles
from MeWMLib.perception.preprocess import patch_geometry
from MeWMLib.perception.registration import Registration
from MeWMLib.world.model import WorldModel
from MeWMLib.world.patch import TreatedPatch
from Testing.perception.moved_pair import COARSE, moved_pair, z_of

GIVEN = Protocol.of(["Cisplatin", "Doxorubicin", "Mitomycin", "Lipiodol"])


@pytest.fixture(scope="module")
def pair() -> tuple[Volume, LabelMap, Volume, np.ndarray]:
    return moved_pair()


def test_psnr_and_error_are_inside_the_window_and_the_mask() -> None:
    truth = np.array([0.0, 100.0, 900.0, 50.0], np.float32)
    image = np.array([7.75, 100.0 - 7.75, 600.0, 999.0], np.float32)
    inside = np.array([True, True, False, False])
    assert real_pair.psnr(image, truth, inside) == pytest.approx(40.0, abs=1e-4)
    assert real_pair.mean_error(image, truth, np.array([True, True, True, False])) == pytest.approx(2 * 7.75 / 3)
    assert math.isnan(real_pair.psnr(image, truth, ~inside & inside))


def test_a_codec_is_measured_on_the_scan_after() -> None:
    rng = np.random.default_rng(0)
    before = (90 + 10 * rng.standard_normal((16, 16, 16))).astype(np.float32)
    after = before.copy()
    after[4:12, 4:12, 4:12] = 300 + 60 * rng.standard_normal((8, 8, 8))
    tumour = np.zeros(before.shape, bool)
    tumour[4:12, 4:12, 4:12] = True
    whole = fit(torch.from_numpy(rng.standard_normal((500, 64)).astype(np.float32)), 64)
    exact = real_pair.codec_figures(whole, before, after, tumour)
    assert exact["tumour_psnr_db"] > 60 and exact["tumour_mae_hu"] < 0.5
    poor = Autoencoder(4)  # a basis of zeros: every block becomes the mean, 60 HU
    figures = real_pair.codec_figures(poor, before, after, tumour)
    dense = tumour & (after >= 250)
    error = np.clip(after, -175, 600)[dense] - 60
    assert figures["lipiodol_psnr_db"] == pytest.approx(10 * np.log10(775**2 / (error**2).mean()), abs=1e-3)
    assert figures["tumour_residual_psnr_db"] < figures["tumour_psnr_db"] + 10
    assert figures["tumour_mae_hu"] == pytest.approx(real_pair.mean_error(before, after, tumour), rel=1e-4)


def files(**more) -> PairFiles:
    nowhere = Path("nowhere.nii")
    return PairFiles("P1", nowhere, nowhere, nowhere, GIVEN, **more)


def test_the_whole_on_a_synthetic_pair(pair, tmp_path) -> None:
    before, labels, after, _ = pair
    steps = []
    ready = PreparedPair.of(files(side="back", weeks=6.0), before, labels, after, None, None, COARSE)
    assert ready.truth.geometry.spacing == pytest.approx((2.5, 1.5, 1.5))
    rows = real_pair.judge(
        ready, find_bundle(), tmp_path, 2, 0, ready.shift, say=lambda name, share: steps.append(name)
    )
    copies = ["copy_pre", "copy_smoothed_1.5mm", "copy_smoothed_3mm", "constant_shift", "smoothed_shift"]
    made = ["mewm_expected", "mewm_territory", "mewm_sampled", "mewm_sampled_1", "mewm_sampled_2"]
    assert list(rows) == ["scan_after", *made, *copies, "territory_shift", "cubes"] and steps[0] == "simulation"
    # half of the tumour was filled with 450 HU, and the scanner's voxels are those of the scan after
    true_ml = float((labels.tumour & (z_of(before) > 4)).sum()) * before.geometry.voxel_ml
    assert rows["scan_after"]["lipiodol_200_ml"] == pytest.approx(true_ml, rel=0.2)
    assert rows["scan_after"]["lipiodol_iodine_ml"] == pytest.approx(true_ml * (450 - 85) / 26 / 480, rel=0.25)
    copy = rows["copy_pre"]
    assert copy["lipiodol_200_ml"] == 0 and copy["mae_ratio"] == 1 and math.isnan(copy["change_r_8mm"])
    assert copy["mae_hu"] > 60
    # the real change in cubes, on a scan without noise, is nearer than no change
    assert rows["cubes"]["mae_8mm_hu"] < 0.5 * copy["mae_8mm_hu"] and rows["cubes"]["change_r_8mm"] > 0.8
    assert rows["mewm_expected"] != rows["mewm_territory"]
    # what is said of Lipiodol is the mean of the samples
    each = [rows[f"mewm_sampled_{n}"]["lipiodol_200_ml"] for n in (1, 2)]
    assert rows["mewm_expected"]["lipiodol_200_ml"] == pytest.approx(np.mean(each))
    for name in ("mae_hu", "lipiodol_300_ml"):
        sampled = [rows[f"mewm_sampled_{n}"][name] for n in (1, 2)]
        assert rows["mewm_sampled"][name] == pytest.approx(np.mean(sampled))
    # squared errors: a mean of replicas is never worse than the replicas on average
    assert rows["mewm_expected"]["rmse_hu"] <= rows["mewm_sampled"]["rmse_hu"] + 0.5
    assert rows["mewm_territory"]["mae_hu"] != rows["mewm_expected"]["mae_hu"]
    assert rows["mewm_territory"]["lipiodol_200_ml"] <= rows["mewm_expected"]["lipiodol_200_ml"]
    assert real_pair.as_rows(rows)["copy_pre"]["mae_ratio"] == {"mean": 1, "n": 1}
    quality = json.loads((tmp_path / "registration.json").read_text())
    assert quality["tumour_covered"] == 1 and quality["body_dice_after"] > 0.95
    assert quality["native_after_ratio"] == pytest.approx(1, abs=0.1)
    assert (quality["side"], quality["weeks"]) == ("back", 6.0) and quality["protocol"] == GIVEN.text
    picture = matplotlib.image.imread(tmp_path / "real_pair.png")[..., :3]
    yellow = np.abs(picture - np.array([1.0, 0.83, 0.0])).max(-1) < 0.12
    tiles = [[part.any() for part in np.array_split(row, 3, 1)] for row in np.array_split(yellow, 2, 0)]
    assert tiles == [[False, True, True], [False, True, True]]  # before, two simulated; real, two differences


def test_simulated_change_stays_in_the_fed_half(pair) -> None:
    before, labels, after, _ = pair
    ready = PreparedPair.of(files(side="front"), before, labels, after, before, None, COARSE)
    # native voxels were given: they are the scan before, cut around the tumour, untouched
    assert ready.native_before.geometry.spacing == pytest.approx(before.geometry.spacing)
    assert ready.native_labels.tumour.sum() == labels.tumour.sum()
    patch = TreatedPatch.at(patch_geometry(ready.labels), ready.before, ready.labels)
    change = np.full(patch.hu.shape, 50, np.float32)
    made = CubeSimulated(patch, (change, 3 * change), Provenance(GIVEN.text, 0, "small", "ab"), "front")
    assert made.count == 2
    fed = fed_half(ready.native_labels, "front")
    image = made.sample(0, ready.native_before, ready.native_labels)
    mean = made.expected(ready.native_before, ready.native_labels)
    moved = mean.array.astype(int) - ready.native_before.array
    assert (moved[ready.native_labels.tumour & fed] == 100).all() and not moved[~fed].any()
    moved = image.array.astype(int) - ready.native_before.array
    tumour = ready.native_labels.tumour
    assert (moved[tumour & fed] == 50).all() and not moved[~fed].any() and image.simulated is not None


def test_a_model_on_a_cube_is_judged_too(pair, tiny_bundle, tmp_path) -> None:
    before, labels, after, _ = pair
    ready = PreparedPair.of(files(side="back", weeks=6.0), before, labels, after, None, None, COARSE)
    world = WorldModel.load(tiny_bundle, "cpu")
    rows = real_pair.judge(ready, tiny_bundle, tmp_path, 2, 0, ready.shift, world)
    # what its codec keeps of the real scan stands in the place of what cubes keep
    assert "cubes" not in rows and {"tumour_psnr_db", "mae_hu"} <= set(rows["codec"])
    assert rows["mewm_expected"] != rows["mewm_territory"]


def test_a_sample_of_coarse_maps_is_the_same_again(pair, tiny_map_bundle) -> None:
    before, labels, after, _ = pair
    ready = PreparedPair.of(files(side="back", weeks=6.0), before, labels, after, None, None, COARSE)
    world = WorldModel.load(tiny_map_bundle, "cpu")
    told = simulated(world, ready.before, ready.labels, GIVEN, 2, 0, 6.0, "back")
    assert isinstance(told, MapSimulated) and told.count == 2
    scan = told.sample(1, ready.before, ready.labels)
    assert scan.simulated is not None and np.array_equal(scan.array, told.sample(1, ready.before, ready.labels).array)


def test_scans_that_do_not_fit_are_refused(pair, tmp_path) -> None:
    before, labels, after, _ = pair
    thin = Volume(after.array[20:22], after.geometry.crop((20, 0, 0), (2, 50, 60)))
    fast = Registration(spacing_mm=8.0, shrink=(1,), levels=0, iterations=1, sampling=0.3)
    with pytest.raises(GeometryMismatchError, match="cover|could not be registered|inverted"):
        PreparedPair.of(files(), before, labels, thin, None, None, fast)


def test_a_list_of_pairs_leaves_one_out(pair, tiny_bundle, tmp_path, monkeypatch, capsys) -> None:
    """From files to tables: two pairs that teach each other's shifts, and one for judging that teaches nobody."""
    before, labels, after, _ = pair
    darker = after.with_array((after.array - 60).astype(np.int16))
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    for name, volume in (("before", before), ("after", after), ("darker", darker)):
        io.write_volume(volume, data / f"{name}.nrrd")
    io.write_labels(labels, data / "labels.seg.nrrd")
    text = "patient,before,labels,after,protocol,side,judging\n"
    for name, scan, judging in (("A", "after", "no"), ("B", "darker", "no"), ("C", "darker", "yes")):
        text += f"{name},before.nrrd,labels.seg.nrrd,{scan}.nrrd,Doxorubicin + Lipiodol,whole,{judging}\n"
    (data / "pairs.csv").write_text(text, encoding="utf-8")
    monkeypatch.setattr(real_pairs, "Registration", lambda: replace(COARSE, kind="rigid"))
    given = ["real-pairs", "--pairs", str(data / "pairs.csv"), "--out", str(out), "--replicas", "1"]
    given += ["--bundle", str(tiny_bundle.path)]
    assert command.main([*given, "--patient", "A", "C", "--judging"]) == 0
    written = json.loads((out / "metrics.json").read_text())
    rows = written["rows"]
    assert "C: Doxorubicin + Lipiodol" in written["cohort"] and written["stamp"]["patients"] == 2
    assert {row.split("/")[0] for row in rows} == {"A", "C", "mean"}
    # A learns from B alone: C is for judging
    shift = rows["A/constant_shift"], rows["A/copy_pre"]
    assert shift[0]["mae_hu"] != shift[1]["mae_hu"]
    mean = rows["mean/copy_pre"]["mae_hu"]
    assert mean["n"] == 2 and "low" not in mean
    assert mean["mean"] == pytest.approx(np.mean([rows[f"{p}/copy_pre"]["mae_hu"]["mean"] for p in "AC"]))
    for name in ("A", "C"):
        assert (out / name / "real_pair.png").exists() and (out / name / "registration.json").exists()
    lines = (out / "judging.log").read_text().splitlines()
    assert [line.split("\t")[1:3] for line in lines] == [["C", "run 1"]]
    assert "A/copy_pre" in capsys.readouterr().out
    assert command.main([*given, "--patient", "C"]) == 2  # not without being asked for
    assert len((out / "judging.log").read_text().splitlines()) == 1


def test_means_leave_out_what_could_not_be_computed() -> None:
    nothing = float("nan")
    rows = real_pairs.rows_of({"A": {"row": {"r": 0.5, "e": 3.0}}, "B": {"row": {"r": nothing, "e": 5.0}, "own": {}}})
    assert rows["mean/row"] == {"r": {"mean": 0.5, "n": 1}, "e": {"mean": 4.0, "n": 2}}
    assert rows["A/row"]["r"] == {"mean": 0.5, "n": 1} and rows["mean/own"] == {}


@pytest.mark.real_data
@pytest.mark.slow
def test_hcc_004_is_no_nearer_than_a_copy(shared_data, tmp_path) -> None:
    """Real files, read and registered as the command does; two of its rows."""
    folder = shared_data / "hcc_tace_real"
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}")
    name = str(folder / "HCC_004_{}_portal_{}.nii.gz")
    real = PairFiles(
        "HCC_004", Path(name.format("pre", "1p5mm")), Path(name.format("pre", "labels_APPROX_1p5mm")),
        Path(name.format("post", "1p5mm")), GIVEN, None, Path(name.format("pre", "tumour_native")),
        Path(name.format("post", "tumour_native")),
    )  # fmt: skip
    fast = Registration(spacing_mm=6.0, shrink=(2, 1), levels=0, iterations=15)
    ready = PreparedPair.read(real, fast)
    assert ready.quality["tumour_covered"] > 0.95
    assert ready.quality["abdomen_correlation_after"] > ready.quality["abdomen_correlation_before"] + 0.4
    found = lipiodol_figures(ready.native_after, ready.native_after_inside)
    assert 2 < found["lipiodol_300_ml"] < 10 and 0.1 < found["lipiodol_iodine_ml"] < 0.8
    assert lipiodol_figures(ready.native_before, ready.native_inside)["lipiodol_300_ml"] < 3
    assert ready.truth.figures(ready.truth.before)["mae_hu"] > 20
