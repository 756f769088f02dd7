"""CSV in: the one place where tables that people wrote by hand or by a spreadsheet program are read and checked.

A table is read whole and right or refused with the line: rows of another width, a name of a column that stands twice,
an encoding that is not UTF-8, quotes that do not close, a decimal comma that could be a separator of thousands. A cell
that should be a number or a flag and is neither is never dropped; the words of `NOT_KNOWN` mean what they say.
"""

from __future__ import annotations

import codecs
import contextlib
import csv
import gzip
import io
import math
import re
import unicodedata
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from MeWMLib.core.errors import InputError, MeWMError, UnreadableFileError

#: A table larger than this is not one of patients.
MAX_BYTES = 64 * 2**20
MAX_COLUMNS = 5000
#: What people write where a value is not known, folded; also with brackets around it.
NOT_KNOWN = frozenset(
    "|-|--|'--|\u2013|\u2014|.|na|n/a|#n/a|n.a.|n.a|nan|null|none|nil|unknown|not known|unk|missing|not available"
    "|not reported|not applicable|not evaluated|not done|not recorded|pending".split("|")
)
#: Also as spreadsheet programs in German, French, Spanish and Italian write them.
_TRUE = frozenset("1 true yes y t wahr ja j vrai oui verdadero sí si vero sì".split())
_FALSE = frozenset("0 false no n f falsch nein faux non falso".split())
_SEPARATORS = (",", ";", "\t")
_REMEDY = "Give a CSV file in UTF-8; a spreadsheet program can save one"
#: Beginnings of files that are something else, and what they are.
_FOREIGN = (
    (b"PK\x03\x04", "a spreadsheet or ZIP file"),
    (b"\xd0\xcf\x11\xe0", "a spreadsheet of an old format"),
    (b"%PDF", "a PDF file"),
    (codecs.BOM_UTF32_LE, "text in UTF-32"),
    (codecs.BOM_UTF32_BE, "text in UTF-32"),
    (codecs.BOM_UTF16_LE, "text in UTF-16"),
    (codecs.BOM_UTF16_BE, "text in UTF-16"),
)
_WHOLE = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+[.,]?[0-9]*|[.,][0-9]+)(?:[eE][+-]?[0-9]+)?")
#: Could be a separator of thousands as well.
_UNCLEAR = re.compile(r"[+-]?[1-9][0-9]{0,2}[.,][0-9]{3}")


def fold(name: str) -> str:
    """A column's name without case, accents of width, and punctuation: "OS-Months " and "os_months" are the same."""
    text = unicodedata.normalize("NFKC", name).casefold()
    return re.sub(r"[\W_]+", "_", "".join(c for c in text if unicodedata.category(c) != "Cf")).strip("_")


def known(cell: str) -> str:
    """The cell; "" where it says in words that nothing is known."""
    return "" if cell.strip("[]<>()").strip().casefold() in NOT_KNOWN else cell


