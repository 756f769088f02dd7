"""Fit the constants of the world's law to how real patients responded, and show how well they fit.

The reference is the public clinical table of HCC-TACE-Seg (Moawad et al. 2021, doi 10.7937/TCIA.5FNA-0924): RECIST and
mRECIST sums of diameters before and after treatment by three readers, and overall survival in weeks.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

from MeWMLib.cohorts.hcc_tace import WEEKS_A_MONTH
from MeWMLib.cohorts.synthetic.fields import derive_seed
from MeWMLib.cohorts.synthetic.law import LAW, LawConstants, Response, Traits, respond
from MeWMLib.core.errors import DependencyError, InputError
from MeWMLib.core.io import atomic_path
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.tables import Row, read_csv
from MeWMLib.lab.program import Tell, finish
from MeWMLib.lab.synthetic.survival import survival_months, true_log_risk

FloatArray = NDArray[np.float64]

#: The two regimens of the table, and the protocols by which they are simulated (Lipiodol is added to every conventional
#: case, as the paper does).
REGIMENS = {
    "conventional": Protocol.parse("Cisplatin + Doxorubicin + Mitomycin + Lipiodol"),
    "beads": Protocol.parse("Doxorubicin + LC beads"),
}
CRITERIA = ("RECIST", "mRECIST")
FITTED = ("base", "by_occlusion", "by_drugs", "spread", "shrink", "growth", "volume_spread")
_REMEDY = "Give the clinical table of HCC-TACE-Seg (version 2)"
#: Less viable tumour than this share of what there was is called complete response: a reader sees none.
UNSEEN_SHARE = 0.02


@dataclass(frozen=True, eq=False)
class Reference:
    """What is known of the real patients of one regimen.

    Attributes:
        changes: criterion to relative change of the sum of diameters, mean of three readers, (N,).
        reader_sd: criterion to the deviation of that mean that the readers' disagreement explains.
        months, died: overall survival.
    """

    changes: Mapping[str, FloatArray]
    reader_sd: Mapping[str, float]
    months: FloatArray
    died: NDArray[np.bool_]


def read_reference(table: Path) -> dict[str, Reference]:
    """Read the clinical table.

    Raises:
        UnreadableFileError: the file is missing, not a text, or holds no row.
        InputError: a column is missing, a survival is not a number, or a regimen has no patients with both criteria.
    """
    needed = ["chemotherapy", "OS", "Death_1_StillAliveorLostToFU_0"]
    needed += [f"{reader}_{c}_{when}" for reader in (1, 2, 3) for c in CRITERIA for when in ("BL", "FU")]
    found = read_csv(table, "The clinical table")
    found.require(needed, "The clinical table lacks columns", _REMEDY)
    rows = found.rows({name: place for name in needed if (place := found.place(name)) is not None})
    out = {}
    for regimen in REGIMENS:
        mine = [row for row in rows if _regimen(row.known("chemotherapy")) == regimen]
        changes, spread = {}, {}
        for criterion in CRITERIA:
            readers = np.array([[_change(r, reader, criterion) for reader in (1, 2, 3)] for r in mine]).reshape(-1, 3)
            known = np.isfinite(readers).all(1)
            if not known.any():
                raise InputError(
                    what=f"The clinical table holds no patient of the regimen {regimen} that all readers measured",
                    given=f"{table.name}, {criterion}",
                    remedy=_REMEDY,
                )
            changes[criterion] = readers[known].mean(1)
            spread[criterion] = float(np.sqrt(np.median(readers[known].var(1, ddof=1)) / 3))
        out[regimen] = Reference(
            changes,
            spread,
            np.array([_survival(row) for row in mine]),
            np.array([_died(row) for row in mine]),
        )
    return out


def _regimen(text: str) -> str:
    return "" if not text.strip() else "beads" if "beads" in text.lower() else "conventional"


def _survival(row: Row) -> float:
    weeks = row.number("OS")
    if weeks is None:
        raise row.wrong(
            what="An overall survival in the clinical table is not a number",
            name="OS",
            remedy="Leave such patients out",
        )
    return weeks / WEEKS_A_MONTH


def _died(row: Row) -> bool:
    column = "Death_1_StillAliveorLostToFU_0"
    died = row.flag(column)
    if died is None:
        raise row.wrong(
            what="The clinical table does not say whether death was seen", name=column, remedy="Leave such patients out"
        )
    return died


def _change(row: Row, reader: int, criterion: str) -> float:
    before, after = (row.number(f"{reader}_{criterion}_{when}") for when in ("BL", "FU"))
    return after / before - 1 if before and before > 0 and after is not None else float("nan")


@dataclass(frozen=True, eq=False)
class Population:
    """Standard draws from which the patients of the world are made, the same for every value of the constants."""

    traits: tuple[Traits, ...]
    radius_mm: FloatArray
    reader: Mapping[str, FloatArray]

    @classmethod
    def draw(cls, count: int = 400, seed: int = 0) -> Population:
        """Draw patients as the world does: type and traits independent of the regimen."""
        rng = np.random.default_rng(derive_seed("calibration", seed))
        traits = tuple(Traits.draw(rng) for _ in range(count))
        radius = np.clip(rng.lognormal(np.log(21), 0.5, count), 8, 62)
        return cls(traits, radius, {c: rng.normal(size=count) for c in CRITERIA})


def simulated(
    population: Population, regimen: str, law: LawConstants, change: Callable[[int, Response], Response] | None = None
) -> dict[str, FloatArray]:
    """What the law gives: "RECIST" and "mRECIST" changes without readers' disagreement, and the true log-"risk".

    A diameter is taken as the cube root of a volume; that of the viable part, of the viable volume.

    Args:
        population, regimen, law: who is treated how.
        change: what another version of the world makes of the response of a patient (by number in the population).
    """
    answers = [respond(t, REGIMENS[regimen], law) for t in population.traits]
    if change is not None:
        answers = [change(n, answer) for n, answer in enumerate(answers)]
    left = np.array([1 - a.shrinkage for a in answers])
    viable = left * np.array([1 - a.necrosis for a in answers])
    viable_ml = viable * 4 / 3 * np.pi * population.radius_mm**3 / 1000
    return {
        "RECIST": np.cbrt(left) - 1,
        "mRECIST": np.where(viable < UNSEEN_SHARE, -1.0, np.cbrt(viable) - 1),
        "risk": np.array([true_log_risk(v, a) for v, a in zip(viable_ml, answers, strict=True)]),
    }


def read_by_people(
    population: Population, changes: Mapping[str, FloatArray], reference: Reference
) -> dict[str, FloatArray]:
    """Add the readers' disagreement to simulated changes; what nobody sees stays unseen."""
    out = {}
    for criterion in CRITERIA:
        noisy = changes[criterion] + reference.reader_sd[criterion] * population.reader[criterion]
        out[criterion] = np.where(changes[criterion] <= -1, -1.0, np.maximum(noisy, -1.0))
    return out


