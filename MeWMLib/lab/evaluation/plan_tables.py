"""Risk of every protocol of one synthetic patient, by the model, by its parts and by the truth; each computed once.

The truth needs no CT: only the viable volume in the treated patch counts, so the liver is drawn once, and of each
outcome only the tumour, on a grid of twice the voxel size. `Testing/lab/evaluation/test_planning.py` compares this with
whole drawings.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from MeWMLib.cohorts.synthetic.fields import Axes
from MeWMLib.cohorts.synthetic.law import Response
from MeWMLib.cohorts.synthetic.world import SyntheticPatient
from MeWMLib.core.patient import Patient
from MeWMLib.core.plan import PlanSettings
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.volume import Geometry
from MeWMLib.lab.synthetic.survival import true_log_risk
from MeWMLib.world.model import WorldModel

#: Log-risk of a protocol and the number of a replica.
Risks = dict[tuple[Protocol, int], float]
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
        drawn, viable = self._drawn, np.zeros(self._grid.shape, bool)
        look = (drawn.anatomy.liver_hu, drawn.anatomy.phase)
        for box, painted in drawn.painted(self._axes, self._liver, *look, answer):
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


class PlanTables:
    """Risks of one patient under any protocol and replica.

    Args:
        world: the model.
        patient: as the product meets them.
        drawn: the same patient in the synthetic world.
        settings: steps and guidance of a simulation.
        seeds: of the replicas.
        truth: shared with another model's tables, or None.

    Attributes:
        risks: by table.
            `predicted`: by the model.
            `outline_kept`: if the outline is not drawn again on the simulated CT.
            `viable_measured`: if the viable volume is what is measured in the simulated CT.
            `law_on_simulated`: the true law on the viable volume by which the model judges its simulation.
            `network_on_true`: by the learnt survival network from the true CT and outline after the protocol.
        seconds: that the simulations took.
    """

    #: What another model is compared by.
    main = "predicted"

    def __init__(
        self,
        world: WorldModel,
        patient: Patient,
        drawn: SyntheticPatient,
        settings: PlanSettings,
        seeds: Sequence[int],
        truth: TrueRisk | None = None,
    ) -> None:
        self._world, self._patient, self._drawn, self._settings = world, patient, drawn, settings
        self.seeds = tuple(seeds)
        self._patch = world.treated_patch(patient)
        self.truth = truth or TrueRisk(drawn, self._patch.geometry)
        self.risks: dict[str, Risks] = defaultdict(dict)
        self.seconds = 0.0

    def simulate_all(self, protocols: Sequence[Protocol]) -> None:
        """Simulate and judge all replicas of some protocols, some at a time."""
        trials = [(p, n) for p in protocols for n in range(len(self.seeds))]
        before = self._patch.labels_after(None, None)
        for start in range(0, len(trials), self._world.simulator.chunk):
            part = trials[start : start + self._world.simulator.chunk]
            begin = time.perf_counter()
            named, seeds = [p for p, _ in part], [self.seeds[n] for _, n in part]
            _, judged = self._world.on_patch(self._patient, named, seeds, self._settings)
            self.seconds += time.perf_counter() - begin
            for trial, one in zip(part, judged, strict=True):
                # the risks alone: the volumes of hundreds of simulations fit into no memory
                hu = self._patch.simulated(one.change_hu)
                found = {
                    "predicted": one.score.log_risk,
                    "outline_kept": self._world.judge_image(self._patient, hu, before).log_risk,
                    "viable_measured": self._world.judge_image(self._patient, hu, one.labels).log_risk,
                    "law_on_simulated": self.truth.of_measured(trial[0], one.score.change.viable_ml_after),
                }
                for table, risk in found.items():
                    self.risks[table][trial] = risk

    def draw_all(self, protocols: Sequence[Protocol]) -> None:
        """Draw the true CT after some protocols and judge it.

        The scanner noise is that of the CT before treatment: the same for all, as a simulation's is.
        """
        grid, drawn = self._patch.geometry, self._drawn
        noisy = drawn.render(grid).hu
        clean, *after = drawn.render_all(grid, [None, *protocols], noise=False)
        for protocol, one in zip(protocols, after, strict=True):
            judged = self._world.judge_image(self._patient, one.hu + (noisy - clean.hu), one.labels)
            self.risks["network_on_true"] |= {(protocol, n): judged.log_risk for n in range(len(self.seeds))}

    @property
    def seconds_each(self) -> float:
        """What one simulation took, on average."""
        return self.seconds / max(1, len(self.risks["predicted"]))
