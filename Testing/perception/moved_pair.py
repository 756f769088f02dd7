"""A patient of simple shapes before and after treatment, moved by a known shift and on another grid."""

import numpy as np
from scipy import ndimage

from MeWMLib.core.volume import Geometry, LabelMap, Volume
from MeWMLib.perception.registration import Registration

#: Coarse and short: the shapes have no detail that more steps would find.
COARSE = Registration(spacing_mm=6.0, shrink=(2, 1), mesh_mm=90.0, levels=1, iterations=8, sampling=0.5)


def grid(origin: tuple[float, float, float] = (90.0, 75.0, -60.0)) -> Geometry:
    affine = np.diag([-3.0, -3.0, 4.0, 1.0])
    affine[:3, 3] = origin
    return Geometry((32, 50, 60), affine)


def scan(
    geometry: Geometry, move: tuple[float, float, float] = (0, 0, 0), oil: bool = False
) -> tuple[Volume, LabelMap]:
    """An elliptic trunk with a liver, spine and tumour, all moved by some mm of RAS."""
    ras = geometry.to_ras(np.stack(np.meshgrid(*map(np.arange, geometry.shape), indexing="ij"), -1))
    x, y, z = np.moveaxis(ras - np.array(move), -1, 0)
    hu = np.full(geometry.shape, -1000.0)
    hu[(x / 78) ** 2 + (y / 60) ** 2 < 1] = -90
    hu[(x / 66) ** 2 + (y / 50) ** 2 < 1] = 45
    liver = ((x - 22) / 38) ** 2 + ((y - 4) / 36) ** 2 + (z / 44) ** 2 < 1
    tumour = (x - 28) ** 2 + (y - 8) ** 2 + (z - 4) ** 2 < 17**2
    hu[liver] = 110
    hu[((x + 35) / 14) ** 2 + ((y - 15) / 20) ** 2 + ((z + 8) / 25) ** 2 < 1] = 180
    hu[x**2 + (y + 36) ** 2 < 12**2] = 320 + 60 * np.sin(z / 9)[x**2 + (y + 36) ** 2 < 12**2]
    hu[tumour] = 70
    if oil:
        hu[tumour & (z > 4)] = 450
    labels = np.where(tumour, 2, np.where(liver, 1, 0)).astype(np.uint8)
    hu = ndimage.gaussian_filter(hu, 0.6) + np.random.default_rng(int(oil)).normal(0, 6, hu.shape)
    return Volume(np.round(hu).astype(np.int16), geometry), LabelMap(labels, geometry)


def moved_pair() -> tuple[Volume, LabelMap, Volume, np.ndarray]:
    """Before, labels, after (moved, on another grid), and the tumour's true outline after, on the grid before."""
    before, labels = scan(grid())
    after, _ = scan(grid((96.0, 70.0, -52.0)), move=(6, -8, 5), oil=True)
    return before, labels, after, labels.tumour


def z_of(volume: Volume) -> np.ndarray:
    """The RAS z (mm) of each voxel."""
    index = np.stack(np.meshgrid(*map(np.arange, volume.geometry.shape), indexing="ij"), -1)
    return volume.geometry.to_ras(index)[..., 2]