def distance(law: LawConstants, population: Population, reference: Mapping[str, Reference]) -> float:
    """Sum over regimens and criteria of the mean squared distance of quantiles, in units of the real spread."""
    levels = np.linspace(0.05, 0.95, 19)
    total = 0.0
    for regimen, real in reference.items():
        drawn = read_by_people(population, simulated(population, regimen, law), real)
        for criterion in CRITERIA:
            a, b = np.quantile(drawn[criterion], levels), np.quantile(real.changes[criterion], levels)
            total += float(np.mean((a - b) ** 2) / np.var(b))
    return total


def fit(
    reference: Mapping[str, Reference], start: LawConstants = LAW, seed: int = 0, iterations: int = 600
) -> LawConstants:
    """Fit `FITTED` by Nelder-Mead, then the median survival so that the pooled Kaplan-Meier medians agree."""
    population = Population.draw(seed=seed)

    def law_of(x: FloatArray) -> LawConstants:
        values = dict(zip(FITTED, (float(v) for v in x), strict=True))
        # None of these is negative, and the drugs must matter in this world.
        for name in set(FITTED) - {"base"}:
            values[name] = abs(values[name])
        return replace(start, **values)

    def loss(x: FloatArray) -> float:
        law = law_of(x)
        # The table holds two regimens and cannot say how much drugs and occlusion each matter: keep near the start.
        kept = sum((getattr(law, n) / getattr(start, n) - 1) ** 2 for n in ("by_occlusion", "by_drugs"))
        return distance(law, population, reference) + 0.3 * kept

    first = np.array([getattr(start, name) for name in FITTED])
    found = optimize.minimize(loss, first, method="Nelder-Mead", options={"maxiter": iterations, "fatol": 1e-4})
    law = law_of(found.x)
    months = np.concatenate([r.months for r in reference.values()])
    died = np.concatenate([r.died for r in reference.values()])
    target = _median_survival(months, died)
    counts = {regimen: len(r.months) for regimen, r in reference.items()}
    risks = np.concatenate(
        [np.resize(simulated(population, regimen, law)["risk"], 40 * n) for regimen, n in counts.items()]
    )
    times = _survival_times(risks, law, seed)
    return replace(law, median_months=float(law.median_months * target / np.median(times)))


