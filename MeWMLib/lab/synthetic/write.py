"""Write synthetic patients in the layout of a cohort, and ask one of them for any counterfactual.

Nothing here is simulated by a network: both scans are drawn by the world, the later one after its law. It is marked
as simulated in its file all the same, with the world as its bundle.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import as_completed
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

import MeWMLib
from MeWMLib.cohorts.layout import (
    MANIFEST,
    Cohort,
    CohortCase,
    PatientRow,
    finished_row,
    read_manifest,
    write_manifest,
    write_patient,
    write_table,
)
from MeWMLib.cohorts.synthetic.fields import derive_seed
from MeWMLib.cohorts.synthetic.law import LAW
from MeWMLib.cohorts.synthetic.shapes import PARAMETERS
from MeWMLib.cohorts.synthetic.world import Rendering, SyntheticPatient, Tumours, whole_geometry
from MeWMLib.core.errors import CohortError, InputError
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.volume import Geometry, LabelMap, Provenance, Volume
from MeWMLib.jobs.processes import worker_pool
from MeWMLib.lab.synthetic.cases import SPLITS, protocols_for, target_geometry
from MeWMLib.lab.synthetic.survival import survival_months, true_log_risk
from MeWMLib.perception.findings import longest_axial_diameter_mm

WORLD = 2
BUNDLE = f"synthetic-world-{WORLD}"
NOTICE = (
    "Synthetic patients, drawn by MeWM from seeds and a written law; no real patient is among them and they are no "
    "clinical evidence."
)
LICENCE = (
    "The outlines of livers and tumours are drawn from statistics of LiTS label maps (Bilic et al. 2023, via the "
    "Medical Segmentation Decathlon, Antonelli et al. 2022), CC BY-SA 4.0; see shapes.LICENCE.txt of MeWM."
)
#: Finest and coarsest voxel (mm) that a cohort is written in.
SPACING_MM = (0.5, 10.0)

Spacing = tuple[float, float, float]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class PatientRange:
    """Which patients to write.

    Attributes:
        split: of `SPLITS`.
        start: offset of the first patient in the split.
        count: how many.
        workers: processes.

    Raises:
        InputError: patients beyond the end of the split, or no process to write them.
    """

    split: str = "test"
    start: int = 0
    count: int = 60
    workers: int = field(default=1, kw_only=True)

    def __post_init__(self) -> None:
        size = len(SPLITS.get(self.split, ()))
        if not size:
            raise InputError(what="There is no such split", given=self.split, remedy="Use " + ", ".join(SPLITS))
        if self.count < 1 or self.start < 0 or self.start + self.count > size:
            raise InputError(
                what=f"These patients do not lie within the {self.split} split",
                given=f"{self.count} patients from number {self.start} on",
                remedy=f"Ask for patients 0 to {size - 1}",
            )
        if self.workers < 1:
            raise InputError(what="At least one process is needed", given=str(self.workers), remedy="Give --workers 1")

    @property
    def seeds(self) -> Sequence[int]:
        """Seeds of the patients."""
        return SPLITS[self.split][self.start : self.start + self.count]


@dataclass(frozen=True)
class CohortSettings(PatientRange):
    """Which patients to write, and the voxel size (k, j, i) in mm.

    Raises:
        InputError: as `PatientRange`, or a voxel size out of range.
    """

    spacing: Spacing = (2.5, 1.25, 1.25)

    def __post_init__(self) -> None:
        super().__post_init__()
        low, high = SPACING_MM
        if len(self.spacing) != 3 or not all(low <= s <= high for s in self.spacing):
            raise InputError(
                what="The voxel size cannot be used",
                given=", ".join(f"{s:g}" for s in self.spacing),
                remedy=f"Give three numbers of {low:g} to {high:g} mm, as 2.5,1.25,1.25",
            )


def fingerprint() -> str:
    """SHA-256 of the law's constants and the shapes: patients of two worlds are not the same patients."""
    law = json.dumps(asdict(LAW), sort_keys=True).encode()
    return hashlib.sha256(law + PARAMETERS.read_bytes()).hexdigest()


def patient_id(seed: int) -> str:
    """Opaque name of a patient."""
    return f"p{derive_seed('cohort id', seed):016x}"


def synthesize(folder: Path, settings: CohortSettings, on_step: Callable[[str, float], None] | None = None) -> Cohort:
    """Write a cohort. Patients that are there already are kept, so that a run that was stopped can go on.

    Args:
        folder: new, empty, or of an earlier run with the same split, start and voxels (`count` may have grown).
        settings: which patients.
        on_step: called with the share that is done.

    Raises:
        CohortError: the folder holds something else.
        OutputError: it cannot be written.
    """
    manifest = world_manifest(settings, settings.spacing) | {"notice": NOTICE, "licence": LICENCE}
    begin_cohort(folder, manifest)
    return write_cohort(folder, manifest, settings, patient_id, partial(write_one, folder, settings.spacing), on_step)


