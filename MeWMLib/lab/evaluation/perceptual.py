"""How much simulated CT look like real ones: FID and an LPIPS-style distance on axial crops of the tumour's box.

Both compare features of a network, the encoder of the bundle's own segmenter (DynUNet), trained by this project on
synthetic CT: a small network of a narrow field. A figure means something only together with its network, which every
result names; it cannot be compared with the FID of an Inception network.

FID: Heusel et al., GANs Trained by a Two Time-Scale Update Rule, NeurIPS 2017 (arXiv 1706.08500), section 3, eq. 6:

    d^2((m, C), (m_w, C_w)) = |m - m_w|^2 + Tr(C + C_w - 2 (C C_w)^(1/2))

LPIPS: Zhang et al., The Unreasonable Effectiveness of Deep Features, CVPR 2018 (arXiv 1801.03924), eq. 1, here with
uniform weights (w_l = 1) and the mean over the layers instead of their sum, since no weights were learnt on CT:

    d(x, x0) = mean_l 1/(H_l W_l) sum_hw |w_l * (y_hw^l - y0_hw^l)|^2,   y: features with unit length over channels
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol as Interface

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from MeWMLib.core.errors import GeometryMismatchError, InputError, NoTumourError
from MeWMLib.core.volume import TUMOUR
from MeWMLib.perception.intensity import normalise
from MeWMLib.perception.segmenter import Segmenter

CROP = 64
#: Images that go through a network together.
_BATCH = 32

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


class SegmenterFeatures:
    """Encoder of the segmenter on single slices, its normalisation frozen on a reference set.

    The segmenter is a 3D network. For an image that does not vary along z, each 3D convolution equals the 2D one whose
    kernel is the sum over z: this is the network that is used. Its instance normalisation would make it blind to the
    brightness of a whole crop; so mean and deviation of each layer are measured once, over all crops of `reference`
    (the real images), and then stay, as those of a batch normalisation do.
    """

    def __init__(self, segmenter: Segmenter, reference: FloatArray) -> None:
        """Freeze the normalisation.

        Args:
            segmenter: with its network.
            reference: (N, H, W) HU, sides divisible by the network's stride; the real crops.
        """
        network = segmenter.network
        blocks = [network.input_block, *network.downsamples, network.bottleneck]
        self.name = (
            f"segmenter encoder (DynUNet, filters {', '.join(str(f) for f in segmenter.config.filters)}; "
            f"slices, normalisation frozen on {len(reference)} reference crops)"
        )
        self._stages = [
            [(b.conv1.conv.weight, b.norm1, b.conv1.conv.stride[1]), (b.conv2.conv.weight, b.norm2, 1)] for b in blocks
        ]
        self._device = segmenter.device
        #: Mean and variance of each norm, from the first images that pass it.
        self._frozen: dict[torch.nn.Module, tuple[Tensor, Tensor]] = {}
        _require_images(reference)
        self.layers(torch.from_numpy(np.asarray(reference, np.float32))[:, None])

    @torch.no_grad()
    def layers(self, images: Tensor) -> list[Tensor]:
        """One feature map for each resolution of the encoder."""
        x = normalise(images.to(self._device))
        found = []
        for stage in self._stages:
            for weight, norm, stride in stage:
                # the same padding as in 3D; summing over z is exact for images that are constant along z
                x = functional.conv2d(x, weight.sum(2), stride=stride, padding=weight.shape[-1] // 2)
                if norm not in self._frozen:
                    self._frozen[norm] = x.mean((0, 2, 3)), x.var((0, 2, 3), correction=0)
                x = functional.batch_norm(x, *self._frozen[norm], norm.weight, norm.bias, eps=norm.eps)
                x = functional.leaky_relu(x, 0.01)
            found.append(x)
        return found


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
    # grid_sample wants positions from -1 to 1 between the outer voxels' middles; positions outside repeat the edge
    axes = [
        2 * (c + np.linspace(-half, half, size)) / max(n - 1, 1) - 1 for c, n in zip(middle, hu.shape[1:], strict=True)
    ]
    y, x = np.meshgrid(*axes, indexing="ij")
    grid = torch.from_numpy(np.stack([x, y], -1).astype(np.float32))[None].expand(len(slices), -1, -1, -1)
    images = torch.from_numpy(np.ascontiguousarray(hu[slices], np.float32))[:, None]
    crops = functional.grid_sample(images, grid, padding_mode="border", align_corners=True)
    return np.asarray(crops[:, 0].numpy(), np.float32)


def pooled(images: FloatArray, network: FeatureNetwork) -> NDArray[np.float64]:
    """Features of crops (N, H, W) for the FID: mean over space of every channel of every layer, (N, sum of C_l)."""
    _require_images(images)
    means = [torch.cat([f.mean((2, 3)) for f in layers], 1) for layers in _layers(images, network)]
    return np.asarray(torch.cat(means).double().cpu().numpy())


def _layers(images: FloatArray, network: FeatureNetwork) -> Iterator[list[Tensor]]:
    """Feature maps of crops (N, H, W), some crops at a time."""
    for batch in torch.from_numpy(np.asarray(images, np.float32))[:, None].split(_BATCH):
        with torch.inference_mode():
            maps = network.layers(batch)
        yield maps


def fid(a: NDArray[np.float64], b: NDArray[np.float64], dimensions: int | None = None) -> tuple[float, int]:
    """Fréchet distance of two sets of features from `pooled`.

    With fewer than two images for each feature a covariance is noise. Features are then reduced to as many principal
    components, fitted on the real set, as half the smaller set; the components are not whitened. Figures of one table
    must share `dimensions`, and so the same real set and numbers of images.

    Args:
        a, b: (N, features) of real images and (M, features) of others, at least 8 each.
        dimensions: principal components to keep; by default all if there are images enough.

    Returns:
        The distance, and the dimensions that it was computed in.

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
    if wanted < a.shape[1]:
        mean = a.mean(0)
        basis = np.linalg.svd(a - mean, full_matrices=False)[2][:wanted].T  # (features, wanted)
        a, b = (a - mean) @ basis, (b - mean) @ basis
    value = frechet_distance(a.mean(0), np.atleast_2d(np.cov(a.T)), b.mean(0), np.atleast_2d(np.cov(b.T)))
    return value, wanted


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
    each = [_distance(*layers) for layers in zip(_layers(a, network), _layers(b, network), strict=True)]
    return np.asarray(torch.cat(each).double().cpu().numpy())


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
