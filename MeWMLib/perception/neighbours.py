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
from functools import cached_property

import cc3d
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from MeWMLib.core.volume import BACKGROUND, LIVER, TUMOUR, Geometry, LabelMap, Volume, require_same_geometry
from MeWMLib.perception import postprocess
from MeWMLib.perception.phase import guess_phase
from MeWMLib.perception.preprocess import isotropic_geometry, resample
from MeWMLib.perception.registration_quality import body, within
from MeWMLib.perception.removals import BLOOD, DENSE, GUT, NUMBERS, Removal, listed
from MeWMLib.perception.viability import FAT_HU, LiverReference, liver_reference

#: Edge of the voxels on which it is done, and what is kept around liver and tumour.
STEP_MM, AROUND_MM = 2.0, 40.0
#: Width (sigma) over which the density is averaged.
SMOOTHING_MM = 1.6
#: Blood is as dense as the aorta: down to so much less, as far as chambers of the heart and veins differ, and up to so
#: much more, since the portal vein may be brighter.
BLOOD_SHARE, BLOOD_MORE = 0.2, 0.35
#: Denser than the liver by so much: bone, oral contrast, oil, calcium; in the arterial phase blood as well.
DENSE_ABOVE = 100.0
#: Half the width of the border of something dense, where its density passes that of blood.
BORDER_MM = 3.0
#: From this share of it outside of liver and tumours a piece of the image goes on beyond the outline.
OUTSIDE_SHARE = 0.5
#: A mass or the liver encloses a piece if so much of its rim, so wide, is theirs.
ENCLOSED_SHARE, RIM_MM = 0.6, 4.0
#: How far an outline around such a piece reaches beyond it, the share of a lesion that may be left then, and the share
#: that the piece itself takes up at least. Smaller pieces are not looked at (ml).
SLACK_MM, REST_SHARE, CORE_SHARE, LEAST_PIECE_ML = 5.0, 0.35, 0.25, 0.05
#: Half the width of the largest vessel inside a liver; what is wider and enclosed is a lesion that enhances. A vessel
#: is long: its volume is so many times that of the largest ball in it.
VESSEL_MM, LONG = 8.0, 3.0
#: A part goes on beyond the outline if it does so over so much of its surface; a vessel that is short, over three times
#: as much. Oil that touches a rib, and a lesion that its artery reaches, do not.
OPEN_SHARE = 0.05
#: Half the width of what is no vessel of the liver, and is taken out of its outline; so much of it at least.
POOL_MM, LEAST_LEAK_ML = 9.0, 1.0
#: A chamber of the heart: half its width at least, and the width over which it is averaged; so much of it there is, and
#: is outlined, at least (ml); the muscle around it; and the share of liver and tumours beyond the muscle from which on
#: it is a lesion that enhances.
CHAMBER_MM, CHAMBER_SMOOTHING_MM, CHAMBER_ML, LEAST_POOL_ML, MUSCLE_MM, HEART_OUTLINED = 10.0, 3.0, 10.0, 3.0, 12.0, 0.45
#: The layer of the ribs: bone beside a lesion (mm), so much of it at least, no deeper than this below the skin; down to
#: where so many percent of that bone lie; and the share of a lesion that lies in it.
BESIDE_MM, LEAST_BONE_MM3, DEEPEST_MM, LAYER_PERCENT, LAYER_SHARE = 20.0, 200.0, 60.0, 75, 0.6
#: Gas in the gut; lung is less empty.
GAS_HU, EMPTY_HU = -400.0, -920.0
#: A lesion that gut gas touches on so much of its rim, and liver on less than the second share, is the gut's. A mass
#: beside a stomach has the stomach's wall between it and the gas.
GAS_SHARE, LEAST_LIVER = 0.12, 0.4

