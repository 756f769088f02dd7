"""Every command that a message recommends is understood by the program that it names."""

from __future__ import annotations

import ast
import importlib.util
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from MeWMLib.cli.arguments import parse
from MeWMLib.core import errors
from MeWMLib.core.errors import install_command

REPOSITORY = Path(__file__).resolve().parents[1]
#: What a part of an f-string may stand for; the first that is understood will do.
STAND_INS = ("NAME", "list", "generation", "delete", "plan", "1")
_COMMAND = re.compile(r"`((?:mewm|python -m MeWMLib[.\w]*|pip install)\b[^`]*)`")
_BARE = re.compile(r"(?<![`\w])((?:python -m MeWMLib[.\w]*|pip install) [^;,`\n]+)")


def _texts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Texts of a file that are no docstrings, the parts of an f-string that are computed as "{}"."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    quiet = {id(n.body[0].value) for n in ast.walk(tree) if isinstance(n, documented) and _is_text(n.body)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            quiet |= {id(part) for part in node.values}
            parts = [str(p.value) if isinstance(p, ast.Constant) else "{}" for p in node.values]
            yield node.lineno, "".join(parts)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in quiet:
            yield node.lineno, node.value


def _is_text(body: list[ast.stmt]) -> bool:
    return bool(body) and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant)


def _recommended() -> list[tuple[str, str]]:
    found = []
    for folder in ("MeWMLib", "MeWM"):
        for file in sorted((REPOSITORY / folder).rglob("*.py")):
            for line, text in _texts(ast.parse(file.read_text(encoding="utf-8"))):
                where = f"{file.relative_to(REPOSITORY).as_posix()}:{line}"
                if "\\." in text:
                    continue  # a pattern that looks for a command
                found += [(where, command.strip()) for command in (*_COMMAND.findall(text), *_BARE.findall(text))]
    return found


RECOMMENDED = _recommended()


def _understood(command: str) -> bool:
    """True if the command line parses a command, or, of one that is only named, says how it is used."""
    words = shlex.split(command)[1:]
    for more in ([], ["--help"]):
        # whoever is told a command with its arguments types it as it is; a name alone is looked up
        if more and (len(words) > 2 or any(w.startswith("-") or w.isupper() for w in words)):
            return False
        try:
            parse([*words, *more])
        except SystemExit as end:
            if end.code == 0:
                return True
            continue
        return True
    return False


@pytest.mark.parametrize(("where", "command"), [c for c in RECOMMENDED if c[1].startswith("mewm")])
def test_a_recommended_command_parses(where: str, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    tried = [command.replace("{}", word) for word in (STAND_INS if "{}" in command else ("",))]
    assert any(_understood(text) for text in tried), f"{where}: {command}: {capsys.readouterr().err}"


def test_a_recommendation_is_found_and_can_fail(capsys: pytest.CaptureFixture[str]) -> None:
    commands = {command for _, command in RECOMMENDED}
    assert {"mewm doctor", "mewm serve", "mewm bundle import FILE.zip"} <= commands and len(commands) > 20
    for wrong in ("mewm repair", "mewm bundle mend NAME", "mewm render", "mewm plan --speed 3"):
        assert _understood(wrong) is (wrong == "mewm render")
    capsys.readouterr()


def test_no_message_sends_people_to_an_index_that_lacks_us() -> None:
    """`install_command` alone knows how MeWM was installed."""
    wrong = [
        (where, command)
        for where, command in RECOMMENDED
        if "mewm" in command.partition("pip install")[2] and not where.startswith("MeWMLib/core/errors.py:")
    ]
    assert wrong == []


@pytest.mark.parametrize(("where", "command"), [c for c in RECOMMENDED if c[1].startswith("python -m MeWMLib")])
def test_a_recommended_module_is_there(where: str, command: str) -> None:
    module = command.split()[2]
    assert importlib.util.find_spec(module) is not None
    # people type `mewm render`
    assert module != "MeWMLib.scene" or where.startswith("MeWMLib/scene/__main__.py:")


def test_installing_says_what_works_where_mewm_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    assert install_command("server") == f'pip install -e ".[server]" in the folder {REPOSITORY}'
    installed = tmp_path / "site-packages" / "MeWMLib" / "core" / "errors.py"
    monkeypatch.setattr(errors, "__file__", str(installed))
    assert install_command("server") == 'pip install "mewm[server]"'


def test_installing_names_the_pip_of_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A bare pip belongs to another Python unless the environment was activated, as after `make demo`."""
    source, pip = tmp_path / "source", tmp_path / "source" / ".venv" / "bin" / "pip"
    pip.parent.mkdir(parents=True)
    pip.write_text("")
    (source / "pyproject.toml").write_text("")
    monkeypatch.setattr(sys, "prefix", str(source / ".venv"))
    assert install_command("server").startswith(f"{pip} install -e ")
    monkeypatch.setattr(errors, "__file__", str(source / "MeWMLib" / "core" / "errors.py"))
    assert install_command("server") == f'.venv/bin/pip install -e ".[server]" in the folder {source}'
    pip.unlink()
    assert install_command("server").startswith("pip install -e ")


def test_every_extra_that_is_recommended_exists() -> None:
    project = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    section = project.split("[project.optional-dependencies]\n")[1].split("\n\n")[0]
    extras = re.findall(r"^(\w+) = ", section, re.MULTILINE)
    named = set()
    for file in (REPOSITORY / "MeWMLib").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            called = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
            if called in ("install_command", "optional_packages"):
                named |= {a.value for a in node.args[-1:] if isinstance(a, ast.Constant)}
    assert len(named) > 5 and named <= set(extras)
