"""A Python that sees Slicer as PythonSlicer does: `slicer` holds the kits, each loadable module has its own packages.

The classes are those of `slicer-core`, whose package `slicer` holds all of them at once. `write_kits` makes a folder
that comes before it on PYTHONPATH. `python -m slicer_host.kits COMMAND...` runs a command that way, for example
`python -m slicer_host.kits python -m pytest Testing/scene`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

#: What Slicer's `kits.py` names, by the libraries of slicer-core: mrml, vtkSegmentationCore and the base logic.
KITS = ("MRMLCLI", "MRMLCore", "MRMLDisplayableManager", "MRMLLogic", "vtkSegmentationCore", "vtkSlicerBaseLogic")


def write_kits(folder: Path) -> Path:
    """Write the packages into a folder; returns what must come first on PYTHONPATH."""
    # by its metadata, since inside such a Python the import would find the stand-in
    real = Path(str(metadata.distribution("slicer-core").locate_file("slicer_core")))
    (folder / "slicer_core").mkdir(parents=True)
    # the libraries are those of the real package; its __init__, which imports all of them, is not run
    stand_in = f"import vtkmodules.all\n\n__path__ = [{str(real)!r}]\n"
    (folder / "slicer_core" / "__init__.py").write_text(stand_in, encoding="utf-8")
    (folder / "slicer").mkdir()
    lines = [
        "import types",
        *(f"from slicer_core.{kit} import *" for kit in KITS),
        "modules = types.ModuleType('modules')",
    ]
    (folder / "slicer" / "__init__.py").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for library in real.glob("vtkSlicer*Module*"):
        name = library.name.partition(".")[0]
        (folder / f"{name}Python.py").write_text(f"from slicer_core.{name} import *\n", encoding="utf-8")
    return folder


def environment(folder: Path) -> dict[str, str]:
    """This process's environment with `write_kits(folder)` first on PYTHONPATH."""
    path = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH", ""))))
    return {**os.environ, "PYTHONPATH": path}


def main() -> int:
    """Run a command in such a Python."""
    with tempfile.TemporaryDirectory(prefix="mewm-kits-") as folder:
        return subprocess.run(sys.argv[1:], env=environment(write_kits(Path(folder) / "kits")), check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
