"""The human half of Table 1: what readers of a study told from the patients' own scans, as `mewm study score` found."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from MeWMLib.core.errors import InputError, UnreadableFileError
from MeWMLib.core.records import read_json

#: What the study's scores are called in their folder.
SCORES = "scores.json"
METRICS = ("sensitivity", "specificity", "accuracy")
#: Not a reader: all answers as if one had given them.
_POOLED = "all"
_REMEDY = "Give the folder that `mewm study score` wrote, or its scores.json"


def read_readers(path: Path) -> dict[str, Any]:
    """Rows of readers by method, in percent.

    Args:
        path: folder of `mewm study score`, or the file `scores.json` in it.

    Returns:
        `study` (title), `readers` and `cases` (counts), and `rows`: method to metric to `readers` (one number each, in
        the order of their names), `mean`, `low`, `high` (over readers and cases; null where only one reader took part,
        or where not all answered) and `n` (cases of the method).

    Raises:
        UnreadableFileError: the file is missing, or is not JSON.
        InputError: it holds no scores of a study.
    """
    file = path / SCORES if path.is_dir() else path
    data = read_json(file, "The scores of a reader study", UnreadableFileError, _REMEDY)
    try:
        methods = data["figures"]
        compared = (data["comparison"] or {}).get("methods", {})
        rows = {
            method: {metric: _figure(by_reader, compared.get(method, {}), metric) for metric in METRICS}
            for method, by_reader in methods.items()
        }
        return {
            "study": str(data["title"]),
            "readers": len(data["answers"]),
            "cases": int(data["cases"]),
            "rows": rows,
        }
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise InputError(
            what="The file holds no scores of a reader study", given=f"{file.name} ({error!r})", remedy=_REMEDY
        ) from error


def _figure(
    by_reader: Mapping[str, Mapping[str, Any]], compared: Mapping[str, Mapping[str, Any]], metric: str
) -> dict[str, Any]:
    own = [by_reader[reader][metric] for reader in sorted(by_reader) if reader != _POOLED]
    values = [None if one["value"] is None else 100 * float(one["value"]) for one in own]
    over = compared.get(metric, {})
    estimate = {name: None if over.get(key) is None else 100 * float(over[key]) for name, key in _ESTIMATE.items()}
    return {"readers": values, **estimate, "n": max((int(one["n"]) for one in own), default=0)}


_ESTIMATE = {"mean": "value", "low": "low", "high": "high"}
