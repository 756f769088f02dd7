"""Why a worker ended, read from its exit code and the end of its output."""

import signal
import sys

import pytest

from MeWMLib.core.errors import WorkerError, WorkerKilledError
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
