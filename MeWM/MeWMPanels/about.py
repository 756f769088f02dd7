"""What this computer offers MeWM, and the last error, as lines to look at and to copy into a bug report.

No line holds data of a patient: of an error only its type, its own sentence and the places in the code are told, since
what was found may be the name of a node, a folder or a file. Where such a name stands in the sentence it is left out.
"""

import os
import platform
import re
import shutil
import subprocess
import sys
import traceback
from pathlib import Path

import slicer
from slicer.i18n import tr as _

import MeWMLib
from MeWMLib.core.errors import MeWMError
from MeWMLib.core.records import parse_json
from MeWMPanels import install

#: Asked in the Python that workers run in: Slicer's own process never imports torch and survives a broken driver.
_PROBE = """
import json, platform, shutil, subprocess, sys
found = {"python": sys.executable, "version": platform.python_version()}
try:
    import psutil
    found["memory"] = psutil.virtual_memory().available
except ImportError:
    pass
try:
    import torch
    found["torch"], found["cuda"] = torch.__version__, torch.version.cuda
    if torch.cuda.is_available():
        found["devices"] = [
            [torch.cuda.get_device_name(n), torch.cuda.mem_get_info(n)[0]] for n in range(torch.cuda.device_count())
        ]
except Exception as error:
    found["torch error"] = f"{type(error).__name__}: {error}"
if shutil.which("nvidia-smi"):
    asked = subprocess.run(
        ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"], capture_output=True, text=True
    )
    found["driver"] = asked.stdout.split("\\n")[0].strip()
print(json.dumps(found))
"""
_TIMEOUT_S = 120.0
#: In the sentence of an error: what was named (in quotation marks), and paths.
_NAMED = re.compile(r"""(?<!\w)(['"]).*?\1(?!\w)|(?<![\w.])(?:[A-Za-z]:[\\/]|[\\/~])\S*""")


def slicer_python():
    """The Python that workers run in: Slicer's own interpreter, or the one that runs here."""
    return shutil.which("PythonSlicer") or sys.executable


def ask(python):
    """What the worker's Python says of itself and of this computer, on a thread; {"failed": why} where it does not."""
    home = str(Path(MeWMLib.__file__).resolve().parents[1])
    path = os.pathsep.join(p for p in (home, os.environ.get("PYTHONPATH", "")) if p)
    try:
        done = subprocess.run(
            [python, "-c", _PROBE], capture_output=True, text=True, check=False, timeout=_TIMEOUT_S,
            stdin=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": path},
        )  # fmt: skip
        if done.returncode == 0:
            return parse_json(done.stdout.splitlines()[-1], _("The answer of the worker's Python"))
        last = done.stderr.strip().splitlines()[-1:] or [_("exit code {code}").format(code=done.returncode)]
        return {"python": python, "failed": last[0]}
    except (OSError, subprocess.TimeoutExpired, MeWMError, ValueError, IndexError) as error:
        return {"python": python, "failed": f"{type(error).__name__}: {error}"}


def lines(found, error):
    """Everything, one line each.

    Args:
        found: from `ask`, or None where it was not asked yet.
        error: the last error that was shown, or None.
    """
    app = slicer.app
    told = [
        _("MeWM: {version}").format(version=MeWMLib.__version__),
        _("Slicer: {version}").format(version=f"{app.majorVersion}.{app.minorVersion}"),
        _("System: {name}").format(name=platform.platform()),
    ]
    if found is not None:
        told += _found(found)
    lacking = install.missing_for_worker()
    told.append(_("Missing packages: {names}").format(names=", ".join(lacking) or _("none")))
    told.append(_("Last error: {error}").format(error=_error(error)))
    return told


def _found(found):
    unknown = _("not known")
    yield _("Python of the worker: {path} ({version})").format(
        path=_without_home(found["python"]), version=found.get("version", unknown)
    )
    if "failed" in found:
        yield _("It does not work: {reason}").format(reason=_without_home(found["failed"]))
        return
    torch = found.get("torch") or _without_home(found.get("torch error", unknown))
    yield _("PyTorch: {version}").format(version=torch)
    yield _("CUDA of PyTorch: {version}").format(version=found.get("cuda") or _("none"))
    yield _("NVIDIA driver: {version}").format(version=found.get("driver") or _("none"))
    yield _("Free memory: {size}").format(size=_size(found.get("memory")) or unknown)
    for name, free in found.get("devices", ()):
        yield _("Graphics card: {name}, {size} free").format(name=name, size=_size(free))


def _size(count):
    return f"{count / 1024**3:.1f} GB" if count is not None else ""


def _without_home(path):
    """A text in which the user's own folder, and so the user's name, is not written out."""
    home = str(Path.home())
    return path.replace(home, "~") if len(home) > 1 else path


def _error(error):
    if error is None:
        return _("none")
    kind, what = type(error).__name__, _NAMED.sub("...", getattr(error, "what", ""))
    places = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]
    return " ".join(filter(None, (f"{kind}.", what, f"({', '.join(places[-6:])})" if places else "")))
