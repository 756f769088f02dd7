"""Fit the look of the world's scans to real ones, and show how near it comes (docs/SYNTHETIC_WORLD.md).

`python -m MeWMLib.lab.synthetic.look_calibration --scans DIR [--fit N] [--patients N] [--out FILE]`
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from MeWMLib.cohorts.synthetic.fields import derive_seed
from MeWMLib.cohorts.synthetic.look import LOOK, LookConstants
from MeWMLib.cohorts.synthetic.outcome import Session
from MeWMLib.cohorts.synthetic.scan import Scan
from MeWMLib.cohorts.synthetic.study import StudyPatient
from MeWMLib.core.io import write_json
from MeWMLib.core.volume import LIVER, TUMOUR
from MeWMLib.lab.evaluation.look import look
from MeWMLib.lab.program import Tell, finish
from MeWMLib.lab.synthetic.calibration import REGIMENS
from MeWMLib.lab.synthetic.cases import SPLITS
from MeWMLib.lab.synthetic.look_scans import PAIRS, liver_levels, real_looks
from MeWMLib.perception.deposits import lipiodol_look

#: Weeks after TACE of the drawn scans: about those of the real ones (53 and 77 days).
WEEKS = (4.0, 11.0)
#: Distance of the slices of both real pairs; grains look larger and hang together less on thicker ones.
SLICES_MM = 2.5
#: What is compared of a scan after treatment; contrast is drawn from measured ranges and noise is of every scan.
DEPOSITS = (
    "share_200_percent", "share_300_percent", "blobs_per_100ml", "singles_per_100ml", "diameter_50_mm",
    "diameter_95_mm", "diameter_max_mm", "hu_25", "hu_50", "hu_75", "hu_95", "hu_99",
    "acf_plane_1", "acf_plane_2", "acf_plane_4", "acf_slice_1",
)  # fmt: skip
NOISE = (
    "noise_sd_hu", "noise_sd_1mm_hu", "noise_half_mm", "noise_slice_1", "noise_power_0_15_percent",
    "noise_power_15_30_percent", "noise_power_30_50_percent", "noise_power_50_percent",
)  # fmt: skip
#: A statistic is near if it lies within the range of the real scans or this share beyond its ends.
NEAR = 0.25
#: What is fitted: constants of the grains, and of the look; all are positive and moved by factors.
OF_GRAINS = (
    "piece_mm", "across_mm", "grains_a_piece", "piece_mg", "piece_spread", "grain_spread", "radius_mm", "haze",
    "haze_mm",
)  # fmt: skip
OF_LOOK = ("oil_share", "oil_patch_mm", "oil_fill", "oil_rim", "oil_clump")
#: Scans without labels whose liver `liver_level` measures. HCC_007's arterial scan before is late: left out.
LEVELS = {
    "HCC_002": ("pre_arterial", "pre_portal"),
    "HCC_004": ("pre_arterial", "pre_portal", "post_arterial", "post_portal"),
    "HCC_006": ("pre_portal",),
    "HCC_007": ("pre_portal", "post_arterial", "post_portal"),
    "HCC_008": ("pre_arterial",),
    "HCC_015": ("pre_arterial", "pre_portal"),
}
#: Radius (mm) of the tumours that the fit draws: real ones are large, and small ones hold few grains.
FIT_RADIUS_MM = (24.0, 50.0)

#: Tumours of this volume and more are compared with the real ones by themselves: both of these are large.
LARGE_ML = 60.0

Looks = Sequence[Mapping[str, float]]


def drawn_scan(seed: int, constants: LookConstants = LOOK, margin_mm: float = 8.0) -> Scan:
    """A drawn patient's portal scan on the scanner's own voxels, 4 to 11 weeks after the conventional regimen."""
    patient = StudyPatient.draw(seed, replace(constants, slices_mm=(SLICES_MM,)))
    weeks = float(np.random.default_rng(derive_seed("look weeks", seed)).uniform(*WEEKS))
    session, given = Session(weeks, patient.fed), [REGIMENS["conventional"]]
    return patient.render_all(patient.scan_geometry(margin_mm), given, session=session, phase="portal")[0]


def drawn_look(seed: int, constants: LookConstants = LOOK) -> dict[str, float]:
    """Every look statistic of `drawn_scan`."""
    scan = drawn_scan(seed, constants)
    return look(np.round(scan.hu), scan.labels == TUMOUR, scan.labels >= LIVER, scan.geometry.spacing)


def drawn_deposits(seed: int, constants: LookConstants = LOOK) -> dict[str, float]:
    """The statistics of deposits alone, which take a fraction of the time."""
    scan = drawn_scan(seed, constants, 2.0)
    return lipiodol_look(np.round(scan.hu), scan.labels == TUMOUR, scan.geometry.spacing)


def medians(looks: Looks) -> dict[str, float]:
    """Median of every statistic over the scans that have it; NaN where none has."""
    out = {}
    for name in looks[0]:
        values = np.array([one[name] for one in looks])
        known = values[np.isfinite(values)]
        out[name] = float(np.median(known)) if len(known) else float("nan")
    return out


def compared(real: Mapping[str, Mapping[str, float]], looks: Looks) -> dict[str, dict[str, Any]]:
    """For every statistic the lowest and highest real value, quartiles of the drawn ones, and whether they are near.

    None stands where no scan has the statistic.

    Deposits are compared with the scans after treatment, noise with all. Quartiles of deposits are of those patients in
    whom there is a deposit.
    """
    after = [one for name, one in real.items() if name.endswith("post")]
    held = [one for one in looks if one["share_300_percent"] > 0]
    rows = {}
    for name in (*DEPOSITS, *NOISE):
        values = np.array([one[name] for one in (after if name in DEPOSITS else real.values())])
        drawn = np.array([one[name] for one in (held if name in DEPOSITS else looks)])
        drawn = drawn[np.isfinite(drawn)]
        values = values[np.isfinite(values)]
        row: dict[str, Any] = {"real": None, "drawn": None, "n_drawn": len(drawn), "near": False}
        if len(values):
            row["real"] = [float(values.min()), float(values.max())]
        if len(drawn):
            row["drawn"] = [float(q) for q in np.percentile(drawn, (25, 50, 75))]
        if len(values) and len(drawn):
            row["near"] = bool((1 - NEAR) * values.min() <= np.median(drawn) <= (1 + NEAR) * values.max())
        rows[name] = row
    return rows


def distance(real: Looks, drawn: Looks, names: Sequence[str]) -> float:
    """Mean squared distance of the logarithms of medians, drawn and real, in units of `NEAR`."""
    target, found = medians(real), medians(drawn)
    # what the drawn scans do not have at all is as far away as a hundredth of it
    ratios = [np.log(np.nan_to_num(found[n], nan=0.0) / target[n] + 0.01) / np.log1p(NEAR) for n in names]
    return float(np.mean(np.square(ratios)))


def moved(constants: LookConstants, steps: Mapping[str, float]) -> LookConstants:
    """Constants with the named ones multiplied by exp(step); `haze` and `oil_fill` stay shares."""
    limits = {"haze": 0.8, "oil_fill": 0.95}

    def by_factor(of: Any, names: Sequence[str]) -> dict[str, Any]:
        return {n: min(getattr(of, n) * float(np.exp(steps[n])), limits.get(n, np.inf)) for n in names if n in steps}

    grains = replace(constants.grains, **by_factor(constants.grains, OF_GRAINS))
    return replace(constants, grains=grains, **by_factor(constants, OF_LOOK))


def fit(
    real: Mapping[str, Mapping[str, float]], trials: int, start: LookConstants = LOOK, patients: int = 10,
    tell: Tell | None = None,
) -> LookConstants:  # fmt: skip
    """Fit deposits: search at random around the best constants found so far, in ever smaller steps.

    The patients stay the same, all of median luck, since the spread between patients cannot be fitted to two of them.

    Args:
        real: of `real_looks`; the scans after treatment are used.
        trials: how many constants are tried.
        start: where to begin.
        patients: how many are drawn for each trial.
        tell: progress.
    """
    rng = np.random.default_rng(derive_seed("look fit", trials))
    seeds, after = _large(patients), [one for name, one in real.items() if name.endswith("post")]

    def far(constants: LookConstants) -> float:
        even = replace(constants, oil_spread=0.0, oil_none=0.0)
        return distance(after, [drawn_deposits(s, even) for s in seeds], DEPOSITS)

    best, least = start, far(start)
    for n in range(trials):
        width = 0.35 * 0.15 ** (n / trials)
        some = rng.permutation((*OF_GRAINS, *OF_LOOK))[: int(rng.integers(2, 7))]
        trial = moved(best, {str(name): float(width * rng.standard_normal()) for name in some})
        found = far(trial)
        if found < least:
            best, least = trial, found
        if tell is not None:
            tell(f"fit, {least:.3f}", (n + 1) / trials)
    return best


def _large(count: int) -> list[int]:
    """Seeds of the first training patients with tumours as large as the real ones."""
    patients = (StudyPatient.draw(seed) for seed in SPLITS["train"])
    fitting = (p.seed for p in patients if FIT_RADIUS_MM[0] < p.nodules[0].radius < FIT_RADIUS_MM[1])
    return list(islice(fitting, count))


def main(argv: list[str] | None = None) -> int:
    """Measure, fit if asked to, and print real and drawn statistics."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scans", type=Path, required=True, metavar="DIR", help="folder with the real scans")
    parser.add_argument("--fit", type=int, default=0, metavar="N", help="fit by N trials and print the constants")
    parser.add_argument("--patients", type=int, default=100, metavar="N", help="drawn for the table (default 100)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="JSON file for the result")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    args = parser.parse_args(argv)

    def work(tell: Tell) -> dict[str, Any]:
        real = real_looks(args.scans)
        levels = liver_levels(args.scans, LEVELS)
        constants = fit(real, args.fit, tell=tell) if args.fit else LOOK
        looks = []
        for n, seed in enumerate(SPLITS["test"][: args.patients]):
            looks.append(drawn_look(seed, constants))
            tell("drawn patients", (n + 1) / args.patients)
        result = {
            "patients": {"real": list(PAIRS), "drawn": len(looks)},
            "constants": asdict(constants),
            "origins": LookConstants.origins(),
            "liver_hu": levels,
            "statistics": compared(real, looks),
            "statistics_large": compared(real, [one for one in looks if one["tumour_ml"] >= LARGE_ML]),
        }
        if args.out is not None:
            write_json(result, args.out)
        return result

    return finish(work, args.quiet)


if __name__ == "__main__":
    raise SystemExit(main())
