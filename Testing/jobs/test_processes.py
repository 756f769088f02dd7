"""Why a worker ended, read from its exit code and the end of its output; pools that end with their parent."""

import os
import signal
import subprocess
import sys

import psutil
import pytest

from MeWMLib.core.errors import WorkerError, WorkerKilledError
from MeWMLib.jobs import processes
from MeWMLib.jobs.processes import exit_error

#: As Slicer's launcher writes it, in the code that it then ends with.
LAUNCHER = "error: [/opt/Slicer/bin/python-real] exit abnormally - Report the problem."


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("shift", [0, 128])
@pytest.mark.parametrize(
    ("number", "kind", "advice"),
    [("SIGKILL", WorkerKilledError, "--device cpu, fewer --replicas"), ("SIGSEGV", WorkerError, "`mewm doctor`")],
)
def test_a_signal_is_named_also_behind_a_shell(number, kind, advice, shift):
    value = int(signal.Signals[number])
    error = exit_error(128 + value if shift else -value, "")
    assert type(error) is kind and number in error.what and advice in error.remedy


@pytest.mark.parametrize(
    ("code", "kind", "word"),
    [
        (0xC0000005, WorkerError, "native library"),
        (0xC0000409, WorkerError, "native library"),
        (0xC0000017, WorkerKilledError, "memory"),
        (0xC000012D, WorkerKilledError, "memory"),
        (0xC0000142, WorkerError, "0xc0000142"),
    ],
)
def test_windows_has_status_codes(code, kind, word):
    error = exit_error(code, "")
    assert type(error) is kind and word in error.what


def test_a_launcher_that_hides_the_signal_still_gives_the_advice():
    error = exit_error(1, f"loading\n{LAUNCHER}\n")
    assert type(error) is WorkerKilledError and "memory" in error.what
    assert "--device cpu" in error.remedy and "`mewm doctor`" in error.remedy and LAUNCHER in error.given


@pytest.mark.parametrize("code", [1, 2, 3, 77])
def test_an_exit_code_is_just_that(code):
    error = exit_error(code, "Traceback: a bug")
    assert type(error) is WorkerError and f"exit code {code}" in error.what and "signal" not in error.what


def _told(number: int) -> None:
    global _number
    _number = number


def _asked(_: int) -> tuple[int, int]:
    return _number, os.getpid()


def test_a_pool_begins_its_workers_as_asked():
    with processes.worker_pool(1, _told, 7) as pool:
        (number, worker), (_, again) = pool.map(_asked, range(2))
    assert number == 7 and worker == again != os.getpid()


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_workers_of_a_pool_end_with_a_parent_that_is_killed():
    code = (
        "import os, time\n"
        "from MeWMLib.jobs.processes import worker_pool\n"
        "pool = worker_pool(2)\n"
        "list(pool.map(time.sleep, [0.2, 0.2]))\n"
        "print(*pool._processes, flush=True)\n"
        "list(pool.map(time.sleep, [600, 600, 600]))\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=processes.child_environment()
    )
    with parent:
        workers = [psutil.Process(int(pid)) for pid in parent.stdout.readline().split()]
        assert len(workers) == 2 and all(worker.is_running() for worker in workers)
        parent.kill()
    _, left = psutil.wait_procs(workers, timeout=60)
    assert not left
