"""What is kept of simulated replicas, and for how long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MeWMLib.core.coarse_maps import OutcomeMaps
from MeWMLib.core.outcome import ReplicaScore
from MeWMLib.core.plan import PlanSettings
from MeWMLib.core.protocol import Protocol
from MeWMLib.planning.search import Batch, Score


@dataclass(frozen=True, eq=False)
class SimulatedReplica:
    """One simulated replica on the treated patch.

    Attributes:
        change_hu: (D, H, W) simulated minus before, not yet feathered (`TreatedPatch.simulated` does it).
        labels: (D, H, W) after treatment.
        score: the few numbers that a search needs.
        maps: coarse maps that it was drawn as; None by a dynamics model on a cube.
        drawn: False where only what a search needs was made, so that there is no sample to be shown.
        shown_ml: viable and whole tumour (ml) of the sample itself; None where the score tells them.
        mean: coarse maps of what is expected with its response, which it is scored by; None by a model on a cube.
    """

    change_hu: NDArray[np.float32]
    labels: NDArray[np.uint8]
    score: ReplicaScore
    maps: OutcomeMaps | None = None
    drawn: bool = True
    shown_ml: tuple[float, float] | None = None
    mean: OutcomeMaps | None = None

    @property
    def sizes_ml(self) -> tuple[float, float]:
        """Viable and whole tumour of what is shown of it."""
        return self.shown_ml or self.expected_ml

    @property
    def expected_ml(self) -> tuple[float, float]:
        """Viable and whole tumour that are expected with its response, as the model tells them."""
        predicted, change = self.score.predicted_viable_ml, self.score.change
        return (change.viable_ml_after if predicted is None else predicted), change.volume_ml_after


def nearest_to_mean(replicas: Sequence[SimulatedReplica]) -> int:
    """Which replica is nearest to the mean of all by viable and whole tumour volume; the first among equals."""
    mean = np.mean([one.expected_ml for one in replicas], axis=0)
    return int(np.argmin([np.abs(np.subtract(one.sizes_ml, mean)).sum() for one in replicas]))


def simulation_key(protocol: Protocol, seed: int, settings: PlanSettings) -> tuple[Any, ...]:
    """What a simulation of a prepared patient depends on; bundle, patient and territory: by where it is kept."""
    how = settings.steps, settings.guidance, settings.spread, settings.weeks, settings.judge
    return protocol.fed(None), seed, *how


def keep_best(
    kept: dict[Protocol, list[SimulatedReplica]],
    batch: Batch,
    replicas: Sequence[SimulatedReplica],
    settings: PlanSettings,
    score: Score,
) -> None:
    """Keep the replicas of the protocols that would be written now; thousands of volumes do not fit into memory.

    Args:
        kept: what is kept, by protocol; it is changed.
        batch, replicas: what was simulated.
        settings: how many protocols are written, and of how many replicas.
        score: what protocols are ranked by.
    """
    for (protocol, number), one in zip(batch, replicas, strict=True):
        if protocol.complete and number == len(kept.get(protocol, [])):
            kept.setdefault(protocol, []).append(one)
    whole = [p for p, found in kept.items() if len(found) == settings.replicas]
    whole.sort(key=lambda p: score(p, [r.score.log_risk for r in kept[p]]))
    unfinished = [p for p in kept if p not in whole]
    for protocol in [*whole[settings.keep :], *unfinished[: max(0, len(unfinished) - settings.keep)]]:
        del kept[protocol]
