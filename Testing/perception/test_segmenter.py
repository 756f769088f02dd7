"""The assistant in inference: windows, body box, patches, and its bundle part."""

import numpy as np
import pytest
import torch

from MeWMLib.core.errors import BundleError, CancelledError
from MeWMLib.perception.segmenter import Segmenter, SegmenterConfig, body_box, build, normalise

SMALL = SegmenterConfig(filters=(4, 4, 4, 8, 8), spacing_mm=2.0, window=32, overlap=0.5)


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    torch.manual_seed(0)
    return Segmenter(SMALL, build(SMALL), torch.device("cpu"))


class Threshold(torch.nn.Module):
    """A stand-in network: tumour above 200 HU, liver above 0 HU; it looks at single voxels."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        edges = [normalise(torch.tensor(hu)) for hu in (0.0, 200.0)]
        liver, tumour = (image > edge for edge in edges)
        return torch.cat([~liver, liver & ~tumour, tumour], 1).float() * 10


def test_the_window_is_mapped_to_one() -> None:
    assert normalise(torch.tensor([-500.0, -175.0, 212.5, 600.0, 2000.0])).tolist() == [-1, -1, 0, 1, 1]


def test_sliding_windows_give_every_voxel_its_label() -> None:
    rng = np.random.default_rng(0)
    hu = rng.normal(80, 120, (40, 50, 36)).astype(np.float32)
    seen: list[float] = []
    found = Segmenter(SMALL, Threshold(), torch.device("cpu")).segment(hu, seen.append)  # type: ignore[arg-type]
    assert np.array_equal(found, np.where(hu > 200, 2, np.where(hu > 0, 1, 0)))
    assert seen == sorted(seen) and seen[-1] == pytest.approx(1.0)


def test_air_around_the_body_is_left_out_of_the_windows() -> None:
    hu = np.full((64, 64, 64), -1000, np.float32)
    hu[20:40, 24:48, 8:40] = 60
    hu[60:63, 2:4, 2:4] = 60  # a part of the table
    box = body_box(hu)
    assert [(s.start, s.stop) for s in box] == [(16, 44), (20, 52), (4, 44)]
    assert body_box(np.full((8, 8, 8), -1000.0)) == (slice(0, 8),) * 3
    found = Segmenter(SMALL, Threshold(), torch.device("cpu")).segment(hu)  # type: ignore[arg-type]
    assert (found[20:40, 24:48, 8:40] == 1).all() and found.sum() == 20 * 24 * 32


def test_cancel_stops_between_windows(segmenter: Segmenter) -> None:
    with pytest.raises(CancelledError):
        segmenter.segment(np.zeros((70, 40, 40), np.float32), cancelled=lambda: True)


def test_patches_much_finer_than_the_network_are_pooled(segmenter: Segmenter) -> None:
    hu = np.random.default_rng(1).normal(80, 60, (2, 64, 64, 64)).astype(np.float32)
    fine, coarse = segmenter.segment_patches(hu, 1.0), segmenter.segment_patches(hu, 2.0)
    assert fine.shape == coarse.shape == hu.shape and fine.dtype == np.uint8
    exact = Segmenter(SMALL, Threshold(), torch.device("cpu"))  # type: ignore[arg-type]
    block = np.full((1, 64, 64, 64), -100, np.float32)
    block[:, 16:48, 16:48, 16:48] = 300
    assert (exact.segment_patches(block, 1.0)[0, 18:46, 18:46, 18:46] == 2).all()
    assert np.array_equal(exact.segment_patches(block, 2.0)[0] == 2, block[0] > 200)


def test_a_bundle_part_holds_each_weight_once_and_rebuilds_the_network(segmenter: Segmenter) -> None:
    tensors = segmenter.tensors()
    count = sum(t.size for t in tensors.values())
    assert count == sum(p.numel() for p in segmenter.network.parameters())
    again = Segmenter.from_part(segmenter.part_config(), tensors, torch.device("cpu"))
    image = torch.randn(1, 1, 32, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(segmenter.network(image), again.network(image))
    assert again.config == SMALL


def test_weights_of_another_network_are_refused(segmenter: Segmenter) -> None:
    tensors = segmenter.tensors()
    tensors.pop(sorted(tensors)[0])
    with pytest.raises(BundleError, match="do not fit"):
        Segmenter.from_part(segmenter.part_config(), tensors, torch.device("cpu"))
