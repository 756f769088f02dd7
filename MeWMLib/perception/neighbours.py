"""What a network calls tumour or liver and is neither: blood in heart and vessels, bone, what fills stomach and bowel.

All of it is told by the scan itself. A lesion ends where the liver is around it, while a vessel, a rib or a heart goes
on beyond what was outlined; so the image's own piece of blood or of something dense is looked at, and how much of it
lies outside of the outline. What is inside a mass, or enclosed by it and the liver, is never cut out of it: there it is
calcium or Lipiodol.
"""

# mypy: allow-untyped-calls
# scipy carries no types.
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cc3d
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from MeWMLib.core.volume import BACKGROUND, LIVER, TUMOUR, Geometry, LabelMap, Volume, require_same_geometry
from MeWMLib.perception import postprocess
from MeWMLib.perception.phase import guess_phase
from MeWMLib.perception.preprocess import isotropic_geometry, resample
from MeWMLib.perception.registration_quality import body
from MeWMLib.perception.removals import BLOOD, DENSE, GUT, NUMBERS, Removal, listed
from MeWMLib.perception.viability import FAT_HU, LiverReference, liver_reference

#: Edge of the voxels on which it is done, and what is kept around liver and tumour.
STEP_MM, AROUND_MM = 2.0, 40.0
#: Width (sigma) over which the density is averaged.
SMOOTHING_MM = 1.6
#: Blood is as dense as the aorta: down to so much less, as far as chambers of the heart and veins differ, and up to so
#: much more, since the portal vein may be brighter.
BLOOD_SHARE, BLOOD_MORE = 0.15, 0.35
#: Denser than the liver by so much: bone, oral contrast, oil, calcium; in the arterial phase blood as well.
DENSE_ABOVE = 100.0
#: Half the width of the border of something dense, where its density passes that of blood.
BORDER_MM = 3.0
#: From this share of it outside of liver and tumours a piece of the image goes on beyond the outline.
OUTSIDE_SHARE = 0.5
#: A mass or the liver encloses a piece if so much of its rim, so wide, is theirs.
ENCLOSED_SHARE, RIM_MM = 0.6, 4.0
#: How far an outline around such a piece reaches beyond it, and the share of a lesion that may be left then.
SLACK_MM, REST_SHARE = 5.0, 0.35
#: Half the width of the largest vessel inside a liver; what is wider and enclosed is a lesion that enhances.
VESSEL_MM = 8.0
#: Half the width of what is no vessel of the liver, and is taken out of its outline; so much of it at least.
POOL_MM, LEAST_LEAK_ML = 9.0, 1.0
#: A chamber of the heart: half its width at least, and the width over which it is averaged; what of it must be outlined
#: to be taken away, ml; the muscle around it; and the share of liver and tumours beyond the muscle from which on it is
#: a lesion that enhances.
CHAMBER_MM, CHAMBER_SMOOTHING_MM, LEAST_POOL_ML, MUSCLE_MM, HEART_OUTLINED = 10.0, 3.0, 3.0, 12.0, 0.45
#: The layer of the ribs: bone beside a lesion (mm), so much of it at least, no deeper than this below the skin, and the
#: share of a lesion that lies in it.
BESIDE_MM, LEAST_BONE_MM3, DEEPEST_MM, LAYER_SHARE = 20.0, 200.0, 60.0, 0.6
#: Gas in the gut; lung is less empty.
GAS_HU, EMPTY_HU = -400.0, -920.0
#: A lesion that gut gas touches on so much of its rim, and liver on less than the second share, is the gut's.
GAS_SHARE, LEAST_LIVER = 0.08, 0.5

