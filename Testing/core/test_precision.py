"""What a device computes fast, and how the environment decides otherwise."""

from collections.abc import Iterator

import pytest
import torch

from MeWMLib.core import precision
from MeWMLib.core.errors import InputError

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def measured_anew() -> Iterator[None]:
    precision._multiplies_faster.cache_clear()
    yield
    precision._multiplies_faster.cache_clear()


@pytest.mark.parametrize(
    ("able", "seconds", "expected"),
    [
        ({}, 0.1, False),
        ({"avx512_bf16": True}, 0.1, True),
        ({"amx_bf16": True}, 0.1, True),
        ({"avx2": True}, 0.1, False),
        # instructions that are there and slower, as on a Xeon whose AMX a virtual machine hides
        ({"avx512_bf16": True}, 2.0, False),
        ({"avx512_bf16": True}, 0.9, False),
    ],
)
def test_a_processor_that_multiplies_faster_in_bfloat16_computes_in_it(monkeypatch, able, seconds, expected) -> None:
    monkeypatch.delenv(precision.VARIABLE, raising=False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able, raising=False)
    monkeypatch.setattr(precision, "_seconds", lambda _, dtype: seconds if dtype is torch.bfloat16 else 1.0)
    assert precision.computes_bfloat16(CPU) is expected
    assert precision.multiplies_bfloat16(CPU) is any(name.endswith("bf16") for name in able)
    monkeypatch.setenv(precision.VARIABLE, "float32")
    assert not precision.computes_bfloat16(CPU)


def test_a_cpu_is_measured_once_and_one_slow_moment_does_not_decide(monkeypatch) -> None:
    monkeypatch.delenv(precision.VARIABLE, raising=False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True}, raising=False)
    asked: list[torch.dtype] = []

    def seconds(_, dtype) -> float:
        asked.append(dtype)
        return 9.0 if len(asked) == 2 else 0.1 if dtype is torch.bfloat16 else 1.0

    monkeypatch.setattr(precision, "_seconds", seconds)
    assert precision.computes_bfloat16(CPU) and precision.computes_bfloat16(CPU)
    assert asked == 5 * [torch.float32, torch.bfloat16]


def test_what_is_measured_is_a_convolution_in_that_precision(monkeypatch) -> None:
    seen: list[torch.dtype] = []
    conv3d = torch.nn.functional.conv3d
    monkeypatch.setattr(
        torch.nn.functional, "conv3d", lambda x, w, **more: seen.append(conv3d(x, w, **more).dtype) or x
    )
    assert precision._seconds(torch, torch.bfloat16) > 0 and precision._seconds(torch, torch.float32) > 0
    assert seen == [torch.bfloat16, torch.float32]


def test_what_torch_does_not_tell_is_no_bfloat16(monkeypatch) -> None:
    monkeypatch.delenv(precision.VARIABLE, raising=False)
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert not precision.computes_bfloat16(CPU) and not precision.computes_bfloat16(torch.device("mps"))


def test_another_precision_is_refused(monkeypatch) -> None:
    monkeypatch.setenv(precision.VARIABLE, "float8")
    with pytest.raises(InputError, match="MEWM_PRECISION=float8.*auto or float32"):
        precision.computes_bfloat16(CPU)
