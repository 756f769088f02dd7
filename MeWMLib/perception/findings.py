"""What the labels say: liver and lesions in millilitres, millimetres and Hounsfield units.

What lives of a lesion is told in two ways. A patient's scan is measured as `perception.viability` does: averaged
density against the scan's own liver and phase; so is the region that a dynamics model on coarse maps simulates. On the
cube of the latent model single voxels are held against two limits, which fit the images of the synthetic world that the
networks of that model were trained on.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import cc3d
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist

from MeWMLib.core.patient import Findings, Lesion
from MeWMLib.core.volume import LIVER, Geometry, LabelMap, Volume, require_same_geometry
from MeWMLib.perception.liver_place import LiverPlace
from MeWMLib.perception.segments import SegmentMap
from MeWMLib.perception.viability import OIL_HU, LiverReference, Tissue, liver_reference, tissue_of

#: On the cube of the latent model what lives is between these: Lipiodol and what it spreads to, denser than any
#: enhanced tumour or vessel in the portal phase; and necrosis, less dense than any perfused tumour. Noise brings single
#: voxels of a dark lesion under it: shares of one patient can be compared, and no scanner's images. How much tissue
#: holds Lipiodol is told by `viability.OIL_HU` everywhere.
LIPIODOL_HU, NECROSIS_HU = 200, 50


def viable_mask(hu: NDArray[Any], tumour: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Voxels of a tumour at the density of viable tissue.

    Voxels that touch a Lipiodol deposit do not count: between 400 HU of Lipiodol and 30 HU of necrosis every density is
    passed, so that the border of a wholly dead tumour would look viable.

    Args:
        hu, tumour: (K, J, I).
    """
    viable = tumour & (hu >= NECROSIS_HU) & (hu < LIPIODOL_HU)
    bright = tumour & (hu >= LIPIODOL_HU)
    return np.asarray(viable & ~ndimage.binary_dilation(bright), bool) if bright.any() else viable


def numbered(labels: LabelMap) -> NDArray[np.int32]:
    """Connected lesions (26 neighbours) by their numbers in the findings: (K, J, I), 1 for the largest, 0 elsewhere."""
    components = cc3d.connected_components(labels.tumour, connectivity=26)
    sizes = np.bincount(components.ravel())
    numbers = np.zeros(len(sizes), np.int32)
    numbers[1 + np.argsort(-sizes[1:], kind="stable")] = np.arange(1, len(sizes), dtype=np.int32)
    return np.asarray(numbers[components], np.int32)


def measure(
    ct: Volume,
    labels: LabelMap,
    vessels: NDArray[np.bool_] | None = None,
    sizes_only: bool = False,
    segments: SegmentMap | None = None,
    phase: str | None = None,
    liver: LiverReference | None = None,
) -> Findings:
    """Measure the liver and every connected lesion (26 neighbours), largest first.

    `liver_ml` is with tumour, `liver_mean_hu` without (None if nothing else is left).

    Args:
        ct, labels: on one grid.
        vessels: (K, J, I) mask of the main vessels, where known.
        sizes_only: as on the treated patch: leave out the mRECIST diameter and the place of each lesion, and tell what
            lives by two limits, or by `liver`.
        segments: of the liver, where somebody drew them: the place of each lesion is then told by them.
        phase: of the scan, where it is known better than its own field says. Where the phase does not tell, what lives
            and what is necrotic is None; the mRECIST diameter is told in the arterial phase alone.
        liver: with `sizes_only`, of the scan that the image shows or was simulated from. Where its phase does not tell,
            all that is no Lipiodol counts as viable.

    Raises:
        GeometryMismatchError: labels or vessels are not on the grid of the CT.
    """
    require_same_geometry(ct.geometry, labels.geometry, "The labels are not on the grid of the CT")
    place = None if sizes_only else LiverPlace.of(labels, vessels, segments)
    voxel_ml = ct.geometry.voxel_ml
    parenchyma = labels.array == LIVER
    components = cc3d.connected_components(labels.tumour, connectivity=26)
    boxes = ndimage.find_objects(components)
    sizes = np.bincount(components.ravel(), minlength=len(boxes) + 1)[1:]
    reference = liver if sizes_only else liver_reference(ct, labels, phase)
    tissue = None if sizes_only and liver is None else tissue_of(ct, labels.tumour, reference)
    lesions = []
    for index, n in enumerate(np.argsort(-sizes, kind="stable"), start=1):
        mask = components[boxes[n]] == n + 1
        hu = ct.array[boxes[n]][mask].astype(np.float64)
        if tissue is None:
            known = _by_limits(ct.array[boxes[n]], mask)
        elif sizes_only:
            known = _on_patch(tissue, boxes[n], mask)
        else:
            known = _by_liver(tissue, boxes[n], mask, ct.geometry)
        start = np.array([s.start for s in boxes[n]])
        centre = ct.geometry.to_ras(np.argwhere(mask).mean(axis=0) + start)
        volume_ml = float(sizes[n]) * voxel_ml
        low, high = np.percentile(hu, (5, 95))
        edge_mm, vessel_mm, location = place.describe(mask, start) if place else (None, None, "")
        lesions.append(
            Lesion(
                index=index,
                volume_ml=volume_ml,
                longest_axial_diameter_mm=longest_axial_diameter_mm(mask, ct.geometry),
                centre_ras_mm=(float(centre[0]), float(centre[1]), float(centre[2])),
                mean_hu=float(hu.mean()),
                sd_hu=float(hu.std()),
                lipiodol_fraction=known.lipiodol,
                necrotic_fraction=known.necrotic,
                viable_ml=None if known.viable is None else known.viable * voxel_ml,
                viable_diameter_mm=known.diameter_mm,
                hu_low=float(low),
                hu_high=float(high),
                liver_edge_mm=edge_mm,
                vessel_mm=vessel_mm,
                location=location,
            )
        )
    return Findings(
        liver_ml=float(labels.liver.sum()) * voxel_ml,
        liver_mean_hu=float(ct.array[parenchyma].mean(dtype=np.float64)) if parenchyma.any() else None,
        lesions=tuple(lesions),
    )


