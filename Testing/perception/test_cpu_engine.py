"""OpenVINO in place of torch on the CPU: the same labels, chosen by the environment or by measured seconds."""

import platform
import socket

import numpy as np
import pytest
import torch

from MeWMLib.core.errors import DependencyError, InputError
from MeWMLib.perception import cpu_engine
from MeWMLib.perception.segmenter import Segmenter, SegmenterConfig, build

CPU = torch.device("cpu")
#: The environment variable of another module.
PRECISION = "MEWM_PRECISION"
CONFIG = SegmenterConfig(filters=(4, 8, 8, 16, 16), window=32)


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return build(CONFIG).eval()


@pytest.fixture()
def calls(monkeypatch) -> list[object]:
    """Every address that a socket is connected to."""
    made: list[object] = []

    def connect(self: socket.socket, address: object) -> None:
        made.append(address)
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", connect)
    return made


def test_openvino_gives_what_torch_gives_and_opens_no_connection(network, calls) -> None:
    pytest.importorskip("openvino")
    run = cpu_engine.compiled(network, 2, 32)
    images = torch.rand(2, 1, 32, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.inference_mode():
        expected, found = network(images), run(images)
    assert found.shape == expected.shape and (found - expected).abs().max() < 0.02 * expected.abs().max()
    assert (found.argmax(1) != expected.argmax(1)).float().mean() < 1e-3
    assert torch.equal(run(images), found)  # a second run gives the same bits
    other = images.clone()
    other[1] = images[0]
    assert torch.equal(run(other)[0], found[0])  # whatever is beside it
    assert not calls


def test_an_image_is_segmented_alike_by_both_engines_and_in_part(network, monkeypatch) -> None:
    pytest.importorskip("openvino")
    monkeypatch.setenv(PRECISION, "float32")
    rng = np.random.default_rng(0)
    hu = rng.normal(80, 100, (40, 72, 64)).astype(np.float32)
    labels = {}
    for engine in ("torch", "openvino"):
        monkeypatch.setenv(cpu_engine.VARIABLE, engine)
        segmenter = Segmenter(CONFIG, network, CPU)  # type: ignore[arg-type]
        kept = segmenter.segment_kept(hu)
        labels[engine] = kept.labels
        changed = hu.copy()
        changed[5:12, 5:12, 5:12] += 120
        assert np.array_equal(segmenter.segment_again(kept, changed).labels, segmenter.segment(changed))
    assert len(np.unique(labels["torch"])) > 1 and (labels["torch"] != labels["openvino"]).mean() < 2e-3


def test_auto_takes_what_takes_clearly_less_time(network, monkeypatch) -> None:
    pytest.importorskip("openvino")
    monkeypatch.delenv(cpu_engine.VARIABLE, raising=False)
    stand_in = torch.nn.Identity()
    monkeypatch.setattr(cpu_engine, "compiled", lambda *_: stand_in)
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    for mine, other, expected in ((1.0, 0.8, stand_in), (1.0, 0.9, network), (1.0, 1.2, network)):
        times = {id(network): mine, id(stand_in): other}
        monkeypatch.setattr(cpu_engine, "_seconds", lambda run, *_, t=times: t[id(run)])
        assert cpu_engine.choose(network, CPU, 2, 32, 100) is expected
    assert cpu_engine.choose(network, CPU, 2, 32, cpu_engine.ENOUGH - 1) is network
    assert cpu_engine.choose(network, torch.device("cuda"), 2, 32, 100) is network


@pytest.mark.parametrize("machine", ["x86_64", "AMD64"])
def test_on_x86_openvino_is_taken_without_measuring(network, monkeypatch, machine) -> None:
    monkeypatch.delenv(cpu_engine.VARIABLE, raising=False)
    stand_in = torch.nn.Identity()
    monkeypatch.setattr(cpu_engine, "find_spec", lambda _: True)
    monkeypatch.setattr(cpu_engine, "compiled", lambda *_: stand_in)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(cpu_engine, "_seconds", lambda *_: pytest.fail("it was measured"))
    assert cpu_engine.choose(network, CPU, 2, 32, 100) is stand_in


def test_in_bfloat16_openvino_is_taken_without_measuring(network, monkeypatch) -> None:
    pytest.importorskip("openvino")
    monkeypatch.delenv(cpu_engine.VARIABLE, raising=False)
    monkeypatch.setattr(cpu_engine, "_seconds", lambda *_: pytest.fail("it was measured"))
    run = cpu_engine.choose(network, CPU, 2, 32, 100, mixed=True)
    images = torch.rand(2, 1, 32, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.inference_mode():
        expected, found = network(images), run(images)
    assert run is not network and found.dtype == torch.float32
    assert (found.argmax(1) != expected.argmax(1)).float().mean() < 0.03
    assert cpu_engine.choose(network, CPU, 2, 32, cpu_engine.ENOUGH - 1, mixed=True) is network


def test_a_network_that_openvino_cannot_take_stays_on_torch(network, monkeypatch) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("operation unknown")

    monkeypatch.delenv(cpu_engine.VARIABLE, raising=False)
    monkeypatch.setattr(cpu_engine, "find_spec", lambda _: True)
    monkeypatch.setattr(cpu_engine, "compiled", fails)
    with pytest.warns(UserWarning, match="stays on torch.*operation unknown"):
        assert cpu_engine.choose(network, CPU, 2, 32, 100) is network
    monkeypatch.setenv(cpu_engine.VARIABLE, "openvino")
    with pytest.raises(RuntimeError, match="operation unknown"):  # asked for by name
        cpu_engine.choose(network, CPU, 2, 32, 100)


def test_seconds_are_those_of_the_processor(network) -> None:
    assert 0 < cpu_engine._seconds(network, 2, 32) < 60


def test_torch_stays_where_openvino_is_not_installed_or_not_wanted(network, monkeypatch) -> None:
    monkeypatch.setenv(cpu_engine.VARIABLE, "torch")
    assert cpu_engine.choose(network, CPU, 2, 32, 1000) is network
    monkeypatch.setenv(cpu_engine.VARIABLE, "auto")
    monkeypatch.setattr(cpu_engine, "find_spec", lambda _: None)
    assert cpu_engine.choose(network, CPU, 2, 32, 1000) is network


def test_an_engine_that_is_missing_is_an_error(network, monkeypatch) -> None:
    monkeypatch.setenv(cpu_engine.VARIABLE, "onnx")
    with pytest.raises(InputError, match="MEWM_CPU_ENGINE=onnx"):
        cpu_engine.choose(network, CPU, 2, 32, 1)
    monkeypatch.setenv(cpu_engine.VARIABLE, "openvino")
    monkeypatch.setitem(__import__("sys").modules, "openvino", None)
    with pytest.raises(DependencyError, match=r"pip install.*\[openvino\]"):
        cpu_engine.choose(network, CPU, 2, 32, 1)