Mask = NDArray[np.bool_]
Box = tuple[slice, ...]
FloatArray = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class _Seen:
    """A scan on coarse voxels.

    Attributes:
        mean: averaged density.
        dense: much denser than liver.
        depth: mm below the skin.
        blood: density of the aorta, or None; see `_blood_of`.
        bright: from which density on tissue is brighter than the liver.
        spacing: mm.
    """

    mean: FloatArray
    dense: Mask
    depth: FloatArray
    blood: float | None
    bright: float
    spacing: float

    @classmethod
    def of(cls, hu: NDArray[np.generic], liver: LiverReference, blood: float | None, spacing: float) -> _Seen:
        """Average a scan (K, J, I)."""
        width = SMOOTHING_MM / spacing
        mean = ndimage.gaussian_filter(np.clip(hu, -1000, 1500).astype(np.float32), width)
        # half of what lies above the limit is cut off, so that something bright does not seem wider than it is
        cut = np.clip(hu, -1000, liver.median_hu + 2 * DENSE_ABOVE).astype(np.float32)
        dense = ndimage.gaussian_filter(cut, width) >= liver.median_hu + DENSE_ABOVE
        depth = ndimage.distance_transform_edt(body(mean), sampling=spacing).astype(np.float32)
        return cls(mean, dense, depth, blood, liver.bright_from_hu, spacing)

    def near(self, mask: Mask, mm: float) -> Mask:
        """Within some mm of a mask."""
        return np.asarray(self.away(mask) <= mm)

    def away(self, mask: Mask) -> FloatArray:
        """Distance to a mask, mm; infinite where it is empty."""
        if not mask.any():
            return np.full(mask.shape, np.inf, np.float32)
        return np.asarray(ndimage.distance_transform_edt(~mask, sampling=self.spacing), np.float32)

    def as_blood(self) -> Mask:
        """As dense as the aorta; not the border of something denser."""
        if self.blood is None:
            return np.zeros(self.mean.shape, bool)
        low, high = max((1 - BLOOD_SHARE) * self.blood, self.bright), (1 + BLOOD_MORE) * self.blood
        border = ndimage.binary_dilation(self.mean > high, iterations=max(round(BORDER_MM / self.spacing), 1))
        return (self.mean >= low) & (self.mean <= high) & ~border

    def chambers(self) -> Mask:
        """Pools as wide as a chamber of the heart; averaged more, so that noise does not divide them."""
        if self.blood is None:
            return np.zeros(self.mean.shape, bool)
        mean = ndimage.gaussian_filter(self.mean, np.sqrt(CHAMBER_SMOOTHING_MM**2 - SMOOTHING_MM**2) / self.spacing)
        low, high = max((1 - BLOOD_SHARE) * self.blood, self.bright), (1 + BLOOD_MORE) * self.blood
        return self.wide((mean >= low) & (mean <= high), CHAMBER_MM)

    def wide(self, mask: Mask, mm: float) -> Mask:
        """Where balls of a radius fit into a mask."""
        if not mask.any():
            return mask
        core = ndimage.distance_transform_edt(mask, sampling=self.spacing) > mm
        return mask & self.near(core, mm + self.spacing)

    def outlined(self, labels: NDArray[np.uint8]) -> Mask:
        """Liver and tumours, as far as they are no fat or air."""
        return (labels > 0) & (self.mean >= FAT_HU)

    def held(self, piece: Mask, outlined: Mask) -> float:
        """The share of a piece's rim that is liver or tumour."""
        rim = self.near(piece, RIM_MM) & ~piece
        return float(outlined[rim].mean()) if rim.any() else 1.0


def without_neighbours(ct: Volume, labels: LabelMap) -> tuple[LabelMap, tuple[Removal, ...]]:
    """Take away what the scan shows to be blood, bone or gut; `postprocess.clean` belongs before it and after it.

    Args:
        ct, labels: on one grid.

    Returns:
        New labels, in which such pieces are liver where liver is around them, else background; and what was removed.

    Raises:
        GeometryMismatchError: the labels are not on the grid of the CT.
    """
    require_same_geometry(ct.geometry, labels.geometry, "The labels are not on the grid of the CT")
    if not (labels.array == LIVER).any():
        return labels, ()
    grid = isotropic_geometry(ct.geometry, STEP_MM)
    coarse = resample(labels.array, labels.geometry, grid, "nearest", 0)
    found = ndimage.find_objects((coarse > 0).astype(np.uint8))
    if not found:
        return labels, ()
    wide = int(np.ceil(AROUND_MM / STEP_MM))
    box = tuple(slice(max(s.start - wide, 0), s.stop + wide) for s in found[0])
    hu = resample(ct.array, ct.geometry, grid)
    reference = liver_reference(Volume(hu, grid), LabelMap(coarse, grid))
    if reference is None:
        return labels, ()
    seen = _Seen.of(hu[box], reference, _blood_of(ct, reference), STEP_MM)
    decision = _decide(seen, coarse[box])
    return _applied(labels, grid, box, coarse, decision)


def cleaned(ct: Volume, labels: LabelMap) -> tuple[LabelMap, tuple[Removal, ...]]:
    """What a network found, without what is anatomically impossible and without blood, bone and gut.

    Args:
        ct, labels: on one grid.

    Returns:
        The labels, and what `without_neighbours` removed.

    Raises:
        GeometryMismatchError: the labels are not on the grid of the CT.
    """
    found, removed = without_neighbours(ct, postprocess.clean(labels))
    return (postprocess.clean(found) if removed else found), removed


def _blood_of(ct: Volume, liver: LiverReference) -> float | None:
    """The density of blood by the aorta; None where it is not seen, or blood is about as dense as the liver."""
    aorta = guess_phase(ct).aorta_hu
    return aorta if aorta is not None and aorta > liver.bright_from_hu else None


