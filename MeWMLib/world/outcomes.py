"""Replicas as CTs and labels on the patient's own voxels, by whichever dynamics model a bundle holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from MeWMLib.core.bundle import Bundle
from MeWMLib.core.errors import BundleError
from MeWMLib.core.outcome import Outcome
from MeWMLib.core.patient import Patient
from MeWMLib.core.plan import PlanSettings
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.volume import LIVER, TUMOUR, Provenance, Volume
from MeWMLib.dynamics.compose import compose
from MeWMLib.dynamics.map_model import MapModel, is_maps, mean_maps
from MeWMLib.dynamics.model import DynamicsModel
from MeWMLib.perception.preprocess import resample
from MeWMLib.rendering.outline import labels_after
from MeWMLib.rendering.painter import expected_image, paint, treated_weight
from MeWMLib.rendering.scan_estimate import Box
from MeWMLib.survival.network import Assessor
from MeWMLib.world.machine import chunk_size
from MeWMLib.world.map_simulator import MapSimulator, PreparedRegion
from MeWMLib.world.patch import FloatArray
from MeWMLib.world.replicas import SimulatedReplica
from MeWMLib.world.simulator import PreparedPatient, Simulator


def simulator_of(bundle: Bundle, segmenter: Any, device: torch.device) -> Simulator:
    """The simulator for a bundle's dynamics part: coarse maps, or the paper's latent diffusion on a cube of the CT.

    Raises:
        BundleError: a part was made for another version of MeWM.
    """
    config, tensors = bundle.part("dynamics")
    assessor = Assessor(*bundle.part("survival"), device)
    if is_maps(config):
        return MapSimulator(MapModel.from_part(config, tensors, device), assessor, segmenter, chunk_size(device))
    dynamics = DynamicsModel.from_parts(bundle.part("autoencoder"), (config, tensors), device)
    return Simulator(dynamics, assessor, segmenter, chunk_size(device))


def written(
    patient: Patient,
    ready: PreparedPatient,
    replica: SimulatedReplica,
    protocol: Protocol,
    seed: int,
    provenance: Provenance,
) -> Outcome:
    """A replica as it is written: CT and labels on the grid of the CT, bit-identical where nothing changes."""
    if replica.maps is None:
        return _from_cube(patient, ready, replica, protocol, seed, provenance)
    box, weight = _treated(patient)
    change = paint(patient.ct, box, weight, replica.maps, seed)
    ct = _with(patient.ct, box, weight, change, provenance)
    return Outcome(ct, labels_after(patient.labels, box, weight, replica.maps), protocol, seed, replica.score)


def expected_scan(
    simulator: Simulator,
    patient: Patient,
    protocol: Protocol,
    seeds: Sequence[int],
    settings: PlanSettings,
    provenance: Provenance,
) -> Volume:
    """The expected CT after a protocol, see `WorldModel.expected`.

    Raises:
        BundleError: the bundle's dynamics model is not one on coarse maps.
    """
    if not isinstance(simulator, MapSimulator):
        raise BundleError(
            what="The dynamics model of this bundle tells no expected outcome",
            given=provenance.bundle,
            remedy="Use a bundle whose dynamics model works on coarse maps, or take the mean over replicas",
        )
    ready = simulator.prepare(patient)
    assert isinstance(ready, PreparedRegion)
    found = []
    for seed in seeds:
        found += simulator.maps.expected(
            ready.maps, [protocol], [seed], ready.region.fed, settings.weeks, settings.spread
        )
    box, weight = _treated(patient)
    image = expected_image(patient.ct, box, weight, mean_maps(found))
    return _with(patient.ct, box, weight, image - patient.ct.array[box], provenance)


def _treated(patient: Patient) -> tuple[Box, FloatArray]:
    """Where the scan may change, and how far."""
    tumour, session = patient.labels.array == TUMOUR, patient.session
    if session is None or session.targets is None:
        return treated_weight(tumour, patient.ct.geometry)
    return treated_weight(session.targets, patient.ct.geometry, tumour & ~session.targets)


def _with(ct: Volume, box: Box, weight: FloatArray, change: FloatArray, provenance: Provenance) -> Volume:
    """A CT with a change in a box; the bits of voxels without weight stay."""
    array = ct.array.copy()
    part, touched = array[box], weight > 0
    new = part[touched].astype(np.float32) + change[touched]
    if array.dtype.kind != "f":
        limits = np.iinfo(array.dtype)
        new = np.clip(np.rint(new), limits.min, limits.max)
    part[touched] = new.astype(array.dtype)
    return ct.with_array(array, provenance)


def _from_cube(
    patient: Patient,
    ready: PreparedPatient,
    replica: SimulatedReplica,
    protocol: Protocol,
    seed: int,
    provenance: Provenance,
) -> Outcome:
    """The same for a change on a cube."""
    grid, session = ready.patch.geometry, patient.session
    untreated = patient.labels.tumour & ~session.mask if session is not None else None
    known = patient.labels
    if untreated is not None:
        known = known.with_array(np.where(untreated, LIVER, known.array).astype(np.uint8))
    ct = compose(patient.ct, known, replica.change_hu, grid, provenance, untreated)
    # Labels change only where the patch's own did: elsewhere every voxel of the user's segmentation stays.
    after = resample(replica.labels, grid, patient.ct.geometry, "nearest", 255)
    before = resample(ready.patch.labels, grid, patient.ct.geometry, "nearest", 255)
    changed = (after != before) & (after != 255) & (known.array >= LIVER)
    if untreated is not None:
        changed &= ~untreated
    labels = patient.labels.with_array(np.where(changed, after, patient.labels.array).astype(np.uint8))
    return Outcome(ct, labels, protocol, seed, replica.score)
