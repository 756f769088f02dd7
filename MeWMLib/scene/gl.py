"""Is there an OpenGL driver? Asked in a process of its own, since a missing one ends the process that asks."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache

#: Set to 1 to make no picture that needs OpenGL.
NO_GL_VARIABLE = "MEWM_NO_GL"
#: Packages that bring a software driver on Debian and Ubuntu.
DRIVER_PACKAGES = ("libegl1", "libgl1-mesa-dri")

_WINDOW = "VTK_DEFAULT_OPENGL_WINDOW"
# Only the modules that a render window needs: 0.4 s instead of 2 s for the whole of VTK.
_PROBE = """
import vtkmodules.vtkRenderingOpenGL2
from vtkmodules.vtkRenderingCore import vtkRenderer, vtkRenderWindow
window = vtkRenderWindow()
window.SetOffScreenRendering(1)
window.SetSize(16, 16)
window.AddRenderer(vtkRenderer())
window.Render()
raise SystemExit(0 if window.SupportsOpenGL() else 3)
"""


def prepare_environment() -> None:
    """Make VTK render through EGL on a Linux machine without a screen. Call it before VTK is imported."""
    os.environ.update(_wanted())


def _wanted() -> dict[str, str]:
    """Variables that VTK needs and that are not set."""
    if sys.platform != "linux" or os.environ.get("DISPLAY") or _WINDOW in os.environ:
        return {}
    return {_WINDOW: "vtkEGLRenderWindow"}


@cache
def gl_available() -> bool:
    """Tell whether VTK can render here.

    A child process tries it: without a driver VTK ends the process by a signal. The answer is kept.
    """
    if os.environ.get(NO_GL_VARIABLE, "") not in ("", "0"):
        return False
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROBE],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=30.0,  # a driver that does not answer counts as missing
            check=False,
            env=os.environ | _wanted(),
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
