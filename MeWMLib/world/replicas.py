"""What is kept of simulated replicas, and for how long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MeWMLib.core.plan import PlanSettings, TumourChange
from MeWMLib.core.protocol import Protocol
from MeWMLib.planning.search import Batch
from MeWMLib.world.exploration import ReplicaScore


@dataclass(frozen=True, eq=False)
class SimulatedReplica:
    """One simulated replica on the treated patch.

    Attributes:
        change_hu: (D, H, W) simulated minus before, not yet feathered (`TreatedPatch.simulated` does it).
        labels: (D, H, W) after treatment.
        change: what happened to the tumour.
        log_risk, months, survival: what the survival network says.
        members: log-risk by each member of the survival ensemble; empty without one.
        viable_ml: viable tumour that the simulation was told to draw, by which the risk was judged; None where it was
            measured in the image.
    """

    change_hu: NDArray[np.float32]
    labels: NDArray[np.uint8]
    change: TumourChange
    log_risk: float
    months: tuple[float, ...]
    survival: tuple[float, ...]
    members: tuple[float, ...] = ()
    viable_ml: float | None = None

    @property
    def verdict(self) -> ReplicaScore:
        """The few numbers that a search needs."""
        return ReplicaScore(self.log_risk, self.months, self.survival, self.change, self.members)


def simulation_key(protocol: Protocol, seed: int, settings: PlanSettings) -> tuple[Any, ...]:
    """What a simulation of a prepared patient depends on; bundle and patient are fixed by where it is kept."""
    return protocol, seed, settings.steps, settings.guidance, settings.spread


def keep_best(
    volumes: dict[Protocol, list[SimulatedReplica]],
    batch: Batch,
    judged: Sequence[SimulatedReplica],
    settings: PlanSettings,
) -> None:
    """Keep the volumes of the protocols that would be written now; thousands of volumes fit into no memory."""
    for (protocol, number), one in zip(batch, judged, strict=True):
        if protocol.complete and number == len(volumes.get(protocol, [])):
            volumes.setdefault(protocol, []).append(one)
    whole = [p for p, found in volumes.items() if len(found) == settings.replicas]
    whole.sort(key=lambda p: float(np.mean([j.log_risk for j in volumes[p]])))
    for protocol in whole[settings.keep :]:
        del volumes[protocol]
    open_ = [p for p in volumes if p not in whole]
    for protocol in open_[: max(0, len(open_) - settings.keep)]:
        del volumes[protocol]
