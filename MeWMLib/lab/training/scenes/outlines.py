"""Label maps without images as outlines of livers and tumours, bent at random (docs/SHAPES.md)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from MeWMLib.cohorts.synthetic.fields import Axes, FloatArray, SmoothField
from MeWMLib.cohorts.synthetic.shapes import LiverShape
from MeWMLib.core.errors import InputError, UnreadableFileError
from MeWMLib.core.io import from_sitk
from MeWMLib.core.volume import LabelMap
from MeWMLib.lab.synthetic.fit_shapes import ras_array, signed_distance
from MeWMLib.lab.training.augment import rotation

#: Spacing at which outlines are warped and their distances computed.
STEP_MM = 2.5


@dataclass(frozen=True, eq=False)
class Outlines:
    """Signed distances of a liver and of the tumours in it, about the liver's centre of mass."""

    liver: LiverShape
    tumours: LiverShape | None


def label_maps(folder: Path) -> list[Path]:
    """The label maps of a folder, by name.

    Raises:
        InputError: it holds none.
    """
    found = sorted(folder.glob("*.nii.gz"))
    if not found:
        raise InputError(what="The folder holds no label maps", given=str(folder), remedy="Give .nii.gz files")
    return found


def read_map(path: Path) -> tuple[NDArray[np.uint8], float]:
    """Labels with axes superior, anterior, right, and their isotropic spacing in mm.

    Raises:
        UnreadableFileError: not an image file.
        InputError: an oblique or anisotropic map.
    """
    try:
        image = sitk.ReadImage(str(path), sitk.sitkUInt8)
    except RuntimeError as error:
        raise UnreadableFileError(what="A label map cannot be read", given=str(path), remedy="Leave it out") from error
    return ras_array(LabelMap(*from_sitk(image)))


def warped(array: NDArray[np.uint8], spacing_mm: float, rng: np.random.Generator) -> Outlines:
    """Turn, stretch and bend a label map at random."""
    turn = rotation(rng.normal(0, 0.09, 3))
    stretch = np.diag(np.exp(rng.normal(0, 0.07) + rng.normal(0, 0.04, 3)))
    matrix = turn @ stretch
    centre = np.array(ndimage.center_of_mass(array > 0))
    reach = 0.5 * spacing_mm * np.array(array.shape) * 1.15 + 14
    counts = np.ceil(2 * reach / STEP_MM).astype(int)
    grid = np.stack(np.meshgrid(*[STEP_MM * (np.arange(n) - n / 2) for n in counts], indexing="ij"))
    bend = np.stack([_bend(counts, rng) for _ in range(3)])
    places = np.einsum("ab,bzyx->azyx", matrix, grid) / spacing_mm + bend / spacing_mm + centre[:, None, None, None]
    liver = ndimage.map_coordinates((array > 0).astype(np.float32), places, order=1) > 0.5
    tumour = ndimage.map_coordinates((array == 2).astype(np.float32), places, order=1) > 0.45
    middle = np.array(ndimage.center_of_mass(liver))
    origin = np.asarray(-middle * STEP_MM, np.float32)
    shapes = [
        LiverShape(signed_distance(m, STEP_MM), origin, STEP_MM, 1.0) if m.any() else None for m in (liver, tumour)
    ]
    assert shapes[0] is not None
    return Outlines(shapes[0], shapes[1])


def _bend(counts: NDArray[np.int64], rng: np.random.Generator) -> FloatArray:
    """A smooth shift in mm over a grid: a field of 60 mm of grain at a random place."""
    field = SmoothField(int(rng.integers(2**40)), 60.0, 8)
    return 4.5 * field.at(Axes(*(np.asarray(STEP_MM * np.arange(n), np.float32) for n in counts)))
