"""Scans for the assistant: scenes around label maps, crops, and a run that learns and resumes."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from scipy import ndimage

from MeWMLib.core.errors import InputError, UnreadableFileError
from MeWMLib.dynamics.autoencoder import Autoencoder, AutoencoderConfig
from MeWMLib.perception.segmenter import Segmenter, SegmenterConfig, build
from MeWMLib.training import assistant, assistant_data, assistant_scenes
from MeWMLib.training.assistant import AssistantTraining
from MeWMLib.training.assistant_data import Drawn, Store


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
    """One scene and one patient to train on, and as many for validation."""
    folder = tmp_path_factory.mktemp("data")
    for split in ("train", "validation"):
        assistant_data.draw_data(folder, maps, split, patients=1, scenes=1)
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


def test_files_that_are_there_stay(data, maps) -> None:
    names = sorted(p.name for p in data.iterdir())
    assert names == sorted(f"{s}-{k}-000000.npz" for s in ("train", "validation") for k in ("patient", "scene"))
    times = {p: p.stat().st_mtime_ns for p in data.iterdir()}
    assistant_data.draw_data(data, maps, "train", patients=1, scenes=1)
    assert {p: p.stat().st_mtime_ns for p in data.iterdir()} == times
    patient = Drawn.read(data / "train-patient-000000.npz")
    assert patient.hu.shape == patient.labels.shape == (5, 96, 96, 96) and 1.0 <= patient.spacing_mm < 2.4
    with pytest.raises(InputError, match="assistant-data"):
        Store(maps, "train")


def test_half_resolution_takes_the_label_of_most_voxels() -> None:
    labels = np.zeros((4, 4, 4), np.uint8)
    labels[:2, :2, :2] = 2
    labels[2:, :2, :2] = 1
    labels[2:, 2:, 2:].reshape(-1)[:3] = 2  # three of eight
    hu, half = assistant_data.halved(np.arange(64, dtype=np.float32).reshape(4, 4, 4), labels)
    assert half.shape == (2, 2, 2) and half[0, 0, 0] == 2 and half[1, 0, 0] == 1 and half.sum() == 3
    assert hu[0, 0, 0] == np.mean([0, 1, 4, 5, 16, 17, 20, 21])


def test_an_image_through_the_codec_lies_between_before_and_after() -> None:
    rng = np.random.default_rng(0)
    hu = rng.normal(80, 30, (3, 32, 32, 32)).astype(np.int16)
    hu[1:] = hu[0]
    hu[1, 8:16, 8:16, 8:16] += 200
    drawn = Drawn(hu, np.zeros(hu.shape, np.uint8), 1.5)
    codec = Autoencoder(AutoencoderConfig(64))
    codec.basis.copy_(torch.eye(64))  # holds everything
    seen = set()
    for seed in range(8):
        image = assistant_data.coded(drawn, 1, codec, np.random.default_rng(seed))
        added = float((image - hu[0])[8:16, 8:16, 8:16].mean())
        assert 90 < added < 210  # mixed with up to 35 % of an outcome in which nothing changed
        noise = float((image - hu[0])[20:].std())
        seen.add(noise > 1)
        assert noise < 40
    assert seen == {True, False}  # half of them carry noise of the latent


def test_augmentation_leaves_air_alone_and_changes_tissue() -> None:
    hu = np.full((16, 16, 16), -1000, np.float32)
    hu[:8] = 100
    out = [assistant_data.augment(hu, np.random.default_rng(n)) for n in range(12)]
    middles = [float(np.median(o[2:5])) for o in out]
    assert np.std(middles) > 5  # brightness and contrast vary
    assert all(abs(float(np.median(o[11:])) + 1000) < 30 for o in out)
    assert np.array_equal(out[0], assistant_data.augment(hu, np.random.default_rng(0)))


@pytest.mark.slow
def test_a_run_learns_and_a_stopped_one_goes_on(data, tmp_path) -> None:
    torch.manual_seed(0)
    config = SegmenterConfig(filters=(4, 8, 8, 16, 16), window=96, overlap=0.25)
    first = Segmenter(config, build(config), torch.device("cpu"))
    start = (first.part_config(), first.tensors())
    settings = AssistantTraining(steps=60, side=32, learning_rate=1e-2, average=0.8, half=False)
    short = AssistantTraining(steps=24, side=32, learning_rate=1e-2, average=0.8, half=False)
    assistant.train(tmp_path, short, data, None, start)
    trained, figures = assistant.train(tmp_path, settings, data, None, start)
    assert figures["steps"] == 60 and trained.config == config
    batches = [assistant.batch_of(settings, Store(data, "train"), None, n) for n in range(100, 106)]
    losses = []
    for network in (Segmenter.from_part(*start, torch.device("cpu")).network, trained.network):
        with torch.inference_mode():
            each = [torch.nn.functional.cross_entropy(network(x), y[:, 0]) for x, y in batches]
        losses.append(float(torch.stack(each).mean()))
    assert losses[1] < 0.8 * losses[0]
    assert set(figures) >= {"dice_liver", "dice_tumour", "dice_patch_before", "dice_patch_after"}


def test_an_error_while_drawing_reaches_the_training(data, monkeypatch) -> None:
    def fails(*_: object) -> None:
        raise OSError("gone")

    monkeypatch.setattr(assistant, "batch_of", fails)
    crops = assistant.Crops(AssistantTraining(), Store(data, "train"), None, 1)
    with pytest.raises(OSError, match="gone"):
        crops.get()
    crops.close()
