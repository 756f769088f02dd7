"""Where many jobs are run: in this process, in worker processes of this computer, or on Ray. One interface.

A job that fails is an `Answer` with its error: it stops no other job. The same job gives the same files on every
engine, since the same code does it with the same seed; only the device may differ.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from typing import Any

from MeWMLib.core.errors import CancelledError, MeWMError
from MeWMLib.jobs.job import Event, Job
from MeWMLib.jobs.runner import LocalRunner

OnEvent = Callable[[str, Event], None]
Cancelled = Callable[[], bool]


@dataclass(frozen=True)
class Answer:
    """How one job ended.

    Attributes:
        name: of the job.
        result: data of its result event, or None.
        error: why there is none.
        attempts: how often it was started; more than once where a worker was lost.
    """

    name: str
    result: dict[str, Any] | None = None
    error: MeWMError | None = None
    attempts: int = 1


class Engine(typing.Protocol):
    """What every engine is."""

    def run(self, jobs: Sequence[tuple[str, Job]], on_event: OnEvent, cancelled: Cancelled) -> Iterator[Answer]:
        """Do named jobs and answer as they end, in any order.

        Args:
            jobs: name and job.
            on_event: told what a job says, with its name; may be called from several threads.
            cancelled: asked again and again; jobs that are not done then end with a `CancelledError`.
        """
        ...


class InProcessEngine:
    """One job after the other in this process; the networks are loaded once.

    Args:
        worker_engine: the edges of the worker, for tests; see `jobs.task.Engine`.
    """

    def __init__(self, worker_engine: Any = None) -> None:
        self._edges = worker_engine

    def run(self, jobs: Sequence[tuple[str, Job]], on_event: OnEvent, cancelled: Cancelled) -> Iterator[Answer]:
        """See `Engine`."""
        edges = self._edges or kept_world()
        for name, job in jobs:
            yield run_in_process(name, job, partial(on_event, name), cancelled, edges)


class WorkerEngine:
    """Worker processes of this computer, one a job: a crash ends one job and no more.

    Args:
        workers: processes at a time.
        command: of the worker, for tests.
    """

    def __init__(self, workers: int = 1, command: Sequence[str] | None = None) -> None:
        self._workers, self._command = workers, command

    def run(self, jobs: Sequence[tuple[str, Job]], on_event: OnEvent, cancelled: Cancelled) -> Iterator[Answer]:
        """See `Engine`."""
        with ThreadPoolExecutor(self._workers) as pool:
            started = [pool.submit(self._one, name, job, on_event, cancelled) for name, job in jobs]
            for done in as_completed(started):
                yield done.result()

    def _one(self, name: str, job: Job, on_event: OnEvent, cancelled: Cancelled) -> Answer:
        if cancelled():
            return Answer(name, error=stopped())
        try:
            with LocalRunner(self._command) as runner:
                runner.start(job, lambda event: on_event(name, event))
                while (result := runner.wait(0.2)) is None:
                    if cancelled():
                        runner.cancel()
            return Answer(name, result)
        except MeWMError as error:
            return Answer(name, error=error)


def run_in_process(name: str, job: Job, emit: Callable[[Event], None], cancelled: Cancelled, edges: Any) -> Answer:
    """Do a job in this process."""
    # torch comes in with the first job, so that asking for help or a wrong folder costs no seconds
    from MeWMLib.jobs.worker import run

    if cancelled():
        return Answer(name, error=stopped())
    try:
        return Answer(name, run(job, emit, cancelled, edges))
    except MeWMError as error:
        return Answer(name, error=error)


def kept_world() -> Any:
    """The worker's edges with a world that is loaded once for all jobs of one bundle and device."""
    from MeWMLib.jobs.task import Engine as Edges

    plain = Edges()
    kept: dict[tuple[str, str], Any] = {}

    def load(bundle: Any, device: str) -> Any:
        key = bundle.sha256, device
        if key not in kept:
            kept[key] = plain.load_world(bundle, device)
        return kept[key]

    return Edges(load_world=load)


def stopped() -> CancelledError:
    """The error of a job that was never started."""
    return CancelledError(what="The job was stopped before it began", remedy="Run the same command to go on")
