"""What lies beside and below the liver: stomach, colon, bowel, spleen, pancreas, gallbladder, fluid, and the table."""

from __future__ import annotations

import numpy as np

from MeWMLib.cohorts.synthetic.fields import FloatArray, SmoothField
from MeWMLib.lab.training.scenes.canvas import Box, Canvas, Piece, Triple, three


def draw_stomach(canvas: Canvas) -> None:
    """A stomach, mostly against the left lobe: its wall, and contrast, food, water or gas over a level."""
    rng = canvas.rng
    if rng.random() < 0.2:
        return
    radii = three(rng.uniform((25, 22, 24), (62, 50, 55)))
    if rng.random() < 0.7:  # against the liver: to the left of it, below or behind its left lobe
        way = np.array([rng.uniform(-0.7, 0.3), rng.uniform(-0.7, 0.5), -1.0])
        touch = np.array(canvas.surface(way))
        centre = three(touch + rng.uniform(0.5, 0.95) * way / np.linalg.norm(way) * np.array(radii))
    else:
        centre = three(rng.uniform((-25, 5, -90), (35, 55, -25)))
    box, shape = canvas.egg(centre, radii)
    # the wall follows the liver where both touch
    inside = np.minimum(shape, -canvas.liver[box] - 0.3)
    free = canvas.below(box)
    wall = float(rng.uniform(1.5, 5)) if rng.random() < 0.7 else float(rng.uniform(5, 13))
    bright = canvas.tissue["muscle"] + rng.uniform(0, 60 if canvas.enhanced else 10)
    canvas.put(box, (inside > 0) & free, bright + 5 * canvas.fine[box])
    canvas.put(box, (inside > wall * (1 + 0.25 * canvas.wide[box])) & free, _filling(canvas, box, centre))


def _filling(canvas: Canvas, box: Box, centre: Triple) -> FloatArray:
    """What a stomach or bowel holds (HU), with gas above it in some."""
    rng, fine, wide = canvas.rng, canvas.fine[box], canvas.wide[box]
    kind = str(rng.choice(("contrast", "food", "water", "mixed")))
    if kind == "contrast":
        value = rng.uniform(110, 800) + 6 * fine
    elif kind == "water":
        value = rng.uniform(0, 30) + 4 * fine
    else:
        lumps = SmoothField(int(rng.integers(2**40)), float(rng.uniform(5, 11))).at(canvas.part(box))
        value = rng.uniform(20, 90) + rng.uniform(15, 45) * lumps + rng.uniform(4, 20) * fine
        value = np.where(lumps > rng.uniform(1.2, 2.4), rng.uniform(-700, -60), value)
        if kind == "mixed":
            value = np.where(lumps < rng.uniform(-1.0, 0.5), rng.uniform(120, 600), value)
    if rng.random() < 0.45:
        y = canvas.grids(box)[1]
        value = np.where(y > centre[1] + rng.uniform(-5, 25) + 0 * wide, -950.0, value)
    return np.asarray(value, np.float32)


def draw_colon(canvas: Canvas) -> None:
    """Pieces of colon along the lower edge of the liver, and loops of bowel full of contrast."""
    rng = canvas.rng
    if rng.random() < 0.55:
        start = np.array(canvas.surface((rng.uniform(-1.2, -0.4), rng.uniform(-0.3, 0.9), rng.uniform(-0.8, 0.8))))
        radius, pieces, at = float(rng.uniform(12, 24)), [], start + np.array([-rng.uniform(4, 14), 0, 0])
        first = at
        for _ in range(int(rng.integers(2, 5))):
            to = at + rng.normal(0, 1, 3) * np.array([14, 18, 30])
            pieces.append(Piece(three(at), three(to), radius, radius * float(rng.uniform(0.8, 1.2))))
            at = to
        inside = np.minimum(canvas.tubes(pieces) + 2 * canvas.wide, -canvas.liver - 0.3)
        free, box = canvas.below(canvas.everywhere), canvas.everywhere
        canvas.put(box, (inside > 0) & free, canvas.tissue["muscle"] + rng.uniform(0, 40) + 5 * canvas.fine)
        canvas.put(box, (inside > rng.uniform(1.5, 3)) & free, _filling(canvas, box, three(first)))
    if rng.random() < 0.5:
        bowel = SmoothField(int(rng.integers(2**40)), 22.0).at(canvas.axes)
        loops = (bowel > rng.uniform(0.2, 1.0)) & (canvas.hu > 0) & (canvas.hu < 90) & canvas.below(canvas.everywhere)
        canvas.put(canvas.everywhere, loops, rng.uniform(120, 800) + 20 * canvas.fine)


