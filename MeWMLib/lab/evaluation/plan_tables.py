"""Risk of every protocol of one synthetic patient, by the model, by its parts and by the truth; each computed once."""

from __future__ import annotations

import time
from collections.abc import Sequence

from MeWMLib.cohorts.synthetic.world import SyntheticPatient
from MeWMLib.core.patient import Patient
from MeWMLib.core.plan import PlanSettings
from MeWMLib.core.protocol import Protocol
from MeWMLib.lab.evaluation.true_risk import TrueRisk
from MeWMLib.world.model import WorldModel

#: Log-risk of a protocol and the number of a replica.
Risks = dict[tuple[Protocol, int], float]


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
        predicted: by the model.
        outline_kept: if the outline is not drawn again on the simulated CT.
        viable_measured: if the viable volume is what is measured in the simulated CT.
        law_on_simulated: the true law on the viable volume by which the model judges its simulation.
        network_on_true: by the learnt survival network from the true CT and outline after the protocol.
    """

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
        self.predicted: Risks = {}
        self.outline_kept: Risks = {}
        self.viable_measured: Risks = {}
        self.law_on_simulated: Risks = {}
        self.network_on_true: Risks = {}
        self._seconds = 0.0

    def simulate_all(self, protocols: Sequence[Protocol]) -> None:
        """Simulate and judge all replicas of some protocols, some at a time."""
        trials = [(p, n) for p in protocols for n in range(len(self.seeds))]
        before = self._patch.labels_after(None, None)
        for start in range(0, len(trials), self._world.chunk):
            part = trials[start : start + self._world.chunk]
            begin = time.perf_counter()
            named, seeds = [p for p, _ in part], [self.seeds[n] for _, n in part]
            _, judged = self._world.on_patch(self._patient, named, seeds, self._settings)
            self._seconds += time.perf_counter() - begin
            for trial, one in zip(part, judged, strict=True):
                # the risks alone: the volumes of hundreds of simulations fit into no memory
                hu = self._patch.simulated(one.change_hu)
                self.predicted[trial] = one.log_risk
                self.law_on_simulated[trial] = self.truth.of_measured(trial[0], one.change.viable_ml_after)
                self.outline_kept[trial] = self._world.judge_image(self._patient, hu, before).log_risk
                self.viable_measured[trial] = self._world.judge_image(self._patient, hu, one.labels).log_risk

    def draw_all(self, protocols: Sequence[Protocol]) -> None:
        """Draw the true CT after some protocols and judge it.

        The scanner noise is that of the CT before treatment: the same for all, as a simulation's is.
        """
        grid, drawn = self._patch.geometry, self._drawn
        noisy = drawn.render(grid).hu
        clean, *after = drawn.render_all(grid, [None, *protocols], noise=False)
        for protocol, one in zip(protocols, after, strict=True):
            judged = self._world.judge_image(self._patient, one.hu + (noisy - clean.hu), one.labels)
            self.network_on_true |= {(protocol, n): judged.log_risk for n in range(len(self.seeds))}

    @property
    def seconds_each(self) -> float:
        """What one simulation took, on average."""
        return self._seconds / max(1, len(self.predicted))
