"""`python -m MeWMLib.exchange DIR --out DIR`: a plan as DICOM, in a process of its own that can be ended at any time.

It speaks as a worker does: events of `jobs.job` on standard output, one a line. People use `mewm export`.
"""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from MeWMLib.core.errors import MeWMError, WorkerError
from MeWMLib.exchange.export import ExportSettings, export_plan
from MeWMLib.jobs.job import Event, error_event


def main(arguments: Sequence[str] | None = None) -> int:
    """Run and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m MeWMLib.exchange", description="Write a plan as DICOM objects.")
    parser.add_argument("directory", type=Path, metavar="DIR", help="directory that holds plan.json")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new folder")
    parser.add_argument("--reference", type=Path, metavar="DIR", help="DICOM of the CT; without it a study is made up")
    given = parser.parse_args(arguments)
    try:
        done = export_plan(given.directory, given.out, ExportSettings(reference=given.reference), _progress)
    except MeWMError as error:
        _send(error_event(error))
        return error.exit_code
    except Exception as error:
        # the last line must be an event; the trace goes to standard error for a bug report
        traceback.print_exc()
        unknown = WorkerError(
            what="The plan could not be exported",
            given=f"{type(error).__name__}: {error}",
            remedy="Nothing was written; report this as a bug",
        )
        _send(error_event(unknown))
        return unknown.exit_code
    _send(Event("result", data={**asdict(done), "folder": str(done.folder)}))
    return 0


def _progress(share: float, text: str) -> None:
    _send(Event("progress", "export", round(share, 3), message=text))


def _send(event: Event) -> None:
    sys.stdout.write(event.to_json() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