def begin_cohort(folder: Path, manifest: dict[str, Any]) -> None:
    """Write the manifest of an unfinished cohort.

    Raises:
        CohortError: the folder holds something else.
        OutputError: it cannot be written.
    """
    require_same_run(folder, manifest)
    write_manifest(folder, {**manifest, "complete": False})


def write_cohort(
    folder: Path,
    manifest: dict[str, Any],
    settings: PatientRange,
    name: Callable[[int], str],
    write: Callable[[int], None],
    on_step: Callable[[str, float], None] | None = None,
) -> Cohort:
    """Write the patients that a cohort lacks, then its table, and call it complete.

    Args:
        folder, manifest: as given to `begin_cohort`.
        settings: which patients.
        name: a patient's id from the seed.
        write: writes the patient of a seed; it can be pickled.
        on_step: called with the share that is done.
    """
    missing = [s for s in settings.seeds if finished_row(folder, name(s)) is None]
    done = settings.count - len(missing)
    for _ in written(missing, write, settings.workers):
        done += 1
        if on_step is not None:
            on_step("patients", done / settings.count)
    rows = [row for s in settings.seeds if (row := finished_row(folder, name(s))) is not None]
    write_table(folder, rows)
    write_manifest(folder, {**manifest, "complete": True})
    return Cohort.read(folder)


def written(seeds: Sequence[int], write: Callable[[int], None], workers: int) -> Iterator[None]:
    """Write patients in one or several processes; yields as each of them is done."""
    if workers == 1 or len(seeds) < 2:
        for seed in seeds:
            yield write(seed)
        return
    with worker_pool(workers) as pool:
        jobs = [pool.submit(write, seed) for seed in seeds]
        try:
            for job in as_completed(jobs):
                yield job.result()
        finally:
            # after an error the patients that were not begun are given up
            pool.shutdown(wait=True, cancel_futures=True)


def world_manifest(settings: PatientRange, spacing: Sequence[float]) -> dict[str, Any]:
    """What the manifest of every cohort of this world says."""
    return {
        "synthetic": True,
        "world": WORLD,
        "world_sha256": fingerprint(),
        "law": asdict(LAW),
        "split": settings.split,
        "first_seed": settings.seeds[0],
        "last_seed": settings.seeds[-1],
        "patients": settings.count,
        "spacing_mm": list(spacing),
        "mewm": MeWMLib.__version__,
    }


