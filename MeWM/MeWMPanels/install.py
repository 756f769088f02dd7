"""Packages that MeWM needs inside Slicer's Python: what is missing, and how it is installed. Never without asking."""

import importlib
import importlib.util
from importlib import metadata
from pathlib import Path

import slicer
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
REQUIREMENTS = FOR_PANELS | FOR_WORKER | FOR_REPORT
TORCH = "torch"
#: Slicer's own builds: pip must neither replace nor upgrade them.
KEPT_BY_SLICER = ("SimpleITK", "numpy", "vtk")
#: Where the user's settings say what is being installed.
PENDING = "MeWM/PendingInstall"


class RestartNeededError(DependencyError):
    """The rest can only be installed after Slicer was restarted."""


def missing(names):
    """Which of these modules cannot be imported."""
    importlib.invalidate_caches()
    return [name for name in names if importlib.util.find_spec(name) is None]


def missing_for_worker():
    """Everything that the worker lacks, torch included."""
    return missing([*REQUIREMENTS, TORCH])


def constraints(folder):
    """Write a constraints file that keeps what Slicer brings; returns its path."""
    lines = []
    for name in KEPT_BY_SLICER:
        try:
            lines.append(f"{name}=={metadata.version(name)}\n")
        except metadata.PackageNotFoundError:
            # built into Slicer without metadata: pip does not see it and would install another one in its place. No
            # version satisfies this, so pip gives up rather than do that.
            lines.append(f"{name}<0\n")
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
        DependencyError: the wheelhouse is not a folder, the extension PyTorch is not there, or pip failed.
    """
    if wheelhouse and not Path(wheelhouse).is_dir():
        raise DependencyError(
            what=_("The folder of offline packages does not exist"),
            given=wheelhouse,
            remedy=_("Choose another folder, or leave it empty to use the package index"),
        )
    plain = [REQUIREMENTS[name] for name in names if name in REQUIREMENTS]
    remember(names, wheelhouse)
    try:
        if plain:
            _install_plain(plain, constraints(folder), wheelhouse)
        if TORCH in names:
            _install_torch()
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


def _install_torch():
    """Through the extension PyTorch, which knows the graphics card."""
    try:
        from PyTorchUtils import PyTorchUtilsLogic
    except ImportError as error:
        raise RestartNeededError(
            what=_("The extension PyTorch is not installed"),
            remedy=_("Install it with the Extensions Manager and restart Slicer; MeWM then continues by itself"),
        ) from error
    if PyTorchUtilsLogic().installTorch(askConfirmation=True) is None:
        raise DependencyError(what=_("PyTorch was not installed"), remedy=_("See the extension PyTorch"))
