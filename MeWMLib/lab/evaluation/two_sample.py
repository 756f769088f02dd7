"""`mewm evaluate two-sample`: can a fixed small classifier tell patches of real treated tissue from simulated ones?

Logistic regression on `two_sample_patches.NAMES`, trained on the patches of all patients but one and tested on that
one. An area under the curve of 0.5 means that it cannot tell, 1 that it always can. It must tell a crude simulation
from real tissue, and must not tell halves of real tumours from one another, else its answer means nothing: these rows
stand in the same table.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special, stats

from MeWMLib.core.bundles import find_bundle
from MeWMLib.core.errors import InputError
from MeWMLib.core.protocol import Protocol
from MeWMLib.lab.evaluation.cohort_pairs import listed_pairs
from MeWMLib.lab.evaluation.metrics import Rows, interval
from MeWMLib.lab.evaluation.pairs import chosen, log_judging
from MeWMLib.lab.evaluation.scans import after_scan, drawn_scans, simulated_scans
from MeWMLib.lab.evaluation.two_sample_patches import Patches, patches_of
from MeWMLib.lab.evaluation.work import Say
from MeWMLib.world.model import WorldModel

#: Weight of the squared coefficients against the mean log loss: fixed, so that nothing is tuned on these patients.
RIDGE = 0.01
DRAWS = 1000
#: Thickness (mm) of the slabs whose even and odd ones are two samples of one tumour.
SLAB_MM = 16.0

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Fold:
    """Patches to train on and to test on: real first, then what is held against them; each a list of scans."""

    train: tuple[Sequence[Patches], Sequence[Patches]]
    test: tuple[Sequence[Patches], Sequence[Patches]]

    @property
    def complete(self) -> bool:
        """True if every side has a patch."""
        return all(any(len(one) for one in side) for side in (*self.train, *self.test))


def run(args: argparse.Namespace, say: Say) -> tuple[Rows, str]:
    """Compare what the arguments name; rows, and on whom."""
    pairs = chosen(listed_pairs(args), args.judging, args.patient)
    for line in log_judging(args.out, pairs, "mewm evaluate two-sample"):
        say(f"judging, {line}", 0.0)
    world = WorldModel.load(find_bundle(args.bundle))
    real, simulated = {}, {}
    for n, files in enumerate(pairs):
        say(f"patches, {files.patient}", n / len(pairs))
        seen = after_scan(files)
        if seen is None:
            continue
        real[files.patient] = patches_of(seen.ct, seen.labels, args.seed)
        made = simulated_scans(files, world, args.replicas, args.seed)
        simulated[files.patient] = [patches_of(s.ct, s.labels, args.seed + 1 + k) for k, s in enumerate(made)]
    drawn = []
    for k, seen in enumerate(drawn_scans(args.drawn, Protocol.parse(args.protocol), version=args.world)):
        drawn.append(patches_of(seen.ct, seen.labels, args.seed + k))
        say("drawn patients", (k + 1) / args.drawn)
    judging = [files.patient for files in pairs if files.judging]
    rows = two_sample_rows(real, simulated, [one for one in drawn if len(one)], judging, args.seed)
    names = ", ".join(f"{name} ({len(one)} patches)" for name, one in real.items())
    return rows, f"{names}; {len(drawn)} drawn patients; {args.replicas} simulations of each patient"


def two_sample_rows(
    real: Mapping[str, Patches],
    simulated: Mapping[str, Sequence[Patches]],
    drawn: Sequence[Patches],
    judging: Sequence[str] = (),
    seed: int = 0,
) -> Rows:
    """Areas under the curve.

    Rows: `bundle`, simulations of a patient against the real scan after; `world`, drawn patients (half of them to train
    on) against real ones; `real_left_right` and `real_slabs`, halves of each real tumour against one another: its
    patches to the left and right of the middle, or in even and odd slabs from foot to head.

    A row or patient without a patch on any side (simulations without Lipiodol) is left out.

    Metrics: `auc_PATIENT`, trained on the others, tested on that one; `auc`, the mean over patients. Intervals are over
    cubes of tissue within the patients tested: they do not speak of other patients. n is the number of patients.

    Args:
        real: patient to patches of the scan after treatment.
        simulated: patient to patches of each simulation.
        drawn: patches of each drawn patient.
        judging: patients who are tested and never trained on; they are not in the mean.
        seed: of the intervals.

    Raises:
        InputError: fewer than two patients to train on.
    """
    given = [name for name in real if name not in judging and len(real[name])]
    if len(given) < 2:
        raise InputError(
            what="A two-sample test that leaves one patient out needs two patients with native scans after treatment",
            given=", ".join(given) or "none",
            remedy="Add pairs with after_native to the list",
        )
    folds: dict[str, dict[str, Fold]] = {"bundle": {}, "world": {}, "real_left_right": {}, "real_slabs": {}}
    for name in [name for name in real if len(real[name])]:
        others = [other for other in given if other != name]
        learn, asked = [real[o] for o in others], [real[name]]
        known = [one for o in others for one in simulated.get(o, [])]
        folds["bundle"][name] = Fold((learn, known), (asked, simulated.get(name, [])))
        folds["world"][name] = Fold((learn, drawn[::2]), (asked, drawn[1::2]))
        for row, halves in (("real_left_right", left_right), ("real_slabs", slabs)):
            pairs = [halves(one) for one in learn]
            own = halves(real[name])
            folds[row][name] = Fold(([a for a, _ in pairs], [b for _, b in pairs]), ([own[0]], [own[1]]))
    rows: dict[str, dict[str, dict[str, float]]] = {}
    for row, found in folds.items():
        parts = {name: fold for name, fold in found.items() if fold.complete}
        scored = {name: scores(fold) for name, fold in parts.items()}
        rng = np.random.default_rng(seed)
        draws = {name: [_drawn_area(one, rng) for _ in range(DRAWS)] for name, one in scored.items()}
        areas = {name: area(*(np.concatenate([s for s, _ in side]) for side in one)) for name, one in scored.items()}
        figures = {f"auc_{name}": interval(areas[name], draws[name], 1) for name in areas}
        mean = [name for name in areas if name in given]
        if mean:
            together = np.mean([draws[name] for name in mean], axis=0)
            figures = {"auc": interval(float(np.mean([areas[name] for name in mean])), together, len(mean)), **figures}
            rows[row] = figures
    return rows


Scores = tuple[list[tuple[FloatArray, NDArray[np.intp]]], list[tuple[FloatArray, NDArray[np.intp]]]]


def scores(fold: Fold) -> Scores:
    """Train and test: for real and for the other side, the scores and blocks of each scan tested."""
    sides = [np.concatenate([one.features for one in side]) for side in fold.train]
    x, y = np.concatenate(sides), np.repeat([0.0, 1.0], [len(s) for s in sides])
    model = Logistic.fit(x, y)
    real, other = ([(model.score(one.features), one.blocks) for one in side if len(one)] for side in fold.test)
    return real, other


@dataclass(frozen=True, eq=False)
class Logistic:
    """Logistic regression with a ridge, both classes weighted equally.

    Attributes:
        middle, scale: (F,) of the training patches; the features are standardised by them.
        weights: (F + 1,) the last one is the constant.
    """

    middle: FloatArray
    scale: FloatArray
    weights: FloatArray

    @classmethod
    def fit(cls, x: FloatArray, y: FloatArray) -> Logistic:
        """Fit; the optimum is unique, so that it depends on nothing else.

        Args:
            x: (N, F).
            y: (N,) 0 or 1, both there.
        """
        middle, scale = x.mean(0), np.maximum(x.std(0), 1e-6)
        z = np.c_[(x - middle) / scale, np.ones(len(x))]
        weight = np.where(y > 0, 0.5 / (y > 0).sum(), 0.5 / (y <= 0).sum())
        ridge = np.r_[np.full(x.shape[1], RIDGE), 0.0]
        sign = 2 * y - 1

        def loss(w: FloatArray) -> tuple[float, FloatArray]:
            margin = sign * (z @ w)
            slope = -sign * special.expit(-margin) * weight
            value = float((weight * np.logaddexp(0, -margin)).sum() + 0.5 * (ridge * w**2).sum())
            return value, np.asarray(z.T @ slope + ridge * w)

        found = optimize.minimize(loss, np.zeros(z.shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": 2000})
        return cls(middle, scale, np.asarray(found.x))

    def score(self, x: FloatArray) -> FloatArray:
        """Log odds (N,) of not being real. A feature that training never saw so far out counts as at its border."""
        z = np.clip((x - self.middle) / self.scale, -4, 4)
        return np.asarray(z @ self.weights[:-1] + self.weights[-1])


def area(real: FloatArray, other: FloatArray) -> float:
    """Area under the curve: probability that a score of `other` is above one of `real`, ties count half."""
    ranks = stats.rankdata(np.r_[real, other])[len(real) :]
    return float((ranks.sum() - len(other) * (len(other) + 1) / 2) / (len(real) * len(other)))


def _drawn_area(scored: Scores, rng: np.random.Generator) -> float:
    """The area over cubes of tissue that are drawn anew from each scan, and scans from each side that has several."""
    sides = []
    for scans in scored:
        taken = rng.integers(0, len(scans), len(scans))
        parts = []
        for values, blocks in (scans[n] for n in taken):
            names = np.unique(blocks)
            parts += [values[blocks == name] for name in rng.choice(names, len(names))]
        sides.append(np.concatenate(parts))
    return area(*sides)


def left_right(patches: Patches) -> tuple[Patches, Patches]:
    """Patches on either side of the median along the axis from right to left."""
    place = patches.middles[:, 2]
    left = place > np.median(place)
    return patches.part(~left), patches.part(left)


def slabs(patches: Patches) -> tuple[Patches, Patches]:
    """Patches in even and in odd slabs of `SLAB_MM` from foot to head."""
    odd = np.floor(patches.middles[:, 0] / SLAB_MM).astype(int) % 2 == 1
    return patches.part(~odd), patches.part(odd)
