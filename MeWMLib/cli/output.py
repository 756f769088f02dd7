"""What the terminal shows: results on standard output; progress, messages and errors on standard error."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn
from rich.table import Column, Table

from MeWMLib.jobs.job import Event

_STAGES = {
    "upload": "Send",
    "read": "Read",
    "load": "Load networks",
    "segment": "Segment",
    "propose": "Propose",
    "plan": "Search",
    "simulate": "Simulate the best",
    "assess": "Assess",
    "write": "Write",
    "download": "Fetch",
    "pictures": "Pictures",
}
#: Width of tables that go into a file or a pipe.
_PLAIN_WIDTH = 140


class Output:
    """The two streams of a command.

    Args:
        quiet: no progress and no messages.
        as_json: the result is printed as JSON and nothing else goes to standard output.
    """

    def __init__(self, quiet: bool = False, as_json: bool = False) -> None:
        self.quiet, self.as_json = quiet, as_json
        self._out, self._err = _console(stderr=False), _console(stderr=True)

    @property
    def width(self) -> int:
        """Characters in a line of standard output."""
        return self._out.width

    def result(self, text: str) -> None:
        """Print a line that belongs to the result."""
        if not self.as_json:
            self._out.print(text, markup=False, highlight=False, soft_wrap=True)

    def table(self, table: Table) -> None:
        """Print a table that belongs to the result."""
        if not self.as_json:
            self._out.print(table)

    @staticmethod
    def row(table: Table, *cells: str) -> None:
        """Add a row whose texts are shown as they are: brackets in a path or a reason are no markup."""
        table.add_row(*(escape(cell) for cell in cells))

    def json(self, data: Any) -> bool:
        """Print the data if JSON was asked for; tells whether it was."""
        if self.as_json:
            self._out.file.write(json.dumps(data, indent=2, ensure_ascii=False) + "\n")
        return self.as_json

    def say(self, text: str) -> None:
        """Print a message beside the result."""
        if not self.quiet:
            self._err.print(text, markup=False, highlight=False, soft_wrap=True)

    def notice(self, text: str) -> None:
        """Print what must be seen even with --quiet, such as terms of use."""
        self._err.print(text, markup=False, highlight=False, soft_wrap=True)

    def error(self, text: str) -> None:
        """Print why the command failed."""
        self._err.print(f"mewm: {text}", markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def progress(self) -> Iterator[ProgressView]:
        """Show progress while the block runs: bars on a terminal, plain lines elsewhere."""
        view = ProgressView(self, self._err if self._err.is_terminal and not self.quiet else None)
        try:
            yield view
        finally:
            view.close()


class ProgressView:
    """Shows the events of a job.

    Args:
        output: where messages go.
        terminal: where bars go; None shows plain lines instead.
    """

    def __init__(self, output: Output, terminal: Console | None) -> None:
        self._output = output
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._said: dict[str, int] = {}
        if terminal is not None:
            self._bars = Progress(
                # fixed widths, so that on a narrow terminal only the message is cut
                TextColumn("{task.description}", table_column=Column(width=17, no_wrap=True)),
                BarColumn(None, table_column=Column(width=12)),
                TaskProgressColumn(table_column=Column(width=4, no_wrap=True)),
                TextColumn("{task.fields[eta]:>10}", table_column=Column(width=10, no_wrap=True)),
                TextColumn("{task.fields[message]}", markup=False, table_column=Column(ratio=1, no_wrap=True)),
                console=terminal,
                expand=True,
            )
            self._bars.start()

    def on_event(self, event: Event) -> None:
        """Show one event."""
        if event.kind == "progress":
            self._progress(event)
        elif event.kind == "log" and event.data.get("notice"):
            self._output.notice(event.message)
        elif event.kind == "log" and event.stage != "worker":
            self._output.say(event.message)

    def close(self) -> None:
        """Leave the bars as they are and give the terminal back."""
        if self._bars is not None:
            self._bars.stop()

    def _progress(self, event: Event) -> None:
        name, fraction = _STAGES.get(event.stage, event.stage), event.fraction or 0.0
        if self._bars is None:
            # a quarter at a time: a log file needs no more
            quarter = int(fraction * 4)
            if quarter > self._said.get(event.stage, -1):
                self._said[event.stage] = quarter
                self._output.say(f"{name}: {fraction:.0%}  {event.message}".rstrip())
            return
        task = self._tasks.get(event.stage)
        if task is None:
            task = self._tasks[event.stage] = self._bars.add_task(name, total=1.0, eta="", message="")
        eta = f"{event.eta_s:.0f} s left" if event.eta_s and fraction < 1.0 else ""
        self._bars.update(task, completed=fraction, eta=eta, message=event.message)


def _console(stderr: bool) -> Console:
    console = Console(stderr=stderr)
    if not console.is_terminal:
        console = Console(stderr=stderr, width=_PLAIN_WIDTH)
    return console
