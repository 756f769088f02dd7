"""Scenes that the segmenter learns from: real liver and tumour outlines in a drawn abdomen of random contrast.

The outlines are label maps (liver 1, tumour 2) without any image, as `mewm train assistant-data --labels` takes them.
Around the liver the procedural abdomen of the synthetic world is drawn with organs of random brightness, and with what
makes a network err on scans: a heart, a large spleen, contrast in stomach and bowel, lymph nodes, ascites, metal. The
liver holds the tumours of the map and drawn ones, before treatment or after it (Billot et al., SynthSeg, Medical Image
Analysis 2023, is where random contrast over label maps comes from).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from MeWMLib.cohorts.synthetic.anatomy import Anatomy
from MeWMLib.cohorts.synthetic.fields import Axes, FloatArray, SmoothField, derive_seed
from MeWMLib.cohorts.synthetic.shapes import LiverShape
from MeWMLib.cohorts.synthetic.tumour import Nodule
from MeWMLib.core.errors import InputError, UnreadableFileError
from MeWMLib.core.io import from_sitk
from MeWMLib.core.volume import LabelMap
from MeWMLib.lab.synthetic.fit_shapes import ras_array, signed_distance
from MeWMLib.lab.training.augment import rotation

#: Spacing at which outlines are warped and their distances computed.
STEP_MM = 2.5


@dataclass(frozen=True, eq=False)
class Scene:
    """One drawn scan without noise: HU float32 and labels, both (K, J, I), and the edge of a voxel in mm."""

    hu: FloatArray
    labels: NDArray[np.uint8]
    spacing_mm: float


@dataclass(frozen=True, eq=False)
class Outlines:
    """Signed distances of a liver and of the tumours in it, about the liver's centre of mass."""

    liver: LiverShape
    tumours: LiverShape | None


def label_maps(folder: Path) -> list[Path]:
    """The label maps of a folder, by name.

    Raises:
        InputError: it holds none.
    """
    found = sorted(folder.glob("*.nii.gz"))
    if not found:
        raise InputError(what="The folder holds no label maps", given=str(folder), remedy="Give .nii.gz files")
    return found


def read_map(path: Path) -> tuple[NDArray[np.uint8], float]:
    """Labels with axes superior, anterior, right, and their isotropic spacing in mm.

    Raises:
        UnreadableFileError: not an image file.
        InputError: an oblique or anisotropic map.
    """
    try:
        image = sitk.ReadImage(str(path), sitk.sitkUInt8)
    except RuntimeError as error:
        raise UnreadableFileError(what="A label map cannot be read", given=str(path), remedy="Leave it out") from error
    return ras_array(LabelMap(*from_sitk(image)))


def warped(array: NDArray[np.uint8], spacing_mm: float, rng: np.random.Generator) -> Outlines:
    """Turn, stretch and bend a label map at random."""
    turn = rotation(rng.normal(0, 0.09, 3))
    stretch = np.diag(np.exp(rng.normal(0, 0.07) + rng.normal(0, 0.04, 3)))
    matrix = turn @ stretch
    centre = np.array(ndimage.center_of_mass(array > 0))
    reach = 0.5 * spacing_mm * np.array(array.shape) * 1.15 + 14
    counts = np.ceil(2 * reach / STEP_MM).astype(int)
    grid = np.stack(np.meshgrid(*[STEP_MM * (np.arange(n) - n / 2) for n in counts], indexing="ij"))
    bend = np.stack([_bend(counts, rng) for _ in range(3)])
    places = np.einsum("ab,bzyx->azyx", matrix, grid) / spacing_mm + bend / spacing_mm + centre[:, None, None, None]
    liver = ndimage.map_coordinates((array > 0).astype(np.float32), places, order=1) > 0.5
    tumour = ndimage.map_coordinates((array == 2).astype(np.float32), places, order=1) > 0.45
    middle = np.array(ndimage.center_of_mass(liver))
    origin = np.asarray(-middle * STEP_MM, np.float32)
    shapes = [
        LiverShape(signed_distance(m, STEP_MM), origin, STEP_MM, 1.0) if m.any() else None for m in (liver, tumour)
    ]
    assert shapes[0] is not None
    return Outlines(shapes[0], shapes[1])