_CROSS = ndimage.generate_binary_structure(3, 1)
Mask = NDArray[np.bool_]
Box = tuple[slice, ...]
FloatArray = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class _Seen:
    """A scan on coarse voxels.

    Attributes:
        mean: averaged density.
        dense: much denser than liver.
        blood: density of the aorta, or None; see `_blood_of`.
        liver: the scan's own liver.
        spacing: mm.
    """

    mean: FloatArray
    dense: Mask
    blood: float | None
    liver: LiverReference
    spacing: float

    @classmethod
    def of(cls, hu: NDArray[np.generic], liver: LiverReference, blood: float | None, spacing: float) -> _Seen:
        """Average a scan (K, J, I)."""
        width = SMOOTHING_MM / spacing
        mean = ndimage.gaussian_filter(np.clip(hu, -1000, 1500).astype(np.float32), width, truncate=3)
        # half of what lies above the limit is cut off, so that something bright does not seem wider than it is
        cut = np.clip(hu, -1000, liver.median_hu + 2 * DENSE_ABOVE).astype(np.float32)
        dense = ndimage.gaussian_filter(cut, width, truncate=3) >= liver.median_hu + DENSE_ABOVE
        return cls(mean, dense, blood, liver, spacing)

    @cached_property
    def depth(self) -> FloatArray:
        """Mm below the skin, from every second voxel."""
        trunk = body(self.mean[::2, ::2, ::2])
        deep = ndimage.distance_transform_edt(trunk, sampling=2 * self.spacing).astype(np.float32)
        index = np.ix_(*(np.arange(n) // 2 for n in self.mean.shape))
        return np.asarray(deep[index])

    def near(self, mask: Mask, mm: float) -> Mask:
        """Within some mm of a mask."""
        return within(mask, mm, (self.spacing,) * 3)

    def away(self, mask: Mask) -> FloatArray:
        """Distance to a mask, mm; infinite where it is empty."""
        if not mask.any():
            return np.full(mask.shape, np.inf, np.float32)
        return np.asarray(ndimage.distance_transform_edt(~mask, sampling=self.spacing), np.float32)

    def as_blood(self) -> Mask:
        """As dense as the aorta; not the border of something denser."""
        if self.blood is None:
            return np.zeros(self.mean.shape, bool)
        high = (1 + BLOOD_MORE) * self.blood
        border = ndimage.binary_dilation(self.mean > high, iterations=max(round(BORDER_MM / self.spacing), 1))
        return self._like_blood(self.mean) & ~border

    def chambers(self) -> Mask:
        """Pools as wide as a chamber of the heart; averaged more, so that noise does not divide them."""
        if self.blood is None:
            return np.zeros(self.mean.shape, bool)
        width = np.sqrt(CHAMBER_SMOOTHING_MM**2 - SMOOTHING_MM**2) / self.spacing
        mean = ndimage.gaussian_filter(self.mean, width, truncate=3)
        return self.wide(self._like_blood(mean), CHAMBER_MM)

    def _like_blood(self, mean: FloatArray) -> Mask:
        blood = self.blood or 0.0
        low = max((1 - BLOOD_SHARE) * blood, self.liver.bright_from_hu)
        return np.asarray((mean >= low) & (mean <= (1 + BLOOD_MORE) * blood))

    def wide(self, mask: Mask, mm: float) -> Mask:
        """Where balls of a radius fit into a mask."""
        out = np.zeros(mask.shape, bool)
        # a ball holds a cube of 1.15 times its radius, which holds one of the blocks that fill the grid
        side = (int(2 * mm / np.sqrt(3) / self.spacing) + 1) // 2
        blocks = [n - n % side for n in mask.shape]
        whole = mask[tuple(slice(n) for n in blocks)].reshape([n for b in blocks for n in (b // side, side)])
        full = np.argwhere(whole.all((1, 3, 5))) * side
        pieces = cc3d.connected_components(mask, connectivity=6)
        boxes = ndimage.find_objects(pieces)
        for number in np.unique(pieces[tuple(full.T)]):
            box = _padded(boxes[number - 1], 1, mask.shape)
            piece = pieces[box] == number
            core = ndimage.distance_transform_edt(piece, sampling=self.spacing) > mm
            out[box] |= piece & self.near(core, mm + self.spacing)
        return out

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
    """Chambers with their muscle: wide pools as dense as the aorta, high up, with no liver beyond the muscle."""
    outlined, voxel_ml = out.left > 0, seen.spacing**3 / 1000
    pools = cc3d.connected_components(seen.chambers(), connectivity=6)
    sizes = np.bincount(pools.ravel()) * voxel_ml
    taken = np.bincount(pools[outlined], minlength=len(sizes)) * voxel_ml
    middle = np.median(np.flatnonzero((out.left == LIVER).any((1, 2))))
    heart, half = np.zeros(pools.shape, bool), 0.5 * ((seen.blood or 0.0) + seen.liver.bright_from_hu)
    for number, box in enumerate(ndimage.find_objects(pools), start=1):
        if taken[number] < LEAST_POOL_ML or sizes[number] < CHAMBER_ML or box[0].start + box[0].stop < 2 * middle:
            continue
        # averaging took the border of the pool away
        pool = seen.near(pools == number, 2 * CHAMBER_SMOOTHING_MM) & (seen.mean >= half)
        shell = seen.near(pool, MUSCLE_MM + RIM_MM) & ~seen.near(pool, MUSCLE_MM)
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
        parts = _open_parts(seen, lesion & beyond[around], beyond[around] & ~lesion)
        if not parts:
            continue
        core = np.logical_or.reduce(parts)
        tissue = lesion & (seen.mean[around] >= FAT_HU)
        rest = tissue & ~seen.near(core, SLACK_MM)
        if rest.sum() <= REST_SHARE * tissue.sum():
            enclosed = seen.held(lesion, outlined[around]) >= ENCLOSED_SHARE
            if _is_all(seen, around, tissue, core, beyond[around]) and (
                not enclosed or (kind == BLOOD and _is_vessel(seen, core, beyond[around] & ~lesion))
            ):
                out.take(_whole(beyond.shape, around, lesion), kind, LIVER if enclosed else BACKGROUND)
            continue
        for piece in parts:
            # an outline around a rib is wider than the rib, and is not what holds it
            if seen.held(lesion & seen.near(piece, SLACK_MM), outlined[around]) < ENCLOSED_SHARE:
                out.take(_whole(beyond.shape, around, lesion & seen.near(piece, BORDER_MM)), kind)


def _open_parts(seen: _Seen, core: Mask, further: Mask) -> list[Mask]:
    """Parts of what goes on beyond a lesion, divided where they touch little, that themselves go on beyond it."""
    if core.sum() < LEAST_PIECE_ML * 1000 / seen.spacing**3:
        return []
    seeds = cc3d.connected_components(ndimage.binary_erosion(core), connectivity=6).astype(np.int32)
    for _ in range(2):
        seeds = np.where(core & (seeds == 0), ndimage.grey_dilation(seeds, footprint=_CROSS), seeds)
    thin = cc3d.connected_components(core & (seeds == 0), connectivity=26)
    parts = np.where(thin > 0, thin + seeds.max(), seeds)
    found = []
    for number, box in enumerate(ndimage.find_objects(parts), start=1):
        part = parts[box] == number
        if part.sum() >= LEAST_PIECE_ML * 1000 / seen.spacing**3:
            wide = _padded(box, 2, parts.shape)
            if _open_share(parts[wide] == number, further[wide]) >= OPEN_SHARE:
                found.append(parts == number)
    return found


def _open_share(part: Mask, further: Mask) -> float:
    """The share of the voxels around a part where it goes on."""
    shell = ndimage.binary_dilation(part) & ~part
    return float(further[shell].mean()) if shell.any() else 0.0


def _is_all(seen: _Seen, around: Box, tissue: Mask, core: Mask, beyond: Mask) -> bool:
    """A lesion is a piece and its soft border; what else is in it is no tissue that is darker than the liver."""
    if core.sum() < CORE_SHARE * tissue.sum():
        return False
    mean = seen.mean[around]
    others = tissue & ~seen.near(beyond, seen.spacing) & ~seen.near(mean < FAT_HU, RIM_MM)
    if others.sum() < CORE_SHARE * tissue.sum():
        return True
    return bool(np.median(mean[others]) >= seen.liver.median_hu - 0.5 * seen.liver.margin_hu)


def _is_vessel(seen: _Seen, core: Mask, further: Mask) -> bool:
    """A piece is no wider than a vessel, and long or widely open."""
    half = float(ndimage.distance_transform_edt(core, sampling=seen.spacing).max()) - 0.5 * seen.spacing
    ball = 4 / 3 * np.pi * half**3
    long = core.sum() * seen.spacing**3 >= LONG * ball
    return half <= VESSEL_MM and (long or _open_share(core, further) >= 3 * OPEN_SHARE)


def _wall(seen: _Seen, out: _Decision) -> None:
    """Lesions in the layer of the ribs: no deeper below the skin than the bone beside them."""
    outlined = seen.outlined(out.left)
    loose = [
        (around, lesion)
        for around, lesion in out.lesions(int(np.ceil(BESIDE_MM / seen.spacing)))
        if seen.held(lesion, outlined[around]) < ENCLOSED_SHARE and (seen.dense[around] & ~outlined[around]).any()
    ]
    if not loose:
        return
    bone = _going_on(seen.dense & ~seen.wide(seen.dense, POOL_MM), outlined) & (seen.depth < DEEPEST_MM)
    for around, lesion in loose:
        beside = bone[around] & seen.near(lesion, BESIDE_MM)
        if beside.sum() * seen.spacing**3 < LEAST_BONE_MM3:
            continue
        layer = np.percentile(seen.depth[around][beside], LAYER_PERCENT)
        if (seen.depth[around][lesion] <= layer).mean() >= LAYER_SHARE:
            out.take(_whole(bone.shape, around, lesion), DENSE)


def _gut(seen: _Seen, out: _Decision) -> None:
    """Lesions beside gas of the gut that are not in the liver."""
    gas = seen.mean < GAS_HU
    loose = []
    for around, lesion in out.lesions(int(np.ceil(2 * RIM_MM / seen.spacing)) + 1):
        rim = seen.near(lesion, 2 * RIM_MM) & ~lesion
        if gas[around][rim].any() and (out.left[around][rim] == LIVER).mean() < LEAST_LIVER:
            loose.append((around, lesion))
    if not loose:
        return
    inner = ndimage.binary_erosion(gas)
    pieces = cc3d.connected_components(gas, connectivity=6)
    count = int(pieces.max()) + 1
    sizes = np.bincount(pieces[inner], minlength=count)
    level = np.bincount(pieces[inner], seen.mean[inner], count) / np.maximum(sizes, 1)
    empty = level < EMPTY_HU
    empty[np.unique(pieces[seen.depth == 0])] = False  # air outside of the body
    empty[0] = False
    gut = empty[pieces]
    for around, lesion in loose:
        rim = seen.near(lesion, RIM_MM) & ~lesion
        if gut[around][rim].mean() >= GAS_SHARE:
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
    place = ndimage.find_objects((decision.kinds > 0).astype(np.uint8))
    if not place:
        return labels, ()
    near = _padded(place[0], 2, decision.kinds.shape)
    start = tuple(a.start + b.start for a, b in zip(box, near, strict=True))
    kinds, before, into = decision.kinds[near], coarse[box][near], decision.left[near]
    stays = (before == TUMOUR) & (kinds == 0)
    # voxels of the own grid at the border of a piece may be nearest to a voxel beyond it
    edge = ndimage.binary_dilation(kinds > 0, np.ones((3, 3, 3), bool)) & (kinds == 0) & ~stays
    at = ndimage.distance_transform_edt(kinds == 0, return_distances=False, return_indices=True)
    was = np.where(kinds > 0, before, np.uint8(0))
    part = grid.crop((start[0], start[1], start[2]), (kinds.shape[0], kinds.shape[1], kinds.shape[2]))
    ends = labels.geometry.to_kji(part.to_ras(part.corners))
    low = np.clip(np.floor(ends.min(0)), 0, None).astype(int)
    high = np.minimum(np.ceil(ends.max(0)).astype(int) + 1, labels.array.shape)
    own = labels.geometry.crop((low[0], low[1], low[2]), (*(int(n) for n in high - low),))
    inside = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    fine = {
        name: resample(np.where(edge, values[tuple(at)], values), part, own, "nearest", 0)
        for name, values in (("kinds", kinds), ("into", into), ("was", was))
    }
    array = labels.array.copy()
    gone = (fine["kinds"] > 0) & (array[inside] == fine["was"])
    here = LabelMap(array[inside].copy(), own)
    array[inside][gone] = fine["into"][gone]
    return labels.with_array(array), tuple(listed(here, np.where(gone, fine["kinds"], 0)))
