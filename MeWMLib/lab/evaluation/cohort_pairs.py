"""A cohort on disk for the evaluations: whose side is measured, refused where the bundle knows them, and as pairs."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from MeWMLib.cohorts.check import DYNAMICS, check_cohort
from MeWMLib.cohorts.layout import POST, POST_LABELS, PRE, PRE_LABELS, Cohort
from MeWMLib.cohorts.splits import FILE, PARTS, TEST, read_splits, require_sound, require_unseen
from MeWMLib.core.bundles import find_bundle
from MeWMLib.core.errors import CohortError, InputError
from MeWMLib.core.protocol import Protocol
from MeWMLib.lab.evaluation.pairs import PairFiles, read_pairs

#: What `--side` takes: a side of the splits, or everybody.
EVERYBODY = "all"
SIDES = (*PARTS, EVERYBODY)


def asked_ids(cohort: Cohort, bundle: str | None, side: str | None = None, splits: Path | None = None) -> list[str]:
    """Ids of the patients who are measured.

    Args:
        cohort: on disk.
        bundle: that is measured; None for the default.
        side: of `SIDES`; the test side if left out, or everybody but those for judging where there are no splits.
        splits: their file, if it is not that of the cohort.

    Raises:
        CohortError: the bundle was trained on one of them, nobody is on that side, or sides that must not be.
        BundleError: no such bundle.
    """
    path = splits or cohort.folder / FILE
    known = find_bundle(bundle, require=()).manifest
    marks = known.training.patient_marks if known.training is not None else ()
    everybody = [row.id for row in cohort.rows if not row.judging]
    if not path.is_file() and side in (None, EVERYBODY):
        from MeWMLib.cohorts.splits import Splits

        require_unseen(Splits(test=tuple(everybody)), cohort.rows, marks, known.name)
        return everybody
    found = read_splits(path)
    require_sound(found, cohort.rows)
    wanted = side or TEST
    if wanted == EVERYBODY:
        return everybody
    if wanted == TEST:
        require_unseen(found, cohort.rows, marks, known.name)
    ids = [row.id for row in cohort.rows if row.id in set(found.part(wanted))]
    if not ids:
        raise CohortError(
            what=f"Nobody of the cohort is on the side {wanted}", given=str(path), remedy="Give another with --side"
        )
    return ids


def pairs_of(cohort: Cohort, ids: Sequence[str]) -> list[PairFiles]:
    """Patients of a cohort as pairs of files (docs/JUDGE.md).

    Raises:
        CohortError: one of them lacks a scan, labels or a protocol; see `mewm cohort check`.
    """
    found = []
    for name in ids:
        row = cohort.row(name)
        files = {kind: cohort.file(name, kind) for kind in (PRE, PRE_LABELS, POST, POST_LABELS)}
        before, labels, after = (files[kind] for kind in (PRE, PRE_LABELS, POST))
        if before is None or labels is None or after is None or not row.protocol.strip():
            raise CohortError(
                what="A patient of the cohort is no pair of scans with labels and a protocol",
                given=name,
                remedy="See `mewm cohort check` for what is missing",
            )
        later = files[POST_LABELS]
        found.append(
            PairFiles(
                name,
                before,
                labels,
                after,
                Protocol.parse(row.protocol),
                labels_after=later if later is not None and later.is_file() else None,
                side=row.side or "whole",
                side_stated=row.side is not None,
                weeks=row.weeks,
                judging=bool(row.judging),
                registered=bool(row.registered) or cohort.synthetic,
            )
        )
    return found


def listed_pairs(args: argparse.Namespace) -> list[PairFiles]:
    """The pairs of `--pairs`, or those of `--cohort`, of the side that is asked for.

    Raises:
        InputError: neither is given, or both.
        CohortError: as `asked_ids`; nobody on that side is a pair.
        MeWMError: as `read_pairs`.
    """
    folder = getattr(args, "cohort", None)
    if (folder is None) == (args.pairs is None):
        raise InputError(
            what="Real pairs come from a list or from a cohort",
            given="neither" if folder is None else "both",
            remedy="Give --pairs CSV or --cohort DIR",
        )
    if folder is None:
        return read_pairs(args.pairs, args.data)
    cohort = Cohort.read(folder)
    ids = asked_ids(cohort, args.bundle, args.side, args.splits)
    serving = set(check_cohort(cohort, images=False).serving(DYNAMICS))
    pairs = pairs_of(cohort, [name for name in ids if name in serving])
    if not pairs:
        raise CohortError(
            what="No patient who is measured has scans before and after, labels and a protocol",
            given=f"{len(ids)} patients of {folder}",
            remedy="See `mewm cohort check` for what they lack",
        )
    return pairs