def _bend(counts: NDArray[np.int64], rng: np.random.Generator) -> FloatArray:
    """A smooth shift in mm over a grid: a field of 60 mm of grain at a random place."""
    field = SmoothField(int(rng.integers(2**40)), 60.0, 8)
    return 4.5 * field.at(Axes(*(STEP_MM * np.arange(n, dtype=np.float32) for n in counts)))


@dataclass(frozen=True, eq=False)
class MapAnatomy(Anatomy):
    """The procedural abdomen around a given liver, with organs of any brightness."""

    shape: LiverShape = None  # type: ignore[assignment]
    tissue: Mapping[str, float] = None  # type: ignore[assignment]

    @classmethod
    def around(cls, seed: int, shape: LiverShape) -> MapAnatomy:
        """Draw the abdomen of a seed around a liver."""
        rng = np.random.default_rng(derive_seed("map anatomy", seed))
        phase = ("portal", "portal", "arterial", "none")[int(rng.integers(4))]
        liver = float(rng.normal({"portal": 110, "arterial": 75, "none": 55}[phase], 18))
        gain = {"portal": 1.0, "arterial": 1.0, "none": 0.0}[phase]
        vessel = liver + gain * rng.uniform(0, 75) + (1 - gain) * rng.uniform(-25, 5)
        tissue = {
            "liver": liver,
            "vessel": vessel,
            "aorta": vessel + gain * rng.uniform(-10, 200 if phase == "arterial" else 30),
            "spleen": liver + rng.normal(8 if gain else -5, 18),
            "kidney": liver + gain * rng.uniform(20, 110) - (1 - gain) * rng.uniform(10, 30),
            "muscle": rng.uniform(40, 75),
        }
        size = float(rng.uniform(0.9, 1.15))
        return cls(seed, size, 1.0, "arterial" if phase == "arterial" else "portal", liver, shape, tissue)

    @property
    def tissue_hu(self) -> Mapping[str, float]:
        """HU of this abdomen's organs."""
        return self.tissue

    @cached_property
    def liver_shape(self) -> LiverShape:
        """The liver that was given."""
        return self.shape

    def draw_scan(self, axes: Axes) -> tuple[FloatArray, FloatArray, NDArray[np.bool_]]:
        """HU without tumours, the liver's signed distance, and where a mass may bulge out of the liver."""
        hu, liver = self.render(axes)
        rng = np.random.default_rng(derive_seed("neighbours", self.seed))
        drawn = self.liver_shape.signed_mm(axes.shifted(self.liver_centre))
        wall, dome = self._inner_wall(axes), self._dome(axes, drawn)
        fine = self._field("fine", 3.5).at(axes)
        wide = self._field("wide", 16.0).at(axes)
        tissue = self.tissue_hu

        def put(where: NDArray[np.bool_], value: FloatArray | float) -> None:
            np.copyto(hu, value, where=where & (liver <= 0), casting="unsafe")

        def egg(centre: tuple[float, float, float], radii: tuple[float, float, float]) -> FloatArray:
            z, y, x = axes.grids
            (cz, cy, cx), (rz, ry, rx) = centre, radii
            r = np.sqrt(((z - cz) / rz) ** 2 + ((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2)
            return np.asarray((1 - r) * min(radii) + 2.5 * wide, np.float32)

        below = (wall > 1) & (dome > 1)
        if rng.random() < 0.75:
            radii = tuple(rng.uniform((32, 38, 42), (50, 55, 62)))
            top = 78 * self.size + radii[0] * rng.uniform(0.55, 0.95)
            heart = egg((top, rng.uniform(15, 45), rng.uniform(-45, 0)), radii)
            put((heart > 0) & (wall > 2) & (dome <= 1), rng.uniform(80, 200) + 6 * fine)
            put((heart > 0) & (heart < 9) & (wall > 2) & (dome <= 1), tissue["muscle"] + rng.uniform(0, 60) + 5 * fine)
        if rng.random() < 0.6:
            centre = (rng.uniform(-25, 40), rng.uniform(-55, -10), rng.uniform(-112, -78))
            spleen = egg(centre, tuple(rng.uniform((35, 35, 22), (80, 60, 46))))
            put((spleen > 0) & below, tissue["spleen"] + rng.uniform(2, 8) * fine)
        if rng.random() < 0.6:
            filling = rng.choice(("contrast", "food", "water"))
            centre = (rng.uniform(-25, 35), rng.uniform(5, 55), rng.uniform(-90, -25))
            stomach = egg(centre, tuple(rng.uniform((25, 22, 24), (60, 50, 52))))
            value = {"contrast": rng.uniform(150, 800), "food": 55 + 28 * wide, "water": rng.uniform(0, 25)}[filling]
            put((stomach > 0) & below, value + 5 * fine)
            put((stomach > 0) & (stomach < rng.uniform(2, 5)) & below, tissue["muscle"] + rng.uniform(0, 50))
        if rng.random() < 0.5:
            bowel = self._field("bowel", 22.0).at(axes)
            put((bowel > rng.uniform(0.2, 1.0)) & (hu > 0) & (hu < 90) & below, rng.uniform(120, 800) + 20 * fine)
        for _ in range(int(rng.integers(0, 6))):  # pancreas, duodenum, nodes
            centre = (rng.uniform(-80, 30), rng.uniform(-45, 45), rng.uniform(-60, 70))
            radii = tuple(rng.uniform(6, 26, 3))
            put((egg(centre, radii) > 0) & below & (hu < 100), rng.uniform(30, 130) + rng.uniform(3, 9) * fine)
        if rng.random() < 0.4:  # another gallbladder, close to the liver
            at = np.argwhere((drawn < -4) & (drawn > -14) & below)
            if len(at):
                k, j, i = at[int(rng.integers(len(at)))]
                bladder = egg((axes.z[k], axes.y[j], axes.x[i]), tuple(rng.uniform((10, 8, 8), (34, 20, 20))))
                put((bladder > 0) & below, rng.uniform(0, 25) if rng.random() < 0.8 else rng.uniform(60, 250))
        for _ in range(int(rng.integers(0, 3))):  # cysts of the kidney
            centre = (rng.uniform(-110, -15), rng.uniform(-80, -30), float(rng.choice((-1, 1))) * rng.uniform(35, 85))
            put((egg(centre, tuple([rng.uniform(6, 22)] * 3)) > 0) & below, rng.uniform(0, 25))
        if rng.random() < 0.15:
            put((drawn > -rng.uniform(5, 22)) & below & (hu < 60), rng.uniform(0, 22) + 2 * fine)  # ascites
        if rng.random() < 0.3:  # the table
            z, y, x = axes.grids
            table = np.abs(y + rng.uniform(125, 150) - 0.001 * x**2) < rng.uniform(1, 3)
            np.copyto(hu, rng.uniform(-300, 300), where=table & (wall < -30) & (hu < -900) & (z > -1e9))
        return hu, liver, (wall > 4) & (dome > 3) & (hu > -200) & (hu < 150)


@dataclass(frozen=True)
class _Look:
    """How lesions of one scene look; HU beside the liver's unless said otherwise."""

    tissue: float
    coarse: float
    rim: float
    rim_mm: float
    core_share: float
    core_hu: float
    oil_share: float
    oil_hu: float
    oil_grain: float
    oil_side: tuple[float, float, float]
    soft_mm: float

    @classmethod
    def draw(cls, rng: np.random.Generator, treated: bool) -> _Look:
        dark = rng.random() < 0.68
        tissue = -rng.uniform(8, 75) if dark else rng.uniform(8, 75)
        core = rng.uniform(0.1, 0.95) if treated or rng.random() < 0.3 else 0.0
        oil = rng.uniform(0.1, 1.0) if treated and rng.random() < 0.65 else 0.0
        return cls(
            tissue=float(tissue),
            coarse=float(rng.uniform(2, 16)),
            rim=float(rng.uniform(15, 90)) if rng.random() < 0.3 else 0.0,
            rim_mm=float(rng.uniform(1.5, 5)),
            core_share=float(core),
            core_hu=float(rng.uniform(0, 48)),
            oil_share=float(oil),
            oil_hu=float(rng.uniform(180, 900)),
            oil_grain=float(rng.uniform(0.1, 1.2)),
            oil_side=tuple(rng.normal(0, rng.uniform(0, 1.2), 3)),
            soft_mm=float(rng.uniform(1.0, 6.0) if rng.random() < 0.7 else rng.uniform(6, 12)),
        )


def _paint(
    hu: FloatArray, distance: FloatArray, allowed: NDArray[np.bool_], axes: Axes, look: _Look, liver: float, seed: int
) -> NDArray[np.bool_]:
    """Paint lesions whose signed distance (mm, positive inside) is given into `hu`; returns their mask."""
    mask = (distance > 0) & allowed
    if not mask.any():
        return mask
    fine = SmoothField(derive_seed("lesion fine", seed), 4.0).at(axes)
    wide = SmoothField(derive_seed("lesion wide", seed), 11.0).at(axes)
    value = liver + look.tissue + look.coarse * (0.6 * wide + 0.5 * fine)
    if look.rim:
        value = value + look.rim * np.exp(-(((distance - look.rim_mm) / look.rim_mm) ** 2))
    depth = distance / max(1.0, float(distance[mask].max()))
    if look.core_share > 0:
        order = depth + 0.35 * wide + 0.12 * fine
        dead = order > np.quantile(order[mask], 1 - look.core_share)
        value = np.where(dead, look.core_hu + 5 * fine, value)
        if look.oil_share > 0 and (dead & mask).any():
            # one side takes up more of it than the other, in lumps or in speckles
            reach = 2 * max(1.0, float(distance[mask].max()))
            side = sum(w * g for w, g in zip(look.oil_side, axes.grids, strict=True)) / reach
            place = 0.5 * wide + look.oil_grain * fine - 0.4 * depth + side
            oil = dead & (place > np.quantile(place[dead & mask], 1 - look.oil_share))
            value = np.where(oil, np.maximum(130, look.oil_hu * (1 + 0.35 * fine)), value)
    weight = np.clip(distance / look.soft_mm + 0.5, 0, 1) * allowed
    hu += weight * (value - hu)
    return mask


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
        centre = np.array(anatomy.liver_centre) + rng.uniform((-45, -50, -65), (45, 50, 45))
        # array axes run superior, posterior, left, as on every grid of the networks
        steps = voxel * (np.arange(size) - (size - 1) / 2).astype(np.float32)
        axes = Axes(*(np.asarray(c + sign * steps, np.float32) for c, sign in zip(centre, (1, -1, -1), strict=True)))
        hu, liver, bulge = anatomy.draw_scan(axes)
        labels = (liver > 0).astype(np.uint8)
        _lesions(hu, liver, bulge, labels, axes, anatomy, outlines, rng, treated)
        hu = ndimage.gaussian_filter(hu, 0.55 / min(voxel, 1.5))
        scenes.append(Scene(np.asarray(np.clip(hu, -1024, 3071), np.float32), labels, voxel))
    return scenes


def _lesions(
    hu: FloatArray,
    liver: FloatArray,
    bulge: NDArray[np.bool_],
    labels: NDArray[np.uint8],
    axes: Axes,
    anatomy: MapAnatomy,
    outlines: Outlines,
    rng: np.random.Generator,
    treated: bool,
) -> None:
    """Paint the map's tumours and drawn ones, all of one look or each of its own."""
    inside = liver > 0
    common = _Look.draw(rng, treated)
    if outlines.tumours is not None and rng.random() < 0.85:
        distance = outlines.tumours.signed_mm(axes.shifted(anatomy.liver_centre))
        labels[_paint(hu, distance, inside, axes, common, anatomy.liver_hu, int(rng.integers(2**40)))] = 2
    spots = np.argwhere(inside)
    if not len(spots):
        return
    count = int(rng.choice((0, 1, 2, 4, 8, 16), p=(0.2, 0.2, 0.25, 0.15, 0.12, 0.08)))
    for n in range(count):
        large = n == 0 and rng.random() < 0.25
        radius = float(rng.uniform(28, 75) if large else np.clip(rng.lognormal(np.log(8), 0.55), 2.5, 32))
        k, j, i = spots[int(rng.integers(len(spots)))]
        form = "cluster" if rng.random() < 0.15 else "ball"
        nodule = Nodule(
            (float(axes.z[k]), float(axes.y[j]), float(axes.x[i])), radius, float(rng.uniform(0.03, 0.2)),
            int(rng.integers(2**40)), form,
        )  # fmt: skip
        box = nodule.box(axes)
        if box is None:
            continue
        part = Axes(axes.z[box[0]], axes.y[box[1]], axes.x[box[2]])
        allowed = inside[box] | bulge[box] if large and rng.random() < 0.6 else inside[box]
        look = common if rng.random() < 0.5 else _Look.draw(rng, treated)
        view = hu[box]
        mask = _paint(view, nodule.shape(part) * radius, allowed, part, look, anatomy.liver_hu, nodule.seed)
        labels[box][mask] = 2
