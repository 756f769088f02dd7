"""How much simulated CT look like real ones: FID and an LPIPS-style distance on axial crops of the tumour's box.

Both compare features of a network, so that a figure means something only together with the network: every result names
it, and figures of two networks cannot be compared. Two are offered:

- `AssistantFeatures` (default): the encoder of the bundle's own assistant (DynUNet), trained by this project on
  synthetic CT. A small network of a narrow field; its FID has nothing to do in size with that of an Inception network.
- `VggFeatures`: the trunk of a VGG network from a local file with torchvision's state dict (nothing is downloaded, and
  torchvision is not needed).

FID: Heusel et al., GANs Trained by a Two Time-Scale Update Rule, NeurIPS 2017 (arXiv 1706.08500), section 3, eq. 6:

    d^2((m, C), (m_w, C_w)) = |m - m_w|^2 + Tr(C + C_w - 2 (C C_w)^(1/2))

LPIPS: Zhang et al., The Unreasonable Effectiveness of Deep Features, CVPR 2018 (arXiv 1801.03924), eq. 1, here with
uniform weights (w_l = 1) and the mean over the layers instead of their sum, since no weights were learnt on CT:

    d(x, x0) = mean_l 1/(H_l W_l) sum_hw |w_l * (y_hw^l - y0_hw^l)|^2,   y: features with unit length over channels
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from typing import Protocol as Interface

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from torch import Tensor
from torch.nn import functional

from MeWMLib.core.errors import GeometryMismatchError, InputError, NoTumourError, UnreadableFileError
from MeWMLib.core.structures import CT_WINDOW_HU
from MeWMLib.core.volume import TUMOUR
from MeWMLib.perception.segmenter import Segmenter, normalise

CROP = 64
#: Images that go through a network together.
_BATCH = 32
#: ImageNet's mean and deviation, which torchvision's weights expect.
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))

FloatArray = NDArray[np.float32]


class FeatureNetwork(Interface):
    """Features of axial CT crops.

    Attributes:
        name: what the figures are reported with.
    """

    name: str

    def layers(self, images: Tensor) -> list[Tensor]:
        """HU (N, 1, H, W) to feature maps (N, C_l, H_l, W_l), shallow to deep."""
        ...


class AssistantFeatures:
    """Encoder of the assistant on single slices, its normalisation frozen on a reference set.

    The assistant is a 3D network. For an image that does not vary along z, each 3D convolution equals the 2D one whose
    kernel is the sum over z: this is the network that is used. Its instance normalisation would make it blind to the
    brightness of a whole crop; so mean and deviation of each layer are measured once, over all crops of `reference`
    (the real images), and then stay, as those of a batch normalisation do.
    """

    def __init__(self, segmenter: Segmenter, reference: FloatArray) -> None:
        """Freeze the normalisation.

        Args:
            segmenter: the assistant.
            reference: (N, H, W) HU, sides divisible by the network's stride; the real crops.
        """
        network = segmenter.network
        blocks = [network.input_block, *network.downsamples, network.bottleneck]
        self.name = (
            f"assistant encoder (DynUNet, filters {', '.join(str(f) for f in segmenter.config.filters)}; "
            f"slices, normalisation frozen on {len(reference)} reference crops)"
        )
        self._stages = [
            [(b.conv1.conv.weight, b.norm1, b.conv1.conv.stride[1]), (b.conv2.conv.weight, b.norm2, 1)] for b in blocks
        ]
        self._device = segmenter.device
        self._frozen: list[tuple[Tensor, Tensor]] = []
        _require_images(reference)
        self._run(torch.from_numpy(np.asarray(reference, np.float32))[:, None], freeze=True)

    def layers(self, images: Tensor) -> list[Tensor]:
        """One feature map for each resolution of the encoder."""
        return self._run(images, freeze=False)

    @torch.no_grad()
    def _run(self, images: Tensor, freeze: bool) -> list[Tensor]:
        x = normalise(images.to(self._device))
        found, number = [], 0
        for stage in self._stages:
            for weight, norm, stride in stage:
                # the same padding as in 3D; summing over z is exact for images that are constant along z
                x = functional.conv2d(x, weight.sum(2), stride=stride, padding=weight.shape[-1] // 2)
                if freeze:
                    mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3), correction=0)
                    self._frozen.append((mean, variance))
                mean, variance = self._frozen[number]
                x = functional.batch_norm(x, mean, variance, norm.weight, norm.bias, eps=norm.eps)
                x = functional.leaky_relu(x, 0.01)
                number += 1
            found.append(x)
        return found


#: Convolutions of each block of VGG-11, 13, 16 and 19 (Simonyan and Zisserman, arXiv 1409.1556, table 1).
_VGG = {8: (1, 1, 2, 2, 2), 10: (2, 2, 2, 2, 2), 13: (2, 2, 3, 3, 3), 16: (2, 2, 4, 4, 4)}


class VggFeatures:
    """Trunk of VGG-11, 13, 16 or 19, after the last ReLU of each block (for VGG-16 the five layers of LPIPS)."""

    def __init__(self, state: dict[str, Tensor], name: str) -> None:
        """Build from a state dict of torchvision (`features.N.weight`, `features.N.bias`; the rest is not used).

        Raises:
            UnreadableFileError: it is not that of a plain VGG (those with batch normalisation are not read).
        """
        numbers = sorted({int(k.split(".")[1]) for k in state if k.startswith("features.") and k.endswith(".weight")})
        weights = [state[f"features.{n}.weight"] for n in numbers]
        plain = all(w.ndim == 4 for w in weights) and all(f"features.{n}.bias" in state for n in numbers)
        if not plain or len(numbers) not in _VGG or weights[0].shape[1] != 3:
            raise UnreadableFileError(
                what="The weights are not those of a VGG-11, 13, 16 or 19 of torchvision",
                given=f"{name} with {len(numbers)} layers under features.*",
                remedy="Save torchvision.models.vgg16(weights=...).state_dict(), or leave the file out",
            )
        self.name = f"VGG-{len(numbers) + 3} ({name})"
        self._layers = [(state[f"features.{n}.weight"].float(), state[f"features.{n}.bias"].float()) for n in numbers]
        self._blocks = _VGG[len(numbers)]

    @classmethod
    def load(cls, path: Path) -> VggFeatures:
        """Read a local file; see `load_state`."""
        return cls(load_state(path), Path(path).name)

    def layers(self, images: Tensor) -> list[Tensor]:
        """Five feature maps; the CT window becomes grey values 0 to 1 in three equal channels."""
        low, high = CT_WINDOW_HU
        grey = ((images - low) / (high - low)).clamp(0, 1).expand(-1, 3, -1, -1)
        mean, deviation = (torch.tensor(v)[None, :, None, None] for v in _IMAGENET)
        x, found, number = (grey - mean) / deviation, [], 0
        for block, count in enumerate(self._blocks):
            x = functional.max_pool2d(x, 2) if block else x
            for _ in range(count):
                weight, bias = self._layers[number]
                x = functional.relu(functional.conv2d(x, weight, bias, padding=1))
                number += 1
            found.append(x)
        return found


def load_state(path: Path) -> dict[str, Tensor]:
    """Read a state dict from a `.safetensors` or a `.pt`/`.pth` file; no code of the file is run.

    Raises:
        UnreadableFileError: missing, damaged, or anything else than a dict of tensors.
    """
    path = Path(path)
    try:
        if path.suffix == ".safetensors":
            state: Any = safetensors.torch.load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, SafetensorError) as error:
        raise UnreadableFileError(
            what="The weights of the feature network cannot be read",
            given=f"{path} ({str(error).splitlines()[0][:120] if str(error) else type(error).__name__})",
            remedy="Give a .safetensors file, or a .pt file that holds a state dict and nothing else",
        ) from error
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise UnreadableFileError(
            what="The weights of the feature network are no state dict", given=str(path), remedy="Save a state dict"
        )
    return state


def tumour_crops(
    hu: FloatArray, labels: NDArray[np.uint8], most: int = 8, size: int = CROP, margin: float = 0.15
) -> FloatArray:
    """Square axial crops of the tumour's box, evenly spread over its slices.

    Cut with one set of labels (those before treatment) out of every image of a case, so that crops correspond.

    Args:
        hu: (D, H, W).
        labels: (D, H, W).
        most: at most this many crops.
        size: side of a crop after bilinear resampling.
        margin: added on each side, as a share of the box.

    Returns:
        (n, size, size) HU.

    Raises:
        NoTumourError: the labels hold no tumour.
        GeometryMismatchError: another shape than the image's.
    """
    if hu.shape != labels.shape:
        raise GeometryMismatchError(
            what="The labels are not of the image's shape", given=f"{labels.shape} and {hu.shape}"
        )
    where = np.argwhere(labels == TUMOUR)
    if not len(where):
        raise NoTumourError(what="There is no tumour to cut out", given=f"labels of shape {labels.shape}")
    low, high = where.min(0), where.max(0) + 1
    slices = np.unique(np.linspace(low[0], high[0] - 1, min(most, high[0] - low[0]) + 2).round().astype(int)[1:-1])
    half = 0.5 * max(high[1:] - low[1:]) * (1 + 2 * margin)
    middle = (low[1:] + high[1:] - 1) / 2
    # grid_sample wants positions from -1 to 1 between the outer voxels' middles; what lies outside repeats the edge
    axes = [
        2 * (c + np.linspace(-half, half, size)) / max(n - 1, 1) - 1 for c, n in zip(middle, hu.shape[1:], strict=True)
    ]
    y, x = np.meshgrid(*axes, indexing="ij")
    grid = torch.from_numpy(np.stack([x, y], -1).astype(np.float32))[None].expand(len(slices), -1, -1, -1)
    images = torch.from_numpy(np.ascontiguousarray(hu[slices], np.float32))[:, None]
    crops = functional.grid_sample(images, grid, padding_mode="border", align_corners=True)
    return np.asarray(crops[:, 0].numpy(), np.float32)


@dataclass(frozen=True)
class Fid:
    """A Fréchet distance and what it was computed with.

    Attributes:
        value: FID.
        network: whose features.
        dimensions: kept by the principal components; `features` if there was no reduction.
        features: of the network.
        real, other: number of images.
    """

    value: float
    network: str
    dimensions: int
    features: int
    real: int
    other: int


def pooled(images: FloatArray, network: FeatureNetwork) -> NDArray[np.float64]:
    """Features of crops (N, H, W) for the FID: mean over space of every channel of every layer, (N, sum of C_l)."""
    _require_images(images)
    parts = []
    with torch.inference_mode():
        for start in range(0, len(images), _BATCH):
            batch = torch.from_numpy(np.asarray(images[start : start + _BATCH], np.float32))[:, None]
            parts.append(torch.cat([f.mean((2, 3)) for f in network.layers(batch)], 1).double().cpu().numpy())
    return np.concatenate(parts)


def fid(a: NDArray[np.float64], b: NDArray[np.float64], network: str, dimensions: int | None = None) -> Fid:
    """Fréchet distance of two sets of features from `pooled`.

    With fewer than two images for each feature a covariance is noise. Features are then reduced to as many principal
    components, fitted on the real set, as half the smaller set; the components are not whitened. Figures of one table
    must share `dimensions`, and so the same real set and numbers of images.

    Args:
        a, b: (N, features) of real images and (M, features) of others, at least 8 each.
        network: name of the network that they come from.
        dimensions: principal components to keep; by default all if there are images enough.

    Raises:
        InputError: too few images, for the dimensions asked for as well.
    """
    most = min(len(a), len(b)) // 2
    wanted = min(a.shape[1], most) if dimensions is None else dimensions
    if min(len(a), len(b)) < 8 or not 1 <= wanted <= min(a.shape[1], most):
        raise InputError(
            what="There are too few images for a Fréchet distance",
            given=f"{len(a)} real and {len(b)} other images for {wanted} dimensions of {a.shape[1]}",
            remedy="Give at least 8 images, and two for each dimension",
        )
    sizes = len(a), len(b)
    features = a.shape[1]
    if wanted < features:
        mean = a.mean(0)
        basis = np.linalg.svd(a - mean, full_matrices=False)[2][:wanted].T  # (features, wanted)
        a, b = (a - mean) @ basis, (b - mean) @ basis
    value = frechet_distance(a.mean(0), np.atleast_2d(np.cov(a.T)), b.mean(0), np.atleast_2d(np.cov(b.T)))
    return Fid(value, network, wanted, features, *sizes)


def frechet_distance(
    mean_a: NDArray[np.float64],
    covariance_a: NDArray[np.float64],
    mean_b: NDArray[np.float64],
    covariance_b: NDArray[np.float64],
) -> float:
    """Squared Fréchet distance of two Gaussians (arXiv 1706.08500, eq. 6).

    Tr (A B)^(1/2) is computed as that of the symmetric (A^(1/2) B A^(1/2))^(1/2), which has the same eigenvalues and
    stays real where a covariance is singular.
    """
    values, vectors = np.linalg.eigh(covariance_a)
    root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    middle = np.linalg.eigvalsh(root @ covariance_b @ root)
    cross = np.sqrt(np.clip(middle, 0, None)).sum()
    squared = float(((mean_a - mean_b) ** 2).sum() + np.trace(covariance_a) + np.trace(covariance_b) - 2 * cross)
    return max(0.0, squared)


def lpips(a: FloatArray, b: FloatArray, network: FeatureNetwork) -> NDArray[np.float64]:
    """LPIPS-style distance of corresponding crops (N, H, W): (N,); 0 for equal images.

    Raises:
        GeometryMismatchError: the two sets are not of one shape.
    """
    _require_images(a)
    if a.shape != b.shape:
        raise GeometryMismatchError(
            what="The two sets of crops are not of one shape",
            given=f"{a.shape} and {b.shape}",
            remedy="Cut both with the same labels",
        )
    parts = []
    with torch.inference_mode():
        for start in range(0, len(a), _BATCH):
            first, second = (
                network.layers(torch.from_numpy(np.asarray(x[start : start + _BATCH], np.float32))[:, None])
                for x in (a, b)
            )
            parts.append(_distance(first, second).double().cpu().numpy())
    return np.concatenate(parts)


def _distance(first: Sequence[Tensor], second: Sequence[Tensor]) -> Tensor:
    each = [
        (functional.normalize(f, dim=1, eps=1e-10) - functional.normalize(s, dim=1, eps=1e-10)).square().sum(1)
        for f, s in zip(first, second, strict=True)
    ]
    return torch.stack([e.mean((1, 2)) for e in each]).mean(0)


def _require_images(images: FloatArray) -> None:
    if images.ndim != 3 or not len(images) or not np.isfinite(images).all():
        raise InputError(
            what="The feature network needs crops as (N, H, W) of finite HU",
            given=f"an array of shape {images.shape}",
            remedy="Cut them with tumour_crops",
        )
