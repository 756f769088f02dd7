"""What README and docs tell people to type, and where their links lead.

Shell blocks run as they are, in an empty folder. A block under `<!-- long -->` takes minutes, a cohort or a server: its
lines are parsed by the programs that they call.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from MeWMLib.cli import arguments as cli_arguments
from MeWMLib.cli.housekeeping import program_module

REPOSITORY = Path(__file__).resolve().parents[1]
PAGES = sorted([REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *(REPOSITORY / "docs").glob("*.md")])
_BLOCK = re.compile(r"(<!-- long -->\n)?```bash\n(.*?)```", re.DOTALL)
BLOCKS = [
    pytest.param(page, found[2], bool(found[1]), id=f"{page.stem}-{n}")
    for page in PAGES
    for n, found in enumerate(_BLOCK.finditer(page.read_text(encoding="utf-8")))
]
REPORT = "TACE was performed. Epirubicin 40 mg and Lipiodol 10 ml were given as an emulsion through the hepatic artery."


def _lines(block: str) -> list[list[str]]:
    """The commands of a block, as words; loops and comments are left out."""
    joined = block.replace("\\\n", " ").replace("${i}", "1")
    lines = [line.strip().rstrip("&").strip() for line in joined.splitlines()]
    words = [shlex.split(line.partition("&&")[0], comments=True) for line in lines]
    return [w for w in words if w and w[0] not in ("for", "done")]


def _parse_program(name: str, words: list[str]) -> None:
    """Let a program parse its arguments, and stop before it works."""
    is_file = not importlib.util.find_spec(name).submodule_search_locations
    module = importlib.import_module(name if is_file else f"{name}.__main__")
    if hasattr(module, "_parser"):
        module._parser().parse_args(words)
    else:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("MeWMLib.lab.program.finish", lambda *_: 0)
            module.main(words)


def _check(words: list[str]) -> None:
    """Parse a command line with the program that it calls."""
    name, rest = Path(words[0]).name, words[1:]
    if name == "mewm":
        parsed = cli_arguments.parse(rest)
        if hasattr(parsed, "part"):
            _parse_program(program_module(parsed.program, parsed.part), [parsed.part, *parsed.rest])
    elif name == "make":
        targets = re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        assert {w for w in rest if "=" not in w} <= set(targets), words
    elif name == "python":
        assert rest[0] == "-m" and importlib.util.find_spec(rest[1]) is not None, words
    elif name == "sudo":
        _check(words[3:])
    else:
        system = ("useradd", "install", "cp", "systemctl", "curl", "python3")
        assert name in ("pip", "ssh", "echo", *system), f"no check for {name}"


@pytest.mark.parametrize(("page", "block", "is_long"), [b for b in BLOCKS if b.values[2]])
def test_long_shell_lines_are_lines_that_the_programs_take(page: Path, block: str, is_long: bool) -> None:
    lines = _lines(block)
    assert lines, f"an empty block in {page.name}"
    for words in lines:
        try:
            _check(words)
        except SystemExit as stop:
            pytest.fail(f"{page.name}: {shlex.join(words)}: {stop}")


@pytest.mark.slow
@pytest.mark.parametrize(("page", "block", "is_long"), [b for b in BLOCKS if not b.values[2]])
def test_short_shell_lines_run(page: Path, block: str, is_long: bool, tmp_path: Path) -> None:
    (tmp_path / "report.txt").write_text(REPORT, encoding="utf-8")
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(REPOSITORY), "PYTHONIOENCODING": "utf-8"}
    for words in _lines(block):
        done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, check=False, encoding="utf-8")
        assert done.returncode == 0, f"{page.name}: {shlex.join(words)}\n{done.stdout}\n{done.stderr}"


def test_a_wrong_line_would_be_found() -> None:
    for wrong in ("mewm plan ct.nrrd --out out --no-such-flag", "mewm evaluate generation --out out --no-such-flag 1"):
        with pytest.raises(SystemExit):
            _check(shlex.split(wrong))
    with pytest.raises(AssertionError):
        _check(["make", "no-such-target"])


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    assert [link for link in links if link and not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_named_modules_are_there(page: Path) -> None:
    """Files of the package that a page names in code marks exist."""
    named = re.findall(r"`((?:MeWMLib|Testing|MeWM|Resources)/[\w./-]+?)`", page.read_text(encoding="utf-8"))
    assert [name for name in named if not (REPOSITORY / name).exists() and "*" not in name] == []


def test_there_are_pages_and_blocks_of_both_kinds() -> None:
    assert len(PAGES) > 10 and {b.values[2] for b in BLOCKS} == {True, False}
    assert isinstance(cli_arguments.parse(["doctor"]), argparse.Namespace)
