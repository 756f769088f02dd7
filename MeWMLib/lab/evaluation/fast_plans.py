"""`mewm evaluate fast-plans`: does the fast way to a plan find what the slow one finds?

The fast way is what `mewm plan` does: bfloat16 where the hardware multiplies in it, and a search that leaves out what
cannot win. The slow one is float32 and simulates every replica of every protocol that the templates allow. Both are
ranked by the score; the labels are the same.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from MeWMLib.cohorts.samples import load_sample
from MeWMLib.core import precision
from MeWMLib.core.patient import Patient
from MeWMLib.core.plan import Candidate, Plan, PlanSettings
from MeWMLib.lab.evaluation.known_patients import chosen_patients
from MeWMLib.lab.evaluation.known_study import meet_in_study
from MeWMLib.lab.evaluation.metrics import Rows, rows_of
from MeWMLib.lab.evaluation.registration import read_case
from MeWMLib.lab.evaluation.work import Say, each_patient
from MeWMLib.world.model import WorldModel

#: Ranks that are compared.
FIRST = 3


@dataclass(frozen=True)
class FastPlanSettings:
    """What is compared.

    Attributes:
        bundle: folder or name; None is the default one.
        replicas: of each protocol.
        seed: of the replicas.
        cases: files of cases, CT and labels.
        label_values: meaning of the values in the labels.
    """

    bundle: str | None
    replicas: int
    seed: int
    cases: tuple[tuple[str, str], ...] = ()
    label_values: str = "1=liver,2=tumour"


@contextmanager
def in_float32() -> Iterator[None]:
    """Networks that are built here compute in float32."""
    former = os.environ.get(precision.VARIABLE)
    os.environ[precision.VARIABLE] = "float32"
    try:
        yield
    finally:
        del os.environ[precision.VARIABLE]
        if former is not None:
            os.environ[precision.VARIABLE] = former


def agreement(world: WorldModel, fast: Plan, slow: Plan, first: int = FIRST) -> dict[str, float]:
    """How the first ranks of two plans agree.

    Returns:
        `same`: share of the ranks with the same protocol; `same_or_equal`: that, or one that the slow plan cannot tell
        from the one that it has there (`core.comparison`); `score_lost`: score of the slow plan for the fast plan's
        first protocol, minus that of its own first; `log_risk_apart`: largest difference of log-risk for one of the
        fast plan's protocols; `simulations`: of the fast plan, as a share of the slow one's.

    Raises:
        KeyError: a protocol of the fast plan is none of the slow one's.
    """
    known = {one.protocol: one for one in slow.candidates}
    rows = list(zip(fast.candidates[:first], slow.candidates[:first], strict=False))
    same = [mine.protocol == theirs.protocol for mine, theirs in rows]
    equal = [not world.comparison.told_apart(known[mine.protocol].risk, theirs.risk) for mine, theirs in rows]
    apart = [abs(mine.risk.log_risk - known[mine.protocol].risk.log_risk) for mine, _ in rows]
    best = known[fast.candidates[0].protocol]
    return {
        "same": float(np.mean(same)),
        "same_or_equal": float(np.mean(np.logical_or(same, equal))),
        "score_lost": _score(best) - _score(slow.candidates[0]),
        "log_risk_apart": max(apart),
        "simulations": fast.simulations / slow.simulations,
    }


def _score(candidate: Candidate) -> float:
    return candidate.risk.log_risk if candidate.utility is None else candidate.utility


class Planner:
    """Plans for one patient in both ways."""

    def __init__(self, settings: FastPlanSettings) -> None:
        self.settings = settings
        self.fast = WorldModel.load(settings.bundle)
        with in_float32():
            self.slow = WorldModel.load(settings.bundle)

    def __call__(self, patient: int | str) -> dict[str, float]:
        """A patient of version 3 of the synthetic world by their seed, or a sample or the CT of a case by its name."""
        met = self.patient(patient)
        asked = PlanSettings(replicas=self.settings.replicas)
        space = self.fast.propose(met, settings=asked)
        plans = [
            world.plan(met, space, how, self.settings.seed)
            for world, how in ((self.fast, asked), (self.slow, replace(asked, search="exhaustive")))
        ]
        return agreement(self.fast, *plans)

    def patient(self, name: int | str) -> Patient:
        """Who is planned for, with the labels that are known."""
        if isinstance(name, int):
            return meet_in_study(self.fast, name)[1]
        for files in self.settings.cases:
            if files[0] == name:
                return self.fast.patient(*read_case(*files, self.settings.label_values))
        sample = load_sample(name)
        return self.fast.patient(sample.ct, sample.labels)


def run(args: argparse.Namespace, say: Say) -> tuple[Rows, str]:
    """Rows: `synthetic` over the patients, and one for each sample and case."""
    seeds, who = chosen_patients(args, 3)
    cases = tuple((ct, labels) for ct, labels in args.cases)
    bundle = str(args.bundle) if args.bundle else None
    settings = FastPlanSettings(bundle, args.replicas, args.seed, cases, args.label_values)
    named: Sequence[int | str] = (*seeds, *args.samples, *(ct for ct, _ in cases))
    found = each_patient(Planner, settings, named, args.workers, "plans", say)
    rows = rows_of([{"synthetic": one} for one in found[: len(seeds)]], args.seed)
    titles = (*args.samples, *(Path(ct).name.split(".")[0] for ct, _ in cases))
    rows |= rows_of([{name: one} for name, one in zip(titles, found[len(seeds) :], strict=True)], args.seed)
    return rows, "; ".join([who, *titles])
