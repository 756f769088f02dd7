"""Packages that MeWM needs inside Slicer's Python: what is missing, and how it is installed. Never without asking.

PyTorch comes first, by the extension PyTorch, which knows the graphics card; everything else is installed with PyTorch
pinned to what is there. Where it is not there, pip may not install any: it would take what the index has for this
platform, which need not fit the card.
"""

import functools
import importlib
import sys
from importlib import metadata
from pathlib import Path

import slicer
from packaging.requirements import Requirement
from packaging.version import Version
from slicer.i18n import tr as _

from MeWMLib.core.errors import DependencyError, InputError
from MeWMLib.core.records import dump_json, parse_json

#: Requirement by the name that Python imports; without these the panels cannot be built.
FOR_PANELS = {
    "platformdirs": "platformdirs>=4.0",
    "psutil": "psutil>=5.9",
    "safetensors": "safetensors>=0.4.3",
    "scipy": "scipy>=1.11",
}
#: The worker needs these too; torch comes through the extension PyTorch.
FOR_WORKER = {"cc3d": "connected-components-3d>=3.12", "monai": "monai>=1.4"}
#: The report needs these; everything else works without them.
FOR_REPORT = {"jinja2": "jinja2>=3.1", "matplotlib": "matplotlib>=3.8"}
#: DICOM is written with it.
FOR_DICOM = {"highdicom": "highdicom>=0.23"}
REQUIREMENTS = FOR_PANELS | FOR_WORKER | FOR_REPORT | FOR_DICOM
TORCH, TORCH_VERSION = "torch", ">=2.4"
#: Packages that require PyTorch themselves: pip would install one with them.
ON_TORCH = ("monai",)
#: Slicer's own builds, and PyTorch: pip must neither replace nor upgrade them.
KEPT = ("SimpleITK", "numpy", "vtk", TORCH)
#: The extension PyTorch installs with light-the-torch, which refuses pip from this version on (light-the-torch 0.8.1).
_PIP_TOO_NEW = "26.1"
#: Where the user's settings say what is being installed.
PENDING = "MeWM/PendingInstall"


class RestartNeededError(DependencyError):
    """The rest can only be installed after Slicer was restarted."""


def requirement_of(name):
    """What pip is asked for, by the name that Python imports."""
    return TORCH + TORCH_VERSION if name == TORCH else REQUIREMENTS[name]


def missing(names):
    """Which of these modules are not installed in a version that works."""
    try:
        from slicer.packaging import pip_check
    except ImportError:
        pip_check = _check
    importlib.invalidate_caches()
    here = _folders()
    return [name for name in names if not _works(requirement_of(name), pip_check, metadata.version, here)]


def _check(requirement):
    """What `slicer.packaging.pip_check` says, before Slicer 5.12."""
    wanted = Requirement(requirement)
    there = _version_of(wanted.name)
    return there is not None and there in wanted.specifier


@functools.lru_cache(maxsize=64)
def _works(requirement, check, *_state):
    """True if a requirement is met. Kept as long as nothing was installed: every refresh of a panel asks."""
    return check(requirement)


def _folders():
    """The folders that Python imports from, and when each was changed last."""
    return tuple((path, Path(path).stat().st_mtime_ns) for path in sys.path if path and Path(path).is_dir())


