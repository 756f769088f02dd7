"""Test patients of the synthetic world as the product meets them: a CT around the tumour, its patch, and the truth."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from MeWMLib.cohorts.identity import patient_mark
from MeWMLib.cohorts.layout import Cohort
from MeWMLib.cohorts.synthetic.patients import WORLD, draw_patient
from MeWMLib.cohorts.synthetic.world import Rendering, SyntheticPatient, whole_geometry
from MeWMLib.core.bundles import find_bundle
from MeWMLib.core.errors import CohortError
from MeWMLib.core.patient import Patient
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.structures import CT_WINDOW_HU
from MeWMLib.core.volume import LabelMap, Volume
from MeWMLib.dynamics.autoencoder import Autoencoder
from MeWMLib.lab.evaluation.cohort_pairs import asked_ids
from MeWMLib.lab.reports import let_networks_read_reports
from MeWMLib.lab.synthetic.cases import SPLITS, drug_twins, protocols_for, target_geometry
from MeWMLib.lab.synthetic.survival import true_log_risk
from MeWMLib.lab.synthetic.write import held_out_seeds, patient_id
from MeWMLib.perception.findings import LIPIODOL_HU
from MeWMLib.world.model import WorldModel
from MeWMLib.world.patch import TreatedPatch

Image = NDArray[np.float32]
#: Edge of the drawn CT in voxels; more than the treated patch, which fits inside.
DRAWN = 120


@dataclass(frozen=True)
class WorldSettings:
    """What every study of simulations on synthetic patients asks for.

    Attributes:
        seeds: of the patients.
        bundle: name or folder; None for the default.
        seed: of the replicas and of what else is drawn.
        replicas, steps: of each simulation.
        others: row name to bundle; a row that never saw an action (`baselines.ACTIONLESS`) is simulated without it.
        workers: processes; each loads the bundles.
    """

    seeds: tuple[int, ...]
    bundle: str | None = None
    seed: int = 0
    replicas: int = 1
    steps: int = 4
    others: tuple[tuple[str, str], ...] = ()
    workers: int = 1

    def worlds(self) -> tuple[WorldModel, dict[str, WorldModel]]:
        """The model that is measured, and the others by the name of their row."""
        let_networks_read_reports()
        others = {name: WorldModel.load(find_bundle(bundle)) for name, bundle in self.others}
        return WorldModel.load(find_bundle(self.bundle)), others


def mean_error(image: Image, truth: Image, inside: NDArray[np.bool_]) -> float:
    """Mean absolute error (HU, both clipped to the window of the networks) in `inside`."""
    return float(np.abs(np.clip(image, *CT_WINDOW_HU) - np.clip(truth, *CT_WINDOW_HU))[inside].mean())


def coded_change(codec: Autoencoder, before: Image, after: Image) -> Image:
    """The scan after treatment as the dynamics model can give it: x_pre + Dec(z_post - z_pre)."""
    with torch.inference_mode():
        pre, post = (torch.from_numpy(np.ascontiguousarray(image, np.float32))[None, None] for image in (before, after))
        found: Image = codec.decode_change(pre, codec.encode(post) - codec.encode(pre))[0, 0].numpy()
    return found


def chosen_patients(args: argparse.Namespace, world: int = WORLD) -> tuple[tuple[int, ...], str]:
    """Seeds of the patients that the arguments ask for, and in words who they are.

    Those of --cohort, or else the first --patients of the test split, or of --split.

    Args:
        args: parsed.
        world: version in which they are drawn.

    Raises:
        CohortError: not a cohort of held-out patients of this world, or the bundle was trained on one of them as a
            cohort on disk.
    """
    if args.cohort:
        cohort = Cohort.read(args.cohort)
        held_out_seeds(cohort)
        ids = set(asked_ids(cohort, args.bundle, getattr(args, "side", None), getattr(args, "splits", None)))
        seeds = tuple(row.seed for row in cohort.rows if row.seed is not None and row.id in ids)
        return seeds, f"synthetic world v{world}, {len(seeds)} patients of {args.cohort.name}"
    split = getattr(args, "split", "test")
    seeds = tuple(SPLITS[split][: args.patients])
    known = find_bundle(args.bundle, require=()).manifest.training
    marks = set(known.patient_marks) if known is not None else set()
    if seen := [patient_id(seed) for seed in seeds if marks and patient_mark(patient_id(seed)) in marks]:
        raise CohortError(
            what=f"The bundle was trained on patients of the {split} split, written as a cohort",
            given=", ".join(seen[:5]),
            remedy="Give the test side of that cohort with --cohort, or another bundle",
        )
    return seeds, f"synthetic world v{world}, {args.patients} {split} patients"


def meet(world: WorldModel, seed: int) -> tuple[SyntheticPatient, Patient]:
    """A synthetic patient, and what the product is given: CT and true labels before treatment."""
    drawn = SyntheticPatient.draw(seed)
    geometry = target_geometry(drawn, DRAWN)
    before = drawn.render(geometry)
    ct = Volume(before.hu, geometry, drawn.anatomy.phase)
    return drawn, world.patient(ct, LabelMap(before.labels, geometry), id=str(seed))


def before_and_after(
    seed: int, spacing: tuple[float, float, float], world: int = WORLD
) -> list[tuple[Volume, LabelMap]]:
    """Whole abdomens of a synthetic patient before and after the protocol that was given, with their true labels.

    Args:
        seed: of the patient.
        spacing: of a voxel in mm.
        world: version in which the patient is drawn; from version 3 on the session is the patient's own (territory and
            weeks until the scan), and both scans are of the patient's scanner, each in a pose of its own.

    Raises:
        InputError: there is no such version.
    """
    patient, grid = draw_patient(seed, world), whole_geometry(spacing)
    pair = patient.observed(grid, [None, protocols_for(patient)[0]])
    phase = patient.anatomy.phase
    return [(Volume(np.rint(d.hu).astype(np.int16), grid, phase), LabelMap(d.labels, grid)) for d in pair]


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
        drawn, patient = meet(world, seed)
        patch = world.treated_patch(patient)
        protocols = tuple(p for p in protocols_for(drawn) if p.drugs and p.embolics)
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
        """Mean absolute error (HU, inside the window of the networks) in the dilated tumour."""
        return mean_error(image, truth, self.inside)

    def lipiodol_ml(self, image: Image) -> float:
        """Lipiodol in the dilated tumour, ml."""
        oil = self.inside & (self.patch.labels >= 1) & (image >= LIPIODOL_HU)
        return float(oil.sum()) * self.patch.geometry.voxel_ml

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
