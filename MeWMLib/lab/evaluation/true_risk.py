"""What the synthetic world's law says of many protocols of one patient, without drawing their CT.

Only the viable volume in the treated patch is needed, so the liver is drawn once, and of each outcome only the tumour,
on a grid of twice the voxel size. `Testing/lab/evaluation/test_planning.py` compares this with whole drawings.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from MeWMLib.cohorts.synthetic.fields import Axes
from MeWMLib.cohorts.synthetic.law import Response
from MeWMLib.cohorts.synthetic.tumour import paint
from MeWMLib.cohorts.synthetic.world import SyntheticPatient
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.volume import Geometry
from MeWMLib.lab.synthetic.survival import true_log_risk

#: How many voxels of the patch make one of the grid on which volumes are counted, along each axis.
COARSER = 2


class TrueRisk:
    """The true log-hazard of one patient under any protocol.

    Args:
        drawn: the patient.
        patch: grid of the treated patch; what is outside does not count.
    """

    def __init__(self, drawn: SyntheticPatient, patch: Geometry) -> None:
        self._drawn, self._grid = drawn, coarser(patch, COARSER)
        self._axes = Axes.of(self._grid)
        self._liver: NDArray[np.bool_] = drawn.anatomy.render(self._axes)[1] > 0
        self._known: dict[Protocol, float] = {}

    def __call__(self, protocol: Protocol) -> float:
        """Log-hazard after a protocol."""
        if protocol not in self._known:
            answer = self._drawn.response(protocol)
            self._known[protocol] = true_log_risk(self.viable_ml(answer), answer)
        return self._known[protocol]

    def of_measured(self, protocol: Protocol, viable_ml: float) -> float:
        """Log-hazard if this much viable tumour were left: the law on a volume that something else measured."""
        return true_log_risk(viable_ml, self._drawn.response(protocol))

    def viable_ml(self, answer: Response) -> float:
        """Viable tumour in the patch after an answer to treatment."""
        drawn = self._drawn
        viable = np.zeros(self._grid.shape, bool)
        grew = answer.new_lesion > drawn.new_lesion_luck
        for nodule in (*drawn.nodules, *([drawn.new_lesion] if grew else [])):
            box = nodule.box(self._axes)
            if box is None:
                continue
            part = Axes(self._axes.z[box[0]], self._axes.y[box[1]], self._axes.x[box[2]])
            # a new lesion was not treated
            its_answer = None if nodule is drawn.new_lesion else answer
            painted = paint(
                nodule, drawn.traits, part, self._liver[box], drawn.anatomy.liver_hu, drawn.anatomy.phase, its_answer
            )
            viable[box] = (viable[box] & ~painted.mask) | (painted.mask & ~painted.dead)
        return float(viable.sum()) * self._grid.voxel_ml

    def best(self, protocols: Iterable[Protocol]) -> Protocol:
        """The protocol of lowest true log-hazard; ties by canonical text."""
        return min(protocols, key=lambda p: (self(p), p.text))


def coarser(geometry: Geometry, factor: int) -> Geometry:
    """The same cube with voxels `factor` times as large; the sizes must be divisible by it."""
    affine = np.array(geometry.affine)
    affine[:3, 3] += affine[:3, :3] @ np.full(3, (factor - 1) / 2)
    affine[:3, :3] *= factor
    k, j, i = (n // factor for n in geometry.shape)
    return Geometry((k, j, i), affine)