def require_same_run(folder: Path, manifest: dict[str, Any]) -> None:
    """Raise unless the folder is new, empty, or of an earlier run that may go on."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not (folder / MANIFEST).is_file():
        raise CohortError(
            what="The folder holds something other than a cohort",
            given=str(folder),
            remedy="Give a new folder with --out",
        )
    before = read_manifest(folder)
    names = ("world_sha256", "ct_sha256", "split", "first_seed", "spacing_mm")
    differ = [n for n in names if before.get(n) != manifest.get(n)]
    if differ or before.get("patients", 0) > manifest["patients"]:
        which = ", ".join(differ) or "more patients"
        raise CohortError(
            what="The folder holds another cohort", given=f"{folder} ({which})", remedy="Give a new folder with --out"
        )


def write_one(folder: Path, spacing: Spacing, seed: int) -> None:
    """Draw and write one patient."""
    patient = SyntheticPatient.draw(seed)
    geometry = whole_geometry(spacing)
    given = protocols_for(patient)[0]
    drawn = patient.render_all(geometry, [None, given])
    cts = [_volume(patient, image, geometry, protocol) for image, protocol in zip(drawn, (None, given), strict=True)]
    write_drawn(folder, patient_id(seed), patient, given, drawn, cts, observed(patient, given), {"notice": NOTICE})


def write_drawn(
    folder: Path,
    name: str,
    patient: Tumours,
    given: Protocol,
    drawn: Sequence[Rendering],
    cts: Sequence[Volume],
    known: tuple[float, float, bool],
    more: Mapping[str, Any],
) -> None:
    """Write the folder of a patient.

    Args:
        folder, name: of the cohort, and of the patient in it.
        patient: who was drawn.
        given: the protocol.
        drawn, cts: before treatment and after it.
        known: true log-risk, months, and whether death was seen.
        more: what else `patient.json` says.
    """
    (before, after), geometry, traits = drawn, cts[0].geometry, patient.traits
    risk, months, event = known
    row = PatientRow(
        name, given.text, months, event, cts[0].phase, patient.seed, traits.kind, traits.perfusion, risk,
        *diameters(before, after, geometry),
    )  # fmt: skip
    case = CohortCase(cts[0], LabelMap(before.labels, geometry), cts[1], LabelMap(after.labels, geometry))
    viable = {when: float(d.viable.sum() * geometry.voxel_ml) for when, d in (("before", before), ("after", after))}
    facts = {
        "synthetic": True,
        "world": WORLD,
        "traits": asdict(traits),
        "nodules": len(patient.nodules),
        "response": asdict(patient.response(given)),
        "viable_ml": viable,
    }
    write_patient(folder, row, case, {**facts, **more})


def observed(patient: SyntheticPatient, given: Protocol, size: int = 96) -> tuple[float, float, bool]:
    """True log-risk, months and event under the given protocol, by the same draws as `cases.draw_case`."""
    rng = np.random.default_rng(derive_seed("case", patient.seed))
    geometry = target_geometry(patient, size, jitter=rng)
    viable = patient.render(geometry, given, noise=False).viable.sum() * geometry.voxel_ml
    risk = true_log_risk(float(viable), patient.response(given))
    months, event = survival_months(risk, rng)
    return risk, months, event


def _volume(patient: SyntheticPatient, drawn: Rendering, geometry: Geometry, protocol: Protocol | None) -> Volume:
    """A drawn CT; after a protocol it carries the mark of a simulated volume."""
    mark = None if protocol is None else world_mark(protocol.text, patient.seed, BUNDLE)
    return Volume(np.round(drawn.hu).astype(np.int16), geometry, patient.anatomy.phase, mark)


def world_mark(protocol: str, seed: int, bundle: str) -> Provenance:
    """The mark of a CT that this world drew."""
    return Provenance(protocol, seed, bundle, fingerprint(), {"mewm": MeWMLib.__version__})


def diameters(before: Rendering, after: Rendering, geometry: Geometry) -> tuple[float, float, float, float]:
    """Longest axial diameter (mm) of the target, the largest tumour, before and after; then of its viable part."""
    pieces, count = ndimage.label(before.labels == 2)
    if not count:
        return 0.0, 0.0, 0.0, 0.0
    target = pieces == 1 + int(np.argmax(np.bincount(pieces.ravel())[1:]))
    pieces, _ = ndimage.label(after.labels == 2)
    # nodules shrink or grow about their centres, so what is left of the target overlaps with it
    left = np.isin(pieces, np.setdiff1d(np.unique(pieces[target]), [0]))
    masks = (target, left, target & before.viable, left & after.viable)
    d = [longest_axial_diameter_mm(m, geometry) if m.any() else 0.0 for m in masks]
    return d[0], d[1], d[2], d[3]


def require_synthetic(cohort: Cohort) -> None:
    """Raise unless the cohort was drawn by this version of the world.

    Raises:
        CohortError: real patients, or another version of the world.
    """
    if not cohort.synthetic or any(row.seed is None for row in cohort.rows):
        raise CohortError(
            what="The cohort is not synthetic, so that nobody knows another outcome than the one that was seen",
            given=str(cohort.folder),
            remedy="Give a folder that `mewm cohort synthesize` wrote",
        )
    if cohort.manifest.get("planted"):
        raise CohortError(
            what="The tumours of this cohort were planted in a real CT: its patients do not follow from seeds alone",
            given=str(cohort.folder),
            remedy="Give a cohort that was written without --ct",
        )
    if cohort.manifest.get("world_sha256") != fingerprint():
        raise CohortError(
            what="The cohort was drawn by another version of the synthetic world",
            given=f"{cohort.folder}, world {cohort.manifest.get('world')}",
            remedy="Write the cohort again with `mewm cohort synthesize`",
        )


def held_out_seeds(cohort: Cohort) -> tuple[int, ...]:
    """Seeds of a synthetic cohort that may be used for a test.

    Raises:
        CohortError: not a synthetic cohort of this world, or patients that networks are trained on.
    """
    require_synthetic(cohort)
    trained = [row.id for row in cohort.rows if row.seed in SPLITS["train"]]
    if trained:
        more = f" and {len(trained) - 5} more" if len(trained) > 5 else ""
        raise CohortError(
            what="The cohort holds patients of the training range, so that a test on them would flatter",
            given=f"{', '.join(trained[:5])}{more} in {cohort.folder}",
            remedy="Write a cohort with --split test",
        )
    return tuple(row.seed for row in cohort.rows if row.seed is not None)


def counterfactual(cohort: Cohort, patient: str, protocol: Protocol) -> tuple[Volume, float]:
    """The CT of a synthetic patient after any protocol, on the grid of the cohort, and its true log-risk.

    Raises:
        CohortError: unknown patient, or not a synthetic cohort of this world.
    """
    require_synthetic(cohort)
    seed = cohort.row(patient).seed
    assert seed is not None  # `require_synthetic` sees to it
    drawn = SyntheticPatient.draw(seed)
    k, j, i = (float(s) for s in cohort.manifest["spacing_mm"])
    geometry = whole_geometry((k, j, i))
    volume = _volume(drawn, drawn.render(geometry, protocol), geometry, protocol)
    return volume, observed(drawn, protocol)[0]