def report(law: LawConstants, reference: Mapping[str, Reference], seed: int = 1) -> dict[str, dict[str, float]]:
    """Compare the world with the patients: medians, quartiles, and the two-sample Kolmogorov-Smirnov test.

    The population is another draw than the one that was fitted. Keys are "regimen criterion".
    """
    rows = {}
    for name, (a, b) in compared(law, reference, seed).items():
        test = stats.ks_2samp(a, b)
        rows[name] = {
            "n_real": float(len(b)),
            **{f"world {q} %": float(np.percentile(a, q)) for q in (25, 50, 75)},
            **{f"real {q} %": float(np.percentile(b, q)) for q in (25, 50, 75)},
            "ks": float(test.statistic),
            "p": float(test.pvalue),
        }
    return rows


def compared(
    law: LawConstants, reference: Mapping[str, Reference], seed: int = 1
) -> dict[str, tuple[FloatArray, FloatArray]]:
    """Drawn and real values by "regimen criterion"; changes are relative, months are as observed."""
    population = Population.draw(seed=seed)
    out = {}
    for regimen, real in reference.items():
        raw = simulated(population, regimen, law)
        drawn = read_by_people(population, raw, real)
        for criterion in CRITERIA:
            out[f"{regimen} {criterion}"] = drawn[criterion], real.changes[criterion]
        out[f"{regimen} months"] = _survival_times(raw["risk"], law, seed), real.months
    return out


def plot(law: LawConstants, reference: Mapping[str, Reference], path: Path, seed: int = 1) -> None:
    """Draw the cumulative distributions of `compared` as a PNG.

    Raises:
        DependencyError: matplotlib is not installed.
        OutputError: the picture cannot be written.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise DependencyError(
            what="The picture needs matplotlib", remedy="Install it with pip install matplotlib"
        ) from error
    figure = Figure(figsize=(9, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(REGIMENS), 3).ravel()
    for ax, (name, (drawn, real)) in zip(axes, compared(law, reference, seed).items(), strict=True):
        test = stats.ks_2samp(drawn, real)
        for values, label, colour in ((drawn, "world", "#c05a1c"), (real, f"patients (n = {len(real)})", "#1f4e79")):
            ax.ecdf(values, label=label, color=colour)
        ax.set_title(f"{name}: KS {test.statistic:.2f}, p {test.pvalue:.2g}", fontsize=9)
        if name.endswith("months"):
            ax.set_xlabel("months", fontsize=8)
        else:
            # one patient far away would squeeze all others
            ax.set_xlim(-1.05, 1.05)
            beyond = int((real > 1.05).sum())
            note = f" ({beyond} patient beyond)" if beyond else ""
            ax.set_xlabel(f"relative change of diameter{note}", fontsize=8)
        ax.set_ylabel("cumulative share", fontsize=8)
        ax.tick_params(labelsize=8)
        ax.legend(fontsize=8, frameon=False)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=100)


def _survival_times(risks: FloatArray, law: LawConstants, seed: int) -> FloatArray:
    rng = np.random.default_rng(derive_seed("calibration survival", seed))
    return np.array([survival_months(float(r), rng, law)[0] for r in risks])


def _median_survival(months: FloatArray, died: NDArray[np.bool_]) -> float:
    """Kaplan-Meier median (last time if the curve never falls to a half)."""
    left = 1.0
    for t in np.unique(months[died]):
        left *= 1 - float(((months == t) & died).sum()) / float((months >= t).sum())
        if left <= 0.5:
            return float(t)
    return float(months.max())


def main(argv: list[str] | None = None) -> int:
    """`python -m MeWMLib.lab.synthetic.calibration TABLE [--fit] [--plot FILE]`: print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", type=Path, help="clinical table of HCC-TACE-Seg (CSV)")
    parser.add_argument("--fit", action="store_true", help="fit the constants anew and print them")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="PNG with the distributions")
    args = parser.parse_args(argv)

    def work(tell: Tell) -> dict[str, Any]:
        reference = read_reference(args.table)
        law = fit(reference) if args.fit else LAW
        if args.plot is not None:
            plot(law, reference, args.plot)
        return {"law": asdict(law), "comparison": report(law, reference)}

    return finish(work)


if __name__ == "__main__":
    raise SystemExit(main())
