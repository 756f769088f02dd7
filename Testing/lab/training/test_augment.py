"""Random changes of crops: what they keep and what they change, against SciPy and closed forms."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from MeWMLib.lab.training.augment import augment, blurred, moved, stepped


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_blurring_is_scipys_with_its_own_width_for_each_crop_and_axis() -> None:
    image = torch.randn(3, 1, 14, 13, 12, generator=_generator(0))
    sigma = np.array([[0, 0, 0], [0.6, 1.2, 0.9], [1.6, 0, 0.4]])
    out = blurred(image, sigma)
    assert torch.equal(out[0], image[0])
    for n in (1, 2):
        expected = image[n, 0].numpy()
        for axis, width in enumerate(sigma[n]):
            if width:
                # SciPy's "nearest" repeats the border too; both cut the Gaussian at the same tap
                reach = int(min(np.ceil(3 * sigma[:, axis].max()), 5))
                expected = ndimage.gaussian_filter1d(expected, width, axis, mode="nearest", radius=reach)
        assert np.allclose(out[n, 0].numpy(), expected, atol=1e-5)


def test_thick_slices_repeat_one_of_each_group() -> None:
    image = torch.arange(7.0).view(1, 1, 7, 1, 1).repeat(3, 1, 1, 2, 2)
    out = stepped(image, np.array([1, 2, 3]))
    assert out[0, 0, :, 0, 0].tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert out[1, 0, :, 0, 0].tolist() == [0, 0, 2, 2, 4, 4, 6]
    assert out[2, 0, :, 1, 1].tolist() == [0, 0, 0, 3, 3, 3, 6]
    assert stepped(image, np.array([1, 1, 1])) is image


def test_turning_and_stretching_moves_image_and_labels_alike() -> None:
    z, y, x = np.meshgrid(*(np.arange(32) - 15.5,) * 3, indexing="ij")
    ball = z**2 + (y - 4) ** 2 + (x + 3) ** 2 < 36
    hu = torch.from_numpy(np.where(ball, 200, 0).astype(np.float32))[None, None].repeat(8, 1, 1, 1, 1)
    labels = torch.from_numpy(ball.astype(np.uint8))[None, None].repeat(8, 1, 1, 1, 1)
    out, after = moved(hu, labels, np.random.default_rng(0))
    assert out.shape == hu.shape and after.dtype == labels.dtype and set(after.unique().tolist()) == {0, 1}
    for n in range(8):
        bright, outline = out[n, 0] > 100, after[n, 0] > 0
        overlap = 2 * (bright & outline).sum() / (bright.sum() + outline.sum())
        assert overlap > 0.93  # nearest against linear
        assert 0.4 < outline.sum() / labels[n].sum() < 2.6
    assert len({int(after[n].sum()) for n in range(8)}) > 4
    middles = [np.array(ndimage.center_of_mass(after[n, 0].numpy())) for n in range(8)]
    assert all(m[2] < 15.5 < m[1] for m in middles)  # never mirrored


def test_air_keeps_its_value_and_tissue_changes() -> None:
    hu = torch.full((24, 1, 16, 16, 16), -1000.0)
    hu[:, :, :8] = 100
    labels = torch.ones(hu.shape, dtype=torch.uint8)
    out, kept = augment(hu, labels, np.random.default_rng(0), _generator(0))
    assert kept.dtype == torch.int64 and (kept == 1).all()
    tissue = out[:, 0, 1:4].flatten(1).median(1).values
    air = out[:, 0, 13:].flatten(1).median(1).values
    assert tissue.std() > 5 and (air + 1000).abs().max() < 30
    assert (hu[:, :, :8] == 100).all()  # what was given is not written to


def test_the_same_seeds_give_the_same_change() -> None:
    hu = torch.randn(2, 1, 16, 16, 16, generator=_generator(1)) * 50
    labels = torch.zeros(hu.shape, dtype=torch.uint8)
    first, again, other = (augment(hu, labels, np.random.default_rng(s), _generator(s))[0] for s in (3, 3, 4))
    assert torch.equal(first, again) and not torch.equal(first, other)


@pytest.mark.parametrize("width", [0.8, 1.1])
def test_noise_keeps_its_strength_when_its_grain_grows(width) -> None:
    """The noise is scaled to unit deviation after it was smoothed."""
    noise = blurred(torch.randn(1, 1, 40, 40, 40, generator=_generator(2)), np.array([[width] * 3]))
    assert noise.std() < 0.6  # smoothing alone would take most of it
    hu = torch.zeros(40, 1, 16, 16, 16)
    out, _ = augment(hu, torch.zeros(hu.shape, dtype=torch.uint8), np.random.default_rng(5), _generator(5))
    spread = out.flatten(1).std(1)
    assert 3 < spread.median() < 25 and spread.max() < 60
