"""`mewm evaluate comparisons`: when MeWM says that one protocol is better than another, how often is it?

It fits `core.comparison.Comparison` on some patients of the synthetic world and measures it on others; both are files
that `mewm evaluate planning --world 3` wrote.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.stats import norm

from MeWMLib.core.comparison import ComparedPatient, Comparison
from MeWMLib.core.errors import InputError, UnreadableFileError
from MeWMLib.core.io import write_json
from MeWMLib.core.outcome import Risk
from MeWMLib.core.records import from_plain, read_json
from MeWMLib.lab.evaluation.metrics import Rows, bootstrap, bootstrap_mean
from MeWMLib.lab.evaluation.work import Say

#: The file that `mewm evaluate planning` writes.
RISKS = "risks.json"
#: Protocols of a patient that are compared with each other: so many of the best by prediction, and as many of the rest.
BEST = 6
#: True differences (log-hazard) below which two protocols are as good as equal, and above which one is clearly better.
EQUAL, CLEAR = 0.02, 0.5
BINS = 10


def run(args: argparse.Namespace, say: Say) -> tuple[Rows, str]:
    """Fit and measure, and write comparison.json; rows, and on whom."""
    fitted_on, measured_on = (read_compared(path) for path in (args.fit, args.risks))
    both = sorted({p.seed for p in fitted_on} & {p.seed for p in measured_on})
    if both:
        raise InputError(
            what="Patients on which it is measured were fitted on",
            given=", ".join(map(str, both[:10])),
            remedy="Make two files with `mewm evaluate planning --world 3` on patients of two splits",
        )
    found = fit(fitted_on, args.level)
    write_json(asdict(found), args.out / "comparison.json")
    say("comparisons", 1.0)
    about = f"synthetic world v3, {len(measured_on)} test patients, fitted on {len(fitted_on)} others"
    return measure(found, measured_on, base_rate(fitted_on), zero(fitted_on), args.seed), about


def read_compared(path: Path) -> list[ComparedPatient]:
    """Patients of a file of `mewm evaluate planning`, or of the folder that it wrote.

    Raises:
        UnreadableFileError: it is none.
        InputError: it holds no patients, or one with fewer than two protocols.
    """
    path = path / RISKS if path.is_dir() else path
    remedy = "Make it with `mewm evaluate planning --world 3`"
    plain = read_json(path, "The file of risks", UnreadableFileError, remedy)
    entries = plain.get("patients") if isinstance(plain, dict) else None
    if not isinstance(entries, list):
        raise UnreadableFileError(what="This is no file of risks", given=str(path), remedy=remedy)
    found = [
        from_plain(ComparedPatient, entry, "a patient of the file of risks", UnreadableFileError) for entry in entries
    ]
    if not found or any(len(p.truth) != len(p.risks) or len(p.truth) < 2 for p in found):
        raise InputError(what="There is nothing to compare in the file of risks", given=str(path), remedy=remedy)
    return found


def pairs_of(patient: ComparedPatient) -> list[tuple[Risk, Risk, float]]:
    """Pairs of protocols, the better by prediction first, with the true log-hazard of the second minus the first.

    They are the `BEST` ones by prediction and as many of the others, from all ranks.
    """
    ranked = sorted(range(len(patient.risks)), key=lambda n: patient.risks[n].log_risk)
    rest = ranked[BEST:]
    chosen = ranked[:BEST] + [
        rest[n] for n in np.unique(np.linspace(0, len(rest) - 1, BEST).round().astype(int)) if rest
    ]
    return [
        (patient.risks[a], patient.risks[b], patient.truth[b] - patient.truth[a])
        for a, b in itertools.combinations(chosen, 2)
    ]


def base_rate(patients: Sequence[ComparedPatient]) -> float:
    """How often the better one by prediction is truly better."""
    return float(np.mean([gap > 0 for patient in patients for *_, gap in pairs_of(patient)]))


def fit(patients: Sequence[ComparedPatient], level: float = Comparison.level) -> Comparison:
    """Gain and error by the likelihood of what was truly better; the spread is that of the replicas; what is left of
    the variance of single log-risks is `absolute`."""
    pairs = [pair for patient in patients for pair in pairs_of(patient)]
    seen = [
        float(np.var(np.subtract(a.replicas, b.replicas), ddof=1))
        for a, b, _ in pairs
        if len(a.replicas) == len(b.replicas) > 1
    ]
    start = Comparison(spread=float(np.sqrt(np.mean(seen))) if seen else Comparison.spread, level=level, measured=True)
    won = np.array([gap > 0 for *_, gap in pairs])
    ahead = np.array([b.log_risk - a.log_risk for a, b, _ in pairs])
    # what of the variance does not depend on what is fitted
    known = np.array([start.deviation(a, b) ** 2 - start.error**2 for a, b, _ in pairs])

    def loss(logs: NDArray[np.float64]) -> float:
        gain, error = np.exp(np.clip(logs, -5, 3))
        z = gain * ahead / np.sqrt(error**2 + known)
        return float(-norm.logcdf(np.where(won, z, -z)).mean())

    best = minimize(
        loss, np.log([start.gain, start.error]), method="Nelder-Mead", options={"xatol": 1e-3, "fatol": 1e-6}
    )
    gain, error = (round(float(x), 4) for x in np.exp(np.clip(best.x, -5, 3)))
    found = replace(start, gain=gain, error=error, spread=round(start.spread, 4), absolute=0.0)
    missed = np.array([t - r.log_risk for p in patients for t, r in zip(p.truth, p.risks, strict=True)])
    seen_of = np.array([found.uncertainty(r) ** 2 for p in patients for r in p.risks])
    # the two scales have zeros of their own
    absolute = np.sqrt(max(0.0, float(missed.var() - seen_of.mean())))
    return replace(found, absolute=round(float(absolute), 4))


def zero(patients: Sequence[ComparedPatient]) -> float:
    """Mean of true minus predicted log-risk: the average patient of the one is not that of the other."""
    return float(np.mean([t - r.log_risk for p in patients for t, r in zip(p.truth, p.risks, strict=True)]))


def probabilities(comparison: Comparison, pairs: Sequence[tuple[Risk, Risk, float]]) -> NDArray[np.float64]:
    """(N,) that the first of each pair is the better one."""
    return np.array([comparison.better(a, b) for a, b, _ in pairs])


def measure(comparison: Comparison, patients: Sequence[ComparedPatient], base: float, offset: float, seed: int) -> Rows:
    """Metrics over all pairs of test patients, with intervals over patients.

    Row `mewm`: `calibration_error` (expected, `BINS` bins of the probability), `brier`, `brier_of_base_rate` (that of
    saying `base` always) and `brier_saved`; `right` (how often the better one by prediction is truly better);
    `told_apart`; `told_apart_right` (how often that is true of those that are told apart); `equal_bracketed` (of pairs
    with a true difference below `EQUAL`) and `clear_told_apart` (above `CLEAR`; only the right way round counts);
    `interval_coverage` (how often the true log-risk of a protocol, less `offset`, lies in its 95 % interval) and
    `interval_width`; the same of the range of the replicas alone, `replica_coverage`.
    """
    pairs = [pairs_of(patient) for patient in patients]
    said = [probabilities(comparison, each) for each in pairs]
    gaps = [np.array([gap for *_, gap in each]) for each in pairs]

    def over(statistic: Callable[[NDArray[np.float64], NDArray[np.float64]], float]) -> dict[str, float]:
        def of(chosen: NDArray[np.intp]) -> float:
            return statistic(np.concatenate([said[i] for i in chosen]), np.concatenate([gaps[i] for i in chosen]))

        return bootstrap(of, len(patients), seed)

    level = comparison.level
    metrics: dict[str, Any] = {
        "calibration_error": over(lambda p, gap: calibration_error(p, gap > 0)),
        "brier": over(lambda p, gap: float(((p - (gap > 0)) ** 2).mean())),
        "brier_of_base_rate": over(lambda p, gap: float(((base - (gap > 0)) ** 2).mean())),
        "brier_saved": over(lambda p, gap: float(((base - (gap > 0)) ** 2).mean() - ((p - (gap > 0)) ** 2).mean())),
        "right": over(lambda p, gap: float((gap > 0).mean())),
        "told_apart": over(lambda p, gap: float((p >= level).mean())),
        "told_apart_right": over(lambda p, gap: _share(gap > 0, p >= level)),
        "equal_bracketed": over(lambda p, gap: _share(p < level, np.abs(gap) < EQUAL)),
        "clear_told_apart": over(lambda p, gap: _share((p >= level) & (gap > 0), np.abs(gap) > CLEAR)),
    }
    of_risks = [_intervals(comparison, patient, offset) for patient in patients]
    for name in of_risks[0]:
        metrics[name] = bootstrap_mean([each[name] for each in of_risks], seed)
    return {"mewm": metrics}


def _intervals(comparison: Comparison, patient: ComparedPatient, offset: float) -> dict[str, float]:
    true = np.array(patient.truth) - offset
    low, high = np.array([comparison.interval(r) for r in patient.risks]).T
    least, most = np.array([r.interval for r in patient.risks]).T
    return {
        "interval_coverage": float(((true >= low) & (true <= high)).mean()),
        "interval_width": float((high - low).mean()),
        "replica_coverage": float(((true >= least) & (true <= most)).mean()),
    }


def calibration_error(said: NDArray[np.float64], won: NDArray[np.bool_]) -> float:
    """Expected calibration error: |mean probability - share that is true| over bins, by their sizes."""
    which = np.minimum((said * BINS).astype(int), BINS - 1)
    return float(sum(abs(said[which == b].sum() - won[which == b].sum()) for b in range(BINS)) / len(said))


def _share(what: NDArray[np.bool_], among: NDArray[np.bool_]) -> float:
    return float(what[among].mean()) if among.any() else float("nan")
