"""The names of compute devices; torch is not needed to know them."""

from __future__ import annotations

from MeWMLib.core.errors import DeviceError

#: "auto" is CUDA, then MPS, then the CPU.
DEVICES = ("auto", "cpu", "cuda", "mps")


def require_device_name(name: str) -> None:
    """Refuse a name that is not in `DEVICES`.

    Raises:
        DeviceError: see above.
    """
    if name not in DEVICES:
        raise DeviceError(what="Unknown device", given=name, remedy="Use " + ", ".join(DEVICES))
