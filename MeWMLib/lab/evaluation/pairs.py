"""Lists of real pairs: which files belong to a patient, what was given, and which patients are for judging only."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from MeWMLib.cohorts.layout import SIDES
from MeWMLib.core.errors import InputError, OutputError
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.tables import Row, read_csv

#: File in the output folder that lists every run on a patient that is for judging only.
JUDGING_LOG = "judging.log"
_REMEDY = "See docs/JUDGE.md for the columns of a list of pairs"
_FILES = (
    "before", "labels", "after", "labels_after", "before_native", "after_native", "before_arterial", "after_arterial",
)  # fmt: skip


@dataclass(frozen=True)
class PairFiles:
    """One patient before and after TACE.

    Attributes:
        patient: name.
        before, after: CT of one phase.
        labels: liver and tumour on the scan before.
        labels_after: on the scan after, or None.
        before_native, after_native: voxels as the scanner made them, around the tumour or the whole scan, or None;
            files or DICOM folders.
        before_arterial, after_arterial: the arterial phase in the frame of `before` and `after`, or None.
        protocol: what was given.
        recorded: false if the protocol is assumed.
        side: of `SIDES`, what the treated artery fed.
        weeks: from treatment to the scan after, or None.
        judging: nothing may be chosen, fitted or trained on this patient.
        label_values: meaning of the values in the label files.
        side_stated: false if `side` is "whole" because nothing was stated.
        registered: the scan after lies on the one before already.
    """

    patient: str
    before: Path
    labels: Path
    after: Path
    protocol: Protocol
    labels_after: Path | None = None
    before_native: Path | None = None
    after_native: Path | None = None
    before_arterial: Path | None = None
    after_arterial: Path | None = None
    recorded: bool = True
    side: str = "whole"
    weeks: float | None = None
    judging: bool = False
    label_values: str = "1=liver,2=tumour"
    side_stated: bool = False
    registered: bool = False

    def __post_init__(self) -> None:
        if self.side not in SIDES:
            raise InputError(what="Unknown side of a tumour", given=self.side, remedy="Use " + ", ".join(SIDES))


def read_pairs(path: Path, folders: Sequence[Path] = ()) -> list[PairFiles]:
    """Read a list of pairs (CSV).

    Args:
        path: with the columns `patient`, `before`, `labels`, `after`, `protocol`; and, where known, those of the other
            attributes of `PairFiles`.
        folders: where files of relative names are looked for, in order; the folder of the list comes last.

    Raises:
        UnreadableFileError, InputError: a list that cannot be read, a column, patient or file that is missing, a
            protocol or side that is not known.
    """
    table = read_csv(path, "The list of pairs")
    table.require(("patient", "before", "labels", "after", "protocol"), "The list of pairs lacks a column", _REMEDY)
    places = [*folders, path.parent]
    found = [_pair(row, places) for row in table.rows()]
    names = [pair.patient for pair in found]
    if len(set(names)) < len(names) or not all(names):
        raise InputError(
            what="Every line of a list of pairs needs a patient of its own", given=", ".join(names), remedy=_REMEDY
        )
    return found


def _pair(row: Row, places: Sequence[Path]) -> PairFiles:
    patient = row.text("patient")
    files = {name: _file(row.text(name), places, patient) for name in _FILES if row.text(name)}
    for name in ("before", "labels", "after"):
        if name not in files:
            raise InputError(what=f"A pair without the file {name}", given=patient, remedy=_REMEDY)
    recorded = row.flag("protocol_recorded")
    words = {name: row.text(name) for name in ("side", "label_values") if row.text(name)}
    pair = PairFiles(patient, protocol=Protocol.parse(row.text("protocol")), **files, **words)  # type: ignore[arg-type]
    return replace(
        pair,
        weeks=row.number("weeks"),
        recorded=recorded is not False,
        judging=bool(row.flag("judging")),
        side_stated="side" in words,
        registered=bool(row.flag("registered")),
    )


def _file(name: str, places: Sequence[Path], patient: str) -> Path:
    for place in places:
        if (place / name).exists():
            return place / name
    raise InputError(
        what="A file of a pair is not there",
        given=f"{name} of {patient}",
        remedy="Give the folder that holds it with --data",
    )


def chosen(pairs: Sequence[PairFiles], judging: bool, only: Sequence[str] = ()) -> list[PairFiles]:
    """The pairs that a command may open.

    Args:
        pairs: of a list.
        judging: with those that are for judging only.
        only: names of patients; all if empty.

    Raises:
        InputError: a name that is not in the list, a patient for judging that was not asked for, or none left.
    """
    names = {pair.patient: pair for pair in pairs}
    if unknown := [name for name in only if name not in names]:
        raise InputError(what="No such patient in the list", given=", ".join(unknown), remedy=f"Use {', '.join(names)}")
    asked = [names[name] for name in only] if only else [p for p in pairs if judging or not p.judging]
    if not asked or any(pair.judging and not judging for pair in asked):
        raise InputError(
            what="A patient who is for judging only is opened by name and with --judging",
            given=", ".join(pair.patient for pair in asked) or "no other patient in the list",
            remedy="Add --judging if nothing is chosen by what it shows",
        )
    return asked


def log_judging(out: Path, pairs: Sequence[PairFiles], command: str) -> list[str]:
    """Note a run on each patient that is for judging only, before their files are opened.

    Args:
        out: folder; a line is added to `JUDGING_LOG` in it for each such patient.
        pairs: that are opened.
        command: in words.

    Returns:
        The lines that were added: date, patient, how many runs this file holds of the patient, command.

    Raises:
        OutputError: the log cannot be written.
    """
    path = out / JUDGING_LOG
    added: list[str] = []
    try:
        out.mkdir(parents=True, exist_ok=True)
        known = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        for pair in pairs:
            if pair.judging:
                runs = 1 + sum(line.split("\t")[1:2] == [pair.patient] for line in known)
                now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
                added.append(f"{now}\t{pair.patient}\trun {runs}\t{command}")
        if added:
            with path.open("a", encoding="utf-8") as file:
                file.writelines(f"{line}\n" for line in added)
    except OSError as error:
        raise OutputError(
            what="A run on a patient for judging could not be logged",
            given=f"{path}: {error}",
            remedy="Give another --out folder",
        ) from error
    return added
