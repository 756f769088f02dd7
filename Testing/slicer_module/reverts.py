"""Every mend of the module has a test that fails without it (`make reverts`; minutes).

The folder `mends` lists what each mend would be without it: pieces of text in files, and the tests that must notice.
This script copies the tree into a temporary folder, sees that all those tests pass there, and then takes one mend away
at a time, runs its tests and puts it back. It complains where a test still passes, where it fails in another way
than by what it asserts, and where the text of a mend is not in its file any more.

`python Testing/slicer_module/reverts.py [WORD...]` tries those alone whose clause holds one of the words.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
#: A program that waits for ever without a mend is noticed by the time that the tests of that mend take.
MOST_S = 600
#: A test that fails for one of these has noticed nothing: what took the mend away has made a program that cannot be.
_BROKEN = re.compile(r"NameError|ImportError|ModuleNotFoundError|SyntaxError|AttributeError: (?!'NoneType')")


def load_mends() -> ModuleType:
    """The table, in the folder beside this file."""
    spec = importlib.util.spec_from_file_location("mewm_mends", Path(__file__).parent / "mends" / "__init__.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def without(mend: Any, root: Path) -> dict[Path, str]:
    """The files without a mend, by their paths; nothing is written.

    Raises:
        ValueError: a text of the mend is not in its file, or more than once.
    """
    found: dict[Path, str] = {}
    for edit in mend.edits:
        path = root / edit.file
        if not edit.old:
            if path.exists():
                message = f"{mend.clause}: {edit.file} is there, which the mend has taken away"
                raise ValueError(message)
            found[path] = edit.new
            continue
        text = found.get(path) or path.read_text(encoding="utf-8")
        if text.count(edit.old) != 1:
            message = f"{mend.clause}: this is {text.count(edit.old)} times in {edit.file}, not once:\n{edit.old}"
            raise ValueError(message)
        found[path] = text.replace(edit.old, edit.new)
        if path.suffix == ".py":
            compile(found[path], edit.file, "exec")
    return found


def _copy(into: Path) -> None:
    """Copy what git tracks, and what it would."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=REPOSITORY, capture_output=True, check=True)
    for name in filter(None, listed.stdout.decode("utf-8").split("\0")):
        if (REPOSITORY / name).is_file():
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, into / name)
    # one test asks git for the files of the repository
    subprocess.run(["git", "init", "-q"], cwd=into, check=True)


def _pytest(root: Path, tests: tuple[str, ...], most_s: float | None = MOST_S) -> tuple[int, str]:
    """Run tests in a copy: exit code and output; a run that does not end is a failure with that reason."""
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "400"}
    command = [sys.executable, "-m", "pytest", "-q", "-rfEs", "--tb=line", "-p", "no:cacheprovider", *tests]
    try:
        done = subprocess.run(
            command, cwd=root, env=environment, capture_output=True, text=True, check=False, timeout=most_s
        )
    except subprocess.TimeoutExpired:
        return 1, f"FAILED {tests[0]} - did not end within {most_s} s"
    return done.returncode, done.stdout + done.stderr


def _try(mend: Any, root: Path) -> tuple[bool, str]:
    """Take a mend away and run its tests: whether they noticed, and what they said."""
    files = without(mend, root)
    kept = {path: path.read_bytes() if path.exists() else None for path in files}
    try:
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        code, output = _pytest(root, mend.tests)
    finally:
        for path, content in kept.items():
            if content is None:
                path.unlink()
                path.parent.rmdir()
            else:
                path.write_bytes(content)
    failed = re.findall(r"^FAILED (.*)$", output, re.MULTILINE)
    if code == 1 and failed:
        return not _BROKEN.search(failed[0].partition(" - ")[2]), failed[0]
    return False, (re.findall(r"^ERROR .*$", output, re.MULTILINE) or output.strip().splitlines() or ["nothing"])[-1]


def main() -> int:
    """Try all mends; 1 where one of them was not noticed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", help="only clauses that hold one of these words")
    words = parser.parse_args().words
    mends = [m for m in load_mends().MENDS if not words or any(word in m.clause for word in words)]
    wrong = []
    for mend in mends:
        try:
            without(mend, REPOSITORY)
        except ValueError as error:
            wrong.append(str(error))
    if wrong:
        sys.stdout.write("\n".join(wrong) + "\n")
        return 1
    with tempfile.TemporaryDirectory(prefix="mewm-reverts-") as folder:
        root = Path(folder)
        _copy(root)
        tests = tuple(dict.fromkeys(test for mend in mends for test in mend.tests))
        code, output = _pytest(root, tests, None)
        skipped = re.findall(r"^SKIPPED.*$", output, re.MULTILINE)
        if code != 0 or skipped:
            sys.stdout.write(f"With all mends these tests must pass and none may be skipped:\n{output}\n")
            return 1
        for mend in mends:
            noticed, said = _try(mend, root)
            sys.stdout.write(f"{'noticed' if noticed else 'NOT NOTICED'}: {mend.clause}\n    {said}\n")
            sys.stdout.flush()
            if not noticed:
                wrong.append(mend.clause)
    sys.stdout.write(f"{len(mends) - len(wrong)} of {len(mends)} mends are noticed when they are taken away\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
