"""Memory that runs out is named, wherever it is noticed, with what to do about it."""

from __future__ import annotations

import errno
import os
import sys

import numpy as np
import pytest

from MeWMLib.core.errors import DeviceError, OutOfMemoryError, WorkerError, WorkerKilledError, error_from_json
from MeWMLib.jobs import runner, worker
from MeWMLib.jobs.job import Job


def _cuda_error() -> BaseException:
    torch = pytest.importorskip("torch")
    return torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nSee the documentation")


def _numpy_error() -> BaseException:
    try:
        np.zeros(2**60, dtype=np.int8)
    except MemoryError as error:
        return error
    raise AssertionError("this computer has an exabyte")


@pytest.mark.parametrize(
    ("make", "where"),
    [
        (_cuda_error, "graphics card"),
        (lambda: RuntimeError("MPS backend out of memory (MPS allocated: 8 GB)"), "graphics card"),
        (lambda: RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), "graphics card"),
        (_numpy_error, "computer"),
        (lambda: MemoryError(), "computer"),
        (lambda: RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried to"), "computer"),
        (lambda: RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"), "computer"),
        (lambda: RuntimeError("std::bad_alloc"), "computer"),
        (lambda: OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)), "computer"),
    ],
)
def test_every_way_to_say_it_becomes_one_error(make, where):
    error = worker.translated(make())
    assert type(error) is OutOfMemoryError and isinstance(error, DeviceError) and where in error.what
    assert "--device cpu" in error.remedy and "fewer --replicas" in error.remedy
    assert type(error_from_json(error.to_json())) is OutOfMemoryError


@pytest.mark.parametrize(
    "error", [RuntimeError("shapes do not fit"), ValueError("memory of a goldfish"), OSError(2, "x")]
)
def test_other_errors_are_not_taken_for_it(error):
    assert not isinstance(worker.translated(error), OutOfMemoryError)


@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
def test_a_worker_killed_from_outside_is_most_likely_out_of_memory():
    command = [sys.executable, "-S", "-c", "import os; os.kill(os.getpid(), 9)"]
    with pytest.raises(WorkerKilledError, match="SIGKILL.*memory ran out") as caught:
        runner.run(Job("plan", {"case": "sample:tiny"}), command=command)
    assert "--device cpu" in caught.value.remedy and "fewer --replicas" in caught.value.remedy
    assert type(error_from_json(caught.value.to_json())) is WorkerKilledError


@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
def test_other_deaths_are_not_taken_for_it():
    command = [sys.executable, "-S", "-c", "import os; os.kill(os.getpid(), 11)"]
    with pytest.raises(WorkerError) as caught:
        runner.run(Job("plan", {"case": "sample:tiny"}), command=command)
    assert type(caught.value) is WorkerError


class _Tight:
    """A network that fits one window at a time."""

    def __init__(self, most: int, error: BaseException) -> None:
        self.most, self.error, self.seen = most, error, []

    def __call__(self, windows):
        import torch

        self.seen.append(len(windows))
        if len(windows) > self.most:
            raise self.error
        bright = (windows > 0).float()
        return torch.cat([1 - bright, bright, torch.zeros_like(bright)], 1)


@pytest.fixture
def segmenter():
    """A segmenter whose network is given later."""
    torch = pytest.importorskip("torch")
    from MeWMLib.perception.segmenter import Segmenter, SegmenterConfig, build

    config = SegmenterConfig(filters=(2, 4, 8), window=16)
    return Segmenter(config, build(config), torch.device("cpu"))


def _ct() -> np.ndarray:
    hu = np.full((24, 24, 40), 40.0, np.float32)
    hu[:, :, 20:] = 400.0
    return hu


@pytest.mark.parametrize("make", [_cuda_error, MemoryError, lambda: RuntimeError("CUDA error: out of memory")])
def test_the_assistant_tries_one_window_at_a_time_before_it_gives_up(segmenter, make):
    plenty, tight, shares = _Tight(9, make()), _Tight(1, make()), []
    segmenter.network = plenty
    expected = segmenter.segment(_ct())
    assert 2 in plenty.seen and expected.any()
    segmenter.network = tight
    found = segmenter.segment(_ct(), shares.append)
    assert tight.seen[0] == 2 and set(tight.seen[1:]) == {1} and shares[-1] == 1.0
    np.testing.assert_array_equal(found, expected)


def test_what_does_not_fit_at_all_is_said(segmenter):
    segmenter.network = _Tight(0, MemoryError())
    with pytest.raises(MemoryError):
        segmenter.segment(_ct())
    assert segmenter.network.seen == [2, 1]


def test_other_errors_of_the_network_are_not_tried_again(segmenter):
    segmenter.network = _Tight(0, RuntimeError("a mistake"))
    with pytest.raises(RuntimeError, match="a mistake"):
        segmenter.segment(_ct())
    assert segmenter.network.seen == [2]
