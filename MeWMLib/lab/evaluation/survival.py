"""`mewm evaluate survival`: choose between tables of real patients and the network on synthetic ones."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path

from MeWMLib.core.errors import InputError
from MeWMLib.lab.evaluation.metrics import Rows

#: Tables that are known by name: their file below the folder of the environment variable.
DATA_VARIABLE = "MEWM_SHARED_DATA"
FILES = {"hcc-tace-seg": "tables/hcc_tace_seg_clinical_80.csv", "dtsdhcc": "tables/dtsdhcc.csv.gz"}


def find_table(text: str) -> tuple[str, Path]:
    """Name and file of a table: a name that `MEWM_SHARED_DATA` leads to, or a file whose name tells which it is.

    Raises:
        InputError: neither.
    """
    if text in FILES:
        folder = os.environ.get(DATA_VARIABLE)
        if not folder:
            raise InputError(
                what="Where the tables lie is not known",
                given=text,
                remedy=f"Set {DATA_VARIABLE} to the folder of the data, or give the file: --table path/to/FILE.csv",
            )
        return text, Path(folder) / FILES[text]
    path = Path(text)
    name = "dtsdhcc" if "dtsdhcc" in path.name.lower() else "hcc-tace-seg"
    if not path.is_file():
        raise InputError(what="There is no such table", given=text, remedy="Use " + ", ".join(FILES) + " or a CSV file")
    return name, path


def evaluate_survival(args: argparse.Namespace, on_step: Callable[[str, float], None]) -> tuple[Rows, str]:
    """Run what the arguments ask for; rows, and what they were measured on."""
    if args.table:
        from MeWMLib.lab.evaluation.survival_real import TableSettings, evaluate_table

        name, file = find_table(args.table)
        settings = TableSettings(name, file, args.folds, args.repeats, args.permutations, args.seed)
        return evaluate_table(settings, args.out, on_step), f"{name}, cross-validated by patient, months"
    from MeWMLib.lab.evaluation.survival_synthetic import SyntheticSettings, evaluate_synthetic

    return evaluate_synthetic(SyntheticSettings.of(args), args.out, on_step)
