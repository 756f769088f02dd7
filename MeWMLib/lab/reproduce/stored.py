"""Rows whose weights are not at hand, read from stamped results of an earlier run and marked so; and such results."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from MeWMLib.core.errors import InputError
from MeWMLib.core.records import read_json
from MeWMLib.lab.evaluation.baselines import FULL, RETRAINED

#: Rows that need weights of their own, and how they are made.
NEEDED = {row: f"mewm train ablations --rows {row}" for row in (FULL, *RETRAINED)}
#: Tables whose rows are kept.
_TABLES = ("table1", "table2")


def stored_rows(folder: Path, wanted: Collection[str]) -> dict[str, dict[str, Any]]:
    """The newest stamped row of each name among the results of a folder.

    Args:
        folder: of JSON files as `write_metrics` writes them (Resources/Results).
        wanted: names of rows.

    Returns:
        Row to `figures`, `cohort`, `stamp` and `file`; rows that no file holds are absent, and so are rows of a file
        without command and date: nobody could say what they are.
    """
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else ():
        try:
            data = read_json(path, "A stored result", InputError, require={"rows": dict, "stamp": dict})
        except InputError:
            continue  # other files lie there too
        stamp = data["stamp"]
        if not (stamp.get("command") and stamp.get("date")):
            continue
        for name in wanted:
            row = data["rows"].get(name)
            older = found.get(name)
            if row and (older is None or str(older["stamp"]["date"]) < str(stamp["date"])):
                found[name] = {"figures": row, "cohort": data.get("cohort"), "stamp": stamp, "file": path.name}
    return found


def kept_rows(result: Mapping[str, Any], parts: Mapping[str, str], device: str) -> dict[str, Any]:
    """The rows of a run in the form that `stored_rows` reads, for Resources/Results.

    Args:
        result: what `reproduce.json` holds.
        parts: checksum of each part of the main bundle.
        device: where it was computed.

    Returns:
        JSON-ready: `cohort`, `seed`, `stamp`, and `rows`: each row of Tables 1 and 2 with its figures of both, the
        paired differences of Tables 1 and 3 as A-minus-B, and `run`.
    """
    about = result["about"]
    rows: dict[str, dict[str, Any]] = {}
    for name in _TABLES:
        for row, figures in (result[name].get("rows") or {}).items():
            rows.setdefault(row, {}).update(figures)
    for name in ("table1", "table3"):
        for pair, figures in (result[name].get("differences") or {}).items():
            rows.setdefault(pair.replace(" - ", "-minus-"), {}).update(figures)
    patients = about["patients"]
    rows["run"] = {
        "minutes": {"mean": about["minutes"], "n": 1},
        "patient_seconds": {"mean": round(about["patient_seconds"] / max(patients, 1), 1), "n": patients},
    }
    drawn = " (drawn patients)" if about["synthetic"] else ""
    return {
        "cohort": f"{patients} patients of {about['cohort']}{drawn}",
        "seed": about["seed"],
        "stamp": {
            "bundle": {**about["bundle"], "parts": dict(parts)},
            "others": about["others"],
            "described": about["described"],
            **{name: about[name] for name in ("command", "date", "mewm", "seed")},
            "device": device,
            "patients": patients,
        },
        "rows": rows,
    }
