"""The extension's build files: every file is listed, the tree configures, the description is complete."""

from __future__ import annotations

import importlib.util
import json
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
_SPEC = importlib.util.spec_from_file_location("mewm_cmake_lists", Path(__file__).with_name("cmake_lists.py"))
assert _SPEC is not None and _SPEC.loader is not None
cmake_lists = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(cmake_lists)


@pytest.mark.parametrize("folder", cmake_lists.FOLDERS)
def test_every_file_is_listed(folder):
    assert cmake_lists.found(folder) == cmake_lists.expected(folder), "run: make lists"


def test_the_tree_configures(tmp_path):
    cmake = shutil.which("cmake")
    if cmake is None:
        pytest.skip("cmake is not installed")
    stand_in = REPOSITORY / "Testing" / "slicer" / "stand_in_slicer"
    done = subprocess.run(
        [cmake, "-S", str(REPOSITORY), "-B", str(tmp_path), f"-DSlicer_DIR={stand_in}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    if "CMAKE_CXX_COMPILER" in done.stderr:
        pytest.skip("no C++ compiler, which project() looks for")
    assert done.returncode == 0, done.stderr
    installed = {line.removeprefix("-- INSTALL ") for line in done.stdout.splitlines() if "INSTALL" in line}
    assert {"MeWM.py", "Resources/UI/Patient.ui", "MeWMPanels/front.py", "MeWMLib/jobs/worker.py"} <= installed
    assert "-- UNITTEST MeWM.py" in done.stdout and "-- EXTENSION_DEPENDS PyTorch" in done.stdout


def test_a_file_that_is_not_there_is_refused(tmp_path):
    cmake = shutil.which("cmake")
    if cmake is None:
        pytest.skip("cmake is not installed")
    script = tmp_path / "check.cmake"
    stand_in = REPOSITORY / "Testing" / "slicer" / "stand_in_slicer" / "UseSlicer.cmake"
    script.write_text(f"include({stand_in.as_posix()})\nslicerMacroBuildScriptedModule(NAME A SCRIPTS absent.py)\n")
    done = subprocess.run([cmake, "-P", str(script)], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode != 0 and "nonexistent" in done.stderr


def test_the_entry_of_the_extensions_index():
    entry = json.loads((REPOSITORY / "MeWM.json").read_text(encoding="utf-8"))
    assert {"$schema", "category", "scm_url", "scm_revision", "build_dependencies", "tier"} <= set(entry)
    assert entry["build_dependencies"] == ["PyTorch"] and entry["scm_url"].endswith(".git")


@pytest.mark.parametrize("name", ["Resources/MeWM.png", "MeWM/Resources/Icons/MeWM.png"])
def test_the_icon_is_a_png_of_128_pixels(name):
    content = (REPOSITORY / name).read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", content[16:24]) == (128, 128)


def test_lines_end_as_in_unix():
    for folder in ("MeWM", "Testing/slicer"):
        for path in (REPOSITORY / folder).rglob("*"):
            if path.suffix in (".py", ".ui", ".txt", ".cmake"):
                assert b"\r\n" not in path.read_bytes(), path
