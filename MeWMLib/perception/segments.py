"""Couinaud's segments: an APPROXIMATE division of a liver by landmarks of its mask, or segments that somebody drew.

Couinaud's borders are the hepatic and portal veins, which no mask here shows. What every liver mask shows is the pocket
of its lower surface at the porta hepatis; Cantlie's plane between the lobes runs through it. The other borders are set
by angles and shares of the liver's own extent, chosen so that the segments have their usual share of a liver's volume
on average. So a lobe is known to a centimetre or two, a segment's border to two or three at best: this is for words,
and for a territory where nobody drew one. Nothing here was measured against veins.
"""
# mypy: allow-untyped-calls
# scipy carries no types.

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError

from MeWMLib.core.territory import SEGMENTS, in_words
from MeWMLib.core.volume import Geometry, LabelMap

Mask = NDArray[np.bool_]
Points = NDArray[np.float64]
Codes = NDArray[np.uint8]

#: What is said wherever the division is used.
APPROXIMATE, DRAWN = "approximate", "drawn"
#: Voxels of the grid that landmarks are looked for on, mm: fine enough for a pocket of three centimetres and more.
_GRID_MM = 5.0
#: Cantlie's plane runs from the vena cava forwards and by so much (degrees) to the right.
_CANTLIE_DEG = 20.0
#: Depth of the pocket under the convex hull, as a share of the deepest, of what is averaged to its place.
_POCKET = 0.8
#: A shallower pocket is none, and the middle of the liver stands in; a whole liver has 25 mm and more.
_POCKET_MM = 12.0
#: Where the image cuts the liver by more than this share of its surface (taken as that of a cube), it is a part.
_MOST_CUT = 0.02
#: The border between the right sections leaves Cantlie's plane at the vena cava by so much, degrees.
_RIGHT_VEIN_DEG = 60.0
#: How far below the pocket the portal branches divide upper from lower segments, and how far above it segment 4, as
#: shares of the liver's height.
_PORTAL, _PORTAL_LEFT = 0.05, 0.08
#: Where the fissure of the round ligament is, as a share of the way from Cantlie's plane to the left end.
_FISSURE = 0.36
#: The caudate lobe: how far before the vena cava, as a share of the way to the pocket, and to the left of the plane.
_CAUDATE = (0.7, 0.33)
#: What tells 2 from 3: height above the pocket against way forwards from it, both in mm.
_LATERAL_MM = 20.0
#: A segment (a lobe) is named with a lesion that has so much of its volume in it; where those that are named hold less
#: of it together than the second number, the lobes are named by their shares.
_NAMED_SHARE, _NAMED_TOGETHER = 0.2, 2 / 3
_SIDE = {s: "right lobe" if s >= "5" else "left lobe" if s >= "2" else "caudate lobe" for s in SEGMENTS}


@dataclass(frozen=True, eq=False)
class Division:
    """The planes that divide one liver; RAS mm.

    Attributes:
        pocket: the porta hepatis, as the mask shows it.
        cava: how far along Cantlie's plane the back of the liver is from the pocket (negative).
        left_end: how far the liver reaches to the left of Cantlie's plane.
        height: of the liver.
        found: False where the mask shows no pocket, so that its middle stands in: a part of a liver, or a ball.
    """

    pocket: Points
    cava: float
    left_end: float
    height: float
    found: bool

    @classmethod
    def of(cls, labels: LabelMap) -> Division | None:
        """Find the landmarks of a liver (tumour included); None without a liver."""
        points = _coarse(labels)
        if not len(points):
            return None
        pocket = _pocket(points) if _share_cut(labels) <= _MOST_CUT else None
        at = pocket if pocket is not None else points.mean(axis=0)
        right, ahead = _along(points - at)
        near = np.abs(right) < 1.5 * _GRID_MM
        cava = float(np.percentile(ahead[near], 3)) if near.any() else float(ahead.min())
        left_end = float(np.percentile(-right[right < 0], 99)) if (right < 0).any() else 1.0
        height = float(np.ptp(points[:, 2])) + _GRID_MM
        return cls(at, min(cava, -1.0), max(left_end, 1.0), height, pocket is not None)

    def at(self, points: Points) -> Codes:
        """Segment of points (N, 3) in RAS mm: 1 + its place in `SEGMENTS`; also outside of the liver."""
        right, ahead = _along(points - self.pocket)
        up = points[:, 2] - self.pocket[2]
        upper = up > -_PORTAL * self.height
        left = -right / self.left_end
        behind = np.degrees(np.arctan2(right, ahead - self.cava)) > _RIGHT_VEIN_DEG
        on_right = np.where(behind, np.where(upper, _code("7"), _code("6")), np.where(upper, _code("8"), _code("5")))
        medial = np.where(up > _PORTAL_LEFT * self.height, _code("4a"), _code("4b"))
        lateral = np.where(up - ahead > _LATERAL_MM, _code("2"), _code("3"))
        codes = np.where(right > 0, on_right, np.where(left < _FISSURE, medial, lateral))
        reach, width = _CAUDATE
        caudate = (right <= 0) & (left < width) & (ahead < self.cava * (1 - reach)) & upper
        return np.where(caudate, _code("1"), codes).astype(np.uint8)


