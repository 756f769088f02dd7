"""Packages that MeWM needs inside Slicer's Python: what is missing, and how it is installed. Never without asking."""

import importlib
import importlib.util
from pathlib import Path

import slicer
from slicer.i18n import tr as _

from MeWMLib.core.errors import DependencyError

#: Requirement by the name that Python imports; without these the panels cannot be built.
FOR_PANELS = {
    "psutil": "psutil>=5.9",
    "safetensors": "safetensors>=0.4.3",
    "scipy": "scipy>=1.11",
}
#: The worker needs these too; torch comes through the extension PyTorch.
FOR_WORKER = {"cc3d": "connected-components-3d>=3.12", "monai": "monai>=1.4"}
#: The report needs these; everything else works without them.
FOR_REPORT = {"jinja2": "jinja2>=3.1", "matplotlib": "matplotlib>=3.8"}
TORCH = "torch"
#: Slicer's own builds: pip must neither replace nor upgrade them.
KEPT_BY_SLICER = ("SimpleITK", "numpy", "vtk")


def missing(names):
    """Which of these modules cannot be imported."""
    importlib.invalidate_caches()
    return [name for name in names if importlib.util.find_spec(name) is None]


def missing_for_worker():
    """Everything that the worker lacks, torch included."""
    return missing([*FOR_PANELS, *FOR_WORKER, *FOR_REPORT, TORCH])


def requirements(names):
    """The requirements of modules, torch left out."""
    known = FOR_PANELS | FOR_WORKER | FOR_REPORT
    return [known[name] for name in names if name in known]


def constraints(folder):
    """Write a constraints file that pins what Slicer brings; returns its path."""
    from importlib import metadata

    lines = []
    for name in KEPT_BY_SLICER:
        try:
            lines.append(f"{name}=={metadata.version(name)}")
        except metadata.PackageNotFoundError:
            # built into Slicer without metadata: pip cannot see it, so nothing can be pinned
            continue
    path = Path(folder) / "mewm-constraints.txt"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def arguments(names, folder, wheelhouse=""):
    """The arguments of pip for these modules.

    Args:
        names: modules that are missing.
        folder: where the constraints file may lie.
        wheelhouse: folder with wheels; then no index is asked.
    """
    given = [*requirements(names), "-c", str(constraints(folder))]
    if wheelhouse:
        given += ["--no-index", "--find-links", wheelhouse]
    return given


def install(names, folder, wheelhouse=""):
    """Install modules with the user's consent, which the caller has asked for.

    Raises:
        DependencyError: the wheelhouse is no folder, the extension PyTorch is not there, or pip failed.
    """
    if wheelhouse and not Path(wheelhouse).is_dir():
        raise DependencyError(
            what=_("The folder of offline packages does not exist"),
            given=wheelhouse,
            remedy=_("Choose another folder, or leave it empty to use the package index"),
        )
    plain = [name for name in names if name != TORCH]
    try:
        if plain:
            slicer.util.pip_install(arguments(plain, folder, wheelhouse))
        if TORCH in names:
            _install_torch()
    except DependencyError:
        raise
    except Exception as error:
        raise DependencyError(
            what=_("The packages could not be installed"),
            given=f"{type(error).__name__}: {error}",
            remedy=_("Check the network and proxy, or name a folder with offline packages"),
        ) from error


def _install_torch():
    """Through the extension PyTorch, which knows the graphics card."""
    try:
        from PyTorchUtils import PyTorchUtilsLogic
    except ImportError as error:
        raise DependencyError(
            what=_("The extension PyTorch is not installed"),
            remedy=_("Install it with the Extensions Manager, restart Slicer and press Install packages again"),
        ) from error
    if PyTorchUtilsLogic().installTorch(askConfirmation=True) is None:
        raise DependencyError(what=_("PyTorch was not installed"), remedy=_("See the extension PyTorch"))
