"""The worker process: `python -m MeWMLib.jobs.worker JOB.json`.

It answers one JSON event a line on its standard output, is cancelled by one line on its standard input, and ends
itself when that input closes because its parent died. Whatever a library prints goes to standard error.

With `--stay` in place of the job file it does one job after the other, named by lines on its standard input, and keeps
networks and patients between them (`jobs.kept`); each job ends with its result or its error. `jobs.warm` is its other
side.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import queue
import re
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from MeWMLib.core.bundles import Bundle
from MeWMLib.core.errors import CancelledError, InputError, MeWMError, OutOfMemoryError, WorkerError, output_error
from MeWMLib.core.locks import writing
from MeWMLib.core.plan_folder import PlanFolder
from MeWMLib.core.records import parse_json
from MeWMLib.jobs.job import STAY, Event, Job, error_event
from MeWMLib.jobs.kept import Kept
from MeWMLib.jobs.reporter import Emit, Reporter
from MeWMLib.jobs.table import kind_of, load
from MeWMLib.jobs.task import Engine, Task

#: A worker without a parent may save for so long what it has (seconds), then it ends.
ORPHAN_S = 20.0
#: What CUDA, MPS and the CPU allocator of torch say, in small letters.
_CARD_FULL = re.compile(r"out of memory|cudnn_status_alloc_failed|cublas_status_alloc_failed")
_COMPUTER_FULL = re.compile(r"can't allocate memory|not enough memory|unable to allocate|bad_alloc|bad allocation")
_CARD = "Use --device cpu, fewer --replicas or --beams, or close other programs that use the card"
_COMPUTER = "Use fewer --replicas or --beams, or close other programs; --device cpu saves the memory of a card's driver"
_WRITE_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def run(job: Job, emit: Emit, cancelled: Callable[[], bool], engine: Engine | None = None) -> dict[str, Any]:
    """Do a job in this process.

    Args:
        job: what to do.
        emit: takes the events, result and error not among them; called from two threads, one at a time.
        cancelled: polled at every step.
        engine: the edges to the networks and files; tests give their own.

    Returns:
        the data of the result event.

    Raises:
        MeWMError: every failure, foreign errors translated.
    """
    report = Reporter(emit)
    try:
        kind = kind_of(job.kind)
        kind.check(job.inputs, job.out)
        with report.watching(), _output(job):
            result: dict[str, Any] = load(kind.run)(Task(job, report, cancelled, engine or Engine()))
        return result
    except Exception as error:
        raise translated(error, job) from error


def _output(job: Job) -> contextlib.AbstractContextManager[None]:
    """What keeps other runs from the output of a job while it is written."""
    output = kind_of(job.kind).output
    if output is None or not job.out:
        return contextlib.nullcontext()
    if output.is_folder:
        return writing(PlanFolder(job.out).require_writable().path)
    return writing(Path(job.out), output.beside_of(Path(job.out)).values())


def translated(error: BaseException, job: Job | None = None) -> MeWMError:
    """Turn any error into one of ours: the only place in the worker where that is done."""
    if isinstance(error, MeWMError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return CancelledError(what="The job was interrupted")
    names = {c.__name__ for c in type(error).__mro__}
    text = str(error).lower()
    # torch is not imported here, so its errors are known by their names
    if "OutOfMemoryError" in names or (isinstance(error, RuntimeError) and _CARD_FULL.search(text)):
        return OutOfMemoryError(
            what="The graphics card ran out of memory", given=str(error).splitlines()[0] if text else "", remedy=_CARD
        )
    full = isinstance(error, OSError) and error.errno == errno.ENOMEM
    if isinstance(error, MemoryError) or full or _COMPUTER_FULL.search(text):
        return OutOfMemoryError(what="The computer ran out of memory", remedy=_COMPUTER)
    if isinstance(error, OSError) and error.errno in _WRITE_ERRORS:
        return output_error(error, Path(str(error.filename or (job.out if job else "") or "")))
    last = traceback.extract_tb(error.__traceback__)[-1:]
    where = f"{Path(last[0].filename).name}:{last[0].lineno}" if last else "?"
    return WorkerError(
        what=f"The worker failed with an unexpected {type(error).__name__}",
        given=f"{error} ({where})",
        remedy="This is a bug in MeWM or in a package it uses: please report it with this message",
    )


class Channel:
    """Writes events, one whole line each, from any thread. It is not an error here if the reader is gone."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()
        self._open = True

    def __call__(self, event: Event) -> None:
        """Write one event."""
        data = memoryview((event.to_json() + "\n").encode())
        with self._lock:
            try:
                while self._open and data:
                    data = data[os.write(self._descriptor, data) :]
            except OSError:
                # the parent died; watch_stdin ends this process
                self._open = False


