"""What lies inside the liver and is no tumour: vessels and bile ducts, hilum, fissures, uneven perfusion and fat."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from MeWMLib.cohorts.synthetic.fields import FloatArray, SmoothField
from MeWMLib.lab.training.scenes.canvas import Canvas, Piece, three

#: Vessels thinner than this are not drawn, and no tree has more pieces (mm; pieces).
THINNEST_MM, MOST = 1.1, 70


def draw_parenchyma(canvas: Canvas) -> None:
    """Uneven enhancement and fat: wedges, one lobe unlike the other, a spot beside a fissure; all of it liver."""
    rng, box = canvas.rng, canvas.everywhere
    z, y, x = canvas.axes.grids
    if rng.random() < 0.3:  # wedges with their base at the surface
        for _ in range(int(rng.integers(1, 3))):
            way = rng.normal(0, 1, 3)
            tip = np.array(canvas.surface(way)) - rng.uniform(15, 70) * way / np.linalg.norm(way)
            off = [g - c for g, c in zip((z, y, x), tip, strict=True)]
            along = sum(o * w for o, w in zip(off, way / np.linalg.norm(way), strict=True))
            far = np.sqrt(sum(o**2 for o in off)) + 1e-3
            beyond = along / far + 0.06 * canvas.wide - rng.uniform(0.75, 0.95)
            edge = np.clip(beyond * rng.uniform(6, 40) + 0.5, 0, 1)
            canvas.put_inside(box, canvas.liver > 0, canvas.hu + _shade(canvas, 45) * edge)
    if rng.random() < 0.2:  # one side of a plane
        normal = three(rng.normal(0, 1, 3) * np.array([0.3, 0.6, 1.0]))
        middle = canvas.surface(rng.normal(0, 1, 3))
        side = sum((g - 0.5 * c) * w for g, c, w in zip((z, y, x), middle, normal, strict=True))
        edge = np.clip((side + 6 * canvas.wide) / rng.uniform(2, 20) + 0.5, 0, 1)
        canvas.put_inside(box, canvas.liver > 0, canvas.hu + _shade(canvas, 25) * edge)
    if rng.random() < 0.2:  # patches of fat, or spared from it
        patches = SmoothField(int(rng.integers(2**40)), float(rng.uniform(14, 40))).at(canvas.axes)
        edge = np.clip((patches - rng.uniform(0.6, 1.8)) * rng.uniform(1, 6), 0, 1)
        canvas.put_inside(box, canvas.liver > 0, canvas.hu + _shade(canvas, 30) * edge)


def _shade(canvas: Canvas, most: float) -> float:
    """HU by which a part of the liver is brighter or darker."""
    return float(canvas.rng.choice((-1, 1)) * canvas.rng.uniform(5, most if canvas.enhanced else 0.6 * most))


def draw_vessels(canvas: Canvas) -> None:
    """Portal and hepatic veins with thick trunks, arteries and bile ducts, enhanced or not as the phase has it."""
    rng, liver = canvas.rng, canvas.tissue["liver"]
    hilum = np.array(canvas.surface((-0.6 + rng.normal(0, 0.2), -0.5 + rng.normal(0, 0.2), -0.45)))
    trunk = float(rng.uniform(4.5, 9.5))
    inward = _inward(canvas, hilum)
    # the trunk comes from below and the middle
    source = hilum + np.array([-rng.uniform(20, 45), -5, -rng.uniform(10, 40)])
    portal = [Piece(three(source), three(hilum + 8 * inward), trunk, trunk)]
    for _ in range(2):
        way = inward + rng.normal(0, 0.6, 3)
        portal += list(_tree(canvas, hilum + 8 * inward, way, trunk * float(rng.uniform(0.7, 0.95))))
    root = np.array(canvas.surface((0.9, -0.55 + rng.normal(0, 0.15), -0.35 + rng.normal(0, 0.15))))
    veins: list[Piece] = []
    for side in (0.9, 0.1, -0.8):
        way = _inward(canvas, root) + np.array([-0.5, rng.uniform(-0.2, 0.6), side])
        veins += list(_tree(canvas, root, way, float(rng.uniform(3.5, 7.5)), 0.35))
    for pieces, value in ((veins, _vein_hu(canvas)), (portal, _portal_hu(canvas))):
        _fill(canvas, canvas.tubes(pieces), value)
    if canvas.phase in ("arterial", "inflow") and rng.random() < 0.8:
        thin = float(rng.uniform(0.25, 0.4))
        beside = rng.normal(0, 1, 3)
        beside *= trunk / np.linalg.norm(beside)
        artery = [_moved(p, beside, thin) for p in portal]
        _fill(canvas, canvas.tubes(artery), float(canvas.tissue["aorta"] * rng.uniform(0.5, 1.0)))
    if rng.random() < 0.18:  # dilated ducts, along the portal branches
        wide = float(rng.uniform(0.4, 0.9))
        beside = rng.normal(0, 1, 3)
        beside *= 1.3 * trunk / np.linalg.norm(beside)
        ducts = canvas.tubes([_moved(p, beside, wide) for p in portal])
        _fill(canvas, ducts, float(min(liver - 20, rng.uniform(0, 22))))


def _fill(canvas: Canvas, tubes: FloatArray, value: float) -> None:
    """Draw tubes inside the liver and outside, where fat is; with a soft border."""
    share = np.clip(tubes / canvas.rng.uniform(0.6, 1.6) + 0.5, 0, 1)
    drawn = canvas.hu + share * (value + 3 * canvas.fine - canvas.hu)
    box = canvas.everywhere
    canvas.put_inside(box, share > 0, drawn)
    canvas.put(box, (share > 0) & (canvas.hu < 30) & canvas.below(box), drawn)


def _moved(piece: Piece, by: ArrayLike, share: float) -> Piece:
    start, stop = (three(np.array(p) + np.asarray(by)) for p in (piece.start, piece.stop))
    return Piece(start, stop, share * piece.first, share * piece.last)


def _inward(canvas: Canvas, point: ArrayLike) -> NDArray[np.float64]:
    """Unit vector from a point at the surface to the middle of the liver."""
    spots = np.argwhere(canvas.outline > 0)
    axes = (canvas.axes.z, canvas.axes.y, canvas.axes.x)
    middle = np.array([axis[int(n)] for axis, n in zip(axes, np.median(spots, 0), strict=True)])
    way = middle - np.asarray(point)
    return np.asarray(way / (np.linalg.norm(way) + 1e-6))


def _tree(canvas: Canvas, start: ArrayLike, way: ArrayLike, radius: float, bend: float = 0.55) -> Iterator[Piece]:
    """Pieces of a tree that stays in the liver; branches keep the cube of the radius (Murray)."""
    rng = canvas.rng
    waiting = [(np.array(start), np.array(way) / np.linalg.norm(way), radius)]
    for _ in range(MOST):
        if not waiting:
            return
        at, ahead, wide = waiting.pop(0)
        length = float(np.clip(rng.normal(5.5 * wide, wide), 8, 38))
        for _ in range(5):
            turned = ahead + bend * rng.normal(0, 0.6, 3)
            turned /= np.linalg.norm(turned)
            to = at + length * turned
            if canvas.at(canvas.outline, to) > 2:
                break
        else:
            continue
        share = float(rng.uniform(0.25, 0.75))
        yield Piece(three(at), three(to), wide, wide * max(share, 1 - share) ** (1 / 3))
        for part in (share, 1 - share):
            thinner = wide * part ** (1 / 3) * 0.95
            if thinner > THINNEST_MM:
                waiting.append((to, turned + bend * rng.normal(0, 1, 3), thinner))


def _portal_hu(canvas: Canvas) -> float:
    rng, liver = canvas.rng, canvas.tissue["liver"]
    if canvas.phase == "arterial":  # not enhanced yet: as bright as the liver, or darker
        return float(liver + rng.uniform(-30, 12))
    return float(canvas.tissue["vessel"] + rng.uniform(-12, 12))


def _vein_hu(canvas: Canvas) -> float:
    rng, liver = canvas.rng, canvas.tissue["liver"]
    if canvas.phase in ("arterial", "inflow"):
        return float(liver - rng.uniform(-5, 40))
    return float(canvas.tissue["vessel"] + rng.uniform(-15, 15))


def draw_hilum_and_fissures(canvas: Canvas) -> None:
    """Fat in the hilum and thin sheets of fat that cut into the liver; what they hold counts as liver."""
    rng, box = canvas.rng, canvas.everywhere
    grids = canvas.axes.grids
    for wanted, way in ((0.3, (-0.6, -0.5, -0.45)), (0.3, (-0.6, 0.8, -0.6)), (0.15, tuple(rng.normal(0, 1, 3)))):
        if rng.random() > wanted:
            continue
        at = canvas.surface(way)
        normal = rng.normal(0, 1, 3) * np.array([0.3, 0.5, 1.0])
        normal /= np.linalg.norm(normal)
        off = sum((g - c) * n for g, c, n in zip(grids, at, normal, strict=True))
        far = np.sqrt(sum((g - c) ** 2 for g, c in zip(grids, at, strict=True)))
        reach, half = rng.uniform(8, 40), rng.uniform(0.4, 2.0)
        sheet = (np.abs(off + 3 * canvas.wide) < half * np.clip(2 - 2 * far / reach, 0, 1)) & (far < reach)
        canvas.put_inside(box, sheet, rng.uniform(-105, 10) + 6 * canvas.fine)
        if rng.random() < 0.3:  # a spot of fat, or spared of it, beside the fissure
            spot, depth = canvas.egg(at, three(rng.uniform(8, 22, 3)))
            shade = np.clip(depth / rng.uniform(1, 6), 0, 1) * rng.uniform(-45, 15)
            canvas.put_inside(spot, depth > 0, canvas.hu[spot] + shade)
