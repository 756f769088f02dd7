"""`mewm cohort page`: a cohort as a paper describes it, in one HTML file that needs no other, and as JSON.

Who was left out and why (a flow diagram), who the patients are (median, quartiles, missing), what they were given, and
the quality of their scans.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from MeWMLib.cohorts.check import NEEDS, SERVES, CohortCheck, check_cohort
from MeWMLib.cohorts.layout import Cohort, PatientRow, read_patient
from MeWMLib.cohorts.quality_page import THUMBNAIL
from MeWMLib.cohorts.splits import FILE, PARTS, read_splits
from MeWMLib.core.errors import MeWMError, optional_packages
from MeWMLib.core.io import atomic_path, write_json
from MeWMLib.core.patient import Clinical
from MeWMLib.core.protocol import DRUG, Protocol, agent

#: Columns of the table of patients that describe them, in words.
_OF_ROWS = {
    "months": "follow-up or survival, months",
    "weeks": "from treatment to the scan after, weeks",
    "interval_days": "from scan to scan, days",
    "diameter_before_mm": "largest tumour before treatment, mm",
}
#: A phase that is less sure is in doubt, as on the quality page.
_SURE = 0.8


@dataclass(frozen=True)
class Numbers:
    """A quantity over patients: median and quartiles of those in whom it is known."""

    name: str
    known: int
    missing: int
    median: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Kinds:
    """A property over patients: how many have each value, most frequent first."""

    name: str
    known: int
    missing: int
    counts: dict[str, int]


def numbers(name: str, values: Sequence[float | None]) -> Numbers:
    """Describe a quantity; None is missing."""
    known = [float(value) for value in values if value is not None]
    low, median, high = np.percentile(known, (25, 50, 75)).tolist() if known else (None, None, None)
    return Numbers(name, len(known), len(values) - len(known), median, low, high)


def kinds(name: str, values: Sequence[object]) -> Kinds:
    """Describe a property; None is missing."""
    known = [_word(value) for value in values if value is not None]
    return Kinds(name, len(known), len(values) - len(known), dict(Counter(known).most_common()))


def _word(value: object) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def describe(cohort: Cohort, check: CohortCheck | None = None) -> dict[str, Any]:
    """Everything that the page shows, JSON-ready.

    Args:
        cohort: on disk.
        check: of it; made from its files if left out.
    """
    check = check or check_cohort(cohort, images=False)
    stored = {row.id: read_patient(cohort.folder, row.id) or {} for row in cohort.rows}
    left_out = [dict(one) for one in cohort.manifest.get("left_out", [])]
    amounts, properties = _demographics(cohort.rows, stored)
    return {
        "cohort": cohort.folder.name,
        "synthetic": cohort.synthetic,
        "notice": str(cohort.manifest.get("notice", "")),
        "flow": _flow(cohort, check, left_out),
        "numbers": [vars(one) for one in amounts],
        "kinds": [vars(one) for one in properties],
        "protocols": _protocols(cohort.rows),
        "lack": {NEEDS[name].word: len(check.lacking(name)) for name in NEEDS if check.lacking(name)},
        "quality": _quality(cohort, check, stored),
        "clinical_notes": list(cohort.manifest.get("clinical_notes", [])),
        "left_out": left_out,
    }


def _flow(cohort: Cohort, check: CohortCheck, left_out: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """Who was found, who was left out and why, whom each part can use, and on which side they are."""
    here = {row.id for row in cohort.rows}
    gone: dict[str, str] = {}
    for one in left_out:
        if one.get("patient") and one["patient"] not in here:
            gone[one["patient"]] = one["reason"]
    path = cohort.folder / FILE
    splits = read_splits(path) if path.is_file() else None
    return {
        "found": len(here) + len(gone),
        "left_out": dict(Counter(_short(reason) for reason in gone.values()).most_common()),
        "in_cohort": len(here),
        "persons": len({row.whose for row in cohort.rows}),
        "judging": sum(one.judging for one in check.patients),
        "serve": {part: len(check.serving(part)) for part in SERVES},
        "not_served": {part: _why_not(check, part) for part in SERVES},
        "sides": {} if splits is None else {side: len(splits.part(side)) for side in PARTS},
    }


def _why_not(check: CohortCheck, part: str) -> dict[str, int]:
    """The first reason of each patient who cannot serve a part."""
    reasons: Counter[str] = Counter()
    for one in check.patients:
        if part not in one.serves:
            first = next((NEEDS[name].word for name in one.lacks if part in NEEDS[name].stops), "for judging only")
            reasons[first] += 1
    return dict(reasons.most_common())


def _short(reason: str) -> str:
    return reason.split(" (")[0].split(":")[0]


def _demographics(
    rows: Sequence[PatientRow], stored: Mapping[str, Mapping[str, Any]]
) -> tuple[list[Numbers], list[Kinds]]:
    """Clinical data of `patient.json` and the table, those that anybody has."""
    amounts, properties = [], []
    fields = [name for name in Clinical.__dataclass_fields__]
    clinical = [stored[row.id].get("clinical") or {} for row in rows]
    for name in fields:
        values = [one.get(name) for one in clinical]
        if all(value is None for value in values):
            continue
        word = name.replace("_", " ")
        if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values if value is not None):
            amounts.append(numbers(word, values))
        elif not any(isinstance(value, list | dict) for value in values):
            properties.append(kinds(word, values))
    amounts += [numbers(word, [getattr(row, name) for row in rows]) for name, word in _OF_ROWS.items()]
    properties.append(kinds("death seen", [row.event for row in rows]))
    properties.append(kinds("phase before", [None if row.phase == "unknown" else row.phase for row in rows]))
    properties.append(kinds("registered", [row.registered for row in rows if row.has_after is not False]))
    return amounts, properties


def _protocols(rows: Sequence[PatientRow]) -> dict[str, Any]:
    """How often agents were given, alone and together."""
    sets: Counter[str] = Counter()
    agents: Counter[str] = Counter()
    unread, unknown = 0, 0
    for row in rows:
        if not row.protocol.strip():
            unknown += 1
            continue
        try:
            given = Protocol.parse(row.protocol).agents
        except MeWMError:
            unread += 1
            continue
        agents.update(given)
        sets[" + ".join(sorted(given, key=lambda name: (agent(name).kind != DRUG, name)))] += 1
    return {
        "combinations": dict(sets.most_common()),
        "agents": dict(agents.most_common()),
        "known": sum(sets.values()),
        "missing": unknown,
        "not_read": unread,
    }


def _quality(cohort: Cohort, check: CohortCheck, stored: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Of each patient: what is lacking, phases, voxel size before treatment where it is noted, notes of the import."""
    found = []
    for row, one in zip(cohort.rows, check.patients, strict=True):
        imported = stored[row.id].get("import") or {}
        scans = [scan for study in imported.get("studies", []) for scan in study["scans"]]
        used = {scan["used_as"]: scan for scan in scans if scan.get("used_as") in ("pre", "post")}
        doubt = [name for name, scan in used.items() if scan["phase"]["confidence"] < _SURE]
        spacing = used["pre"]["spacing_mm"] if "pre" in used else None
        found.append(
            {
                "id": row.id,
                "phase": row.phase,
                "phase_after": row.phase_after or (row.phase if row.has_after else None),
                "phase_in_doubt": doubt,
                "scanned_spacing_mm": spacing,
                "lacks": [NEEDS[name].word for name in one.lacks],
                "serves": list(one.serves),
                "notes": [str(note) for note in imported.get("notes", [])],
                "problem": one.problem,
            }
        )
    return found