class Orders:
    """What the lines on standard input say: the jobs of a worker that stays, and that a job is to be cancelled."""

    def __init__(self) -> None:
        #: Set by the line that cancels; one that stays has another one for each job.
        self.cancel = threading.Event()
        #: Job files with what cancels each; None at the end of the input.
        self.jobs: queue.SimpleQueue[tuple[Path, threading.Event] | None] = queue.SimpleQueue()

    def take(self, line: bytes) -> None:
        """One line."""
        with contextlib.suppress(InputError):
            told = parse_json(line, require={"command": str})
            if told["command"] == "cancel":
                self.cancel.set()
            elif told["command"] == "job" and isinstance(told.get("file"), str):
                # lines come in order: a cancel that follows is for this job
                self.cancel = threading.Event()
                self.jobs.put((Path(told["file"]), self.cancel))

    def end(self) -> None:
        """The parent is gone."""
        self.cancel.set()
        self.jobs.put(None)


def watch_stdin(orders: Orders, descriptor: int = 0, orphan_s: float = ORPHAN_S) -> None:
    """Wait on a thread for lines, and for the end of the parent."""

    def watch() -> None:
        # os.read instead of sys.stdin: a thread inside a buffered reader would hang the interpreter's own end
        pending = b""
        while True:
            try:
                chunk = os.read(descriptor, 4096)
            except OSError:
                chunk = b""
            if not chunk:
                break
            *lines, pending = (pending + chunk).split(b"\n")
            for line in lines:
                orders.take(line)
        orders.end()
        timer = threading.Timer(orphan_s, os._exit, [CancelledError.exit_code])
        timer.daemon = True
        timer.start()

    threading.Thread(target=watch, name="mewm-stdin", daemon=True).start()


def main(argv: Sequence[str] | None = None, engine: Engine | None = None) -> int:
    """Run the job file that is named on the command line, or stay; returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    sys.stdout.flush()
    channel = Channel(os.dup(1))
    # from here on everything that is printed, also by C libraries, lands in standard error
    os.dup2(2, 1)
    orders = Orders()
    watch_stdin(orders)
    if arguments == [STAY]:
        return _stay(channel, orders, keeping(engine or Engine()))
    if len(arguments) != 1:
        error = InputError(what="The worker takes one job file", given=" ".join(arguments))
        channel(error_event(error))
        return error.exit_code
    return _do(Path(arguments[0]), channel, orders.cancel, engine)


def keeping(engine: Engine) -> Engine:
    """An engine that keeps the world it loaded last, and what it found in the scans that it saw last."""
    worlds: dict[tuple[str, str, str], Any] = {}
    kept = Kept()

    def load_world(bundle: Bundle, device: str) -> Any:
        key = (bundle.name, bundle.sha256, device)
        if key not in worlds:
            # one at a time: two sets of networks may not fit into the memory of a card
            worlds.clear()
            kept.clear()
            worlds[key] = engine.load_world(bundle, device)
        return worlds[key]

    return replace(engine, load_world=load_world, kept=kept)


def _stay(channel: Channel, orders: Orders, engine: Engine) -> int:
    """Do job after job until the parent closes the input."""
    loaded: list[Any] = []

    def load_world(bundle: Bundle, device: str) -> Any:
        world = engine.load_world(bundle, device)
        if not loaded or world is not loaded[-1]:
            # the former world may be garbage now
            gc.unfreeze()
            loaded[:] = [None, world]
        return world

    staying = replace(engine, load_world=load_world)
    while (order := orders.jobs.get()) is not None:
        _do(order[0], channel, order[1], staying)
        # what a job leaves in circles, volumes among it, would wait for the next one
        gc.collect()
        if len(loaded) == 2:
            # networks and modules stay: looking through them after every job would take longer than some jobs do
            del loaded[0]
            gc.freeze()
    return 0


def _do(file: Path, channel: Channel, cancel: threading.Event, engine: Engine | None) -> int:
    """Do the job of a file and say how it ended; returns the exit code."""
    job: Job | None = None
    try:
        job = Job.load(file)
        channel(Event("result", data=run(job, channel, cancel.is_set, engine)))
    except BaseException as error:
        ours = translated(error, job)
        details = "".join(traceback.format_exception(error)) if isinstance(ours, WorkerError) else ""
        sys.stderr.write(details)
        channel(error_event(ours, details))
        return ours.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
