"""One run of `mewm reproduce`: patients first, then tables and figures, then the page; each part is kept."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import MeWMLib
from MeWMLib.cohorts.layout import Cohort
from MeWMLib.core.bundles import find_bundle
from MeWMLib.core.io import write_json
from MeWMLib.core.protocol import Protocol
from MeWMLib.lab.evaluation.metrics import jsonable
from MeWMLib.lab.evaluation.pairs import PairFiles, log_judging
from MeWMLib.lab.evaluation.work import each_patient
from MeWMLib.lab.reproduce.hand_made import fitted
from MeWMLib.lab.reproduce.members import Gap, Member, agents_of, gaps_of, members_of
from MeWMLib.lab.reproduce.page import write_page
from MeWMLib.lab.reproduce.patient import MeasurePatient, kept_of
from MeWMLib.lab.reproduce.records import Record
from MeWMLib.lab.reproduce.settings import ReproduceSettings
from MeWMLib.lab.reproduce.stored import kept_rows
from MeWMLib.lab.reproduce.tables import TableSettings, all_tables
from MeWMLib.world.machine import choose_device

RESULT, PAGE, KEPT_ROWS = "reproduce.json", "reproduce.html", "rows.json"
COMMAND = "mewm reproduce"

#: Called with the name of a stage, how much of it is done and of how much, a text, and the seconds that are left.
Show = Callable[[str, float, float, str, float | None], None]


@dataclass(frozen=True)
class Request:
    """What the command line asks for.

    Attributes:
        settings: of the patients.
        tables: of tables and figures.
        judging: open patients who are for judging only; the run is logged.
        most: only so many patients, from the first on.
        workers: processes.
        command: as it was typed, without folders.
        own_constant: the constant plan of `tables` was asked for; else it follows from the cohort.
    """

    settings: ReproduceSettings
    tables: TableSettings
    judging: bool = False
    most: int | None = None
    workers: int = 1
    command: str = COMMAND
    own_constant: bool = False


def reproduce(request: Request, show: Show) -> dict[str, Any]:
    """Measure a cohort and write `reproduce.json` and `reproduce.html`; with rows of other bundles also `rows.json`.

    Returns:
        What the JSON holds.

    Raises:
        CohortError, BundleError, InputError: what is given cannot be used.
        OutputError: nothing can be written.
    """
    settings = request.settings
    begin = time.monotonic()
    cohort = Cohort.read(settings.cohort)
    bundle = find_bundle(settings.bundle)
    others = {name: find_bundle(other) for name, other in settings.others}
    sums = {"": bundle.sha256, **{name: other.sha256 for name, other in others.items()}}
    members, gaps = members_of(cohort, settings, sums, request.judging, request.most)
    _log(settings, members)
    measured = _measure(request, members, show)
    records = [Record(member, kept_of(settings, member)) for member in members]
    among, usual = agents_of(members)
    tables = request.tables.chosen(settings.among or among, None if request.own_constant else usual)
    found = all_tables(records, settings, tables, sums, cohort, show)
    gaps = [*gaps, *gaps_of(members, cohort, settings.planning), *_failed(records), *found.gaps]
    result: dict[str, Any] = {
        "about": {
            "cohort": cohort.folder.name,
            "synthetic": cohort.synthetic,
            "patients": len(members),
            "measured_now": measured,
            "bundle": {"name": bundle.name, "version": bundle.manifest.version, "sha256": bundle.sha256},
            "others": {name: sums[name] for name in others},
            "described": {name: other.manifest.description for name, other in others.items()},
            "mewm": MeWMLib.__version__,
            "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
            "command": request.command,
            "seed": settings.seed,
            "minutes": round((time.monotonic() - begin) / 60, 2),
            "patient_seconds": sum(float(r.result.get("seconds", 0.0)) for r in records),
        },
        "gaps": [one.to_json() for one in gaps],
        **found.tables,
    }
    known: dict[str, Any] = jsonable(result)
    write_json(known, settings.out / RESULT)
    if others:
        write_json(kept_rows(known, bundle.part_sha256, choose_device("auto").type), settings.out / KEPT_ROWS)
    write_page(settings.out / PAGE, known, records, found.pictures)
    return known


def _measure(request: Request, members: Sequence[Member], show: Show) -> int:
    """Measure the patients whose numbers are not kept; how many there were."""
    settings = request.settings
    todo = [m for m in members if kept_of(settings, m).read() is None]
    done, started = len(members) - len(todo), time.monotonic()
    if done:
        show("patients", done, len(members), f"{done} of {len(members)} kept from an earlier run", None)
    if not todo:
        return 0
    if settings.baselines:
        show("baselines", 0.0, 1.0, "hand-made baselines", None)
        fitted(settings.out, settings.fitted_on)
        show("baselines", 1.0, 1.0, "hand-made baselines", None)

    def say(stage: str, share: float, total: float = 1.0) -> None:
        now = round(share / total * len(todo))
        left = (time.monotonic() - started) / max(now, 1) * (len(todo) - now)
        show(stage, done + now, len(members), f"{done + now} of {len(members)}, {_in_words(left)} left", left)

    each_patient(MeasurePatient, settings, todo, request.workers, "patients", say)
    return len(todo)


def _in_words(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def _log(settings: ReproduceSettings, members: Sequence[Member]) -> None:
    """Note the run on each patient that is for judging only."""
    nothing = Path()
    opened = [
        PairFiles(m.id, nothing, nothing, nothing, m.protocol or Protocol(()), judging=True)
        for m in members
        if m.judging
    ]
    log_judging(settings.out, opened, COMMAND)


def _failed(records: Sequence[Record]) -> list[Gap]:
    """What failed in single patients, told once for each reason."""
    found: dict[tuple[str, str], list[str]] = {}
    for record in records:
        for failure in record.result.get("failures", ()):
            found.setdefault((failure["why"], failure["what"]), []).append(record.id)
    return [Gap(why, what, "", tuple(who)) for (why, what), who in found.items()]
