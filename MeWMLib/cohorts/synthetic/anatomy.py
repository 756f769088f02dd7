"""A procedural abdomen: liver with vessels, body wall, bones, lungs, and the organs that look like a liver."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from MeWMLib.cohorts.synthetic.fields import Axes, FloatArray, SmoothField, derive_seed
from MeWMLib.cohorts.synthetic.shapes import LiverShape, LiverShapeModel

#: Mean HU by contrast phase. Rounded from typical values of abdominal CT; the patient varies around them.
PHASE_HU = {
    "portal": {"liver": 108, "vessel": 165, "aorta": 160, "spleen": 122, "kidney": 175, "muscle": 60},
    "arterial": {"liver": 72, "vessel": 95, "aorta": 310, "spleen": 115, "kidney": 150, "muscle": 55},
}
FAT, LUNG, AIR, BILE = -100.0, -850.0, -1000.0, 8.0


@dataclass(frozen=True)
class Anatomy:
    """Parameters of one abdomen. Lengths in mm, patient space RAS with the origin in the middle of the trunk.

    `size` scales everything but the liver, whose linear size is `liver_size` (1 is the mean of real livers);
    `phase` chooses the contrast.
    """

    seed: int
    size: float
    liver_size: float
    phase: str
    liver_hu: float

    @classmethod
    def draw(cls, seed: int) -> Anatomy:
        """Draw an abdomen."""
        rng = np.random.default_rng(derive_seed("anatomy", seed))
        phase = "portal" if rng.random() < 0.75 else "arterial"
        return cls(
            seed=seed,
            size=float(rng.uniform(0.88, 1.12)),
            liver_size=LiverShapeModel.load().draw(seed).size,
            phase=phase,
            liver_hu=float(PHASE_HU[phase]["liver"] + rng.normal(0, 9)),
        )

    def _field(self, name: str, scale: float) -> SmoothField:
        return SmoothField(derive_seed(name, self.seed), scale)

    @property
    def tissue_hu(self) -> Mapping[str, float]:
        """HU of the organs by name, those of the phase."""
        return PHASE_HU[self.phase]

    @cached_property
    def liver_shape(self) -> LiverShape:
        """The liver, about its own centre of mass."""
        return replace(LiverShapeModel.load().draw(self.seed), size=self.liver_size)

    @cached_property
    def liver_centre(self) -> tuple[float, float, float]:
        """Its centre of mass (z, y, x): as far right, forward and up as wall and dome allow."""
        (_, top), (_, front), (_, right) = self.liver_shape.extent
        x = float(np.clip(132 - right, 30, 75))
        y = float(np.clip(88 - front, -15, 25))
        return float(np.clip(76 * self.size - top, -30, 20)), y, x

    def liver(self, axes: Axes) -> FloatArray:
        """Signed shape function (K, J, I), about mm at the surface: positive inside the liver."""
        drawn = self._drawn_liver(axes)
        return np.asarray(
            np.minimum(drawn, np.minimum(self._inner_wall(axes), self._dome(axes, drawn)) - 3), np.float32
        )

    def _drawn_liver(self, axes: Axes) -> FloatArray:
        return self.liver_shape.signed_mm(axes.shifted(self.liver_centre))

    def _inner_wall(self, axes: Axes) -> FloatArray:
        """Distance (mm, about) from the inner side of the rib cage; positive inside."""
        z, y, x = axes.grids
        taper = np.clip(1 - np.maximum(z - 40, 0) / 420, 0.55, 1)
        radius = np.sqrt((x / (142 * taper)) ** 2 + ((y - 2) / (98 * taper)) ** 2)
        return np.asarray((1 - radius) * 115 * self.size, np.float32) + 3 * self._field("wall", 60.0).at(axes)

    def _dome(self, axes: Axes, drawn_liver: FloatArray) -> FloatArray:
        """Distance below the diaphragm (mm); positive in the abdomen. The diaphragm drapes over the liver."""
        z, y, x = axes.grids
        height = 78 * self.size - 0.0042 * (np.abs(x) - 55) ** 2 - 0.006 * y**2
        plain = height - z + 3 * self._field("dome", 50.0).at(axes)
        return np.asarray(np.maximum(plain, drawn_liver + 4), np.float32)

    def vessels(self, axes: Axes) -> FloatArray:
        """Vesselness (K, J, I): positive in the lumen. Tubes are where two smooth fields vanish together."""
        a, b = self._field("vessel a", 27.0).at(axes), self._field("vessel b", 27.0).at(axes)
        width = 0.05 + 0.03 * self._field("vessel width", 45.0).at(axes)
        return np.asarray(width - (a**2 + b**2), np.float32)

    def render(self, axes: Axes) -> tuple[FloatArray, FloatArray]:
        """HU (K, J, I) without tumours and noise, and the liver's shape function."""
        rng = np.random.default_rng(derive_seed("organs", self.seed))
        hu = self.tissue_hu
        z, y, x = axes.grids
        s = self.size
        texture = self._field("texture", 4.0).at(axes)
        wobble = self._field("wobble", 30.0).at(axes)
        wall = self._inner_wall(axes)
        drawn = self._drawn_liver(axes)
        dome = self._dome(axes, drawn)
        out = np.full(wall.shape, AIR, np.float32)

        thickness = rng.uniform(10, 26) * s
        muscle = 14 * s
        out[wall > -(muscle + thickness + 5)] = FAT
        in_wall = (wall > -muscle) & (wall <= 0)
        out = np.where(in_wall, hu["muscle"] + 6 * texture, out)
        # Ribs run down and forward in the body wall.
        angle = np.arctan2(y, np.abs(x)).astype(np.float32)
        rib = np.sin(2 * np.pi * (z + 34 * angle) / 27.0) > 0.55
        out = np.where(in_wall & rib & (wall > -0.8 * muscle) & (wall < -3) & (z > -60), 330 + 90 * texture, out)

        # The cavity: fat, bowel loops below, lungs above.
        inside = wall > 0
        bowel = self._field("bowel", 22.0).at(axes)
        loops = np.where(bowel > 0.15, 38 + 14 * texture, FAT + 8 * texture)
        loops = np.where(bowel > 1.45, AIR + 150, loops)
        out = np.where(inside, np.where(z < -20 * s + 12 * wobble, loops, FAT + 8 * texture), out)
        out = np.where(inside & (dome < 0), LUNG + 60 * texture, out)

        def blob(centre: tuple[float, float, float], radii: tuple[float, float, float], rough: float) -> FloatArray:
            cz, cy, cx = (c * s + rng.normal(0, 4) for c in centre)
            rz, ry, rx = (r * s * rng.uniform(0.85, 1.15) for r in radii)
            d = 1 - np.sqrt(((z - cz) / rz) ** 2 + ((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2)
            return np.asarray(d * min(radii) * s + rough * wobble, np.float32)

        below = (dome > 2) & inside
        stomach = blob((5, 32, -62), (48, 42, 42), 5)
        fluid = np.where(y > 45 * s + 6 * wobble, AIR + 80, rng.uniform(5, 45))
        out = np.where((stomach > 0) & below, np.where(stomach < 3.5, hu["muscle"] + 15, fluid), out)
        out = np.where((blob((12, -38, -98), (48, 42, 30), 4) > 0) & below, hu["spleen"] + 7 * texture, out)
        for side in (1, -1):
            kidney = blob((-62, -52, 58 * side), (52, 27, 27), 3)
            medulla = hu["kidney"] - (60 if self.phase == "arterial" else 15)
            organ = np.where(kidney < 8, hu["kidney"] + 7 * texture, medulla + 7 * texture)
            out = np.where((kidney > 0) & below, organ, out)

        # Spine: bodies and discs, canal behind.
        body = 22 * s - np.sqrt(x**2 + (y + 66 * s) ** 2)
        bone = np.where(np.sin(2 * np.pi * z / 34.0) > -0.85, 210 + 70 * texture, 75.0)
        out = np.where(body > 0, np.where(body < 2.2, bone + 180, bone), out)
        arch = 15 * s - np.sqrt(x**2 + (y + 98 * s) ** 2)
        out = np.where((arch > 0) & (arch < 6), 300.0, np.where(arch >= 6, 25.0, out))
        muscles = np.minimum(20 * s - np.abs(np.abs(x) - 30 * s), 20 * s - np.abs(y + 88 * s))
        out = np.where((muscles > 0) & (arch < 0) & (body < 0), hu["muscle"] + 6 * texture, out)

        liver = np.minimum(drawn, np.minimum(wall, dome) - 3)
        lumen = self.vessels(axes)
        tissue = self.liver_hu + 4 * texture + 3 * wobble
        tissue = np.where(lumen > 0, self.liver_hu + (hu["vessel"] - hu["liver"]), tissue)
        out = np.where(liver > 0, tissue, out)
        out = np.where((blob((-38, 42, 48), (24, 13, 13), 2) > 0) & (dome > 4), BILE, out)

        for cy, cx, radius, value in (
            (-38, -14, 11.5, hu["aorta"]),
            (-36, 22, 12.5, 0.5 * (hu["vessel"] + hu["liver"])),
        ):
            tube = radius * s - np.sqrt((x - cx * s - 2 * wobble) ** 2 + (y - cy * s) ** 2)
            out = np.where(tube > 0, float(value) + 4 * texture, out)
        gallbladder_or_vessel = (out == BILE) | (liver <= 0)
        return np.asarray(out, np.float32), np.where(gallbladder_or_vessel & (liver > 0), -1.0, liver).astype(
            np.float32
        )
