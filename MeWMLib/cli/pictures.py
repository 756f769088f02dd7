"""Pictures, scene.mrb and report.html of a plan: `python -m MeWMLib.scene` makes them in a process of its own.

A plan is complete without them: whatever goes wrong there is said, and loses nothing.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from MeWMLib.cli.output import Output
from MeWMLib.core.errors import InputError, MeWMError
from MeWMLib.core.plan_folder import REPORT, SCENE, PlanFolder
from MeWMLib.jobs import runner
from MeWMLib.jobs.table import common_title


def make(
    folder: Path,
    output: Output,
    *,
    report: bool = True,
    scene: bool = True,
    volumes: bool = True,
    command: Sequence[str] | None = None,
) -> bool:
    """Make the pictures of a plan.

    Args:
        folder: folder of the plan.
        output: where progress and notes go.
        report, scene: what to make; with neither nothing is started.
        volumes: put the CT and the simulated volumes into the report, for its viewer.
        command: what to start, for tests.

    Returns:
        True if all that was asked for was made.
    """
    if not report and not scene:
        return False
    try:
        _run(folder, output, report, scene, volumes, command)
    except MeWMError as error:
        output.error(
            f"The plan is complete, but not all of its pictures could be made: {error} "
            f"Try again with: {render_command(folder, volumes)}"
        )
        return False
    return True


def render(arguments: argparse.Namespace, output: Output) -> int:
    """`mewm render FOLDER`: make the report and the scene of a plan's folder again.

    Raises:
        MeWMError: there is no plan in it, or something could not be made.
    """
    folder = Path(arguments.folder).expanduser()
    report, scene = not arguments.no_report, not arguments.no_scene
    if not report and not scene:
        raise InputError(what="Nothing is left to make", given="--no-report --no-scene", remedy="Leave one of them out")
    PlanFolder(folder).read()
    _run(folder, output, report, scene, not arguments.no_volumes, arguments.worker)
    show(folder, output, report, scene)
    return 0


def render_command(folder: Path, volumes: bool = True) -> str:
    """The command that makes the report and the scene of a folder."""
    return f"mewm render {shlex.quote(str(folder))}{'' if volumes else ' --no-volumes'}"


def show(folder: Path, output: Output, report: bool, scene: bool) -> None:
    """Say what of it was made to look at; what an earlier run left is not announced."""
    made = ((report, REPORT, "The report, for a browser"), (scene, SCENE, "The scene, for 3D Slicer"))
    for wanted, name, what in made:
        if wanted and (folder / name).is_file():
            output.result(f"{what}: {folder / name}")


def _run(folder: Path, output: Output, report: bool, scene: bool, volumes: bool, command: Sequence[str] | None) -> None:
    wanted = {"--no-report": report, "--no-scene": scene, "--no-volumes": volumes}
    flags = [flag for flag, on in wanted.items() if not on]
    start = [*(command or [sys.executable, "-m", "MeWMLib.scene"]), str(folder), *flags]
    with output.progress(common_title) as shown:
        runner.run(None, shown, command=start)
