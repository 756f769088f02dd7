"""HU as the networks of perception see them."""

from __future__ import annotations

from torch import Tensor

from MeWMLib.core.structures import CT_WINDOW_HU


def normalise(hu: Tensor) -> Tensor:
    """HU to -1..1 over the CT window."""
    low, high = CT_WINDOW_HU
    return (hu.clamp(low, high) - low) / (high - low) * 2 - 1
