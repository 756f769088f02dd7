"""Risk of every protocol of one patient of version 3 of the world: by the image, by the model, and by the truth.

As `plan_tables` has it for version 2. The session is that of the patient: their territory and the weeks until the scan.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from MeWMLib.cohorts.synthetic.fields import Axes
from MeWMLib.cohorts.synthetic.study import StudyPatient
from MeWMLib.core.errors import BundleError
from MeWMLib.core.patient import Patient
from MeWMLib.core.plan import IMAGE, MODEL, PlanSettings
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.volume import Geometry
from MeWMLib.lab.evaluation.plan_tables import COARSER, Risks, coarser
from MeWMLib.lab.synthetic.survival import true_log_risk
from MeWMLib.world.map_simulator import MapSimulator, PreparedRegion
from MeWMLib.world.model import WorldModel


class StudyRisk:
    """The true log-hazard of one patient under any protocol, in the session that was drawn for them.

    Args:
        drawn: the patient.
        region: grid of the region that is simulated; what is outside does not count.
    """

    def __init__(self, drawn: StudyPatient, region: Geometry) -> None:
        grid = coarser(region, COARSER) if region.spacing[0] < 2 else region
        self._drawn, self._axes, self._voxel_ml = drawn, Axes.of(grid), grid.voxel_ml
        self._liver: NDArray[np.bool_] = np.asarray(drawn.anatomy.liver(self._axes) > 0)
        self._known: dict[Protocol, float] = {}

    def __call__(self, protocol: Protocol) -> float:
        """Log-hazard after a protocol."""
        if protocol not in self._known:
            viable = self._drawn.viable_after(self._axes, self._liver, protocol, self._drawn.session)
            self._known[protocol] = self.of_measured(protocol, float(viable.sum()) * self._voxel_ml)
        return self._known[protocol]

    def of_measured(self, protocol: Protocol, viable_ml: float) -> float:
        """Log-hazard if this much viable tumour were left: the law on a volume that something else measured."""
        return true_log_risk(viable_ml, self._drawn.response(protocol))

    def best(self, protocols: Iterable[Protocol]) -> Protocol:
        """The protocol of lowest true log-hazard; ties by canonical text."""
        return min(protocols, key=lambda p: (self(p), p.text))


class StudyTables:
    """Risks of one patient under any protocol and replica.

    Args:
        world: the model; its dynamics work on coarse maps.
        patient: as the product meets them, in their session.
        drawn: the same patient in the synthetic world.
        settings: of a simulation.
        seeds: of the replicas.
        truth: shared with another model's tables, or None.

    Attributes:
        risks: by table.
            `image`: by the viable tumour that is measured in the simulated image.
            `model`: by what the model predicts of it.
            `volume`: by the viable tumour of the image alone, without the survival network.
            `law_on_image`, `law_on_model`: the true law on either volume.
        seconds: that the simulations took.

    Raises:
        BundleError: the dynamics model is one on a cube.
    """

    #: What another model is compared by.
    main = IMAGE

    def __init__(
        self,
        world: WorldModel,
        patient: Patient,
        drawn: StudyPatient,
        settings: PlanSettings,
        seeds: Sequence[int],
        truth: StudyRisk | None = None,
    ) -> None:
        simulator = world.simulator
        if not isinstance(simulator, MapSimulator):
            raise BundleError(
                what="The dynamics model of this bundle works on a cube and knows no session of version 3 of the world",
                given=world.bundle.name,
                remedy="Measure it in version 2 (--world 2)",
            )
        ready = simulator.prepare(patient)
        assert isinstance(ready, PreparedRegion)
        self._simulator, self._ready = simulator, ready
        self._settings = replace(settings, weeks=drawn.session.weeks)
        self.seeds = tuple(seeds)
        self.truth = truth or StudyRisk(drawn, ready.patch.geometry)
        self.risks: dict[str, Risks] = defaultdict(dict)
        self.seconds = 0.0

    def simulate_all(self, protocols: Sequence[Protocol]) -> None:
        """Simulate and judge all replicas of some protocols, as a search does: nothing is drawn."""
        for protocol in protocols:
            begin = time.perf_counter()
            found = self._simulator.maps.simulate(
                self._ready.maps, [protocol] * len(self.seeds), self.seeds, self._ready.region.fed,
                self._settings.weeks, 0, self._settings.spread, self._settings.guidance,
            )  # fmt: skip
            ways = IMAGE, MODEL
            scores = [self._simulator.scores(self._ready, mean, ways, self._settings.weeks) for _, mean in found]
            self.seconds += time.perf_counter() - begin
            for n, found_by in enumerate(scores):
                by_image, by_model = (found_by[way] for way in ways)
                image, model = (s.change.viable_ml_after for s in (by_image, by_model))
                rows = {
                    "image": by_image.log_risk,
                    "model": by_model.log_risk,
                    "volume": float(np.log1p(image)),
                    "law_on_image": self.truth.of_measured(protocol, image),
                    "law_on_model": self.truth.of_measured(protocol, model),
                }
                for table, risk in rows.items():
                    self.risks[table][protocol, n] = risk

    @property
    def seconds_each(self) -> float:
        """What one simulation took, on average."""
        return self.seconds / max(1, len(self.risks["image"]))
