"""The terminal of programs that people run: progress, and questions that need a yes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID


class Bars:
    """Progress on standard error.

    Args:
        progress: bars; None prints lines instead, a tenth at a time.
    """

    def __init__(self, console: Console, progress: Progress | None, quiet: bool) -> None:
        self._console, self._progress, self._quiet = console, progress, quiet
        self._tasks: dict[str, TaskID] = {}
        self._said: dict[str, int] = {}

    def step(self, stage: str, done: float, total: float, text: str = "") -> None:
        """Show how far a stage is; a total of 0 is not known yet."""
        if self._progress is not None:
            if stage not in self._tasks:
                self._tasks[stage] = self._progress.add_task(stage, total=None, text="")
            shown = text or (f"{done:.0f} of {total:.0f}" if total else f"{done:.0f}")
            self._progress.update(self._tasks[stage], completed=done, total=total or None, text=shown)
            return
        tenth = int(10 * done / total) if total else int(done) // 5000
        if not self._quiet and tenth > self._said.get(stage, -1 if total else 0):
            self._said[stage] = tenth
            share = f"{100 * done / total:.0f} %" if total else f"{done:.0f}"
            self._console.print(f"{stage}: {share} {text}".rstrip(), markup=False, highlight=False)

    def line(self, text: str) -> None:
        """Print one sentence; it is seen with --quiet too, since it says what is missing in the result."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def bars(quiet: bool) -> Iterator[Bars]:
    """Progress while the block runs."""
    # rich is imported where it is used: it takes a tenth of a second, and most commands draw nothing
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield Bars(console, None, quiet)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[text]}", markup=False),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        yield Bars(console, progress, quiet)


def agreed(question: str) -> bool:
    """Ask a person; without a person at the terminal the answer is no."""
    if not sys.stdin.isatty():
        return False
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")
