"""Patients of the synthetic TACE world as the segmenter learns from them: treated patches and whole abdomens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MeWMLib.cohorts.synthetic.fields import derive_seed
from MeWMLib.cohorts.synthetic.world import Rendering, SyntheticPatient, whole_geometry
from MeWMLib.core.plan import replica_seeds
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.volume import Geometry, LabelMap, Volume
from MeWMLib.dynamics.model import DynamicsModel
from MeWMLib.lab.synthetic.cases import protocols_for, target_geometry
from MeWMLib.perception.preprocess import patch_geometry
from MeWMLib.world.patch import TreatedPatch

#: Outcomes kept of each patient: on its patch, and of its whole abdomen.
OUTCOMES, OUTCOMES_ABDOMEN = 4, 2
#: Voxels of the CT around the patch, so that the patch stays inside it wherever it is moved.
DRAWN = 128
#: Steps of the sampler, as `mewm evaluate` takes.
STEPS = 4


@dataclass(frozen=True, eq=False)
class KnownScans:
    """Scans (D, H, W) of one patient, before and after some protocols, then the simulated ones; see `Drawn`."""

    hu: list[NDArray[Any]]
    labels: list[NDArray[np.uint8]]
    viable_ml: list[float]
    spacing_mm: float


def draw_patch(seed: int, dynamics: DynamicsModel | None, deviating: float = 0.0) -> KnownScans:
    """The treated patch before, after `OUTCOMES` protocols, and as the dynamics simulate these.

    The patch is the one that a plan cuts out of a CT, in half of the patients moved and resized a little, so that the
    lesion is not always in the middle.

    Args:
        seed: of the patient.
        dynamics: None leaves the simulated outcomes out.
        deviating: share of patients whose simulated responses deviate from the expected one, as replicas do; the truth
            of the others is what plans with one replica are after.
    """
    patient = SyntheticPatient.draw(seed)
    rng = np.random.default_rng(derive_seed("assistant patch", seed))
    wide = target_geometry(patient, DRAWN)
    scan = patient.render(wide)
    ct, outline = Volume(scan.hu, wide, patient.anatomy.phase), LabelMap(scan.labels, wide)
    grid = patch_geometry(outline)
    patch = TreatedPatch.at(_moved(grid, rng) if rng.random() < 0.5 else grid, ct, outline)
    protocols = _some(patient, OUTCOMES, rng)
    before, *after = patient.render_all(patch.geometry, [None, *protocols])
    hu = [patch.hu, *(d.hu for d in after)]
    if dynamics is not None:
        encoded = dynamics.encode(patch.hu, patch.labels, patch.spacing_mm)
        seeds = replica_seeds(seed, len(protocols))
        spread = float(rng.random() < deviating)
        changes = list(dynamics.simulate(encoded, protocols, seeds, STEPS, spread=spread))
        if dynamics.tells_response:  # as `WorldModel` does
            ratios = dynamics.responses(encoded, protocols, seeds, spread)[:, 1]
            changes = [patch.fill_shrunken_rim(c, float(r)) for c, r in zip(changes, ratios, strict=True)]
        hu += [patch.simulated(change) for change in changes]
    return _known(hu, [before, *after], patch.geometry)


def _some(patient: SyntheticPatient, count: int, rng: np.random.Generator) -> list[Protocol]:
    complete = [p for p in protocols_for(patient) if p.drugs and p.embolics]
    return [complete[i] for i in rng.permutation(len(complete))[:count]]


def _known(hu: list[NDArray[Any]], drawn: Sequence[Rendering], grid: Geometry) -> KnownScans:
    viable = [float(d.viable.sum()) * grid.voxel_ml for d in drawn]
    return KnownScans(hu, [d.labels for d in drawn], viable, grid.spacing[0])


def _moved(grid: Geometry, rng: np.random.Generator) -> Geometry:
    """A cube of another size nearby: up to 15 % larger voxels, its centre up to 10 voxels away along each axis."""
    scale = rng.uniform(0.95, 1.15)
    centre = grid.to_ras((np.array(grid.shape) - 1) / 2) + rng.uniform(-10, 10, 3) * grid.spacing[0]
    affine = grid.affine.copy()
    affine[:3, :3] *= scale
    half = affine[:3, :3] @ ((np.array(grid.shape[::-1]) - 1) / 2)
    affine[:3, 3] = centre - half
    return Geometry(grid.shape, affine)


def draw_abdomen(seed: int) -> KnownScans:
    """The whole abdomen before and after `OUTCOMES_ABDOMEN` protocols, on voxels of 1.4 to 1.8 mm."""
    patient = SyntheticPatient.draw(seed)
    rng = np.random.default_rng(derive_seed("assistant abdomen", seed))
    spacing = float(rng.uniform(1.4, 1.8))
    grid = whole_geometry((spacing, spacing, spacing))
    drawn = patient.render_all(grid, [None, *_some(patient, OUTCOMES_ABDOMEN, rng)])
    return _known([d.hu for d in drawn], drawn, grid)