class _Told(NamedTuple):
    """What a lesion consists of: shares of its voxels, the number of those that live, the mRECIST diameter."""

    lipiodol: float
    necrotic: float | None
    viable: int | None
    diameter_mm: float | None


def _by_limits(hu: NDArray[Any], mask: NDArray[np.bool_]) -> _Told:
    inside = hu[mask]
    shares = float(np.mean(inside >= OIL_HU)), float(np.mean(inside < NECROSIS_HU))
    return _Told(*shares, int(viable_mask(hu, mask).sum()), None)


def _by_liver(tissue: Tissue, box: tuple[slice, ...], mask: NDArray[np.bool_], geometry: Geometry) -> _Told:
    lipiodol = float(tissue.lipiodol[box][mask].mean())
    if tissue.reference is None or not tissue.tells:
        return _Told(lipiodol, None, None, None)
    viable = tissue.viable[box] & mask
    diameter = viable_diameter_mm(viable, geometry) if tissue.reference.phase == "arterial" else None
    return _Told(lipiodol, float(tissue.necrotic[box][mask].mean()), int(viable.sum()), diameter)


def _on_patch(tissue: Tissue, box: tuple[slice, ...], mask: NDArray[np.bool_]) -> _Told:
    lipiodol, viable = (float((kind[box] & mask).sum()) for kind in (tissue.lipiodol, tissue.viable))
    count = float(mask.sum())
    if not tissue.tells:
        return _Told(lipiodol / count, None, int(count - lipiodol), None)
    return _Told(lipiodol / count, float(tissue.necrotic[box][mask].mean()), int(viable), None)


def viable_diameter_mm(viable: NDArray[np.bool_], geometry: Geometry) -> float:
    """mRECIST diameter: the longest axial one of the largest piece of viable tissue.

    Isolated voxels are noise and not counted: a voxel needs more than half of its 3 x 3 neighbours in the
    slice. A rim around a dead core counts with its whole diameter, as a reader would measure it through its middle only
    if the core were alive; so this is an upper bound there (Lencioni and Llovet, Semin Liver Dis 2010;30:52).

    Args:
        viable: (K, J, I), or a part of it.
        geometry: the grid.
    """
    if not viable.any():
        return 0.0
    even = viable & (ndimage.uniform_filter(viable.astype(np.float32), (1, 3, 3), mode="constant") > 0.5)
    pieces = cc3d.connected_components(even, connectivity=26)
    sizes = np.bincount(pieces.ravel())[1:]
    return longest_axial_diameter_mm(pieces == 1 + int(sizes.argmax()), geometry) if sizes.size else 0.0


def longest_axial_diameter_mm(mask: NDArray[np.bool_], geometry: Geometry) -> float:
    """Longest diameter of a mask in any axial slice (largest Feret diameter), as RECIST measures it.

    The slices are those of the array axis that is nearest to the patient's long axis, so an oblique series is
    measured as it was acquired. The outline runs through the middles of the outer voxel edges.

    Args:
        mask: (K, J, I), or a part of it; only the directions and spacings of `geometry` are used.
        geometry: the grid.
    """
    axes = geometry.affine[:3, 2::-1]  # (3, 3): columns are the steps along k, j, i in RAS mm
    axial = int(np.argmax(np.abs(axes[2] / np.linalg.norm(axes, axis=0))))
    rows, columns = (axis for axis in range(3) if axis != axial)
    # the grid is orthogonal, so two spacings are enough to measure inside a slice
    step = np.linalg.norm(axes, axis=0)[[rows, columns]]
    slices = np.moveaxis(mask, axial, 0)
    spans = [_spans(slices.any(axis=axis)) for axis in (2, 1)]
    # no diameter is longer than the diagonal of what a slice holds: the widest slices first, until none can win
    bounds = np.hypot(spans[0] * step[0], spans[1] * step[1])
    longest = 0.0
    for n in np.argsort(-bounds):
        if bounds[n] <= longest:
            break
        longest = max(longest, _feret_mm(slices[n], step))
    return longest


def _spans(lines: NDArray[np.bool_]) -> NDArray[np.intp]:
    """From the first to the last True of each row, both counted; 0 for none."""
    length = lines.shape[1] - lines[:, ::-1].argmax(axis=1) - lines.argmax(axis=1)
    return np.where(lines.any(axis=1), length, 0)


def _feret_mm(mask: NDArray[np.bool_], step: NDArray[np.float64]) -> float:
    """Largest distance of two outline points of a 2-D mask with at least one voxel."""
    points = np.concatenate([_ends(mask), _ends(mask.T)[:, ::-1]]) * step
    return float(pdist(points[ConvexHull(points).vertices]).max())


def _ends(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Both ends (row, column) of every row; a row's last voxel ends half a voxel behind its centre."""
    rows = np.flatnonzero(mask.any(axis=1))
    first = mask[rows].argmax(axis=1) - 0.5
    last = mask.shape[1] - mask[rows, ::-1].argmax(axis=1) - 0.5
    return np.concatenate([np.stack([rows, first], 1), np.stack([rows, last], 1)])


def dice(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Dice overlap of two masks, 0 to 1; two empty masks agree (1)."""
    a, b = np.asarray(a, dtype=bool), np.asarray(b, dtype=bool)
    total = int(a.sum()) + int(b.sum())
    return 2.0 * int((a & b).sum()) / total if total else 1.0
