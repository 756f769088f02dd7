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

import cc3d
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from MeWMLib.core.questions import Question
from MeWMLib.core.volume import BACKGROUND, LIVER, TUMOUR, Geometry, LabelMap, Volume, require_same_geometry
from MeWMLib.perception import postprocess
from MeWMLib.perception.phase import guess_phase
from MeWMLib.perception.preprocess import isotropic_geometry, resample
from MeWMLib.perception.removals import BLOOD, DENSE, GUT, NUMBERS, Removal, listed, question_removed
from MeWMLib.perception.surroundings import (
    BORDER_MM,
    CHAMBER_SMOOTHING_MM,
    OPEN_SHARE,
    RIM_MM,
    WIDELY,
    Box,
    Mask,
    Surroundings,
    going_on,
    longer,
    open_parts,
    open_share,
    padded,
    whole,
)
from MeWMLib.perception.viability import LiverReference, liver_reference

#: Edge of the voxels on which it is done, and what is kept around liver and tumour.
STEP_MM, AROUND_MM = 2.0, 40.0
#: A mass or the liver encloses a piece if so much of its rim is theirs.
ENCLOSED_SHARE = 0.6
#: How far an outline around such a piece reaches beyond it, the share of a lesion that may be left then, and the share
#: that the piece itself takes up at least.
SLACK_MM, REST_SHARE, CORE_SHARE = 5.0, 0.35, 0.25
#: Half the width of the largest vessel inside a liver; what is wider and enclosed is a lesion that enhances. A vessel
#: is long: its volume is so many times that of the largest ball in it; branches in their sheath even more so. It goes
#: on over no more of its surface than this, since liver is around it.
VESSEL_MM, LONG, THIN, CLOSED_SHARE = 8.0, 3.0, 12.0, 0.4
#: Half the width of what is no vessel of the liver, and is taken out of its outline; so much of it at least.
POOL_MM, LEAST_LEAK_ML = 9.0, 1.0
#: Of a chamber of the heart there is so much, and is outlined so much, at least (ml); the muscle around it; and the
#: share of liver and tumours beyond the muscle from which on it is a lesion that enhances.
CHAMBER_ML, LEAST_POOL_ML, MUSCLE_MM, HEART_OUTLINED = 10.0, 3.0, 12.0, 0.45
#: The layer of the ribs: bone beside a lesion (mm), so much of it at least, no deeper than this below the skin; down to
#: where so many percent of that bone lie; and the share of a lesion that lies in it. A lesion of whose rim so much is
#: liver or tumour lies in the liver, whatever is beside it.
BESIDE_MM, LEAST_BONE_MM3, DEEPEST_MM, LAYER_PERCENT, LAYER_SHARE, LOOSE_SHARE = 20.0, 200.0, 60.0, 75, 0.6, 0.45
#: Gas in the gut; lung is less empty.
GAS_HU, EMPTY_HU = -400.0, -920.0
#: A lesion that gut gas touches on so much of its rim, and liver on less than the second share, is the gut's. A mass
#: beside a stomach has the stomach's wall between it and the gas.
GAS_SHARE, LEAST_LIVER = 0.12, 0.4


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
    seen = Surroundings.of(hu[box], reference, _blood_of(ct, reference), STEP_MM)
    decision = _decide(seen, coarse[box])
    return _applied(labels, grid, box, coarse, decision)


def cleaned(ct: Volume, labels: LabelMap, asked: list[Question] | None = None) -> tuple[LabelMap, tuple[Removal, ...]]:
    """What a network found, without what is anatomically impossible and without blood, bone and gut.

    Args:
        ct, labels: on one grid.
        asked: gets notes to the user on what was removed.

    Returns:
        The labels, and what `without_neighbours` removed.

    Raises:
        GeometryMismatchError: the labels are not on the grid of the CT.
    """
    found, removed = without_neighbours(ct, postprocess.clean(labels))
    if asked is not None:
        asked += question_removed(removed)
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
            around = padded(box, by, lesions.shape)
            yield around, lesions[around] == number


def _decide(seen: Surroundings, labels: NDArray[np.uint8]) -> _Decision:
    """Heart first, since what is left of liver and lesions is what the rest is held against."""
    out = _Decision(labels)
    _heart(seen, out)
    for kind, pieces in ((BLOOD, seen.as_blood()), (DENSE, seen.dense)):
        beyond = going_on(pieces, out.left > 0)
        leak = seen.wide(beyond, POOL_MM, out.left == LIVER) & (out.left == LIVER)
        out.take(cc3d.dust(leak, threshold=int(LEAST_LEAK_ML * 1000 / seen.spacing**3), connectivity=26), kind)
        # a tree of vessels may lie within the liver as a whole; something dense there is calcium or oil
        _pieces(seen, out, going_on(pieces, out.left == TUMOUR) if kind == BLOOD else beyond, kind)
    _wall(seen, out)
    _gut(seen, out)
    return out


