"""`python -m MeWMLib.scene DIR`: pictures, report and Slicer scene of a plan, in a process of their own.

A missing OpenGL driver ends a process without a Python error, so this one must not be the worker or the user's shell.
It answers JSON objects on standard output, one a line: events "progress", then "done" or "error".
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from MeWMLib.core.errors import DependencyError, MeWMError, WorkerError


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
    given = parser.parse_args(arguments)
    with _claim_stdout() as answers:
        return _answer(given, answers)


def _answer(given: argparse.Namespace, answers: TextIO) -> int:
    def send(event: dict[str, Any]) -> None:
        answers.write(json.dumps(event) + "\n")
        answers.flush()

    def progress(stage: str, fraction: float, message: str) -> None:
        send({"event": "progress", "stage": stage, "fraction": round(fraction, 3), "message": message})

    try:
        make = _load()
        made = make(given.directory, progress, scene=not given.no_scene, report=not given.no_report)
    except MeWMError as error:
        send({"event": "error", **error.to_json()})
        return error.exit_code
    except Exception as error:
        # Whoever reads our lines must get a last one; the trace goes to standard error for a bug report.
        traceback.print_exc()
        unknown = WorkerError(
            what="The pictures and the scene could not be made",
            given=f"{type(error).__name__}: {error}",
            remedy="The plan itself is whole; report this as a bug",
        )
        send({"event": "error", **unknown.to_json()})
        return unknown.exit_code
    send({"event": "done", "files": list(made.files), "notes": list(made.notes)})
    return 0


def _claim_stdout() -> TextIO:
    """Keep standard output for our lines; what VTK and Slicer print to it goes to standard error instead."""
    sys.stdout.flush()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


def _load() -> Any:
    """Import what needs the optional packages; the import is here so that a missing one can be told as an event."""
    try:
        from MeWMLib.scene.make import make
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("MeWMLib"):
            raise
        raise DependencyError(
            what=f"The package {error.name} is not installed", remedy='Install it with: pip install "mewm[scene]"'
        ) from error
    return make


if __name__ == "__main__":
    sys.exit(main())
