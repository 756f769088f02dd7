"""HU of tumour tissue by type and phase in version 3, without Lipiodol and noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from MeWMLib.cohorts.synthetic.fields import Axes, FloatArray, SmoothField, derive_seed
from MeWMLib.cohorts.synthetic.law import Traits
from MeWMLib.cohorts.synthetic.look import LookConstants
from MeWMLib.cohorts.synthetic.outcome import Tissue

#: Viable tumour minus liver by type, as a place between the ends of the measured ranges: portal, arterial.
PLACE = {
    "hypervascular": (0.92, 0.90),
    "hypovascular": (0.22, 0.15),
    "necrotic_core": (0.72, 0.70),
    "infiltrative": (0.45, 0.40),
    "multinodular": (0.62, 0.55),
    "portal_thrombus": (0.35, 0.30),
    "capsule": (0.50, 0.45),
}
#: How far perfusion (a trait, standard normal) moves that place, and what it does inside a tumour (HU).
BY_PERFUSION, PERFUSION_FIELD_HU = 0.10, 6.0
#: How much the parts of one tumour differ (HU).
MOSAIC_HU = 8.0
#: Vessels between those of the anatomy and what a scanner can resolve: over how many mm they wind, and their HU.
VESSEL_SCALE_MM, VESSEL_HU = 15.0, {"portal": 34.0, "arterial": 9.0}
#: Shape of the gamma distribution of the fall of dead tissue: wide, as the two pairs differ.
DROP_SHAPE = 1.5
#: Ring of a capsule, and clefts of a cluster (HU).
RING_HU, CLEFT_HU = 22.0, 14.0


@dataclass(frozen=True)
class DeathLook:
    """How dead tissue of a patient looks.

    Attributes:
        drop: HU by which it falls in the portal phase.
    """

    drop: float

    @classmethod
    def draw(cls, seed: int, look: LookConstants) -> DeathLook:
        """Draw one patient's; in some hardly anything is seen."""
        rng = np.random.default_rng(derive_seed("death look", seed))
        hidden = bool(rng.random() < look.death_none)
        return cls(float(rng.uniform(0, 5)) if hidden else float(rng.gamma(DROP_SHAPE, look.death_drop / DROP_SHAPE)))


def small_vessels(seed: int, axes: Axes, phase: str) -> FloatArray:
    """HU (K, J, I) by which vessels too small for the anatomy stand out of the liver; mostly in the portal phase.

    As there, a tube is where two smooth fields vanish together.
    """
    a, b = (SmoothField(derive_seed("small vessels", seed, n), VESSEL_SCALE_MM).at(axes) for n in range(2))
    width = np.clip(0.035 + 0.03 * SmoothField(derive_seed("small vessels", seed, "width"), 30.0).at(axes), 0.004, None)
    return np.asarray(VESSEL_HU[phase] * np.clip(1.5 * (1 - (a * a + b * b) / width), 0, 1), np.float32)


def contrast(traits: Traits, phase: str, look: LookConstants) -> float:
    """Viable tumour minus liver (HU), within the measured range of the phase."""
    low, high = look.tumour_portal if phase == "portal" else look.tumour_arterial
    place = PLACE[traits.kind][0 if phase == "portal" else 1] + BY_PERFUSION * traits.perfusion
    return float(low + (high - low) * np.clip(place, 0, 1))


def viable_hu(
    tissue: Tissue,
    traits: Traits,
    axes: Axes,
    shape: FloatArray,
    scale: float,
    liver: float,
    phase: str,
    look: LookConstants,
) -> FloatArray:
    """HU (K, J, I) of viable tumour on a part of a grid.

    Args:
        tissue, traits: of the nodule.
        axes, shape: of the part, and the nodule's shape function there.
        scale: of the nodule, 1 before treatment.
        liver: HU of the liver.
        phase: "portal" or "arterial".
        look: constants.
    """
    nodule = tissue.nodule
    local = axes.shifted(nodule.centre, scale)
    parts = tissue.on(PERFUSION_FIELD_HU * tissue.perfusion + MOSAIC_HU * tissue.cells, axes, scale)
    fine = SmoothField(derive_seed("fine", nodule.seed), 2.5).at(local)
    hu = liver + contrast(traits, phase, look) + parts + look.texture_hu * fine
    if traits.kind == "multinodular":
        hu = hu + CLEFT_HU * np.clip(4 * (shape - 0.2), -1, 1)
    elif traits.kind == "capsule":
        hu = hu + RING_HU * np.exp(-(((shape - 0.06) / 0.05) ** 2))
    elif traits.kind == "infiltrative":
        hu = hu + 6 * SmoothField(derive_seed("coarse", nodule.seed), 6.0).at(local)
    return np.asarray(hu, np.float32)


def dead_hu(viable: FloatArray, fine: FloatArray, death: DeathLook, phase: str, look: LookConstants) -> FloatArray:
    """HU (K, J, I) of the same tissue when it is dead: enhancement is lost, which is plain in the arterial phase only.

    Args:
        viable: of the tissue alive.
        fine: a field of about unit deviation.
    """
    if phase == "arterial":
        return np.asarray(np.minimum(viable, look.unenhanced + 3 * fine), np.float32)
    fallen = viable - death.drop * (1 + 0.25 * fine)
    return np.asarray(np.minimum(viable, np.maximum(fallen, look.death_floor + 4 * fine)), np.float32)
