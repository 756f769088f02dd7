"""Pages of the site that are made of the program itself: its commands, its public Python, its notebooks.

Arguments are read off the parsers that the commands use: asked for their help, they give themselves up in place of it.
"""

from __future__ import annotations

import argparse
import ast
import base64
import functools
import importlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn
from unittest import mock

import MeWMLib
from MeWMLib.cli import arguments, housekeeping
from MeWMLib.jobs.table import KINDS

ROOT = Path(__file__).resolve().parents[2]
#: Before the text of a page of names, so that a search names the pages of prose first.
_LAST_IN_SEARCH = "---\nsearch:\n  boost: 0.1\n---\n\n"
#: Rooms with a page elsewhere: the command line, and research, whose front are its programs.
_ELSEWHERE = ("cli", "lab")


class _FoundError(Exception):
    """Carries a parser out of the program that made it."""


def parser_of(program: Callable[[list[str]], object], words: list[str]) -> argparse.ArgumentParser:
    """The parser that takes the arguments after `words`."""

    def caught(self: argparse.ArgumentParser, file: object = None) -> NoReturn:
        raise _FoundError(self)

    with mock.patch.object(argparse.ArgumentParser, "print_help", caught):
        try:
            program([*words, "--help"])
        except _FoundError as found:
            return found.args[0]
    message = f"{' '.join(words)} has no help"
    raise RuntimeError(message)


def _text(text: str | None) -> str:
    return (
        " ".join((text or "").replace("%%", "%").split()).replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")
    )


