"""A named subset of radiomics: first-order and shape features of one tumour mask, without pyradiomics.

pyradiomics 3.1.0 has no wheel beyond Python 3.9 and its source does not build on 3.11 (the only one tried), so the
features that the radiomics Cox baseline needs are written here with the definitions of the Image Biomarker
Standardisation Initiative (Zwanenburg et al., Radiology 2020) and the names of pyradiomics. No texture matrices.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import stats

from MeWMLib.lab.evaluation.work import box_of

#: Order of `radiomics`.
RADIOMICS = (
    "log_volume_ml",
    "sphericity",
    "surface_volume_ratio",
    "elongation",
    "flatness",
    "mean",
    "standard_deviation",
    "skewness",
    "kurtosis",
    "percentile_10",
    "percentile_90",
    "entropy",
)
#: Hounsfield units are clipped to this before anything is counted, and one bin of the histogram is this wide.
CLIP_HU, BIN_HU = (-175.0, 600.0), 25.0
#: A mask of fewer voxels has no shape; its features are those of an empty one.
_FEW = 8


def radiomics(hu: NDArray[Any], mask: NDArray[np.bool_], spacing_mm: float) -> NDArray[np.float64]:
    """Features `RADIOMICS` (12,) of one mask (D, H, W) on an isotropic grid; all zero for under 8 voxels.

    Volume counts voxels; the surface is SimpleITK's Crofton estimate; elongation and flatness are square roots of
    ratios of the eigenvalues of the voxel positions; kurtosis is 3 for a normal distribution.
    """
    count = int(mask.sum())
    if count < _FEW:
        return np.zeros(len(RADIOMICS))
    box = box_of(mask, margin=0)
    inside, values = mask[box], np.clip(np.asarray(hu[box][mask[box]], np.float64), *CLIP_HU)
    image = sitk.GetImageFromArray(np.pad(inside, 1).astype(np.uint8))
    image.SetSpacing((spacing_mm,) * 3)
    shape = sitk.LabelShapeStatisticsImageFilter()
    shape.ComputePerimeterOn()
    shape.Execute(image)
    volume, surface = count * spacing_mm**3, shape.GetPerimeter(1)  # mm3, mm2
    axes = np.clip(np.linalg.eigvalsh(np.cov(np.argwhere(mask).T)), 0, None)  # rising
    shares = np.unique(np.floor(values / BIN_HU), return_counts=True)[1] / count
    # a mask of one density has no third or fourth moment
    flat = values.std() < 1e-6
    return np.array(
        [
            np.log(volume / 1000),
            np.pi ** (1 / 3) * (6 * volume) ** (2 / 3) / surface,
            surface / volume,
            np.sqrt(axes[1] / axes[2]),
            np.sqrt(axes[0] / axes[2]),
            values.mean(),
            values.std(),
            0.0 if flat else stats.skew(values),
            3.0 if flat else stats.kurtosis(values, fisher=False),
            np.percentile(values, 10),
            np.percentile(values, 90),
            -(shares * np.log2(shares)).sum(),
        ]
    )
