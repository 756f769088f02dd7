"""The sample `synthetic-hcc`: an HCC of version 3 of the world in the arterial phase, before and after a session.

It lies within what the networks of the default bundle were trained on (size, phase, voxels), and was none of their
patients. The two scans are in two poses, as those of two dates are.
"""

from __future__ import annotations

import numpy as np

from MeWMLib.cohorts.sample_table import TREATED
from MeWMLib.cohorts.synthetic.study import StudyPatient
from MeWMLib.cohorts.synthetic.world import whole_geometry
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.volume import LabelMap, Volume

#: A hypervascular lesion of some 5 cm that is fed as a whole, of the range of seeds that no weights are trained on.
SEED = 200_004
#: What this patient is given.
GIVEN = TREATED["synthetic-hcc"]


def weeks_after() -> float:
    """From the session to the scan after it."""
    return StudyPatient.draw(SEED).session.weeks


def hcc_before() -> tuple[Volume, LabelMap]:
    """The CT before treatment and its true labels."""
    return _drawn(None)


def hcc_after() -> tuple[Volume, LabelMap]:
    """The CT after `GIVEN`, in its own pose, and its true labels."""
    return _drawn(Protocol.parse(GIVEN))


def _drawn(protocol: Protocol | None) -> tuple[Volume, LabelMap]:
    patient = StudyPatient.draw(SEED)
    grid = whole_geometry(patient.scanner.spacing)
    scan = patient.observed(grid, [protocol])[0]
    return Volume(np.rint(scan.hu).astype(np.int16), grid, scan.phase), LabelMap(scan.labels, grid)
