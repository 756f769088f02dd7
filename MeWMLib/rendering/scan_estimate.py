"""What can be said of a scan's scanner from its voxels: how wide it blurs, its planes, its noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from MeWMLib.core.volume import Geometry, Volume
from MeWMLib.rendering.grains import FloatArray
from MeWMLib.rendering.iodine import KVP
from MeWMLib.rendering.scanner import IN_PLANE_MM, NOISE_HU, SLICE_MM, Scanner

#: Deviation of the point spread of a body kernel (mm); a voxel that is larger than it blurs by its own profile.
BLUR_MM = 0.5
#: Full width at half height of a Gaussian, in deviations: a slice is about as wide as it is thick.
FULL_WIDTH = 2.355
#: Noise is what differs from the mean within this (mm), in tissue of such HU; slices that are looked at.
MEAN_MM, TISSUE_HU, SLICES = 6.0, (0.0, 220.0), 9
#: Median absolute deviation to standard deviation, of a normal distribution.
MAD = 1.4826
#: Noise where too little tissue is seen (HU).
USUAL_NOISE = 20.0
#: Voxels that are too few to measure noise.
ENOUGH = 200

Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class ScanEstimate:
    """A scanner as far as its scan tells it.

    Attributes:
        spread_mm: deviation of the point spread along k, j, i.
        axes: the array's axes that run across slices, from front to back, and from right to left: (0, 1, 2) for slices
            stored one after another.
        noise_hu: deviation of the noise in soft tissue.
        edge, edge_mm: how strongly and how far the kernel enhances edges, as `Scanner` has them.
        kvp: tube voltage.
    """

    spread_mm: tuple[float, float, float]
    axes: tuple[int, int, int] = (0, 1, 2)
    noise_hu: float = USUAL_NOISE
    edge: float = 0.45
    edge_mm: float = 1.4
    kvp: float = KVP

    @classmethod
    def of(cls, scan: Volume, box: Box | None = None, kvp: float = KVP) -> ScanEstimate:
        """Estimate it from the size of the voxels, and the noise from the voxels in a box.

        This is a guess: kernel and slice thickness stand in no voxel. Slices are taken to be as thick as they are far
        apart (overlapping ones are thicker), the kernel to be a usual one of the body, and planes to be axial.

        Args:
            scan: on its own grid; a resampled scan blurs by its new voxels at least.
            box: where noise is measured; the whole scan where left out.
            kvp: tube voltage.
        """
        spread = tuple(max(BLUR_MM, s / FULL_WIDTH) for s in scan.geometry.spacing)
        axes = _axes(scan.geometry)
        part = scan.array if box is None else scan.array[box]
        spacing = [scan.geometry.spacing[a] for a in axes]
        return cls((spread[0], spread[1], spread[2]), axes, noise_of(part.transpose(axes), spacing[1:]), kvp=kvp)

    def noise(self, shape: tuple[int, int, int], spacing: tuple[float, float, float], seed: int) -> FloatArray:
        """Noise (K, J, I) of deviation `noise_hu` as such a scanner has it, slices first."""
        scanner = Scanner(
            in_plane_mm=float(np.clip(spacing[2], *IN_PLANE_MM)),
            slice_mm=float(np.clip(spacing[0], *SLICE_MM)),
            noise_hu=float(np.clip(self.noise_hu, *NOISE_HU)),
        )
        return scanner.noise(shape, np.random.default_rng(seed))


def noise_of(hu: NDArray[np.generic], spacing: list[float]) -> float:
    """Deviation of the noise in soft tissue, within `NOISE_HU`: of what differs from a mean in plane.

    Args:
        hu: (K, J, I), slices first.
        spacing: mm (j, i).
    """
    found = []
    for k in np.unique(np.linspace(0, len(hu) - 1, SLICES).astype(int)):
        image = hu[k].astype(np.float32)
        tissue = ((image > TISSUE_HU[0]) & (image < TISSUE_HU[1])).astype(np.float32)
        sigma = [MEAN_MM / s for s in spacing]
        near = ndimage.gaussian_filter(tissue, sigma)
        mean = ndimage.gaussian_filter(image * tissue, sigma) / np.maximum(near, 1e-3)
        # where all around is tissue
        found.append((image - mean)[(tissue > 0) & (near > 0.9)])
    rest = np.concatenate(found)
    if len(rest) < ENOUGH:
        return USUAL_NOISE
    return float(np.clip(MAD * np.median(np.abs(rest - np.median(rest))), *NOISE_HU))


def _axes(geometry: Geometry) -> tuple[int, int, int]:
    """The array's axes nearest to superior, anterior and left, each once."""
    # rows: k, j, i; columns: x, y, z of the patient
    along = np.abs(geometry.affine[:3, :3] / np.linalg.norm(geometry.affine[:3, :3], axis=0)).T[::-1]
    across = int(np.argmax(along[:, 2]))
    others = [a for a in range(3) if a != across]
    front, side = others if along[others[0], 1] >= along[others[1], 1] else others[::-1]
    return across, front, side
