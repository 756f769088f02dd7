"""`mewm evaluate registration`: a scan after treatment brought to the one before, each kind beside the product's.

Two kinds of pairs: files with the liver outlined in both, and synthetic patients whose scan after treatment was bent by
a known map, so that the error is known in mm at every point.
"""

# mypy: allow-untyped-calls
from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from MeWMLib.cohorts.synthetic.fields import Axes, SmoothField, derive_seed
from MeWMLib.core.errors import InputError
from MeWMLib.core.io import image_of, read_volume, to_sitk
from MeWMLib.core.volume import LabelMap, Volume
from MeWMLib.lab.evaluation.known_patients import before_and_after
from MeWMLib.lab.evaluation.metrics import Rows, rows_of
from MeWMLib.lab.evaluation.montage import LARGE_INCHES, Tile, slices_through, write_tiles
from MeWMLib.lab.evaluation.work import Say, case_name, read_case, settings_from, silent
from MeWMLib.lab.synthetic.cases import SPLITS
from MeWMLib.perception.findings import dice
from MeWMLib.perception.preprocess import resample
from MeWMLib.perception.registration import KINDS, Registered, Registration, register

#: Deformation of the synthetic pairs: deviation of the smooth part (mm), its grain (mm), shift (mm) and turn (radian).
BEND_MM, GRAIN_MM, SHIFT_MM, TURN = 5.0, 70.0, 12.0, 0.05
#: Points of the liver at which the error is measured.
POINTS = 2000
#: Rows, each with its kind and whether it is given the outlines after treatment; the last is what `mewm assess` does.
ROWS = {**{kind: (kind, False) for kind in KINDS}, "staged_outlines": ("staged", True)}
#: The border of the liver is "behind the tumour" within this distance of it.
BEHIND_MM = 15.0
#: Edge of a field of the checkerboard, mm.
FIELD_MM = 35.0


@dataclass(frozen=True)
class RegistrationSettings:
    """What to measure, and on which pairs.

    Attributes:
        pairs: files (before, labels, after, labels after or "-"); the liver must be outlined in both for a Dice.
        label_values: meaning of the values in the labels.
        slices: first and last slice of BEFORE on which the pairs' outlines are good: the Dice counts these alone.
        patients: of the synthetic test split.
        registration: settings, of which `kind` is set row by row.
        seed: of deformations and intervals.
    """

    pairs: tuple[tuple[str, str, str, str], ...] = ()
    label_values: str = "1=liver,2=tumour"
    slices: tuple[int, int] | None = None
    patients: int = 0
    registration: Registration = Registration()
    seed: int = 0


@dataclass(frozen=True, eq=False)
class KnownPair:
    """Two scans of one patient; `true` maps a point of the scan after to the same point before, where it is known."""

    name: str
    before: Volume
    labels: LabelMap
    after: Volume
    labels_after: LabelMap | None
    true: sitk.Transform | None
    slices: tuple[int, int] | None = None

    @property
    def outlined(self) -> slice:
        """The slices of the scan before on which the outlines are good."""
        return slice(self.slices[0], self.slices[1] + 1) if self.slices else slice(None)


def known_pairs(settings: RegistrationSettings) -> Iterator[KnownPair]:
    """The pairs one by one.

    Raises:
        InputError: no pair is asked for.
    """
    if not (settings.pairs or settings.patients):
        raise InputError(
            what="There is nothing to register",
            remedy="Give --pair BEFORE LABELS AFTER LABELS_AFTER, or --patients N",
        )
    for before, labels, after, labels_after in settings.pairs:
        first, known = read_case(before, labels, settings.label_values)
        if labels_after == "-":
            then, found = read_volume(Path(after)), None
        else:
            then, found = read_case(after, labels_after, settings.label_values)
        pair = KnownPair(case_name(before), first, known, then, found, None, settings.slices)
        if not known.liver[pair.outlined].any():
            raise InputError(
                what="No slice with an outlined liver is left", given=f"--slices {settings.slices}",
                remedy=f"BEFORE has the slices 0 to {len(known.array) - 1}",
            )  # fmt: skip
        yield pair
    for seed in SPLITS["test"][: settings.patients]:
        yield bent_pair(seed, settings.seed)


