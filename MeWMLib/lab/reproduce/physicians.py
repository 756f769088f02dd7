"""Physician rows of Table 2: what physicians chose without and with MeWM, from a CSV, with paired tests.

The table has a line for each choice: `patient`, `physician`, `with_mewm` (0 or 1, or "without" and "with") and
`protocol`. A physician who chose for a patient once without and once with MeWM is a pair; only pairs are compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from MeWMLib.core.errors import InputError
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.tables import read_csv
from MeWMLib.lab.evaluation.metrics import bootstrap_mean, interval
from MeWMLib.lab.evaluation.planning import overlap
from MeWMLib.lab.evaluation.policy import METRICS

WITHOUT, WITH = "physician_without", "physician_with"
_COLUMNS = ("patient", "physician", "with_mewm", "protocol")
_WAYS = {"0": WITHOUT, "1": WITH, "without": WITHOUT, "with": WITH}
_REMEDY = "Write patient, physician, with_mewm (0 or 1) and protocol, a line for each choice"
DRAWS = 2000


@dataclass(frozen=True)
class PhysicianChoice:
    """What one physician chose for one patient."""

    patient: str
    physician: str
    way: str
    protocol: Protocol


def read_choices(path: Path, known: Sequence[str]) -> list[PhysicianChoice]:
    """Read the table.

    Args:
        path: CSV.
        known: ids of the cohort's patients.

    Raises:
        UnreadableFileError, InputError: not a table, a column that is missing, an unknown patient or word, a choice
            twice, an empty cell.
    """
    table = read_csv(path, "The physicians' choices")
    table.require(_COLUMNS, "The physicians' choices lack a column", _REMEDY)
    found: dict[tuple[str, str, str], PhysicianChoice] = {}
    for row in table.rows():
        patient, physician = row.text("patient"), row.text("physician")
        way = _WAYS.get(row.text("with_mewm").lower())
        if way is None or not patient or not physician or not row.text("protocol"):
            raise InputError(
                what="A line of the physicians' choices cannot be used",
                given=", ".join(f"{name}: {row.text(name) or '(empty)'}" for name in _COLUMNS),
                remedy=_REMEDY,
            )
        if patient not in known:
            raise InputError(
                what="A choice is for a patient who is not in the cohort",
                given=patient,
                remedy="Use the ids of patients.csv",
            )
        key = patient, physician, way
        if key in found:
            raise InputError(what="A physician chose twice for one patient in one way", given=", ".join(key))
        found[key] = PhysicianChoice(patient, physician, way, Protocol.parse(row.text("protocol")))
    return list(found.values())


def physician_rows(
    choices: Sequence[PhysicianChoice], gold: Mapping[str, Protocol], seed: int
) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """Rows in percent, and the paired comparison.

    Figures are means over a patient's physicians, intervals over patients. The comparison takes pairs only: the mean
    difference with an interval over physicians and patients (both are drawn again), and Wilcoxon's signed-rank test
    over patients of each patient's mean difference.

    Args:
        choices: of `read_choices`.
        gold: what each patient was given; choices for others do not count.
        seed: of the bootstrap.
    """
    rows: dict[str, dict[str, Any]] = {}
    scored = {
        (c.patient, c.physician, c.way): overlap(c.protocol, gold[c.patient]) for c in choices if c.patient in gold
    }
    for way in (WITHOUT, WITH):
        patients = dict.fromkeys(who for who, _, this in scored if this == way)
        each = [[v for (who, _, this), v in scored.items() if this == way and who == one] for one in patients]
        if each:
            rows[way] = {
                m: bootstrap_mean([float(np.mean([v[m] for v in one])) for one in each], seed) for m in METRICS
            }
    return rows, _paired(scored, seed)


def _paired(scored: Mapping[tuple[str, str, str], Mapping[str, float]], seed: int) -> dict[str, Any]:
    pairs = [(who, by) for who, by, way in scored if way == WITHOUT and (who, by, WITH) in scored]
    if not pairs:
        return {"pairs": 0}
    patients, physicians = (list(dict.fromkeys(p[n] for p in pairs)) for n in (0, 1))
    out: dict[str, Any] = {"pairs": len(pairs), "patients": len(patients), "physicians": len(physicians)}
    for metric in METRICS:
        apart = np.full((len(patients), len(physicians)), np.nan)
        for who, by in pairs:
            difference = scored[who, by, WITH][metric] - scored[who, by, WITHOUT][metric]
            apart[patients.index(who), physicians.index(by)] = difference
        by_patient = np.nanmean(apart, axis=1)
        out[metric] = interval(float(np.nanmean(apart)), _two_way(apart, seed), len(pairs))
        # the test leaves out patients without a difference; without any there is nothing to test
        out[metric]["p"] = float(stats.wilcoxon(by_patient).pvalue) if np.any(by_patient) else 1.0
    return out


def _two_way(apart: NDArray[np.float64], seed: int) -> list[float]:
    """Means of tables (patients, physicians) of which both are drawn again; NaN where a draw holds no pair."""
    rng, (rows, columns) = np.random.default_rng(seed), apart.shape
    out = []
    for _ in range(DRAWS):
        drawn = apart[np.ix_(rng.integers(0, rows, rows), rng.integers(0, columns, columns))]
        known = drawn[np.isfinite(drawn)]
        out.append(float(known.mean()) if len(known) else float("nan"))
    return out
