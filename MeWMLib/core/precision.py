"""What a device computes fast."""

from __future__ import annotations

import os
import sys
from typing import Any

from MeWMLib.core.errors import InputError

#: "float32" keeps networks from computing in bfloat16 where the hardware does; "auto" lets them.
VARIABLE = "MEWM_PRECISION"
PRECISIONS = ("auto", "float32")


def computes_bfloat16(device: Any) -> bool:
    """True if the hardware of a `torch.device` multiplies in bfloat16, and nobody wants float32.

    Where it would only be emulated, mixed precision is far slower.

    Raises:
        InputError: the environment asks for a precision that does not exist.
    """
    name = os.environ.get(VARIABLE, "") or "auto"
    if name not in PRECISIONS:
        raise InputError(
            what="There is no such precision", given=f"{VARIABLE}={name}", remedy="Use " + " or ".join(PRECISIONS)
        )
    if name == "float32":
        return False
    torch = sys.modules["torch"]  # whoever has a device has imported it; this room never does
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        asked: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()  # torch 2.12 and later
        return bool(asked.get("avx512_bf16") or asked.get("amx_bf16"))
    return False
