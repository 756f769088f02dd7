"""The code blocks of the documents, and how they are run.

A block stands as it is and runs in the tests, in an empty folder; or below one of two marks:

    <!-- minutes -->   runs in `make docs-check`, which follows a page from its first block to its last in one folder
    <!-- long -->      wants a network, a cohort, a server or hours: its lines are parsed by the programs that they call

    python -m Testing.documents.blocks [WORDS]     follow the pages whose names hold one of the words, or all
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
DOCS = REPOSITORY / "docs"
PAGES = sorted([REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *DOCS.rglob("*.md")])
NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.ipynb"))
MINUTES, LONG = "minutes", "long"
REPORT = "TACE was performed. Epirubicin 40 mg and Lipiodol 10 ml were given as an emulsion through the hepatic artery."
#: A line that keeps what a command prints in a variable of the shell.
_KEPT = re.compile(r"^[A-Z_]+=\$\(.*\)$")
_BLOCK = re.compile(r"(?:<!-- (minutes|long) -->\n)? *```(bash|python)\n(.*?)```", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A block of a page.

    Attributes:
        page: its file.
        number: of the block in it.
        mark: "", MINUTES or LONG.
        language: "bash" or "python".
        text: what is inside.
    """

    page: Path
    number: int
    mark: str
    language: str
    text: str

    @property
    def name(self) -> str:
        """Of the page and the block."""
        return f"{self.page.relative_to(REPOSITORY).with_suffix('')}-{self.number}"


def blocks_of(page: Path) -> list[Block]:
    """The blocks of shell and Python of a page."""
    found = _BLOCK.finditer(page.read_text(encoding="utf-8"))
    return [Block(page, n, one[1] or "", one[2], one[3]) for n, one in enumerate(found)]


def commands(text: str) -> list[list[str]]:
    """The commands of a shell block, as words; loops, comments and lines that keep an output are left out."""
    joined = text.replace("\\\n", " ").replace("${i}", "1")
    lines = [line.strip().rstrip("&").strip() for line in joined.splitlines()]
    words = [shlex.split(line.partition("&&")[0], comments=True) for line in lines if not _KEPT.match(line)]
    return [w for w in words if w and w[0] not in ("for", "done")]


def assigned(words: list[str]) -> tuple[dict[str, str], list[str]]:
    """Variables that are set before a command, as NAME=VALUE, and the command."""
    count = next((n for n, word in enumerate(words) if not re.match(r"[A-Z_]+=", word)), len(words))
    pairs = (word.partition("=") for word in words[:count])
    return {name: value for name, _, value in pairs}, words[count:]


def environment() -> dict[str, str]:
    """In which a reader's commands run: this source, and the programs beside this Python."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    return {**os.environ, "PATH": path, "PYTHONPATH": str(REPOSITORY), "PYTHONUTF8": "1", "MPLBACKEND": "Agg"}


def run(block: Block, folder: Path) -> None:
    """Run a block in a folder.

    Raises:
        AssertionError: a command of it fails, with what it said.
    """
    # the command may belong to another source than this one, so its module of this source is run
    if block.language == "python":
        steps = [["python", "-c", block.text]]
    elif any(_KEPT.match(line) for line in block.text.splitlines()):
        python = shlex.quote(sys.executable)
        steps = [["bash", "-euc", f'mewm() {{ {python} -m MeWMLib.cli "$@"; }}\n{block.text}']]
    else:
        steps = commands(block.text)
    programs = {"python": [sys.executable], "mewm": [sys.executable, "-m", "MeWMLib.cli"]}
    for step in steps:
        given, words = assigned(step)
        done = subprocess.run(
            [*programs.get(words[0], words[:1]), *words[1:]],
            cwd=folder,
            env={**environment(), **given},
            capture_output=True,
            check=False,
            encoding="utf-8",
            errors="replace",
        )
        assert done.returncode == 0, f"{block.name}: {shlex.join(words)}\n{done.stdout}\n{done.stderr}"


def main(words: list[str]) -> int:
    """Follow pages with blocks that take minutes, each in an empty folder."""
    for page in PAGES:
        blocks = [block for block in blocks_of(page) if block.mark != LONG]
        name = str(page.relative_to(REPOSITORY))
        if not any(block.mark == MINUTES for block in blocks) or (words and not any(w in name for w in words)):
            continue
        with tempfile.TemporaryDirectory() as folder:
            for block in blocks:
                begin = time.perf_counter()
                run(block, Path(folder))
                print(f"{block.name}: {time.perf_counter() - begin:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
