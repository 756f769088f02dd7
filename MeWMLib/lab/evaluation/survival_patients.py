"""Synthetic patients before and after what they were given, drawn once and kept, to measure survival models on.

An interval that separates two models needs some thousand patients, and the given outcome is enough for them: two
drawings a patient, about half a second. What is kept is what the models see, and the world's truth beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from MeWMLib.cohorts.synthetic.fields import derive_seed
from MeWMLib.cohorts.synthetic.world import Rendering, SyntheticPatient
from MeWMLib.core.io import atomic_path
from MeWMLib.core.volume import Geometry, LabelMap, Volume
from MeWMLib.lab.evaluation.radiomics import radiomics
from MeWMLib.lab.evaluation.work import Say, box_of, each_patient, silent
from MeWMLib.lab.synthetic.cases import protocols_for
from MeWMLib.lab.synthetic.survival import survival_months, true_log_risk
from MeWMLib.lab.synthetic.write import fingerprint
from MeWMLib.perception.findings import longest_axial_diameter_mm, measure, viable_mask
from MeWMLib.survival.patches import half_resolution

#: What is measured on the two images, as a physician or the product would; no truth of the world in it.
MEASURED = (
    "spacing_mm",
    "tumour_ml_before", "tumour_ml_after",
    "viable_ml_before", "viable_ml_after",
    "lipiodol_ml_after",
    "diameter_mm_before", "diameter_mm_after",
    "viable_diameter_mm_before", "viable_diameter_mm_after",
    "nodules_before", "nodules_after",
    "liver_ml",
)  # fmt: skip
FORMAT = 1


@dataclass(frozen=True, eq=False)
class GivenOutcome:
    """One synthetic patient before and after what was given.

    Attributes:
        seed: of the patient.
        images: (2, 2, D, H, W) float16, before and after, of `half_resolution`.
        measured: `MEASURED` by name.
        radiomics: (2, 12) of the tumour before and after.
        true_log_risk: by the world's law.
        months, event: the survival that followed.
    """

    seed: int
    images: NDArray[np.float16]
    measured: dict[str, float]
    radiomics: NDArray[np.float64]
    true_log_risk: float
    months: float
    event: bool

    @classmethod
    def draw(cls, seed: int) -> GivenOutcome:
        """Draw a patient; survival, protocol and patch are those of `cases.draw_case` and of `mewm cohort`."""
        patient = SyntheticPatient.draw(seed)
        rng = np.random.default_rng(derive_seed("case", seed))
        geometry = patient.target_geometry(jitter=rng)
        given = protocols_for(patient)[0]
        before, after = patient.render_all(geometry, [None, given])
        viable = float(after.viable.sum()) * geometry.voxel_ml
        risk = true_log_risk(viable, patient.response(given))
        months, event = survival_months(risk, rng)
        pair = (before, after)
        images = np.stack([half_resolution(d.hu, d.labels == 2) for d in pair])
        features = np.stack([radiomics(d.hu, d.labels == 2, geometry.spacing[0]) for d in pair])
        return cls(seed, images, _measured(before, after, geometry), features, risk, months, event)

    def save(self, path: Path) -> None:
        """Write as .npz, whole or not at all."""
        with atomic_path(path) as part, part.open("wb") as file:
            np.savez_compressed(
                file, images=self.images, measured=np.array([self.measured[n] for n in MEASURED]),
                radiomics=self.radiomics, outcome=np.array([self.true_log_risk, self.months, self.event]),
            )  # fmt: skip

    @classmethod
    def load(cls, path: Path) -> GivenOutcome:
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as data:
            risk, months, event = (float(v) for v in data["outcome"])
            measured = dict(zip(MEASURED, (float(v) for v in data["measured"]), strict=True))
            return cls(int(path.stem), data["images"], measured, data["radiomics"], risk, months, bool(event))


def given_outcomes(seeds: Sequence[int], cache: Path, workers: int = 1, say: Say = silent) -> list[Path]:
    """Draw the patients that are not yet in `cache`; one file each, under the fingerprint of the world.

    Returns:
        The files in the order of the seeds, for `GivenOutcome.load`.
    """
    folder = Path(cache) / f"given-{FORMAT}-{fingerprint()[:12]}"
    each_patient(_drawer, folder, [s for s in seeds if not _file(folder, s).exists()], workers, "patients", say)
    return [_file(folder, seed) for seed in seeds]


def _file(folder: Path, seed: int) -> Path:
    return folder / f"{seed}.npz"


def _drawer(folder: Path) -> Callable[[int], None]:
    return partial(_draw, folder)


def _draw(folder: Path, seed: int) -> None:
    GivenOutcome.draw(seed).save(_file(folder, seed))


def _measured(before: Rendering, after: Rendering, geometry: Geometry) -> dict[str, float]:
    b, a = (measure(Volume(d.hu, geometry), LabelMap(d.labels, geometry), sizes_only=True) for d in (before, after))
    values = (
        geometry.spacing[0],
        b.tumour_ml, a.tumour_ml,
        b.viable_ml, a.viable_ml,
        sum(x.volume_ml * x.lipiodol_fraction for x in a.lesions),
        *(max((x.longest_axial_diameter_mm for x in found.lesions), default=0.0) for found in (b, a)),
        *(_viable_diameter(d, geometry) for d in (before, after)),
        len(b.lesions), len(a.lesions),
        b.liver_ml,
    )  # fmt: skip
    return dict(zip(MEASURED, (float(v) for v in values), strict=True))


def _viable_diameter(drawn: Rendering, geometry: Geometry) -> float:
    """Longest axial diameter (mm) of what looks viable, as mRECIST measures it; single voxels of noise do not count."""
    tumour = drawn.labels == 2
    if not tumour.any():
        return 0.0
    box = box_of(tumour, margin=2)  # a margin, since what touches the border of an array is opened away
    viable = ndimage.binary_opening(viable_mask(drawn.hu[box], tumour[box]))
    return longest_axial_diameter_mm(viable, geometry) if viable.any() else 0.0
