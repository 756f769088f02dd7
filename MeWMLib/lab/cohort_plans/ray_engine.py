"""Jobs on Ray: many computers or many cards. The bundle goes once into the object store; each worker loads it once.

Nothing is asked of a shared file system: a worker is sent the patient's files and sends back those of the plan. A
worker that dies is replaced, and its job is done again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from MeWMLib.core.bundles import find_bundle
from MeWMLib.core.errors import DependencyError, MeWMError, WorkerKilledError, error_from_json, install_command
from MeWMLib.core.io import atomic_path
from MeWMLib.jobs.inputs import SAMPLE_PREFIX
from MeWMLib.jobs.job import Event, Job
from MeWMLib.jobs.processes import thread_environment
from MeWMLib.lab.cohort_plans.engines import Answer, Cancelled, OnEvent, kept_world, run_in_process, stopped

#: How often a job is started before the death of its worker is blamed on the job.
ATTEMPTS = 3
POLL_S = 0.2
_FILES = ("case", "labels")


class RayEngine:
    """Jobs on a Ray cluster.

    Args:
        workers: actors, each with one model.
        address: of a running cluster, such as ray://host:10001; None starts one on this computer.
        threads: of each worker; None leaves that to torch.
        gpus: share of a card that each worker takes; 0 on clusters without cards.

    Raises:
        DependencyError: Ray is not installed.
    """

    def __init__(self, workers: int, address: str | None = None, threads: int | None = None, gpus: float = 0.0) -> None:
        try:
            import ray
        except ImportError as error:
            raise DependencyError(
                what="Ray is not installed", remedy=f"Install it with: {install_command('ray')}"
            ) from error
        self._ray = ray
        self._workers, self._address, self._threads, self._gpus = workers, address, threads, gpus
        #: Process ids of the workers, newest last; tests end one.
        self.pids: list[int] = []

    def run(self, jobs: Sequence[tuple[str, Job]], on_event: OnEvent, cancelled: Cancelled) -> Iterator[Answer]:
        """See `engines.Engine`."""
        ray = self._ray
        with _cluster(ray, self._address, self._workers):
            bundle = ray.put(_files_of(find_bundle(jobs[0][1].bundle).path)) if jobs else None
            waiting = [(name, job, 1) for name, job in jobs]
            idle = [self._actor(bundle) for _ in range(min(self._workers, len(jobs)))]
            running: dict[Any, tuple[str, Job, int, Any]] = {}
            while waiting or running:
                if cancelled():
                    yield from (Answer(name, error=stopped()) for name, _, _ in waiting)
                    yield from (Answer(name, error=stopped()) for name, _, _, _ in running.values())
                    return
                while waiting and idle:
                    name, job, attempt = waiting.pop(0)
                    actor = idle.pop()
                    try:
                        sent = _inputs_of(job)
                    except OSError as error:
                        idle.append(actor)
                        yield Answer(
                            name, error=MeWMError(what="A file of the patient cannot be read", given=str(error))
                        )
                        continue
                    on_event(name, Event("progress", "plan", 0.0, message=f"Sent to a worker (attempt {attempt})"))
                    running[actor.plan.remote(job.to_json(), sent)] = name, job, attempt, actor
                done, _ = ray.wait(list(running), num_returns=1, timeout=POLL_S)
                for reference in done:
                    name, job, attempt, actor = running.pop(reference)
                    try:
                        result, error_json, files = ray.get(reference)
                    except ray.exceptions.RayError as error:
                        idle.append(self._actor(bundle))
                        if attempt < ATTEMPTS:
                            on_event(
                                name, Event("log", "plan", message=f"{name}: a worker was lost; its job is done again")
                            )
                            waiting.append((name, job, attempt + 1))
                        else:
                            lost = WorkerKilledError(
                                what="The workers of this job died", given=str(error).splitlines()[0]
                            )
                            yield Answer(name, error=lost, attempts=attempt)
                        continue
                    idle.append(actor)
                    if job.out:
                        _write_files(Path(job.out), files)
                    wrong = error_from_json(error_json) if error_json else None
                    yield Answer(name, result, wrong, attempt)

    def _actor(self, bundle: Any) -> Any:
        kind = self._ray.remote(PlanWorker)
        # a worker of Ray does not have the environment of ours; threads that spin would keep the others from computing
        surroundings = {"env_vars": thread_environment()}
        actor = kind.options(num_cpus=1, num_gpus=self._gpus, runtime_env=surroundings).remote(bundle, self._threads)
        with contextlib.suppress(self._ray.exceptions.RayError):
            self.pids.append(self._ray.get(actor.pid.remote()))
        return actor


class PlanWorker:
    """One worker: holds a model and does jobs. Lives in a process of Ray.

    Args:
        bundle: files of the bundle by their names.
        threads: for torch.
    """

    def __init__(self, bundle: dict[str, bytes], threads: int | None) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="mewm-ray-", ignore_cleanup_errors=True)
        self._bundle = Path(self._folder.name) / "bundle"
        _write_files(self._bundle, bundle)
        if threads is not None:
            import torch

            torch.set_num_threads(threads)
        self._edges = kept_world()

    def pid(self) -> int:
        """Of this process."""
        import os

        return os.getpid()

    def plan(
        self, job_json: str, sent: dict[str, tuple[str, bytes]]
    ) -> tuple[dict[str, Any] | None, dict[str, Any] | None, dict[str, bytes]]:
        """Do a job on files that were sent along.

        Returns:
            data of the result, the error as JSON, and the files that were written.
        """
        job = Job.from_json(job_json)
        with tempfile.TemporaryDirectory(prefix="job-", dir=self._folder.name) as folder:
            inputs = dict(job.inputs)
            for key, (name, content) in sent.items():
                path = Path(folder) / "in" / name
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(content)
                inputs[key] = str(path)
            out = Path(folder) / "out"
            here = dataclasses.replace(job, inputs=inputs, out=str(out), bundle=str(self._bundle))
            answer = run_in_process("", here, lambda event: None, lambda: False, self._edges)
            files = _files_of(out) if out.is_dir() else {}
        return answer.result, answer.error.to_json() if answer.error else None, files


@contextlib.contextmanager
def _cluster(ray: Any, address: str | None, workers: int) -> Iterator[None]:
    """Join a cluster, or start one that ends with this block; one that runs already is used and left alone."""
    if ray.is_initialized():
        yield
        return
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        ray.init(num_cpus=workers, include_dashboard=False, **quiet)
    else:
        ray.init(address=address, **quiet)
    try:
        yield
    finally:
        ray.shutdown()


def _inputs_of(job: Job) -> dict[str, tuple[str, bytes]]:
    """Name and content of the files of a job; a sample is known to every worker by its name."""
    found = {}
    for key in _FILES:
        given = job.inputs.get(key)
        if given and not str(given).startswith(SAMPLE_PREFIX):
            path = Path(str(given))
            found[key] = path.name, path.read_bytes()
    return found


def _files_of(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def _write_files(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        with atomic_path(folder / name) as path:
            path.write_bytes(content)
