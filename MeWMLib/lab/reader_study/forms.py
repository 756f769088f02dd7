"""Forms of a planning study: what a physician fills in without MeWM, and the one with what MeWM proposes.

The first form holds the patients in the reader's own order; the second one, which is given out when the first is back,
adds the protocol that MeWM ranks first. What was given is in neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from MeWMLib.core.errors import StudyError
from MeWMLib.core.io import write_csv
from MeWMLib.core.plan_folder import PLAN, PlanFolder
from MeWMLib.core.tables import read_csv

FIRST, SECOND = "without", "with"
_MEWM = ("mewm_protocol", "mewm_log_risk", "mewm_viable_change_percent")


def write_forms(plans: Path, out: Path, readers: Sequence[str], seed: int) -> list[Path]:
    """Write the forms: out/without_READER.csv and out/with_READER.csv.

    Args:
        plans: folder of `mewm plan-cohort`: a plan for each patient.
        out: folder.
        readers: their codes.
        seed: of the orders.

    Raises:
        StudyError: no plan with a protocol, no reader, or a form is there already.
        UnreadableFileError: a plan is not as it was written.
        OutputError: a form cannot be written.
    """
    rows = []
    for folder in sorted(one.parent for one in plans.glob(f"*/{PLAN}")):
        best = PlanFolder(folder).read("plan").plan.best
        if best is not None:
            change = best.tumour_change.viable_change_percent
            told = (best.protocol.text, f"{best.risk.log_risk:.2f}", f"{change:.0f}")
            rows.append({"patient": folder.name, **dict(zip(_MEWM, told, strict=True))})
    if not rows or not readers:
        raise StudyError(
            what="There is nothing to choose for",
            given=f"{len(rows)} plans in {plans}, {len(readers)} readers",
            remedy="Give a folder of `mewm plan-cohort`",
        )
    written: list[Path] = []
    for n, reader in enumerate(readers):
        order = np.random.default_rng([seed, 4, n]).permutation(len(rows))
        for part, columns in ((FIRST, ()), (SECOND, _MEWM)):
            path = out / f"{part}_{reader}.csv"
            if path.exists():
                raise StudyError(what="A form is there already", given=str(path), remedy="Give a new folder")
            head = ("reader", "patient", *columns, "protocol")
            lines = [
                {"reader": reader, "protocol": "", **{c: rows[int(at)][c] for c in ("patient", *columns)}}
                for at in order
            ]
            write_csv(head, lines, path)
            written.append(path)
    return written


def read_forms(folder: Path) -> list[dict[str, str]]:
    """Rows with reader, patient, without and with, from forms that were filled in.

    Raises:
        StudyError: no pair of forms, a form without its pair or of other patients, or a row of another reader.
        UnreadableFileError: a form cannot be read.
    """
    readers = sorted(path.stem.removeprefix(f"{FIRST}_") for path in folder.glob(f"{FIRST}_*.csv"))
    if not readers:
        raise StudyError(what="The folder holds no forms", given=str(folder), remedy="Make them with planning-make")
    found = []
    for reader in readers:
        first, second = (_form(folder / f"{part}_{reader}.csv", reader) for part in (FIRST, SECOND))
        if set(first) != set(second):
            raise StudyError(what="The two forms of a reader hold other patients", given=reader)
        found += [{"reader": reader, "patient": p, FIRST: first[p], SECOND: second[p]} for p in first]
    return found


def _form(path: Path, reader: str) -> dict[str, Any]:
    table = read_csv(path, "The form", StudyError)
    table.require(("reader", "patient", "protocol"), "The form lacks columns", "Fill the form in as it was made")
    found: dict[str, str] = {}
    for row in table.rows():
        if row.text("reader") != reader or row.text("patient") in found:
            raise row.wrong(what="A row of the form is of another reader, or of a patient who is in it twice")
        found[row.text("patient")] = row.text("protocol")
    return found
