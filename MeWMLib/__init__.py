"""MeWMLib: the Medical World Model for liver tumours (arXiv 2506.02327). Research use only.

The library works without 3D Slicer. The names below are imported when they are first asked for, so importing the
package loads no deep-learning framework.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from MeWMLib.cohorts.samples import load_sample
    from MeWMLib.core.io import read_labels
    from MeWMLib.core.patient import Clinical, Patient
    from MeWMLib.core.plan import PlanSettings
    from MeWMLib.core.protocol import Protocol
    from MeWMLib.perception.phase import read_ct
    from MeWMLib.world.model import WorldModel

__version__ = "0.2.0"
#: Public name to its module.
_MODULES = {
    "Clinical": "core.patient",
    "Patient": "core.patient",
    "PlanSettings": "core.plan",
    "Protocol": "core.protocol",
    "WorldModel": "world.model",
    "load_sample": "cohorts.samples",
    "read_ct": "perception.phase",
    "read_labels": "core.io",
}
__all__ = ["Clinical", "Patient", "PlanSettings", "Protocol", "WorldModel", "load_sample", "read_ct", "read_labels"]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
