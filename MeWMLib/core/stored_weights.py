"""Weights as a bundle's files hold them: float16, or int8 with a float16 scale for each output channel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MeWMLib.core.errors import BundleError

Array = NDArray[Any]
#: What is put behind the name of an int8 tensor for the name of its scales.
SCALE = ":scale"
#: Tensors of fewer weights stay float16: they are a small share of a file, and many are norms and biases.
SMALLEST = 4096
#: The largest stored number; -128 is not used, so that both signs are alike.
_TOP = 127


def stored(tensors: Mapping[str, Any], eight_bits: bool = False) -> dict[str, Array]:
    """Weights as they are written.

    Args:
        tensors: name to array (or CPU tensor); those that are not floating-point stay as they are.
        eight_bits: store tensors of two and more dimensions and at least `SMALLEST` weights as int8, each output
            channel (first axis) relative to its largest absolute weight.

    Raises:
        BundleError: a weight is not finite or float16 cannot hold it, or a name ends as those of scales do.
    """
    out: dict[str, Array] = {}
    for name, tensor in tensors.items():
        if name.endswith(SCALE):
            raise BundleError(what=f"The name of a weight ends with {SCALE}, as those of scales do", given=name)
        # in C order: safetensors would scramble other strides
        array = np.array(tensor, order="C")
        if array.dtype.kind != "f":
            out[name] = array
        elif eight_bits and array.ndim > 1 and array.size >= SMALLEST:
            out |= _in_eight_bits(name, array)
        else:
            out[name] = _half(name, array)
    return out


def restored(tensors: Mapping[str, Array]) -> dict[str, Array]:
    """The weights of `stored`, as float32.

    Raises:
        BundleError: scales without their tensor, or of another length.
    """
    scales = {name.removesuffix(SCALE): array for name, array in tensors.items() if name.endswith(SCALE)}
    for name, scale in scales.items():
        whole = tensors.get(name)
        if whole is None or whole.dtype != np.int8 or scale.shape != whole.shape[:1]:
            raise BundleError(what="Scales of weights do not fit them", given=f"{name}: {scale.shape}")
    out: dict[str, Array] = {}
    for name, array in tensors.items():
        if name in scales:
            each = scales[name].astype(np.float32).reshape(-1, *(1,) * (array.ndim - 1))
            out[name] = array.astype(np.float32) * each
        elif not name.endswith(SCALE):
            out[name] = array.astype(np.float32) if array.dtype == np.float16 else array
    return out


def _in_eight_bits(name: str, array: Array) -> dict[str, Array]:
    rows = array.reshape(len(array), -1).astype(np.float64)
    scale = _half(name, np.abs(rows).max(1) / _TOP)
    # a channel of weights so small that float16 has no scale for them is as good as zero
    safe = np.where(scale > 0, scale, 1).astype(np.float64)
    whole = np.clip(np.rint(rows / safe[:, None]), -_TOP, _TOP).astype(np.int8)
    return {name: whole.reshape(array.shape), name + SCALE: scale}


def _half(name: str, array: Array) -> Array:
    with np.errstate(over="ignore"):
        half = array.astype(np.float16)
    if not np.isfinite(half).all():
        raise BundleError(
            what="A weight is not finite or does not fit into float16", given=name, remedy="Look at the training run"
        )
    return half
