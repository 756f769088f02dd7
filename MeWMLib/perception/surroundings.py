"""A scan on coarse voxels: what in it is as dense as blood or bone, and how such pieces go on beyond an outline."""

# mypy: allow-untyped-calls
# scipy carries no types.
from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cc3d
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from MeWMLib.perception.registration_quality import body, within
from MeWMLib.perception.viability import FAT_HU, LiverReference

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
#: Fat is darker than the liver by so much, also where the liver is fatty.
FAT_BELOW = 40.0
#: Width of the rim around a piece.
RIM_MM = 4.0
#: Smaller pieces are not looked at, ml.
LEAST_PIECE_ML = 0.05
#: A part goes on beyond the outline if it does so over so much of its surface, and one that is held by such a part over
#: so many times as much. Oil that touches a rib, and a lesion that its artery reaches, do not.
OPEN_SHARE, WIDELY = 0.05, 3.0
#: A chamber of the heart: half its width at least, and the width over which it is averaged.
CHAMBER_MM, CHAMBER_SMOOTHING_MM = 10.0, 3.0

_CROSS = ndimage.generate_binary_structure(3, 1)
Mask = NDArray[np.bool_]
Box = tuple[slice, ...]
FloatArray = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Surroundings:
    """A scan on coarse voxels.

    Attributes:
        mean: averaged density.
        dense: much denser than liver.
        blood: density of the aorta; None where it is not seen, or blood is about as dense as the liver.
        liver: the scan's own liver.
        spacing: mm.
    """

    mean: FloatArray
    dense: Mask
    blood: float | None
    liver: LiverReference
    spacing: float

    @classmethod
    def of(cls, hu: NDArray[np.generic], liver: LiverReference, blood: float | None, spacing: float) -> Surroundings:
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

    @cached_property
    def fat(self) -> Mask:
        """Fat and air, which are no tissue of liver and tumours."""
        return np.asarray(self.mean < min(FAT_HU, self.liver.median_hu - FAT_BELOW))

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
        return np.asarray(self._like_blood(self.mean) & ~border)

    def chambers(self, beside: Mask) -> Mask:
        """Pools as wide as a chamber of the heart; averaged more, so that noise does not divide them."""
        if self.blood is None:
            return np.zeros(self.mean.shape, bool)
        width = np.sqrt(CHAMBER_SMOOTHING_MM**2 - SMOOTHING_MM**2) / self.spacing
        mean = ndimage.gaussian_filter(self.mean, width, truncate=3)
        return self.wide(self._like_blood(mean), CHAMBER_MM, beside)

    def _like_blood(self, mean: FloatArray) -> Mask:
        blood = self.blood or 0.0
        low = max((1 - BLOOD_SHARE) * blood, self.liver.bright_from_hu)
        return np.asarray((mean >= low) & (mean <= (1 + BLOOD_MORE) * blood))

    def wide(self, mask: Mask, mm: float, beside: Mask) -> Mask:
        """Where balls of a radius fit into a mask, as far as their pieces of it lie on a second mask or touch it."""
        out = np.zeros(mask.shape, bool)
        # a ball holds a cube of 1.15 times its radius, which holds one of the blocks that fill the grid
        side = (int(2 * mm / np.sqrt(3) / self.spacing) + 1) // 2
        reach = int(np.ceil(2 * mm / self.spacing / side)) + 1
        near = ndimage.binary_dilation(_blocks(beside, side).any((1, 3, 5)), np.ones((3, 3, 3), bool), reach)
        full = side * np.argwhere(_blocks(mask, side).all((1, 3, 5)) & near)
        if not len(full):
            return out
        pieces = cc3d.connected_components(mask, connectivity=6)
        numbers = pieces[tuple(full.T)]
        for number in np.unique(numbers):
            low, high = full[numbers == number].min(0), full[numbers == number].max(0) + side
            around = int(np.ceil(2 * mm / self.spacing)) + 1
            box = padded(tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True)), around, mask.shape)
            piece = pieces[box] == number
            core = ndimage.distance_transform_edt(piece, sampling=self.spacing) > mm
            out[box] |= piece & self.near(core, mm + self.spacing)
        return out

    def outlined(self, labels: NDArray[np.uint8]) -> Mask:
        """Liver and tumours, as far as they are no fat or air."""
        return (labels > 0) & ~self.fat

    def held(self, piece: Mask, outlined: Mask) -> float:
        """The share of a piece's rim that is liver or tumour."""
        rim = self.near(piece, RIM_MM) & ~piece
        return float(outlined[rim].mean()) if rim.any() else 1.0


