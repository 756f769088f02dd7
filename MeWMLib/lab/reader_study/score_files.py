"""The files of a result: figures as JSON and as a table, answers with the truth beside them, and a page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from MeWMLib.core.io import write_csv, write_json
from MeWMLib.core.records import to_plain
from MeWMLib.lab.reader_study.result_page import write_result_page
from MeWMLib.lab.reader_study.score import Scores

FIGURES, TABLE, ANSWERS, PAGE = "scores.json", "scores.csv", "answers.csv", "scores.html"


def write_scores(scores: Scores, out: Path) -> None:
    """Write scores.json, scores.csv (figures in rows), answers.csv (with the truth) and scores.html.

    Raises:
        OutputError: something cannot be written.
        DependencyError: jinja2 is not installed.
    """
    write_json(scores.to_json(), out / FIGURES)
    write_csv(("method", "reader", "metric", "value", "low", "high", "right", "n"), _rows(scores), out / TABLE)
    columns = ("reader", "case", "truth", "methods", "answer", "confidence", "seconds", "at")
    write_csv(columns, _answer_rows(scores), out / ANSWERS)
    write_result_page(scores, out / PAGE)


def _rows(scores: Scores) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for method, readers in scores.figures.items():
        for reader, one in readers.items():
            for metric in ("sensitivity", "specificity", "accuracy"):
                value = getattr(one, metric)
                rows.append({"method": method, "reader": reader, "metric": metric, **to_plain(value)})
            rows.append({"method": method, "reader": reader, "metric": "auc", "value": one.auc})
        if scores.comparison is not None:
            for metric, estimate in scores.comparison.methods[method].items():
                plain = to_plain(estimate)
                plain.pop("p")
                rows.append({"method": method, "reader": "mean of readers", "metric": metric, **plain})
    return rows


def _answer_rows(scores: Scores) -> list[dict[str, Any]]:
    rows = []
    for reader in sorted(scores.answers):
        for name, one in sorted(scores.answers[reader].items()):
            known = scores.key.cases[name]
            plain = to_plain(one)
            rows.append({"reader": reader, "truth": known.truth, "methods": "+".join(known.methods), **plain})
    return rows
