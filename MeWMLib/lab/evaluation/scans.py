"""Scans whose look is measured: real ones of a list of pairs, simulations on them, and drawn ones; all with labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MeWMLib.cohorts.synthetic.fields import derive_seed
from MeWMLib.cohorts.synthetic.outcome import Session
from MeWMLib.cohorts.synthetic.patients import WORLDS, draw_patient
from MeWMLib.cohorts.synthetic.study import StudyPatient
from MeWMLib.cohorts.synthetic.world import lps_grid
from MeWMLib.core.errors import InputError
from MeWMLib.core.io import parse_label_values, read_labels, read_volume
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.volume import Geometry, LabelMap, Volume
from MeWMLib.lab.evaluation.carry import carried
from MeWMLib.lab.evaluation.pair_measures import fixed_grid, on_grid
from MeWMLib.lab.evaluation.pair_simulated import simulated
from MeWMLib.lab.evaluation.pairs import PairFiles
from MeWMLib.lab.evaluation.work import box_of
from MeWMLib.lab.synthetic.cases import SPLITS
from MeWMLib.perception.preprocess import resample
from MeWMLib.perception.registration import Registered, Registration, register
from MeWMLib.world.model import WorldModel

#: Grid (k, j, i) that drawn patients are scanned on, as the real ones were.
SCANNER_MM = (2.5, 0.7, 0.7)
#: Kept around the tumour.
MARGIN_MM = 25.0
#: The newest version of the synthetic world.
NEWEST = max(WORLDS)
#: Weeks after treatment at which drawn patients are scanned, as the real ones were.
WEEKS_AFTER = (4.0, 11.0)
#: Most voxels of a side of a drawn scan in plane.
MOST = 320


@dataclass(frozen=True, eq=False)
class Seen:
    """A scan with its labels, cut around the tumour.

    Attributes:
        patient: name.
        ct, labels: on one grid.
    """

    patient: str
    ct: Volume
    labels: LabelMap

    @classmethod
    def cut(cls, patient: str, ct: Volume, labels: LabelMap) -> Seen:
        """Keep what is near the tumour.

        Raises:
            InputError: the labels hold no tumour where the scan is.
        """
        if not labels.tumour.any():
            raise InputError(
                what="A scan without tumour has no look of treated tissue",
                given=f"{patient}: {labels}",
                remedy="Give labels with value 2 that lie on the scan",
            )
        box = _box(labels, MARGIN_MM)
        start, shape = [s.start for s in box], [s.stop - s.start for s in box]
        geometry = ct.geometry.crop((start[0], start[1], start[2]), (shape[0], shape[1], shape[2]))
        part = LabelMap(np.ascontiguousarray(labels.array[box]), geometry)
        return cls(patient, replace(ct, array=ct.array[box], geometry=geometry), part)

    @property
    def arrays(self) -> tuple[NDArray[Any], NDArray[np.bool_], NDArray[np.bool_], tuple[float, float, float]]:
        """What `look` takes: HU, tumour, liver, spacing."""
        return self.ct.array, self.labels.tumour, self.labels.liver, self.ct.geometry.spacing


def _box(labels: LabelMap, margin_mm: float) -> tuple[slice, ...]:
    """The box of the tumour with a margin in mm."""
    tight = box_of(labels.tumour, 0)
    more = [int(np.ceil(margin_mm / s)) for s in labels.geometry.spacing]
    return tuple(
        slice(max(0, s.start - m), min(n, s.stop + m)) for s, m, n in zip(tight, more, labels.array.shape, strict=True)
    )


def _labelled(files: PairFiles, path: Any, geometry: Geometry) -> LabelMap:
    return read_labels(path, geometry, resample=True, values=parse_label_values(files.label_values))


def before_scan(files: PairFiles, arterial: bool = False) -> Seen | None:
    """The scan before treatment on native voxels, or its arterial phase; None where the list has none."""
    path = files.before_arterial if arterial else files.before_native
    if path is None:
        return None
    ct = read_volume(path)
    return Seen.cut(files.patient, ct, _labelled(files, files.labels, ct.geometry))


def after_scan(files: PairFiles, arterial: bool = False) -> Seen | None:
    """The same after treatment.

    Where there are no labels of the scan after, it is registered to the one before, whose outline is carried over.
    """
    path = files.after_arterial if arterial else files.after_native
    if path is None:
        return None
    ct = read_volume(path)
    if files.labels_after is not None:
        return Seen.cut(files.patient, ct, _labelled(files, files.labels_after, ct.geometry))
    moved, labels = _registered(files)
    return Seen.cut(files.patient, ct, carried(moved, labels, ct.geometry))


@lru_cache(maxsize=1)
def _registered(files: PairFiles) -> tuple[Registered, LabelMap]:
    """The scan after on the one before, and the labels there; both phases after treatment share one frame."""
    before = read_volume(files.before)
    labels = _labelled(files, files.labels, before.geometry)
    return register(before, labels, read_volume(files.after), Registration()), labels


def simulated_scans(files: PairFiles, world: WorldModel, replicas: int, seed: int) -> list[Seen]:
    """Simulations of what the patient was given, on the native voxels before treatment (else on the fixed grid).

    The change is drawn on the scan at 1.5 x 1.5 x 2.5 mm and added to native voxels as the product adds it to the scan
    that it is given: outside of the treated tumour every voxel is the scanner's own.
    """
    scan = read_volume(files.before)
    grid = fixed_grid(scan.geometry)
    known = _labelled(files, files.labels, scan.geometry)
    labels = LabelMap(resample(known.array, known.geometry, grid, "nearest", 0), grid)
    before = replace(scan, array=on_grid(scan, grid), geometry=grid)
    side = "" if files.side == "whole" else files.side
    made = simulated(world, before, labels, files.protocol, replicas, seed, files.weeks, side)
    base = before_scan(files) or Seen.cut(files.patient, before, labels)
    return [replace(base, ct=made.sample(n, base.ct, base.labels)) for n in range(made.count)]


def drawn_scans(count: int, protocol: Protocol | None, phase: str = "portal", version: int = NEWEST) -> Iterator[Seen]:
    """Patients of the test split of the synthetic world in one phase, after a protocol or before treatment.

    Args:
        count: how many; they are the same ones every time.
        protocol: None before treatment.
        phase: of the scan, which is drawn on a scanner's grid around the largest nodule: from version 3 on the
            patient's own scanner, before that one as the real ones were.
        version: of the world.
    """
    for seed in SPLITS["test"]:
        if count <= 0:
            return
        patient = draw_patient(seed, version)
        if isinstance(patient, StudyPatient):
            grid = patient.scan_geometry(MARGIN_MM)
            weeks = float(np.random.default_rng(derive_seed("look weeks", seed)).uniform(*WEEKS_AFTER))
            (scan,) = patient.render_all(grid, [protocol], session=Session(weeks), phase=phase)
            if (scan.labels == 2).any():
                ct = Volume(np.round(scan.hu).astype(np.int16), grid, phase)
                yield Seen(f"drawn {seed}", ct, LabelMap(scan.labels, grid))
                count -= 1
            continue
        if patient.anatomy.phase != phase:
            continue
        nodule = patient.nodules[0]
        half = np.array([nodule.radius * 1.6 + MARGIN_MM] * 3)
        shape = [min(MOST, int(np.ceil(2 * h / s))) for h, s in zip(half, SCANNER_MM, strict=True)]
        middle = [float(c) for c in nodule.centre]  # z, y, x
        reach = [0.5 * (n - 1) * s for n, s in zip(shape, SCANNER_MM, strict=True)]
        start = (middle[2] + reach[2], middle[1] + reach[1], middle[0] - reach[0])
        grid = lps_grid((shape[0], shape[1], shape[2]), SCANNER_MM, start)
        drawn = patient.render(grid, protocol)
        if (drawn.labels == 2).any():
            ct = Volume(np.round(drawn.hu).astype(np.int16), grid, phase)
            yield Seen(f"drawn {seed}", ct, LabelMap(drawn.labels, grid))
            count -= 1
