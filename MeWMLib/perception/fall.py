"""What of a tumour still lives in a scan after treatment, by the fall of its density since the scan before.

One scan alone tells little of it (`viability`): dead tissue is seldom much darker than the liver of its scan, and
viable tumour may be. The same place in both scans of one patient tells more, since what dies loses its enhancement and
so falls: in the arterial phase to the density of tissue without contrast agent, in the portal phase by some HU that
differ between patients, so that a scan tells what died only as far as its tissue falls by the usual amount. Lipiodol
hides the fall: dense voxels, those beside them and fat at the border are judged by the tissue around them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from MeWMLib.core.errors import InputError
from MeWMLib.core.volume import Geometry
from MeWMLib.perception.viability import BESIDE_OIL_MM, DENSE_HU, FAT_HU, SMOOTHING_MM, LiverReference

Mask = NDArray[np.bool_]
FloatArray = NDArray[np.float32]

#: Fall (HU) up to which tissue lives, and from which it is dead, in the portal phase: chosen so that volumes that are
#: measured in expected scans agree with those that a model predicts, on 20 patients of the synthetic world (version 3).
PORTAL_FALL_HU = (0.0, 15.0)
#: Density (HU) that dead tissue falls to in the arterial phase, as that world has it; least fall that is a full one.
ARTERIAL_DEAD_HU, LEAST_FALL_HU = 47.0, 14.0
#: Width (sigma, mm) over which the scan before is averaged where its density itself counts, and no difference: noise
#: of some mm is as large as the contrast of tumours.
BEFORE_MM = 4.0
#: Where less than this share of the surroundings shows tissue, the wider surroundings (times `SMOOTHING_MM`) tell.
SEEN, WIDER = 0.05, 3.0


@dataclass(frozen=True, eq=False)
class BeforeTreatment:
    """A region before treatment, which scans after it are held against.

    Attributes:
        hu: (K, J, I) the scan.
        inside: (K, J, I) tissue that may take part: without Lipiodol and fat.
        alive: (K, J, I) share that lives before treatment, 0 or 1.
        full_fall: HU by which tissue falls that dies, from where it begins: a number, or one for each voxel.
        geometry: of the arrays.
    """

    hu: FloatArray
    inside: Mask
    alive: FloatArray
    full_fall: tuple[FloatArray | float, FloatArray | float]
    geometry: Geometry

    @classmethod
    def of(
        cls,
        hu: NDArray[np.generic],
        tissue: Mask,
        geometry: Geometry,
        phase: str,
        liver: LiverReference | None = None,
    ) -> BeforeTreatment:
        """Prepare a region.

        Args:
            hu: (K, J, I) the scan before treatment.
            tissue: (K, J, I) the tumour, without the liver beside it, which falls by nothing.
            geometry: of both.
            phase: "arterial"; every other phase counts as portal.
            liver: of the scan; tells what is dead before treatment. Without it all tissue lives.

        Raises:
            InputError: the mask is not of the scan's shape.
        """
        if tissue.shape != hu.shape:
            raise InputError(what="The region is not on the grid of the CT", given=f"{tissue.shape} and {hu.shape}")
        image = np.asarray(hu, np.float32)
        inside = tissue & ~_hidden(image, tissue, geometry)
        near = _blurred(inside.astype(np.float32), geometry, BEFORE_MM)
        wide = _averaged(image, inside, geometry, BEFORE_MM, near)
        alive = np.ones(image.shape, np.float32)
        if liver is not None and liver.tells:
            alive[inside & (wide < liver.dead_below_hu)] = 0
        limits: tuple[FloatArray | float, FloatArray | float] = PORTAL_FALL_HU
        if phase == "arterial":
            limits = 0.0, np.maximum(wide - np.float32(ARTERIAL_DEAD_HU), np.float32(LEAST_FALL_HU))
        return cls(image, inside, alive, limits, geometry)

    @cached_property
    def _all_seen(self) -> FloatArray:
        """How much (K, J, I) is seen nearby where nothing is hidden, as in most images of a search."""
        return _blurred(self.inside.astype(np.float32), self.geometry, SMOOTHING_MM)

    def alive_after(self, hu: NDArray[np.generic], shift_hu: float = 0.0, where: Mask | None = None) -> FloatArray:
        """Share (K, J, I) of each voxel's tissue that lives in a scan after treatment, 0 to 1.

        Outside of the tumour before treatment it is that of the tumour nearby, for one that grows.

        Args:
            hu: (K, J, I) the scan after treatment, on the grid of the one before and registered to it.
            shift_hu: by how much all tissue is denser in it, such as the difference of the two livers.
            where: (K, J, I) voxels that are asked for, by default all; the others have no meaning.

        Raises:
            InputError: another shape.
        """
        if hu.shape != self.hu.shape:
            raise InputError(
                what="The scan after treatment is not on the grid of the one before",
                given=f"{hu.shape} and {self.hu.shape}",
                remedy="Register it first",
            )
        image = np.asarray(hu, np.float32)
        hidden = _hidden(image, self.inside, self.geometry)
        seen = self.inside & ~hidden if hidden.any() else self.inside
        near = _blurred(seen.astype(np.float32), self.geometry, SMOOTHING_MM) if hidden.any() else self._all_seen
        fall = _averaged(self.hu - image + np.float32(shift_hu), seen, self.geometry, SMOOTHING_MM, near, where)
        low, high = self.full_fall
        dead = np.clip((fall - low) / (np.asarray(high, np.float32) - low), 0, 1)
        return np.asarray((1 - dead) * self.alive, np.float32)


def _hidden(image: FloatArray, tissue: Mask, geometry: Geometry) -> Mask:
    """Fat, dense voxels, and the voxels beside dense ones: their density says nothing about the tissue."""
    dense, fat = tissue & (image >= DENSE_HU), tissue & (image < FAT_HU)
    if not dense.any():
        return fat
    near = ndimage.distance_transform_edt(~dense, sampling=geometry.spacing) <= BESIDE_OIL_MM
    return np.asarray(near | ndimage.binary_dilation(dense) | fat, bool)


def _averaged(
    values: FloatArray, seen: Mask, geometry: Geometry, width_mm: float, near: FloatArray, where: Mask | None = None
) -> FloatArray:
    """Mean (K, J, I) over what is seen nearby; over the wider surrounding where hardly anything is.

    `near` is how much is seen nearby; `where` as for `BeforeTreatment.alive_after`.
    """
    total = _blurred(np.where(seen, values, np.float32(0)), geometry, width_mm)
    # what is far from all tissue stays without meaning, and near 0
    few = near < SEEN
    if (few if where is None else few & where).any():
        wide = _blurred(near, geometry, WIDER * width_mm)
        total = np.where(few, _blurred(total, geometry, WIDER * width_mm), total)
        near = np.where(few, wide, near)
    return np.asarray(total / np.maximum(near, 1e-6), np.float32)


def _blurred(values: FloatArray, geometry: Geometry, width_mm: float) -> FloatArray:
    widths = [width_mm / spacing for spacing in geometry.spacing]
    return np.asarray(ndimage.gaussian_filter(values, widths, mode="constant", truncate=3), np.float32)
