"""Scenes that the segmenter learns from: real liver and tumour outlines in a drawn abdomen of random contrast.

The outlines are label maps (liver 1, tumour 2) without any image, as `mewm train assistant-data --labels` takes them.
Around the liver the procedural abdomen of the synthetic world is drawn with organs of random brightness, and with what
makes a network err on scans (`chest`, `gut`, `vessels`). The liver holds the tumours of the map and drawn ones, before
treatment or after it (Billot et al., SynthSeg, Medical Image Analysis 2023, is where random contrast over label maps
comes from).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from MeWMLib.cohorts.synthetic.anatomy import Anatomy
from MeWMLib.cohorts.synthetic.fields import Axes, FloatArray, derive_seed
from MeWMLib.cohorts.synthetic.shapes import LiverShape
from MeWMLib.lab.training.scenes import chest, gut, vessels
from MeWMLib.lab.training.scenes.canvas import Canvas
from MeWMLib.lab.training.scenes.lesions import draw_lesions
from MeWMLib.lab.training.scenes.outlines import warped

#: Contrast phases of scenes, and how often they are drawn.
PHASES, OFTEN = ("portal", "inflow", "arterial", "none"), (0.4, 0.15, 0.25, 0.2)
#: HU of the liver by phase, and how often it is fatty, by up to so many HU.
LIVER_HU = {"portal": 110.0, "inflow": 90.0, "arterial": 72.0, "none": 55.0}
FATTY, FAT_HU = 0.12, 55.0
#: How often vessels are a tree, the random tubes of the synthetic world, or both.
TREE, TUBES = 0.75, 0.4


@dataclass(frozen=True, eq=False)
class Scene:
    """One drawn scan without noise: HU float32 and labels, both (K, J, I), and the edge of a voxel in mm."""

    hu: FloatArray
    labels: NDArray[np.uint8]
    spacing_mm: float


@dataclass(frozen=True, eq=False)
class MapAnatomy(Anatomy):
    """The procedural abdomen around a given liver, with organs of any brightness."""

    shape: LiverShape = None  # type: ignore[assignment]
    tissue: Mapping[str, float] = None  # type: ignore[assignment]
    contrast: str = "portal"
    tubes: bool = True

    @classmethod
    def around(cls, seed: int, shape: LiverShape) -> MapAnatomy:
        """Draw the abdomen of a seed around a liver."""
        rng = np.random.default_rng(derive_seed("map anatomy", seed))
        phase = str(rng.choice(PHASES, p=OFTEN))
        enhanced = phase != "none"
        liver = float(rng.normal(LIVER_HU[phase], 16))
        if rng.random() < FATTY:
            liver -= float(rng.uniform(15, FAT_HU))
        if phase == "arterial":
            vessel = liver + rng.uniform(0, 75)
        elif enhanced:
            vessel = liver + rng.uniform(5, 90)
        else:  # blood is about as bright as ever, and a fatty liver darker than it
            vessel = float(np.clip(0.5 * liver + rng.uniform(5, 25), 28, 58))
        most = {"portal": 30, "inflow": 110, "arterial": 220, "none": 3}[phase]
        tissue = {
            "liver": liver,
            "vessel": float(vessel),
            "aorta": float(vessel + rng.uniform(-3 if not enhanced else -10, most)),
            "spleen": liver + rng.normal(8 if enhanced else -5, 18),
            "kidney": liver + rng.uniform(20, 110) if enhanced else liver - rng.uniform(10, 30),
            "muscle": rng.uniform(40, 75),
        }
        size = float(rng.uniform(0.9, 1.15))
        drawn = "arterial" if phase in ("arterial", "inflow") else "portal"
        return cls(seed, size, 1.0, drawn, liver, shape, tissue, phase, rng.random() < TUBES)

    @property
    def tissue_hu(self) -> Mapping[str, float]:
        """HU of this abdomen's organs."""
        return self.tissue

    @cached_property
    def liver_shape(self) -> LiverShape:
        """The liver that was given."""
        return self.shape

    def vessels(self, axes: Axes) -> FloatArray:
        """The world's random tubes, in some abdomens."""
        found = super().vessels(axes)
        return found if self.tubes else np.full_like(found, -1.0)

    def draw_scan(self, axes: Axes) -> tuple[FloatArray, FloatArray, NDArray[np.bool_]]:
        """HU without tumours, the liver's signed distance, and where a mass may bulge out of the liver."""
        hu, liver = self.render(axes)
        rng = np.random.default_rng(derive_seed("neighbours", self.seed))
        outline = self.liver_shape.signed_mm(axes.shifted(self.liver_centre))
        wall, dome = self._inner_wall(axes), self._dome(axes, outline)
        fine, wide = self._field("fine", 3.5).at(axes), self._field("wide", 16.0).at(axes)
        canvas = Canvas(
            axes, hu, liver, np.asarray(outline, np.float32), wall, dome, fine, wide, self.tissue, self.contrast,
            self.size, rng,
        )  # fmt: skip
        for draw in (*chest.ALL, *gut.ALL):
            draw(canvas)
        vessels.draw_parenchyma(canvas)
        if not self.tubes or rng.random() < TREE - TUBES:
            vessels.draw_vessels(canvas)
        vessels.draw_hilum_and_fissures(canvas)
        return canvas.hu, canvas.liver, (wall > 4) & (dome > 3) & (hu > -200) & (hu < 150)


def draw_scenes(array: NDArray[np.uint8], spacing_mm: float, seed: int, size: int = 128) -> list[Scene]:
    """Two scans of one abdomen around the liver of a label map: before treatment, and another after it.

    Args:
        array: labels with axes superior, anterior, right.
        spacing_mm: of the map.
        seed: of everything that is drawn.
        size: voxels along each side of the scans.
    """
    rng = np.random.default_rng(derive_seed("scene", seed))
    outlines = warped(array, spacing_mm, rng)
    voxel = float(rng.uniform(1.35, 2.2))
    scenes = []
    for treated in (False, True):
        anatomy = MapAnatomy.around(derive_seed(seed, int(treated)), outlines.liver)
        centre = np.array(anatomy.liver_centre) + rng.uniform((-40, -50, -65), (55, 50, 45))
        # array axes run superior, posterior, left, as on every grid of the networks
        steps = voxel * (np.arange(size) - (size - 1) / 2).astype(np.float32)
        axes = Axes(*(np.asarray(c + sign * steps, np.float32) for c, sign in zip(centre, (1, -1, -1), strict=True)))
        hu, liver, bulge = anatomy.draw_scan(axes)
        labels = (liver > 0).astype(np.uint8)
        tumours = None if outlines.tumours is None else (outlines.tumours, anatomy.liver_centre)
        draw_lesions(hu, liver, bulge, labels, axes, anatomy.liver_hu, tumours, rng, treated)
        hu = ndimage.gaussian_filter(hu, 0.55 / min(voxel, 1.5))
        scenes.append(Scene(np.asarray(np.clip(hu, -1024, 3071), np.float32), labels, voxel))
    return scenes
