"""The extension's build files: every file is listed, the tree configures, the description is complete."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import struct
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from MeWMLib.core import bundles

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
    stand_in = REPOSITORY / "Testing" / "slicer_module" / "stand_in_slicer"
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
    # the build tree: the model is where the MeWMLib that is copied there looks for it
    built = subprocess.run(
        [cmake, "--build", str(tmp_path), "--target", "MeWMBundles"], capture_output=True, text=True, check=False,
        timeout=300,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    scripts = tmp_path / "lib" / "Slicer-5.10" / "qt-scripted-modules" / "MeWMLib" / "core" / "bundles.py"
    beside = bundles.search_path()[-2].relative_to(Path(bundles.__file__).parents[1])
    model = scripts.parents[1] / beside / bundles.DEFAULT_BUNDLE / "manifest.json"
    assert model.is_file(), model
    assert "-- UNITTEST MeWM.py" in done.stdout and "-- EXTENSION_DEPENDS PyTorch" in done.stdout


def test_a_file_that_is_not_there_is_refused(tmp_path):
    cmake = shutil.which("cmake")
    if cmake is None:
        pytest.skip("cmake is not installed")
    script = tmp_path / "check.cmake"
    stand_in = REPOSITORY / "Testing" / "slicer_module" / "stand_in_slicer" / "UseSlicer.cmake"
    script.write_text(f"include({stand_in.as_posix()})\nslicerMacroBuildScriptedModule(NAME A SCRIPTS absent.py)\n")
    done = subprocess.run([cmake, "-P", str(script)], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode != 0 and "nonexistent" in done.stderr


#: What the index takes as categories, and the modules menu of Slicer knows; it has no Oncology.
_CATEGORIES = ("Simulation", "Planning")
#: Keys of the schema that the entry names, and their types.
_KEYS = {
    "$schema": str, "category": str, "scm_url": str, "scm_revision": str, "build_dependencies": list,
    "build_subdirectory": str, "tier": int, "enabled": bool, "scm_type": str,
}  # fmt: skip


def test_the_entry_passes_the_checks_of_the_extensions_index():
    """What the index asks of an entry before a person looks at it; topics and images it looks up on the network."""
    content = (REPOSITORY / "MeWM.json").read_bytes()
    assert b"\r" not in content
    entry = json.loads(content)
    assert {"$schema", "category", "scm_url"} <= set(entry) <= set(_KEYS)
    assert all(type(value) is _KEYS[key] for key, value in entry.items()) and 1 <= entry["tier"] <= 5
    assert entry["category"] in _CATEGORIES and entry["build_dependencies"] == ["PyTorch"]
    address = urlsplit(entry["scm_url"])
    assert address.scheme == "https" and address.path.endswith(".git")
    # the repository begins with Slicer, the extension does not
    assert address.path.split("/")[-1].startswith("Slicer") and not "MeWM".lower().startswith("slicer")
    cmake = (REPOSITORY / "CMakeLists.txt").read_text(encoding="utf-8")
    assert re.findall(r"project\s*\(\s*([^\s)]+)", cmake)[0] == "MeWM", "as the file of the entry"
    for name in ("ICONURL", "SCREENSHOTURLS"):
        (found,) = re.findall(rf'set\s*\(EXTENSION_{name}\s*"([^"]+)"\s*\)', cmake)
        for url in found.split():
            assert url.startswith("https://raw.githubusercontent.com/") and url.endswith(".png")
            assert (REPOSITORY / url.split("/main/")[1]).is_file()
    assert f'set(EXTENSION_CATEGORY "{entry["category"]}")' in cmake
    assert (REPOSITORY / "LICENSE.txt").is_file()


def test_the_module_is_in_the_category_of_its_entry(user):
    entry = json.loads((REPOSITORY / "MeWM.json").read_text(encoding="utf-8"))
    assert user.loaded.instance.parent.categories == [entry["category"]]


@pytest.mark.parametrize("name", cmake_lists.ADDRESSED)
def test_the_address_of_the_repository_stands_in_one_place(name):
    assert cmake_lists.with_address(name) == (REPOSITORY / name).read_text(encoding="utf-8"), "run: make lists"
    home = json.loads((REPOSITORY / "MeWM.json").read_text(encoding="utf-8"))["scm_url"].removesuffix(".git")
    assert home in (REPOSITORY / name).read_text(encoding="utf-8")


def test_a_clone_is_small_enough_for_the_index():
    """100 MB with its history, by the index's own check."""
    files = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if files.returncode != 0:
        pytest.skip("no git repository")
    total = sum(
        (REPOSITORY / name).stat().st_size for name in files.stdout.split("\0") if (REPOSITORY / name).is_file()
    )
    assert total < 100 * 1024**2


@pytest.mark.parametrize("name", ["Resources/MeWM.png", "MeWM/Resources/Icons/MeWM.png"])
def test_the_icon_is_a_png_of_128_pixels(name):
    content = (REPOSITORY / name).read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", content[16:24]) == (128, 128)


def test_lines_end_as_in_unix():
    for folder in ("MeWM", "Testing/slicer_module"):
        for path in (REPOSITORY / folder).rglob("*"):
            if path.suffix in (".py", ".ui", ".txt", ".cmake"):
                assert b"\r\n" not in path.read_bytes(), path