@dataclass(frozen=True, eq=False)
class Table:
    """A table of texts.

    Attributes:
        path: the file.
        what: names it in an error.
        error: type of the errors on its content.
        separator: of its cells.
        columns: names as they are written, stripped.
        records: line of the file where the row begins, and one cell for each column, stripped.
    """

    path: Path
    what: str
    error: type[MeWMError]
    separator: str
    columns: tuple[str, ...]
    records: tuple[tuple[int, tuple[str, ...]], ...]

    @cached_property
    def places(self) -> dict[str, int]:
        """Folded name of every column to its place."""
        return {fold(name): place for place, name in enumerate(self.columns)}

    def place(self, name: str) -> int | None:
        """Place of a column, whatever its case and punctuation; None if there is none."""
        return self.places.get(fold(name))

    def require(self, names: Sequence[str], what: str, remedy: str) -> None:
        """Raise an error (`self.error`) that names the columns that are missing, if any is."""
        if missing := [name for name in names if self.place(name) is None]:
            raise self.error(what, given=f"{self.path.name} without {', '.join(missing[:5])}", remedy=remedy)

    def rows(self, names: Mapping[str, int] | None = None) -> list[Row]:
        """The rows, their cells by the given names (by default those of the columns, folded)."""
        where = dict(self.places if names is None else names)
        return [Row(self, where, cells, line) for line, cells in self.records]

    def unread(self, read: Sequence[int]) -> list[str]:
        """Names of the columns that are not in `read`."""
        return [name or "(no name)" for place, name in enumerate(self.columns) if place not in read]

    @cached_property
    def _marks(self) -> list[frozenset[str]]:
        """Decimal marks that each column shows beyond doubt."""
        found: list[set[str]] = [set() for _ in self.columns]
        for _, cells in self.records:
            for marks, cell in zip(found, cells, strict=True):
                if len(marks) < 2 and _NUMBER.fullmatch(cell) and not _UNCLEAR.fullmatch(cell):
                    marks.update(mark for mark in ".," if mark in cell)
        return [frozenset(marks) for marks in found]

    def decimal_marks(self, place: int) -> frozenset[str]:
        """Decimal marks of a column; those of the whole table where the column does not tell."""
        return self._marks[place] or frozenset().union(*self._marks)


@dataclass(frozen=True, eq=False)
class Row:
    """One row; its errors name the line and the column, and show no other cell."""

    table: Table
    places: Mapping[str, int]
    cells: tuple[str, ...]
    line: int

    def text(self, name: str) -> str:
        """The cell of a column; "" where it is blank, or there is no such column."""
        place = self.places.get(name)
        return "" if place is None else self.cells[place]

    def known(self, name: str) -> str:
        """The same; "" also where the cell says that nothing is known ("n/a", "unknown", "-")."""
        return known(self.text(name))

    def number(self, name: str) -> float | None:
        """The number in a cell; None where it is blank or not known.

        In files separated by semicolons or tabs a decimal comma is read, unless it could separate thousands.

        Raises:
            MeWMError: (the table's type) anything else: words, a unit, a limit such as ">60", an infinite number.
        """
        cell = self.known(name)
        if not cell:
            return None
        if not _NUMBER.fullmatch(cell):
            raise self.wrong(
                what=f"{name} is not a number", name=name, remedy="Write the number alone, or leave the cell blank"
            )
        mark = next((mark for mark in ".," if mark in cell), "")
        if mark:
            self._require_mark(name, cell, mark)
        value = float(cell.replace(",", "."))
        if not math.isfinite(value):
            raise self.wrong(what=f"{name} is not a finite number", name=name)
        return value

    def _require_mark(self, name: str, cell: str, mark: str) -> None:
        """Raise unless the mark is the decimal mark of the column."""
        if self.table.separator == ",":
            if mark == ",":
                raise self.wrong(
                    what=f"{name} has a decimal comma in a file separated by commas", name=name, remedy="Write a point"
                )
            return
        marks = self.table.decimal_marks(self.places[name])
        if len(self.table._marks[self.places[name]]) == 2:
            raise self.wrong(
                what=f"{name} has decimal points and decimal commas", name=name, remedy="Write points everywhere"
            )
        if (_UNCLEAR.fullmatch(cell) and marks != {mark}) or (marks and mark not in marks):
            raise self.wrong(
                what=f"{name} has a {'comma' if mark == ',' else 'point'} that could separate thousands or decimals",
                name=name,
                remedy="Write a point before decimals and nothing between thousands",
            )

    def flag(
        self,
        name: str,
        yes: frozenset[str] = frozenset(),
        no: frozenset[str] = frozenset(),
        words_only: bool = False,
    ) -> bool | None:
        """True or False from 1/0, yes/no, true/false, the given words, or both as in "1:DECEASED"; None if not known.

        Args:
            name: of the column.
            yes, no: further words.
            words_only: one of these has to be there, since the name of the column does not say what 1 means.

        Raises:
            MeWMError: (the table's type) anything else, or a number and a word that contradict each other.
        """
        cell = self.known(name)
        if not cell:
            return None
        number, colon, word = cell.casefold().partition(":")
        parts = [re.sub(r"^([01])[.,]0+$", r"\1", number.strip()), *([word.strip()] if colon else [])]
        found = {True if p in _TRUE | yes else False if p in _FALSE | no else None for p in parts}
        if len(found) != 1 or None in found:
            words = "".join(f", or {a}/{b}" for a, b in zip(sorted(yes)[:1], sorted(no)[:1], strict=False))
            raise self.wrong(what=f"{name} must be 0 or 1", name=name, remedy=f"Write 1/0, yes/no or true/false{words}")
        if words_only and not any(part in yes | no for part in parts):
            example = "/".join(sorted(yes)[:1] + sorted(no)[:1])
            raise self.wrong(
                what=f"The name of a column does not say what {parts[0]} means",
                name=name,
                remedy=f"Write words such as {example}, or call the column {name} if 1 means that it was seen",
            )
        return found.pop()

    def wrong(self, what: str, name: str = "", remedy: str = "") -> MeWMError:
        """An error about this row, with the cell of a column if one is named."""
        given = f"line {self.line} of {self.table.path.name}"
        if name in self.places:
            given += f", column {self.table.columns[self.places[name]]!r}: {self.text(name)[:20]!r}"
        return self.table.error(what, given=given, remedy=remedy)


