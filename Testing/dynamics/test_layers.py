"""Layers of the dynamics networks: a lone image is computed as one of two, by whichever path."""

import pytest
import torch
from torch import nn

from MeWMLib.dynamics.layers import Conv3d


@pytest.mark.parametrize("kernel", [1, 2, 3])
@pytest.mark.parametrize("side", [2, 6, 24])
@pytest.mark.parametrize("bias", [True, False])
def test_a_lone_image_is_the_same_as_one_of_two(kernel: int, side: int, bias: bool) -> None:
    torch.manual_seed(0)
    ours = Conv3d(16, 8, kernel, stride=2 if kernel == 2 else 1, padding=1 if kernel == 3 else 0, bias=bias)
    plain = nn.Conv3d(16, 8, kernel, stride=ours.stride, padding=ours.padding, bias=bias)  # type: ignore[arg-type]
    plain.load_state_dict(ours.state_dict())
    images = torch.randn(2, 16, side, side, side)
    with torch.inference_mode():
        lone, pair = ours(images[:1]), plain(images)
    assert lone.shape == pair[:1].shape
    assert torch.allclose(lone, pair[:1], atol=1e-5)


def test_a_lone_image_takes_onednn_in_inference_and_in_float32_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    class Taken(Exception):
        pass

    def refuse(*_: object) -> None:
        raise Taken

    conv, image = Conv3d(4, 4, 3, padding=1), torch.zeros(1, 4, 4, 4, 4)
    monkeypatch.setattr("MeWMLib.dynamics.layers._ONE_DNN", True)
    monkeypatch.setattr(torch.ops.aten, "mkldnn_convolution", refuse)
    with torch.inference_mode():
        with pytest.raises(Taken):
            conv(image)
        assert conv(image.expand(2, -1, -1, -1, -1)).shape == (2, 4, 4, 4, 4)
        with torch.autocast("cpu", torch.bfloat16):
            assert conv(image).dtype == torch.bfloat16
        monkeypatch.setattr("MeWMLib.dynamics.layers._ONE_DNN", False)
        assert conv(image).shape == image.shape
    monkeypatch.setattr("MeWMLib.dynamics.layers._ONE_DNN", True)
    conv(image).sum().backward()
    assert conv.weight.grad is not None
