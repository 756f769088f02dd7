"""What a device computes fast, and how the environment decides otherwise."""

import pytest
import torch

from MeWMLib.core import precision
from MeWMLib.core.errors import InputError

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("able", "expected"),
    [({}, False), ({"avx512_bf16": True}, True), ({"amx_bf16": True}, True), ({"avx2": True}, False)],
)
def test_a_processor_that_multiplies_in_bfloat16_computes_in_it(monkeypatch, able, expected) -> None:
    monkeypatch.delenv(precision.VARIABLE, raising=False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able, raising=False)
    assert precision.computes_bfloat16(CPU) is expected
    monkeypatch.setenv(precision.VARIABLE, "float32")
    assert not precision.computes_bfloat16(CPU)


def test_what_torch_does_not_tell_is_no_bfloat16(monkeypatch) -> None:
    monkeypatch.delenv(precision.VARIABLE, raising=False)
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert not precision.computes_bfloat16(CPU) and not precision.computes_bfloat16(torch.device("mps"))


def test_another_precision_is_refused(monkeypatch) -> None:
    monkeypatch.setenv(precision.VARIABLE, "float8")
    with pytest.raises(InputError, match="MEWM_PRECISION=float8.*auto or float32"):
        precision.computes_bfloat16(CPU)
