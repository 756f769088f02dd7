"""`mewm evaluate survival`: tables of real patients, or the network on synthetic ones."""

from __future__ import annotations

import argparse

from MeWMLib.lab.evaluation import survival_real, survival_synthetic
from MeWMLib.lab.evaluation.metrics import Rows
from MeWMLib.lab.evaluation.work import Say


def run(args: argparse.Namespace, say: Say) -> tuple[Rows, str]:
    """Measure what the arguments ask for; rows, and on whom."""
    return (survival_real if args.table else survival_synthetic).run(args, say)