def bent_pair(number: int, seed: int) -> KnownPair:
    """A synthetic patient before treatment, and after it in another place: shifted, turned and bent."""
    (before, labels), (after, labels_after) = before_and_after(number, (4.0, 2.5, 2.5))
    grid = after.geometry
    reference = image_of(after.array.astype(np.float32), grid)
    true = _bend(reference, grid, np.random.default_rng(derive_seed("bend", number, seed)))
    hu = sitk.Resample(reference, reference, true, sitk.sitkLinear, -1024.0, sitk.sitkFloat32)
    moved = Volume(np.rint(sitk.GetArrayFromImage(hu)).astype(np.int16), grid, after.phase)
    outlines = sitk.Resample(to_sitk(labels_after), reference, true, sitk.sitkNearestNeighbor, 0)
    known = LabelMap(sitk.GetArrayFromImage(outlines).astype(np.uint8), grid)
    return KnownPair(f"synthetic {number}", before, labels, moved, known, true)


def _bend(reference: sitk.Image, grid: Any, rng: np.random.Generator) -> sitk.Transform:
    turn = sitk.Euler3DTransform()
    turn.SetCenter(reference.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in reference.GetSize()]))
    turn.SetRotation(*(float(v) for v in rng.normal(0, TURN, 3)))
    turn.SetTranslation([float(v) for v in rng.normal(0, SHIFT_MM, 3)])
    axes = Axes.of(grid)
    fields = [BEND_MM * SmoothField(int(rng.integers(2**40)), GRAIN_MM, 8).at(axes) for _ in range(3)]
    image = sitk.GetImageFromArray(np.stack(fields, -1).astype(np.float64), isVector=True)
    image.CopyInformation(reference)
    return sitk.CompositeTransform([turn, sitk.DisplacementFieldTransform(image)])


def measure(pair: KnownPair, found: Registered, seconds: float, cpu_seconds: float) -> dict[str, float]:
    """Figures of one registration.

    `dice_liver` (where both scans are outlined), and `border_mm`, the mean distance from the liver's border near the
    tumour to the border of the liver after treatment; a registration that is given these outlines is judged by what it
    was driven by. `liver_mae_hu` and `liver_correlation` outside of the tumour (Lipiodol
    does not count); `error_mm`, mean over points of the liver (synthetic pairs); `folded_percent` of the body where the
    Jacobian is 0 or less; `seconds` by the clock, and `cpu_seconds` of all threads, which other work does not lengthen.
    """
    out = {
        "dice_liver": float("nan"),
        "border_mm": float("nan"),
        "liver_mae_hu": found.quality["liver_mae_hu_after"],
        "liver_correlation": found.quality["liver_correlation_after"],
        "error_mm": float("nan"),
        "folded_percent": 100 * found.quality["jacobian_folded_share"],
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
    }
    if pair.labels_after is not None:
        covered = found.covered[pair.outlined]
        moved, known = (m.liver[pair.outlined] for m in (found.labels(pair.labels_after), pair.labels))
        out["dice_liver"] = dice(moved & covered, known & covered)
        out["border_mm"] = _border(pair, moved, covered)
    if pair.true is not None and pair.labels_after is not None:
        out["error_mm"] = _error(pair.labels_after, pair.true, found.transform)
    return out


def _border(pair: KnownPair, moved: NDArray[np.bool_], covered: NDArray[np.bool_]) -> float:
    """Mean distance (mm) from the liver's border near the tumour before to that of the liver after; NaN without any."""
    spacing = pair.before.geometry.spacing
    known, tumour = pair.labels.liver[pair.outlined], pair.labels.tumour[pair.outlined]
    if not tumour.any() or not moved.any():
        return float("nan")
    mine, theirs = (m & ~ndimage.binary_erosion(m, border_value=1) for m in (known, moved))
    near = ndimage.distance_transform_edt(~tumour, sampling=spacing) <= BEHIND_MM
    points = mine & near & covered
    if not points.any() or not theirs.any():
        return float("nan")
    return float(ndimage.distance_transform_edt(~theirs, sampling=spacing)[points].mean())


