"""Child processes of MeWM: their environment, their end with all descendants, and why one ended."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import psutil

from MeWMLib.core.errors import WorkerError, WorkerKilledError
from MeWMLib.core.records import parse_json

#: What to do when memory ran out; the same words wherever it is noticed.
MEMORY_REMEDY = "Use --device cpu, fewer --replicas or --beams, or close other programs"

#: How far a worker stands back behind the window that waits for it (a niceness of POSIX).
BACK = 5
#: By these a user says how threads of OpenMP wait (standard, GNU, LLVM and Intel).
_WAITING = frozenset({"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"})


def thread_environment() -> dict[str, str]:
    """How threads of a process that computes wait for one another and share memory, where the user does not say.

    Threads are kept from waiting for one another, which costs minutes where other programs want the processor too:
    those of torch sleep while they wait (spinning took six times as long beside one busy program on two cores), and
    NumPy's matrix products, which are small here and come in hundreds, run on one. The C library of Linux shares its
    memory among two arenas at most: one for each thread kept a sixth more memory.
    """
    once = {"OPENBLAS_NUM_THREADS": "1"} if "OMP_NUM_THREADS" not in os.environ else {}
    if not _WAITING & os.environ.keys():
        once["OMP_WAIT_POLICY"] = "PASSIVE"
    once["MALLOC_ARENA_MAX"] = "2"
    return {name: value for name, value in once.items() if name not in os.environ}


def child_environment() -> dict[str, str]:
    """The environment of a Python child of ours: `thread_environment`, UTF-8, and MeWMLib where this process found it.

    The latter counts for a source tree that is not installed, as inside Slicer.
    """
    home = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(p for p in (home, os.environ.get("PYTHONPATH", "")) if p)
    utf8 = {"PYTHONIOENCODING": "utf-8", "PYTHONUTF8": "1"}
    return {**thread_environment(), **os.environ, "PYTHONPATH": path, **utf8, "PYTHONUNBUFFERED": "1"}


def worker_pool(workers: int, begin: Callable[..., Any] | None = None, *arguments: Any) -> ProcessPoolExecutor:
    """Worker processes that end when this one does, also when it is killed.

    They are spawned, since a forked torch may hang. Those of `ProcessPoolExecutor` alone would stay for ever, with all
    their memory, as each holds an end of the pipe on which it waits.

    Args:
        workers: how many.
        begin: called in each with `arguments` before anything else; both can be pickled.
    """
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _begin, (begin, arguments))


def _begin(begin: Callable[..., Any] | None, arguments: tuple[Any, ...]) -> None:
    threading.Thread(target=_end_with_parent, name="mewm-parent", daemon=True).start()
    if begin is not None:
        begin(*arguments)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def stand_back(process: subprocess.Popen[bytes]) -> None:
    """Let what shows things to people have the processor first: a child that computes is of lower priority."""
    with contextlib.suppress(psutil.Error, OSError):
        child = psutil.Process(process.pid)
        if sys.platform == "win32":
            child.nice(psutil.BELOW_NORMAL_PRIORITY_CLASS)
        else:
            child.nice(min(19, child.nice() + BACK))


def own_group() -> dict[str, Any]:
    """Arguments of `Popen` that give a child its own group: Ctrl-C in a terminal reaches us only, and we decide."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    return {"start_new_session": True}


def end_tree(process: subprocess.Popen[bytes]) -> None:
    """Kill a child with all its descendants, also those whose own parent is gone but who share its process group."""
    victims: list[psutil.Process] = []
    # once poll() has reaped the child, its number may belong to somebody else
    if process.poll() is None:
        with contextlib.suppress(psutil.Error):
            root = psutil.Process(process.pid)
            victims = [*root.children(recursive=True), root]
    for victim in victims:
        with contextlib.suppress(psutil.Error):
            victim.kill()
    if sys.platform != "win32":
        # the group outlives its leader as long as a member lives; when none is left there is nothing to do
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    if victims:
        psutil.wait_procs(victims, timeout=5.0)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(5.0)


