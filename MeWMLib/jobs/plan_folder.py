"""The folder of a plan: plan.json, volumes, labels, run.json. Each file is whole or absent; none holds a full path."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import MeWMLib
from MeWMLib.core import io
from MeWMLib.core.bundles import Bundle
from MeWMLib.core.errors import OutputError, output_error
from MeWMLib.core.patient import Patient
from MeWMLib.core.plan import Outcome, Plan, PlanSettings
from MeWMLib.core.protocol import ActionSpace
from MeWMLib.core.volume import LabelMap, Volume
from MeWMLib.jobs.job import Job
from MeWMLib.planning.journal import Journal

SCHEMA = 1
RESEARCH_USE_ONLY = (
    "Research use only. Simulated volumes are no scans, predicted risks are no prognosis, and a ranked protocol is no "
    "treatment recommendation."
)
PLAN, RUN = "plan.json", "run.json"
#: What a search has simulated, while it is not finished (`planning.journal`).
JOURNAL = ".mewm-journal.jsonl"
#: What a former plan may have left here; it would contradict the new plan.
_FORMER = ("simulated_*.nrrd", "pre.nrrd", "pre.seg.nrrd", RUN, "scene.mrb", "report.html")


class PlanFolder:
    """Writes one plan. Nothing is touched before the first write.

    Args:
        path: the folder; it may be absent.

    Raises:
        OutputError: a file is in the way, or the folder cannot be written.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._open = False
        self._made: list[Path] = []
        above = self.path
        while not above.exists() and above != above.parent:
            above = above.parent
        if not above.is_dir():
            raise OutputError(what="A file is in the way of the folder", given=str(above), remedy="Give another --out")
        if not os.access(above, os.W_OK | os.X_OK):
            raise OutputError(what="The folder may not be written", given=str(above), remedy="Give another --out")

    def write_plan(self, document: dict[str, Any]) -> None:
        """Write plan.json, in place of the one that is there."""
        self._begin()
        io.write_json(document, self.path / PLAN)

    def write_run(self, timings: dict[str, Any]) -> None:
        """Write what differs from run to run: times and memory."""
        self._begin()
        io.write_json(timings, self.path / RUN)

    def save_before(self, ct: Volume, labels: LabelMap) -> dict[str, str]:
        """Write the CT and labels before treatment; returns the file names."""
        self._begin()
        io.write_volume(ct, self.path / "pre.nrrd")
        io.write_labels(labels, self.path / "pre.seg.nrrd")
        return {"pre": "pre.nrrd", "pre_labels": "pre.seg.nrrd"}

    def save_outcome(self, rank: int, outcome: Outcome, spread: Volume | None) -> dict[str, str]:
        """Write a simulated outcome and the standard deviation over its replicas; returns the file names."""
        self._begin()
        stem = f"simulated_{rank:02d}"
        files = {"ct": f"{stem}.nrrd", "labels": f"{stem}.seg.nrrd"}
        io.write_volume(outcome.ct, self.path / files["ct"])
        io.write_labels(outcome.labels, self.path / files["labels"])
        if spread is not None:
            files["sd"] = f"{stem}_sd.nrrd"
            io.write_volume(spread, self.path / files["sd"])
        return files

    @contextlib.contextmanager
    def receive(self, name: str) -> Iterator[Path]:
        """Give a path to write a file to that another computer has made; it comes to lie here when it is whole."""
        self._begin()
        with io.atomic_path(self.path / name) as temporary:
            yield temporary

    @contextlib.contextmanager
    def journal(self, key: dict[str, Any]) -> Iterator[Journal]:
        """Open the journal of the search: a run that was killed in this folder goes on from it."""
        self._make()
        journal = Journal(self.path / JOURNAL, key)
        try:
            yield journal
        finally:
            journal.close()
            if not len(journal):
                self.finish()

    def finish(self) -> None:
        """Everything is written: the journal has served."""
        with contextlib.suppress(OSError):
            (self.path / JOURNAL).unlink(missing_ok=True)

    def leave(self) -> None:
        """Remove the folders that were made for this plan, if nothing came to lie in them."""
        for folder in reversed(self._made):
            with contextlib.suppress(OSError):
                folder.rmdir()

    def _begin(self) -> None:
        if self._open:
            return
        self._make()
        try:
            for pattern in _FORMER:
                for file in self.path.glob(pattern):
                    file.unlink()
        except OSError as error:
            raise output_error(error, self.path) from error
        self._open = True

    def _make(self) -> None:
        """Make the folder; a former plan in it stays until there is something to put in its place."""
        try:
            folder = self.path
            while not folder.exists():
                self._made.insert(0, folder)
                folder = folder.parent
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise output_error(error, self.path) from error


def header(
    *,
    job: Job,
    case: str,
    goal: str,
    patient: Patient,
    settings: PlanSettings,
    bundle: Bundle,
    device: str,
    versions: dict[str, str],
    space: ActionSpace,
    labels: dict[str, Any],
    treated: dict[str, Any],
) -> dict[str, Any]:
    """Everything in plan.json that is known before the search. No times and no paths: the same job, the same bytes."""
    return {
        "mewm": MeWMLib.__version__,
        "schema": SCHEMA,
        "research_use_only": RESEARCH_USE_ONLY,
        "case": case,
        "goal": goal,
        "clinical": patient.clinical.to_json(),
        "seed": job.seed,
        "device": device,
        "settings": asdict(settings),
        "bundle": {"name": bundle.name, "sha256": bundle.sha256, "parts": bundle.part_sha256},
        "versions": dict(versions),
        "findings": patient.findings.to_json(),
        "policy": {
            "name": space.policy,
            "drugs": list(space.drugs),
            "embolics": list(space.embolics),
            "reasons": dict(space.reasons),
            "sources": dict(space.sources),
        },
        "labels": labels,
        "treated": treated,
    }


def document(head: dict[str, Any], plan: Plan, files: dict[str, str]) -> dict[str, Any]:
    """The whole of plan.json."""
    return {**head, **plan.to_json(), "files": dict(files)}


def best_line(plan: Plan) -> str:
    """One line about the best candidate so far."""
    if not plan.candidates:
        return f"{plan.evaluated} protocols simulated, none complete yet"
    best = plan.candidates[0]
    return f"{plan.evaluated} protocols simulated; best so far: {best.protocol.text} (risk {best.risk.log_risk:+.2f})"
