"""Tables of real patients for survival models, and which of their columns were known before treatment.

A column is used only if a list here names it. What was measured after treatment is in a second list, which the landmark
model alone may read; everything else in a file, the outcomes first of all, cannot become a covariate.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from MeWMLib.core.errors import InputError, SurvivalDataError, UnreadableFileError
from MeWMLib.core.tables import read_csv

#: Tables that are known by name: their file below the folder that the environment variable names.
DATA_VARIABLE = "MEWM_SHARED_DATA"
FILES = {"hcc-tace-seg": "tables/hcc_tace_seg_clinical_80.csv", "dtsdhcc": "tables/dtsdhcc.csv.gz"}
WEEKS_A_MONTH, DAYS_A_MONTH = 365 / 84, 365 / 12
#: The landmark of the response model: weeks after treatment at which the response must be known and from which on
#: survival counts.
LANDMARK_WEEKS = 13.0

#: HCC-TACE-Seg: what was known before treatment, covariate to the column that it comes from.
HCC_TACE_BEFORE: Mapping[str, str | tuple[str, ...]] = {
    "age_years": "age",
    "male": "Sex",
    "log_afp": "AFP",
    "child_pugh": "CPS",
    "bclc_stage": "BCLC",
    "tnm_stage": "TNM",
    "clip_score": "CLIP_Score",
    "okuda_stage": "Okuda",
    "performance_status": "PS_bclc_0_0_1-2_1_3-4_3",
    "log_size_mm": ("1_RECIST_BL", "2_RECIST_BL", "3_RECIST_BL"),
    "multinodular": "tumor_nodul",
    "over_half_of_liver": "T_involvment",
    "vascular_invasion": "Vascular invasion",
    "portal_vein_thrombosis": "Portal Vein Thrombosis",
    "metastasis": "Metastasis",
    "lymph_nodes": "Lymphnodes",
    "cirrhosis": "Evidence_of_cirh",
    "hepatitis": "hepatitis",
    "diabetes": "Diabetes",
    "smoking": "Smoking",
    "alcohol": "Alcohol",
}
#: What was measured on the CT after treatment: for the landmark model only.
HCC_TACE_AFTER: Mapping[str, tuple[str, ...]] = {
    "mrecist_change": tuple(f"{n}_mRECIST_{when}" for when in ("BL", "FU") for n in (1, 2, 3)),
    "recist_change": tuple(f"{n}_RECIST_{when}" for when in ("BL", "FU") for n in (1, 2, 3)),
    "mrecist_category": tuple(f"{n}_mRECIST" for n in (1, 2, 3)),
}
#: The clinical Cox baseline of SPEC: age, sex, AFP, stage, Child-Pugh, size, number.
CLINICAL = ("age_years", "male", "log_afp", "bclc_stage", "child_pugh", "log_size_mm", "multinodular")

#: dtsdhcc: columns of a patient's first visit. What was done then or later (Embolization, TargetedTherapy, Resection)
#: and all later visits are left out.
DTSDHCC_BEFORE: Mapping[str, str] = {
    "age_years": "Age",
    "log_afp": "AFP",
    "child_pugh_points": "Child_pugh_score",
    "lesions": "Amount.of.Hepatic.Lesions",
    "log_size_mm": "Largest.Diameter.of.Hepatic.Lesions",
    "vascular_invasion": "Vascular.Invasion",
    "lymph_nodes": "Local.Lymph.Node.Metastasis",
    "metastasis": "Distant.Metastasis",
}
DTSDHCC_CLINICAL = ("age_years", "log_afp", "child_pugh_points", "lesions", "log_size_mm")

_STAGES: Mapping[str, Mapping[str, float]] = {
    "Sex": {"1": 1, "2": 0},
    "CPS": {"A": 0, "B": 1, "C": 2},
    "BCLC": {"Stage-A": 0, "Stage-B": 1, "Stage-C": 2, "Stage-D": 3},
    "TNM": {
        "Stage-I": 0, "Stage-II": 1, "Stage-IIIA": 2, "Stage-IIIB": 2.5, "Stage-IIIC": 3,
        "Stage-IVA": 4, "Stage-IVB": 4.5,
    },
    "CLIP_Score": {f"Stage_{n}": n for n in range(7)},
    "Okuda": {"Stage I": 0, "Stage II": 1, "Stage III": 2},
    "tumor_nodul": {"uninodular": 0, "multinodular": 1},
    "T_involvment": {"< or = 50%": 0, ">50%": 1},
    "hepatitis": {"No virus": 0, "HBV only": 1, "HCV only": 1, "HCV and HBV": 1},
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Endpoint:
    """Times in months and events of N patients, NaN-free, and the covariates that its models may read.

    Attributes:
        name: "os" or "ttp", "landmark_os".
        covariates: name to (N,), NaN where not known.
        clinical: those of the clinical Cox baseline.
        response: those that were measured after treatment; empty but for a landmark.
        months, events: (N,).
    """

    name: str
    covariates: Mapping[str, NDArray[np.float64]]
    clinical: tuple[str, ...]
    response: tuple[str, ...]
    months: NDArray[np.float64]
    events: NDArray[np.bool_]

    def __post_init__(self) -> None:
        require_before(tuple(n for n in self.covariates if n not in self.response), self.name)
        if self.response and not self.name.startswith("landmark"):
            raise SurvivalDataError(
                what="A response to treatment cannot predict from before treatment",
                given=", ".join(self.response),
                remedy="Use the landmark model",
            )

    def matrix(self, names: Sequence[str]) -> NDArray[np.float64]:
        """(N, F) of the named covariates."""
        return np.stack([self.covariates[n] for n in names], axis=1)

    def shuffled(self, seed: int) -> Endpoint:
        """The same covariates with the outcomes of other patients: nothing can be learnt here."""
        order = np.random.default_rng(seed).permutation(len(self.months))
        return replace(self, months=self.months[order], events=self.events[order])


def require_before(names: Sequence[str], model: str) -> None:
    """Refuse covariates that were not known before treatment.

    Raises:
        SurvivalDataError: a name that no list of what was known before holds.
    """
    late = [n for n in names if n not in HCC_TACE_BEFORE and n not in DTSDHCC_BEFORE]
    if late:
        raise SurvivalDataError(
            what="A covariate was not known before treatment",
            given=f"{', '.join(late)} in the model {model}",
            remedy="Known before: " + ", ".join(HCC_TACE_BEFORE),
        )


def find_table(text: str) -> tuple[str, Path]:
    """Name and file of a table: a name that `MEWM_SHARED_DATA` leads to, or a file whose name tells which it is.

    Raises:
        InputError: neither.
    """
    if text in FILES:
        folder = os.environ.get(DATA_VARIABLE)
        if not folder:
            raise InputError(
                what="The folder of the tables is not known",
                given=text,
                remedy=f"Set {DATA_VARIABLE} to the folder of the data, or give the file: --table path/to/FILE.csv",
            )
        return text, Path(folder) / FILES[text]
    path = Path(text)
    if not path.is_file():
        raise InputError(what="There is no such table", given=text, remedy="Use " + ", ".join(FILES) + " or a CSV file")
    return "dtsdhcc" if "dtsdhcc" in path.name.lower() else "hcc-tace-seg", path


def read_table(name: str, path: Path) -> list[Endpoint]:
    """Endpoints of a table: `hcc-tace-seg` (OS, TTP, OS from the landmark on) or `dtsdhcc` (OS).

    Raises:
        UnreadableFileError: no such file, or one that lacks the columns.
        SurvivalDataError: an unknown table, or a patient twice.
    """
    readers = {"hcc-tace-seg": _hcc_tace, "dtsdhcc": _dtsdhcc}
    if name not in readers:
        raise SurvivalDataError(what="Unknown table", given=name, remedy="Use " + " or ".join(readers))
    read_csv(path)  # refuses what pandas would read in silence: rows of another width, a column twice
    try:
        frame = pd.read_csv(path)
        return readers[name](frame)
    except (OSError, ValueError, TypeError, pd.errors.ParserError) as error:
        raise UnreadableFileError(what="The table cannot be read", given=f"{path} ({error})") from error
    except KeyError as error:
        raise UnreadableFileError(
            what="The table lacks a column", given=f"{error} in {path}", remedy=f"Give the clinical table of {name}"
        ) from error


def _hcc_tace(frame: Any) -> list[Endpoint]:
    if frame["TCIA_ID"].duplicated().any():
        raise SurvivalDataError(what="A patient is twice in the table", remedy="Keep one row a patient")
    before = {n: _column(frame, source) for n, source in HCC_TACE_BEFORE.items()}
    before["log_afp"], before["log_size_mm"] = np.log1p(before["log_afp"]), np.log(before["log_size_mm"])
    os_weeks, died = frame["OS"].to_numpy(float), _flags(frame, "Death_1_StillAliveorLostToFU_0")
    ttp_weeks, progressed = frame["TTP"].to_numpy(float), _flags(frame, "Censored_0_progressed_1")
    seen = frame["Interval_FU"].to_numpy(float)
    after = {name: _change(frame, sources) for name, sources in HCC_TACE_AFTER.items() if "change" in name}
    after["mrecist_category"] = _column(frame, HCC_TACE_AFTER["mrecist_category"])
    # Patients who died before the landmark or were scanned after it are not in the landmark model.
    stays = (seen >= 0) & (seen <= LANDMARK_WEEKS) & (os_weeks > LANDMARK_WEEKS) & np.isfinite(after["mrecist_change"])
    late = {n: v[stays] for n, v in {**before, **after}.items()}
    return [
        Endpoint("os", before, CLINICAL, (), os_weeks / WEEKS_A_MONTH, died),
        Endpoint("ttp", before, CLINICAL, (), ttp_weeks / WEEKS_A_MONTH, progressed),
        Endpoint(
            "landmark_os", late, CLINICAL, tuple(after), (os_weeks[stays] - LANDMARK_WEEKS) / WEEKS_A_MONTH, died[stays]
        ),
    ]


def _dtsdhcc(frame: Any) -> list[Endpoint]:
    first = frame.sort_values(["ID", "Date"], kind="stable").drop_duplicates("ID")
    before = {n: first[source].to_numpy(float) for n, source in DTSDHCC_BEFORE.items()}
    age = before["age_years"]
    before["age_years"] = np.where((age > 0) & (age < 111), age, np.nan)  # 0 and 111 mean that the age is not known
    before["log_afp"], before["log_size_mm"] = np.log1p(before["log_afp"]), np.log1p(before["log_size_mm"])
    months = first["OStime_day"].to_numpy(float) / DAYS_A_MONTH
    return [Endpoint("os", before, DTSDHCC_CLINICAL, (), months, _flags(first, "Status_of_death"))]


def _flags(frame: Any, name: str) -> NDArray[np.bool_]:
    """A column of 0 and 1."""
    values = frame[name].to_numpy(float)
    if not np.isin(values, (0, 1)).all():
        message = f"{name} must be 0 or 1"
        raise ValueError(message)
    return np.asarray(values == 1)


def _column(frame: Any, source: str | tuple[str, ...]) -> NDArray[np.float64]:
    """A column as numbers; the mean over readers where there are several; unknown words are not known."""
    if isinstance(source, tuple):
        return np.asarray(frame[list(source)].mean(axis=1), np.float64)
    column = frame[source]
    if source in _STAGES:
        return np.asarray(column.astype(str).map(_STAGES[source]), np.float64)
    return np.asarray(column, np.float64)


def _change(frame: Any, sources: tuple[str, ...]) -> NDArray[np.float64]:
    """Mean over readers of the relative change of the sum of diameters; -1 is a complete response."""
    before, after = (frame[list(part)].to_numpy(float) for part in (sources[:3], sources[3:]))
    change = after / np.where(before > 0, before, np.nan) - 1
    return np.asarray(pd.DataFrame(change).mean(axis=1), np.float64)  # over the readers that know it
