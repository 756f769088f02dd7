"""Scans for the assistant: scenes around label maps, crops, and a run that learns and resumes."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from scipy import ndimage

from MeWMLib.cohorts.synthetic.world import SyntheticPatient
from MeWMLib.core.bundles import find_bundle
from MeWMLib.core.errors import InputError, UnreadableFileError
from MeWMLib.dynamics.autoencoder import Autoencoder
from MeWMLib.dynamics.model import DynamicsModel
from MeWMLib.lab.training import assistant, assistant_data, assistant_scenes
from MeWMLib.lab.training.__main__ import main
from MeWMLib.lab.training.assistant import AssistantTraining, Loss, passes_gate, validate
from MeWMLib.lab.training.assistant_crops import Ahead, Mix, Store, coded, crops_of, on_device
from MeWMLib.lab.training.assistant_data import Drawn, truth_of
from MeWMLib.perception.intensity import normalise
from MeWMLib.perception.segmenter import Segmenter, SegmenterConfig, build

CPU = torch.device("cpu")
ONE_OF_EACH = {"patient": 1, "abdomen": 1, "scene": 1}


@pytest.fixture(scope="module")
def maps(tmp_path_factory) -> Path:
    """Twelve label maps of an egg with two balls in it, 3 mm."""
    folder = tmp_path_factory.mktemp("maps")
    z, y, x = np.meshgrid(*(np.arange(n) - n / 2 for n in (40, 44, 56)), indexing="ij")
    liver = (z / 17) ** 2 + (y / 19) ** 2 + (x / 25) ** 2 < 1
    tumour = (z**2 + (y - 5) ** 2 + (x - 8) ** 2 < 36) | ((z - 8) ** 2 + y**2 + (x + 10) ** 2 < 16)
    image = sitk.GetImageFromArray((liver.astype(np.uint8) + (liver & tumour)).astype(np.uint8))
    image.SetSpacing((3.0, 3.0, 3.0))
    for n in range(12):
        sitk.WriteImage(image, str(folder / f"case_{n:03d}.nii.gz"))
    return folder


@pytest.fixture(scope="module")
def data(maps, tmp_path_factory) -> Path:
    """One of each kind to train on, with simulated outcomes, and as many for validation."""
    folder = tmp_path_factory.mktemp("data")
    bundle = find_bundle()
    dynamics = DynamicsModel.from_parts(bundle.part("autoencoder"), bundle.part("dynamics"), torch.device("cpu"))
    for split in ("train", "validation"):
        assistant_data.draw_data(folder, maps, split, ONE_OF_EACH, dynamics=dynamics)
    return folder


def test_no_liver_is_in_both_splits(maps) -> None:
    train, validation = (assistant_data.split_maps(maps, s) for s in ("train", "validation"))
    assert len(train) == 10 and len(validation) == 2 and not set(train) & set(validation)
    with pytest.raises(InputError, match="label maps"):
        assistant_data.split_maps(maps / "nothing", "train")
    (maps.parent / "broken").mkdir()
    (maps.parent / "broken" / "a.nii.gz").write_bytes(b"no image")
    with pytest.raises(UnreadableFileError):
        assistant_scenes.read_map(maps.parent / "broken" / "a.nii.gz")


def test_a_warped_map_keeps_its_size_and_its_tumours_inside(maps) -> None:
    array, spacing = assistant_scenes.read_map(maps / "case_000.nii.gz")
    shapes = [assistant_scenes.warped(array, spacing, np.random.default_rng(n)) for n in range(2)]
    for outlines in shapes:
        volume = float((outlines.liver.grid > 0).sum()) * assistant_scenes.STEP_MM**3
        assert 0.5 < volume / ((array > 0).sum() * spacing**3) < 2
        assert outlines.tumours is not None
        inside = outlines.tumours.grid > 0
        assert inside.any() and (outlines.liver.grid[inside] > -assistant_scenes.STEP_MM).all()
    assert shapes[0].liver.grid.shape != shapes[1].liver.grid.shape or not np.array_equal(
        shapes[0].liver.grid, shapes[1].liver.grid
    )


def test_a_scene_is_drawn_from_its_seed_and_labels_follow_the_image(maps) -> None:
    array, spacing = assistant_scenes.read_map(maps / "case_000.nii.gz")
    first, again = (assistant_scenes.draw_scenes(array, spacing, 3, 64) for _ in range(2))
    for a, b in zip(first, again, strict=True):
        assert np.array_equal(a.hu, b.hu) and np.array_equal(a.labels, b.labels)
    for scene in first:
        assert scene.hu.shape == scene.labels.shape == (64, 64, 64) and 1.3 < scene.spacing_mm < 2.3
        assert set(np.unique(scene.labels)) <= {0, 1, 2} and (scene.labels == 1).any()
        liver = scene.hu[ndimage.binary_erosion(scene.labels == 1, iterations=2)]
        assert liver.std() < 45 and -20 < liver.mean() < 220
        assert scene.hu.min() < -500  # lung or air
    assert not np.array_equal(first[0].hu, first[1].hu)
    assert not np.array_equal(first[0].hu, assistant_scenes.draw_scenes(array, spacing, 4, 64)[0].hu)


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
    assert drawn.hu.shape == (9, 96, 96, 96) and drawn.labels.shape == (5, 96, 96, 96)
    assert [truth_of(n, len(drawn.labels)) for n in range(9)] == [0, 1, 2, 3, 4, 1, 2, 3, 4]
    tumour_ml = (drawn.labels == 2).sum((1, 2, 3)) * drawn.spacing_mm**3 / 1000
    assert 0.9 < drawn.spacing_mm < 2.4 and (drawn.viable_ml <= tumour_ml + 1e-3).all()
    assert drawn.viable_ml[1:].min() < drawn.viable_ml[0]
    tumour = ndimage.distance_transform_edt(drawn.labels[0] != 2) < 12
    for n in range(5, 9):
        changed = drawn.hu[n] != drawn.hu[0]
        # a simulation changes the scan before treatment, in and around the tumour only
        assert changed[tumour].mean() > 0.1 and not changed[~tumour].any()


def test_an_abdomen_is_the_worlds_own_patient(data) -> None:
    drawn = Drawn.read(data / "validation-abdomen-000000.safetensors")
    assert drawn.hu.shape[0] == len(drawn.labels) == 3 and 1.4 <= drawn.spacing_mm <= 1.8
    assert min(drawn.hu.shape[1:]) * drawn.spacing_mm > 220  # mm
    nodules = SyntheticPatient.draw(100_000).nodules
    expected = sum(4 / 3 * np.pi * n.radius**3 for n in nodules) / 1000
    assert 0.3 < (drawn.labels[0] == 2).sum() * drawn.spacing_mm**3 / 1000 / expected < 1.6
    assert drawn.viable_ml[0] > 0


def test_points_lie_in_lesions_which_count_alike_and_in_the_liver() -> None:
    labels = np.zeros((24, 24, 24), np.uint8)
    labels[2:22, 2:22, 2:22] = 1
    labels[4:14, 4:14, 4:14] = 2
    labels[18, 18, 18] = 2  # 1 voxel beside 1,000
    drawn = Drawn.of([np.zeros(labels.shape)] * 2, [labels, np.zeros_like(labels)], 1.5, 0)
    lesions, liver = drawn.points[0].astype(int)
    assert (labels[tuple(lesions.T)] == 2).all() and (labels[tuple(liver.T)] >= 1).all()
    assert 0.25 < (lesions == 18).all(1).mean() < 0.75
    assert (drawn.points[1] == -1).all() and np.isnan(drawn.viable_ml).all()


def test_simulated_scans_have_the_labels_of_the_outcome_that_they_simulate() -> None:
    assert [truth_of(n, 3) for n in range(5)] == [0, 1, 2, 1, 2]
    assert [truth_of(n, 2) for n in range(2)] == [0, 1]


def test_crops_lie_around_tumours_as_often_as_not(data) -> None:
    store = Store(data, "train")
    crops = [store.crop("abdomen", 32, False, np.random.default_rng(n)) for n in range(60)]
    assert all(c.hu.shape == c.labels.shape == (32, 32, 32) for c in crops)
    assert 0.35 < np.mean([(c.labels == 2).any() for c in crops]) < 0.8
    assert any((c.labels == 0).all() for c in crops)  # what is no liver is learnt too


def test_a_batch_is_that_of_its_step_and_as_large_as_its_side_allows(data) -> None:
    mix, store = Mix(batch=1, sides=(64, 32)), Store(data, "train")
    assert [len(crops_of(mix, store, True, n)) for n in range(2)] == [1, 8]
    first, again, later = (on_device(crops_of(mix, store, False, n), None, mix, n, CPU) for n in (1, 1, 3))
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
    assert not torch.equal(first[0], later[0])
    assert first[0].shape == first[1].shape == (8, 1, 32, 32, 32) and first[1].dtype == torch.int64
    only = Mix(batch=4, sides=(32,), shares=(0, 0, 1))
    scenes = Drawn.read(data / "train-scene-000000.safetensors")
    for crop in crops_of(only, store, True, 0):
        assert crop.others is None and crop.hu.shape == (32, 32, 32) and crop.hu.min() >= scenes.hu.min()


def test_true_outcomes_go_through_the_codec_in_the_place_of_the_crop(data) -> None:
    store = Store(data, "train")
    crops = [store.crop("patient", 32, True, np.random.default_rng(n)) for n in range(80)]
    through = [c for c in crops if c.others is not None]
    assert 5 < len(through) < 50 and all(c.others.shape == (2, 32, 32, 32) for c in through)  # type: ignore[union-attr]
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
    for kind, scans in (("scene", hu), ("abdomen", hu), ("patient", [*hu, hu[1]])):
        for n in range(3):
            # the viable part is given another size each time, so that it can be correlated with
            grown = [s.copy() for s in scans]
            grown[-1][8 : 10 + n][grown[-1][8 : 10 + n] == 100] = 180
            drawn = Drawn.of(grown, [before, after], 1.6, n, [1.7, 1.0 + n])
            drawn.write(tmp_path / f"validation-{kind}-{n:06d}.safetensors")

    class Brightness(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            hu = (x + 1) / 2 * 775 - 175
            return torch.cat([-((hu - level) ** 2) for level in (-100, 100, 180)], 1)

    config = SegmenterConfig(window=32, overlap=0.5)
    figures = validate(Segmenter(config, Brightness(), CPU), tmp_path, 3)  # type: ignore[arg-type]
    assert figures["dice_patch_before"] == figures["dice_patch_after"] == figures["dice_abdomen_before"] == 1
    assert figures["dice_liver"] > 0.9  # some noise is added to scenes
    assert 0.1 < figures["dice_patch_simulated"] < 0.9  # grown beyond the truth
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
    batches = [on_device(crops_of(mix, store, False, n), None, mix, n, CPU) for n in range(100, 106)]
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
