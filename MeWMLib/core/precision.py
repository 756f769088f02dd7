"""What a device computes fast."""

from __future__ import annotations

import os
import sys
import time
from functools import cache
from typing import Any

from MeWMLib.core.errors import InputError

#: "float32" keeps networks from computing in bfloat16 where the hardware does; "auto" lets them.
VARIABLE = "MEWM_PRECISION"
PRECISIONS = ("auto", "float32")
#: A CPU must multiply this much faster in bfloat16, so that a tie is always decided in the same way.
MARGIN = 1.3


def computes_bfloat16(device: Any) -> bool:
    """True if the hardware of a `torch.device` multiplies faster in bfloat16, and nobody wants float32.

    Where it would only be emulated, mixed precision is far slower. A CPU that has the instructions is timed once a
    process, since they do not say it: on an EPYC a convolution takes 0.4 of the time, on a Xeon whose AMX is hidden by
    a virtual machine, and which has AVX512-BF16, twice the time.

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
    return multiplies_bfloat16(device) and (device.type != "cpu" or _multiplies_faster())


def multiplies_bfloat16(device: Any) -> bool:
    """True if the hardware of a `torch.device` has instructions for bfloat16, be they fast or not."""
    torch = sys.modules["torch"]  # whoever has a device has imported it; this room never does
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        asked: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()  # torch 2.12 and later
        return bool(asked.get("avx512_bf16") or asked.get("amx_bf16"))
    return False


@cache
def _multiplies_faster() -> bool:
    """True if this computer's CPU convolves faster in bfloat16 than in float32, measured once (20 to 60 ms)."""
    torch = sys.modules["torch"]
    taken: dict[Any, list[float]] = {torch.float32: [], torch.bfloat16: []}
    for _ in range(5):  # in turns, and the best of each, so that other work on the machine does not decide
        for dtype, seconds in taken.items():
            seconds.append(_seconds(torch, dtype))
    slow, fast = (min(seconds) for seconds in taken.values())
    return slow > MARGIN * fast


def _seconds(torch: Any, dtype: Any) -> float:
    """Seconds of a convolution as the networks have them; of two images, since torch may compute one without oneDNN."""
    with torch.inference_mode():
        image, weight = torch.ones(2, 64, 12, 12, 12, dtype=dtype), torch.ones(64, 64, 3, 3, 3, dtype=dtype)
        begun = time.perf_counter()
        torch.nn.functional.conv3d(image, weight, padding=1)
        return time.perf_counter() - begun
