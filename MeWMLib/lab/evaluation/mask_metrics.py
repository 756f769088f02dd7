"""How well a mask agrees with the truth: overlap and surface distances (MONAI's), and lesion by lesion."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import cc3d
import numpy as np
import torch
from monai.metrics import compute_hausdorff_distance, compute_surface_dice
from numpy.typing import NDArray

from MeWMLib.core.volume import LabelMap
from MeWMLib.lab.evaluation.work import box_of
from MeWMLib.perception.findings import dice
from MeWMLib.perception.postprocess import MINIMUM_LESION_ML

#: Surface voxels nearer than this count as agreeing.
TOLERANCE_MM = 2.0
#: A lesion is found if this share of it is labelled tumour.
FOUND_SHARE = 0.1

Mask = NDArray[np.bool_]


def surface(found: Mask, truth: Mask, spacing_mm: Sequence[float]) -> dict[str, float]:
    """`hd95_mm`, the 95th percentile of surface distances, and `surface_dice` at 2 mm; NaN if one mask is empty.

    Args:
        found, truth: (K, J, I).
        spacing_mm: of the array's axes.
    """
    if not (found.any() and truth.any()):
        return {"hd95_mm": float("nan"), "surface_dice": 0.0 if found.any() or truth.any() else float("nan")}
    wide = box_of(found | truth, margin=1)
    a, b = (torch.from_numpy(np.ascontiguousarray(m[wide]))[None, None].float() for m in (found, truth))
    spacing = [float(s) for s in spacing_mm]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of MONAI about one class
        far = compute_hausdorff_distance(a, b, include_background=True, percentile=95, spacing=spacing)
        near = compute_surface_dice(a, b, [TOLERANCE_MM], include_background=True, spacing=spacing)
    return {"hd95_mm": float(far), "surface_dice": float(near)}


def lesions(found: Mask, truth: Mask, voxel_ml: float, minimum_ml: float = MINIMUM_LESION_ML) -> dict[str, float]:
    """Lesion by lesion, lesions under `minimum_ml` left out.

    Returns:
        `lesion_sensitivity`: share of true lesions of which a tenth is found (NaN without lesions);
        `lesion_false_positives`: found components that no true tumour touches.
    """
    known = cc3d.connected_components(truth, connectivity=26)
    sizes = np.bincount(known.ravel())
    hits = np.bincount(known[found], minlength=len(sizes))
    counted = sizes[1:] * voxel_ml >= minimum_ml
    seen = hits[1:] >= FOUND_SHARE * sizes[1:]
    others = cc3d.connected_components(found, connectivity=26)
    volumes = np.bincount(others.ravel())[1:] * voxel_ml
    touched = np.bincount(others[truth], minlength=len(volumes) + 1)[1:] > 0
    return {
        "lesion_sensitivity": float(seen[counted].mean()) if counted.any() else float("nan"),
        "lesion_false_positives": float(((volumes >= minimum_ml) & ~touched).sum()),
    }


def compare(found: LabelMap, truth: LabelMap) -> dict[str, float]:
    """All measures of a segmentation: liver (tumour included) and tumour, on one grid."""
    spacing = truth.geometry.spacing
    out = {
        "dice_liver": dice(found.liver, truth.liver),
        "dice_tumour": dice(found.tumour, truth.tumour) if truth.tumour.any() else float("nan"),
    }
    for name, a, b in (("liver", found.liver, truth.liver), ("tumour", found.tumour, truth.tumour)):
        measured = surface(a, b, spacing)
        out |= {f"hd95_mm_{name}": measured["hd95_mm"], f"surface_dice_{name}": measured["surface_dice"]}
    return out | lesions(found.tumour, truth.tumour, truth.geometry.voxel_ml)