def going_on(mask: Mask, outlined: Mask) -> Mask:
    """Pieces (K, J, I) of which most lies outside of an outline."""
    pieces = cc3d.connected_components(mask, connectivity=6)
    sizes = np.bincount(pieces.ravel())
    outside = np.bincount(pieces[~outlined], minlength=len(sizes))
    on = outside >= OUTSIDE_SHARE * sizes
    on[0] = False
    return np.asarray(on[pieces])


def open_parts(seen: Surroundings, core: Mask, further: Mask) -> list[Mask]:
    """Parts of what goes on beyond a lesion, divided where they touch little, that themselves go on beyond it."""
    if core.sum() < LEAST_PIECE_ML * 1000 / seen.spacing**3:
        return []
    seeds = cc3d.connected_components(ndimage.binary_erosion(core), connectivity=6).astype(np.int32)
    for _ in range(2):
        seeds = np.where(core & (seeds == 0), ndimage.grey_dilation(seeds, footprint=_CROSS), seeds)
    thin = cc3d.connected_components(core & (seeds == 0), connectivity=26)
    parts = np.where(thin > 0, thin + seeds.max(), seeds)
    least = LEAST_PIECE_ML * 1000 / seen.spacing**3
    waiting, found, reached = [], [], further.copy()
    for number, box in enumerate(ndimage.find_objects(parts), start=1):
        wide = padded(box, 1, parts.shape)
        part = parts[wide] == number
        if part.sum() >= least:
            waiting.append((wide, part, OPEN_SHARE))
    while waiting:
        opened = [one for one in waiting if open_share(one[1], reached[one[0]]) >= one[2]]
        if not opened:
            break
        for wide, part, _ in opened:
            reached[wide] |= part
            found.append(whole(parts.shape, wide, part))
        # noise divides a rib too: its pieces hold on to one another more widely than oil does to it
        waiting = [(w, p, WIDELY * OPEN_SHARE) for w, p, _ in waiting if not (reached[w] & p).any()]
    return found


def open_share(part: Mask, further: Mask) -> float:
    """The share of the voxels around a part where it goes on."""
    shell = ndimage.binary_dilation(part) & ~part
    return float(further[shell].mean()) if shell.any() else 0.0


def longer(seen: Surroundings, mask: Mask) -> tuple[float, float]:
    """Half the width of a mask (mm), and how many times the volume of a ball of that radius it has."""
    half = float(ndimage.distance_transform_edt(mask, sampling=seen.spacing).max()) - 0.5 * seen.spacing
    return half, float(mask.sum()) * seen.spacing**3 / (4 / 3 * np.pi * half**3)


def _blocks(mask: Mask, side: int) -> Mask:
    """A mask as blocks of so many voxels: (K, side, J, side, I, side); what is left over at the far ends is cut off."""
    sizes = [n // side for n in mask.shape]
    return mask[tuple(slice(n * side) for n in sizes)].reshape([n for size in sizes for n in (size, side)])


def padded(box: Box, by: int, shape: tuple[int, ...]) -> Box:
    """A box with so many voxels more on all sides, as far as there are."""
    return tuple(slice(max(s.start - by, 0), min(s.stop + by, n)) for s, n in zip(box, shape, strict=True))


def whole(shape: tuple[int, ...], box: Box, part: Mask) -> Mask:
    """A mask of a shape from its part in a box."""
    out = np.zeros(shape, bool)
    out[box] = part
    return out
