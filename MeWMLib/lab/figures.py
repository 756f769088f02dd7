"""Measured figures in README, docs and model cards, filled in from the JSON files under `Resources/Results`.

    python -m MeWMLib.lab.figures            write the figures into the documents (`make docs`)
    python -m MeWMLib.lab.figures --check    say what is out of date or unmarked; exit code 1 if anything is

Each JSON file is the `metrics.json` of one evaluation: rows of metrics, and a stamp that says which bundle, command and
date they come from. A document takes them in two ways, between markers that stay:

    <!-- figures: TABLE -->                            a table of `tables.json`
    <!-- figure: RESULT ROW METRIC FORM -->            one figure in a sentence

both closed by `<!-- /figures -->` or `<!-- /figure -->`. FORM is a number format as in Python; `:mean` after it leaves
the interval out. A figure of another bundle than the one that ships must say so in the text around it ("version 4").
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from MeWMLib.core.errors import InputError
from MeWMLib.core.io import atomic_path
from MeWMLib.core.records import read_json
from MeWMLib.lab.evaluation.metrics import markdown, shown

ROOT = Path(__file__).parents[2]
RESULTS, TABLES, SHIPPED = "Resources/Results", "tables.json", "Resources/Bundles/mewm-small/manifest.json"
#: Documents with figures, below the root.
DOCUMENTS = ("README.md", "docs/**/*.md", "Resources/Bundles/*/MODEL_CARD.md")
#: What every stamp says; null is allowed where `notes` has a word on it.
STAMP = ("bundle", "command", "date", "mewm", "seed", "device", "patients")

_TABLE = re.compile(r"(<!-- figures: (\S+) -->\n).*?(<!-- /figures -->)", re.DOTALL)
_INLINE = re.compile(r"(<!-- figure: (\S+ \S+ \S+ \S+) -->).*?(<!-- /figure -->)", re.DOTALL)
_REFERENCE = re.compile(r"\{(\S+ \S+ \S+ \S+)\}")
_REMEDY = "Correct the file, or take the metrics.json of the evaluation again"


class Figures:
    """The results and tables of a repository.

    Args:
        root: of the repository.
    """

    def __init__(self, root: Path = ROOT) -> None:
        self.root = root
        self._read: dict[str, Any] = {}
        self.tables: Mapping[str, Any] = self._json(root / RESULTS / TABLES)
        self.shipped: Mapping[str, Any] = self._json(root / SHIPPED)

    def _json(self, path: Path) -> Any:
        return read_json(path, "A file of figures", InputError, _REMEDY)

    def result(self, name: str) -> Any:
        """The result file of that name.

        Raises:
            InputError: there is none, or it is not valid.
        """
        if name not in self._read:
            self._read[name] = self._json(self.root / RESULTS / f"{name}.json")
        return self._read[name]

    def figure(self, reference: str) -> str:
        """What "RESULT ROW METRIC FORM" looks like.

        Raises:
            InputError: there is no such figure.
        """
        result, row, metric, form = reference.split()
        try:
            return shown(self.result(result)["rows"][row][metric], form)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                what="There is no such figure", given=f"{reference} ({error})", remedy=f"See {RESULTS}/{result}.json"
            ) from error

    def old_version(self, result: str) -> str | None:
        """Version of the bundle that a result was measured with, if it is not that of the shipped one.

        A result that names the parts it rests on stays valid as long as the shipped bundle has the same parts.
        """
        bundle = self.result(result)["stamp"]["bundle"]
        if bundle is None or bundle["version"] == self.shipped["version"]:
            return None
        parts = {name: part["sha256"] for name, part in self.shipped["parts"].items()}
        used = bundle.get("parts")
        if used and all(parts.get(name) == checksum for name, checksum in used.items()):
            return None
        return str(bundle["version"])

    def cells(self, table: str) -> list[list[str]]:
        """Templates of the cells of a table, line by line without its header.

        A line of `tables.json` is its label, then templates; "@TEXT" in their place means the table's `cells` with
        TEXT for each @: a row, or, where rows are columns, metric and form. A metric that a row lacks stays empty.
        """
        spec = self.tables[table]
        lines = []
        for label, *given in spec["rows"]:
            if len(given) == 1 and given[0].startswith("@"):
                given = [self._of_row(cell, given[0][1:]) for cell in spec["cells"]]
            lines.append([label, *given])
        return lines

    def _of_row(self, cell: str, row: str) -> str:
        cell = cell.replace("@", row)
        asked = [reference.split() for reference in _REFERENCE.findall(cell)]
        known = all(metric in self.result(result)["rows"].get(row, {}) for result, row, metric, _ in asked)
        return cell if known else ""

    def table(self, name: str) -> str:
        """A table in Markdown.

        Raises:
            InputError: there is no such table or figure.
        """
        if name not in self.tables:
            raise InputError(what="There is no such table", given=name, remedy=f"See {RESULTS}/{TABLES}")
        return markdown(self.tables[name]["header"], [[self.fill(c) for c in line] for line in self.cells(name)])

    def fill(self, template: str) -> str:
        """A text with its {RESULT ROW METRIC FORM} replaced by figures."""
        return _REFERENCE.sub(lambda found: self.figure(found[1]), template)

    def update(self, document: str) -> str:
        """The text of a document with today's figures."""
        document = _TABLE.sub(lambda found: found[1] + self.table(found[2]) + found[3], document)
        return _INLINE.sub(lambda found: found[1] + self.figure(found[2]) + found[3], document)

    def unmarked(self, document: str) -> Iterator[str]:
        """Figures of another bundle whose text does not say of which version they are.

        A table may say it in the line, the header of the column, or the paragraph before; a sentence in its paragraph.
        """
        for found in _TABLE.finditer(document):
            before = document[: found.start()].rstrip().rpartition("\n\n")[2]
            header = self.tables[found[2]]["header"]
            for line in self.cells(found[2]):
                said = f"{before} {' '.join(line)}"
                for cell, column in zip(line, header, strict=False):
                    yield from self._unsaid(_REFERENCE.findall(cell), f"{said} {column}", f"table {found[2]}")
        for paragraph in document.split("\n\n"):
            said = _INLINE.sub("", paragraph)
            yield from self._unsaid([found[2] for found in _INLINE.finditer(paragraph)], said, "a sentence")

    def _unsaid(self, references: Sequence[str], said: str, where: str) -> Iterator[str]:
        for reference in references:
            version = self.old_version(reference.split()[0])
            if version is not None and not re.search(rf"\bversion {re.escape(version)}\b", said, re.IGNORECASE):
                yield f"{where}: {reference} was measured with version {version}, and the text does not say so"

    def bad_stamps(self) -> Iterator[str]:
        """Result files whose stamp lacks a field, or a word on why it is not known."""
        for path in sorted((self.root / RESULTS).glob("*.json")):
            if path.name == TABLES:
                continue
            stamp = self.result(path.stem).get("stamp", {})
            notes = stamp.get("notes", {})
            for field in STAMP:
                if stamp.get(field) is None and field not in notes:
                    yield f"{path.name}: the stamp does not say {field}"


