"""What translators of MeWM's module get, by Slicer's tool chain: `python Testing/slicer_module/translations.py`.

As Slicer's own `Utilities/Scripts/update_translations.py`, it turns `_("text")` into `translate("context", "text")` in
a copy of the sources and lets Qt's lupdate (here PySide6's) bring Resources/Translations/MeWM_*.ts up to date.
"""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

REPOSITORY = Path(__file__).resolve().parents[2]
MODULE, TRANSLATIONS = REPOSITORY / "MeWM", REPOSITORY / "Resources" / "Translations"
_MARK = "_"


def files() -> list[Path]:
    """Every file with texts for users."""
    return sorted([*MODULE.rglob("*.py"), *MODULE.rglob("*.ui")])


def context_of(file: Path) -> str:
    """The context of a file's texts: its name, after that of its package if it is in one (`slicer.i18n.getContext`)."""
    if file.suffix == ".ui":
        return file.stem
    return f"{file.parent.name}.{file.stem}" if (file.parent / "__init__.py").is_file() else file.stem


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    """The calls of `_` in a Python file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == _MARK:
            yield node


def extracted() -> set[tuple[str, str]]:
    """Context and text of everything that a user may read, by our own reading of the sources."""
    found: set[tuple[str, str]] = set()
    for file in files():
        if file.suffix == ".py":
            for call in calls(ast.parse(file.read_text(encoding="utf-8"))):
                (argument,) = call.args
                assert isinstance(argument, ast.Constant) and isinstance(argument.value, str)
                found.add((context_of(file), argument.value))
            continue
        root = ElementTree.parse(file).getroot()
        kept = {id(text) for group in root.iter() if group.get("notr") == "true" for text in group.iter("string")}
        found |= {(context_of(file), t.text) for t in root.iter("string") if t.text and id(t) not in kept}
    return found


def messages(ts: Path) -> dict[tuple[str, str], tuple[str, str]]:
    """Context and text to translation and its state ("", "unfinished", "vanished", ...) of a .ts file."""
    found = {}
    for context in ElementTree.parse(ts).getroot().iter("context"):
        for message in context.iter("message"):
            key = (context.findtext("name") or "", message.findtext("source") or "")
            translation = message.find("translation")
            assert translation is not None
            found[key] = (translation.text or "", translation.get("type", ""))
    return found


def update(folder: Path = TRANSLATIONS) -> None:
    """Bring every .ts file of a folder up to date; new texts are unfinished there, old ones are dropped."""
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(temporary) / MODULE.name
        shutil.copytree(MODULE, copy, ignore=shutil.ignore_patterns("__pycache__"))
        for file in copy.rglob("*.py"):
            text = file.read_text(encoding="utf-8")
            file.write_text(_for_lupdate(text, context_of(file)), encoding="utf-8")
        sources = sorted(str(path.relative_to(temporary)) for path in [*copy.rglob("*.py"), *copy.rglob("*.ui")])
        for ts in sorted(folder.glob("MeWM_*.ts")):
            # paths in a .ts file are relative to it
            shutil.copy(ts, Path(temporary) / ts.name)
            command = [_lupdate(), *sources, "-noobsolete", "-locations", "none", "-ts", ts.name]
            subprocess.run(command, cwd=temporary, check=True, stdout=subprocess.DEVNULL)
            shutil.copy(Path(temporary) / ts.name, ts)


def _for_lupdate(text: str, context: str) -> str:
    """The source of a Python file with each `_("text")` as a call that lupdate knows."""
    lines, marks = (
        text.splitlines(keepends=True),
        sorted(calls(ast.parse(text)), key=lambda c: (c.lineno, c.col_offset)),
    )
    for call in reversed(marks):
        argument = call.args[0]
        literal = ast.literal_eval(argument)
        line = lines[call.lineno - 1].encode()
        start, end = call.col_offset, call.end_col_offset
        assert end is not None and call.end_lineno is not None
        tail = lines[call.end_lineno - 1].encode()[end:]
        quoted = '"' + literal.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
        made = f'translate("{context}", {quoted})'.encode()
        lines[call.lineno - 1 : call.end_lineno] = [(line[:start] + made + tail).decode()]
    return "".join(lines)


def _lupdate() -> str:
    found = shutil.which("pyside6-lupdate", path=str(Path(sys.executable).parent)) or shutil.which("pyside6-lupdate")
    if found is None:
        sys.exit('pyside6-lupdate is not installed: pip install -e ".[scene,dev]"')
    return found


def placeholders(text: str) -> list[str]:
    """The replacement fields of a text, in order of their names."""
    return sorted(re.findall(r"(?<!\{)\{([^{}]+)\}(?!\})", text))


if __name__ == "__main__":
    update()
    for file in sorted(TRANSLATIONS.glob("MeWM_*.ts")):
        open_ = [key for key, (_text, state) in messages(file).items() if state == "unfinished"]
        sys.stdout.write(f"{file.name}: {len(messages(file))} texts, {len(open_)} unfinished\n")
