"""What the terminal shows: results on standard output; progress, messages and errors on standard error."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from MeWMLib.core.terminal import Bars, bars
from MeWMLib.jobs.job import Event

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Column, Table

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
        self._said: set[str] = set()

    @property
    def width(self) -> int:
        """Characters in a line of standard output."""
        return self._out.width

    def result(self, text: str) -> None:
        """Print a line that belongs to the result."""
        if not self.as_json:
            _print(self._out, text)

    def section(self, title: str, *lines: str) -> None:
        """Print lines that belong to the result under a title."""
        if not self.as_json:
            self._out.print(f"\n[bold]{title}[/bold]", highlight=False)
        for line in lines:
            self.result(line)

    def table(self, table: Table) -> None:
        """Print a table that belongs to the result."""
        if not self.as_json:
            self._out.print(table)

    def filled(self, table: Table, wrapped: int) -> bool:
        """Give one column of a table what the others leave of a line; false where its longest word has no room.

        Without it rich may draw a table wider than the line and cut its right border off.

        Args:
            table: with all its rows.
            wrapped: index of the column that breaks its lines; the others are shown whole.
        """
        least = [_least_width(column) for column in table.columns]
        room = self.width - (sum(least) - least[wrapped] + 3 * len(least) + 1)
        for column, width in zip(table.columns, least, strict=True):
            column.width = width
        table.columns[wrapped].width = max(1, min(room, _whole_width(table.columns[wrapped])))
        return room >= least[wrapped]

    def rows(self, title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], wrapped: int = 1) -> None:
        """Print a table of texts; the last `wrapped` columns break their lines, the others stay whole."""
        from rich.table import Table

        table = Table(title=title)
        for n, name in enumerate(columns):
            wraps = n >= len(columns) - wrapped
            table.add_column(name, overflow="fold" if wraps else "ellipsis", no_wrap=not wraps)
        for row in rows:
            self.row(table, *row)
        self.table(table)

    @staticmethod
    def row(table: Table, *cells: str) -> None:
        """Add a row whose texts are shown as they are: brackets in a path or a reason are not markup."""
        from rich.markup import escape

        table.add_row(*(escape(cell) for cell in cells))

    def json(self, data: Any) -> bool:
        """Print the data if JSON was asked for; tells whether it was."""
        if self.as_json:
            self._out.file.write(json.dumps(data, indent=2, ensure_ascii=False) + "\n")
        return self.as_json

    def show(self, data: Any, *lines: str) -> None:
        """Print the data if JSON was asked for, else the lines."""
        if not self.json(data):
            for line in lines:
                self.result(line)

    def say(self, text: str) -> None:
        """Print a message beside the result."""
        if not self.quiet:
            self.notice(text)

    def on_screen(self, text: str) -> bool:
        """Whether a message of these words stands above on the same terminal; a file gets all of a result."""
        return self._out.is_terminal and self._err.is_terminal and text.casefold() in self._said

    def notice(self, text: str) -> None:
        """Print what must be seen even with --quiet, such as terms of use."""
        self._said.add(text.casefold())
        _print(self._err, text)

    def error(self, text: str) -> None:
        """Print why the command failed."""
        _print(self._err, f"mewm: {text}")

    @contextmanager
    def progress(self, title: Callable[[str], str]) -> Iterator[Callable[[Event], None]]:
        """Give a function that shows the events of a job; `title` names a stage."""
        with bars(self.quiet, self._err) as shown:
            yield lambda event: self._show(event, shown, title)

    def _show(self, event: Event, shown: Bars, title: Callable[[str], str]) -> None:
        if event.kind == "progress":
            shown.step(title(event.stage), event.fraction or 0.0, 1.0, event.message, event.eta_s)
        elif event.kind == "log" and event.data.get("notice"):
            self.notice(event.message)
        elif event.kind == "log" and event.stage != "worker":
            self.say(event.message)


def _least_width(column: Column) -> int:
    """Characters that a column needs to lose nothing."""
    lines = _lines(column)
    return max(map(len, lines if column.no_wrap else " ".join(lines).split()), default=1)


def _whole_width(column: Column) -> int:
    """Characters that a column needs to break no line."""
    return max(map(len, _lines(column)), default=1)


def _lines(column: Column) -> list[str]:
    from rich.text import Text

    return [line for cell in (column.header, *column.cells) for line in Text.from_markup(str(cell)).plain.split("\n")]


def _print(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _console(stderr: bool) -> Console:
    from rich.console import Console

    console = Console(stderr=stderr)
    return console if console.is_terminal else Console(stderr=stderr, width=_PLAIN_WIDTH)
