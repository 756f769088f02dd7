"""A cohort of phantoms on disk: a body, a liver and a tumour in it, before and after; dozens of patients in seconds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from MeWMLib.cohorts.layout import Cohort, CohortCase, PatientRow, write_manifest, write_patient, write_table
from MeWMLib.core.volume import Geometry, LabelMap, Volume

SHAPE = (36, 44, 48)
SPACING = 4.0
REGIMENS = (
    "Cisplatin + Doxorubicin + Mitomycin + Lipiodol",
    "Cisplatin + Doxorubicin + Mitomycin + Lipiodol",
    "Doxorubicin + LC beads + Lipiodol",
)


def geometry() -> Geometry:
    """LPS axes, cubic voxels."""
    return Geometry(SHAPE, np.diag([-SPACING, -SPACING, SPACING, 1.0]))


def case(seed: int, response: float, labels: bool = True, after: bool = True) -> CohortCase:
    """One phantom: tumour bright before; after, the share `response` of it is dead and partly oily."""
    rng = np.random.default_rng(seed)
    k, j, i = np.indices(SHAPE)
    grid = geometry()
    body = (j - 22) ** 2 / 20**2 + (i - 24) ** 2 / 22**2 < 1
    liver = (k - 18) ** 2 / 12**2 + (j - 22) ** 2 / 12**2 + (i - 20) ** 2 / 13**2 < 1
    radius = float(rng.uniform(3.2, 5.0))
    distance = np.sqrt((k - 18) ** 2 + (j - 22) ** 2 + (i - 20) ** 2)
    tumour = distance < radius
    known = np.where(tumour, 2, np.where(liver, 1, 0)).astype(np.uint8)
    noise = rng.normal(0, 8, SHAPE)
    hu = np.where(tumour, 115, np.where(liver, 100, np.where(body, 45, -900))) + noise
    dead = distance < radius * response ** (1 / 3)
    oily = dead & (rng.random(SHAPE) < 0.4)
    later = np.where(oily, 480, np.where(dead, 35, hu - noise)) + rng.normal(0, 8, SHAPE)
    before, post = (Volume(a.astype(np.int16), grid, "portal") for a in (hu, later))
    map_ = LabelMap(known, grid)
    return CohortCase(before, map_ if labels else None, post if after else None, map_ if labels and after else None)


def write_cohort(
    folder: Path,
    count: int,
    bare: Sequence[int] = (),
    registered: bool | None = True,
    names: Sequence[str] = (),
    clinical: bool = True,
) -> Cohort:
    """Write phantoms as real patients; more dead tumour means longer survival.

    Args:
        folder: new.
        count: patients.
        bare: numbers of patients without scan after, protocol and survival.
        registered: of every row.
        names: ids; else P00 and on.
        clinical: with clinical data.
    """
    rows = []
    for n in range(count):
        rng = np.random.default_rng(1000 + n)
        response = float(rng.uniform(0.1, 0.95))
        lacks = n in bare
        name = names[n] if n < len(names) else f"P{n:02d}"
        row = PatientRow(
            name,
            "" if lacks else REGIMENS[n % len(REGIMENS)],
            None if lacks else float(np.round(6 + 40 * response * rng.uniform(0.7, 1.3), 2)),
            None if lacks else bool(rng.random() < 0.8),
            phase="portal",
            interval_days=None if lacks else 35.0,
            has_after=not lacks,
            registered=None if lacks else registered,
        )
        known = {"age_years": float(50 + n), "bclc_stage": "ABC"[n % 3], "child_pugh_class": "AB"[n % 2]}
        more = {"clinical": known | {"recist_before_mm": [40.0]}} if clinical else {}
        write_patient(folder, row, case(n, response, after=not lacks), more)
        rows.append(row)
    write_table(folder, rows)
    write_manifest(folder, {"complete": True, "synthetic": False, "patients": count})
    return Cohort.read(folder)
