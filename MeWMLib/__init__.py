"""MeWMLib: the Medical World Model for liver tumours (arXiv 2506.02327). Research use only.

The library works without 3D Slicer. The names below are imported when they are first asked for, so importing the package
loads no deep-learning framework.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from MeWMLib.cohorts.samples import load_sample
    from MeWMLib.core.io import read_labels
    from MeWMLib.core.io import read_volume as read_ct
    from MeWMLib.core.patient import Clinical, Patient
    from MeWMLib.core.plan import PlanSettings
    from MeWMLib.core.protocol import Protocol
    from MeWMLib.world.model import WorldModel

__version__ = "0.1.0"
__all__ = [
    "Clinical",
    "Patient",
    "PlanSettings",
    "Protocol",
    "WorldModel",
    "load_sample",
    "read_ct",
    "read_labels",
]

#: Public name to its module, and to its name there.
_PLACES = {
    "Clinical": ("core.patient", "Clinical"),
    "Patient": ("core.patient", "Patient"),
    "PlanSettings": ("core.plan", "PlanSettings"),
    "Protocol": ("core.protocol", "Protocol"),
    "WorldModel": ("world.model", "WorldModel"),
    "load_sample": ("cohorts.samples", "load_sample"),
    "read_ct": ("core.io", "read_volume"),
    "read_labels": ("core.io", "read_labels"),
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    module, own = _PLACES[name]
    found = globals()[name] = getattr(import_module(f"{__name__}.{module}"), own)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