def _error(after: LabelMap, true: sitk.Transform, transform: sitk.Transform) -> float:
    """Mean distance (mm) at points of the liver after treatment between where they are and where the map puts them."""
    image = to_sitk(after)
    places = np.argwhere(after.liver)
    chosen = places[np.linspace(0, len(places) - 1, POINTS).astype(int)]
    errors = []
    for k, j, i in chosen.tolist():
        point = image.TransformIndexToPhysicalPoint((i, j, k))
        errors.append(np.subtract(transform.TransformPoint(true.TransformPoint(point)), point))
    return float(np.linalg.norm(errors, axis=1).mean())


def run(args: argparse.Namespace, say: Say) -> tuple[Rows, str]:
    """Register the pairs that the arguments name; rows, and on whom."""
    rows = evaluate_registration(settings_from(RegistrationSettings, args), args.out, say)
    about = {f"{len(args.pairs)} pairs of files": args.pairs, f"{args.patients} bent test patients": args.patients}
    return rows, " and ".join(text for text, there in about.items() if there)


def evaluate_registration(settings: RegistrationSettings, out: Path, say: Say = silent) -> Rows:
    """Measure; rows `unregistered` and each of `ROWS`, metrics as in `measure`.

    Args:
        settings: see `RegistrationSettings`.
        out: folder for `checkerboard.png` and, for pairs of files, the deformation as `deformation_N.h5`.
        say: progress.

    Raises:
        InputError: no pair is asked for, or an unknown kind.
        GeometryMismatchError: two scans do not overlap.
    """
    figures: list[dict[str, dict[str, float]]] = []
    tiles: list[list[Tile]] = []
    done, all_of_them = 0, len(ROWS) * (len(settings.pairs) + settings.patients)
    out.mkdir(parents=True, exist_ok=True)
    for number, pair in enumerate(known_pairs(settings)):
        mine: dict[str, dict[str, float]] = {"unregistered": {}}
        for row, (kind, outlined) in ROWS.items():
            done += 1
            if outlined and pair.labels_after is None:
                continue
            chosen, known = replace(settings.registration, kind=kind), pair.labels_after if outlined else None
            began, used = time.perf_counter(), time.process_time()
            found = register(pair.before, pair.labels, pair.after, chosen, known)
            mine[row] = measure(pair, found, time.perf_counter() - began, time.process_time() - used)
            say("registrations", done, all_of_them)
        figures.append(mine | {"unregistered": _unregistered(pair, found)})
        if number < len(settings.pairs):
            found.write_deformation(out / f"deformation_{number + 1}.h5")
        if number < 4:
            tiles += _tiles(pair, found)
    write_tiles(out / "checkerboard.png", tiles, LARGE_INCHES)
    return rows_of(figures, settings.seed)


def _unregistered(pair: KnownPair, found: Registered) -> dict[str, float]:
    same = replace(found, transform=sitk.Transform(3, sitk.sitkIdentity))
    names = ("liver_mae_hu", "liver_correlation")
    before = {f"{n}_after": found.quality[f"{n}_before"] for n in names} | {"jacobian_folded_share": 0.0}
    return measure(pair, replace(same, quality=before), float("nan"), float("nan"))


def checkerboard(
    first: NDArray[np.float32], second: NDArray[np.float32], spacing_mm: tuple[float, float]
) -> NDArray[np.float32]:
    """Fields of one slice in turn from two images (H, W)."""
    rows, columns = ((np.arange(n) * s // FIELD_MM).astype(int) for n, s in zip(first.shape, spacing_mm, strict=True))
    return np.where((rows[:, None] + columns[None, :]) % 2 == 0, first, second)


def _tiles(pair: KnownPair, found: Registered) -> list[list[Tile]]:
    """Before, after as it was (on the same grid), after registered, and the checkerboard, on three slices of the liver.

    The outline is that of the liver before; fields of both scans take turns on the checkerboard.
    """
    seen = pair.labels.liver & found.covered.any((1, 2), keepdims=True)
    plain = resample(pair.after.array, pair.after.geometry, pair.before.geometry)
    lines = []
    for k in slices_through(seen, 3):
        before, after = pair.before.array[k].astype(np.float32), found.ct.array[k].astype(np.float32)
        liver = pair.labels.liver[k]
        board = checkerboard(before, after, pair.before.geometry.spacing[1:])
        lines.append([
            Tile(before, f"{pair.name}, slice {k}: before", liver), Tile(plain[k], "after, as it was", liver),
            Tile(after, "after, registered", liver), Tile(board, "checkerboard"),
        ])  # fmt: skip
    return lines
