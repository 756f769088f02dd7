"""Text-driven Morpho-Gaussian attenuation: a rough first guess of what an occlusion leaves of a tumour.

After the section "Post-Treatment Tumor Generation" of arXiv 2506.02327: a level 1 to 4, read from the operation report
("reduced", "occluded", "no tumour staining"), sets the kernel of an erosion and dilation of the mask, the Gaussian blur
of its edge, and how far the tumour fades. The paper attenuates in training only; here the same transform is applied
whenever the network is used, since it is one of its inputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from MeWMLib.core.errors import InputError
from MeWMLib.core.protocol import Protocol

FloatArray = NDArray[np.float32]
#: Density of necrosis, toward which the part that survives the erosion (the middle) fades.
NECROSIS_HU = 32.0


@dataclass(frozen=True)
class Attenuation:
    """What one level does.

    Attributes:
        erosion_mm: radius of the erosion; what remains of the mask fades to necrosis.
        dilation_mm: radius of the dilation of the eroded mask; less than the erosion, so the tumour shrinks.
        sigma_mm: of the Gaussian at the edge of the attenuated mask.
        fade: share of the way to necrosis (inside) and to liver (where the mask was eroded away).
    """

    erosion_mm: float
    dilation_mm: float
    sigma_mm: float
    fade: float


#: By level; chosen, not fitted: each level is one step in every number.
LEVELS = {
    1: Attenuation(1.0, 1.0, 0.8, 0.2),
    2: Attenuation(2.0, 1.5, 1.2, 0.4),
    3: Attenuation(3.0, 2.0, 1.6, 0.6),
    4: Attenuation(4.0, 2.5, 2.0, 0.8),
}


def attenuate(hu: NDArray[np.floating], labels: NDArray[np.uint8], level: int, spacing_mm: float) -> FloatArray:
    """Attenuate the tumour of a patch.

    Args:
        hu: (D, H, W).
        labels: (D, H, W), 1 liver, 2 tumour.
        level: 0 (not assessed: nothing changes) to 4 (no tumour staining left).
        spacing_mm: edge of the cubic voxels.

    Returns:
        (D, H, W) float32; changed only within 3 sigma of the tumour (along each axis).

    Raises:
        InputError: no such level.
    """
    if level != 0 and level not in LEVELS:
        raise InputError(what="Unknown attenuation level", given=str(level), remedy="Use 0 (not assessed) to 4")
    out = np.array(hu, np.float32)
    tumour = labels == 2
    if level == 0 or not tumour.any():
        return out
    a = LEVELS[level]
    reach = int(np.ceil((3 * a.sigma_mm + 1) / spacing_mm)) + 1
    box = tuple(
        slice(max(0, s.start - reach), s.stop + reach) for s in ndimage.find_objects(tumour.astype(np.uint8))[0]
    )
    part, mask = out[box], tumour[box]
    inside = ndimage.distance_transform_edt(mask, sampling=spacing_mm)
    # Small lesions are eroded less, so that something remains of each.
    erosion = min(a.erosion_mm, 0.5 * float(inside.max()))
    core = inside > erosion
    kept = ndimage.distance_transform_edt(~core, sampling=spacing_mm) <= a.dilation_mm * erosion / a.erosion_mm
    soft_kept = ndimage.gaussian_filter(kept.astype(np.float32), a.sigma_mm / spacing_mm, truncate=3)
    soft_all = ndimage.gaussian_filter(mask.astype(np.float32), a.sigma_mm / spacing_mm, truncate=3)
    lost = np.clip(soft_all - soft_kept, 0, 1)
    parenchyma = part[labels[box] == 1]
    liver = float(np.median(parenchyma)) if len(parenchyma) else float(np.median(part[mask]))
    faded = part + a.fade * soft_kept * (NECROSIS_HU - part) + a.fade * lost * (liver - part)
    out[box] = faded
    return out


def expected_level(protocol: Protocol, occlusion: Mapping[str, float]) -> int:
    """Level that is expected of a protocol before the angiography is known.

    Args:
        protocol: its embolics count.
        occlusion: share of the flow that each embolic stops on average; a missing one counts as 0.4.

    Returns:
        0 without an embolic, else 1 + floor(4 x share of the flow that all of them stop), at most 4.
    """
    if not protocol.embolics:
        return 0
    left = float(np.prod([1 - occlusion.get(name, 0.4) for name in protocol.embolics]))
    return 1 + min(3, int(4 * (1 - left)))
