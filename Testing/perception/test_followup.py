"""The follow-up network: blocks to voxels and back, a bundle part, and tumour in the liver only."""

import numpy as np
import pytest
import torch

from MeWMLib.perception.followup import FollowUp, FollowUpConfig, FollowUpNetwork, _to_channels, _to_voxels, stack


@pytest.fixture(scope="module")
def network() -> FollowUpNetwork:
    torch.manual_seed(0)
    return FollowUpNetwork(FollowUpConfig((16, 24))).eval()


def test_voxels_survive_the_way_to_blocks_and_back() -> None:
    image = torch.randn(2, 1, 8, 16, 24)
    assert torch.equal(_to_voxels(_to_channels(image)), image[:, 0])


def test_a_block_looks_at_its_own_voxels() -> None:
    image = torch.zeros(1, 1, 8, 8, 8)
    image[0, 0, 5, 2, 7] = 1
    blocks = _to_channels(image)
    assert blocks.sum() == 1 and blocks[0, :, 1, 0, 1].sum() == 1


def test_the_input_is_companded_images_and_masks() -> None:
    hu = torch.full((1, 8, 8, 8), 60.0)
    labels = torch.ones(1, 8, 8, 8, dtype=torch.uint8)
    labels[0, 0] = 2
    found = stack(hu, hu + 2000, labels)
    assert found.shape == (1, 4, 8, 8, 8)
    assert found[0, 0].abs().max() == 0
    assert found[0, 1].max() == pytest.approx(np.arcsinh((600 - 60) / 50), rel=1e-5)  # clipped to the window
    assert found[0, 2].sum() == 64 and found[0, 3].min() == 1


def test_tumour_is_found_in_the_liver_only_and_each_image_by_itself(network: FollowUpNetwork) -> None:
    rng = np.random.default_rng(0)
    before = rng.normal(100, 20, (16, 16, 16)).astype(np.float32)
    after = rng.normal(100, 60, (3, 16, 16, 16)).astype(np.float32)
    labels = np.zeros((16, 16, 16), np.uint8)
    labels[4:12, 4:12, 4:12] = 1
    labels[6:10, 6:10, 6:10] = 2
    model = FollowUp(network, torch.device("cpu"))
    found = model.tumour_after(before, after, labels)
    assert found.shape == after.shape and found.dtype == bool
    assert not found[:, labels == 0].any()
    assert np.array_equal(model.tumour_after(before, after[1:2], labels)[0], found[1])


def test_a_bundle_part_rebuilds_the_network(network: FollowUpNetwork) -> None:
    model = FollowUp(network, torch.device("cpu"))
    again = FollowUp.from_part(model.part_config(), model.tensors(), torch.device("cpu"))
    x = torch.randn(1, 4, 16, 16, 16)
    with torch.inference_mode():
        assert torch.equal(network(x), again.network(x))


def test_the_loss_reaches_every_weight(network: FollowUpNetwork) -> None:
    network(torch.randn(1, 4, 16, 16, 16)).square().mean().backward()
    silent = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    network.zero_grad()
    assert silent == []
