"""How a CT looks, real or simulated: Lipiodol, noise and contrast as numbers that can be held against one another."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from MeWMLib.core.errors import GeometryError, GeometryMismatchError
from MeWMLib.lab.evaluation.look_lipiodol import lipiodol_look
from MeWMLib.lab.evaluation.look_noise import noise_look, parenchyma

Mask = NDArray[np.bool_]
Spacing = tuple[float, float, float]


def look(hu: NDArray[Any], tumour: Mask, liver: Mask, spacing: Spacing) -> dict[str, float]:
    """Every look statistic of one scan, real or simulated, before or after treatment.

    See `look_lipiodol.lipiodol_look` (share, blobs, diameters, percentiles, autocorrelation), `look_noise.noise_look`
    (deviation, reach, spectrum) and `contrast_look`.

    Args:
        hu: (K, J, I) HU, on the scanner's own grid where noise and grains are to be true.
        tumour: (K, J, I).
        liver: (K, J, I); with or without the tumour.
        spacing: mm (k, j, i).

    Returns:
        Name to number, always the same names; NaN where there is nothing to measure it on.

    Raises:
        GeometryMismatchError: the masks do not have the shape of the image.
        GeometryError: three spacings above zero were not given.
    """
    require_scan(hu, {"tumour": tumour, "liver": liver}, spacing)
    tumour, liver = tumour.astype(bool), liver.astype(bool)
    return {
        **lipiodol_look(hu, tumour, spacing),
        **noise_look(hu, liver, tumour, spacing),
        **contrast_look(hu, tumour, liver, spacing),
    }


def contrast_look(hu: NDArray[Any], tumour: Mask, liver: Mask, spacing: Spacing) -> dict[str, float]:
    """Density: `liver_hu` (median of the liver away from its border and tumour), `tumour_minus_liver_hu` (of medians).

    The phase is that of the scan: rows of one phase alone can be held against one another.
    """
    where, nothing = parenchyma(liver, tumour, spacing), float("nan")
    parenchyma_hu = float(np.median(hu[where])) if where.any() else nothing
    tumour_hu = float(np.median(hu[tumour])) if tumour.any() else nothing
    return {"liver_hu": parenchyma_hu, "tumour_minus_liver_hu": tumour_hu - parenchyma_hu}


def require_scan(hu: NDArray[Any], masks: dict[str, Mask], spacing: Spacing) -> None:
    """Raise unless image, masks and spacing fit one another."""
    if np.ndim(hu) != 3 or any(np.shape(mask) != np.shape(hu) for mask in masks.values()):
        raise GeometryMismatchError(
            what="Image and masks of a look must be 3D arrays of one shape",
            given=", ".join(f"{name} {np.shape(one)}" for name, one in {"image": hu, **masks}.items()),
            remedy="Resample the labels to the grid of the scan by nearest neighbour",
        )
    if len(spacing) != 3 or not all(np.isfinite(s) and s > 0 for s in spacing):
        raise GeometryError(
            what="A look needs three voxel sizes above zero",
            given=str(tuple(spacing)),
            remedy="Give mm in (k, j, i) order",
        )
