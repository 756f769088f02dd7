"""`mewm doctor`: what is installed, what is missing, and how to get it."""

from __future__ import annotations

import argparse
import importlib.metadata
import platform
import shutil
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

import MeWMLib
from MeWMLib.cli.output import Output
from MeWMLib.core import bundles
from MeWMLib.core.errors import DependencyError, MeWMError, WorkerError, install_command
from MeWMLib.core.folders import cache_folder
from MeWMLib.jobs.processes import find_devices

REQUIRED = (
    "numpy",
    "scipy",
    "SimpleITK",
    "torch",
    "monai",
    "safetensors",
    "connected-components-3d",
    "psutil",
    "requests",
    "rich",
)
OPTIONAL = ("slicer-core", "Jinja2", "matplotlib")
#: What `mewm app` and `mewm serve` need beside these.
SERVER = ("fastapi", "uvicorn")
_PYTHONS = ((3, 10), (3, 13))
_NEEDED_GB = 4.0


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: what.
        ok: whether it is as it should be.
        required: whether `mewm plan` needs it.
        value: what was found.
        remedy: what to do if it is not ok.
    """

    name: str
    ok: bool
    required: bool
    value: str
    remedy: str = ""

    @property
    def state(self) -> str:
        """In a word."""
        return "ok" if self.ok else "MISSING" if self.required else "absent"


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Print all findings; 0 if `mewm plan` can run, 3 if something that it needs is missing."""
    findings = examine()
    able = all(f.ok for f in findings if f.required)
    output.json({"mewm": MeWMLib.__version__, "able_to_plan": able, "findings": [asdict(f) for f in findings]})
    rows = [(f.state, f.name, f.value, "" if f.ok else f.remedy) for f in findings]
    output.rows(f"MeWM {MeWMLib.__version__}", ("", "What", "Found", "What to do"), rows, wrapped=2)
    output.result("Ready to plan." if able else "Not ready to plan: see MISSING above.")
    return 0 if able else DependencyError.exit_code


def examine() -> list[Finding]:
    """Look at everything, in the order in which a user would fix it."""
    packages = [_package(name, required=True) for name in REQUIRED]
    torch_there = next(f.ok for f in packages if f.name == "torch")
    optional = [_package(name, required=False) for name in OPTIONAL]
    slicer_there = next(f.ok for f in optional if f.name == "slicer-core")
    return [
        _python(),
        *packages,
        *([_device()] if torch_there else []),
        _bundle(),
        *optional,
        _opengl(slicer_there),
        _app(),
        *_computer(),
    ]


def _python() -> Finding:
    low, high = _PYTHONS
    ok = low <= sys.version_info[:2] <= high
    value = f"{platform.python_version()}, {platform.system()} {platform.machine()}"
    return Finding("Python", ok, True, value, "Use Python 3.10 to 3.13")


def _package(name: str, required: bool) -> Finding:
    try:
        return Finding(name, True, required, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        more = f"{install_command('scene')}, for pictures, scene.mrb and report"
        remedy = f"pip install {name}" if required else more
        return Finding(name, False, required, "not installed", remedy)


def _app() -> Finding:
    missing = [name for name in SERVER if not _package(name, required=False).ok]
    value = f"{', '.join(missing)} not installed" if missing else "mewm app can open"
    return Finding("app", not missing, False, value, f"{install_command('server')}, for mewm app and mewm serve")


def _device() -> Finding:
    try:
        return Finding("device", True, True, find_devices())
    except WorkerError as error:
        return Finding("device", False, True, f"{error.what}: {error.given}", "Install torch again; see the README")


def _bundle() -> Finding:
    try:
        found = bundles.find_bundle()
    except MeWMError as error:
        return Finding("bundle", False, True, f"{error.what}: {error.given}", error.remedy)
    parts = ", ".join(found.part_sha256)
    return Finding("bundle", True, True, f"{found.name}, sha256 {found.sha256[:12]}..., {parts}; {found.path}")


def _opengl(slicer_there: bool) -> Finding:
    from MeWMLib.scene.gl import DRIVER_PACKAGES, gl_available

    remedy = "For Slicer's own views in the report: apt-get install " + " ".join(DRIVER_PACKAGES)
    if not slicer_there:
        return Finding("OpenGL", False, False, "not tried without slicer-core", remedy)
    ok = gl_available()
    return Finding("OpenGL", ok, False, "VTK renders" if ok else "no driver that VTK can use", remedy)


def _computer() -> list[Finding]:
    """Memory, samples and folders: nothing of it keeps a plan from being made."""
    from MeWMLib.cohorts.samples import SAMPLES

    total = psutil.virtual_memory().total / 1024**3
    free = shutil.disk_usage(Path.cwd()).free / 1024**3
    memory = f"{total:.1f} GB of memory, {free:.1f} GB free on this disk, {psutil.cpu_count() or 1} cores"
    kept = [name for name in SAMPLES if (cache_folder() / "samples" / name / "ct.nrrd").is_file()]
    samples = f"{', '.join(SAMPLES)}; cache {cache_folder()}, fetched: {', '.join(kept) or 'none'}"
    folder = bundles.user_bundles()
    return [
        Finding("computer", total >= _NEEDED_GB, False, memory, f"A plan takes up to {_NEEDED_GB:g} GB of memory"),
        Finding("samples", True, False, samples),
        Finding("your bundles", True, False, f"{folder} ({'there' if folder.is_dir() else 'not made yet'})"),
    ]