def write_cohort_page(cohort: Cohort, out: Path, check: CohortCheck | None = None) -> dict[str, Any]:
    """Write the page, and beside it the same as JSON; returns what is in both.

    Args:
        cohort: on disk.
        out: the HTML file; the JSON has its name with another ending.
        check: see `describe`.

    Raises:
        OutputError: it cannot be written.
        DependencyError: jinja2 is not installed.
    """
    with optional_packages("The page of a cohort", "import"):
        import jinja2
    told = describe(cohort, check)
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    page = Path(__file__).with_name("templates") / "cohort.html.j2"
    pictures = {}
    for row in cohort.rows:
        picture = cohort.folder / row.id / THUMBNAIL
        if picture.is_file():
            pictures[row.id] = base64.b64encode(picture.read_bytes()).decode()
    template = environment.from_string(page.read_text(encoding="utf-8"))
    text = template.render(**told, pictures=pictures, boxes=_boxes(told["flow"]))
    with atomic_path(out) as temporary:
        temporary.write_text(text, encoding="utf-8")
    write_json(told, out.with_suffix(".json"))
    return told


@dataclass(frozen=True)
class Box:
    """A box of the flow diagram: its place and size in pixels, and its lines."""

    x: int
    y: int
    width: int
    height: int
    lines: tuple[str, ...]
    kind: str = ""


