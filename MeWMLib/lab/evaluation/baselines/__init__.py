"""Baselines that MeWM is measured against, written from their papers.

`syntumor` and `pixel2cancer` are made by hand and know no action; each offers `fit(pairs)` and

    simulate(hu, labels, spacing_mm, seed, weight=None, parameters=None)        CT after some treatment

with hu and labels (D, H, W) before treatment, the edge of a voxel, the seed of every draw, and a weight (D, H, W) from
0 to 1 where the CT may change (by default the tumour dilated by 6 mm). The result keeps the bits of `hu` wherever the
weight is 0. Both raise NoTumourError if the labels hold no tumour, and GeometryMismatchError if the arrays are not of
one shape.

Two more rows are MeWM's own network, data, budget and sampler with other settings of `mewm train dynamics`:

- `difftumor` (`Resources/Configs/difftumor.json`), after Chen et al., Towards Generalizable Tumor Synthesis, CVPR 2024
  (arXiv 2402.19470): conditioned on the image and the tumour's mask alone, so that what the action is worth is all that
  differs. Unlike in the paper the tumour before treatment is seen (the paper paints tumours into healthy liver) and
  the autoencoder is MeWM's. `action_blind` is the same network trained with the attenuated image as an input that
  always equals the image; the two should agree.
- `textomorph` (`Resources/Configs/textomorph.json`), after Li et al., Text-Driven Tumor Synthesis (arXiv 2412.18589):
  steered by the frozen embedding of an operation report (`lab.reports.report_text`) in place of agents and doses;
  no attenuation, contrast of combos or response head, which need to know what an agent is. Unlike in the paper the text
  describes the treatment and not the look of the tumour, the sentence encoder is MiniLM, and there is no contrast
  between descriptions of one tumour, as no two reports describe one CT here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from MeWMLib.core.errors import GeometryMismatchError, NoTumourError
from MeWMLib.core.volume import TUMOUR

FloatArray = NDArray[np.float32]
Labels = NDArray[np.uint8]

#: Rows of MeWM's own network that never saw an action; they are simulated without it.
ACTIONLESS = ("action_blind", "difftumor")
#: MeWM's own network with a part left out, and the two baselines that are this network with other settings.
ABLATED = ("no_ccl", "no_attenuation", "no_text", "action_blind")
RETRAINED = (*ABLATED, "difftumor", "textomorph")
#: The full network with the reduced budget of these rows (`mewm train ablations`): what each of them is held against.
FULL = "full_same_budget"
#: A baseline changes the tumour dilated by this much, like the dynamics model.
DILATION_MM = 6.0
#: What a CT can hold.
HU_RANGE = (-1024.0, 3071.0)


@dataclass(frozen=True, eq=False)
class Pair:
    """A training pair on one grid.

    Attributes:
        before, after: (D, H, W) HU.
        labels: (D, H, W) before treatment.
        spacing_mm: edge of a voxel.
        labels_after: (D, H, W) after treatment; None if they are not known.

    Raises:
        GeometryMismatchError: the arrays are not of one shape.
        NoTumourError: the labels hold no tumour.
    """

    before: FloatArray
    after: FloatArray
    labels: Labels
    spacing_mm: float
    labels_after: Labels | None = None

    def __post_init__(self) -> None:
        what, remedy = "A training pair holds no tumour", "Leave this pair out"
        treated_region(self.before, self.labels, self.after, self.labels_after, what=what, remedy=remedy)


def treated_region(
    hu: FloatArray,
    labels: Labels,
    *others: NDArray[np.generic] | None,
    what: str = "There is no tumour to treat",
    remedy: str = "Give labels with value 2",
) -> NDArray[np.bool_]:
    """The tumour's mask (D, H, W).

    Raises:
        GeometryMismatchError: the arrays are not of one shape.
        NoTumourError: the labels hold no tumour.
    """
    shapes = [a.shape for a in (hu, labels, *others) if a is not None]
    if len(set(shapes)) != 1:
        raise GeometryMismatchError(
            what="The image, the labels and the weight are not of one shape",
            given=" and ".join(str(s) for s in shapes),
            remedy="Resample them to one grid first",
        )
    tumour = np.asarray(labels == TUMOUR)
    if not tumour.any():
        raise NoTumourError(what, given=f"labels of shape {labels.shape}", remedy=remedy)
    return tumour


def prepared(
    hu: FloatArray, labels: Labels, spacing_mm: float, weight: FloatArray | None
) -> tuple[FloatArray, NDArray[np.bool_], FloatArray]:
    """Checked arguments of `simulate`: the image, the tumour's mask, and the weight, by default of `rim_weight`."""
    tumour = treated_region(hu, labels, weight)
    rim = rim_weight(labels, spacing_mm) if weight is None else weight
    return np.asarray(hu, np.float32), tumour, np.asarray(rim, np.float32)


def require_pairs(pairs: Sequence[Pair]) -> None:
    """Raise `NoTumourError` if there is nothing to fit on."""
    if not pairs:
        raise NoTumourError(
            what="A baseline cannot be fitted on no pairs",
            given="0 training pairs",
            remedy="Give at least one pair of scans before and after treatment",
        )


def rim_weight(labels: Labels, spacing_mm: float) -> FloatArray:
    """Weight (D, H, W): 1 in the tumour, falling to 0 at `DILATION_MM` from it."""
    distance = ndimage.distance_transform_edt(labels != TUMOUR, sampling=spacing_mm)
    return np.asarray(np.clip(1.0 - distance / DILATION_MM, 0.0, 1.0), np.float32)


def blend(hu: FloatArray, change: FloatArray, weight: FloatArray) -> FloatArray:
    """Add a weighted change; where the weight is 0 every voxel keeps its bits."""
    after = np.clip(hu + weight * change, *HU_RANGE)
    return np.where(weight > 0, after, hu).astype(np.float32)


def noise_field(
    shape: tuple[int, ...], grain_voxels: float, blur_voxels: float, rng: np.random.Generator
) -> FloatArray:
    """Gaussian noise scaled up by cubic splines and blurred (SynTumor, arXiv 2303.14869, section 3.1, texture).

    Args:
        shape: (D, H, W).
        grain_voxels: factor by which the noise is scaled up.
        blur_voxels: deviation of the Gaussian that is laid over it.
        rng: source of chance.

    Returns:
        (D, H, W) of mean 0 and deviation 1 over the array.
    """
    factor = max(1.0, grain_voxels)
    # Two more knots than needed, cut off below: at the ends a spline has too little to go by.
    knots = tuple(int(np.ceil(n / factor)) + 3 for n in shape)
    coarse = rng.standard_normal(knots, dtype=np.float32)
    fine = ndimage.zoom(coarse, factor, order=3, mode="reflect") if factor > 1 else coarse
    start = [(have - want) // 2 for have, want in zip(fine.shape, shape, strict=True)]
    field = fine[tuple(slice(s, s + n) for s, n in zip(start, shape, strict=True))]
    return standardised(ndimage.gaussian_filter(field, blur_voxels), np.ones(shape, bool))


def standardised(field: FloatArray, inside: NDArray[np.bool_]) -> FloatArray:
    """Mean 0 and deviation 1 in a mask: large grains in a small lesion would shift its mean by chance alone."""
    part = field[inside]
    return np.asarray((field - part.mean()) / max(float(part.std()), 1e-6), np.float32)
