"""`mewm evaluate response`: classes of response from the readers' diameters, and who is predicted to respond.

The readers' sums of diameters give their classes back, or not: that is checked first. Then the response is a second
outcome beside survival: objective response (CR or PR) by each criterion, predicted from what was known before treatment
and from the regimen, cross-validated, with its AUC.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from MeWMLib.core.errors import InputError, UnreadableFileError
from MeWMLib.core.io import write_json
from MeWMLib.core.tables import read_csv
from MeWMLib.lab.evaluation.metrics import Rows, bootstrap, bootstrap_mean, exact, jsonable
from MeWMLib.lab.evaluation.survival_tables import find_table, read_table
from MeWMLib.lab.evaluation.two_sample import area
from MeWMLib.lab.evaluation.work import Say, silent
from MeWMLib.policy.reports import parse_report

Array = NDArray[np.float64]
CLASSES = ("CR", "PR", "SD", "PD")
READERS = (1, 2, 3)


#: What the codes of a class column stand for.
CODES: Mapping[int, tuple[str, ...]] = {1: ("CR",), 2: ("PR",), 3: ("SD",), 4: ("PD",)}
#: The column of EASL is coded otherwise: 3 where nothing viable is left (15 patients), 4 for everyone else.
EASL_CODES: Mapping[int, tuple[str, ...]] = {3: ("CR",), 4: ("PR", "SD", "PD")}


@dataclass(frozen=True)
class Criterion:
    """How a change becomes a class.

    Attributes:
        name: as in the columns of the table.
        partial, progress: relative change from which on a response is partial, or a disease progressive.
        readers: who judged by it.
        codes: of the table's own class to the classes that it stands for.
    """

    name: str
    partial: float
    progress: float
    readers: tuple[int, ...] = READERS
    codes: Mapping[int, tuple[str, ...]] = field(default_factory=lambda: CODES)

    def class_of(self, before: float, after: float) -> str | None:
        """Class of a measure before and after; None where one is not known, or nothing was there."""
        if not (np.isfinite(before) and np.isfinite(after) and before > 0 and after >= 0):
            return None
        change = after / before - 1
        # sums of diameters have one decimal: a change of exactly 30 % must not fall to the rounding of a double
        if after == 0:
            return "CR"
        return "PR" if change <= self.partial + 1e-9 else "PD" if change >= self.progress - 1e-9 else "SD"


#: RECIST 1.1 and mRECIST by sums of diameters; EASL by the product of the two diameters of the viable tumour.
CRITERIA = (
    Criterion("RECIST", -0.30, 0.20),
    Criterion("mRECIST", -0.30, 0.20),
    Criterion("EASL", -0.50, 0.25, (1,), EASL_CODES),
)


def run(args: argparse.Namespace, say: Say = silent) -> tuple[Rows, str]:
    """Measure on the table that the arguments name; rows, and on whom."""
    name, file = find_table(args.table)
    if name != "hcc-tace-seg":
        raise InputError(what="This table holds no diameters by readers", given=name, remedy="Use hcc-tace-seg")
    rows, about = evaluate_response(file, args.folds, args.repeats, args.seed, say)
    write_json(jsonable(about), args.out / "response.json")
    return rows, f"HCC-TACE-Seg, {about['patients']} patients with the readers' measures before and after"


def evaluate_response(
    file: Path, folds: int = 5, repeats: int = 10, seed: int = 0, say: Say = silent
) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """Classes and predictions.

    Rows: `CRITERION.readerN`: `class_agreement`, how many classes follow from the reader's own measures.
    `CRITERION.before`, `CRITERION.before_and_regimen`, `CRITERION.size_alone`: `auc` of objective response by the
    majority of readers, cross-validated.

    Returns:
        The rows; and patients, counts of classes, and of patients by their RECIST and mRECIST class (first reader).

    Raises:
        UnreadableFileError: not the table, or a column that is missing.
        InputError: fewer responders, or others, than folds.
    """
    table = _frame(file)
    rows: dict[str, dict[str, Any]] = {}
    about: dict[str, Any] = {"classes": {}, "differs": {}}
    found: dict[str, list[list[str | None]]] = {}
    for criterion in CRITERIA:
        found[criterion.name] = []
        for reader in criterion.readers:
            own, given = _classes(table, criterion, reader)
            found[criterion.name].append(own)
            both = [(a, b) for a, b in zip(own, given, strict=True) if a is not None and b is not None]
            right = np.array([a in b for a, b in both], float)
            label = f"{criterion.name}.reader{reader}"
            rows[label] = {"class_agreement": bootstrap_mean(right, seed)}
            about["classes"][label] = {name: [a for a, _ in both].count(name) for name in CLASSES}
            patients = table["TCIA_ID"].tolist()
            about["differs"][label] = [
                {"patient": patients[n], "from_measures": a, "given": " or ".join(b)}
                for n, (a, b) in enumerate(zip(own, given, strict=True))
                if a is not None and b is not None and a not in b
            ]
    about["patients"] = sum(c is not None for c in found["RECIST"][0])
    about["recist_by_mrecist"] = {
        f"reader{n + 1}": _crossed(found["RECIST"][n], found["mRECIST"][n]) for n in range(len(READERS))
    }
    covariates = _covariates(file, table)
    for n, (name, readers) in enumerate(found.items()):
        rows |= _predicted(name, readers, covariates, folds, repeats, seed)
        say("response", (n + 1) / len(found))
    return rows, about


def _frame(file: Path) -> Any:
    read_csv(file)  # refuses rows of another width and columns twice
    frame = pd.read_csv(file)
    needed = ["TCIA_ID", "chemotherapy"]
    for criterion in CRITERIA:
        needed += [f"{r}_{criterion.name}{end}" for r in criterion.readers for end in ("_BL", "_FU", "")]
    if missing := [name for name in needed if name not in frame.columns]:
        raise UnreadableFileError(
            what="The table lacks columns", given=", ".join(missing), remedy="Give the clinical table of HCC-TACE-Seg"
        )
    return frame


def _classes(table: Any, criterion: Criterion, reader: int) -> tuple[list[str | None], list[tuple[str, ...] | None]]:
    """Classes by the measures of a reader, and those that the table gives."""
    before, after, code = (table[f"{reader}_{criterion.name}{end}"].to_numpy(float) for end in ("_BL", "_FU", ""))
    own = [criterion.class_of(b, a) for b, a in zip(before, after, strict=True)]
    given = [criterion.codes.get(int(c)) if np.isfinite(c) else None for c in code]
    return own, given


def _crossed(first: list[str | None], second: list[str | None]) -> dict[str, int]:
    """How many patients have each pair of classes."""
    pairs = [f"{a} by RECIST, {b} by mRECIST" for a, b in zip(first, second, strict=True) if a and b]
    return {pair: pairs.count(pair) for pair in sorted(set(pairs))}


def _covariates(file: Path, table: Any) -> Mapping[str, Array]:
    """Name of a model to what it may read (N, F): what was known before, and the regimen."""
    endpoint = next(e for e in read_table("hcc-tace-seg", file) if e.name == "os")
    before = endpoint.matrix(list(endpoint.covariates))
    given = [parse_report(text).protocol.agents if isinstance(text, str) else None for text in table["chemotherapy"]]
    agents = sorted({name for one in given if one for name in one})
    regimen = np.array([[np.nan if one is None else float(a in one) for a in agents] for one in given])
    return {
        "before": before,
        "before_and_regimen": np.concatenate([before, regimen], axis=1),
        "size_alone": endpoint.matrix(["log_size_mm"]),
    }


def _predicted(
    criterion: str,
    readers: list[list[str | None]],
    covariates: Mapping[str, Array],
    folds: int,
    repeats: int,
    seed: int,
) -> dict[str, dict[str, Any]]:
    """AUC of objective response by the majority of the readers who judged."""
    votes = [[c in ("CR", "PR") for c in one if c is not None] for one in zip(*readers, strict=True)]
    known = np.array([bool(v) for v in votes])
    responds = np.array([2 * sum(v) > len(v) for v in votes if v])
    if min(int(responds.sum()), int((~responds).sum())) < folds:
        raise InputError(
            what=f"There are fewer patients with or without a response by {criterion} than folds",
            given=f"{int(responds.sum())} of {len(responds)} respond, {folds} folds",
            remedy="Use fewer folds",
        )
    out: dict[str, dict[str, Any]] = {}
    for row, x in covariates.items():
        scores = _cross_validated(x[known], responds, folds, repeats, seed)

        def auc(chosen: NDArray[np.intp], s: Array = scores, y: NDArray[np.bool_] = responds) -> float:
            yes, no = s[chosen][y[chosen]], s[chosen][~y[chosen]]
            return area(no, yes) if len(yes) and len(no) else float("nan")

        out[f"{criterion}.{row}"] = {
            "auc": bootstrap(auc, len(responds), seed),
            "responders": exact(float(responds.sum()), len(responds)),
        }
    return out


def _cross_validated(x: Array, responds: NDArray[np.bool_], folds: int, repeats: int, seed: int) -> Array:
    """Out-of-fold log odds, means over the repetitions."""
    scores = np.zeros(len(responds))
    for repeat in range(repeats):
        for train, test in StratifiedKFold(folds, shuffle=True, random_state=seed + repeat).split(x, responds):
            model = make_pipeline(
                SimpleImputer(strategy="median", keep_empty_features=True),
                StandardScaler(),
                LogisticRegression(C=0.1, class_weight="balanced", max_iter=1000),
            ).fit(x[train], responds[train])
            scores[test] += model.decision_function(x[test]) / repeats
    return scores
