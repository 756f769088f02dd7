"""Planning study: protocols that physicians chose without and then with MeWM, held against what was given.

F1 is that of Table 2 (`lab/evaluation/policy.py`): with P the chosen and G the given set of agents,
2 |P & G| / (|P| + |G|). Agreement with what was given does not prove that a choice is good.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from MeWMLib.core.errors import MeWMError, StudyError
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.tables import Row, read_csv
from MeWMLib.lab.evaluation.policy import METRICS, scores

DRAWS = 2000
#: Up to so many patients every pattern of signs is tried.
EXACT = 14
FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Choice:
    """What a reader chose for a patient: agents without and with MeWM, and those that were given."""

    reader: str
    patient: str
    without: frozenset[str]
    with_mewm: frozenset[str]
    gold: frozenset[str]


@dataclass(frozen=True)
class Gain:
    """A metric without and with MeWM.

    Attributes:
        without, with_mewm: means over patients (and readers).
        gain: with minus without.
        low, high: 95 %, bootstrap over patients, of all readers over readers too.
        p_signed_rank: Wilcoxon over patients, two-sided; 1 where nothing changed.
        p_flips: of sign flips of the patients' differences, two-sided; exact up to `EXACT` patients that differ.
    """

    without: float
    with_mewm: float
    gain: float
    low: float
    high: float
    p_signed_rank: float
    p_flips: float


@dataclass(frozen=True)
class PlanningResult:
    """What was found.

    Attributes:
        gains: reader (and "all") to metric to its gain.
        patients: who counted: those that every reader has judged.
        left_out: who did not.
        changed: reader to the number of patients for whom the choice was changed.
        sd: of the patients' differences of F1, averaged over readers: what a sample size is computed from.
        notes: what must be known.
    """

    gains: dict[str, dict[str, Gain]]
    patients: tuple[str, ...]
    left_out: tuple[str, ...]
    changed: dict[str, int]
    sd: float
    notes: tuple[str, ...]


def read_choices(path: Path, gold: Path | None = None) -> list[Choice]:
    """Read a table with the columns reader, patient, without, with and gold (which may be a table of its own).

    Protocols are written as everywhere ("Epirubicin + Lipiodol"); doses are passed over. A blank choice is an empty
    plan, which scores 0.

    Args:
        path: the CSV.
        gold: a CSV with the columns patient and gold, if `path` has none.

    Raises:
        StudyError: a column or a gold protocol is missing, a protocol cannot be read, or a reader judges a patient
            twice.
        UnreadableFileError: a file cannot be read.
    """
    table = read_csv(path, "The table of choices", StudyError)
    own = gold is None
    needed = ("reader", "patient", "without", "with", *(["gold"] if own else []))
    table.require(needed, "The table of choices lacks columns", "Add them, or give what was given with --gold")
    given = {} if gold is None else _gold(gold)
    found: dict[tuple[str, str], Choice] = {}
    for row in table.rows():
        reader, patient = row.text("reader"), row.text("patient")
        if not reader or not patient:
            raise row.wrong(what="A choice needs its reader and its patient")
        if (reader, patient) in found:
            raise row.wrong(what=f"{reader} judges {patient} twice")
        truth = _agents(row, "gold") if own else given.get(patient, frozenset())
        if not truth:
            raise row.wrong(what="It is not known what was given", name="gold" if own else "patient",
                            remedy="Leave patients without a recorded protocol out")  # fmt: skip
        found[reader, patient] = Choice(reader, patient, _agents(row, "without"), _agents(row, "with"), truth)
    return list(found.values())


def _gold(path: Path) -> dict[str, frozenset[str]]:
    table = read_csv(path, "The table of what was given", StudyError)
    table.require(("patient", "gold"), "The table of what was given lacks columns", "Give patient and gold")
    return {row.text("patient"): _agents(row, "gold") for row in table.rows()}


def _agents(row: Row, name: str) -> frozenset[str]:
    text = row.text(name)
    if not text:
        return frozenset()
    try:
        return frozenset(Protocol.parse(text).agents)
    except MeWMError as error:
        raise row.wrong(what=f"A protocol cannot be read: {error.what}", name=name, remedy=error.remedy) from error


def judge(choices: Sequence[Choice], seed: int = 0, draws: int = DRAWS) -> PlanningResult:
    """Compare the choices without and with MeWM.

    Args:
        choices: of `read_choices`.
        seed: of bootstrap and sign flips.
        draws: how often patients (and readers) are drawn.

    Raises:
        StudyError: no choice, or fewer than two patients that every reader has judged.
    """
    readers = sorted({one.reader for one in choices})
    known = {(one.reader, one.patient): one for one in choices}
    everybody = sorted({one.patient for one in choices})
    patients = [p for p in everybody if all((r, p) in known for r in readers)]
    if len(patients) < 2:
        raise StudyError(
            what="Too few patients were judged by every reader",
            given=f"{len(patients)} of {len(everybody)}, {len(readers)} readers",
            remedy="Let every reader judge the same patients, at least two",
        )
    rng = np.random.default_rng(seed)
    gains: dict[str, dict[str, Gain]] = {reader: {} for reader in (*readers, "all")}
    sd = float("nan")
    for metric in METRICS:
        table = np.array(
            [
                [[scores(part, one.gold)[metric] for part in (one.without, one.with_mewm)] for one in row]
                for row in ([known[r, p] for p in patients] for r in readers)
            ]
        )  # (readers, patients, 2)
        for n, reader in enumerate(readers):
            gains[reader][metric] = _gain(table[n : n + 1], rng, draws)
        gains["all"][metric] = _gain(table, rng, draws)
        if metric == "f1":
            sd = float((table[..., 1] - table[..., 0]).mean(0).std(ddof=1))
    changed = {r: sum(known[r, p].without != known[r, p].with_mewm for p in patients) for r in readers}
    notes = [
        "Every reader chose without MeWM first and with it afterwards: a second look by itself may change a choice."
    ]
    if len(readers) == 1:
        notes.append("One reader: the result holds for this reader alone.")
    return PlanningResult(
        gains, tuple(patients), tuple(sorted(set(everybody) - set(patients))), changed, sd, tuple(notes)
    )


def _gain(table: FloatArray, rng: np.random.Generator, draws: int) -> Gain:
    """Of (readers, patients, 2); with one reader, readers are not drawn."""
    apart = table[..., 1] - table[..., 0]
    count, patients = apart.shape
    drawn = np.array(
        [apart[np.ix_(rng.integers(0, count, count), rng.integers(0, patients, patients))].mean() for _ in range(draws)]
    )
    each = apart.mean(0)
    low, high = (float(v) for v in np.percentile(drawn, [2.5, 97.5]))
    without, with_mewm = (float(v) for v in table.mean((0, 1)))
    # F1 is a ratio of small whole numbers: what differs in the last bit is a tie
    rounded = np.round(each, 12)
    rank = float(stats.wilcoxon(rounded).pvalue) if rounded.any() else 1.0
    return Gain(without, with_mewm, float(each.mean()), low, high, rank, flips(rounded, rng))


def flips(differences: FloatArray, rng: np.random.Generator, draws: int = 10_000) -> float:
    """P (two-sided) that signs alone make so large a mean; differences of 0 have none."""
    known = differences[differences != 0]
    if not len(known):
        return 1.0
    seen = abs(float(known.sum())) - 1e-9
    if len(known) <= EXACT:
        sums = np.array([float(np.dot(signs, known)) for signs in itertools.product((-1, 1), repeat=len(known))])
        return float((np.abs(sums) >= seen).mean())
    signs = rng.integers(0, 2, (draws, len(known))) * 2 - 1
    return float(((np.abs(signs @ known) >= seen).sum() + 1) / (draws + 1))


def planning_lines(result: PlanningResult, percent: Callable[[float], str]) -> list[str]:
    """The result in a few lines."""
    lines = []
    for reader, metrics in result.gains.items():
        one = metrics["f1"]
        lines.append(
            f"{reader}: F1 {percent(one.without)} without, {percent(one.with_mewm)} with MeWM, gain "
            f"{100 * one.gain:+.1f} points ({100 * one.low:+.1f} to {100 * one.high:+.1f}); p = "
            f"{one.p_signed_rank:.2g} (signed rank), {one.p_flips:.2g} (sign flips)"
        )
    lines.append(f"{len(result.patients)} patients; SD of their differences of F1: {result.sd:.3f}.")
    lines += result.notes
    return lines


def planning_rows(result: PlanningResult) -> list[dict[str, Any]]:
    """The gains as rows of a table."""
    return [
        {"reader": reader, "metric": metric, **vars(gain)}
        for reader, metrics in result.gains.items()
        for metric, gain in metrics.items()
    ]
