"""A scan before treatment with what is treated of it: all that the outcomes of one session are painted with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from MeWMLib.core.coarse_maps import OutcomeMaps
from MeWMLib.core.volume import TUMOUR, Geometry, LabelMap, Volume
from MeWMLib.rendering import outline
from MeWMLib.rendering.expected_iodine import TreatedLattice
from MeWMLib.rendering.grains import FloatArray
from MeWMLib.rendering.moved_border import MovedBorder
from MeWMLib.rendering.outline import Mask
from MeWMLib.rendering.painter import paint, treated_lattice, treated_weight
from MeWMLib.rendering.scan_estimate import Box, ScanEstimate
from MeWMLib.rendering.upsampling import upsampled


@dataclass(frozen=True, eq=False)
class TreatedScan:
    """What outcomes of a session have in common; what is derived of it is made once, when it is first needed.

    Attributes:
        before: the scan before treatment.
        labels: of it.
        box, weight: where the scan may change, and how far (`painter.treated_weight`).
        targets: (k, j, i) share of each cube that is treated tumour.
        cubes: of the maps.
    """

    before: Volume
    labels: LabelMap
    box: Box
    weight: FloatArray
    targets: FloatArray
    cubes: Geometry

    @classmethod
    def of(
        cls, before: Volume, labels: LabelMap, chosen: Mask | None, targets: FloatArray, cubes: Geometry
    ) -> TreatedScan:
        """Prepare a scan.

        Args:
            before, labels: on one grid.
            chosen: (K, J, I) tumour that is treated; None for all of it.
            targets, cubes: see the class.

        Raises:
            NoTumourError: nothing is treated.
            GeometryError: a mask of another shape than the grid.
        """
        tumour = labels.array == TUMOUR
        spared = None if chosen is None else tumour & ~chosen
        box, weight = treated_weight(tumour if chosen is None else chosen, before.geometry, spared)
        return cls(before, labels, box, weight, targets, cubes)

    @cached_property
    def scanner(self) -> ScanEstimate:
        """Of the scan, by what is treated of it."""
        return ScanEstimate.of(self.before, self.box)

    @cached_property
    def lattice(self) -> TreatedLattice:
        """Of what is treated, to draw Lipiodol in."""
        return treated_lattice(self.before, self.box, self.weight, self.cubes)

    @cached_property
    def border(self) -> MovedBorder:
        """What comes where the outline moves."""
        return MovedBorder.of(self.before, self.labels, self.box, self.weight)

    def labels_after(self, maps: OutcomeMaps) -> LabelMap:
        """Labels after treatment; see `outline.labels_after`."""
        return outline.labels_after(self.labels, self.box, self.weight, maps, self.targets)

    def viable_after(self, labels: LabelMap, maps: OutcomeMaps) -> Mask:
        """What lives of the tumour of `labels_after`; see `outline.viable_after`."""
        return outline.viable_after(labels, self.box, self.weight, maps)

    def painted(self, maps: OutcomeMaps, labels: LabelMap) -> Callable[[int], FloatArray]:
        """Paints an outcome by a seed: the change of HU in the box, as `painter.paint`, and where the outline moves.

        Args:
            maps: after treatment.
            labels: of `labels_after`.
        """
        target = self.before.geometry.crop(tuple(s.start for s in self.box), self.weight.shape)
        tissue = upsampled(maps.change, maps.geometry, target)
        tissue *= self.weight
        after = np.asarray((labels.array[self.box] == TUMOUR) & (self.weight > 0))
        moved = self.border.change(after, tissue, self._of_tumour(maps))
        del tissue

        def by(seed: int) -> FloatArray:
            change = paint(self.before, self.box, self.weight, maps, seed, self.scanner, lattice=self.lattice)
            if moved is not None:
                change += moved
            return change

        return by

    def _of_tumour(self, maps: OutcomeMaps) -> float:
        """Mean HU by which tissue changes that stays tumour: of cubes that were mostly tumour."""
        stays = maps.tumour * (self.targets > 0.5)
        total = float(stays.sum(dtype=np.float64))
        return float((maps.change * stays).sum(dtype=np.float64)) / total if total > 0 else 0.0
