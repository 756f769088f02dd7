"""The segmenter's network on a CPU through OpenVINO, where that is installed and faster.

On processors of the x86-64 family OpenVINO is taken unasked: it was faster on all that were tried, in bfloat16 where
the CPU multiplies in it and in float32 elsewhere (2.0 and 2.7 times on two of them). On others, such as ARM, which one
runs is measured once for each network and size of window, in CPU seconds, so that other work on the machine does not
decide. In float32 the two label about two voxels in 100,000 of random windows differently.
"""

from __future__ import annotations

import contextlib
import io
import os
import platform
import time
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from MeWMLib.core.errors import DependencyError, InputError, install_command

#: "auto" takes the faster one, "torch" and "openvino" ask for one of them.
VARIABLE = "MEWM_CPU_ENGINE"
ENGINES = ("auto", "torch", "openvino")
#: With fewer windows than this, "auto" would spend more time on choosing than it saves.
ENOUGH = 24
#: Names of the family of processors on which nothing has to be measured.
X86 = ("x86_64", "amd64")
#: "auto" leaves torch only for something this much faster, so that a tie is always decided in the same way.
MARGIN = 1.15

Network = Callable[[Tensor], Tensor]


def choose(
    network: nn.Module, device: torch.device, batch: int, side: int, windows: int, mixed: bool = False
) -> Network:
    """The network itself, or OpenVINO's version of it for batches (`batch`, 1, `side`, `side`, `side`).

    Args:
        network: (B, 1, D, H, W) to (B, C, D, H, W), in inference mode.
        device: of the network; OpenVINO is for the CPU.
        batch, side: of what it will be called with.
        windows: how many it will see at most.
        mixed: compute in bfloat16; the caller sees to it where the network itself is returned.

    Raises:
        InputError: the environment asks for an engine that does not exist.
        DependencyError: it asks for OpenVINO, which is not installed.
    """
    name = os.environ.get(VARIABLE, "") or "auto"
    if name not in ENGINES:
        raise InputError(what="There is no such engine", given=f"{VARIABLE}={name}", remedy="Use " + ", ".join(ENGINES))
    if name == "torch" or device.type != "cpu":
        return network
    if name == "openvino":
        return compiled(network, batch, side, mixed)
    if windows < ENOUGH or find_spec("openvino") is None:
        return network
    try:
        other = compiled(network, batch, side, mixed)
    except Exception as error:  # anything that a library which nobody asked for by name cannot do
        warnings.warn(f"The segmenter stays on torch: OpenVINO failed ({str(error).strip()[-200:]})", stacklevel=2)
        return network
    if mixed or platform.machine().lower() in X86:
        return other
    return other if _seconds(network, batch, side) > MARGIN * _seconds(other, batch, side) else network


def compiled(network: nn.Module, batch: int, side: int, mixed: bool = False) -> Network:
    """Compile a network for one size with OpenVINO, in float32 or bfloat16, on as many threads as torch has.

    Raises:
        DependencyError: OpenVINO is not installed.
    """
    model, core = _converted(network)
    model.reshape([batch, 1, side, side, side])
    settings = {
        "INFERENCE_PRECISION_HINT": "bf16" if mixed else "f32",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }
    run = core.compile_model(model, "CPU", settings)

    def infer(images: Tensor) -> Tensor:
        return torch.from_numpy(run([images.contiguous().numpy()])[0].copy())

    return infer


def _converted(network: nn.Module) -> tuple[Any, Any]:
    """The network as OpenVINO's graph for any size.

    Its front end is called directly, since `openvino.convert_model` reports its use to Intel's telemetry.
    """
    try:
        import openvino
        from openvino.frontend import FrontEndManager
        from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder
    except ImportError as error:
        raise DependencyError(
            what="The segmenter should run on OpenVINO, which is not installed",
            given=f"{VARIABLE}=openvino",
            remedy=f"Install it with {install_command('openvino')}, or unset the variable",
        ) from error
    example = torch.zeros(2, 1, 32, 32, 32)  # a single or larger one would take seconds
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        # standard output belongs to the worker's events; tracing warns about branches that are always the same here
        warnings.simplefilter("ignore")
        front_end = FrontEndManager().load_by_framework("pytorch")
        # traced here, since the decoder would run the traced network once more to check it, for a second
        traced = torch.jit.trace(network, example, check_trace=False)
        decoder = TorchScriptPythonDecoder(traced)  # must exist until the conversion ends
        model = front_end.convert(front_end.load(decoder))
    return model, openvino.Core()


@torch.inference_mode()
def _seconds(network: Network, batch: int, side: int) -> float:
    """CPU seconds of a pass, the better of two after a first one."""
    images = torch.randn(batch, 1, side, side, side, generator=torch.Generator().manual_seed(0))
    network(images)
    taken = []
    for _ in range(2):
        began = time.process_time()
        network(images)
        taken.append(time.process_time() - began)
    return min(taken)
