"""How a CT looks, real or simulated: Lipiodol, noise and contrast as numbers that can be held against one another.

`mewm evaluate look` measures real scans of a list, drawn patients of the synthetic world and simulations of a bundle,
and says where in the range of the real ones the others lie.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from MeWMLib.core.bundles import find_bundle
from MeWMLib.core.errors import GeometryError, GeometryMismatchError
from MeWMLib.core.protocol import Protocol
from MeWMLib.lab.evaluation.cohort_pairs import listed_pairs
from MeWMLib.lab.evaluation.look_noise import noise_look, parenchyma
from MeWMLib.lab.evaluation.look_table import look_rows
from MeWMLib.lab.evaluation.metrics import Rows
from MeWMLib.lab.evaluation.pairs import chosen, log_judging
from MeWMLib.perception.deposits import LIPIODOL_HU, lipiodol_look

if TYPE_CHECKING:
    from MeWMLib.lab.evaluation.scans import Seen
    from MeWMLib.lab.evaluation.work import Say

Mask = NDArray[np.bool_]
Spacing = tuple[float, float, float]


def run(args: argparse.Namespace, say: Say) -> tuple[Rows, str]:
    """Measure what the arguments name; rows, and on whom."""
    # the statistics are used without networks, and by what draws the scans
    from MeWMLib.lab.evaluation.scans import after_scan, before_scan, drawn_scans, simulated_scans
    from MeWMLib.world.model import WorldModel

    pairs = chosen(listed_pairs(args), args.judging, args.patient)
    for line in log_judging(args.out, pairs, "mewm evaluate look"):
        say(f"judging, {line}", 0.0)
    world = WorldModel.load(find_bundle(args.bundle))
    after: dict[str, dict[str, float]] = {}
    before: dict[str, dict[str, float]] = {}
    judging: dict[str, dict[str, float]] = {}
    columns: dict[str, list[dict[str, float]]] = {}

    def arterial(seen: Seen | None) -> dict[str, float]:
        return {} if seen is None else {f"arterial_{n}": v for n, v in contrast_look(*seen.arrays).items()}

    for n, files in enumerate(pairs):
        say(f"real scans, {files.patient}", n / len(pairs))
        if (seen := after_scan(files)) is not None:
            mine = judging if files.judging else after
            mine[files.patient] = look(*seen.arrays) | arterial(after_scan(files, arterial=True))
        if (seen := before_scan(files)) is not None and not files.judging:
            before[files.patient] = look(*seen.arrays) | arterial(before_scan(files, arterial=True))
        made = [look(*one.arrays) for one in simulated_scans(files, world, args.replicas, args.seed)]
        columns.setdefault(f"bundle_{files.patient}" if files.judging else "bundle", []).extend(made)
    protocol, drawn = Protocol.parse(args.protocol), []
    for seen in drawn_scans(args.drawn, protocol, version=args.world):
        drawn.append(look(*seen.arrays))
        say("drawn patients", len(drawn) / args.drawn)
    for n, seen in enumerate(drawn_scans(args.drawn, protocol, "arterial", args.world)):
        drawn[n] = drawn[n] | arterial(seen)
    rows = look_rows(after, before, judging, {"world": drawn, **columns}, args.seed)
    names = ", ".join(files.patient for files in pairs)
    return rows, f"{names}; {len(drawn)} drawn patients; {args.replicas} simulations of each patient"


def look(hu: NDArray[Any], tumour: Mask, liver: Mask, spacing: Spacing) -> dict[str, float]:
    """Every look statistic of one scan, real or simulated, before or after treatment.

    See `perception.deposits.lipiodol_look` (share, blobs, diameters, percentiles, autocorrelation),
    `look_noise.noise_look` (deviation, reach, spectrum) and `contrast_look`.

    Args:
        hu: (K, J, I) HU, on the scanner's own grid where noise and grains are to be true.
        tumour: (K, J, I).
        liver: (K, J, I); with or without the tumour.
        spacing: mm (k, j, i).

    Returns:
        Name to number, always the same names; NaN where there is nothing to measure it on.

    Raises:
        GeometryMismatchError: the masks do not have the shape of the image.
        GeometryError: three spacings above zero were not given.
    """
    require_scan(hu, {"tumour": tumour, "liver": liver}, spacing)
    tumour, liver = tumour.astype(bool), liver.astype(bool)
    return {
        **lipiodol_look(hu, tumour, spacing),
        **noise_look(hu, liver, tumour, spacing),
        **contrast_look(hu, tumour, liver, spacing),
    }


def contrast_look(hu: NDArray[Any], tumour: Mask, liver: Mask, spacing: Spacing) -> dict[str, float]:
    """Density: `liver_hu`, `tumour_minus_liver_hu`; medians of the liver away from its border and tumour, and of tumour
    without Lipiodol.

    The phase is that of the scan: rows of one phase alone can be held against one another.
    """
    where, nothing = parenchyma(liver, tumour, spacing), float("nan")
    parenchyma_hu = float(np.median(hu[where])) if where.any() else nothing
    bare = tumour & (hu < LIPIODOL_HU)
    tumour_hu = float(np.median(hu[bare])) if bare.any() else nothing
    return {"liver_hu": parenchyma_hu, "tumour_minus_liver_hu": tumour_hu - parenchyma_hu}


def require_scan(hu: NDArray[Any], masks: dict[str, Mask], spacing: Spacing) -> None:
    """Raise unless image, masks and spacing fit one another."""
    if np.ndim(hu) != 3 or any(np.shape(mask) != np.shape(hu) for mask in masks.values()):
        raise GeometryMismatchError(
            what="Image and masks of a look must be 3D arrays of one shape",
            given=", ".join(f"{name} {np.shape(one)}" for name, one in {"image": hu, **masks}.items()),
            remedy="Resample the labels to the grid of the scan by nearest neighbour",
        )
    if len(spacing) != 3 or not all(np.isfinite(s) and s > 0 for s in spacing):
        raise GeometryError(
            what="A look needs three voxel sizes above zero",
            given=str(tuple(spacing)),
            remedy="Give mm in (k, j, i) order",
        )
