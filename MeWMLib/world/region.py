"""The treated region of one patient in cubes of 4 mm: what a dynamics model on coarse maps is given."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from MeWMLib.core.coarse_maps import FloatArray
from MeWMLib.core.patient import Patient
from MeWMLib.core.volume import LIVER, TUMOUR, Geometry
from MeWMLib.perception.cubes import cube_means, region_of

#: HU of cubes outside of the scan.
_AIR_HU = -1000.0


@dataclass(frozen=True, eq=False)
class TreatedRegion:
    """What a session treats, whole, in cubes.

    Attributes:
        geometry: of the cubes.
        hu: (d, h, w) mean of each cube before treatment.
        targets, tumour, liver: (d, h, w) share of each cube that is a target, any tumour, liver with its tumour.
        fed: (d, h, w) share that is fed; None where the territory was not stated.
    """

    geometry: Geometry
    hu: FloatArray
    targets: FloatArray
    tumour: FloatArray
    liver: FloatArray
    fed: FloatArray | None

    @classmethod
    def of(cls, patient: Patient) -> TreatedRegion:
        """Measure a patient's region, for what their session treats; without one, all tumour.

        Raises:
            NoTumourError: no tumour is treated.
        """
        session, grid = patient.session, patient.ct.geometry
        tumour = patient.labels.array == TUMOUR
        targets = tumour if session is None or session.targets is None else session.targets
        cubes = region_of(targets, grid)
        same = targets is tumour
        shares = cube_means(tumour, grid, cubes)
        fed: FloatArray | None = None
        if session is not None and session.fed is not None:
            fed = cube_means(session.fed, grid, cubes)
        elif session is not None and session.territory is not None:
            fed = np.ones(cubes.shape, np.float32)
        return cls(
            cubes,
            cube_means(patient.ct.array, grid, cubes, _AIR_HU),
            shares if same else cube_means(targets, grid, cubes),
            shares,
            cube_means(patient.labels.array >= LIVER, grid, cubes),
            fed,
        )

    @property
    def untreated(self) -> FloatArray:
        """Share of each cube that is tumour and no target."""
        return np.asarray(np.clip(self.tumour - self.targets, 0, 1), np.float32)
