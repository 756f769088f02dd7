"""Workers of the small world that begin at once: forks of one process that has imported everything.

Nearly all of what a worker of the tests computes is importing. `command` gives a command that behaves as one that
starts such a worker: its process is a small one that hands its standard streams to a fork, ends as the fork ends, by
the same exit code or signal, and whose end ends the fork.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

#: What a worker imports only when a job asks for it.
_LATER = ("scipy.signal", "scipy.stats", "MeWMLib.jobs.plan_job")


@contextlib.contextmanager
def command(script: Path, folder: Path) -> Iterator[list[str]]:
    """The command, for as long as the block lasts.

    Args:
        script: the worker, with a function `engine`.
        folder: for the socket.
    """
    from MeWMLib.jobs.processes import child_environment

    here = folder / "s"
    started = subprocess.Popen(
        [sys.executable, __file__, "serve", str(here), str(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=child_environment(),
    )
    assert started.stdin is not None and started.stdout is not None
    assert started.stdout.readline() == b"ready\n", "the workers' first process failed"
    started.wait()  # it has become nobody's child, so that no test takes it for something that was left
    try:
        yield [sys.executable, "-S", "-E", __file__, "work", str(here)]
    finally:
        started.stdin.close()
        started.stdout.close()


def _work(here: str, arguments: list[str]) -> None:
    """Be the process of one worker."""
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(here)
        told = json.dumps({"argv": arguments, "env": dict(os.environ), "cwd": str(Path.cwd())}).encode()
        socket.send_fds(line, [len(told).to_bytes(4, "big")], [0, 1, 2])
        line.sendall(told)
        for stream in (0, 1, 2):
            os.close(stream)
        status = line.recv(4)
    code = os.waitstatus_to_exitcode(int.from_bytes(status, "big")) if len(status) == 4 else 70
    if code < 0:
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


def _serve(here: str, script: str) -> None:
    """Import the worker, then fork one for each line, until standard input ends."""
    spec = importlib.util.spec_from_file_location("__mewm_worker__", script)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    for name in _LATER:
        importlib.import_module(name)
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(here)
        door.listen()
        os.write(1, b"ready\n")
        if os.fork():
            os._exit(0)
        os.setsid()
        # not closed: a stream of a worker that came by this number would be lost among its own
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        working: dict[int, socket.socket] = {}
        while True:
            ready = select.select([door, 0], [], [], 0.01 if working else None)[0]
            if 0 in ready and not os.read(0, 1):
                return
            if door in ready:
                line = door.accept()[0]
                child = os.fork()
                if child == 0:
                    door.close()
                    for other in working.values():
                        other.close()
                    _be_worker(line, module)
                working[child] = line
            while working and (ended := os.waitpid(-1, os.WNOHANG))[0]:
                with working.pop(ended[0]) as line, contextlib.suppress(OSError):
                    line.sendall(ended[1].to_bytes(4, "big"))


def _be_worker(line: socket.socket, module: Any) -> None:
    """What the fork does; it never returns."""
    code = 70
    try:
        size, streams, *_ = socket.recv_fds(line, 4, 3)
        told = b""
        while len(told) < int.from_bytes(size, "big"):
            told += line.recv(65536)
        given = json.loads(told)
        os.setpgid(0, 0)
        for stream, received in enumerate(streams):
            os.dup2(received, stream)
            os.close(received)
        os.environ.clear()
        os.environ.update(given["env"])
        os.chdir(given["cwd"])

        def end_with_the_process() -> None:
            with contextlib.suppress(OSError):
                line.recv(1)
            os._exit(70)

        threading.Thread(target=end_with_the_process, daemon=True).start()
        engine = module.engine(os.environ.get("MEWM_FAKE", ""))
        code = module.worker.main(given["argv"], engine=engine)
        sys.stderr.flush()
    finally:
        os._exit(code)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        _serve(sys.argv[2], sys.argv[3])
    else:
        _work(sys.argv[2], sys.argv[3:])
