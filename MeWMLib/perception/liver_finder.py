"""Where the liver is, on voxels of about 5 mm: a small network beside the segmenter's, in its part of a bundle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cc3d
import numpy as np
import torch
from monai.networks.nets.dynunet import DynUNet
from numpy.typing import NDArray

from MeWMLib.core.bundle import require_sizes
from MeWMLib.core.errors import BundleError
from MeWMLib.core.volume import Geometry, Volume
from MeWMLib.perception.intensity import normalise
from MeWMLib.perception.preprocess import AIR_HU, isotropic_geometry, resample

#: Edge of the voxels that new networks are trained for; they are trained on voxels of 4 to 6 mm.
SPACING_MM = 5.0
#: A voxel is liver from this probability on: rather too much than too little is kept.
LIKELY = 0.3
#: Less than this is no liver, and how far around it is kept.
LEAST_ML, MARGIN_MM = 100.0, 25.0

Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class FinderConfig:
    """Sizes of the network, and the voxels that it looks at.

    Attributes:
        filters: channels at each resolution.
        spacing_mm: edge of its voxels.
    """

    filters: tuple[int, ...] = (8, 16, 32, 48)
    spacing_mm: float = SPACING_MM

    def __post_init__(self) -> None:
        require_sizes(self, {"filters": (1, 512), "spacing_mm": (1, 20)}, "the network that finds the liver")
        if not 3 <= len(self.filters) <= 6:
            raise BundleError(
                what="The configuration of the network that finds the liver is not possible",
                given=f"{len(self.filters)} levels",
                remedy="It has 3 to 6 levels; get the bundle again",
            )


def build_finder(config: FinderConfig) -> DynUNet:
    """The network: one channel in (CT in -1..1), the logit of liver with its tumours out.

    Its normalisation is that of the training, so that what is found does not depend on how much air or pelvis a scan
    shows.
    """
    levels = len(config.filters)
    return DynUNet(
        spatial_dims=3,
        in_channels=1,
        out_channels=1,
        kernel_size=[3] * levels,
        strides=[1] + [2] * (levels - 1),
        upsample_kernel_size=[2] * (levels - 1),
        filters=list(config.filters),
        norm_name="batch",
        res_block=False,
    )


def block_means(values: NDArray[Any], blocks: Sequence[int]) -> NDArray[np.float32]:
    """Means (d, h, w) of blocks of so many voxels along each axis; voxels beyond the last whole block are left out."""
    (d, a), (h, b), (w, c) = ((n // block, block) for n, block in zip(values.shape, blocks, strict=True))
    cut = values[: d * a, : h * b, : w * c].reshape(d, a, h, b, w, c)
    return np.asarray(cut.mean((1, 3, 5), dtype=np.float32))


def coarse_scan(ct: Volume, spacing_mm: float) -> tuple[Geometry, NDArray[np.float32]]:
    """A CT in means over cubes: the grid, along left, posterior and superior, and HU (D, H, W).

    Voxels are averaged in blocks of at most half a cube first, which takes a tenth of the time of a filter.
    """
    half = 0.5 * spacing_mm
    blocks = [min(n, max(1, int(half / s + 1e-6))) for n, s in zip(ct.geometry.shape, ct.geometry.spacing, strict=True)]
    means = block_means(ct.array, blocks)
    affine = ct.geometry.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ ((np.array(blocks[::-1]) - 1) / 2)
    affine[:3, :3] = affine[:3, :3] * np.array(blocks[::-1])
    d, h, w = means.shape
    whole = isotropic_geometry(ct.geometry, spacing_mm)
    fine = resample(means, Geometry((d, h, w), affine), _halved(whole), "linear", AIR_HU)
    return whole, block_means(fine, (2, 2, 2))


def _halved(grid: Geometry) -> Geometry:
    """The same room in voxels of half the edge."""
    affine = grid.affine.copy()
    affine[:3, 3] -= 0.25 * affine[:3, :3].sum(1)
    affine[:3, :3] = 0.5 * affine[:3, :3]
    d, h, w = grid.shape
    return Geometry((2 * d, 2 * h, 2 * w), affine)


class LiverFinder:
    """The network in inference."""

    def __init__(self, config: FinderConfig, network: DynUNet, device: torch.device) -> None:
        self.config = config
        self.network = network.to(device).eval()
        self.device = device

    @torch.inference_mode()
    def probability(self, hu: NDArray[np.floating]) -> NDArray[np.float32]:
        """Probability (D, H, W) of liver, tumours included.

        Args:
            hu: (D, H, W) means over voxels of `config.spacing_mm`, axes superior, posterior, left; any size.
        """
        step = 2 ** (len(self.config.filters) - 1)
        shape = hu.shape
        pad = [(0, -n % step) for n in shape]
        wide = np.pad(np.asarray(hu, np.float32), pad, constant_values=AIR_HU)
        image = normalise(torch.from_numpy(wide))[None, None].to(self.device)
        found = self.network(image).sigmoid()[0, 0].float().cpu().numpy()
        return np.asarray(found[: shape[0], : shape[1], : shape[2]], np.float32)

    def box(self, ct: Volume, margin_mm: float = MARGIN_MM) -> Box | None:
        """The part of a CT's grid that holds the liver, with a margin on all sides; None if no liver is found.

        The largest component counts, so that a spleen which is taken for liver elsewhere does not widen the box.

        Args:
            ct: on any grid.
            margin_mm: kept around what is found.
        """
        coarse, hu = coarse_scan(ct, self.config.spacing_mm)
        liver = self.probability(hu) >= LIKELY
        if liver.sum() * coarse.voxel_ml < LEAST_ML:
            return None
        largest = np.argwhere(cc3d.largest_k(liver, k=1, connectivity=6) > 0)
        half = 0.5 + margin_mm / self.config.spacing_mm
        ends = np.stack([largest.min(0) - half, largest.max(0) + half])
        corners = np.array([[ends[a, 0], ends[b, 1], ends[c, 2]] for a, b, c in np.ndindex(2, 2, 2)])
        places = ct.geometry.to_kji(coarse.to_ras(corners))
        low, high = np.floor(places.min(0)).astype(int), np.ceil(places.max(0)).astype(int) + 1
        k, j, i = (slice(max(0, int(a)), min(n, int(b))) for a, b, n in zip(low, high, ct.geometry.shape, strict=True))
        return k, j, i
