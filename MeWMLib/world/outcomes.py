"""Replicas as CTs and labels on the patient's own voxels, by whichever dynamics model a bundle holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from MeWMLib.core.bundle import Bundle
from MeWMLib.core.errors import BundleError
from MeWMLib.core.outcome import Outcome, SampleLook
from MeWMLib.core.patient import Patient
from MeWMLib.core.plan import PlanSettings
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.volume import LIVER, TUMOUR, Provenance, Volume
from MeWMLib.dynamics.compose import compose
from MeWMLib.dynamics.map_model import MapModel, is_maps, mean_maps
from MeWMLib.dynamics.model import DynamicsModel
from MeWMLib.perception.deposits import deposit_look
from MeWMLib.perception.preprocess import resample
from MeWMLib.rendering.painter import expected_image, with_change
from MeWMLib.rendering.self_check import checked_sample
from MeWMLib.survival.network import Assessor
from MeWMLib.world.machine import chunk_size
from MeWMLib.world.map_simulator import MapSimulator, PreparedRegion
from MeWMLib.world.replicas import SimulatedReplica
from MeWMLib.world.simulator import PreparedPatient, Simulator

#: Coarsest voxels (k, j, i) on which a look is compared with that of real scans, whose were 2.5 x 0.7 x 0.7 mm.
LOOK_SPACING_MM = (3.2, 1.0, 1.0)
#: Apart from one another the seeds of attempts lie far from those of replicas.
_ATTEMPT = 1 << 40


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
    shown: bool = False,
) -> Outcome:
    """A replica as it is written: CT and labels on the grid of the CT, bit-identical where nothing changes.

    One that is `shown`, the nearest to the mean of its replicas, is held against the look of real scans, and its grains
    are drawn again where it leaves it; what was simulated, and every number, stays that of the first draw.
    """
    if replica.maps is None:
        return replace(_from_cube(patient, ready, replica, protocol, seed, provenance), nearest=shown)
    assert isinstance(ready, PreparedRegion)
    scan, maps, ct = ready.treated_scan, replica.maps, patient.ct
    labels = scan.labels_after(maps)
    painted, box = scan.painted(maps, labels), scan.box
    look: SampleLook | None = None
    if shown and _comparable(ct):
        inside = (labels.array[box] == TUMOUR) & (scan.weight > 0)
        checked = checked_sample(
            lambda attempt: painted(seed if attempt == 0 else attempt * _ATTEMPT + seed),
            lambda change: deposit_look(ct.array[box] + change, inside, ct.geometry.spacing),
        )
        change, attempt = checked.sample, checked.attempt
        look = SampleLook(checked.attempts, attempt, tuple(sorted(checked.outside[attempt])))
    else:
        change = painted(seed)
    viable = scan.viable_after(labels, maps) if shown else None
    simulated = with_change(ct, box, change, provenance)
    return Outcome(simulated, labels, protocol, seed, replica.score, look, shown, viable)


def _comparable(ct: Volume) -> bool:
    """True if the voxels are about those of the scans whose look is known: grains look otherwise on coarse ones."""
    return bool((np.array(ct.geometry.spacing) <= LOOK_SPACING_MM).all())


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
    scan = ready.treated_scan
    image = expected_image(patient.ct, scan.box, scan.weight, mean_maps(found))
    return with_change(patient.ct, scan.box, image - patient.ct.array[scan.box], provenance)


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