@dataclass(frozen=True, eq=False)
class SegmentMap:
    """Segments on the grid of a CT.

    Attributes:
        codes: (K, J, I) 0 outside of the liver, else 1 + the place in `SEGMENTS`.
        geometry: its grid.
        source: `APPROXIMATE`, or `DRAWN`.
    """

    codes: Codes
    geometry: Geometry
    source: str = APPROXIMATE

    @classmethod
    def approximate(cls, labels: LabelMap) -> SegmentMap:
        """Divide a liver by its own landmarks; see the module for how good that is."""
        codes = np.zeros(labels.array.shape, np.uint8)
        division, liver = Division.of(labels), labels.liver
        if division is not None:
            codes[liver] = division.at(labels.geometry.to_ras(np.argwhere(liver)))
        return cls(codes, labels.geometry)

    @classmethod
    def drawn(cls, codes: Codes, labels: LabelMap) -> SegmentMap:
        """Segments that somebody drew; what they left out of the liver, such as its tumour, goes to the nearest one."""
        gaps = labels.liver & (codes == 0)
        if gaps.any() and codes.any():
            nearest = ndimage.distance_transform_edt(
                codes == 0, sampling=labels.geometry.spacing, return_distances=False, return_indices=True
            )
            codes = np.where(gaps, codes[tuple(nearest)], codes).astype(np.uint8)
        return cls(codes, labels.geometry, DRAWN)

    @property
    def is_approximate(self) -> bool:
        """True if nobody drew them."""
        return self.source == APPROXIMATE

    def mask(self, segments: Iterable[str]) -> Mask:
        """Voxels (K, J, I) of some segments; both halves of a segment 4 that nobody divided are all of it."""
        wanted = set(segments)
        if "4b" in wanted and not (self.codes == _code("4b")).any():
            wanted.add("4a")
        return np.isin(self.codes, [_code(s) for s in wanted])

    def shares(self, mask: Mask) -> dict[str, float]:
        """Share of a mask (K, J, I) in each segment that holds some of it, largest first; the rest is in none."""
        return shares_of(self.codes[mask])


def shares_of(codes: Codes) -> dict[str, float]:
    """Share of voxels in each segment, largest first."""
    counts = np.bincount(codes.ravel(), minlength=len(SEGMENTS) + 1)[1:]
    total = max(int(codes.size), 1)
    order = np.argsort(-counts, kind="stable")
    return {SEGMENTS[n]: float(counts[n]) / total for n in order if counts[n]}


def place_in_words(shares: Mapping[str, float], approximate: bool = True) -> str:
    """Such as "about segments 5, 8 (right lobe)", of the segments that hold a fifth or more; "" without segments.

    A lesion that lies in so many that those named would be a part of it has its lobes named, by their shares.
    """
    lobes: dict[str, float] = {}
    for segment, share in shares.items():
        lobes[_SIDE[segment]] = lobes.get(_SIDE[segment], 0.0) + share
    held = [segment for segment, share in shares.items() if share >= _NAMED_SHARE] or list(shares)[:1]
    if not held:
        return ""
    sides = {_SIDE[segment] for segment in held}
    large = {name: share for name, share in lobes.items() if share >= _NAMED_SHARE}
    if sum(shares[segment] for segment in held) < _NAMED_TOGETHER or not set(large) <= sides:
        by_share = sorted(large or lobes, key=lambda name: -lobes[name])
        named = ", ".join(f"{name} {100 * lobes[name]:.0f} %" for name in by_share)
        return f"{'about ' if approximate else ''}{named}"
    lobe = "both lobes" if {"right lobe", "left lobe"} <= sides else " and ".join(sorted(sides, reverse=True))
    return f"{'about ' if approximate else ''}{in_words(held)} ({lobe})"


def _code(segment: str) -> int:
    return 1 + SEGMENTS.index(segment)


def _along(vectors: Points) -> tuple[Points, Points]:
    """How far vectors (N, 3) go to the right of Cantlie's plane, and forwards along it."""
    tilt = np.radians(_CANTLIE_DEG)
    right = vectors @ np.array([np.cos(tilt), -np.sin(tilt), 0.0])
    return right, vectors @ np.array([np.sin(tilt), np.cos(tilt), 0.0])


def _coarse(labels: LabelMap) -> Points:
    """Places (N, 3) in the liver, RAS mm, about one for each `_GRID_MM`."""
    steps = [max(1, round(_GRID_MM / mm)) for mm in labels.geometry.spacing]
    thin = labels.liver[:: steps[0], :: steps[1], :: steps[2]]
    return labels.geometry.to_ras(np.argwhere(thin) * steps)


def _share_cut(labels: LabelMap) -> float:
    """Which share of the liver's surface is made by the border of the image."""
    liver, (k, j, i) = labels.liver, labels.geometry.spacing[::-1]
    faces = zip(range(3), (j * i, k * i, k * j), strict=True)
    cut = sum(int(np.take(liver, end, axis=axis).sum()) * area for axis, area in faces for end in (0, -1))
    volume = float(liver.sum()) * labels.geometry.voxel_ml * 1000.0
    return float(cut) / (6.0 * volume ** (2 / 3)) if volume else 0.0


def _pocket(points: Points) -> Points | None:
    """The deepest place under the convex hull that the liver leaves free; None where there is none to speak of."""
    try:
        hull = ConvexHull(points)
    except QhullError:  # flat, or too few
        return None
    low, high = points.min(axis=0), points.max(axis=0)
    counts = np.floor((high - low) / _GRID_MM).astype(int) + 1
    index = np.stack(np.meshgrid(*(np.arange(n) for n in counts), indexing="ij"), -1).reshape(-1, 3)
    taken = np.zeros(counts, bool)
    taken[tuple(np.clip(np.rint((points - low) / _GRID_MM).astype(int), 0, counts - 1).T)] = True
    free = low + index[~taken.ravel()] * _GRID_MM
    if not len(free):
        return None
    depth = -(free @ hull.equations[:, :3].T + hull.equations[:, 3]).max(axis=1)
    if depth.max() < _POCKET_MM:
        return None
    return np.asarray(free[depth > _POCKET * depth.max()].mean(axis=0), np.float64)