def _arguments(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Tables of the arguments: one of what has no title of its own, then one for each group."""
    tables: dict[str, list[str]] = {}
    for group in parser._action_groups:
        plain = group.title in ("positional arguments", "options", "optional arguments")
        rows = tables.setdefault("" if plain else str(group.title), [])
        for action in group._group_actions:
            if action.help == argparse.SUPPRESS or isinstance(action, argparse._HelpAction):
                continue
            value = action.metavar or ("|".join(str(c) for c in action.choices) if action.choices else "")
            if isinstance(value, tuple):
                value = " ".join(value)
            if not value and action.nargs != 0:
                value = action.dest.upper()
            if action.option_strings:
                name = ", ".join(action.option_strings) + (f" {value}" if action.nargs != 0 else "")
            else:
                name = value
            said = _text(action.help)
            if action.choices and action.metavar and action.nargs != argparse.REMAINDER:
                said += f" ({', '.join(str(c) for c in action.choices)})"
            required = "yes" if (action.required if action.option_strings else action.nargs not in ("?", "*")) else ""
            rows.append(f"| `{name.replace('|', ' / ')}` | {said} | {required} |")
    for title, rows in tables.items():
        if rows:
            head = ["| argument | what | needed |", "|---|---|---|"]
            yield "\n".join([*([f"*{title}*", ""] if title else []), *head, *rows])


def _command(title: str, parser: argparse.ArgumentParser, level: str) -> Iterator[str]:
    yield f"{level} {title}"
    if parser.description:
        yield _text(parser.description[0].upper() + parser.description[1:]).rstrip(".") + "."
    yield from _arguments(parser)
    if parser.epilog and parser.epilog.startswith("example: "):
        yield f"```bash\n{parser.epilog.removeprefix('example: ')}\n```"


def command_line() -> str:
    """The page of the command `mewm`, from its parsers."""
    parts = [
        "# The command mewm",
        "This page is made from the argument parser at each build. `mewm --help` and `mewm COMMAND --help` say the "
        "same. A command ends with exit code 0, with 2 where something that was given is wrong, and then says what, "
        "and what to do.",
    ]
    names = [*KINDS, *(c.name for c in arguments._COMMANDS if c.run != arguments._PROGRAM)]
    for name in names:
        parts += _command(f"mewm {name}", parser_of(arguments.parse, [name]), "##")
    return "\n\n".join(parts) + "\n"


def programs() -> str:
    """The page of the programs of research, from their parsers."""
    parts = [
        "# Research programs",
        "`mewm cohort`, `train`, `evaluate` and `plan-cohort` start programs of their own; most belong to the lab "
        '(`.venv/bin/pip install -e ".[lab]"`). This page is made from their argument parsers at each build.',
    ]
    for program in [c.name for c in arguments._COMMANDS if c.run == arguments._PROGRAM]:
        for part in arguments._PARTS.get(program, ("",)):
            name = housekeeping.program_module(program, part)
            is_package = hasattr(importlib.import_module(name), "__path__")
            module = importlib.import_module(f"{name}.__main__" if is_package else name)
            words = [part] if part else []
            parts += _command(f"mewm {program} {part}".strip(), parser_of(module.main, words), "##")
    return "\n\n".join(parts) + "\n"


def _front(name: str) -> tuple[bool, str]:
    """What everything starts from comes first."""
    return name != "WorldModel", name


def front_door() -> str:
    """The page of the names that `MeWMLib` offers."""
    parts = [
        "# Python",
        "The names that `import MeWMLib` offers. Each is loaded when it is first asked for, so that the import itself "
        "loads no deep-learning framework. The pages of the rooms have the rest; how the names work together is in "
        "the [first notebook](../notebooks/plan-and-look.md).",
    ]
    # the page of the rooms is the one that references lead to
    own = "\n    options:\n      skip_local_inventory: true"
    parts += [f"::: MeWMLib.{MeWMLib._MODULES[name]}.{name}{own}" for name in sorted(MeWMLib.__all__, key=_front)]
    return _LAST_IN_SEARCH + "\n\n".join(parts) + "\n"


def room(name: str) -> str:
    """The page of what a room offers to the others."""
    modules = sorted(module for module in _imported_from_outside() if module.split(".")[1] == name)
    parts = [
        f"# MeWMLib.{name}",
        f"The modules of `MeWMLib/{name}/` that other rooms import, with their public names. What is imported inside "
        "the room alone may change without notice, and is left out. [Architecture](../ARCHITECTURE.md) says what a "
        "room is.",
        *(f"::: {module}" for module in modules),
    ]
    return _LAST_IN_SEARCH + "\n\n".join(parts) + "\n"


def rooms() -> list[str]:
    """Rooms that offer something to others, the widest used first."""
    used = [module.split(".")[1] for module in _imported_from_outside()]
    return sorted(set(used), key=lambda name: (-used.count(name), name))


@functools.cache
def _imported_from_outside() -> set[str]:
    """Modules of a room that a file of another room, or of the Slicer module, imports."""
    found: set[str] = set()
    for path in [*(ROOT / "MeWMLib").rglob("*.py"), *(ROOT / "MeWM").rglob("*.py")]:
        parts = path.relative_to(ROOT).parts
        room = parts[1] if parts[0] == "MeWMLib" and len(parts) > 2 else ""
        if room == "lab":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            else:
                continue
            for name in names:
                words = name.split(".")
                if len(words) > 2 and words[0] == "MeWMLib" and words[1] not in (room, *_ELSEWHERE):
                    if not any(w.startswith("_") for w in words) and ROOT.joinpath(*words).with_suffix(".py").is_file():
                        found.add(name)
    return found


def shown_by(path: Path) -> list[dict[str, Any]]:
    """What each code cell of a notebook shows when it is run: its text, and its pictures as PNG.

    Raises:
        RuntimeError: a cell fails.
    """
    program = Path(__file__).with_name("run_notebook.py")
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, str(program), str(path)],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"},
            capture_output=True,
            check=False,
            encoding="utf-8",
        )
    if done.returncode:
        message = f"{path.name} does not run\n{done.stderr}"
        raise RuntimeError(message)
    return [
        {"text": one["text"], "pictures": [base64.b64decode(p) for p in one["pictures"]]}
        for one in json.loads(done.stdout)
    ]


def notebook(path: Path, repository: str, shown: Sequence[dict[str, Any]] = ()) -> tuple[str, dict[str, bytes]]:
    """A notebook as a page: its texts, its code and what that shows; and its pictures, by name."""
    parts, pictures, outputs = [], {}, iter(shown)
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(text)
            continue
        parts.append(f"```python\n{text}\n```")
        output = next(outputs, {"text": "", "pictures": []})
        if output["text"]:
            parts.append(f"```text\n{output['text'].rstrip()}\n```")
        for png in output["pictures"]:
            name = f"{path.stem}-{len(pictures) + 1}.png"
            pictures[name] = png
            parts.append(f"![What the cell above draws]({name})")
    parts.append(f"The notebook is [{path.name}]({repository}/blob/main/docs/notebooks/{path.name}).")
    return "\n\n".join(parts) + "\n", pictures