def draw_spleen(canvas: Canvas) -> None:
    """A spleen of any size, some reaching the left lobe."""
    rng = canvas.rng
    if rng.random() < 0.6:
        centre = three(rng.uniform((-25, -55, -112), (40, -10, -78)))
        box, spleen = canvas.egg(centre, three(rng.uniform((35, 35, 22), (80, 60, 46))))
        value = canvas.tissue["spleen"] + rng.uniform(2, 8) * canvas.fine[box]
        if canvas.phase == "arterial":  # stripes
            value = value + rng.uniform(0, 25) * canvas.wide[box]
        canvas.put(box, (spleen > 0) & canvas.below(box), value)


def draw_small_organs(canvas: Canvas) -> None:
    """Pancreas, duodenum, nodes, a gallbladder of any content, and cysts of the kidney."""
    rng = canvas.rng
    for _ in range(int(rng.integers(0, 6))):
        centre = three(rng.uniform((-80, -45, -60), (30, 45, 70)))
        box, organ = canvas.egg(centre, three(rng.uniform(6, 26, 3)))
        value = rng.uniform(30, 130 if canvas.enhanced else 55) + rng.uniform(3, 9) * canvas.fine[box]
        canvas.put(box, (organ > 0) & canvas.below(box) & (canvas.hu[box] < 100), value)
    if rng.random() < 0.5:
        _gallbladder(canvas)
    for _ in range(int(rng.integers(0, 3))):
        side = float(rng.choice((-1, 1))) * rng.uniform(35, 85)
        centre = three((rng.uniform(-110, -15), rng.uniform(-80, -30), side))
        box, cyst = canvas.egg(centre, three([rng.uniform(6, 22)] * 3))
        canvas.put(box, (cyst > 0) & canvas.below(box), float(rng.uniform(0, 25)))


def _gallbladder(canvas: Canvas) -> None:
    """Against the liver from below, sunk into it in some; of bile, stones or contrast, with a wall."""
    rng = canvas.rng
    touch = np.array(canvas.surface((rng.uniform(-1.2, -0.5), rng.uniform(0.0, 0.9), rng.uniform(-0.5, 0.3))))
    radii = three(rng.uniform((10, 8, 8), (34, 20, 20)))
    box, bladder = canvas.egg(three(touch + rng.uniform(-4, 8, 3)), radii, 1.5)
    sunk = bladder > 0
    # it is no liver, wherever it lies
    np.minimum(canvas.liver[box], np.where(sunk, -1.0, canvas.liver[box]), out=canvas.liver[box])
    content = float(rng.uniform(-5, 25)) if rng.random() < 0.8 else float(rng.uniform(50, 250))
    canvas.put(box, sunk & canvas.below(box), content + 3 * canvas.fine[box])
    if rng.random() < 0.5:
        bright = canvas.tissue["muscle"] + rng.uniform(0, 60 if canvas.enhanced else 5)
        canvas.put(box, sunk & (bladder < rng.uniform(1, 4)) & canvas.below(box), float(bright))
    if rng.random() < 0.25:  # stones lie at the back
        y = canvas.grids(box)[1]
        low = (bladder > 2) & (y < touch[1] - 0.3 * radii[1]) & (canvas.fine[box] > 0.3)
        canvas.put(box, low & canvas.below(box), float(rng.uniform(60, 700)))


def draw_fluid_and_table(canvas: Canvas) -> None:
    """Ascites around the liver, and the table that the patient lies on."""
    rng = canvas.rng
    if rng.random() < 0.15:
        near = (canvas.outline > -rng.uniform(5, 22)) & canvas.below(canvas.everywhere) & (canvas.hu < 60)
        canvas.put(canvas.everywhere, near, rng.uniform(0, 22) + 2 * canvas.fine)
    if rng.random() < 0.3:
        z, y, x = canvas.axes.grids
        table = np.abs(y + rng.uniform(125, 150) - 0.001 * x**2) < rng.uniform(1, 3)
        outside = table & (canvas.wall < -30) & (canvas.hu < -900) & (z > -1e9)
        canvas.put(canvas.everywhere, outside, float(rng.uniform(-300, 300)))


#: In the order in which they are drawn.
ALL = (draw_spleen, draw_stomach, draw_colon, draw_small_organs, draw_fluid_and_table)
