"""Statistical shapes of livers and liver tumours; their parameters were fitted to real label maps (docs/SHAPES.md)."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from MeWMLib.cohorts.synthetic.fields import FOUR, Axes, FloatArray, derive_seed, spline_weights
from MeWMLib.core.errors import UnreadableFileError

#: The fitted parameters, CC BY-SA 4.0 (shapes.LICENCE.txt beside it).
PARAMETERS = Path(__file__).with_name("shapes.npz")
#: Mode coefficients are kept within this many standard deviations.
CLIP = 2.5
#: A function of spherical harmonics up to this degree is a sum of homogeneous polynomials of this degree and the one
#: below it, restricted to the unit sphere: 21 + 15 monomials for 36 harmonics.
DEGREE = 5
#: Exponents (of z, y, x) of the monomials of `DEGREE` and of the one below it.
EXPONENTS = [(d - b - a, b, a) for d in (DEGREE, DEGREE - 1) for b in range(d + 1) for a in range(d + 1 - b)]
_NAMES = {
    *(f"liver_{name}" for name in ("mean", "modes", "origin", "step", "log_size")),
    *("tumour_mean", "tumour_modes", "statistics_ratio"),
}


@cache
def read_parameters(path: Path = PARAMETERS) -> dict[str, NDArray[np.float32]]:
    """The arrays of a parameter file; modes stored as whole numbers with a scale each become float32 again.

    Raises:
        UnreadableFileError: the file is missing, broken, or lacks an array.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            out = {name: np.asarray(stored[name], np.float32) for name in stored.files}
        modes, scales = out.pop("liver_modes"), out.pop("liver_mode_scales")
        out["liver_modes"] = modes * scales[:, None, None, None]
        missing = _NAMES - set(out)
        if missing:
            raise KeyError(", ".join(sorted(missing)))
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise UnreadableFileError(
            what="The shape parameters of the synthetic world cannot be read",
            given=f"{path.name}: {error}",
            remedy="Install MeWM again, or fit them with python -m MeWMLib.lab.synthetic.fit_shapes",
        ) from error
    return out


def _mirrored_weights(places: FloatArray, knots: int) -> FloatArray:
    """Weights (n, knots) of a spline mirrored at its ends; `places` in knot units within [0, knots - 1]."""
    base = np.floor(places).astype(np.int64)
    near = np.abs(base + FOUR)
    return spline_weights(places - base, np.where(near > knots - 1, 2 * (knots - 1) - near, near), knots)


@dataclass(frozen=True, eq=False)
class LiverShape:
    """One liver: a signed distance on a coarse grid, about its own centre of mass.

    Attributes:
        grid: (Z, Y, X) signed distance in mm at size 1, positive inside, flat far from the surface.
        origin: (3,) z, y, x of the first knot, RAS mm at size 1.
        step: knot spacing in mm at size 1.
        size: linear size; 1 is the mean of the real livers.
    """

    grid: FloatArray
    origin: FloatArray
    step: float
    size: float

    @cached_property
    def _spline(self) -> FloatArray:
        return np.asarray(ndimage.spline_filter(self.grid, 3, np.float32, mode="mirror"))

    def signed_mm(self, axes: Axes) -> FloatArray:
        """Signed distance (K, J, I), about mm near the surface, positive inside.

        Args:
            axes: RAS mm relative to the liver's centre of mass.
        """
        weights, excess = [], []
        for values, origin, knots in zip((axes.z, axes.y, axes.x), self.origin, self.grid.shape, strict=True):
            place = (values / self.size - origin) / self.step
            inside = np.clip(place, 0, knots - 1)
            weights.append(_mirrored_weights(inside, knots))
            excess.append(np.abs(place - inside).astype(np.float32) * self.step)
        out = np.tensordot(weights[0], self._spline, 1)  # (K, Y, X)
        out = np.matmul(weights[1][None], out)  # (K, J, X)
        out = out @ weights[2].T  # (K, J, I)
        for beyond in np.ix_(*excess):
            if beyond.any():
                out -= beyond
        return np.asarray(out * np.float32(self.size), np.float32)

    @cached_property
    def extent(self) -> tuple[tuple[float, float], tuple[float, float], tuple[float, float]]:
        """Lowest and highest z, y and x (mm from the centre) of the inside, on a 4 mm grid."""
        places = [
            np.arange(o, o + (n - 1) * self.step, 4.0, dtype=np.float32) * self.size
            for o, n in zip(self.origin, self.grid.shape, strict=True)
        ]
        inside = self.signed_mm(Axes(*places)) > 0
        ends = []
        for axis, values in enumerate(places):
            there = values[np.flatnonzero(inside.any(tuple({0, 1, 2} - {axis})))]
            ends.append((float(there[0]), float(there[-1])))
        return ends[0], ends[1], ends[2]


def _clipped(coefficients: ArrayLike, count: int) -> FloatArray:
    """Mode coefficients (count,) within `CLIP` deviations; missing ones are 0."""
    given = np.asarray(coefficients, np.float32)
    return np.clip(np.pad(given, (0, count - len(given))), -CLIP, CLIP)


