"""`mewm evaluate real-pairs`: every pair of a list, shifts of the baselines taken from the other pairs.

A pair that is for judging only gives no shift to others. Means over pairs are a summary of these patients, no evidence
on any other: they have no interval.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping

import numpy as np

from MeWMLib.core.bundles import find_bundle
from MeWMLib.core.io import write_json
from MeWMLib.lab.evaluation.cohort_pairs import listed_pairs
from MeWMLib.lab.evaluation.metrics import Rows
from MeWMLib.lab.evaluation.pair_prepared import PreparedPair
from MeWMLib.lab.evaluation.pair_rows import Shift
from MeWMLib.lab.evaluation.pairs import chosen, log_judging
from MeWMLib.lab.evaluation.real_pair import Figures, described, judge
from MeWMLib.lab.evaluation.work import Say
from MeWMLib.perception.registration import Registration
from MeWMLib.world.model import WorldModel


def run(args: argparse.Namespace, say: Say) -> tuple[Rows, str]:
    """Judge the pairs that the arguments name; rows, and on whom."""
    known = listed_pairs(args)
    asked = chosen(known, args.judging, args.patient)
    # the baselines rest on the other pairs, whether these are judged or not
    giving = [files for files in known if not files.judging]
    opened = [*asked, *(files for files in giving if files not in asked)]
    for line in log_judging(args.out, opened, "mewm evaluate real-pairs"):
        say(f"judging, {line}", 0.0)
    prepared = {}
    for n, files in enumerate(opened):
        say(f"registration, {files.patient}", n / len(opened))
        prepared[files.patient] = PreparedPair.read(files, Registration())
    bundle = find_bundle(args.bundle)
    world, found = WorldModel.load(bundle), {}
    for files in asked:
        others = [prepared[one.patient].shift for one in giving if one.patient != files.patient]
        shift = Shift.mean(others)
        found[files.patient] = judge(
            prepared[files.patient], bundle, args.out / files.patient, args.replicas, args.seed, shift, world
        )
        say(f"simulation, {files.patient}", len(found) / len(asked))
    write_json({files.patient: described(files) for files in asked}, args.out / "pairs.json")
    return rows_of(found), "; ".join(described(files) for files in asked)


def rows_of(pairs: Mapping[str, Figures]) -> Rows:
    """Rows `PATIENT/ROW` of each pair with n = 1, and `mean/ROW` over the pairs that have the row, without interval.

    A mean leaves out figures that could not be computed; its n says how many pairs it is of.
    """
    out: dict[str, dict[str, dict[str, float]]] = {}
    for patient, rows in pairs.items():
        for row, figures in rows.items():
            out[f"{patient}/{row}"] = {name: {"mean": value, "n": 1} for name, value in figures.items()}
    for row in dict.fromkeys(row for rows in pairs.values() for row in rows):
        there = [rows[row] for rows in pairs.values() if row in rows]
        names = dict.fromkeys(name for one in there for name in one)
        values = {name: [one[name] for one in there if np.isfinite(one.get(name, np.nan))] for name in names}
        out[f"mean/{row}"] = {
            name: {"mean": float(np.mean(known)) if known else float("nan"), "n": len(known)}
            for name, known in values.items()
        }
    return out
