"""What lies above and around the liver and is mistaken for it: heart, ribs, cartilage, lung base, diaphragm."""

from __future__ import annotations

import numpy as np

from MeWMLib.lab.training.scenes.canvas import Canvas, Piece, Triple, three


def draw_heart(canvas: Canvas) -> None:
    """A heart on the dome: muscle around pools of blood, the left ventricle holding 60 to 150 ml."""
    rng, tissue, wide = canvas.rng, canvas.tissue, canvas.wide
    if rng.random() < 0.12:
        return
    radii = three(rng.uniform((34, 40, 44), (55, 60, 66)))
    y, x = float(rng.uniform(10, 45)), float(rng.uniform(-45, 10))
    centre = (_dome_height(canvas, y, x) + radii[0] * float(rng.uniform(0.45, 0.9)), y, x)
    blood, right = _blood(canvas)
    muscle = float(blood - rng.uniform(15, 150)) if canvas.enhanced else float(rng.uniform(38, 60))
    muscle = max(muscle, float(rng.uniform(45, 95)))
    box, heart = canvas.egg(centre, radii)
    above = (canvas.dome[box] <= 1) & (canvas.wall[box] > 2)
    fine = canvas.fine[box]
    if rng.random() < 0.6:  # fat under the pericardium
        canvas.put(box, (heart > -rng.uniform(3, 9)) & above, -95 + 10 * fine)
    if rng.random() < 0.6:  # heart, diaphragm and liver without fat between them
        canvas.put(box, (heart > -4) & (canvas.dome[box] > -2) & (canvas.dome[box] < 5), tissue["muscle"] + 5 * fine)
    canvas.put(box, (heart > 0) & above, muscle + 5 * fine)

    def pool(offset: Triple, axes: Triple, value: float, coat: float = 0.0) -> None:
        place = three([c + o * r for c, o, r in zip(centre, offset, radii, strict=True)])
        part, depth = canvas.egg(place, axes, 2.0)
        free = (canvas.dome[part] <= 1) & (canvas.wall[part] > 2)
        if coat:
            canvas.put(part, (depth > -coat) & free, muscle + 5 * canvas.fine[part])
        canvas.put(part, (depth > 0) & free, value + rng.uniform(2, 7) * canvas.fine[part])

    ball = (3000 * rng.uniform(60, 150) / (4 * np.pi)) ** (1 / 3)
    longer = float(rng.uniform(0.85, 1.3))
    pool((0.1, -0.55, 0.05), three(rng.uniform((17, 15, 20), (26, 24, 34))), blood)  # left atrium
    pool((0.1, 0.0, 0.62), three(rng.uniform((18, 18, 15), (30, 28, 26))), right)  # right atrium
    pool((-0.2, 0.4, 0.2), three(rng.uniform((14, 14, 24), (24, 24, 40))), right)  # right ventricle
    sides = np.array([1.0, 1.0, 1.0])
    sides[int(rng.integers(3))] *= longer
    pool((-0.1, -0.05, -0.35), three(ball * sides / longer ** (1 / 3)), blood, float(rng.uniform(6, 13)))
    if rng.random() < 0.12:  # fluid in the pericardium
        lining = (heart > -8) & (heart < 0) & above & (wide[box] > -0.8)
        canvas.put(box, lining, rng.uniform(0, 25) + 4 * fine)


def _dome_height(canvas: Canvas, y: float, x: float) -> float:
    """Where the diaphragm is above a place (mm); at the end of the grid if it lies beyond."""
    j, i = (int(np.abs(axis - c).argmin()) for axis, c in ((canvas.axes.y, y), (canvas.axes.x, x)))
    above = np.flatnonzero(canvas.dome[:, j, i] <= 1)
    return float(canvas.axes.z[above[0]] if len(above) else canvas.axes.z[-1] + 20)


def _blood(canvas: Canvas) -> tuple[float, float]:
    """HU of blood in the left and in the right heart."""
    rng, aorta = canvas.rng, canvas.tissue["aorta"]
    if not canvas.enhanced:
        level = float(rng.uniform(32, 52))
        return level, level
    left = float(aorta + rng.uniform(-15, 15))
    return left, float(left * rng.uniform(0.5, 1.4)) if canvas.phase == "arterial" else left


