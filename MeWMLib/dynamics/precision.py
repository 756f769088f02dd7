"""What a device computes fast."""

from __future__ import annotations

import torch


def computes_bfloat16(device: torch.device) -> bool:
    """True if the hardware multiplies in bfloat16; where it would only emulate, mixed precision is far slower."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        asked = getattr(torch.cpu, "get_capabilities", dict)()  # torch 2.12 and later
        return bool(asked.get("avx512_bf16") or asked.get("amx_bf16"))
    return False