def _heart(seen: Surroundings, out: _Decision) -> None:
    """Chambers with their muscle: wide pools as dense as the aorta, high up, with no liver beyond the muscle."""
    outlined, voxel_ml = out.left > 0, seen.spacing**3 / 1000
    pools = cc3d.connected_components(seen.chambers(outlined), connectivity=6)
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


def _pieces(seen: Surroundings, out: _Decision, beyond: Mask, kind: str) -> None:
    """Lesions that are nothing but a piece that goes on beyond them, and such pieces at the border of a mass."""
    outlined = seen.outlined(out.left)
    for around, lesion in out.lesions(int(np.ceil(2 * SLACK_MM / seen.spacing)) + 1):
        parts = open_parts(seen, lesion & beyond[around], beyond[around] & ~lesion)
        if not parts:
            continue
        core = np.logical_or.reduce(parts)
        tissue = lesion & ~seen.fat[around]
        rest = tissue & ~seen.near(core, SLACK_MM)
        if rest.sum() <= REST_SHARE * tissue.sum():
            enclosed = seen.held(lesion, outlined[around]) >= ENCLOSED_SHARE
            further = beyond[around] & ~lesion
            if kind == DENSE:  # enclosed, it is calcium or oil
                goes = not enclosed
            else:
                goes = _is_vessel(seen, around, tissue, core, further, enclosed)
            if goes and core.sum() >= CORE_SHARE * tissue.sum():
                out.take(whole(beyond.shape, around, lesion), kind, LIVER if enclosed else BACKGROUND)
            continue
        for piece in parts:
            # an outline around a rib is wider than the rib, and is not what holds it
            if seen.held(lesion & seen.near(piece, SLACK_MM), outlined[around]) < ENCLOSED_SHARE:
                out.take(whole(beyond.shape, around, lesion & seen.near(piece, BORDER_MM)), kind)


def _is_vessel(seen: Surroundings, around: Box, tissue: Mask, core: Mask, further: Mask, enclosed: bool) -> bool:
    """A lesion is blood that goes on beyond it, and its soft border.

    It is no wider than a vessel: the heart has a rule of its own, and a mass may enhance like blood and touch a kidney.
    In a liver it is long or widely open, but not so on all sides, as a lesion in bright tissue is. What is beside it in
    a lesion is darker than the liver only if the lesion is as long and thin as a branch in its sheath: else a tumour
    lies on a vessel.
    """
    half, times = longer(seen, tissue)
    if half > VESSEL_MM:
        return False
    if enclosed:
        share = open_share(core, further)
        through = seen.near(core, 2 * SLACK_MM) & (core | further)
        if longer(seen, through)[0] > POOL_MM or share > CLOSED_SHARE:
            return False
        if longer(seen, core)[1] < LONG and share < WIDELY * OPEN_SHARE:
            return False
    others = tissue & ~seen.near(core | further, seen.spacing) & ~seen.near(seen.fat[around], RIM_MM)
    if others.sum() < CORE_SHARE * tissue.sum() or times >= THIN:
        return True
    return bool(np.median(seen.mean[around][others]) >= seen.liver.median_hu - 0.5 * seen.liver.margin_hu)


def _wall(seen: Surroundings, out: _Decision) -> None:
    """Lesions in the layer of the ribs: no deeper below the skin than the bone beside them."""
    outlined = seen.outlined(out.left)
    loose = [
        (around, lesion)
        for around, lesion in out.lesions(int(np.ceil(BESIDE_MM / seen.spacing)))
        if (seen.dense[around] & ~outlined[around]).any() and seen.held(lesion, outlined[around]) < LOOSE_SHARE
    ]
    if not loose:
        return
    bone = going_on(seen.dense & ~seen.wide(seen.dense, POOL_MM, outlined), outlined) & (seen.depth < DEEPEST_MM)
    for around, lesion in loose:
        beside = bone[around] & seen.near(lesion, BESIDE_MM)
        if beside.sum() * seen.spacing**3 < LEAST_BONE_MM3:
            continue
        layer = np.percentile(seen.depth[around][beside], LAYER_PERCENT)
        if (seen.depth[around][lesion] <= layer).mean() >= LAYER_SHARE:
            out.take(whole(bone.shape, around, lesion), DENSE)


def _gut(seen: Surroundings, out: _Decision) -> None:
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
            out.take(whole(gas.shape, around, lesion), GUT)


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
    near = padded(place[0], 2, decision.kinds.shape)
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
    size = high - low
    own = labels.geometry.crop((low[0], low[1], low[2]), (int(size[0]), int(size[1]), int(size[2])))
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
