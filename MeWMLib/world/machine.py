"""The machine that networks run on: its device, its memory, the versions of what a result depends on."""

from __future__ import annotations

import platform
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version

import numpy as np
import torch

import MeWMLib
from MeWMLib.core.devices import require_device_name
from MeWMLib.core.errors import DeviceError

#: What one simulation may take of a card's memory, halved where it was too bold: 32 of mewm-small took 0.73 GB of an
#: H200, weights included; larger networks take more.
CARD_BYTES = 0.25e9
#: Simulations at a time on a card. A search asks for six or so, and what a chunk lacks is computed for nothing.
CARD_CHUNK = 8


def choose_device(name: str) -> torch.device:
    """Return the torch device of a name.

    Raises:
        DeviceError: it is not there, or it is not a name of `DEVICES`.
    """
    require_device_name(name)
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = "cuda" if there["cuda"] else "mps" if there["mps"] else "cpu"
    if not there.get(name, False):
        raise DeviceError(
            what="The compute device is not available",
            given=name,
            remedy="Use --device auto; available: " + ", ".join(k for k, v in there.items() if v),
        )
    return torch.device(name)


def chunk_size(device: torch.device) -> int:
    """Simulations at a time: two on a CPU, where more gain nothing; on a card by its free memory."""
    if device.type != "cuda":
        return 2
    free, _ = torch.cuda.mem_get_info(device)
    return int(np.clip(2 ** int(np.log2(max(1.0, free / CARD_BYTES))), 1, CARD_CHUNK))


@lru_cache(maxsize=1)
def _versions() -> tuple[tuple[str, str], ...]:
    found = [("mewm", MeWMLib.__version__), ("python", platform.python_version())]
    for name in ("torch", "monai", "SimpleITK", "numpy", "openvino"):
        try:
            found.append((name, version(name)))
        except PackageNotFoundError:
            if name != "openvino":  # which is optional (perception/cpu_engine.py)
                found.append((name, "unknown"))
    return tuple(found)


def versions() -> dict[str, str]:
    """Versions that a result depends on."""
    return dict(_versions())