def documents(root: Path = ROOT) -> list[Path]:
    """The files that figures are written into."""
    return [path for pattern in DOCUMENTS for path in sorted(root.glob(pattern))]


def problems(root: Path = ROOT) -> list[str]:
    """What is out of date, unmarked or unstamped; empty if all is well.

    Raises:
        InputError: a table or figure is not there, or a file is not valid.
    """
    figures, found = Figures(root), []
    for path in documents(root):
        text = path.read_text(encoding="utf-8")
        if figures.update(text) != text:
            found.append(f"{path.relative_to(root)}: its figures are not those of {RESULTS}; run `make docs`")
        found += [f"{path.relative_to(root)}: {problem}" for problem in figures.unmarked(text)]
    return [*found, *figures.bad_stamps()]


def main(argv: list[str] | None = None) -> int:
    """Write or check; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m MeWMLib.lab.figures", description="figures of the documents")
    parser.add_argument("--check", action="store_true", help="write nothing; say what is out of date or unmarked")
    parser.add_argument("--root", type=Path, default=ROOT, help="of the repository")
    args = parser.parse_args(argv)
    try:
        if not args.check:
            figures = Figures(args.root)
            for path in documents(args.root):
                old = path.read_text(encoding="utf-8")
                if (new := figures.update(old)) != old:
                    with atomic_path(path) as part:
                        part.write_text(new, encoding="utf-8")
        found = problems(args.root)
    except InputError as error:
        found = [str(error)]
    sys.stderr.writelines(f"{problem}\n" for problem in found)
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
