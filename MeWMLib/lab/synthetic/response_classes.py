"""Classes of response (RECIST and mRECIST) that readers gave real patients, and how often the world draws them.

`python -m MeWMLib.lab.synthetic.response_classes TABLE`; the reference is the clinical table of HCC-TACE-Seg (Moawad et
al. 2021, doi 10.7937/TCIA.5FNA-0924), which codes complete response, partial response, stable and progressive disease
by 1 to 4.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

from MeWMLib.cohorts.synthetic.fields import derive_seed
from MeWMLib.cohorts.synthetic.law import LAW, Response
from MeWMLib.cohorts.synthetic.law3 import LABILITY, Lability, labile
from MeWMLib.core.errors import InputError
from MeWMLib.core.tables import read_csv
from MeWMLib.lab.program import Tell, finish
from MeWMLib.lab.synthetic.calibration import (
    CRITERIA,
    Population,
    Reference,
    read_by_people,
    read_reference,
    simulated,
)

CLASSES = ("CR", "PR", "SD", "PD")
#: Relative change of the sum of diameters at which a class begins (RECIST 1.1 and mRECIST).
PARTIAL, PROGRESS = -0.30, 0.20
READERS = (1, 2, 3)
#: How much the distance of the whole distributions counts beside that of the classes.
BY_KS = 0.1
_WHAT = "The clinical table"
_REMEDY = "Give the clinical table of HCC-TACE-Seg (version 2)"


def class_of(change: float) -> str:
    """Class of a relative change of the sum of diameters; -1 is what nobody sees any more."""
    return "CR" if change <= -1 else "PR" if change <= PARTIAL else "PD" if change >= PROGRESS else "SD"


def read_classes(table: Path) -> dict[str, list[NDArray[np.int64]]]:
    """By criterion, for every reader the classes (N,) that were given, 0 to 3 as in `CLASSES`.

    Raises:
        UnreadableFileError: the file is missing or no table.
        InputError: a column is missing, a class is none, or a reader judged nobody.
    """
    names = [f"{reader}_{criterion}" for criterion in CRITERIA for reader in READERS]
    found = read_csv(table, _WHAT)
    found.require(names, f"{_WHAT} lacks columns", _REMEDY)
    rows = found.rows({name: place for name in names if (place := found.place(name)) is not None})
    out: dict[str, list[NDArray[np.int64]]] = {criterion: [] for criterion in CRITERIA}
    for criterion in CRITERIA:
        for reader in READERS:
            name, judged = f"{reader}_{criterion}", []
            for row in rows:
                code = row.number(name)
                if code is not None and code not in (1, 2, 3, 4):
                    raise row.wrong(what="A class of response is not 1 to 4", name=name, remedy=_REMEDY)
                if code is not None:
                    judged.append(int(code) - 1)
            if not judged:
                raise InputError(what=f"{_WHAT} holds no class by one of the readers", given=name, remedy=_REMEDY)
            out[criterion].append(np.array(judged))
    return out


def drawn_changes(
    reference: Mapping[str, Reference], world: int, constants: Lability = LABILITY, seed: int = 1
) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Changes that readers would see, by regimen and criterion.

    Args:
        reference: of `calibration.read_reference`.
        world: 2, or 3 with its labile sizes.
        constants: of world 3.
        seed: of the drawn patients.
    """
    population = Population.draw(seed=seed)
    rng = np.random.default_rng(derive_seed("calibration lability", seed))
    factors = [constants.draw(rng) for _ in population.traits]

    def change(n: int, answer: Response) -> Response:
        return labile(answer, factors[n], constants)

    return {
        regimen: read_by_people(population, simulated(population, regimen, LAW, change if world == 3 else None), real)
        for regimen, real in reference.items()
    }


