"""pydicom and highdicom, when they are needed: neither the command's help nor the package itself loads them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from MeWMLib.core.errors import DependencyError


def package(name: str) -> Any:
    """The module of that name.

    Raises:
        DependencyError: it is not installed; in Slicer it may be missing.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise DependencyError(
            what=f"DICOM is read with the package {name}", given=str(error), remedy=f"Install it: pip install {name}"
        ) from error
