"""FID against the closed form, the distance of crops, and the feature networks."""

import numpy as np
import pytest
import safetensors.torch
import torch
from scipy.linalg import sqrtm
from torch import Tensor
from torch.nn import functional

from MeWMLib.core.errors import GeometryMismatchError, InputError, NoTumourError, UnreadableFileError
from MeWMLib.lab.evaluation import perceptual
from MeWMLib.lab.evaluation.perceptual import AssistantFeatures, VggFeatures
from MeWMLib.perception.segmenter import Segmenter, SegmenterConfig, build, normalise


class Pixels:
    """A network whose features are the image itself: four channels, one for each quarter of the crop."""

    name = "pixels"

    def layers(self, images: Tensor) -> list[Tensor]:
        return [functional.pixel_unshuffle(images, 2)]


class Grey:
    """Two layers with a constant channel, so that unit length keeps the brightness."""

    name = "grey"

    def layers(self, images: Tensor) -> list[Tensor]:
        x = images / 100
        return [torch.cat([x, torch.ones_like(x)], 1), torch.cat([functional.avg_pool2d(x, 2)] * 2, 1) + 1]


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    config = SegmenterConfig(filters=(4, 8, 12))
    torch.manual_seed(0)
    return Segmenter(config, build(config), torch.device("cpu"))


def crops(n: int = 12, seed: int = 0, size: int = 32) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (60 + 40 * rng.standard_normal((n, size, size))).astype(np.float32)


def test_the_distance_of_gaussians_is_that_of_the_formula() -> None:
    rng = np.random.default_rng(0)
    a, b = (x @ x.T for x in rng.normal(size=(2, 6, 9)))
    mean_a, mean_b = rng.normal(size=(2, 6))
    expected = ((mean_a - mean_b) ** 2).sum() + np.trace(a + b - 2 * np.real(sqrtm(a @ b)))
    assert perceptual.frechet_distance(mean_a, a, mean_b, b) == pytest.approx(expected, rel=1e-8)
    assert perceptual.frechet_distance(mean_a, a, mean_a, a) == pytest.approx(0, abs=1e-9)
    # commuting covariances: sum of (s - t)^2
    s, t = np.array([1.0, 4.0, 0.0]), np.array([9.0, 1.0, 0.25])
    found = perceptual.frechet_distance(np.zeros(3), np.diag(s), np.zeros(3), np.diag(t))
    assert found == pytest.approx(((np.sqrt(s) - np.sqrt(t)) ** 2).sum())


def fid(
    real: np.ndarray, other: np.ndarray, network: perceptual.FeatureNetwork, dimensions: int | None = None
) -> perceptual.Fid:
    """Of crops."""
    return perceptual.fid(*(perceptual.pooled(x, network) for x in (real, other)), network.name, dimensions)


def test_fid_of_one_set_with_itself_is_zero_and_of_others_what_sampling_says() -> None:
    # all quarters equal up to noise: pooled features are Gaussians whose distance is known
    rng = np.random.default_rng(1)
    real, other = (m + s * rng.standard_normal((4000, 2, 2)) for m, s in ((0.0, 1.0), (1.0, 2.0)))
    same = fid(real, real, Pixels())
    assert same.value == pytest.approx(0, abs=1e-6) and (same.dimensions, same.features) == (4, 4)
    assert (same.network, same.real, same.other) == ("pixels", 4000, 4000)
    # |m|^2 = 4; each of four deviations differs by 1
    assert fid(real, other, Pixels()).value == pytest.approx(8, rel=0.05)


def test_with_few_images_features_are_reduced_on_the_real_set(segmenter) -> None:
    real, other = crops(12), crops(16, 1) + 30
    network = AssistantFeatures(segmenter, real)
    found = fid(real, other, network)
    assert found.features == 4 + 8 + 12 and found.dimensions == 6 and (found.real, found.other) == (12, 16)
    a, b = perceptual.pooled(real, network), perceptual.pooled(other, network)
    values, vectors = np.linalg.eigh(np.cov(a.T))  # principal components by another way
    basis = vectors[:, np.argsort(values)[::-1][:6]]
    a, b = a @ basis, b @ basis
    covariances = np.cov(a.T), np.cov(b.T)
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(sum(covariances))
    expected -= 2 * np.real(np.trace(sqrtm(covariances[0] @ covariances[1])))
    assert found.value == pytest.approx(expected, rel=1e-4)
    assert fid(real, real, network).value < 1e-6 < found.value
    assert fid(real, other, network, dimensions=2).dimensions == 2