def read_csv(path: Path | str, what: str = "The table", error: type[MeWMError] = InputError) -> Table:
    """Read a CSV file with a header: UTF-8 with or without mark, also gzipped; comma, semicolon or tab.

    Lines at the beginning that start with "#" (as cBioPortal writes) and "sep=;" (as Excel writes) are passed over, and
    so are rows without any text and, as spreadsheet programs leave them, columns without a name and any text.

    Args:
        path: the file.
        what: names it in an error, such as "The clinical table".
        error: type of the errors on its content.

    Raises:
        UnreadableFileError: missing, too large, not a text in UTF-8, or without a row.
        MeWMError: of type `error`: a row of another width than the header, a column twice, quotes that do not close, a
            separator that is not clear.
    """
    path = Path(path)
    text = _text(path, what)
    start, line, separator = 0, 1, ""
    for head in io.StringIO(text, newline=""):
        told = re.fullmatch(r"sep=([,;\t])", head.strip("\r\n"), re.IGNORECASE)
        if not told and head.strip() and not head.lstrip('"').startswith("#"):
            break
        start, line, separator = start + len(head), line + 1, told[1] if told else separator
    records = _records(text[start:], line, path, what, error, separator)
    separator, ((_, header), *rest) = records if records[1] else (",", [(line, ())])
    columns = tuple(name.strip().lstrip("\ufeff") for name in header)
    if not rest:
        raise UnreadableFileError(what=f"{what} has no rows", given=str(path), remedy="Give a CSV file with a header")
    if len(columns) > MAX_COLUMNS:
        raise error(what=f"{what} has too many columns", given=f"{len(columns)} of {MAX_COLUMNS} at most")
    for at, cells in rest:
        if len(cells) != len(columns):
            raise error(
                what=f"A row of {what[0].lower()}{what[1:]} has another number of cells than the header",
                given=f"line {at} of {path.name}: {len(cells)} cells, {len(columns)} columns",
                remedy="Put a cell that holds the separator in quotes, and leave a blank cell where nothing is known",
            )
    rows = [(at, tuple(cell.strip() for cell in row)) for at, row in rest]
    kept = [n for n, name in enumerate(columns) if name or any(row[n] for _, row in rows)]
    columns = tuple(columns[n] for n in kept)
    _require_names(columns, what, error)
    return Table(path, what, error, separator, columns, tuple((at, tuple(row[n] for n in kept)) for at, row in rows))


