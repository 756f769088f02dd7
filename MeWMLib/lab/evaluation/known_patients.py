"""Test patients of the synthetic world as the product meets them: a CT around the tumour, its patch, and the truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from MeWMLib.cohorts.synthetic.law import true_log_risk
from MeWMLib.cohorts.synthetic.world import Rendering, SyntheticPatient
from MeWMLib.core.patient import Patient
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.volume import LabelMap, Volume
from MeWMLib.lab.synthetic.cases import drug_twins, protocols_for
from MeWMLib.perception.findings import LIPIODOL_HU
from MeWMLib.world.model import WorldModel
from MeWMLib.world.patch import TreatedPatch

Image = NDArray[np.float32]
#: Edge of the drawn CT in voxels; more than the treated patch, so that the patch lies inside.
DRAWN = 120


@dataclass(frozen=True, eq=False)
class KnownPatient:
    """A patient whose outcome is known under every protocol.

    Attributes:
        seed: of the patient.
        drawn: the synthetic patient.
        patient: what the product is given: CT and true labels before treatment.
        patch: the treated patch.
        protocols: complete ones; the first was given.
        twins: protocols that differ in the drug alone.
        truths, twin_truths: drawings of the outcomes on the patch.
    """

    seed: int
    drawn: SyntheticPatient
    patient: Patient
    patch: TreatedPatch
    protocols: tuple[Protocol, ...]
    twins: tuple[Protocol, ...]
    truths: tuple[Rendering, ...]
    twin_truths: tuple[Rendering, ...]

    @classmethod
    def draw(cls, world: WorldModel, seed: int) -> KnownPatient:
        """Draw a test patient."""
        drawn = SyntheticPatient.draw(seed)
        geometry = drawn.target_geometry(DRAWN)
        before = drawn.render(geometry)
        ct = Volume(before.hu, geometry, drawn.anatomy.phase)
        patient = world.patient(ct, LabelMap(before.labels, geometry), id=str(seed))
        patch = TreatedPatch.of(patient)
        protocols = tuple(p for p in protocols_for(drawn) if p.complete)
        twins = drug_twins(seed)
        truths = drawn.render_all(patch.geometry, [*protocols, *twins])
        return cls(
            seed, drawn, patient, patch, protocols, twins,
            tuple(truths[: len(protocols)]), tuple(truths[len(protocols) :]),
        )  # fmt: skip

    @property
    def inside(self) -> NDArray[np.bool_]:
        """(D, H, W) the dilated tumour: where a simulation may change the CT."""
        return self.patch.weight > 0

    def error(self, image: Image, truth: Image) -> float:
        """Mean absolute error (HU, inside the window -175..600) in the dilated tumour."""
        return float(np.abs(np.clip(image, -175, 600) - np.clip(truth, -175, 600))[self.inside].mean())

    def lipiodol_ml(self, hu: Image, tumour: NDArray[np.bool_]) -> float:
        """Lipiodol in a tumour, ml."""
        return float((tumour & (hu >= LIPIODOL_HU)).sum()) * self.patch.geometry.voxel_ml

    def viable_ml(self, truth: Rendering) -> float:
        """Viable tumour in the patch, ml, from the world's own masks."""
        return float(truth.viable.sum()) * self.patch.geometry.voxel_ml

    def true_risks(self) -> list[float]:
        """Log-hazard under each of `protocols`, by the law and the viable tumour in the patch."""
        pairs = zip(self.truths, self.protocols, strict=True)
        return [true_log_risk(self.viable_ml(t), self.drawn.response(p)) for t, p in pairs]

    @property
    def tumour_ml(self) -> float:
        """Tumour in the patch before treatment."""
        return float((self.patch.labels == 2).sum()) * self.patch.geometry.voxel_ml
