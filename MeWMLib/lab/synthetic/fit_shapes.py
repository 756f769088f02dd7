"""Fit the shapes of the synthetic world to a folder of label maps (docs/SHAPES.md).

`python -m MeWMLib.lab.synthetic.fit_shapes LABELS [--out shapes.npz]` reads every NIfTI file of the folder, liver 1
and tumour 2, in any axis-aligned orientation.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage, stats

from MeWMLib.cohorts.synthetic.fields import Axes
from MeWMLib.cohorts.synthetic.shapes import (
    PARAMETERS,
    LiverShape,
    LiverShapeModel,
    TumourShapeModel,
    monomials,
    sphere,
)
from MeWMLib.core.errors import InputError
from MeWMLib.core.io import from_sitk
from MeWMLib.core.volume import LabelMap
from MeWMLib.lab.program import Tell, finish
from MeWMLib.perception.findings import dice

#: Spacing of the coarse grid in mm at size 1, its half extent (z, y, x), and where the distance goes flat.
STEP_MM = 8.0
HALF_MM = (104.0, 96.0, 120.0)
FLAT_MM = (-16.0, 48.0)
LIVER_MODES = 28
#: Modes are stored as whole numbers up to this: the steps are well below a mm, and the file stays small.
LEVELS = 48
TUMOUR_MODES = 16
MIN_RADIUS_MM = 10.0
MIN_VOXELS = 50
#: A component counts as star-shaped when its Dice with the shape of its radial function reaches this.
MIN_STAR_DICE = 0.85
#: Components smaller than this are not counted as tumours: specks of the label maps.
COUNTED_RADIUS_MM = 2.5
MOST_TUMOURS = 10


@dataclass(frozen=True, eq=False)
class LiverSample:
    """One liver, in RAS order of axes, 3 mm: signed distance (Z, Y, X) mm, centre (3,) in voxels, volume in ml."""

    signed: NDArray[np.float32]
    centre: NDArray[np.float64]
    volume_ml: float

    spacing_mm = 3.0

    @property
    def size_mm(self) -> float:
        """Edge of the cube of the same volume."""
        return float((self.volume_ml * 1000) ** (1 / 3))


@dataclass(frozen=True, eq=False)
class TumourSample:
    """One component: radius mm, depth of its centre mm, log radial function (36,) if it was star-shaped and large."""

    radius: float
    depth: float
    star_dice: float
    log_radius: NDArray[np.float64] | None


def ras_array(labels: LabelMap) -> tuple[NDArray[np.uint8], float]:
    """The label array with all axes turned to superior, anterior, right, and its isotropic spacing in mm.

    Raises:
        InputError: the map is oblique or not isotropic.
    """
    matrix = labels.geometry.affine[:3, :3]
    steps = np.diag(matrix)
    if np.abs(matrix - np.diag(steps)).max() > 1e-3 or np.ptp(np.abs(steps)) > 1e-3:
        raise InputError(
            what="Shapes are fitted to axis-aligned isotropic label maps only",
            given=labels.geometry.describe(),
            remedy="Resample the label map first",
        )
    flips = tuple(slice(None, None, 1 if steps[a] > 0 else -1) for a in (2, 1, 0))
    return np.asarray(labels.array, np.uint8)[flips], float(abs(steps[0]))


def signed_distance(inside: NDArray[np.bool_], spacing: float) -> NDArray[np.float32]:
    """Signed distance in mm, positive inside."""
    out = ndimage.distance_transform_edt(inside) - ndimage.distance_transform_edt(~inside)
    return np.asarray((out - 0.5 * np.sign(out)) * spacing, np.float32)


def liver_sample(array: NDArray[np.uint8], spacing: float) -> LiverSample:
    """The liver (tumours included) of a label map."""
    liver = np.pad(array > 0, 1)
    volume = float(liver.sum()) * spacing**3 / 1000
    part = ndimage.zoom(
        ndimage.gaussian_filter(liver.astype(np.float32), 0.7), spacing / LiverSample.spacing_mm, order=1
    )
    found, count = ndimage.label(part > 0.5)
    largest = found == 1 + int(np.argmax(np.bincount(found.ravel(), minlength=count + 1)[1:]))
    largest = np.pad(largest, 8)
    centre = np.array(ndimage.center_of_mass(largest))
    return LiverSample(signed_distance(largest, LiverSample.spacing_mm), centre, volume)


def coarse_grid() -> tuple[NDArray[np.float64], tuple[int, int, int]]:
    """Offsets (N, 3) of the coarse grid's knots from the centre, mm at size 1, and its shape."""
    vectors = [np.arange(-half, half + 0.1, STEP_MM) for half in HALF_MM]
    mesh = np.stack(np.meshgrid(*vectors, indexing="ij"), -1)
    return mesh.reshape(-1, 3), (len(vectors[0]), len(vectors[1]), len(vectors[2]))


