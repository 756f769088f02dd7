"""The terminal of programs that people run: progress, questions that need a yes, and how a program ends."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from MeWMLib.core.errors import MeWMError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID


class Bars:
    """Progress on standard error.

    Args:
        console: where it is shown.
        progress: bars; None prints lines instead, a quarter at a time: a log file needs no more.
        quiet: no lines.
    """

    def __init__(self, console: Console, progress: Progress | None, quiet: bool) -> None:
        self._console, self._progress, self._quiet = console, progress, quiet
        self._tasks: dict[str, TaskID] = {}
        self._said: dict[str, int] = {}

    @property
    def drawn(self) -> bool:
        """True where bars are drawn, and not lines printed."""
        return self._progress is not None

    def step(self, stage: str, done: float, total: float, text: str = "", left_s: float | None = None) -> None:
        """Show how far a stage is.

        Args:
            stage: names the bar.
            done, total: a total of 0 is not known yet.
            text: what is being done.
            left_s: seconds that are left; by default they are estimated.
        """
        if self._progress is not None:
            if stage not in self._tasks:
                self._tasks[stage] = self._progress.add_task(stage, total=None, text="", left="")
            task = self._tasks[stage]
            shown = text or (f"{done:.0f} of {total:.0f}" if total else f"{done:.0f}")
            self._progress.update(task, completed=done, total=total or None, text=shown)
            left_s = self._progress.tasks[task].time_remaining if left_s is None else left_s
            self._progress.update(task, left=f"{left_s:.0f} s left" if left_s and done < total else "")
            return
        part = int(4 * done / total) if total else int(done) // 5000
        if not self._quiet and part > self._said.get(stage, -1 if total else 0):
            self._said[stage] = part
            share = f"{done / total:.0%}" if total else f"{done:.0f}"
            self.line(f"{stage}: {share}  {text}".rstrip())

    def line(self, text: str) -> None:
        """Print one sentence; it is seen with --quiet too, since it says what is missing in the result."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def bars(quiet: bool, console: Console | None = None) -> Iterator[Bars]:
    """Progress while the block runs: bars on a terminal, lines elsewhere."""
    # rich is imported where it is used: it takes a tenth of a second, and most commands draw nothing
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
    from rich.table import Column

    console = console or Console(stderr=True)
    if quiet or not console.is_terminal:
        yield Bars(console, None, quiet)
        return
    columns = (
        # fixed widths, so that on a narrow terminal only the text is cut
        TextColumn("{task.description}", table_column=Column(width=17, no_wrap=True)),
        BarColumn(None, table_column=Column(width=12)),
        TaskProgressColumn(table_column=Column(width=4, no_wrap=True)),
        TextColumn("{task.fields[left]:>10}", table_column=Column(width=10, no_wrap=True)),
        TextColumn("{task.fields[text]}", markup=False, table_column=Column(ratio=1, no_wrap=True)),
    )
    with Progress(*columns, console=console, expand=True) as progress:
        yield Bars(console, progress, quiet)


def agreed(question: str) -> bool:
    """Ask a person; without a person at the terminal the answer is no."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def run_with_summary(arguments: argparse.Namespace) -> int:
    """Call `run` of the arguments with them; its answer goes to standard output as JSON. Returns the exit code."""
    try:
        summary = arguments.run(arguments)
    except MeWMError as error:
        sys.stderr.write(f"\n{error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("\nStopped; finished patients are kept.\n")
        return 130
    sys.stdout.write(json.dumps(summary, indent=1, ensure_ascii=False) + "\n")
    return 0
