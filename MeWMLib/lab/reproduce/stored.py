"""Rows whose weights are not at hand, read from stamped results of an earlier run and marked so."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from MeWMLib.core.errors import InputError
from MeWMLib.core.records import read_json

#: Rows of the paper that need weights of their own, and how they are made.
NEEDED = {
    "difftumor": "mewm train dynamics with Resources/Configs/difftumor.json",
    "textomorph": "mewm train dynamics with Resources/Configs/textomorph.json",
    "no_ccl": "mewm train dynamics with contrastive_weight 0",
    "no_attenuation": "mewm train dynamics with attenuation false",
    "action_blind": "mewm train dynamics with action_blind true",
}


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
