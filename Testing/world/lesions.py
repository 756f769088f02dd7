"""A block of liver with round lesions, for tests of what is treated."""

from __future__ import annotations

import numpy as np

from MeWMLib.core.patient import Clinical, Patient
from MeWMLib.core.plan import PlanSettings
from MeWMLib.core.protocol import ActionSpace, Protocol
from MeWMLib.core.volume import Geometry, LabelMap, Volume
from MeWMLib.perception.findings import measure

#: A quick search, its agents, and one of its protocols.
FAST = PlanSettings(space="free", beams=2, drugs=2, embolics=2, drug_horizon=1, embolic_horizon=1, replicas=2, steps=1)
SPACE = ActionSpace(("Cisplatin", "Doxorubicin"), ("Lipiodol", "PVA"), {}, "test")
A = Protocol.parse("Cisplatin + Lipiodol")
#: Middles (k, j, i) and radii in mm of lesions on a grid of 2 mm: 1 and 2 are near each other, 3 is far from both.
BALLS = (((20, 30, 30), 12.0), ((20, 30, 42), 8.0), ((20, 30, 100), 6.0))


def people(*balls: tuple[tuple[int, int, int], float]) -> Patient:
    """A block of liver with round lesions; i runs to the left."""
    geometry = Geometry((40, 60, 120), np.diag([-2.0, -2.0, 2.0, 1.0]))
    array = np.zeros(geometry.shape, np.uint8)
    array[4:36, 4:56, 4:116] = 1
    index = np.stack(np.indices(geometry.shape), -1)
    for middle, radius in balls:
        array[(np.linalg.norm(2.0 * (index - middle), axis=-1) < radius)] = 2
    ct = Volume(np.random.default_rng(0).normal(100, 15, geometry.shape).astype(np.int16), geometry)
    labels = LabelMap(array, geometry)
    return Patient("p", ct, labels, measure(ct, labels), Clinical())


def lesion(patient: Patient, number: int) -> np.ndarray:
    """Voxels of a ball, straight from its definition."""
    middle, radius = BALLS[number - 1]
    index = np.stack(np.indices(patient.ct.array.shape), -1)
    return np.linalg.norm(2.0 * (index - middle), axis=-1) < radius


def left_half(patient: Patient) -> np.ndarray:
    """Everything to the left of the middle of lesion 1."""
    mask = np.zeros(patient.ct.array.shape, bool)
    mask[:, :, BALLS[0][0][2] :] = True
    return mask
