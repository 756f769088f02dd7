"""`python -m MeWMLib.scene DIR`: pictures, report and Slicer scene of a plan, in a process of their own.

A missing OpenGL driver ends a process without a Python error, so this one must not be the worker or the user's shell.
It speaks as a worker does: events of `jobs.job` on standard output, one a line.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from MeWMLib.core.errors import DependencyError, MeWMError, WorkerError, install_command
from MeWMLib.jobs.job import Event, error_event
from MeWMLib.scene.gl import gl_available


def main(arguments: Sequence[str] | None = None) -> int:
    """Run and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m MeWMLib.scene",
        description="Make pictures, report.html and scene.mrb from the directory that mewm plan wrote.",
        epilog="Example: python -m MeWMLib.scene out/demo --no-scene",
    )
    parser.add_argument("directory", type=Path, metavar="DIR", help="directory that holds plan.json")
    parser.add_argument("--no-scene", action="store_true", help="leave out scene.mrb")
    parser.add_argument("--no-report", action="store_true", help="leave out the pictures and report.html")
    parser.add_argument(
        "--no-volumes", action="store_true", help="leave the CT and the simulated volumes out of report.html"
    )
    given = parser.parse_args(arguments)
    # standard output is for events; what VTK and Slicer print to it goes to standard error instead
    sys.stdout.flush()
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)

        def send(event: Event) -> None:
            answers.write(event.to_json() + "\n")
            answers.flush()

        return _answer(given, send)


def _answer(given: argparse.Namespace, send: Callable[[Event], None]) -> int:
    def progress(fraction: float, message: str) -> None:
        send(Event("progress", "pictures", round(fraction, 3), message=message))

    try:
        wanted = {"scene": not given.no_scene, "report": not given.no_report, "volumes": not given.no_volumes}
        # asking for a driver is waiting for a process; its answer is kept
        asking = threading.Thread(target=gl_available, daemon=True)
        if wanted["report"]:
            asking.start()
        make = _load()
        if wanted["report"]:
            asking.join()
        made = make(given.directory, progress, **wanted)
    except MeWMError as error:
        send(error_event(error))
        return error.exit_code
    except Exception as error:
        # the last line must be an event; the trace goes to standard error for a bug report
        traceback.print_exc()
        unknown = WorkerError(
            what="The pictures and the scene could not be made",
            given=f"{type(error).__name__}: {error}",
            remedy="The plan itself is whole; report this as a bug",
        )
        send(error_event(unknown))
        return unknown.exit_code
    for note in made.notes:
        send(Event("log", "pictures", message=note))
    send(Event("result", data={"files": list(made.files), "notes": list(made.notes)}))
    return 0


def _load() -> Any:
    """Import what needs the optional packages: here, so that a missing one can be reported as an event."""
    try:
        from MeWMLib.scene.make import make
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("MeWMLib"):
            raise
        raise DependencyError(
            what=f"The package {error.name} is not installed", remedy=f"Install it with: {install_command('scene')}"
        ) from error
    return make


if __name__ == "__main__":
    sys.exit(main())
