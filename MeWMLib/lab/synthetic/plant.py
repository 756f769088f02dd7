"""Write a cohort of synthetic tumours in one real CT (docs/COHORTS.md), and ask for any counterfactual."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from MeWMLib.cohorts.layout import Cohort
from MeWMLib.cohorts.synthetic.fields import derive_seed
from MeWMLib.cohorts.synthetic.world import Rendering
from MeWMLib.core.errors import CohortError
from MeWMLib.core.io import read_labels, read_volume, write_labels, write_volume
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.volume import LabelMap, Volume, require_same_geometry
from MeWMLib.lab.synthetic.cases import protocols_for
from MeWMLib.lab.synthetic.planted import Abdomen, PlantedPatient, healed
from MeWMLib.lab.synthetic.write import (
    LICENCE,
    WORLD,
    PatientRange,
    begin_cohort,
    fingerprint,
    world_manifest,
    world_mark,
    write_cohort,
    write_drawn,
)

BUNDLE = f"synthetic-world-{WORLD}-planted"
NOTICE = (
    "Synthetic tumours, planted by MeWM in one real CT after a written law. The CT before treatment is altered too; "
    "the treatments never took place, and nothing here is clinical evidence."
)
#: The scan without tumours, kept in the folder of the cohort, so that it can be asked for counterfactuals.
BASE, BASE_LABELS = "base.nrrd", "base_labels.seg.nrrd"
UNTREATED = "none (tumours planted in a real CT)"


@dataclass(frozen=True)
class PlantSettings(PatientRange):
    """Which patients to write; `phase` is "portal" or "arterial", and None takes that of the CT."""

    count: int = 10
    phase: str | None = None


def plant(
    folder: Path,
    ct: Volume,
    labels: LabelMap,
    settings: PlantSettings,
    on_step: Callable[[str, float], None] | None = None,
) -> Cohort:
    """Write a cohort whose patients share a real CT and differ in their tumours; a stopped run goes on.

    Args:
        folder: new, empty, or of an earlier run with the same CT, split and start.
        ct: a real CT; lesions that `labels` names are painted over first.
        labels: 1 liver, 2 lesions, on its grid.
        settings: which patients.
        on_step: called with the share that is done.

    Raises:
        GeometryMismatchError: CT and labels have different grids.
        GeometryError: the grid is oblique.
        LabelError: there is no liver.
        InputError: the phase is not known.
        CohortError: the folder holds something else.
        OutputError: it cannot be written.
    """
    require_same_geometry(ct.geometry, labels.geometry)
    base, alone, healed_ml = healed(ct, labels)
    abdomen = Abdomen.of(base, alone, settings.phase)
    base = Volume(base.array, base.geometry, abdomen.phase, world_mark("none (lesions painted over)", 0, BUNDLE))
    manifest = _manifest(settings, abdomen, base, healed_ml)
    begin_cohort(folder, manifest)
    write_labels(alone, folder / BASE_LABELS)
    write_volume(base, folder / BASE)
    key = manifest["ct_sha256"]
    name, write = partial(patient_id, key), partial(write_one, folder, key)
    return write_cohort(folder, manifest, settings, name, write, on_step)


def patient_id(key: str, seed: int) -> str:
    """Opaque name of a patient; another CT gives another name."""
    return f"p{derive_seed('planted id', key, seed):016x}"


def read_abdomen(folder: Path) -> Abdomen:
    """The real abdomen of a cohort."""
    base = read_volume(folder / BASE)
    return Abdomen.of(base, read_labels(folder / BASE_LABELS, base.geometry))


def write_one(folder: Path, key: str, seed: int) -> None:
    """Draw and write one patient."""
    patient = PlantedPatient.draw(read_abdomen(folder), seed)
    given = protocols_for(patient)[0]
    before = patient.render()
    after, *known = patient.outcome(given)
    cts = (_volume(patient, before, None), _volume(patient, after, given))
    more = {"planted": True, "notice": NOTICE}
    write_drawn(folder, patient_id(key, seed), patient, given, (before, after), cts, tuple(known), more)


def planted_counterfactual(cohort: Cohort, patient: str, protocol: Protocol) -> tuple[Volume, float]:
    """The CT of a patient of such a cohort after any protocol, and its true log-risk.

    Raises:
        CohortError: unknown patient, or a cohort of another kind or of another version of the world.
    """
    seed = cohort.row(patient).seed
    if not cohort.manifest.get("planted") or seed is None or cohort.manifest.get("world_sha256") != fingerprint():
        raise CohortError(
            what="The cohort was not planted in a real CT by this version of the synthetic world",
            given=str(cohort.folder),
            remedy="Write it anew with `mewm cohort synthesize --ct FILE --labels FILE`",
        )
    drawn = PlantedPatient.draw(read_abdomen(cohort.folder), seed)
    image, risk, *_ = drawn.outcome(protocol)
    return _volume(drawn, image, protocol), risk


def _volume(patient: PlantedPatient, drawn: Rendering, protocol: Protocol | None) -> Volume:
    """A CT with planted tumours. It carries the mark before treatment too: it looks like a scan and is not one."""
    mark = world_mark(UNTREATED if protocol is None else protocol.text, patient.seed, BUNDLE)
    return Volume(np.round(drawn.hu).astype(np.int16), patient.abdomen.geometry, patient.abdomen.phase, mark)


def _manifest(settings: PlantSettings, abdomen: Abdomen, base: Volume, healed_ml: float) -> dict[str, Any]:
    where = hashlib.sha256(np.ascontiguousarray(base.array).tobytes())
    where.update(abdomen.liver.tobytes() + np.round(base.geometry.affine, 3).tobytes() + abdomen.phase.encode())
    return world_manifest(settings, abdomen.geometry.spacing) | {
        "planted": True,
        "notice": NOTICE,
        "licence": f"{LICENCE} The CT is the user's and keeps its own terms.",
        "ct_sha256": where.hexdigest(),
        "phase": abdomen.phase,
        "liver_hu": abdomen.liver_hu,
        "painted_over_ml": round(healed_ml, 3),
    }