class _Decision:
    """What goes, and the labels that are left.

    Attributes:
        kinds: (K, J, I) the number of the kind of what goes, 0 where nothing does.
        left: labels without it.
    """

    def __init__(self, labels: NDArray[np.uint8]) -> None:
        self.kinds, self.left = np.zeros(labels.shape, np.uint8), labels.copy()

    def take(self, mask: Mask, kind: str, label: int = BACKGROUND) -> None:
        """Give a mask another label."""
        self.kinds[mask], self.left[mask] = next(n for n, k in NUMBERS.items() if k == kind), label

    def lesions(self, by: int) -> Iterable[tuple[Box, Mask]]:
        """Each connected lesion: a box around it, with so many voxels on all sides, and the lesion in it."""
        lesions = cc3d.connected_components(self.left == TUMOUR, connectivity=26)
        for number, box in enumerate(ndimage.find_objects(lesions), start=1):
            around = _padded(box, by, lesions.shape)
            yield around, lesions[around] == number


def _decide(seen: _Seen, labels: NDArray[np.uint8]) -> _Decision:
    """Heart first, since what is left of liver and lesions is what the rest is held against."""
    out = _Decision(labels)
    _heart(seen, out)
    for kind, pieces in ((BLOOD, seen.as_blood()), (DENSE, seen.dense)):
        beyond = _going_on(pieces, out.left > 0)
        leak = seen.wide(beyond, POOL_MM) & (out.left == LIVER)
        out.take(cc3d.dust(leak, threshold=int(LEAST_LEAK_ML * 1000 / seen.spacing**3), connectivity=26), kind)
        # a tree of vessels may lie within the liver as a whole; something dense there is calcium or oil
        _pieces(seen, out, _going_on(pieces, out.left == TUMOUR) if kind == BLOOD else beyond, kind)
    _wall(seen, out)
    _gut(seen, out)
    return out


def _going_on(mask: Mask, outlined: Mask) -> Mask:
    """Pieces of which most lies outside of an outline."""
    pieces = cc3d.connected_components(mask, connectivity=6)
    sizes = np.bincount(pieces.ravel())
    outside = np.bincount(pieces[~outlined], minlength=len(sizes))
    on = outside >= OUTSIDE_SHARE * sizes
    on[0] = False
    return np.asarray(on[pieces])


def _heart(seen: _Seen, out: _Decision) -> None:
    """Chambers with their muscle: wide pools as dense as the aorta with no liver beyond the muscle around them."""
    pools = cc3d.connected_components(seen.chambers(), connectivity=6)
    outlined, voxel_ml = out.left > 0, seen.spacing**3 / 1000
    heart, half = np.zeros(pools.shape, bool), 0.5 * ((seen.blood or 0.0) + seen.bright)
    taken = np.bincount(pools[outlined], minlength=int(pools.max()) + 1) * voxel_ml
    for number in range(1, len(taken)):
        if taken[number] < LEAST_POOL_ML:
            continue
        # averaging took the border of the pool away
        pool = seen.near(pools == number, 2 * CHAMBER_SMOOTHING_MM) & (seen.mean >= half)
        away = seen.away(pool)
        shell = (away > MUSCLE_MM) & (away <= MUSCLE_MM + RIM_MM)
        if shell.any() and outlined[shell].mean() < HEART_OUTLINED:
            heart |= pool
    if not heart.any():
        return
    to_heart = seen.away(heart)
    rest = outlined & (to_heart > MUSCLE_MM)
    core = ndimage.distance_transform_edt(rest, sampling=seen.spacing) > postprocess.BRIDGE_MM
    if not core.any():
        return
    liver = cc3d.largest_k(core, k=1, connectivity=26) > 0
    # where heart and liver lie on one another the border is half way between the pool and what is surely liver
    nearer = (to_heart <= MUSCLE_MM) & (to_heart < seen.away(liver) - postprocess.BRIDGE_MM)
    for around, lesion in out.lesions(0):
        if (lesion & (to_heart[around] > MUSCLE_MM)).sum() <= REST_SHARE * lesion.sum():
            nearer[around] |= lesion
    out.take(nearer & outlined, BLOOD)


