"""What README and docs tell people to type, where their links lead, and how their pictures are made.

Blocks run as they are, in an empty folder, or as their marks say (`Testing/documents/blocks.py`).
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import re
import shlex
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from MeWMLib.cli import arguments as cli_arguments
from MeWMLib.cli.housekeeping import program_module
from Testing.documents.blocks import (
    DOCS,
    LONG,
    MINUTES,
    NOTEBOOKS,
    PAGES,
    REPORT,
    REPOSITORY,
    Block,
    assigned,
    blocks_of,
    commands,
    run,
)

BLOCKS = [pytest.param(block, id=block.name) for page in PAGES for block in blocks_of(page)]
#: README's own block of Python is run by `test_front_door.py`.
SHORT = [b for b in BLOCKS if not b.values[0].mark and b.values[0].page.parent != REPOSITORY]
#: A link or picture of Markdown, outside of code.
_LINK = re.compile(r"(!?)\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"^( *)(`{3,}).*?^\1\2\s*$|`[^`\n]+`", re.DOTALL | re.MULTILINE)


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
    _, words = assigned(words)
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


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.values[0].mark])
def test_long_blocks_are_what_the_programs_take(block: Block) -> None:
    if block.language == "python":
        compile(block.text, block.name, "exec")
        return
    lines = commands(block.text)
    assert lines, f"an empty block: {block.name}"
    for words in lines:
        try:
            _check(words)
        except SystemExit as stop:
            pytest.fail(f"{block.name}: {shlex.join(words)}: {stop}")


@pytest.mark.slow
@pytest.mark.parametrize("block", SHORT)
def test_short_blocks_run(block: Block, tmp_path: Path) -> None:
    (tmp_path / "report.txt").write_text(REPORT, encoding="utf-8")
    run(block, tmp_path)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebooks_are_valid_and_hold_no_outputs(path: Path) -> None:
    """`Testing/documents/test_site.py` runs them."""
    nbformat = pytest.importorskip("nbformat", reason='nbformat is not installed: pip install "mewm[docs]"')
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    assert code and not any(cell.outputs or cell.execution_count for cell in code)


def test_a_wrong_line_would_be_found() -> None:
    for wrong in ("mewm plan ct.nrrd --out out --no-such-flag", "mewm evaluate generation --out out --no-such-flag 1"):
        with pytest.raises(SystemExit):
            _check(shlex.split(wrong))
    with pytest.raises(AssertionError):
        _check(["make", "no-such-target"])


def _texts(page: Path) -> str:
    """A page without its code."""
    return _CODE.sub("", page.read_text(encoding="utf-8"))


def _anchors(page: Path) -> set[str]:
    """Of the headings of a page, as GitHub makes them."""
    titles = re.findall(r"^#+ +(.+?)\s*$", re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.M | re.S), re.M)
    plain = [re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles]
    return {name if not plain[:n].count(name) else f"{name}-{plain[:n].count(name)}" for n, name in enumerate(plain)}


def _pending() -> set[str]:
    """Pages that other work brings; a link to one that is missing is text on the site."""
    listed = re.search(r"pending: \[([^\]]*)\]", (REPOSITORY / "mkdocs.yml").read_text(encoding="utf-8"))
    return {f"docs/{name.strip()}" for name in listed[1].split(",")} if listed else set()


def _wrong_links(page: Path, pending: set[str]) -> list[str]:
    wrong = []
    for _, link in _LINK.findall(_texts(page)):
        path, _, anchor = link.partition("#")
        if ":" in path.split("/")[0]:
            parts = urlsplit(link)
            if parts.scheme == "mailto" or (parts.scheme in ("https", "http") and "." in parts.netloc):
                continue
            wrong.append(link)
            continue
        target = (page.parent / path).resolve() if path else page
        if not target.exists() and target.is_relative_to(REPOSITORY) and str(target.relative_to(REPOSITORY)) in pending:
            continue
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in _anchors(target)):
            wrong.append(link)
    return wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_nothing_stands_in_a_form_that_these_tests_pass_over(page: Path) -> None:
    """Links by tags or by reference, and commands in a block of another language."""
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"<(?:a|img)\s|^\[[^\]]+\]: ", _texts(page), re.MULTILINE)
    assert set(re.findall(r"^ *```([^\n`]+)$", text, re.MULTILINE)) <= {"bash", "python", "json", "nginx"}
    # a mark that is misspelt, or apart from its block, would let the block run
    marks = len(re.findall(r"^ *<!-- (?:minutes|long)", text, re.MULTILINE))
    assert marks == len([block for block in blocks_of(page) if block.mark])


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_links_lead_somewhere(page: Path) -> None:
    """Files and headings exist; addresses outside have the form of one (no network is asked)."""
    assert _wrong_links(page, _pending()) == []


def test_a_wrong_link_would_be_found(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("# One title\n\n## `A` and B: c\n", encoding="utf-8")
    right = "[a](other.md#one-title) [b](other.md#a-and-b-c) [c](https://example.org/x) `[d](none.md)`"
    wrong = ["none.md", "other.md#two", "#here", "htps://example.org"]
    (tmp_path / "page.md").write_text(right + "".join(f" [x]({link})" for link in wrong), encoding="utf-8")
    assert _wrong_links(tmp_path / "page.md", set()) == wrong


def test_every_picture_has_a_command_and_is_shown() -> None:
    """`docs/pictures/README.md` says how each is made; nothing lies around that no page shows."""
    table = (DOCS / "pictures" / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([^`]+)` \| `([^`]+)` \|", table, re.MULTILINE)
    kept = [*DOCS.rglob("*.png"), *DOCS.rglob("*.svg"), *(REPOSITORY / "Resources" / "Screenshots").iterdir()]
    assert sorted(name for name, _ in rows) == sorted(p.relative_to(REPOSITORY).as_posix() for p in kept)
    for _, command in rows:
        _check(shlex.split(command))
    shown = {
        (page.parent / link).resolve() for page in PAGES for picture, link in _LINK.findall(_texts(page)) if picture
    }
    assert shown == {p.resolve() for p in kept}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_installing_names_an_environment_and_no_index_that_lacks_us(page: Path) -> None:
    """A bare pip belongs to any Python, and no index has MeWM: an extra comes from the folder of the source."""
    assert _wrong_installs(page.read_text(encoding="utf-8")) == []


def _wrong_installs(text: str) -> list[str]:
    found = re.findall(r"\S*pip install [^`\n]*", text)
    own = [line for line in found if "mewm" in line.partition("pip install")[2] or ".[" in line]
    from_wheels = "--no-index --find-links"
    return [
        line for line in own if not re.match(r"\W*\S+/bin/pip ", line) or ("mewm[" in line and from_wheels not in line)
    ]


def test_a_wrong_install_would_be_found() -> None:
    right = '.venv/bin/pip install -e ".[lab]"\n/opt/mewm/bin/pip install ".[server]"\n`pip install fire nibabel`\n'
    wrong = ['pip install -e ".[scene]"', '.venv/bin/pip install "mewm[server]"']
    assert _wrong_installs(right + "\n".join(wrong)) == wrong


def test_a_block_may_keep_what_a_command_prints(tmp_path: Path) -> None:
    text = 'NAME=$(echo "a b")\nmewm rules check "Doxorubicin 50 mg + LC beads"\necho "$NAME" > "$NAME"\n'
    run(Block(DOCS / "index.md", 0, "", "bash", text), tmp_path)
    assert (tmp_path / "a b").read_text() == "a b\n"
    assert commands(text)[0][:2] == ["mewm", "rules"]
    with pytest.raises(AssertionError):
        run(
            Block(DOCS / "index.md", 0, "", "bash", 'NAME=$(echo x)\nmewm rules check "No such drug 5 mg"\ntrue\n'),
            tmp_path,
        )


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_named_modules_are_there(page: Path) -> None:
    """Files of the package that a page names in code marks exist."""
    named = re.findall(r"`((?:MeWMLib|Testing|MeWM|Resources)/[\w./-]+?)`", page.read_text(encoding="utf-8"))
    assert [name for name in named if not (REPOSITORY / name).exists() and "*" not in name] == []


def test_there_are_pages_and_blocks_of_every_kind() -> None:
    marks = {(b.values[0].mark, b.values[0].language) for b in BLOCKS}
    assert len(PAGES) > 30 and marks >= {("", "bash"), (LONG, "bash"), (MINUTES, "bash"), (MINUTES, "python")}
    assert len(NOTEBOOKS) == 3 and isinstance(cli_arguments.parse(["doctor"]), argparse.Namespace)