def aligned(sample: LiverSample, mean_size_mm: float) -> NDArray[np.float32]:
    """The signed distance on the coarse grid, flat far from the surface, at size 1: (N,)."""
    size = sample.size_mm / mean_size_mm
    places = (coarse_grid()[0] * size / sample.spacing_mm + sample.centre).T
    values = ndimage.map_coordinates(sample.signed, places, order=1, mode="nearest") / size
    return np.asarray(np.clip(values, *FLAT_MM), np.float32)


def principal(rows: NDArray[np.floating], modes: int) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Mean (N,), modes (M, N) scaled to one standard deviation, and the share of the variance that they explain."""
    mean = rows.mean(0)
    _, values, vectors = np.linalg.svd(np.asarray(rows - mean, np.float64), full_matrices=False)
    scaled = vectors[:modes] * (values[:modes, None] / np.sqrt(len(rows) - 1))
    return np.asarray(mean, np.float64), scaled, float((values[:modes] ** 2).sum() / (values**2).sum())


def project(row: NDArray[np.floating], mean: NDArray[np.floating], modes: NDArray[np.floating]) -> NDArray[np.float64]:
    """The nearest shape in the span of the modes, coefficients clipped as in a draw: (N,)."""
    power = (modes**2).sum(1)
    return np.asarray(mean + np.clip(modes @ (row - mean) / power, -2.5, 2.5) @ modes, np.float64)


def leave_out(rows: NDArray[np.float32], modes: int, folds: int = 5) -> NDArray[np.float64]:
    """Dice of every liver, rebuilt by a model of the other folds, on the coarse grid refined to 4 mm."""
    shape = coarse_grid()[1]
    out = np.zeros(len(rows))
    fold = np.random.default_rng(0).permutation(len(rows)) % folds
    for k in range(folds):
        mean, vectors, _ = principal(rows[fold != k], modes)
        for i in np.flatnonzero(fold == k):
            fine = [ndimage.zoom(v.reshape(shape), 2, order=3) > 0 for v in (rows[i], project(rows[i], mean, vectors))]
            out[i] = dice(fine[0], fine[1])
    return out


def tumour_samples(array: NDArray[np.uint8], spacing: float) -> list[TumourSample]:
    """The tumours of a label map, largest first."""
    found, count = ndimage.label(array == 2, np.ones((3, 3, 3)))
    if not count:
        return []
    depth = np.asarray(ndimage.distance_transform_edt(np.pad(array > 0, 1)))[1:-1, 1:-1, 1:-1] * spacing
    samples = []
    for n, box in enumerate(ndimage.find_objects(found), 1):
        part = found[box] == n
        radius = (3 * part.sum() * spacing**3 / (4 * np.pi)) ** (1 / 3)
        if radius < COUNTED_RADIUS_MM:
            continue
        centre = np.array(ndimage.center_of_mass(part))
        place = tuple(np.round(centre).astype(int))
        star, log_radius = 0.0, None
        if radius > MIN_RADIUS_MM and part.sum() >= MIN_VOXELS:
            star, log_radius = star_shape(part, centre, radius / spacing)
        usable = log_radius if star >= MIN_STAR_DICE else None
        samples.append(TumourSample(float(radius), float(depth[box][place]), star, usable))
    return sorted(samples, key=lambda s: -s.radius)


def star_shape(
    part: NDArray[np.bool_], centre: NDArray[np.float64], radius: float
) -> tuple[float, NDArray[np.float64]]:
    """Dice of a component with its radial function, and that function's logarithm (36,) over `radius` (voxels).

    The radius in a direction is that of the cone with the same volume inside, so a hole or a bay costs volume alone.
    """
    directions = sphere(600)
    steps = np.arange(0.25, np.linalg.norm(part.shape) + 1, 0.5)
    places = centre[:, None, None] + directions.T[:, :, None] * steps
    inside = ndimage.map_coordinates(part.astype(np.float32), places, order=1, mode="constant") > 0.5
    surface = np.cbrt(np.maximum(3 * (inside * steps**2).sum(1) * 0.5, 1e-3))
    values = np.log(np.maximum(surface / radius, 0.15))
    # A little ridge keeps what the rays do not determine small.
    design = monomials(directions)
    fit = np.linalg.lstsq(
        np.concatenate([design, 0.03 * np.eye(design.shape[1])]), np.append(values, np.zeros(design.shape[1])), None
    )[0]
    padded = np.pad(part, 2)
    offset = np.moveaxis(np.indices(padded.shape), 0, -1) - (centre + 2)
    far = np.linalg.norm(offset, axis=-1)
    unit = offset.reshape(-1, 3) / np.maximum(far.reshape(-1, 1), 1e-6)
    star = far <= radius * np.exp(monomials(unit) @ fit).reshape(far.shape)
    return dice(star, padded), fit


def deciles(values: Sequence[float]) -> NDArray[np.float32]:
    """The 0, 10, ... 100 % quantiles."""
    return np.quantile(np.asarray(values), np.linspace(0, 1, 11)).astype(np.float32)


def fit(folder: Path) -> tuple[dict[str, NDArray[np.generic]], list[str]]:
    """All arrays of the parameter file, and lines that report how well they fit.

    Raises:
        InputError: the folder holds fewer than 20 label maps.
    """
    files = sorted(folder.glob("*.nii.gz")) + sorted(folder.glob("*.nii"))
    if len(files) < 20:
        raise InputError(
            what="There are too few label maps to fit shapes", given=f"{len(files)} files", remedy="Give 20 or more"
        )
    livers, tumours = [], []
    for file in files:
        array, spacing = ras_array(LabelMap(*from_sitk(sitk.ReadImage(str(file), sitk.sitkUInt8))))
        livers.append(liver_sample(array, spacing))
        tumours.append(tumour_samples(array, spacing))

    sizes = np.array([s.size_mm for s in livers])
    mean_size = float(np.exp(np.log(sizes).mean()))
    rows = np.stack([aligned(s, mean_size) for s in livers])
    mean, modes, explained = principal(rows, LIVER_MODES)
    shape = coarse_grid()[1]
    scales = np.abs(modes).max(1) / LEVELS
    quantised = np.round(modes / scales[:, None]).astype(np.int8)

    deviation = float(np.log(sizes).std(ddof=1))
    volumes = np.asarray([s.volume_ml for s in livers], np.float32)
    model = LiverShapeModel(
        np.asarray(mean.reshape(shape), np.float32),
        np.asarray((quantised * scales[:, None]).reshape(-1, *shape), np.float32),
        -np.asarray(HALF_MM, np.float32),
        STEP_MM,
        (0.0, deviation),
    )
    # A mean of distances is thinner at thin ends than the livers are; size makes up for the volume lost there.
    thin = np.mean([liver_volume_ml(model.draw(seed), 5.0) for seed in range(1000, 1100)]) / volumes.mean()

    stars = np.stack([s.log_radius for group in tumours for s in group if s.log_radius is not None])
    star_mean, star_modes, star_explained = principal(stars, TUMOUR_MODES)
    with_tumours = [group for group in tumours if group]
    counts = np.minimum([len(group) for group in with_tumours], MOST_TUMOURS)
    everything = [s for group in with_tumours for s in group]
    largest = np.log([group[0].radius for group in with_tumours])
    parameters: dict[str, NDArray[np.generic]] = {
        "liver_mean": mean.reshape(shape).astype(np.float16),
        "liver_modes": quantised.reshape(-1, *shape),
        "liver_mode_scales": scales.astype(np.float32),
        "liver_origin": -np.asarray(HALF_MM, np.float32),
        "liver_step": np.asarray(STEP_MM, np.float32),
        "liver_log_size": np.asarray([-np.log(thin) / 3, deviation], np.float32),
        "liver_volumes_ml": volumes,
        "tumour_mean": star_mean.astype(np.float32),
        "tumour_modes": star_modes.astype(np.float32),
        "statistics_count_share": (np.bincount(counts, minlength=MOST_TUMOURS + 1)[1:] / len(counts)).astype(
            np.float32
        ),
        "statistics_log_radius": np.asarray([largest.mean(), largest.std(ddof=1)], np.float32),
        "statistics_ratio": deciles([s.radius / group[0].radius for group in with_tumours for s in group[1:]]),
        "statistics_depth_mm": deciles([s.depth for s in everything]),
        "statistics_depth_ratio": deciles([s.depth / s.radius for s in everything]),
    }
    held_out = leave_out(rows, LIVER_MODES)
    star_dice = np.array([s.star_dice for s in everything if s.star_dice])
    report = [
        f"livers: {len(files)}, mean linear size {mean_size:.1f} mm, {LIVER_MODES} modes explain {explained:.3f}",
        f"livers rebuilt by a model of the other four fifths: Dice mean {held_out.mean():.3f}, "
        f"sd {held_out.std(ddof=1):.3f}, lowest {held_out.min():.3f}",
        f"livers with tumours: {len(with_tumours)}, tumours over {COUNTED_RADIUS_MM} mm: {len(everything)}",
        f"tumours over {MIN_RADIUS_MM} mm: {len(star_dice)}, star-shaped (Dice >= {MIN_STAR_DICE}): {len(stars)}, "
        f"median Dice {np.median(star_dice):.3f}; {TUMOUR_MODES} modes explain {star_explained:.3f}",
        f"largest tumour: log radius {largest.mean():.3f} sd {largest.std(ddof=1):.3f}",
    ]
    return parameters, report


def liver_volume_ml(liver: LiverShape, step_mm: float = 3.0) -> float:
    """Volume of a drawn liver, counted on a grid of `step_mm`."""
    axes = Axes(*(np.arange(low - 8, high + 8, step_mm, dtype=np.float32) for low, high in liver.extent))
    return float((liver.signed_mm(axes) > 0).sum()) * step_mm**3 / 1000


def compare(draws: int = 200) -> list[str]:
    """Lines that compare drawn shapes with the real ones of the parameter file that is installed."""
    with np.load(PARAMETERS, allow_pickle=False) as stored:
        real = stored["liver_volumes_ml"]
    drawn = [liver_volume_ml(LiverShapeModel.load().draw(seed), 5.0) for seed in range(draws)]
    ks = stats.ks_2samp(real, drawn)
    reach = [TumourShapeModel.load().draw(seed).reach for seed in range(draws)]
    return [
        f"volumes of {draws} drawn livers against {len(real)} real ones: means {np.mean(drawn):.0f} and "
        f"{real.mean():.0f} ml, sd {np.std(drawn, ddof=1):.0f} and {real.std(ddof=1):.0f}, "
        f"KS {ks.statistic:.3f} (p {ks.pvalue:.2f})",
        f"farthest point of {draws} drawn tumours: median {np.median(reach):.2f}, largest {np.max(reach):.2f} radii",
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """The fitting command."""
    parser = argparse.ArgumentParser(prog="fit_shapes", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("labels", type=Path, help="folder of label maps (NIfTI)")
    parser.add_argument("--out", type=Path, default=PARAMETERS, help="parameter file to write")
    given = parser.parse_args(arguments)

    def work(tell: Tell) -> str:
        parameters, report = fit(given.labels)
        np.savez_compressed(given.out, allow_pickle=False, **parameters)
        report.append(f"{given.out.name}: {given.out.stat().st_size / 1000:.0f} kB")
        if given.out.resolve() == PARAMETERS.resolve():
            report += compare()
        return "\n".join(report)

    return finish(work)


if __name__ == "__main__":
    sys.exit(main())
