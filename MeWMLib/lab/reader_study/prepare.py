"""From a scan to a case: every scan, real or simulated, goes through the same steps, so that no file tells them apart.

Clipped to `RANGE_HU`; smoothed along each axis by as much as its voxels are finer than those of the study (a Gaussian
whose squared full width at half maximum is the difference of the squared spacings); resampled linearly to a box about
the lesion on a grid along left, posterior and superior, which is shifted by a random part of a voxel, so that no scan's
own voxels coincide with it; a random value of up to `DITHER_HU` added, so that steps of a scanner's or a program's own
rounding are not seen in the last digit; rounded to whole HU and clipped again. Nothing of the scan's header is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from MeWMLib.core.errors import NoTumourError
from MeWMLib.core.image_files import read_header
from MeWMLib.core.io import read_labels, read_volume
from MeWMLib.core.volume import Geometry, LabelMap, Volume, centred_grid
from MeWMLib.lab.reader_study.sources import Source
from MeWMLib.perception.preprocess import resample
from MeWMLib.scene.target import find_target

#: HU that a case holds: above all that padding, air and lung differ by, below what scanners saturate at.
RANGE_HU = (-200, 1500)
#: Finest voxels (k, j, i) of a study, mm, and the box (k, j, i) about the lesion.
FINEST_MM, BOX_MM = (2.0, 1.0, 1.0), (96.0, 180.0, 180.0)
#: Full width at half maximum to standard deviation, of a normal distribution.
_SD_OF_FWHM = 1 / 2.3548
#: Uniform, to both sides: makes steps of 2 HU and less as likely as any other value.
DITHER_HU = 1.0
#: Voxels around the box that smoothing and interpolation look at.
_AROUND = 4


@dataclass(frozen=True, eq=False)
class Prepared:
    """A case as its readers see it, and what only the plain readers are told.

    Attributes:
        array: int16 (K, J, I), HU within `RANGE_HU`.
        tumour, liver: the labels on the same grid.
        outside: share of the box that lies outside of the scan.
        own_voxel_mm3: volume of the scan's own voxels.
        marked: whether the scan says of itself that it is simulated.
    """

    array: NDArray[np.int16]
    tumour: NDArray[np.bool_]
    liver: NDArray[np.bool_]
    outside: float
    own_voxel_mm3: float
    marked: bool


@dataclass(frozen=True)
class Frame:
    """The grid of all cases: shape (k, j, i) and spacing (k, j, i) in mm. Its middle is the lesion."""

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]

    @property
    def geometry(self) -> Geometry:
        """The grid about 0: where the patient lay is told to nobody."""
        return centred_grid(np.zeros(3), self.shape, np.array(self.spacing_mm[::-1]))


def patient_spacing(geometry: Geometry) -> tuple[float, float, float]:
    """Spacing (mm) of a grid along superior, posterior and left: that of its axis which runs most along each."""
    columns = geometry.affine[:3, :3]
    lengths = np.linalg.norm(columns, axis=0)
    s, a, r = (float(lengths[int(np.argmax(np.abs(columns[axis]) / lengths))]) for axis in (2, 1, 0))
    return s, a, r


def frame_of(
    sources: Sequence[Source],
    spacing_mm: tuple[float, float, float] | None = None,
    box_mm: tuple[float, float, float] = BOX_MM,
) -> Frame:
    """The frame of a study: along each axis the voxels of the coarsest scan, so that none is told by being finer.

    Args:
        sources: all scans of the study; their headers are read.
        spacing_mm: (k, j, i) instead.
        box_mm: (k, j, i).
    """
    if spacing_mm is None:
        every = [patient_spacing(_geometry(one)) for one in sources]
        k, j, i = (round(max(FINEST_MM[n], *(one[n] for one in every)), 2) for n in range(3))
        spacing_mm = (k, j, i)
    sizes = [max(8, round(box / step)) for box, step in zip(box_mm, spacing_mm, strict=True)]
    return Frame((sizes[0], sizes[1], sizes[2]), spacing_mm)


def _geometry(source: Source) -> Geometry:
    return read_volume(source.ct).geometry if source.ct.is_dir() else read_header(source.ct)[1]


def prepare(source: Source, frame: Frame, rng: np.random.Generator) -> Prepared:
    """Read a scan and bring it into the frame.

    Args:
        source: the scan.
        frame: of the study.
        rng: of this case: shift of the grid and dither.

    Raises:
        InputError: a file cannot be read (see `core.io`).
        NoTumourError: the labels hold no tumour: nobody could say where to look.
    """
    ct = read_volume(source.ct)
    labels = read_labels(source.labels, ct.geometry, tumour_alone=True)
    return prepared(ct, labels, frame, rng, source.patient)


def prepared(ct: Volume, labels: LabelMap, frame: Frame, rng: np.random.Generator, name: str = "") -> Prepared:
    """The same of images that were read; the same errors."""
    if not labels.tumour.any():
        raise NoTumourError(
            what="A case of a reader study needs a tumour to look at", given=name, remedy="Give labels with the tumour"
        )
    shift = rng.uniform(-0.5, 0.5, 3) * np.array(frame.spacing_mm[::-1])
    grid = centred_grid(np.array(find_target(labels).centre) + shift, frame.shape, np.array(frame.spacing_mm[::-1]))
    part, where = _cut(ct, grid)
    smooth = _smoothed(np.clip(part, *RANGE_HU).astype(np.float32), where, frame)
    hu = resample(smooth, where, grid, fill=float(RANGE_HU[0]))
    # drawn for every voxel, so that the same scan gives the same case wherever it stands
    hu = hu + rng.uniform(-DITHER_HU, DITHER_HU, hu.shape)
    array = np.clip(np.rint(hu), *RANGE_HU).astype(np.int16)
    on_grid = resample(labels.array, labels.geometry, grid, "nearest", 0)
    inside = resample(np.ones(where.shape, np.uint8), where, grid, "nearest", 0)
    return Prepared(
        array,
        on_grid == 2,
        on_grid >= 1,
        float(1 - inside.mean()),
        1000 * ct.geometry.voxel_ml,
        ct.simulated is not None,
    )


def _cut(ct: Volume, grid: Geometry) -> tuple[NDArray[np.float32], Geometry]:
    """The part of a scan that the grid needs, and its grid."""
    kji = ct.geometry.to_kji(grid.to_ras(grid.corners))
    low = np.clip(np.floor(kji.min(axis=0)) - _AROUND, 0, np.array(ct.geometry.shape) - 1).astype(int)
    high = np.clip(np.ceil(kji.max(axis=0)) + _AROUND + 1, low + 1, ct.geometry.shape).astype(int)
    k, j, i = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    start, shape = (int(low[0]), int(low[1]), int(low[2])), tuple(int(n) for n in high - low)
    return ct.array[k, j, i].astype(np.float32), ct.geometry.crop(start, (shape[0], shape[1], shape[2]))


def _smoothed(hu: NDArray[np.float32], where: Geometry, frame: Frame) -> NDArray[np.float32]:
    """As coarse as the voxels of the study along each axis of the scan."""
    columns = where.affine[:3, :3]
    sigmas = []
    for axis, own in zip((2, 1, 0), where.spacing, strict=True):  # k, j, i of the scan
        along = int(np.argmax(np.abs(columns[:, axis])))  # 0 right, 1 anterior, 2 superior
        wanted = frame.spacing_mm[2 - along]
        sigmas.append(_SD_OF_FWHM * float(np.sqrt(max(0.0, wanted**2 - own**2))) / own)
    return np.asarray(ndimage.gaussian_filter(hu, sigmas, mode="nearest"), np.float32)