_LINE, _PAD, _WIDE, _GAP = 17, 10, 300, 36
#: Letters that fit into a line of a box.
_LETTERS = 44


def _boxes(flow: Mapping[str, Any]) -> dict[str, Any]:
    """The diagram: found, left out beside it, the cohort, and below it a box for each part."""

    def box(x: int, y: int, lines: Sequence[str], kind: str = "", width: int = _WIDE) -> Box:
        return Box(x, y, width, _LINE * len(lines) + 2 * _PAD, tuple(lines), kind)

    found = box(0, 0, [f"{flow['found']} patients found"])
    out = [f"{sum(flow['left_out'].values())} left out", *(f"{n}: {why}" for why, n in flow["left_out"].items())]
    aside = box(_WIDE + _GAP, 0, [_cut(line) for line in out], "out")
    top = max(found.y + found.height, aside.height) + _GAP
    persons = [f"{flow['persons']} persons"] if flow["persons"] != flow["in_cohort"] else []
    judging = [f"{flow['judging']} for judging only"] if flow["judging"] else []
    sides = [f"{n} {side}" for side, n in flow["sides"].items() if n and side != "judging"]
    middle = box(
        0, top, [f"{flow['in_cohort']} in the cohort", *persons, *judging, *([", ".join(sides)] if sides else [])]
    )
    boxes, y = [found, aside, middle], middle.y + middle.height + _GAP
    rows = []
    for part, count in flow["serve"].items():
        lines = [f"{part}: {count}", *(f"{n}: {why}" for why, n in flow["not_served"][part].items())]
        one = box(40, y, [_cut(lines[0])], "serves", _WIDE - 40)
        other = box(_WIDE + _GAP, y, [_cut(line) for line in lines[1:]] or ["nobody left out"], "out")
        rows.append((one, other))
        boxes += [one, other]
        y = max(one.y + one.height, other.y + other.height) + 14
    arrows = [(found, middle, "down"), (found, aside, "side"), *((one, other, "side") for one, other in rows)]
    drawn = [_arrow(a, b, way) for a, b, way in arrows]
    spine = (20, middle.y + middle.height, 20, rows[-1][0].y + rows[-1][0].height // 2)
    drawn += [spine, *((20, one.y + one.height // 2, 40, one.y + one.height // 2) for one, _ in rows)]
    return {"boxes": boxes, "arrows": drawn, "width": 2 * _WIDE + _GAP + 2, "height": y, "line": _LINE, "pad": _PAD}


def _arrow(a: Box, b: Box, way: str) -> tuple[int, int, int, int]:
    if way == "down":
        return a.x + 150, a.y + a.height, b.x + 150, b.y
    return a.x + a.width, a.y + min(a.height, b.height) // 2, b.x, a.y + min(a.height, b.height) // 2


def _cut(text: str) -> str:
    return text if len(text) <= _LETTERS else f"{text[: _LETTERS - 3]}..."