def _pieces(seen: _Seen, out: _Decision, beyond: Mask, kind: str) -> None:
    """Lesions that are nothing but a piece that goes on beyond them, and such pieces at the border of a mass."""
    outlined = seen.outlined(out.left)
    for around, lesion in out.lesions(int(np.ceil(2 * SLACK_MM / seen.spacing)) + 1):
        core = lesion & beyond[around]
        if not core.any():
            continue
        tissue = lesion & (seen.mean[around] >= FAT_HU)
        rest = tissue & ~seen.near(core, SLACK_MM)
        if rest.sum() <= REST_SHARE * tissue.sum():
            enclosed = seen.held(lesion, outlined[around]) >= ENCLOSED_SHARE
            depth = ndimage.distance_transform_edt(beyond[around], sampling=seen.spacing)
            if not enclosed or depth[lesion].max() <= VESSEL_MM:
                out.take(_whole(beyond.shape, around, lesion), kind, LIVER if enclosed else BACKGROUND)
            continue
        parts = cc3d.connected_components(core, connectivity=26)
        for part in range(1, int(parts.max()) + 1):
            piece = parts == part
            # an outline around a rib is wider than the rib, and is not what holds it
            if seen.held(lesion & seen.near(piece, SLACK_MM), outlined[around]) < ENCLOSED_SHARE:
                out.take(_whole(beyond.shape, around, lesion & seen.near(piece, BORDER_MM)), kind)


def _wall(seen: _Seen, out: _Decision) -> None:
    """Lesions in the layer of the ribs: no deeper below the skin than the bone beside them."""
    outlined = seen.outlined(out.left)
    bone = _going_on(seen.dense & ~seen.wide(seen.dense, POOL_MM), outlined) & (seen.depth < DEEPEST_MM)
    for around, lesion in out.lesions(int(np.ceil(BESIDE_MM / seen.spacing))):
        if seen.held(lesion, outlined[around]) >= ENCLOSED_SHARE:
            continue
        beside = bone[around] & seen.near(lesion, BESIDE_MM)
        if beside.sum() * seen.spacing**3 < LEAST_BONE_MM3:
            continue
        layer = np.percentile(seen.depth[around][beside], 75)
        if (seen.depth[around][lesion] <= layer).mean() >= LAYER_SHARE:
            out.take(_whole(bone.shape, around, lesion), DENSE)


def _gut(seen: _Seen, out: _Decision) -> None:
    """Lesions beside gas of the gut that are not in the liver."""
    gas = seen.mean < GAS_HU
    inner = ndimage.binary_erosion(gas)
    pieces = cc3d.connected_components(gas, connectivity=6)
    count = int(pieces.max()) + 1
    sizes = np.bincount(pieces[inner], minlength=count)
    level = np.bincount(pieces[inner], seen.mean[inner], count) / np.maximum(sizes, 1)
    empty = level < EMPTY_HU
    empty[np.unique(pieces[seen.depth == 0])] = False  # air outside of the body
    empty[0] = False
    gut = empty[pieces]
    for around, lesion in out.lesions(int(np.ceil(2 * RIM_MM / seen.spacing)) + 1):
        rim = seen.near(lesion, 2 * RIM_MM) & ~lesion
        held = (out.left[around][rim] == LIVER).mean()
        if held < LEAST_LIVER and gut[around][rim].mean() >= GAS_SHARE:
            out.take(_whole(gas.shape, around, lesion), GUT)


def _padded(box: tuple[slice, ...], by: int, shape: tuple[int, ...]) -> tuple[slice, ...]:
    return tuple(slice(max(s.start - by, 0), min(s.stop + by, n)) for s, n in zip(box, shape, strict=True))


def _whole(shape: tuple[int, ...], box: tuple[slice, ...], part: Mask) -> Mask:
    out = np.zeros(shape, bool)
    out[box] = part
    return out


def _applied(
    labels: LabelMap,
    grid: Geometry,
    box: tuple[slice, ...],
    coarse: NDArray[np.uint8],
    decision: _Decision,
) -> tuple[LabelMap, tuple[Removal, ...]]:
    """The labels on their own grid without what goes, and the list of it."""
    kinds, into = decision.kinds, decision.left
    if not kinds.any():
        return labels, ()
    stays = (coarse[box] == TUMOUR) & (kinds == 0)
    # voxels of the own grid at the border of a piece may be nearest to a voxel beyond it
    edge = ndimage.binary_dilation(kinds > 0, np.ones((3, 3, 3), bool)) & (kinds == 0) & ~stays
    at = ndimage.distance_transform_edt(kinds == 0, return_distances=False, return_indices=True)
    was = np.where(kinds > 0, coarse[box], np.uint8(0))
    wide = {name: np.zeros(coarse.shape, np.uint8) for name in ("kinds", "into", "was")}
    for name, values in (("kinds", kinds), ("into", into), ("was", was)):
        wide[name][box] = np.where(edge, values[tuple(at)], values)
    fine = {name: resample(values, grid, labels.geometry, "nearest", 0) for name, values in wide.items()}
    gone = (fine["kinds"] > 0) & (labels.array == fine["was"])
    array = np.where(gone, fine["into"], labels.array).astype(np.uint8)
    return labels.with_array(array), tuple(listed(labels, np.where(gone, fine["kinds"], 0)))
