"""Volumes and label maps on a geometry. Arrays are indexed (k, j, i); affines map (i, j, k) to RAS mm."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MeWMLib.core.errors import GeometryError, GeometryMismatchError, LabelError, NotCTError
from MeWMLib.core.records import record_to_plain

BACKGROUND, LIVER, TUMOUR = 0, 1, 2
PHASES = ("unknown", "non-contrast", "arterial", "portal", "delayed")
#: Two grids are the same if they are closer than this share of a voxel at every corner.
SAME_GRID_VOXELS = 1e-2
MIN_SPACING_MM, MAX_SPACING_MM = 0.05, 20.0
#: Parts of a unit vector along an axis that are no turn but what arithmetic left: of 10,000 voxels, 1e-8.
_NO_TURN = 1e-12


@dataclass(frozen=True, eq=False)
class Geometry:
    """A regular grid of voxels in patient space.

    Attributes:
        shape: number of voxels (K, J, I).
        affine: (4, 4) float64; maps voxel index (i, j, k, 1) to RAS mm. The same matrix as Slicer's IJKToRAS. Parts of
            its directions below 1e-12 become 0: ITK inverts a matrix with subnormal numbers to nonsense without a word
            (findings/simpleitk-subnormal-direction.sh).
        frame_of_reference: FrameOfReferenceUID of a scan that was read from DICOM: RAS means the same place only in
            images that share it; "" where it is not known.
    """

    shape: tuple[int, int, int]
    affine: NDArray[np.float64]
    frame_of_reference: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        shape = tuple(int(n) for n in self.shape)
        affine = np.array(self.affine, dtype=np.float64)
        if len(shape) != 3 or min(shape) < 1:
            raise GeometryError(what="An image grid needs three sizes of at least one voxel", given=str(self.shape))
        if affine.shape != (4, 4) or not np.isfinite(affine).all():
            raise GeometryError(what="The affine must be a finite 4 x 4 matrix", given=str(self.affine))
        spacing = np.linalg.norm(affine[:3, :3], axis=0)
        if spacing.min() < MIN_SPACING_MM or spacing.max() > MAX_SPACING_MM:
            raise GeometryError(
                what="The voxel spacing is zero or absurd",
                given=" x ".join(f"{s:g}" for s in spacing) + " mm",
                remedy=f"Export the CT again; each spacing must lie in {MIN_SPACING_MM} to {MAX_SPACING_MM} mm",
            )
        cosines = affine[:3, :3] / spacing
        if np.abs(cosines.T @ cosines - np.eye(3)).max() > 1e-3:
            raise GeometryError(
                what="The image axes are sheared",
                given="an affine whose axes are not at right angles (gantry tilt?)",
                remedy="Resample the image to an orthogonal grid first",
            )
        affine[:3, :3][np.abs(cosines) < _NO_TURN] = 0
        affine.setflags(write=False)
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "affine", affine)

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel size in mm in the order of the array axes (k, j, i)."""
        i, j, k = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(k), float(j), float(i)

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in millilitres."""
        return float(np.prod(self.spacing)) / 1000.0

    def to_ras(self, kji: Any) -> NDArray[np.float64]:
        """Map voxel indices (..., 3) in (k, j, i) order to RAS mm (..., 3)."""
        ijk = np.asarray(kji, dtype=np.float64)[..., ::-1]
        return np.asarray(ijk @ self.affine[:3, :3].T + self.affine[:3, 3])

    def to_kji(self, ras: Any) -> NDArray[np.float64]:
        """Map RAS mm (..., 3) to fractional voxel indices (..., 3) in (k, j, i) order."""
        ijk = (np.asarray(ras, dtype=np.float64) - self.affine[:3, 3]) @ np.linalg.inv(self.affine[:3, :3]).T
        return np.asarray(ijk[..., ::-1])

    def crop(self, start: tuple[int, int, int], shape: tuple[int, int, int]) -> Geometry:
        """Return the grid of the box that begins at voxel `start` (k, j, i); the box may reach outside."""
        affine = np.array(self.affine)
        affine[:3, 3] = self.to_ras(start)
        return Geometry(shape, affine)

    @property
    def corners(self) -> NDArray[np.intp]:
        """Indices (8, 3) of the corner voxels, (k, j, i)."""
        return np.stack(np.meshgrid(*[(0, n - 1) for n in self.shape], indexing="ij"), -1).reshape(-1, 3)

    def same_as(self, other: Geometry) -> bool:
        """True if both grids have one shape and differ by less than `SAME_GRID_VOXELS` of a voxel at every corner."""
        if self.shape != other.shape:
            return False
        distance = np.abs(self.to_kji(other.to_ras(self.corners)) - self.corners).max()
        return bool(distance < SAME_GRID_VOXELS)

    def differences(self, other: Geometry) -> str:
        """What tells two grids apart, for messages: only what differs, from this grid to the other."""
        found = []
        if self.shape != other.shape:
            sizes = [" x ".join(map(str, one.shape[::-1])) for one in (self, other)]
            found.append(f"sizes {sizes[0]} and {sizes[1]} voxels")
        spacing = [np.array(one.spacing[::-1]) for one in (self, other)]
        if np.abs(spacing[0] / spacing[1] - 1).max() > 1e-6:
            found.append("spacing {} and {} mm".format(*(" x ".join(f"{v:.6g}" for v in s) for s in spacing)))
        axes = [one.affine[:3, :3] / s for one, s in zip((self, other), spacing, strict=True)]
        sines, cosines = np.cross(axes[0], axes[1], axis=0), (axes[0] * axes[1]).sum(axis=0)
        angle = float(np.degrees(np.arctan2(np.linalg.norm(sines, axis=0), cosines)).max())
        if angle > 1e-3:
            found.append(f"directions of the axes up to {angle:.3g} degrees apart")
        origins = self.affine[:3, 3], other.affine[:3, 3]
        if (apart := float(np.linalg.norm(origins[0] - origins[1]))) > 1e-4:
            at = ["(" + ", ".join(f"{v:.6g}" for v in origin) + ")" for origin in origins]
            found.append(f"first voxel at RAS {at[0]} and {at[1]} mm, {apart:.3g} mm apart")
        if self.shape == other.shape:
            far = float(np.linalg.norm(self.to_ras(self.corners) - other.to_ras(self.corners), axis=1).max())
            found.append(f"corners up to {far:.3g} mm apart")
        return "; ".join(found)

    def describe(self) -> str:
        """One line for messages: sizes, spacing and origin."""
        k, j, i = self.shape
        sk, sj, si = self.spacing
        origin = ", ".join(f"{v:.1f}" for v in self.affine[:3, 3])
        return f"{i} x {j} x {k} voxels of {si:.3g} x {sj:.3g} x {sk:.3g} mm at RAS ({origin})"


def centred_grid(
    centre: NDArray[np.float64], shape: tuple[int, int, int], spacing: float | NDArray[np.float64]
) -> Geometry:
    """A grid along left, posterior and superior about a point (RAS mm); `spacing` is one edge, or those of i, j, k."""
    affine = np.eye(4)
    affine[:3, :3] = np.diag([-1.0, -1.0, 1.0]) * spacing
    affine[:3, 3] = centre - affine[:3, :3] @ ((np.array(shape[::-1]) - 1) / 2)
    return Geometry(shape, affine)


def require_same_geometry(a: Geometry, b: Geometry, what: str = "The two images are not on the same grid") -> None:
    """Raise `GeometryMismatchError` unless both grids are the same."""
    if not a.same_as(b):
        raise GeometryMismatchError(
            what,
            given=f"{a.differences(b)} (the first is {a.describe()})",
            remedy="Resample one to the grid of the other, or export both from the same series",
        )


def _require_shape(array: NDArray[Any], geometry: Geometry, what: str) -> None:
    if array.shape != geometry.shape:
        raise GeometryMismatchError(what, given=f"{array.shape} voxels on {geometry.describe()}")


def in_dtype(values: NDArray[np.float32], dtype: np.dtype[Any]) -> NDArray[Any]:
    """HU of any shape in the type of a scan: whole numbers are rounded, and stay within what the type can hold."""
    if dtype.kind == "f":
        return values.astype(dtype)
    limits = np.iinfo(dtype)
    return np.clip(np.rint(values), limits.min, limits.max).astype(dtype)


@dataclass(frozen=True)
class Provenance:
    """Where a simulated volume comes from. Its presence is what marks a volume as simulated.

    Attributes:
        forbidden: names of the clinical rules that forbid the protocol in this patient; "" for one that is allowed.
    """

    protocol: str
    seed: int
    bundle: str
    bundle_sha256: str
    versions: dict[str, str] = field(default_factory=dict, hash=False)
    forbidden: str = ""

    @property
    def untreated(self) -> bool:
        """True for a drawn patient before any treatment: nobody's scan, whose tumours are known."""
        return self.protocol.split("(")[0].strip() == "none"

    def to_json(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {"simulated": True, **record_to_plain(self)}


@dataclass(frozen=True, eq=False)
class Volume:
    """A CT volume.

    Attributes:
        array: (K, J, I) HU; the dtype of the source is kept.
        geometry: its grid.
        phase: one of `PHASES`.
        simulated: None for a scan; a `Provenance` for a simulated volume.
    """

    array: NDArray[Any]
    geometry: Geometry
    phase: str = "unknown"
    simulated: Provenance | None = None

    def __post_init__(self) -> None:
        _require_shape(self.array, self.geometry, "The voxels do not fit their grid")
        if self.array.dtype.kind not in "iuf":
            raise NotCTError(what="A CT holds numbers", given=f"voxels of type {self.array.dtype}")
        # slice by slice: a mask of the whole scan would take half as much memory again
        if self.array.dtype.kind == "f" and not all(np.isfinite(one).all() for one in self.array):
            raise NotCTError(
                what="The image holds values that are not numbers",
                given=f"{int((~np.isfinite(self.array)).sum())} NaN or infinite voxels",
                remedy="Export the CT again from the PACS",
            )
        if self.phase not in PHASES:
            raise NotCTError(what="Unknown contrast phase", given=self.phase, remedy="Use one of " + ", ".join(PHASES))

    def __repr__(self) -> str:
        kind = "scan" if self.simulated is None else f"simulated after {self.simulated.protocol}"
        return f"Volume({kind}, {self.array.dtype}, {self.geometry.describe()})"

    def with_array(self, array: NDArray[Any], simulated: Provenance | None = None) -> Volume:
        """Return new voxels on the same grid."""
        return replace(self, array=array, simulated=simulated if simulated is not None else self.simulated)


@dataclass(frozen=True, eq=False)
class LabelMap:
    """A segmentation: uint8 (K, J, I) with 0 background, 1 liver, 2 tumour."""

    array: NDArray[np.uint8]
    geometry: Geometry

    def __post_init__(self) -> None:
        _require_shape(self.array, self.geometry, "The labels do not fit their grid")
        if self.array.dtype != np.uint8:
            raise LabelError(what="A label map must be of type uint8", given=str(self.array.dtype))
        if self.array.size and int(self.array.max()) > TUMOUR:
            raise LabelError(
                what="A label map may hold 0 background, 1 liver and 2 tumour only",
                given="values " + ", ".join(str(v) for v in np.unique(self.array)[:12]),
                remedy="Merge or renumber the segments",
            )

    @property
    def tumour(self) -> NDArray[np.bool_]:
        """Mask of the tumour."""
        return np.asarray(self.array == TUMOUR)

    @property
    def liver(self) -> NDArray[np.bool_]:
        """Mask of the liver, tumour included."""
        return np.asarray(self.array >= LIVER)

    def __repr__(self) -> str:
        liver, tumour = (float(mask.sum()) * self.geometry.voxel_ml for mask in (self.liver, self.tumour))
        return f"LabelMap(liver {liver:.0f} ml, tumour {tumour:.1f} ml, {self.geometry.describe()})"

    def with_array(self, array: NDArray[np.uint8]) -> LabelMap:
        """Return new labels on the same grid."""
        return LabelMap(array, self.geometry)