def test_too_few_images_are_refused() -> None:
    for real, other, dimensions in ((crops(7), crops(9), None), (crops(9), crops(9), 5), (crops(9), crops(9), 0)):
        with pytest.raises(InputError, match="Fréchet"):
            fid(real, other, Pixels(), dimensions)


def test_the_distance_of_crops_is_that_of_equation_1() -> None:
    a, b = crops(3, 0, 8), crops(3, 1, 8)
    expected = np.zeros(3)
    for first, second in zip(
        Grey().layers(torch.from_numpy(a)[:, None]), Grey().layers(torch.from_numpy(b)[:, None]), strict=True
    ):
        f, s = (x.numpy() / np.sqrt((x.numpy() ** 2).sum(1, keepdims=True)) for x in (first, second))
        expected += ((f - s) ** 2).sum(1).mean((1, 2)) / 2
    assert perceptual.lpips(a, b, Grey()) == pytest.approx(expected, rel=1e-4)


def test_the_distance_is_zero_for_equal_crops_and_rises_with_noise(segmenter) -> None:
    real = np.clip(
        np.add.outer(np.zeros(40), 100 * np.outer(np.sin(np.arange(32) / 4), np.cos(np.arange(32) / 5))), -90, 90
    )
    real = (real + 60).astype(np.float32)
    network = AssistantFeatures(segmenter, real + crops(40) - 60)
    assert np.array_equal(perceptual.lpips(real, real, network), np.zeros(40))
    noise = np.random.default_rng(2).standard_normal(real.shape).astype(np.float32)
    distances = [perceptual.lpips(real, real + level * noise, network).mean() for level in (5, 15, 40, 100)]
    assert distances == sorted(distances) and distances[0] > 0 and distances[-1] > 3 * distances[0]


def test_features_of_slices_are_those_of_the_3d_network(segmenter) -> None:
    """A 3D network whose kernels have nothing but their middle plane works on slices alone."""
    network = build(segmenter.config).eval()
    network.load_state_dict(segmenter.network.state_dict())
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.Conv3d) and module.kernel_size[0] == 3:
                module.weight[:, :, 0] = module.weight[:, :, 2] = 0
    flat = Segmenter(segmenter.config, network, torch.device("cpu"))
    image = crops(1)
    # normalisation frozen on the one image is its instance normalisation
    found = AssistantFeatures(flat, image).layers(torch.from_numpy(image)[:, None])
    with torch.inference_mode():
        x = normalise(torch.from_numpy(image))[:, None, None]  # (1, 1, 1, H, W)
        for layer, block in zip(found, [network.input_block, *network.downsamples, network.bottleneck], strict=True):
            x = block(x)
            assert torch.allclose(layer, x[:, :, 0], atol=1e-4)


def test_planes_above_and_below_count_as_equal_slices(segmenter) -> None:
    image = crops(1)
    network = segmenter.network
    deep = normalise(torch.from_numpy(image))[:, None, None].expand(-1, -1, 9, -1, -1)
    middle = network.input_block.conv1(deep)[:, :, 4]
    weight = network.input_block.conv1.conv.weight.sum(2)
    assert torch.allclose(functional.conv2d(deep[:, :, 4], weight, padding=1), middle, atol=1e-4)


def test_the_frozen_network_sees_brightness_and_says_its_name(segmenter) -> None:
    network = AssistantFeatures(segmenter, crops(12))
    dark, bright = perceptual.pooled(crops(4), network), perceptual.pooled(crops(4) + 120, network)
    assert np.abs(dark - bright).max() > 0.1
    assert "assistant" in network.name and "4, 8, 12" in network.name and "12 reference" in network.name


