"""Simulations of a real patient by a bundle, to be added to scans before treatment on any grid."""

from __future__ import annotations

import typing
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from MeWMLib.core.coarse_maps import OutcomeMaps
from MeWMLib.core.plan import PlanSettings, replica_seeds
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.volume import LabelMap, Provenance, Volume
from MeWMLib.dynamics.compose import compose
from MeWMLib.dynamics.map_model import mean_maps
from MeWMLib.lab.evaluation.pair_measures import fed_half
from MeWMLib.perception.cubes import cube_means
from MeWMLib.rendering.painter import expected_image, treated_weight
from MeWMLib.rendering.treated_scan import TreatedScan
from MeWMLib.world.map_simulator import MapSimulator, PreparedRegion
from MeWMLib.world.model import WorldModel
from MeWMLib.world.patch import TreatedPatch

FloatArray = NDArray[np.float32]


class Simulated(typing.Protocol):
    """Replicas of what a patient was given.

    Attributes:
        count: of the replicas.
        provenance: what marks the scans.
    """

    count: int
    provenance: Provenance

    def expected(self, before: Volume, labels: LabelMap) -> Volume:
        """What has the lowest expected squared error, on the grid of a scan before treatment and its labels."""
        ...

    def sample(self, n: int, before: Volume, labels: LabelMap) -> Volume:
        """Replica `n` from 0 on, on the same."""
        ...


@dataclass(frozen=True, eq=False)
class CubeSimulated:
    """Simulations by a dynamics model on a cube, which knows no territory.

    Attributes:
        patch: the treated patch.
        changes: (D, H, W) HU of each replica.
        provenance: what marks the scans.
        side: outside of this half nothing changes; "" for everywhere.
    """

    patch: TreatedPatch
    changes: tuple[FloatArray, ...]
    provenance: Provenance
    side: str = ""

    @property
    def count(self) -> int:
        """Replicas."""
        return len(self.changes)

    def expected(self, before: Volume, labels: LabelMap) -> Volume:
        """The scan before and the mean change of the replicas."""
        return self.added(np.asarray(np.mean(self.changes, axis=0), np.float32), before, labels)

    def sample(self, n: int, before: Volume, labels: LabelMap) -> Volume:
        """The scan before and the change of replica `n`."""
        return self.added(self.changes[n], before, labels)

    def added(self, change: FloatArray, before: Volume, labels: LabelMap) -> Volume:
        """A change on the patch added to a scan, as the product does it."""
        after = compose(before, labels, change, self.patch.geometry, self.provenance)
        if not self.side:
            return after
        return after.with_array(np.where(fed_half(labels, self.side), after.array, before.array))


@dataclass(frozen=True, eq=False)
class MapSimulated:
    """Simulations by a dynamics model on coarse maps.

    Attributes:
        mean: expected maps.
        samples: maps of each replica.
        seeds: of the replicas.
        provenance: what marks the scans.
    """

    mean: OutcomeMaps
    samples: tuple[OutcomeMaps, ...]
    seeds: tuple[int, ...]
    provenance: Provenance

    @property
    def count(self) -> int:
        """Replicas."""
        return len(self.samples)

    def expected(self, before: Volume, labels: LabelMap) -> Volume:
        """The expected scan (`rendering.painter.expected_image`)."""
        box, weight = treated_weight(labels.tumour, before.geometry)
        return self._with(before, box, expected_image(before, box, weight, self.mean))

    def sample(self, n: int, before: Volume, labels: LabelMap) -> Volume:
        """Replica `n` painted on a scan, as the product paints what it writes."""
        maps = self.samples[n]
        treated = cube_means(labels.tumour, labels.geometry, maps.geometry)
        scan = TreatedScan.of(before, labels, None, treated, maps.geometry)
        change = scan.painted(maps, scan.labels_after(maps))(self.seeds[n])
        return self._with(before, scan.box, before.array[scan.box].astype(np.float32) + change)

    def _with(self, before: Volume, box: tuple[slice, ...], hu: FloatArray) -> Volume:
        array = before.array.astype(np.float32)
        array[box] = hu
        return replace(before.with_array(array, self.provenance))


def simulated(
    world: WorldModel,
    before: Volume,
    labels: LabelMap,
    protocol: Protocol,
    replicas: int,
    seed: int,
    weeks: float | None = None,
    side: str = "",
) -> Simulated:
    """Simulate a patient; deterministic on one device.

    Args:
        world: of the bundle.
        before, labels: on one grid.
        protocol: what was given.
        replicas, seed: of the simulation.
        weeks: from treatment to the scan after, where they are known.
        side: half of the tumour that was fed, see `fed_half`; "" where the model is not told.

    Raises:
        NoTumourError: the labels hold no tumour.
    """
    patient = world.patient(before, labels, id="real pair")
    seeds = replica_seeds(seed, replicas)
    mark = Provenance(protocol.text, seed, world.bundle.name, world.bundle.sha256)
    simulator = world.simulator
    if not isinstance(simulator, MapSimulator):
        patch, found = world.on_patch(patient, [protocol] * replicas, seeds, PlanSettings(replicas=replicas))
        return CubeSimulated(patch, tuple(one.change_hu for one in found), mark, side)
    if side:
        patient = world.treating(patient, fed=fed_half(labels, side))
    ready = simulator.prepare(patient)
    assert isinstance(ready, PreparedRegion)
    model, steps, fed = simulator.maps, PlanSettings().steps, ready.region.fed
    mean: list[OutcomeMaps] = []
    samples: list[OutcomeMaps] = []
    for one in _pairs(seeds, simulator.chunk):
        mean += model.expected(ready.maps, [protocol] * len(one), one, fed, weeks)
        samples += model.sample(ready.maps, [protocol] * len(one), one, fed, weeks, steps)
    return MapSimulated(mean_maps(mean), tuple(samples), seeds, mark)


def _pairs(seeds: Sequence[int], size: int) -> list[Sequence[int]]:
    """Seeds in chunks."""
    return [seeds[n : n + size] for n in range(0, len(seeds), size)]
