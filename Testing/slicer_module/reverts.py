"""Every mend of the module has a test that fails without it (`make reverts`; a quarter of an hour).

The folder `mends` lists what each mend would be without it: pieces of text in files, and the tests that must notice.
This script copies the tree into a temporary folder, sees that all those tests pass there, and then takes one mend away
at a time, runs its tests and puts it back. It complains where a test still passes, where it fails in another way
than by what it asserts, and where the text of a mend is not in its file any more.

`python Testing/slicer_module/reverts.py [WORD...] [--part K/N]` tries those alone whose clause holds one of the words,
and of these the K-th of N parts.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import ModuleType
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
#: A program that waits for ever without a mend is noticed by the time that the tests of that mend take.
MOST_S = 300
#: What a run of these tests imports of others' packages, which is most of its time: where the system can fork, it is
#: imported once for all runs. Nothing of the tree may be among it.
_OTHERS = (
    "pytest", "numpy", "scipy.ndimage", "scipy.spatial", "SimpleITK", "psutil", "PySide6.QtWidgets", "PySide6.QtTest",
    "PySide6.QtUiTools", "vtkmodules.all", "safetensors.numpy", "jinja2", "packaging.requirements", "pydicom",
)  # fmt: skip
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


def _pytest(root: Path, tests: tuple[str, ...], most_s: float = MOST_S) -> tuple[int, str]:
    """Run tests in a copy until one fails: exit code and output; a run that does not end is a failure for that."""
    arguments = ["-q", "-x", "-rfEs", "--tb=line", "-p", "no:cacheprovider", *tests]
    if hasattr(os, "fork"):
        return _forked(root, arguments, most_s)
    environment = {**os.environ, "PYTHONPATH": str(root)}
    command = [sys.executable, "-m", "pytest", *arguments]
    try:
        done = subprocess.run(
            command, cwd=root, env=environment, capture_output=True, text=True, check=False, timeout=most_s
        )
    except subprocess.TimeoutExpired:
        return 1, f"FAILED {tests[0]} - did not end within {most_s} s"
    return done.returncode, done.stdout + done.stderr


def _forked(root: Path, arguments: list[str], most_s: float) -> tuple[int, str]:
    """The same in a fork of this process, which has imported the packages of others."""
    with tempfile.TemporaryFile() as output:
        child = os.fork()
        if child == 0:
            _be_pytest(root, arguments, output.fileno())
        until = time.monotonic() + most_s
        while (ended := os.waitpid(child, os.WNOHANG))[0] == 0:
            if time.monotonic() > until:
                os.killpg(child, signal.SIGKILL)
                os.waitpid(child, 0)
                return 1, f"FAILED {arguments[-1]} - did not end within {most_s} s"
            time.sleep(0.05)
        # what the tests left behind
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        output.seek(0)
        return os.waitstatus_to_exitcode(ended[1]), output.read().decode("utf-8", "replace")


def _be_pytest(root: Path, arguments: list[str], output: int) -> None:
    """What the fork does; it never returns."""
    code = 70
    try:
        os.setsid()
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.chdir(root)
        os.environ["PYTHONPATH"] = str(root)
        # the folder of this script, and the tree that it was started in, are no part of the copy
        theirs = {str(REPOSITORY), str(Path(__file__).parent), ""}
        sys.path[:] = [str(root), *(path for path in sys.path if path not in theirs)]
        code = int(importlib.import_module("pytest").main(arguments))
        sys.stdout.flush()
    finally:
        os._exit(code)


def _warm() -> None:
    """Import what all runs need, and nothing of the tree."""
    for name in _OTHERS:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    ours = sorted(name for name in sys.modules if name.partition(".")[0] in ("MeWMLib", "MeWMPanels", "slicer_host"))
    if ours:
        message = f"imported before the copy was: {', '.join(ours)}"
        raise RuntimeError(message)


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
    parser.add_argument("--part", default="1/1", help="the K-th of N parts, as K/N")
    given = parser.parse_args()
    part, parts = (int(text) for text in given.part.split("/"))
    mends = [m for m in load_mends().MENDS if not given.words or any(word in m.clause for word in given.words)]
    mends = mends[len(mends) * (part - 1) // parts : len(mends) * part // parts]
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
        os.environ.update(PYTHONDONTWRITEBYTECODE="1", COLUMNS="400")
        _warm()
        tests = tuple(dict.fromkeys(test for mend in mends for test in mend.tests))
        code, output = _pytest(root, tests, MOST_S + 10 * len(tests))
        skipped = re.findall(r"^SKIPPED.*$", output, re.MULTILINE)
        if code != 0 or skipped:
            sys.stdout.write(f"With all mends these tests must pass and none may be skipped:\n{output}\n")
            return 1
        for mend in mends:
            begun = time.monotonic()
            noticed, said = _try(mend, root)
            took = f"{time.monotonic() - begun:.0f} s"
            sys.stdout.write(f"{'noticed' if noticed else 'NOT NOTICED'} ({took}): {mend.clause}\n    {said}\n")
            sys.stdout.flush()
            if not noticed:
                wrong.append(mend.clause)
    sys.stdout.write(f"{len(mends) - len(wrong)} of {len(mends)} mends are noticed when they are taken away\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
