"""Run `python -m MeWMLib.scene`, which makes pictures, scene.mrb and report.html in a process of its own.

A plan is complete without them: whatever goes wrong there is said, and loses nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from MeWMLib.cli.output import Output
from MeWMLib.core.errors import MeWMError
from MeWMLib.jobs import runner
from MeWMLib.jobs.table import common_title


def make(
    folder: Path, output: Output, *, report: bool = True, scene: bool = True, command: Sequence[str] | None = None
) -> bool:
    """Make the pictures of a plan.

    Args:
        folder: folder of the plan.
        output: where progress and notes go.
        report, scene: what to make; with neither nothing is started.
        command: what to start, for tests.

    Returns:
        True if all that was asked for was made.
    """
    if not report and not scene:
        return False
    flags = [flag for flag, wanted in (("--no-report", report), ("--no-scene", scene)) if not wanted]
    start = [*(command or [sys.executable, "-m", "MeWMLib.scene"]), str(folder), *flags]
    try:
        with output.progress(common_title) as show:
            runner.run(None, show, command=start)
    except MeWMError as error:
        output.error(
            f"The plan is complete, but not all of its pictures could be made: {error} "
            f"Try again with: python -m MeWMLib.scene {folder}"
        )
        return False
    return True