def drawn_classes(
    reference: Mapping[str, Reference], changes: Mapping[str, Mapping[str, NDArray[np.float64]]]
) -> dict[str, dict[str, float]]:
    """Share of each class by criterion; regimens are mixed as they are in the table."""
    whole = sum(len(real.months) for real in reference.values())
    out: dict[str, dict[str, float]] = {c: dict.fromkeys(CLASSES, 0.0) for c in CRITERIA}
    for regimen, real in reference.items():
        for criterion in CRITERIA:
            classes = [class_of(float(c)) for c in changes[regimen][criterion]]
            for name in CLASSES:
                out[criterion][name] += len(real.months) / whole * classes.count(name) / len(classes)
    return out


def fit(table: Path, start: Lability = LABILITY) -> Lability:
    """Fit middle and spread to the frequencies of the classes and to the changes, by Nelder-Mead.

    The patients are others than those that `compare` draws.
    """
    reference, real = read_reference(table), _real_shares(read_classes(table))

    def loss(x: NDArray[np.float64]) -> float:
        tried, total = replace(start, middle=float(x[0]), spread=abs(float(x[1]))), 0.0
        for seed in (2, 3):
            changes = drawn_changes(reference, 3, tried, seed)
            drawn = drawn_classes(reference, changes)
            total += sum((drawn[c][n] - real[c][n][0]) ** 2 for c in CRITERIA for n in CLASSES)
            total += BY_KS * sum(
                float(stats.ks_2samp(changes[r][c], known.changes[c]).statistic) ** 2
                for r, known in reference.items()
                for c in CRITERIA
            )
        return total

    first = np.array([start.middle, start.spread])
    simplex = first + np.array([[0, 0], [0.1, 0], [0, 0.3]])
    found = optimize.minimize(loss, first, method="Nelder-Mead", options={"maxiter": 40, "initial_simplex": simplex})
    return replace(start, middle=float(found.x[0]), spread=abs(float(found.x[1])))


def _real_shares(classes: Mapping[str, list[NDArray[np.int64]]]) -> dict[str, dict[str, tuple[float, float, float]]]:
    """Mean, lowest and highest share of each class over the readers."""
    out: dict[str, dict[str, tuple[float, float, float]]] = {}
    for criterion, readers in classes.items():
        shares = np.array([[(one == n).mean() for one in readers] for n in range(len(CLASSES))])
        out[criterion] = {
            name: (float(s.mean()), float(s.min()), float(s.max())) for name, s in zip(CLASSES, shares, strict=True)
        }
    return out


def compare(table: Path, constants: Lability = LABILITY) -> dict[str, Any]:
    """Shares of the classes, real (mean of the readers, lowest, highest) and drawn; KS of the changes."""
    classes, reference = read_classes(table), read_reference(table)
    real = _real_shares(classes)
    changes = {world: drawn_changes(reference, world, constants) for world in (2, 3)}
    drawn = {world: drawn_classes(reference, changes[world]) for world in (2, 3)}
    out: dict[str, Any] = {"patients": {c: [len(one) for one in classes[c]] for c in CRITERIA}, "classes": {}, "ks": {}}
    for criterion in CRITERIA:
        for name in CLASSES:
            row = {f"world {w}": round(drawn[w][criterion][name], 3) for w in (2, 3)}
            mean, low, high = (round(v, 3) for v in real[criterion][name])
            out["classes"][f"{criterion} {name}"] = {"real": mean, "readers": [low, high], **row}
        for regimen, known in reference.items():
            tests = {w: stats.ks_2samp(changes[w][regimen][criterion], known.changes[criterion]) for w in (2, 3)}
            out["ks"][f"{regimen} {criterion}"] = {
                f"world {w}": {"ks": round(float(t.statistic), 3), "p": round(float(t.pvalue), 3)}
                for w, t in tests.items()
            }
    return out


def main(argv: list[str] | None = None) -> int:
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", type=Path, help="clinical table of HCC-TACE-Seg (CSV)")
    parser.add_argument("--fit", action="store_true", help="fit the constants of labile sizes anew and print them")
    args = parser.parse_args(argv)

    def work(tell: Tell) -> dict[str, Any]:
        constants = fit(args.table) if args.fit else LABILITY
        return {"lability": asdict(constants), **compare(args.table, constants)}

    return finish(work)


if __name__ == "__main__":
    raise SystemExit(main())
