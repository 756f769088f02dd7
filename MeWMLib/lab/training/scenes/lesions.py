"""Lesions of scenes: those of the label map and drawn ones, before treatment or with necrosis, Lipiodol and calcium."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from MeWMLib.cohorts.synthetic.fields import Axes, FloatArray, SmoothField, derive_seed
from MeWMLib.cohorts.synthetic.shapes import LiverShape
from MeWMLib.cohorts.synthetic.tumour import Nodule

#: How many lesions are drawn beside those of the label map, and how often.
COUNTS, SHARES = (0, 1, 2, 4, 8, 16), (0.2, 0.2, 0.25, 0.15, 0.12, 0.08)
#: Share of scenes without any tumour.
WITHOUT = 0.15


@dataclass(frozen=True)
class LesionLook:
    """How lesions of one scene look; HU beside the liver's unless said otherwise."""

    tissue: float
    coarse: float
    rim: float
    rim_mm: float
    core_share: float
    core_hu: float
    oil_share: float
    oil_hu: float
    oil_grain: float
    oil_side: tuple[float, float, float]
    soft_mm: float
    calcium_share: float = 0.0
    calcium_hu: float = 0.0
    gas_share: float = 0.0

    @classmethod
    def draw(cls, rng: np.random.Generator, treated: bool) -> LesionLook:
        """Draw it; what was `treated` is mostly dead, and most of that holds Lipiodol."""
        dark = rng.random() < 0.68
        tissue = -rng.uniform(8, 75) if dark else rng.uniform(8, 75)
        core = rng.uniform(0.1, 0.95) if treated or rng.random() < 0.3 else 0.0
        oily = treated and rng.random() < 0.65
        oil = rng.uniform(0.1, 1.0) if oily else 0.0
        hard = rng.random()
        return cls(
            tissue=float(tissue),
            coarse=float(rng.uniform(2, 16)),
            rim=float(rng.uniform(15, 90)) if rng.random() < 0.3 else 0.0,
            rim_mm=float(rng.uniform(1.5, 5)),
            core_share=float(1.0 if oily and rng.random() < 0.12 else core),
            core_hu=float(rng.uniform(0, 48)),
            oil_share=float(oil),
            oil_hu=float(rng.uniform(180, 900)),
            oil_grain=float(rng.uniform(0.1, 1.2)),
            oil_side=tuple(rng.normal(0, rng.uniform(0, 1.2), 3)),
            soft_mm=float(rng.uniform(1.0, 6.0) if rng.random() < 0.7 else rng.uniform(6, 12)),
            # calcium, or oil of an earlier session; a few lesions are dense throughout
            calcium_share=float(rng.uniform(0.01, 0.3) if hard < 0.1 else rng.uniform(0.6, 1.0) if hard < 0.12 else 0),
            calcium_hu=float(rng.uniform(180, 1100)),
            gas_share=float(rng.uniform(0.01, 0.12)) if treated and core and rng.random() < 0.05 else 0.0,
        )


def paint_lesions(
    hu: FloatArray,
    distance: FloatArray,
    allowed: NDArray[np.bool_],
    axes: Axes,
    look: LesionLook,
    liver: float,
    seed: int,
) -> NDArray[np.bool_]:
    """Paint lesions whose signed distance (mm, positive inside) is given into `hu`; returns their mask.

    What of a lesion is dense with oil or calcium, or holds gas, stays part of it.
    """
    mask = (distance > 0) & allowed
    if not mask.any():
        return mask
    fine = SmoothField(derive_seed("lesion fine", seed), 4.0).at(axes)
    wide = SmoothField(derive_seed("lesion wide", seed), 11.0).at(axes)
    value = liver + look.tissue + look.coarse * (0.6 * wide + 0.5 * fine)
    if look.rim:
        value = value + look.rim * np.exp(-(((distance - look.rim_mm) / look.rim_mm) ** 2))
    depth = distance / max(1.0, float(distance[mask].max()))
    if look.core_share > 0:
        order = depth + 0.35 * wide + 0.12 * fine
        dead = order > np.quantile(order[mask], 1 - look.core_share)
        value = np.where(dead, look.core_hu + 5 * fine, value)
        if look.gas_share > 0:
            value = np.where(dead & (fine > np.quantile(fine[mask], 1 - look.gas_share)), -700.0, value)
        if look.oil_share > 0 and (dead & mask).any():
            # one side takes up more of it than the other, in lumps or in speckles
            reach = 2 * max(1.0, float(distance[mask].max()))
            side = sum(w * g for w, g in zip(look.oil_side, axes.grids, strict=True)) / reach
            place = 0.5 * wide + look.oil_grain * fine - 0.4 * depth + side
            oil = dead & (place > np.quantile(place[dead & mask], 1 - look.oil_share))
            value = np.where(oil, np.maximum(130, look.oil_hu * (1 + 0.35 * fine)), value)
    if look.calcium_share > 0:
        lumps = 0.7 * fine + 0.5 * wide
        hard = lumps > np.quantile(lumps[mask], 1 - look.calcium_share)
        value = np.where(hard, np.maximum(130, look.calcium_hu * (1 + 0.3 * fine)), value)
    weight = np.clip(distance / look.soft_mm + 0.5, 0, 1) * allowed
    hu += weight * (value - hu)
    return mask


def draw_lesions(
    hu: FloatArray,
    liver: FloatArray,
    bulge: NDArray[np.bool_],
    labels: NDArray[np.uint8],
    axes: Axes,
    liver_hu: float,
    tumours: tuple[LiverShape, tuple[float, float, float]] | None,
    rng: np.random.Generator,
    treated: bool,
) -> None:
    """Paint the map's tumours and drawn ones, all of one look or each of its own; in some scenes none at all.

    Args:
        hu, labels: (K, J, I), drawn into.
        liver: (K, J, I) signed mm, positive inside.
        bulge: (K, J, I) where a mass may bulge out of the liver.
        axes: of the grid.
        liver_hu: HU of the liver.
        tumours: those of the map, and where the liver's middle lies (z, y, x); None if it has none.
        rng: of everything.
        treated: after treatment.
    """
    inside = liver > 0
    spots = np.argwhere(inside)
    if not len(spots) or rng.random() < WITHOUT:
        return
    common = LesionLook.draw(rng, treated)
    if tumours is not None and rng.random() < 0.85:
        shape, middle = tumours
        distance = shape.signed_mm(axes.shifted(middle))
        labels[paint_lesions(hu, distance, inside, axes, common, liver_hu, int(rng.integers(2**40)))] = 2
    count = int(rng.choice(COUNTS, p=SHARES))
    for n in range(count):
        large = n == 0 and rng.random() < 0.25
        radius = float(rng.uniform(28, 75) if large else np.clip(rng.lognormal(np.log(8), 0.55), 2.5, 32))
        k, j, i = spots[int(rng.integers(len(spots)))]
        form = "cluster" if rng.random() < 0.15 else "ball"
        nodule = Nodule(
            (float(axes.z[k]), float(axes.y[j]), float(axes.x[i])), radius, float(rng.uniform(0.03, 0.2)),
            int(rng.integers(2**40)), form,
        )  # fmt: skip
        box = nodule.box(axes)
        if box is None:
            continue
        part = Axes(axes.z[box[0]], axes.y[box[1]], axes.x[box[2]])
        allowed = inside[box] | bulge[box] if large and rng.random() < 0.6 else inside[box]
        look = common if rng.random() < 0.5 else LesionLook.draw(rng, treated)
        mask = paint_lesions(hu[box], nodule.shape(part) * radius, allowed, part, look, liver_hu, nodule.seed)
        labels[box][mask] = 2
