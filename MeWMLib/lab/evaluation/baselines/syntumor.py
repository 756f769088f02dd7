"""SynTumor after TACE: hand-made texture, edge, capsule and mass effect. It knows no action.

After Hu et al., Label-Free Liver Tumor Segmentation, CVPR 2023 (arXiv 2303.14869), section 3.1: texture from Gaussian
noise that is scaled up by cubic splines and blurred; a blurred mask joins it to the CT; local scaling warps the
surroundings (mass effect); the edge is brightened (capsule). What differs here:

- The lesion is there already, so that its place and shape are not drawn.
- The paper's tumours are darker than the liver. After TACE a part of the lesion is bright with Lipiodol and the rest is
  changed toward necrosis: two classes, each with a mean and a deviation of the change of HU.
- The mass effect has the other sign where lesions shrink: tissue is drawn inward.
- Amplitudes are not chosen by hand but fitted on pairs (`fit`), so that this is the strongest action-less version of
  itself: over many draws, mean and deviation of its change are those of the training tumours, and as many take
  Lipiodol.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from MeWMLib.core.volume import TUMOUR
from MeWMLib.lab.evaluation.baselines import (
    FloatArray,
    Labels,
    Pair,
    blend,
    noise_field,
    prepared,
    require_pairs,
    rim_weight,
    standardised,
)
from MeWMLib.lab.evaluation.work import box_of
from MeWMLib.perception.findings import LIPIODOL_HU

#: Thickness of the capsule, inside the outline.
CAPSULE_MM = 2.0
#: Blurs the classes' border, so that Lipiodol does not end at a voxel's face.
EDGE_MM = 0.8


@dataclass(frozen=True)
class Parameters:
    """Amplitudes; changes of HU are relative to the warped CT before treatment.

    The defaults are only there to draw something without training pairs; a comparison takes those of `fit`.

    Attributes:
        bright_share: share of the tumour that takes Lipiodol, in the tumours that take any.
        bright_hu, bright_sd: mean and deviation of the change there.
        dark_hu, dark_sd: mean and deviation of the change in the rest.
        capsule_hu: how much more the outer `CAPSULE_MM` change than the inner part.
        scale: linear size after treatment over that before; under 1 the lesion shrinks.
        bright_chance: how many tumours take Lipiodol at all; what was given, this baseline does not know.
        shift_sd: deviation, from tumour to tumour, of the mean change beside that of its classes.
        grain_mm: size of the texture's grain.
        patch_mm: size of the bright parts.
    """

    bright_share: float = 0.3
    bright_hu: float = 250.0
    bright_sd: float = 80.0
    dark_hu: float = -35.0
    dark_sd: float = 20.0
    capsule_hu: float = 0.0
    scale: float = 1.0
    bright_chance: float = 1.0
    shift_sd: float = 0.0
    grain_mm: float = 4.0
    patch_mm: float = 10.0


def simulate(
    hu: FloatArray,
    labels: Labels,
    spacing_mm: float,
    seed: int,
    weight: FloatArray | None = None,
    parameters: Parameters | None = None,
) -> FloatArray:
    """Draw a CT after some TACE; see the package for the arguments."""
    hu, tumour, weight = prepared(hu, labels, spacing_mm, weight)
    chosen = parameters or Parameters()
    rng = np.random.default_rng(seed)
    share = chosen.bright_share if rng.random() < chosen.bright_chance else 0.0
    shift = chosen.shift_sd * float(rng.standard_normal())
    # drawn on the whole grid, so that a seed gives one texture whatever the weight is
    texture = standardised(noise_field(hu.shape, chosen.grain_mm / spacing_mm, 0.5, rng), tumour)
    places = noise_field(hu.shape, chosen.patch_mm / spacing_mm, 0.5, rng)
    bright = _soft_share(places, tumour, share, EDGE_MM / spacing_mm)
    change = bright * (chosen.bright_hu + chosen.bright_sd * texture)
    change += (1 - bright) * (chosen.dark_hu + chosen.dark_sd * texture)
    # the soft border between the classes took some of the deviation
    mean, deviation = _mixture(chosen, share)
    change = shift + mean + deviation * standardised(change, tumour)
    change += _capsule(tumour, spacing_mm, chosen.capsule_hu)
    change *= _edge(tumour, spacing_mm)
    box = box_of(weight > 0, margin=4)
    change[box] += _mass_effect(hu[box], tumour[box], weight[box], chosen.scale) - hu[box]
    return blend(hu, change, weight)


def fit(pairs: Sequence[Pair]) -> Parameters:
    """Fit the amplitudes, so that mean and deviation of the change over the training tumours are met.

    Every pair counts the same, however large its tumour is. The mass effect is fitted first (where labels after
    treatment are known), then the capsule, then the classes on what is left.

    Raises:
        NoTumourError: no pairs.
    """
    require_pairs(pairs)
    known = [p for p in pairs if p.labels_after is not None]
    ratios = [np.cbrt((p.labels_after == TUMOUR).sum() / (p.labels == TUMOUR).sum()) for p in known]
    scale = float(np.clip(np.mean(ratios), 0.5, 1.3)) if ratios else 1.0
    residuals = [_residual(p, scale) for p in pairs]
    edges = [r[shell].mean() - r[~shell].mean() for r, shell, _ in residuals if 0 < shell.mean() < 1]
    capsule = float(np.mean(edges or [0.0]))
    left = [(r - capsule * (shell - shell.mean()), oil) for r, shell, oil in residuals]
    bright_hu, dark_hu = (_mean([(r, oil == kind) for r, oil in left]) for kind in (True, False))
    rest = [(r - np.where(oil, bright_hu, dark_hu), oil) for r, oil in left]
    spread = [((r - r.mean()) ** 2, oil) for r, oil in rest]
    chance = float(np.mean([oil.mean() > 0.01 for _, oil in left]))
    return Parameters(
        bright_share=float(np.mean([oil.mean() for _, oil in left])) / chance if chance else 0.0,
        bright_hu=bright_hu,
        bright_sd=float(np.sqrt(_mean(spread))),
        dark_hu=dark_hu,
        dark_sd=float(np.sqrt(_mean([(r, ~oil) for r, oil in spread]))),
        capsule_hu=capsule,
        scale=scale,
        bright_chance=chance,
        shift_sd=float(np.sqrt(np.mean([r.mean() ** 2 for r, _ in rest]))),
    )


def _residual(pair: Pair, scale: float) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_]]:
    """Change in the tumour beside the mass effect, which voxels are capsule, which hold Lipiodol; one row a voxel."""
    box = box_of(pair.labels == TUMOUR, margin=8)
    tumour, after = pair.labels[box] == TUMOUR, pair.after[box]
    weight = rim_weight(pair.labels[box], pair.spacing_mm)
    warped = _mass_effect(np.asarray(pair.before[box], np.float32), tumour, weight, scale)
    change = (np.asarray(after, np.float64) - warped)[tumour]
    return change, _shell(tumour, pair.spacing_mm)[tumour], np.asarray(after >= LIPIODOL_HU)[tumour]


def _mean(cases: Sequence[tuple[NDArray[np.float64], NDArray[np.bool_]]]) -> float:
    """Mean over the chosen voxels of (values, chosen) of each tumour; every tumour counts the same."""
    total = sum(chosen.mean() for _, chosen in cases)
    return float(sum((values * chosen).mean() for values, chosen in cases) / total) if total else 0.0


def _mixture(chosen: Parameters, share: float) -> tuple[float, float]:
    """Mean and deviation of the two classes together."""
    shares = np.array([share, 1 - share])
    means = np.array([chosen.bright_hu, chosen.dark_hu])
    mean = float(shares @ means)
    variance = shares @ (np.array([chosen.bright_sd, chosen.dark_sd]) ** 2 + (means - mean) ** 2)
    return mean, float(np.sqrt(variance))


def _shell(tumour: NDArray[np.bool_], spacing_mm: float) -> NDArray[np.bool_]:
    depth = ndimage.distance_transform_edt(tumour, sampling=spacing_mm)
    return np.asarray(tumour & (depth <= CAPSULE_MM))


def _edge(tumour: NDArray[np.bool_], spacing_mm: float) -> FloatArray:
    """The blurred mask, 1 in the tumour: outside, texture ends within about `EDGE_MM`, not at the end of the rim."""
    distance = ndimage.distance_transform_edt(~tumour, sampling=spacing_mm)
    return np.asarray(np.exp(-0.5 * (distance / EDGE_MM) ** 2), np.float32)


def _capsule(tumour: NDArray[np.bool_], spacing_mm: float, amplitude_hu: float) -> FloatArray:
    """Change of the edge beside the inside; its mean over the tumour is 0, so that it moves no mean."""
    shell = _shell(tumour, spacing_mm)
    return np.asarray(np.where(tumour, amplitude_hu * (shell - shell[tumour].mean()), 0.0), np.float32)


def _soft_share(field: FloatArray, inside: NDArray[np.bool_], share: float, edge_voxels: float) -> FloatArray:
    """Membership (0 to 1) of the highest `share` of the field in the tumour, with a soft border."""
    if share <= 0:
        return np.zeros_like(field)
    if share >= 1:
        return np.ones_like(field)
    hard = field >= np.quantile(field[inside], 1 - share)
    return np.asarray(ndimage.gaussian_filter(hard.astype(np.float32), edge_voxels), np.float32)


def _mass_effect(hu: FloatArray, tumour: NDArray[np.bool_], weight: FloatArray, scale: float) -> FloatArray:
    """Local scaling about each lesion's centre; full in the tumour, fading with the weight around it."""
    if scale == 1.0:
        return hu
    components, count = ndimage.label(tumour)
    centres = np.array(ndimage.center_of_mass(tumour, components, range(1, count + 1)))  # (lesions, 3)
    nearest = ndimage.distance_transform_edt(~tumour, return_distances=False, return_indices=True)
    lesion = components[tuple(nearest)] - 1  # (D, H, W)
    grid = np.indices(hu.shape, dtype=np.float32)
    centre = np.moveaxis(centres[lesion], -1, 0).astype(np.float32)  # (3, D, H, W)
    away = (grid - centre) * (weight * (1.0 / scale - 1.0))
    return np.asarray(ndimage.map_coordinates(hu, grid + away, order=1, mode="nearest"), np.float32)