def _version_of(distribution):
    """The version that is installed, or None. A folder without metadata is what a broken removal leaves behind."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def missing_for_worker():
    """Everything that the worker lacks, torch included."""
    return missing([*REQUIREMENTS, TORCH])


def constraints(folder):
    """Write a constraints file that keeps what is there; returns its path."""
    lines = []
    for name in KEPT:
        there = _version_of(name)
        # not there: built into Slicer without metadata, or PyTorch, which its extension installs. pip would put one of
        # its own in its place; no version satisfies this, so it gives up rather than do that.
        lines.append(f"{name}<0\n" if there is None else f"{name}=={there}\n")
    path = Path(folder) / "mewm-constraints.txt"
    path.write_text("".join(lines), encoding="utf-8")
    return path


def remember(names, wheelhouse):
    """Write down what is being installed: Slicer may have to be restarted before it is done."""
    slicer.app.userSettings().setValue(PENDING, dump_json({"names": list(names), "wheelhouse": wheelhouse}))


def forget():
    """The counterpart of `remember`."""
    slicer.app.userSettings().remove(PENDING)


def pending():
    """What `remember` wrote and is still missing: names and wheelhouse; None if nothing is left to do."""
    text = slicer.app.userSettings().value(PENDING)
    if not text:
        return None
    try:
        data = parse_json(text, require={"names": list, "wheelhouse": str})
        names = [name for name in missing_for_worker() if name in data["names"]]
    except InputError:
        names = []
    if not names:
        forget()
        return None
    return names, data["wheelhouse"]


def resume(folder):
    """Go on with an installation that a restart has interrupted, once; returns whether there was one.

    Errors as `install`.
    """
    found = pending()
    if found is not None:
        try:
            install(found[0], folder, found[1])
        finally:
            forget()
    return found is not None


def install(names, folder, wheelhouse=""):
    """Install modules with the user's consent, which the caller has asked for.

    Args:
        names: modules that are missing.
        folder: where the constraints file is written.
        wheelhouse: folder with wheels; then no index is asked.

    Raises:
        DependencyError: the wheelhouse is not a folder, the extension PyTorch is not there or fails, the installed
            PyTorch is too old, or pip failed.
    """
    if wheelhouse and not Path(wheelhouse).is_dir():
        raise DependencyError(
            what=_("The folder of offline packages does not exist"),
            given=wheelhouse,
            remedy=_("Choose another folder, or leave it empty to use the package index"),
        )
    remember(names, wheelhouse)
    try:
        # a failure of PyTorch is told at the end: what the panels need does not wait for it
        obstacle = _torch_first(wheelhouse) if TORCH in names else None
        plain = [REQUIREMENTS[name] for name in names if name in REQUIREMENTS and not (obstacle and name in ON_TORCH)]
        if plain:
            _install_plain(plain, constraints(folder), wheelhouse)
        if obstacle is not None:
            raise obstacle
    except RestartNeededError:
        # not forgotten: after the restart it goes on
        raise
    except DependencyError:
        forget()
        raise
    except Exception as error:
        forget()
        raise DependencyError(
            what=_("The packages could not be installed"),
            given=f"{type(error).__name__}: {error}",
            remedy=_("Check the network and proxy, or name a folder with offline packages"),
        ) from error
    forget()


def _install_plain(wanted, pins, wheelhouse):
    """With `slicer.packaging` where there is one (Slicer 5.12), else with `slicer.util.pip_install`."""
    if wheelhouse:
        # both take only requirements and constraints by name; a folder of wheels is an argument of pip
        slicer.util.pip_install([*wanted, "-c", str(pins), "--no-index", "--find-links", wheelhouse])
        return
    try:
        from slicer.packaging import pip_ensure
    except ImportError:
        slicer.util.pip_install([*wanted, "-c", str(pins)])
        return
    # the user was asked before; whether Slicer must be restarted only pip_ensure knows
    pip_ensure(wanted, constraints=pins, prompt_install=False, prompt_restart=True, requester="MeWM")


def _torch_first(wheelhouse):
    """Install PyTorch by its extension, or from a folder of wheels; returns the error if that cannot be done."""
    there = _version_of(TORCH)
    if there is not None:
        # other extensions work with it, and Windows cannot replace what is loaded
        return DependencyError(
            what=_("The installed PyTorch is too old"),
            given=f"torch {there}, MeWM needs torch{TORCH_VERSION}",
            remedy=_(
                "MeWM does not replace it. Open the module PyTorch Utils, uninstall PyTorch, restart Slicer and press "
                "Install packages... again"
            ),
        )
    if wheelhouse:
        # the extension would ask an index
        slicer.util.pip_install([TORCH + TORCH_VERSION, "--no-index", "--find-links", wheelhouse])
        return None
    try:
        from PyTorchUtils import PyTorchUtilsLogic
    except ImportError:
        return RestartNeededError(
            what=_("The extension PyTorch is not installed"),
            remedy=_("Install it with the Extensions Manager and restart Slicer; MeWM then continues by itself"),
        )
    try:
        made = PyTorchUtilsLogic().installTorch(askConfirmation=True, torchVersionRequirement=TORCH_VERSION)
    except Exception as error:
        return DependencyError(
            what=_("The extension PyTorch could not install PyTorch"),
            given=f"{type(error).__name__}: {error}",
            remedy=_way_round(),
        )
    if made is None:
        return DependencyError(what=_("PyTorch was not installed"), remedy=_("See the extension PyTorch"))
    return None


def _way_round():
    """What to do where the extension PyTorch fails."""
    pip = _version_of("pip")
    if pip is None or Version(pip) < Version(_PIP_TOO_NEW):
        return _("Check the network and proxy, or name a folder with offline packages")
    return _(
        "The extension installs with light-the-torch, which needs pip older than {limit}, and Slicer has pip {pip}. In "
        "Slicer's Python console run slicer.util.pip_install('pip<{limit}'), restart Slicer and press Install "
        "packages... again"
    ).format(limit=_PIP_TOO_NEW, pip=pip)