@dataclass(frozen=True, eq=False)
class LiverShapeModel:
    """Mean and principal modes of the signed distances of real livers, aligned by centre of mass and volume.

    Attributes:
        mean: (Z, Y, X) mm.
        modes: (M, Z, Y, X) mm for one standard deviation of each coefficient.
        origin, step: see `LiverShape`.
        log_size: mean and standard deviation of the logarithm of the linear size.
    """

    mean: FloatArray
    modes: FloatArray
    origin: FloatArray
    step: float
    log_size: tuple[float, float]

    @staticmethod
    @cache
    def load() -> LiverShapeModel:
        """The model of the package; errors as `read_parameters`."""
        p = read_parameters()
        mean, deviation = p["liver_log_size"].tolist()
        step = float(p["liver_step"])
        return LiverShapeModel(p["liver_mean"], p["liver_modes"], p["liver_origin"], step, (mean, deviation))

    def shape(self, coefficients: ArrayLike, size: float = 1.0) -> LiverShape:
        """The liver of some mode coefficients, in standard deviations; missing ones are 0."""
        grid = self.mean + np.tensordot(_clipped(coefficients, len(self.modes)), self.modes, 1)
        return LiverShape(np.asarray(grid, np.float32), self.origin, self.step, size)

    def draw(self, seed: int) -> LiverShape:
        """Draw a liver; the same seed gives the same liver on every machine."""
        rng = np.random.default_rng(derive_seed("liver", seed))
        size = float(np.exp(self.log_size[0] + self.log_size[1] * np.clip(rng.standard_normal(), -CLIP, CLIP)))
        return self.shape(rng.standard_normal(len(self.modes)), size)


def monomials(directions: NDArray[np.floating]) -> NDArray[np.float64]:
    """Values (n, 36) of the monomials at unit vectors (n, 3) in z, y, x."""
    z, y, x = np.asarray(directions, np.float64).T
    return np.stack([z**c * y**b * x**a for c, b, a in EXPONENTS], -1)


def sphere(count: int = 600) -> NDArray[np.float64]:
    """Unit vectors (n, 3) spread evenly over the sphere (Fibonacci lattice)."""
    n = np.arange(count) + 0.5
    z = 1 - 2 * n / count
    turn = np.pi * (1 + 5**0.5) * n
    ring = np.sqrt(1 - z**2)
    return np.stack([z, ring * np.sin(turn), ring * np.cos(turn)], -1)


@dataclass(frozen=True, eq=False)
class TumourShape:
    """A star-shaped tumour: the logarithm of its radius is a polynomial on the unit sphere.

    Attributes:
        log_radius: (36,) coefficients of `EXPONENTS`; the shape has the volume of the unit ball.
        reach: the largest radius over all directions, in volume-equivalent radii.
    """

    log_radius: FloatArray
    reach: float = field(init=False)

    def __post_init__(self) -> None:
        farthest = float(np.exp((monomials(sphere(2000)) @ self.log_radius).max()))
        object.__setattr__(self, "reach", 1.01 * farthest)

    def radius(self, z: FloatArray, y: FloatArray, x: FloatArray) -> FloatArray:
        """Surface radius in volume-equivalent radii, seen from the centre towards points that broadcast.

        Args:
            z, y, x: coordinates relative to the centre, in any unit; at the centre itself the answer is finite.
        """
        z, y, x = (np.asarray(v, np.float32) for v in (z, y, x))
        scale = 1 / np.sqrt(np.maximum(z * z + y * y + x * x, np.float32(1e-12)))
        total: FloatArray = np.zeros(scale.shape, np.float32)
        at = 0
        # Horner in x, then y; a homogeneous polynomial in the coordinates times |v|^-degree is one of the unit vector.
        z, y, x = z * scale, y * scale, x * scale
        powers = [np.ones_like(z)]
        for _ in range(DEGREE):
            powers.append(powers[-1] * z)
        for degree in (DEGREE, DEGREE - 1):
            rows = []
            for count in range(degree + 1, 0, -1):
                rows.append(self.log_radius[at : at + count])
                at += count
            part: FloatArray = np.zeros(scale.shape, np.float32)
            for b in range(degree, -1, -1):
                inner: FloatArray = np.full(scale.shape, rows[b][-1], np.float32)
                for a in range(degree - b - 1, -1, -1):
                    inner *= x
                    inner += rows[b][a] * powers[degree - b - a]
                part *= y
                part += inner
            total += part
        return np.asarray(np.exp(total), np.float32)


@dataclass(frozen=True, eq=False)
class TumourShapeModel:
    """Mean (36,) and modes (M, 36), one standard deviation each, of the log radius of real tumours."""

    mean: FloatArray
    modes: FloatArray

    @staticmethod
    @cache
    def load() -> TumourShapeModel:
        """The model of the package; errors as `read_parameters`."""
        p = read_parameters()
        return TumourShapeModel(p["tumour_mean"], p["tumour_modes"])

    def shape(self, coefficients: ArrayLike) -> TumourShape:
        """The tumour of some mode coefficients, in standard deviations, scaled to the volume of the unit ball."""
        return unit_volume(self.mean + _clipped(coefficients, len(self.modes)) @ self.modes)

    def draw(self, seed: int) -> TumourShape:
        """Draw a tumour; the same seed gives the same tumour on every machine."""
        rng = np.random.default_rng(derive_seed("tumour", seed))
        return self.shape(rng.standard_normal(len(self.modes)))


@cache
def _constant() -> NDArray[np.float64]:
    """Coefficients of the function that is 1 on the sphere, (x² + y² + z²)², for the even degree of the two."""
    out = np.zeros(len(EXPONENTS))
    for i, powers in enumerate(EXPONENTS):
        if sum(powers) == 4 and not any(p % 2 for p in powers):
            out[i] = 2.0 if 2 in powers else 1.0
    return out


def unit_volume(log_radius: NDArray[np.floating]) -> TumourShape:
    """A shape with the volume of the unit ball: the mean of radius³ over the sphere is 1."""
    radius = np.exp(monomials(sphere(2000)) @ log_radius)
    shift = np.log((radius**3).mean()) / 3
    return TumourShape(np.asarray(log_radius - shift * _constant(), np.float32))


def radius_ratios() -> NDArray[np.float32]:
    """Quantiles (0, 10, ... 100 %) of the radius of the further tumours of a liver over that of its largest one."""
    return read_parameters()["statistics_ratio"]
