"""What torch keeps for the whole process and training changes: random numbers, threads, the choice of algorithms."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def kept_torch_state() -> Iterator[None]:
    """Put torch's global generators and settings back when the block, or the function that this decorates, ends."""
    benchmark, threads = torch.backends.cudnn.benchmark, torch.get_num_threads()
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            torch.backends.cudnn.benchmark = benchmark
            if torch.get_num_threads() != threads:
                torch.set_num_threads(threads)
