"""VTK's classes by name, of the few kits that this room uses: the package `vtk` loads a hundred more (0.2 s)."""

from __future__ import annotations

import importlib
from typing import Any

#: `vtkRenderingOpenGL2` holds no class that is named here: loaded, it lets VTK find its windows.
_KITS = (
    "vtkCommonCore",
    "vtkCommonMath",
    "vtkCommonTransforms",
    "vtkCommonDataModel",
    "vtkFiltersCore",
    "vtkFiltersGeneral",
    "vtkRenderingCore",
    "vtkRenderingOpenGL2",
)


class Kits:
    """Looks a name up in VTK's kits, and in all of VTK where none of them has it."""

    def __init__(self) -> None:
        self._kits = [importlib.import_module(f"vtkmodules.{name}") for name in _KITS]

    def __getattr__(self, name: str) -> Any:
        for kit in self._kits:
            if hasattr(kit, name):
                return getattr(kit, name)
        return getattr(importlib.import_module("vtk"), name)