def _text(path: Path, what: str) -> str:
    """The text of the file, or an error that says what else it is."""

    def refuse(given: str, cause: Exception | None = None) -> UnreadableFileError:
        problem = UnreadableFileError(what=f"{what} cannot be read", given=f"{path} ({given})", remedy=_REMEDY)
        problem.__cause__ = cause
        return problem

    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if data[:2] == b"\x1f\x8b":
            with gzip.GzipFile(fileobj=io.BytesIO(data)) as packed:
                data = packed.read(MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error, ValueError) as error:  # ValueError: a null byte in the path
        raise refuse(getattr(error, "strerror", None) or str(error), error) from error
    if len(data) > MAX_BYTES:
        raise refuse(given=f"larger than {MAX_BYTES} bytes")
    for begin, name in _FOREIGN:
        if data.startswith(begin):
            raise refuse(name)
    if b"\0" in data:
        raise refuse(
            given="text in UTF-16, or no text" if data.count(b"\0") > len(data) // 4 else "it holds null bytes"
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        at, byte = 1 + data.count(b"\n", 0, error.start), data[error.start]
        raise refuse(
            given=f"line {at} holds the byte 0x{byte:02x}, as in Windows-1252 or Latin-1 text", cause=error
        ) from error


_Records = list[tuple[int, list[str]]]


def _records(
    text: str, line: int, path: Path, what: str, error: type[MeWMError], separator: str
) -> tuple[str, _Records]:
    """Separator and records that are not blank, each with the line where it begins."""

    def parsed(mark: str) -> _Records:
        return list(_parse(text, line, path, what, error, mark))

    head = re.sub(r'"[^"]*"', "", _header(text))
    candidates = [separator] if separator else [mark for mark in _SEPARATORS if mark in head]
    if len(candidates) < 2:
        mark = candidates[0] if candidates else ","
        return mark, parsed(mark)
    fitting = []
    for mark in candidates:
        with contextlib.suppress(error):
            records = parsed(mark)
            if len({len(cells) for _, cells in records}) == 1:
                fitting.append((mark, records))
    if len(fitting) != 1:
        names = {",": "comma", ";": "semicolon", "\t": "tab"}
        raise error(
            what=f"The separator of {what[0].lower()}{what[1:]} is not clear",
            given=f"{path.name}: its header holds " + " and ".join(names[mark] for mark in candidates),
            remedy="Use one separator, put names that hold another in quotes, and give every row as many cells",
        )
    return fitting[0]


def _header(text: str) -> str:
    """The first record: lines until every quote is closed."""
    lines, quotes = [], 0
    for one in io.StringIO(text, newline=""):
        lines.append(one)
        quotes += one.count('"')
        if one.strip() and quotes % 2 == 0:
            break
    return "".join(lines)


def _parse(
    text: str, line: int, path: Path, what: str, error: type[MeWMError], separator: str
) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    while True:
        begin = line + reader.line_num
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as problem:
            raise error(
                what=f"{what} has a row that cannot be read",
                given=f"line {begin} of {path.name} ({problem})",
                remedy="Close every quote, and write a quote inside of quotes twice",
            ) from problem
        if any(cell.strip() for cell in cells):
            yield begin, cells


def _require_names(columns: Sequence[str], what: str, error: type[MeWMError]) -> None:
    """Raise if a name stands twice, after folding."""
    seen: dict[str, str] = {}
    for name in columns:
        folded = fold(name)
        if folded in seen:
            both = repr(name) if seen[folded] == name else f"{seen[folded]!r} and {name!r}"
            raise error(
                what=f"Two columns of {what[0].lower()}{what[1:]} have no name"
                if not folded
                else f"A column is in {what[0].lower()}{what[1:]} twice",
                given=both if folded else ", ".join(repr(one) for one in columns[:8]),
                remedy="Give every column a name of its own, or delete one of the two"
                + ("" if folded else "; the row of names comes first, without a title above it"),
            )
        seen[folded] = name