def vgg_state(channels: tuple[int, ...] = (2, 3, 4, 4, 5, 5, 6, 6)) -> dict[str, Tensor]:
    """VGG-11 as torchvision numbers it, with few channels."""
    generator, state, before = torch.Generator().manual_seed(0), {}, 3
    for number, after in zip((0, 3, 6, 8, 11, 13, 16, 18), channels, strict=True):
        state[f"features.{number}.weight"] = torch.randn((after, before, 3, 3), generator=generator)
        state[f"features.{number}.bias"] = torch.randn(after, generator=generator)
        before = after
    return {**state, "classifier.0.weight": torch.zeros(2, 2)}


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_vgg_from_a_local_file(tmp_path, suffix) -> None:
    state, path = vgg_state(), tmp_path / f"vgg11{suffix}"
    if suffix == ".pt":
        torch.save(state, path)
    else:
        safetensors.torch.save_file(state, path)
    network = VggFeatures.load(path)
    assert network.name == f"VGG-11 (vgg11{suffix})"
    trunk = torch.nn.Sequential()  # as torchvision lays it out
    for number, pool in (
        (0, True),
        (3, True),
        (6, False),
        (8, True),
        (11, False),
        (13, True),
        (16, False),
        (18, False),
    ):
        weight = state[f"features.{number}.weight"]
        layer = torch.nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1)
        layer.load_state_dict({"weight": weight, "bias": state[f"features.{number}.bias"]})
        trunk.extend([layer, torch.nn.ReLU(), *([torch.nn.MaxPool2d(2)] if pool else [])])
    image = torch.from_numpy(crops(2))[:, None]
    grey = ((image + 175) / 775).clamp(0, 1).repeat(1, 3, 1, 1)
    scaled = (grey - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / torch.tensor([0.229, 0.224, 0.225])[
        :, None, None
    ]
    found = network.layers(image)
    assert [f.shape[1] for f in found] == [2, 3, 4, 5, 6] and found[1].shape[-1] == 16
    with torch.inference_mode():
        assert torch.allclose(found[-1], trunk(scaled), rtol=1e-3, atol=1e-3)


def test_weights_that_cannot_be_used_are_refused(tmp_path) -> None:
    state = vgg_state()
    with pytest.raises(UnreadableFileError, match=r"none\.pt"):
        perceptual.load_state(tmp_path / "none.pt")
    (tmp_path / "broken.safetensors").write_bytes(b"\x10")
    with pytest.raises(UnreadableFileError, match="broken"):
        perceptual.load_state(tmp_path / "broken.safetensors")
    torch.save({"features.0.weight": print}, tmp_path / "code.pt")
    with pytest.raises(UnreadableFileError, match="state dict"):  # a function: nothing of it is run
        perceptual.load_state(tmp_path / "code.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(UnreadableFileError, match="no state dict"):
        perceptual.load_state(tmp_path / "list.pt")
    del state["features.3.weight"]
    with pytest.raises(UnreadableFileError, match="VGG"):
        VggFeatures(state, "short")
    batch_norm = {**vgg_state(), "features.1.weight": torch.ones(2)}
    with pytest.raises(UnreadableFileError, match="VGG"):
        VggFeatures(batch_norm, "with batch normalisation")


def test_crops_are_the_tumours_box() -> None:
    hu = np.indices((20, 40, 50)).astype(np.float32).sum(0)  # linear: bilinear sampling is exact
    labels = np.zeros(hu.shape, np.uint8)
    labels[5:15, 10:20, 20:36] = 2
    found = perceptual.tumour_crops(hu, labels, most=4, size=17, margin=0.0)
    assert found.shape == (4, 17, 17) and found.dtype == np.float32
    # a square of 16 about (14.5, 27.5), from slice to slice 2 or so further up
    assert found[:, 8, 8] - 42 == pytest.approx([7, 9, 10, 12], abs=1.01) and len(set(found[:, 8, 8])) == 4
    assert found[0, 0, 8] - found[0, 8, 8] == pytest.approx(-8) and found[0, 8, 16] - found[0, 8, 8] == pytest.approx(8)
    wide = perceptual.tumour_crops(hu, labels, most=1, size=17, margin=0.25)
    assert wide[0, 8, 16] - wide[0, 8, 8] == pytest.approx(12)
    one = np.zeros_like(labels)
    one[0, 0, 0] = 2
    assert perceptual.tumour_crops(hu, one).shape == (1, 64, 64)


def test_what_is_no_crop_is_refused() -> None:
    labels = np.zeros((4, 4, 4), np.uint8)
    with pytest.raises(NoTumourError):
        perceptual.tumour_crops(np.zeros((4, 4, 4), np.float32), labels)
    with pytest.raises(GeometryMismatchError):
        perceptual.tumour_crops(np.zeros((5, 4, 4), np.float32), labels)
    with pytest.raises(GeometryMismatchError, match="crops"):
        perceptual.lpips(crops(3), crops(4), Pixels())
    for wrong in (crops(1)[0], crops(0), np.full((2, 8, 8), np.nan, np.float32)):
        with pytest.raises(InputError, match="feature network"):
            perceptual.pooled(wrong, Pixels())
