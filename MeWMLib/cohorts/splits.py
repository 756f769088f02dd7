"""Who of a cohort is trained on, chosen by and tested on: by person, stratified, seeded, written to a file.

Who is on which side stays so: people who come into a cohort later are added, and nobody changes sides.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from MeWMLib.cohorts.identity import is_judged, patient_mark
from MeWMLib.cohorts.layout import Cohort, PatientRow
from MeWMLib.core.errors import CohortError, InputError, MeWMError
from MeWMLib.core.io import write_json
from MeWMLib.core.protocol import EMBOLIC, Protocol, agent
from MeWMLib.core.records import from_plain, read_json, record_to_plain

FILE, FORMAT = "splits.json", "mewm-splits/1"
TRAIN, VALIDATION, TEST, JUDGING = "train", "validation", "test", "judging"
PARTS = (TRAIN, VALIDATION, TEST, JUDGING)
#: Shares of the persons that are kept for validation and for the test.
SHARE = 0.2


@dataclass(frozen=True)
class Splits:
    """The sides of a cohort.

    Attributes:
        seed: of the draw.
        validation_share, test_share: of the persons.
        train, validation, test: ids of the table.
        judging: ids of patients who are on no side: by whom results are judged.
        strata: of each stratum how many are on each side.
    """

    seed: int = 0
    validation_share: float = SHARE
    test_share: float = SHARE
    train: tuple[str, ...] = ()
    validation: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    judging: tuple[str, ...] = ()
    strata: dict[str, dict[str, int]] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        shares = self.validation_share, self.test_share
        if not all(0 <= share < 1 for share in shares) or sum(shares) >= 1:
            raise InputError(
                what="These shares leave nobody to train on",
                given=f"{shares[0]:g} for validation, {shares[1]:g} for the test",
                remedy="Give two shares of at least 0 and together less than 1",
            )

    def part(self, name: str) -> tuple[str, ...]:
        """Ids of one of `PARTS`."""
        found: tuple[str, ...] = getattr(self, name)
        return found

    def write(self, path: Path) -> None:
        """Write `splits.json`.

        Raises:
            OutputError: it cannot be written.
        """
        write_json({"format": FORMAT, **record_to_plain(self)}, path)


def stratum(row: PatientRow) -> str:
    """What is known of a patient by which sides are made alike: whether death was seen, the embolic, a scan after."""
    death = {True: "death seen", False: "alive or lost", None: "survival unknown"}[row.event]
    try:
        agents = Protocol.parse(row.protocol).agents if row.protocol.strip() else ()
    except MeWMError:
        agents = ()
    kinds = sorted({agent(name).agent_class for name in agents if agent(name).kind == EMBOLIC})
    embolic = " and ".join(kinds) if kinds else "no embolic" if agents else "protocol unknown"
    return f"{death}; {embolic}; {'no ' if row.has_after is False else ''}scan after"


def make_splits(
    rows: Sequence[PatientRow],
    seed: int = 0,
    validation_share: float = SHARE,
    test_share: float = SHARE,
    former: Splits | None = None,
) -> Splits:
    """Put the patients of a table on sides; all sessions of a person on one.

    Persons are put in the order of their strata, drawn within each, and the test and then the validation take evenly
    spaced ones: the sides have the shares that were asked for, and the strata in proportion.

    Args:
        rows: of the table.
        seed: of the draw.
        validation_share, test_share: of the persons.
        former: whose sides are kept; its seed and shares count. None makes all anew.

    Raises:
        InputError: shares that leave nobody.
        CohortError: nobody is left to train on.
    """
    if former is not None:
        seed, validation_share, test_share = former.seed, former.validation_share, former.test_share
    Splits(seed, validation_share, test_share)  # refuses shares that cannot be
    sides: dict[str, str] = {}
    first: dict[str, PatientRow] = {}
    for row in rows:
        first.setdefault(row.whose, row)
        if row.judging or is_judged(row.id, row.whose):
            sides[row.whose] = JUDGING
    for side in (TRAIN, VALIDATION, TEST) if former is not None else ():
        kept = set(former.part(side)) if former is not None else set()
        sides = {row.whose: side for row in rows if row.id in kept} | sides

    def order(person: str) -> tuple[str, bytes]:
        return stratum(first[person]), hashlib.sha256(f"{seed} {person}".encode()).digest()

    new = sorted((person for person in first if person not in sides), key=order)
    for side, share in ((TEST, test_share), (VALIDATION, validation_share)):
        wanted = round(share * (len(first) - sum(s == JUDGING for s in sides.values())))
        wanted = min(len(new), max(0, wanted - sum(s == side for s in sides.values())))
        chosen = {new[int((n + 0.5) * len(new) / wanted)] for n in range(wanted)}
        sides |= dict.fromkeys(chosen, side)
        new = [person for person in new if person not in chosen]
    sides |= dict.fromkeys(new, TRAIN)
    parts = {side: tuple(row.id for row in rows if sides[row.whose] == side) for side in PARTS}
    if not parts[TRAIN]:
        raise CohortError(
            what="Nobody of the cohort is left to train on",
            given=f"{len(first)} persons",
            remedy="Add patients, or keep smaller shares for validation and test",
        )
    strata: dict[str, dict[str, int]] = {}
    for person, row in sorted(first.items(), key=lambda item: stratum(item[1])):
        found = strata.setdefault(stratum(row), dict.fromkeys(PARTS, 0))
        found[sides[person]] += 1
    return Splits(seed, validation_share, test_share, **parts, strata=strata)


def read_splits(path: Path) -> Splits:
    """Read `splits.json`, written by MeWM or by hand.

    Raises:
        UnreadableFileError: there is none, or it is not JSON.
        CohortError: another format, or a patient on two sides.
    """
    data = read_json(path, "The file of the splits", CohortError, require={"format": str})
    if data.pop("format") != FORMAT:
        raise CohortError(what="The splits are of another format", given=str(path), remedy=f"Give {FORMAT}")
    splits = from_plain(Splits, data, "The file of the splits", CohortError, "See docs/COHORTS.md")
    every = [name for side in PARTS for name in splits.part(side)]
    if twice := sorted({name for name in every if every.count(name) > 1}):
        raise CohortError(what="A patient is on two sides of the splits", given=f"{', '.join(twice[:5])} in {path}")
    return splits


def splits_of(cohort: Cohort, path: Path | None = None, elsewhere: Path | None = None) -> tuple[Splits, Path]:
    """The sides of a cohort: of its file, which is made, or made longer, where it does not name everybody.

    Args:
        cohort: whose table counts.
        path: of the file; `splits.json` in the cohort's folder if left out.
        elsewhere: a folder for the file where that of the cohort cannot be written.

    Returns:
        The sides, and where they are written.

    Raises:
        CohortError: see `read_splits` and `require_sound`.
        OutputError: the file cannot be written.
    """
    if path is None:
        path = cohort.folder / FILE
        if not path.is_file() and elsewhere is not None and not os.access(cohort.folder, os.W_OK):
            path = elsewhere / FILE
    former = read_splits(path) if path.is_file() else None
    if former is not None:
        require_sound(former, cohort.rows)
        named = {name for side in PARTS for name in former.part(side)}
        if all(row.id in named for row in cohort.rows):
            return former, path
    found = make_splits(cohort.rows, former=former)
    found.write(path)
    return found, path


def require_sound(splits: Splits, rows: Sequence[PatientRow]) -> None:
    """Refuse sides that a person changed by hand into what must not be.

    Raises:
        CohortError: sessions of one person on two sides, or a patient for judging on any side but that.
    """
    side_of = {name: side for side in PARTS for name in splits.part(side)}
    sides: dict[str, set[str]] = {}
    for row in rows:
        if row.id in side_of:
            sides.setdefault(row.whose, set()).add(side_of[row.id])
    if both := sorted(person for person, found in sides.items() if len(found) > 1):
        raise CohortError(
            what="Sessions of one person are on two sides of the splits",
            given=", ".join(both[:5]),
            remedy="Put all of a person on one side",
        )
    judged = [row.id for row in rows if row.judging or is_judged(row.id, row.whose)]
    if wrong := [name for name in judged if side_of.get(name, JUDGING) != JUDGING]:
        raise CohortError(
            what="A patient who is for judging only is never trained, chosen by or tested on",
            given=", ".join(wrong),
            remedy=f"Move it to {JUDGING} in the file of the splits",
        )


def require_unseen(
    splits: Splits, rows: Sequence[PatientRow], trained_on: Sequence[str], bundle: str, side: str = TEST
) -> None:
    """Refuse a test on patients that a bundle was trained on, or chosen by.

    Args:
        splits: the sides.
        rows: of the table.
        trained_on: marks of the bundle (`core.trained_on.Training.patient_marks`).
        bundle: its name.
        side: whose patients must not be among them.

    Raises:
        CohortError: a patient of that side is among them.
    """
    known, wanted = set(trained_on), set(splits.part(side))
    if seen := [row.id for row in rows if row.id in wanted and patient_mark(row.whose) in known]:
        more = f" and {len(seen) - 5} more" if len(seen) > 5 else ""
        raise CohortError(
            what=f"The bundle was trained on patients of the {side} side, so that a test on them would flatter",
            given=f"{', '.join(seen[:5])}{more}; bundle {bundle}",
            remedy="Use the splits that the bundle was trained with, or another bundle with --start or --bundle",
        )


def marks_of(rows: Sequence[PatientRow], ids: Mapping[str, object] | Sequence[str]) -> tuple[str, ...]:
    """Marks of the persons behind some ids, sorted (`identity.patient_mark`)."""
    wanted = set(ids)
    return tuple(sorted({patient_mark(row.whose) for row in rows if row.id in wanted}))
