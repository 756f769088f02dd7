"""FID against the closed form, the distance of crops, and the feature networks."""

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch import Tensor
from torch.nn import functional

from MeWMLib.core.errors import GeometryMismatchError, InputError, NoTumourError
from MeWMLib.lab.evaluation import perceptual
from MeWMLib.lab.evaluation.perceptual import SegmenterFeatures
from MeWMLib.perception.intensity import normalise
from MeWMLib.perception.segmenter import Segmenter, SegmenterConfig, build


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
) -> tuple[float, int]:
    """Of crops."""
    return perceptual.fid(*(perceptual.pooled(x, network) for x in (real, other)), dimensions)


def test_fid_of_one_set_with_itself_is_zero_and_of_others_what_sampling_says() -> None:
    # all quarters equal up to noise: pooled features are Gaussians whose distance is known
    rng = np.random.default_rng(1)
    real, other = (m + s * rng.standard_normal((4000, 2, 2)) for m, s in ((0.0, 1.0), (1.0, 2.0)))
    assert fid(real, real, Pixels()) == (pytest.approx(0, abs=1e-6), 4)
    # |m|^2 = 4; each of four deviations differs by 1
    assert fid(real, other, Pixels())[0] == pytest.approx(8, rel=0.05)


def test_with_few_images_features_are_reduced_on_the_real_set(segmenter) -> None:
    real, other = crops(12), crops(16, 1) + 30
    network = SegmenterFeatures(segmenter, real)
    found, dimensions = fid(real, other, network)
    a, b = perceptual.pooled(real, network), perceptual.pooled(other, network)
    assert a.shape == (12, 4 + 8 + 12) and dimensions == 6
    values, vectors = np.linalg.eigh(np.cov(a.T))  # principal components by another way
    basis = vectors[:, np.argsort(values)[::-1][:6]]
    a, b = a @ basis, b @ basis
    covariances = np.cov(a.T), np.cov(b.T)
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(sum(covariances))
    expected -= 2 * np.real(np.trace(sqrtm(covariances[0] @ covariances[1])))
    assert found == pytest.approx(expected, rel=1e-4)
    assert fid(real, real, network)[0] < 1e-6 < found
    assert fid(real, other, network, dimensions=2)[1] == 2


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
    network = SegmenterFeatures(segmenter, real + crops(40) - 60)
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
    found = SegmenterFeatures(flat, image).layers(torch.from_numpy(image)[:, None])
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
    network = SegmenterFeatures(segmenter, crops(12))
    dark, bright = perceptual.pooled(crops(4), network), perceptual.pooled(crops(4) + 120, network)
    assert np.abs(dark - bright).max() > 0.1
    assert "segmenter" in network.name and "4, 8, 12" in network.name and "12 reference" in network.name


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
