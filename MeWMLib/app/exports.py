"""What a user takes home from a case: the folder of a result as one file, the report, DICOM objects."""

from __future__ import annotations

import secrets
import shutil
import sys
import threading
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from MeWMLib.app.case import Case, Run
from MeWMLib.core.errors import CancelledError, InputError, MeWMError, WorkerError
from MeWMLib.core.plan_folder import PLAN, REPORT
from MeWMLib.core.private_files import private
from MeWMLib.exchange.export import ExportSettings, export_plan
from MeWMLib.jobs.job import Event
from MeWMLib.jobs.runner import LocalRunner

RESULT, REPORT_PAGE, DICOM = KINDS = ("result", "report", "dicom")
_FILES = {RESULT: "mewm-result.zip", REPORT_PAGE: REPORT, DICOM: "mewm-dicom.zip"}
_ENDED = ("done", "failed", "cancelled")


@dataclass
class Making:
    """Something that is being made for a user.

    Attributes:
        state: "running", "done", "failed" or "cancelled".
        fraction, message: how far it is.
        error: of one that failed, as the page shows it.
        file: of one that is done.
        stop: ends it.
    """

    id: str
    kind: str
    run: str
    case: str
    state: str = "running"
    fraction: float = 0.0
    message: str = ""
    error: dict[str, Any] | None = None
    file: Path | None = None
    stop: Callable[[], None] = field(default=lambda: None, repr=False)

    def to_plain(self) -> dict[str, Any]:
        """What the page is told."""
        shown = ("id", "kind", "run", "case", "state", "fraction", "message", "error")
        return {name: getattr(self, name) for name in shown}


class Exports:
    """Makes files for a user, one after the other, each on a thread.

    Args:
        command: what makes the report, for tests; the folder of the plan is appended.
    """

    def __init__(self, command: Sequence[str] | None = None) -> None:
        self._command = list(command or [sys.executable, "-m", "MeWMLib.scene"])
        self._made: dict[str, Making] = {}
        self._one = threading.Lock()

    def start(self, case: Case, run_id: str, kind: str) -> Making:
        """Begin to make something of a result.

        Raises:
            InputError: unknown kind, or there is nothing of that kind in the result.
        """
        run = case.run(run_id)
        if kind not in KINDS:
            raise InputError(what="This cannot be made", given=repr(kind)[:40], remedy="Use " + ", ".join(KINDS))
        folder = case.run_folder(run_id)
        if not folder.is_dir() or (kind != RESULT and not (folder / PLAN).is_file()):
            raise InputError(
                what="This result holds nothing of that kind", given=run.title, remedy="Simulate a treatment first"
            )
        making = Making(secrets.token_hex(8), kind, run_id, case.record.id)
        self._made[making.id] = making
        threading.Thread(target=self._make, args=(making, case, run), name="mewm-export", daemon=True).start()
        return making

    def get(self, making_id: str) -> Making:
        """One of them.

        Raises:
            InputError: there is none of this id.
        """
        if making_id not in self._made:
            raise InputError(what="Nothing of this name is being made", given=repr(making_id)[:40])
        return self._made[making_id]

    def file(self, making_id: str) -> tuple[Path, str]:
        """What was made, and what it is called.

        Raises:
            InputError: it is not done.
        """
        making = self.get(making_id)
        if making.file is None or not making.file.is_file():
            raise InputError(what="It is not made yet", given=making.state)
        return making.file, _FILES[making.kind]

    def cancel(self, making_id: str) -> None:
        """Stop it; harmless when it has ended."""
        making = self.get(making_id)
        if making.state not in _ENDED:
            making.state = "cancelled"
            making.stop()

    def close(self) -> None:
        """Stop all."""
        for making_id in list(self._made):
            self.cancel(making_id)
        with self._one:
            pass

    def _make(self, making: Making, case: Case, run: Run) -> None:
        try:
            with self._one:
                _require_wanted(making)
                making.file = {RESULT: self._zip, REPORT_PAGE: self._report, DICOM: self._dicom}[making.kind](
                    making, case, run
                )
                _require_wanted(making)
                making.state, making.fraction = "done", 1.0
        except MeWMError as error:
            if making.state != "cancelled":
                making.state, making.error = "failed", error.to_json()
        except Exception as error:  # a thread that dies would leave the page waiting for ever
            unknown = WorkerError(what="It could not be made", given=f"{type(error).__name__}: {error}"[:200])
            making.state, making.error = "failed", unknown.to_json()

    @staticmethod
    def _zip(making: Making, case: Case, run: Run) -> Path:
        return _zipped(case.run_folder(run.id), _place(case, run, RESULT), f"mewm-{run.kind}", making)

    def _report(self, making: Making, case: Case, run: Run) -> Path:
        folder = case.run_folder(run.id)

        def on_event(event: Event) -> None:
            if event.fraction is not None:
                making.fraction, making.message = event.fraction, event.message

        with LocalRunner([*self._command, str(folder), "--no-scene"]) as runner:
            making.stop = runner.kill
            runner.start(None, on_event)
            _require_wanted(making)
            runner.wait()
        return folder / REPORT

    @staticmethod
    def _dicom(making: Making, case: Case, run: Run) -> Path:
        def progress(fraction: float, message: str) -> None:
            _require_wanted(making)
            making.fraction, making.message = fraction, message

        record, place = case.record, _place(case, run, DICOM)
        from_dicom = not record.sample and any(case.sent.iterdir()) and not case.sent_file(0).suffix
        reference = case.sent if from_dicom else None
        folder = place.with_suffix("")
        shutil.rmtree(folder, ignore_errors=True)
        settings = ExportSettings(reference, record.series or None if from_dicom else None)
        export_plan(case.run_folder(run.id), folder, settings, progress)
        return _zipped(folder, place, "mewm-dicom", making)


def _require_wanted(making: Making) -> None:
    if making.state == "cancelled":
        raise CancelledError(what="It was stopped")


def _place(case: Case, run: Run, kind: str) -> Path:
    folder = case.folder / "exports"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder / f"{run.id}-{kind}.zip"


def _zipped(folder: Path, target: Path, name: str, making: Making) -> Path:
    """A folder as a zip file; its volumes are compressed already."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    with private(target, "wb") as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for number, path in enumerate(files):
            _require_wanted(making)
            archive.write(path, f"{name}/{path.relative_to(folder).as_posix()}")
            making.fraction, making.message = (number + 1) / len(files), path.name
    return target