#: Signals that end a worker: a likely reason, the error and what to do.
_SIGNALS: dict[str, tuple[str, type[WorkerError], str]] = {
    "SIGKILL": (", most likely because the memory ran out", WorkerKilledError, MEMORY_REMEDY),
    **dict.fromkeys(
        ("SIGSEGV", "SIGILL", "SIGABRT", "SIGBUS"),
        (", a crash inside a native library", WorkerError, "Run `mewm doctor`; try --device cpu"),
    ),
}


#: What Slicer's launcher, PythonSlicer, writes when its Python was ended by a signal; its own exit code is then 1.
_LAUNCHER_WORDS = "exit abnormally - report the problem"
#: Windows has no signals but status codes for these ends, from this one on.
_FIRST_STATUS = 0xC0000000
_STATUS = {
    0xC0000005: "SIGSEGV", 0xC000001D: "SIGILL", 0xC00000FD: "SIGSEGV", 0xC0000374: "SIGABRT", 0xC0000409: "SIGABRT",
    0xC0000017: "SIGKILL", 0xC000012D: "SIGKILL",
}  # fmt: skip


def _signal_of(code: int) -> str:
    """Name of the signal that ended a process, told as it is, by a shell, or by Windows; "" for none."""
    if code < 0:
        return next((known.name for known in signal.Signals if known == -code), f"signal {-code}")
    if code >= _FIRST_STATUS:
        return _STATUS.get(code, f"status {code:#x}")
    # a shell or a launcher in between adds 128
    return next((known.name for known in signal.Signals if known + 128 == code), "")


def exit_error(code: int, stderr: str) -> WorkerError:
    """Say why a worker ended without a result.

    Returns:
        a `WorkerKilledError` where it was killed and nobody here did it: most often the system, out of memory.
    """
    kind: type[WorkerError] = WorkerError
    remedy = "Run it again; if it happens again, report it with the lines above"
    how = f"exit code {code}"
    name = _signal_of(code)
    if name:
        reason, kind, remedy = _SIGNALS.get(name, ("", kind, remedy))
        how = f"it was ended by {name}{reason}"
    elif _LAUNCHER_WORDS in stderr.lower():
        # which signal it was, the launcher does not say
        how = "it was ended by a signal, because the memory ran out or a native library crashed"
        kind, remedy = WorkerKilledError, f"{MEMORY_REMEDY}; run `mewm doctor`"
    if "MemoryError" in stderr or "out of memory" in stderr.lower():
        how += ", out of memory"
        kind, remedy = WorkerKilledError, MEMORY_REMEDY
    tail = "\n".join(stderr.splitlines()[-20:])
    return kind(
        what=f"The worker ended without a result: {how}",
        given="its last output was\n" + tail if tail else "it wrote nothing",
        remedy=remedy,
    )


_DEVICE_PROBE = """
import json, torch
names = [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
mps = bool(getattr(torch.backends, "mps", None)) and torch.backends.mps.is_available()
names = [f"cuda ({name})" for name in names] + ["mps"] * mps
print(json.dumps({"names": [*names, f"cpu ({torch.get_num_threads()} threads)"]}))
"""


def find_devices(python: str = sys.executable) -> str:
    """What torch can compute on, asked in a child: this process stays free of torch and survives a broken driver.

    Raises:
        WorkerError: torch did not respond.
    """
    try:
        done = subprocess.run(
            [python, "-c", _DEVICE_PROBE],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=120.0,
            check=False,
            env=child_environment(),
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise WorkerError(what="torch did not respond", given=str(error)) from error
    if done.returncode != 0:
        last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise WorkerError(what="torch cannot be imported", given=last[0])
    told = (done.stdout.splitlines() or [b""])[-1]
    return ", ".join(parse_json(told, "torch's answer", WorkerError, require={"names": list})["names"])
