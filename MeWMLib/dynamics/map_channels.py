"""Coarse maps as channels of the map network: what it sees of a patient, and what it draws, each on scales near 1."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from MeWMLib.core.coarse_maps import CELL, MAP_MM, FloatArray, seen_hu
from MeWMLib.dynamics.appearance import appearance
from MeWMLib.dynamics.maps import TOUCHED, tumour_maps

#: What is seen of a patient: HU, contrast to the liver, tumour, liver, depth below the tumour's surface.
SEEN = 5
#: What is drawn: viable share and tumour share (after less the tumour before), change of HU, iodine (companded).
DRAWN = 4
#: What the network is also asked for: iodine itself, since the mean of what is companded is no mean of iodine.
ASKED = DRAWN + 1
#: Units of the channels.
HU_UNIT, CONTRAST_UNIT, DEPTH_UNIT_MM = 60.0, 15.0, 20.0
SHARE_UNIT, CHANGE_UNIT, IODINE_KNEE, IODINE_UNIT = 0.4, 25.0, 0.5, 5.0
_FAR = 4.0
#: Cubes around the tumour before treatment that may hold tumour after it.
REACH = 2


def patient_channels(hu: NDArray[np.floating], tumour: FloatArray, liver: FloatArray) -> FloatArray:
    """What the network sees of a patient.

    Args:
        hu: (d, h, w) means of cubes before treatment.
        tumour, liver: shares, the liver with its tumour.

    Returns:
        (SEEN, d, h, w).
    """
    hu = seen_hu(hu)
    parenchyma = hu[(liver > 0.99) & (tumour < 0.02)]
    middle = float(np.median(parenchyma)) if len(parenchyma) else float(np.median(hu))
    depth = MAP_MM * ndimage.distance_transform_edt(tumour > 0.5)
    return np.stack(
        [
            (hu - 60) / HU_UNIT,
            np.clip((hu - middle) / CONTRAST_UNIT, -_FAR, _FAR),
            tumour,
            liver,
            depth / DEPTH_UNIT_MM,
        ]
    ).astype(np.float32)


def patient_appearance(hu: NDArray[np.floating], tumour: FloatArray, liver: FloatArray) -> FloatArray:
    """The numbers (F,) of `appearance.appearance` of a patient's cubes; brightness is in 10 HU."""
    light = (seen_hu(hu) / 10)[None]
    shares = np.stack([tumour, liver])
    return appearance(light, shares, tumour_maps(light[0], shares)[2], MAP_MM)


def drawn_channels(viable: Tensor, tumour_after: Tensor, change: Tensor, iodine: Tensor, tumour: Tensor) -> Tensor:
    """Maps after treatment (each N, d, h, w) as what the network is asked for (N, ASKED, d, h, w)."""
    return torch.stack(
        [
            (viable - tumour) / SHARE_UNIT,
            (tumour_after - tumour) / SHARE_UNIT,
            change / CHANGE_UNIT,
            (iodine.clamp_min(0) / IODINE_KNEE).log1p(),
            iodine / IODINE_UNIT,
        ],
        1,
    )


def maps_of(drawn: Tensor, tumour: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Viable, tumour, change, iodine (each N, d, h, w) of what the network gave; inverse of `drawn_channels`.

    Iodine is that which was asked for as such: the companded channel only steers the sampling.

    Args:
        drawn: (N, ASKED, d, h, w).
        tumour: (1 or N, d, h, w) before treatment.
    """
    # farther away no tumour grows, and what noise leaves there would add up over a region
    near = torch.nn.functional.max_pool3d((tumour[:, None] > TOUCHED).float(), 2 * REACH + 1, 1, REACH)[:, 0]
    after = (tumour + SHARE_UNIT * drawn[:, 1]).clamp(0, 1) * near
    viable = (tumour + SHARE_UNIT * drawn[:, 0]).clamp(0, 1).minimum(after)
    return viable, after, CHANGE_UNIT * drawn[:, 2], (IODINE_UNIT * drawn[:, 4]).clamp_min(0)


def to_cells(maps: Tensor) -> Tensor:
    """Cubes (N, C, d, h, w) to cells (N, C * CELL^3, d / CELL, h / CELL, w / CELL)."""
    n, c, d, h, w = maps.shape
    split = maps.reshape(n, c, d // CELL, CELL, h // CELL, CELL, w // CELL, CELL)
    return split.permute(0, 1, 3, 5, 7, 2, 4, 6).reshape(n, c * CELL**3, d // CELL, h // CELL, w // CELL)


def to_cubes(cells: Tensor) -> Tensor:
    """Inverse of `to_cells`."""
    n, c, d, h, w = cells.shape
    split = cells.reshape(n, c // CELL**3, CELL, CELL, CELL, d, h, w)
    return split.permute(0, 1, 5, 2, 6, 3, 7, 4).reshape(n, c // CELL**3, d * CELL, h * CELL, w * CELL)
