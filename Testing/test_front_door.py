"""The way in from Python: lazy, complete, and as the README shows it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import MeWMLib

HEAVY = {"torch", "monai", "SimpleITK", "scipy", "numpy"}


def test_importing_the_package_loads_nothing_heavy(repository: Path) -> None:
    command = [sys.executable, "-X", "importtime", "-c", "import MeWMLib"]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True)
    loaded = {line.rsplit("|", 1)[-1].strip().split(".")[0] for line in done.stderr.splitlines()}
    assert "MeWMLib" in loaded and not loaded & HEAVY


def test_every_public_name_is_there_and_the_list_is_what_was_promised() -> None:
    promised = "WorldModel, Protocol, PlanSettings, Patient, Clinical, read_ct, read_labels, load_sample".split(", ")
    assert sorted(MeWMLib.__all__) == sorted(promised) and set(promised) <= set(dir(MeWMLib))
    for name in promised:
        assert getattr(MeWMLib, name).__doc__
    from MeWMLib.perception.phase import read_ct

    assert MeWMLib.read_ct is read_ct
    with pytest.raises(AttributeError, match="WorldModle"):
        _ = MeWMLib.WorldModle


def test_the_package_says_that_it_is_typed() -> None:
    assert (Path(MeWMLib.__file__).parent / "py.typed").is_file()


@pytest.mark.slow
def test_the_lines_of_the_readme_run(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    section = (repository / "README.md").read_text(encoding="utf-8").split("## From Python", 1)[1].split("\n## ", 1)[0]
    found = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert found is not None and len(found[1].splitlines()) <= 10
    exec(compile(found[1], "README.md", "exec"), {})
    said = capsys.readouterr().out
    assert "LabelMap(liver" in said and "Outcome(Epirubicin + Lipiodol, seed 0: log-risk" in said.replace(
        "seed 0,", "seed 0:"
    )
    assert "Plan(" in said and "hazard ratio" in said
