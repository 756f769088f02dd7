"""Scans for the assistant: scenes around label maps, crops, and a run that learns and resumes."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

from MeWMLib.cohorts.synthetic.study import StudyPatient
from MeWMLib.core.bundles import find_bundle
from MeWMLib.core.errors import InputError, UnreadableFileError
from MeWMLib.dynamics.autoencoder import Autoencoder
from MeWMLib.dynamics.map_model import MapModel
from MeWMLib.dynamics.model import DynamicsModel
from MeWMLib.lab.training import assistant, assistant_data
from MeWMLib.lab.training.__main__ import main
from MeWMLib.lab.training.assistant import AssistantTraining, Loss, passes_gate, validate
from MeWMLib.lab.training.assistant_crops import (
    COARSE_SHAPE,
    Ahead,
    Mix,
    Store,
    batch_of,
    coarse_on_device,
    coded,
    on_device,
)
from MeWMLib.lab.training.assistant_data import Drawn
from MeWMLib.lab.training.assistant_patients import AFTER, BEFORE, BY_LATENT, BY_MAPS, Simulators, draw_patch
from MeWMLib.perception.intensity import normalise
from MeWMLib.perception.segmenter import Segmenter, SegmenterConfig, build

CPU = torch.device("cpu")
ONE_OF_EACH = {"patient": 1, "abdomen": 1, "scene": 1}


@pytest.fixture(scope="module")
def data(maps, map_network, tiny_bundle, tmp_path_factory) -> Path:
    """One of each kind to train on, with simulated outcomes, and as many for validation."""
    folder = tmp_path_factory.mktemp("data")
    latent = DynamicsModel.from_parts(tiny_bundle.part("autoencoder"), tiny_bundle.part("dynamics"), CPU)
    simulators = Simulators(MapModel(map_network, CPU), latent)
    for split in ("train", "validation"):
        assistant_data.draw_data(folder, maps, split, ONE_OF_EACH, simulators=simulators)
    return folder


def test_no_liver_is_in_both_splits(maps) -> None:
    train, validation = (assistant_data.split_maps(maps, s) for s in ("train", "validation"))
    assert len(train) == 10 and len(validation) == 2 and not set(train) & set(validation)
    with pytest.raises(InputError, match="label maps"):
        assistant_data.split_maps(maps / "nothing", "train")


def test_files_that_are_there_stay_and_broken_ones_are_named(data, maps, tmp_path) -> None:
    names = sorted(p.name for p in data.iterdir())
    assert names == sorted(
        f"{s}-{k}-000000.safetensors" for s in ("train", "validation") for k in ("patient", "abdomen", "scene")
    )
    times = {p: p.stat().st_mtime_ns for p in data.iterdir()}
    assistant_data.draw_data(data, maps, "train", ONE_OF_EACH)
    assert {p: p.stat().st_mtime_ns for p in data.iterdir()} == times
    with pytest.raises(InputError, match="assistant-data"):
        Store(maps, "train")
    (tmp_path / "train-scene-000000.safetensors").write_bytes(b"not it")
    with pytest.raises(UnreadableFileError, match="draw it again"):
        Store(tmp_path, "train").crop("scene", 32, False, np.random.default_rng(0))


def test_a_patient_is_drawn_before_after_and_as_it_is_simulated(data) -> None:
    drawn = Drawn.read(data / "train-patient-000000.safetensors")
    origins = [BEFORE, *[AFTER] * 3, *[BY_MAPS] * 3, *[BY_LATENT] * 2]
    assert drawn.origins.tolist() == origins and drawn.hu.shape == drawn.labels.shape == (9, 96, 96, 96)
    tumour_ml = (drawn.labels == 2).sum((1, 2, 3)) * drawn.spacing_mm**3 / 1000
    assert 0.9 < drawn.spacing_mm < 2.4 and drawn.coarse_hu.size == drawn.coarse_liver.size == 0
    # the patch may cut a little off
    assert drawn.viable_ml[1:4].min() < drawn.viable_ml[0] and (drawn.viable_ml[:4] <= 1.1 * tumour_ml[:4] + 0.5).all()
    near = ndimage.distance_transform_edt(drawn.labels[0] != 2, sampling=drawn.spacing_mm) < 15
    for n in range(4, 9):
        changed = drawn.hu[n] != drawn.hu[0]
        # a simulation changes the scan before treatment, in and around the tumour only
        assert changed[near].mean() > 0.05 and not changed[~near].any()
        assert (drawn.labels[n] >= 1).sum() == pytest.approx((drawn.labels[0] >= 1).sum(), rel=0.01)
    true = (drawn.hu[1] != drawn.hu[0])[~near]
    assert true.mean() > 0.8  # another scan: noise and pose of its own


def test_a_painted_outcome_has_the_labels_of_its_own_sample(map_network) -> None:
    seed, twice = 7, []
    for deviating in (0.0, 0.0):
        found = draw_patch(seed, Simulators(MapModel(map_network, CPU), deviating=deviating))
        painted = [n for n, origin in enumerate(found.origins) if origin == BY_MAPS]
        twice.append([found.labels[n] for n in painted])
        assert len(painted) == 3 and not any(origin == BY_LATENT for origin in found.origins)
        for n in painted:
            differs = found.labels[n] != found.labels[0]
            assert set(np.unique(found.labels[n][differs])) <= {1, 2} and np.isfinite(found.viable_ml[n])
    assert all(np.array_equal(a, b) for a, b in zip(*twice, strict=True))
    assert set(draw_patch(seed).origins) == {BEFORE, AFTER}


def test_an_abdomen_is_the_worlds_own_patient(data) -> None:
    drawn = Drawn.read(data / "validation-abdomen-000000.safetensors")
    assert drawn.origins.tolist() == [BEFORE, AFTER, AFTER, BY_MAPS] and 1.4 <= drawn.spacing_mm <= 1.8
    assert min(drawn.hu.shape[1:]) * drawn.spacing_mm > 220  # mm
    nodules = StudyPatient.draw(100_000).nodules
    expected = sum(4 / 3 * np.pi * n.radius**3 for n in nodules) / 1000
    assert 0.3 < (drawn.labels[0] == 2).sum() * drawn.spacing_mm**3 / 1000 / expected < 1.6
    assert drawn.viable_ml[0] > 0
    # a scanner's noise, which version 2 of the world does not draw: neighbouring slices differ within the liver
    liver = ndimage.binary_erosion(drawn.labels[0] == 1, iterations=4)
    steps = np.diff(drawn.hu[0].astype(float), axis=0)[liver[1:] & liver[:-1]]
    assert steps.std() > 5


def test_coarse_scans_are_means_of_the_whole_ones(data) -> None:
    drawn = Drawn.read(data / "train-abdomen-000000.safetensors")
    block = drawn.hu.shape[1] // drawn.coarse_hu.shape[1]
    assert 4 <= block * drawn.spacing_mm <= 6 and len(drawn.coarse_hu) == len(drawn.coarse_liver) == len(drawn.hu)
    first = drawn.hu[2, :block, block : 2 * block, :block].mean()
    assert drawn.coarse_hu[2, 0, 1, 0] == pytest.approx(first, abs=0.51)
    liver_ml = (drawn.labels[0] > 0).sum() * drawn.spacing_mm**3 / 1000
    coarse_ml = drawn.coarse_liver[0].sum() / 255 * (block * drawn.spacing_mm) ** 3 / 1000
    assert coarse_ml == pytest.approx(liver_ml, rel=0.02)


def test_points_lie_in_lesions_which_count_alike_in_the_liver_and_near_it() -> None:
    labels = np.zeros((24, 24, 24), np.uint8)
    labels[2:20, 2:20, 2:20] = 1
    labels[4:12, 4:12, 4:12] = 2
    labels[18, 18, 18] = 2  # 1 voxel beside 512
    hu = np.full(labels.shape, -900.0)
    hu[labels > 0], hu[21:, :6, :6] = 100, 200  # something dense beside the liver
    drawn = Drawn.of([hu, hu], [labels, np.zeros_like(labels)], 1.5, 0)
    lesions, liver, beside = drawn.points[0].astype(int)
    assert (labels[tuple(lesions.T)] == 2).all() and (labels[tuple(liver.T)] >= 1).all()
    assert 0.25 < (lesions == 18).all(1).mean() < 0.75
    assert (labels[tuple(beside.T)] == 0).all() and (hu[tuple(beside.T)] == 200).all()
    assert (drawn.points[1] == -1).all() and np.isnan(drawn.viable_ml).all()


def test_crops_lie_around_tumours_as_often_as_not(data) -> None:
    store = Store(data, "train")
    crops = [store.crop("abdomen", 32, False, np.random.default_rng(n)) for n in range(60)]
    assert all(c.hu.shape == c.labels.shape == (32, 32, 32) for c in crops)
    assert 0.3 < np.mean([(c.labels == 2).any() for c in crops]) < 0.8
    assert any((c.labels == 0).all() for c in crops)  # what is no liver is learnt too


def test_a_batch_is_that_of_its_step_and_as_large_as_its_side_allows(data) -> None:
    mix, store = Mix(batch=1, sides=(64, 32)), Store(data, "train")
    assert [len(batch_of(mix, store, True, n).crops) for n in range(2)] == [1, 8]
    first, again, later = (on_device(batch_of(mix, store, False, n).crops, None, mix, n, CPU) for n in (1, 1, 3))
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
    assert not torch.equal(first[0], later[0])
    assert first[0].shape == first[1].shape == (8, 1, 32, 32, 32) and first[1].dtype == torch.int64
    only = Mix(batch=4, sides=(32,), shares=(0, 0, 1))
    scenes = Drawn.read(data / "train-scene-000000.safetensors")
    for crop in batch_of(only, store, True, 0).crops:
        assert crop.others is None and crop.hu.shape == (32, 32, 32) and crop.hu.min() >= scenes.hu.min()


def test_coarse_pieces_show_many_fields_of_view(data) -> None:
    mix, store = Mix(batch=1, coarse=24, sides=(32,)), Store(data, "train")
    batch = batch_of(mix, store, False, 0)
    assert batch.coarse_hu.shape == batch.coarse_liver.shape == (24, *COARSE_SHAPE)
    holds = batch.coarse_liver.any((1, 2, 3))
    assert 0.5 < holds.mean() <= 1 and (batch.coarse_hu[holds].max((1, 2, 3)) > 50).all()
    rows = (batch.coarse_hu > -1000).any((2, 3)).sum(1)
    assert len(np.unique(rows)) > 5  # shorter and longer scans
    hu, liver = coarse_on_device(batch, mix, 0, CPU)
    assert hu.shape == liver.shape == (24, 1, *COARSE_SHAPE) and set(liver.unique().tolist()) == {0, 1}


def test_true_outcomes_go_through_the_codec_in_the_place_of_the_crop(data) -> None:
    store = Store(data, "train")
    crops = [store.crop("patient", 32, True, np.random.default_rng(n)) for n in range(80)]
    through = [c for c in crops if c.others is not None]
    assert 2 < len(through) < 40 and all(c.others.shape == (2, 32, 32, 32) for c in through)  # type: ignore[union-attr]
    before = Drawn.read(data / "train-patient-000000.safetensors").hu[0]
    place = np.lib.stride_tricks.sliding_window_view(before, (32, 32, 32))[::4, ::4, ::4]
    for crop in through[:3]:
        assert (place == crop.others[0]).all((3, 4, 5)).any()  # type: ignore[index]


def test_an_image_through_the_codec_lies_between_before_and_after() -> None:
    rng = np.random.default_rng(0)
    first = torch.from_numpy(rng.normal(80, 30, (1, 1, 32, 32, 32)).astype(np.float32)).repeat(16, 1, 1, 1, 1)
    then = first.clone()
    then[:, :, 8:16, 8:16, 8:16] += 200
    codec = Autoencoder(64)
    codec.basis.copy_(torch.eye(64))  # holds everything
    image = coded(first, then, first, codec, np.random.default_rng(0), torch.Generator().manual_seed(0))
    change = image - first
    added = change[:, 0, 8:16, 8:16, 8:16].mean((1, 2, 3))
    assert ((added > 90) & (added < 210)).all()  # mixed with up to 35 % of an outcome in which nothing changed
    noise = change[:, 0, 20:].std((1, 2, 3))
    assert noise.max() < 40 and 3 < (noise > 1).sum() < 13  # half of them carry noise of the latent


def test_a_small_lesion_counts_beside_a_large_one() -> None:
    labels = torch.ones(2, 1, 16, 16, 16, dtype=torch.int64)
    labels[0, 0, 2:14, 2:14, 2:14] = 2
    labels[1, 0, 7:9, 7:9, 7:9] = 2
    right = 12.0 * torch.nn.functional.one_hot(labels[:, 0], 3).movedim(-1, 1).float()
    missed = right.clone()
    missed[1, 2], missed[1, 1] = 0, 12
    loss = Loss()
    assert loss(right, labels) < 0.01
    # half of two crops' Dice of the tumour is lost, of the four Dice that count; the batch's own moves little
    assert 0.1 < loss(missed, labels) - loss(right, labels) < 0.35
    none = torch.zeros_like(labels)
    assert torch.isfinite(loss(torch.randn(2, 3, 16, 16, 16), none))


def test_the_gate_asks_for_both_volumes() -> None:
    assert passes_gate({"tumour_volume_r": 0.95, "viable_volume_r": 0.81})
    assert not passes_gate({"tumour_volume_r": 0.95, "viable_volume_r": 0.79})
    assert not passes_gate({"tumour_volume_r": 0.5, "viable_volume_r": 0.9})
    assert passes_gate({"tumour_volume_r": float("nan"), "viable_volume_r": float("nan")})  # none drawn


def test_figures_of_the_validation_split(tmp_path) -> None:
    """A network that knows nothing but brightness, on scans where brightness says it all."""
    labels = np.ones((32, 32, 32), np.uint8)
    labels[:8] = 0
    before, after = labels.copy(), labels.copy()
    before[12:24, 12:24, 12:24], after[12:20, 12:24, 12:24] = 2, 2
    hu = [np.choose(found, (-100, 100, 180)) for found in (before, after)]
    truths = {"scene": [before, after], "abdomen": [before, after], "patient": [before, after, after]}
    for kind, scans in (("scene", hu), ("abdomen", hu), ("patient", [*hu, hu[1]])):
        for n in range(3):
            # the viable part is given another size each time, so that it can be correlated with
            grown = [s.copy() for s in scans]
            grown[-1][8 : 10 + n][grown[-1][8 : 10 + n] == 100] = 180
            origins = [BEFORE, AFTER, BY_MAPS][: len(grown)]
            viable = [1.7, 1.0 + n, 1.0 + n][: len(grown)]
            drawn = Drawn.of(grown, truths[kind], 1.6, n, viable, origins, whole=kind != "patient")
            drawn.write(tmp_path / f"validation-{kind}-{n:06d}.safetensors")

    class Brightness(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            hu = (x + 1) / 2 * 775 - 175
            return torch.cat([-((hu - level) ** 2) for level in (-100, 100, 180)], 1)

    config = SegmenterConfig(window=32, overlap=0.5)
    figures = validate(Segmenter(config, Brightness(), CPU), tmp_path, 3)  # type: ignore[arg-type]
    assert figures["dice_patch_before"] == figures["dice_patch_after"] == figures["dice_abdomen_before"] == 1
    assert figures["dice_liver"] > 0.9  # some noise is added to scenes
    assert 0.1 < figures["dice_patch_painted"] < 0.9  # grown beyond the truth
    assert np.isnan(figures["dice_patch_simulated"]) and np.isnan(figures["dice_coarse"])  # none of either
    assert figures["viable_volume_r"] > 0.95 and np.isnan(figures["tumour_volume_r"])  # which never varies
    small = Segmenter(config, build(config), CPU)
    only = AssistantTraining(steps=0, validation=0)  # no scans to train on are asked for
    same, nothing = assistant.train(tmp_path, only, tmp_path, None, (small.part_config(), small.tensors()))
    assert nothing["steps"] == 0 and np.isnan(nothing["dice_liver"])
    assert np.allclose(
        same.tensors()["input_block.conv1.conv.weight"], small.tensors()["input_block.conv1.conv.weight"]
    )


@pytest.mark.slow
def test_a_run_learns_and_a_stopped_one_goes_on(data, tmp_path) -> None:
    torch.manual_seed(0)
    config = SegmenterConfig(filters=(4, 8, 8, 16, 16), window=96, overlap=0.25)
    first = Segmenter(config, build(config), CPU)
    start = (first.part_config(), first.tensors())
    mix = Mix(batch=2, sides=(32,))
    settings = AssistantTraining(steps=60, mix=mix, learning_rate=1e-2, average=0.8, half=False, validation=0)
    short = AssistantTraining(steps=24, mix=mix, learning_rate=1e-2, average=0.8, half=False, readers=2, validation=0)
    assistant.train(tmp_path, short, data, None, start)
    trained, figures = assistant.train(tmp_path, settings, data, None, start)
    assert figures["steps"] == 60 and trained.config == config
    store = Store(data, "train")
    batches = [on_device(batch_of(mix, store, False, n).crops, None, mix, n, CPU) for n in range(100, 106)]
    losses = []
    for network in (Segmenter.from_part(*start, CPU).network, trained.network):
        with torch.inference_mode():
            each = [torch.nn.functional.cross_entropy(network(normalise(x)), y[:, 0]) for x, y in batches]
        losses.append(float(torch.stack(each).mean()))
    assert losses[1] < 0.8 * losses[0]


@pytest.mark.slow
def test_weights_below_the_gate_do_not_reach_the_bundle(data, tmp_path, capsys, monkeypatch) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(find_bundle().path, bundle)
    was = (bundle / "assistant.safetensors").read_bytes()
    options = ["--bundle", str(bundle), "--work", str(tmp_path / "work"), "--data", str(data), "--device", "cpu"]
    figures = {"tumour_volume_r": 0.9, "viable_volume_r": 0.7}
    monkeypatch.setattr(assistant, "validate", lambda *_: figures)
    assert main(["assistant", *options, "--steps", "1", "--batch", "1", "--filters", "4", "8", "8", "16", "16"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out) == {"steps": 1, **figures} | {"seconds": pytest.approx(0, abs=600)}
    assert "below-gate" in told.err
    assert (bundle / "assistant.safetensors").read_bytes() == was
    assert (tmp_path / "work" / "below-gate" / "assistant.safetensors").exists()


def test_what_is_made_ahead_comes_in_order_and_errors_reach_who_waits() -> None:
    made = Ahead(lambda step: step, 5, workers=3, depth=2)
    assert [made.get() for _ in range(20)] == list(range(5, 25))
    made.close()

    def fails(step: int) -> int:
        if step == 1:
            raise OSError("gone")
        return step

    made = Ahead(fails, 0, workers=2)
    assert made.get() == 0
    with pytest.raises(OSError, match="gone"):
        made.get()
    made.close()
