"""Iodine to HU and back, and the account of Lipiodol: what was injected, what is left, what a scan shows.

The rise in HU is proportional to the iodine in a voxel; the factor falls with the tube voltage. What a CT shows above
tissue, summed over volume, is therefore an amount of iodine, and with 480 mg in a millilitre one of Lipiodol.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from MeWMLib.core.errors import InputError

#: Iodine in Lipiodol Ultra-Fluide (mg/ml), by its label.
LIPIODOL_MG_ML = 480.0
#: Rise in HU for 1 mg/ml of iodine by tube voltage (kVp). 26 at 120 kVp; the others are typical of body CT, where
#: scanners and patients' sizes differ by some 10 %.
HU_PER_MG_ML = {80: 42.0, 100: 32.5, 120: 26.0, 140: 22.0}
#: Voltage where none is stated: that of most abdominal CT.
KVP = 120.0


def hu_per_mg_ml(kvp: float = KVP) -> float:
    """Rise in HU for 1 mg/ml of iodine, between the voltages of `HU_PER_MG_ML` by interpolation.

    Raises:
        InputError: a voltage outside of the table.
    """
    low, high = min(HU_PER_MG_ML), max(HU_PER_MG_ML)
    if not low <= kvp <= high:
        raise InputError(
            what="The rise in HU by iodine is not known for this tube voltage",
            given=f"{kvp:g} kVp",
            remedy=f"Give a voltage of {low} to {high} kVp",
        )
    return float(np.interp(kvp, list(HU_PER_MG_ML), list(HU_PER_MG_ML.values())))


def rise_hu(mg_per_ml: ArrayLike, kvp: float = KVP) -> NDArray[np.float32]:
    """Rise in HU of a map of iodine (mg/ml), any shape."""
    return np.asarray(np.asarray(mg_per_ml, np.float32) * np.float32(hu_per_mg_ml(kvp)))


def iodine_mg(rise: ArrayLike, voxel_ml: float, kvp: float = KVP) -> float:
    """Iodine (mg) that a rise in HU over tissue stands for, summed over all voxels of `voxel_ml` each."""
    return float(np.sum(rise, dtype=np.float64)) / hu_per_mg_ml(kvp) * voxel_ml


def lipiodol_ml(rise: ArrayLike, voxel_ml: float, kvp: float = KVP) -> float:
    """Lipiodol (ml) that a rise in HU over tissue stands for, summed over all voxels of `voxel_ml` each."""
    return iodine_mg(rise, voxel_ml, kvp) / LIPIODOL_MG_ML


def retained_share(left_ml: float, injected_ml: float) -> float:
    """Share of the injected Lipiodol that is still there.

    Raises:
        InputError: nothing was injected, or more is left than was.
    """
    if injected_ml <= 0 or not 0 <= left_ml <= injected_ml:
        raise InputError(
            what="No more Lipiodol can be left than was injected",
            given=f"{left_ml:g} ml left of {injected_ml:g} ml",
            remedy="Give both in ml, from 0 to the amount that was injected",
        )
    return left_ml / injected_ml