def draw_ribs(canvas: Canvas) -> None:
    """Ribs as shells of bone around marrow, and cartilage in front, close to the surface of the liver."""
    rng, fine = canvas.rng, canvas.fine
    z, y, x = canvas.axes.grids
    near = (canvas.wall > -30) & (canvas.wall < 4)
    canvas.put(canvas.everywhere, near & (canvas.wall <= 0) & (canvas.hu > 150), canvas.tissue["muscle"] + 6 * fine)
    angle = np.arctan2(y, np.abs(x)).astype(np.float32)
    step, slope = float(rng.uniform(24, 34)), float(rng.uniform(25, 45))
    # height above the nearest rib's line, and depth from its middle in the wall
    up = (z + slope * angle + rng.uniform(0, step)) % step - 0.5 * step
    height, depth = float(rng.uniform(5, 9)), float(rng.uniform(3, 5.5))
    below_surface = float(rng.uniform(2.0, 8.0))
    round_ = np.sqrt((up / height) ** 2 + ((canvas.wall + below_surface) / depth) ** 2)
    rib = near & (round_ < 1) & (z > rng.uniform(-110, -50))
    front = angle + 0.12 * canvas.wide > rng.uniform(0.55, 1.0)
    marrow, shell = float(rng.uniform(40, 220)), float(rng.uniform(300, 800))
    bone = np.where(round_ > rng.uniform(0.6, 0.8), shell + 60 * fine, marrow + rng.uniform(10, 60) * fine)
    canvas.put(canvas.everywhere, rib & ~front, bone)
    cartilage = np.float32(rng.uniform(75, 150)) + 8 * fine
    if rng.random() < 0.7:  # calcified in speckles, or along its surface
        speckles = fine + rng.uniform(0, 0.5) * canvas.wide > rng.uniform(0.9, 2.2)
        cartilage = np.where(speckles, rng.uniform(200, 600), cartilage)
    if rng.random() < 0.4:
        cartilage = np.where(round_ > 0.8, rng.uniform(180, 450), cartilage)
    canvas.put(canvas.everywhere, rib & front, cartilage)


def draw_lung_base(canvas: Canvas) -> None:
    """Above the diaphragm: fluid, collapsed lung, and lung that is only half aired."""
    rng, fine, wide = canvas.rng, canvas.fine, canvas.wide
    y = canvas.axes.grids[1]
    lung = (canvas.dome < 0) & (canvas.wall > 1) & (canvas.hu < -300)
    if rng.random() < 0.3:  # half aired above the dome
        level = float(rng.choice((rng.uniform(-650, -150), rng.uniform(-50, 100))))
        band = lung & (canvas.dome > -rng.uniform(3, 18) * (1 + 0.4 * wide))
        canvas.put(canvas.everywhere, band, level + 25 * fine)
    if rng.random() < 0.35:  # the back of the lung
        deep = float(rng.uniform(4, 30))
        back = lung & (y + 12 * wide < rng.uniform(-40, 10))
        fluid = rng.random() < 0.6
        collapsed = back & (canvas.wall < deep + rng.uniform(4, 22))
        canvas.put(canvas.everywhere, collapsed, rng.uniform(25, 110 if canvas.enhanced else 55) + 8 * fine)
        if fluid:
            canvas.put(canvas.everywhere, back & (canvas.wall < deep), rng.uniform(-5, 28) + 3 * fine)
    if rng.random() < 0.5:  # vessels of the lung
        canvas.put(canvas.everywhere, lung & (canvas.hu < -500) & (fine > 2.0), float(canvas.tissue["muscle"]))


def draw_diaphragm(canvas: Canvas) -> None:
    """The diaphragm as a thin sheet over the liver, with slips into it, and its crura beside the spine."""
    rng, muscle = canvas.rng, canvas.tissue["muscle"]
    value = muscle + rng.uniform(-10, 25) + 5 * canvas.fine
    if rng.random() < 0.6:
        sheet = (np.abs(canvas.dome) < rng.uniform(0.8, 2.5)) & (canvas.wall > 0)
        canvas.put(canvas.everywhere, sheet, value)
    if rng.random() < 0.35:  # slips between the ribs indent the liver and look like nodules on its surface
        folds = (canvas.wall > 0) & (canvas.wall < 7) & (canvas.wide > rng.uniform(1.0, 1.8))
        canvas.put(canvas.everywhere, folds, value)
    if rng.random() < 0.7:
        pieces = []
        for side in (-1.0, 1.0):
            high = (80 * canvas.size, -30.0, side * 12)
            low = (-70.0, -48.0, side * rng.uniform(14, 24))
            pieces.append(Piece(high, low, float(rng.uniform(3, 6)), float(rng.uniform(4, 10))))
        canvas.put(canvas.everywhere, (canvas.tubes(pieces) > 0) & (canvas.hu < 90), value)


#: In the order in which they are drawn.
ALL = (draw_ribs, draw_lung_base, draw_diaphragm, draw_heart)
