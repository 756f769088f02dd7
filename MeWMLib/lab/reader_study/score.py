"""`mewm study score`: what readers' answers say, against the key: figures, comparison of methods, agreement, time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from MeWMLib.core.reader_study import REAL, SIMULATED, Study, StudyAnswer, joined, read_answers, read_study
from MeWMLib.core.records import to_plain
from MeWMLib.lab.evaluation.metrics import jsonable
from MeWMLib.lab.reader_study.follows import Follows, follow
from MeWMLib.lab.reader_study.key import Key, read_key
from MeWMLib.lab.reader_study.mrmc import Comparison, compare
from MeWMLib.lab.reader_study.plain import PlainReader, plain_readers
from MeWMLib.lab.reader_study.statistics import Agreement, Figures, Times, agreement, delong, figures, roc, times

POOLED = "all"
Answers = Mapping[str, Mapping[str, StudyAnswer]]


@dataclass(frozen=True)
class Scores:
    """What was scored.

    Attributes:
        study, key: that were read.
        answers: reader to case to answer.
        figures: method to reader (and `POOLED`: all answers as if one reader had given them) to figures.
        auc_se: method to reader to the standard error of the AUC over cases (DeLong).
        roc: method to reader to the points of the curve.
        comparison: of the methods over readers and cases; None where a method has no case that all readers answered.
        agreement: of the readers; None for one.
        times: reader to the time that was taken.
        plain: method to what plain readers do.
        follows: how readers' answers go with the noise.
        notes: what about these results must be known.
        clicks: reader to the number of clicks that came with the answers.
    """

    study: Study
    key: Key
    answers: Answers
    figures: dict[str, dict[str, Figures]]
    auc_se: dict[str, dict[str, float]]
    roc: dict[str, dict[str, list[tuple[float, float]]]]
    comparison: Comparison | None
    agreement: Agreement | None
    times: dict[str, Times]
    plain: dict[str, list[PlainReader]]
    follows: list[Follows]
    notes: tuple[str, ...]
    clicks: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        """JSON-ready; figures that cannot be computed are null."""
        told: dict[str, Any] = {
            "study": self.study.id,
            "title": self.study.title,
            "answers": {reader: len(own) for reader, own in self.answers.items()},
            "cases": len(self.study.cases),
            "notes": list(self.notes),
            "figures": self.figures,
            "auc_standard_error_delong": self.auc_se,
            "comparison": self.comparison,
            "agreement": self.agreement,
            "seconds": self.times,
            "plain_readers": self.plain,
            "answers_and_noise": self.follows,
            "clicks": self.clicks,
            "roc": self.roc,
        }
        return dict(jsonable(to_plain(told)))


def score_study(folder: Path, key_path: Path, files: Sequence[Path], seed: int = 0) -> Scores:
    """Read answers and score them.

    Args:
        folder: of the study.
        key_path: its key.
        files: of answers.
        seed: of bootstrap and permutations.

    Raises:
        StudyError: study, key and answers do not belong together (see `core.reader_study`).
        InputError: a file cannot be read.
    """
    study = read_study(folder)
    key = read_key(key_path, study)
    parts = [part for path in files for part in read_answers(path, study)]
    answers = joined(parts)
    found: dict[str, dict[str, Figures]] = {}
    errors: dict[str, dict[str, float]] = {}
    curves: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for method in key.methods:
        sets = {reader: [own] for reader, own in answers.items()}
        if len(answers) > 1:
            sets[POOLED] = list(answers.values())
        for reader, owns in sets.items():
            real, simulated = (
                [own[n] for own in owns for n in key.names(method, kind) if n in own] for kind in (REAL, SIMULATED)
            )
            found.setdefault(method, {})[reader] = figures(real, simulated)
            ratings = [one.rating for one in real], [one.rating for one in simulated]
            # answers of several readers to one case are not independent: no standard error over cases for all of them
            errors.setdefault(method, {})[reader] = float("nan") if reader == POOLED else delong(*ratings)[1] ** 0.5
            curves.setdefault(method, {})[reader] = roc(*ratings)
    truth = {name: key.is_real(name) for name in study.cases}
    clicks = {reader: 0 for reader in answers}
    for part in parts:
        clicks[part.reader] = max(clicks.get(part.reader, 0), 0) + len(part.events)
    return Scores(
        study,
        key,
        answers,
        found,
        errors,
        curves,
        compare(answers, key, seed),
        agreement(answers),
        {reader: times(own, truth) for reader, own in answers.items()},
        {m: plain_readers(key.numbers(m, REAL), key.numbers(m, SIMULATED)) for m in key.methods},
        follow(answers, key, seed),
        tuple(_notes(study, key, answers, parts)),
        clicks,
    )


def _notes(study: Study, key: Key, answers: Answers, parts: Sequence[Any]) -> list[str]:
    found = list(key.notes)
    for reader in sorted(answers):
        if missing := len(study.cases) - len(answers[reader]):
            found.append(
                f"{reader} answered {len(answers[reader])} of {len(study.cases)} cases; {missing} are missing."
            )
    if absent := [reader for reader in study.readers if reader not in answers]:
        found.append(f"No answers of {', '.join(absent)}.")
    if tables := sorted({part.reader for part in parts if part.source == "table"}):
        found.append(f"The answers of {', '.join(tables)} came as a table, without the clicks that would confirm them.")
    return found


def score_lines(scores: Scores) -> list[str]:
    """The result in a few lines."""
    lines = []
    for method, readers in scores.figures.items():
        for reader, one in readers.items():
            parts = ", ".join(
                f"{name} {100 * s.value:.1f} % ({100 * s.low:.0f} to {100 * s.high:.0f})"
                for name, s in (
                    ("sensitivity", one.sensitivity),
                    ("specificity", one.specificity),
                    ("accuracy", one.accuracy),
                )
            )
            lines.append(f"{method}, {reader}: {parts}, AUC {one.auc:.2f}")
    lines += [one.text for one in scores.follows if one.text]
    return lines
