"""Run a job on a MeWM server with the interface of the local runner. Nothing here waits on the caller's thread."""

from __future__ import annotations

import contextlib
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from MeWMLib.core import io
from MeWMLib.core.errors import (
    BundleError,
    CancelledError,
    MeWMError,
    ServerBusyError,
    ServerError,
    ServerUnreachableError,
    UnknownJobError,
    UploadTooLargeError,
    WorkerError,
    error_from_json,
)
from MeWMLib.core.plan_folder import PLAN
from MeWMLib.jobs.job import Event, Job
from MeWMLib.jobs.remote_files import Packed, pack
from MeWMLib.jobs.remote_http import ServerClient, Upload
from MeWMLib.jobs.remote_target import Target
from MeWMLib.jobs.runner import GRACE_S, OnEvent
from MeWMLib.jobs.wire import FileEntry, upload_header

#: Seconds before each new try after the connection broke; when all are used up, the server counts as lost.
RETRY_S: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0, 8.0)
#: The server itself ends a worker that does not stop; this is for a server that does not even do that.
_EXTRA_GRACE_S = 15.0


class RemoteRunner:
    """One job on a server; see `runner.LocalRunner`, whose interface this is.

    Whoever makes one has the user's consent that images are sent to this address.

    Args:
        client: speaks to the server.
        grace_s: seconds between `cancel` and the end of the job by force.
        retry_s: see `RETRY_S`.
    """

    def __init__(
        self, client: ServerClient, grace_s: float = GRACE_S + _EXTRA_GRACE_S, retry_s: Sequence[float] | None = None
    ) -> None:
        self._client = client
        self._grace_s = grace_s
        self._retry_s = tuple(RETRY_S if retry_s is None else retry_s)
        self._on_event: OnEvent = lambda event: None
        self._thread: threading.Thread | None = None
        self._id: str | None = None
        self._result: dict[str, Any] | None = None
        self._error: BaseException | None = None
        self._callback_error: BaseException | None = None
        self._cancelled_at: float | None = None
        self._told_cancel = False
        self._killed = threading.Event()
        self._lock = threading.Lock()
        self._removed = False

    def __enter__(self) -> RemoteRunner:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """None: the worker is a process of another computer."""
        return None

    def start(self, job: Job, on_event: OnEvent | None = None) -> None:
        """Begin to send the job; returns at once. `on_event` is called on a thread of the runner.

        Raises:
            WorkerError: the runner was used before.
        """
        if self._thread is not None:
            raise WorkerError(what="This runner has started a job before", remedy="Use a new one for each job")
        self._on_event = on_event or self._on_event
        self._thread = threading.Thread(target=self._work, args=(job,), name="mewm-remote", daemon=True)
        self._thread.start()

    def cancel(self) -> None:
        """Ask the worker to stop and to keep what is finished. May be called twice; returns at once."""
        if self._cancelled_at is None:
            self._cancelled_at = time.monotonic()

    def wait(self, timeout: float | None = None) -> dict[str, Any] | None:
        """Wait for the end and return the result's data; None if `timeout` seconds pass before.

        Raises:
            MeWMError: what the worker, the server or the connection reported, in its own type.
        """
        if self._thread is None:
            raise WorkerError(what="The runner has not been started")
        until = None if timeout is None else time.monotonic() + timeout
        while self._thread.is_alive():
            left = 0.1 if until is None else min(0.1, until - time.monotonic())
            if left <= 0.0:
                return None
            self._thread.join(left)
            if self._cancelled_at is not None and self._id is None and self._thread.is_alive():
                # a server that does not answer must not hold up who wants to stop; the thread sees to the rest
                self._killed.set()
                raise CancelledError(what="The job was stopped before it was sent")
        if self._callback_error is not None:
            raise self._callback_error
        if self._error is not None:
            raise self._error
        return self._result

    def kill(self) -> None:
        """End the job on the server now, whatever it has; returns at once."""
        self._killed.set()
        if self._id is not None:
            # no daemon: this process may be about to end, and the worker on the server must end with it
            threading.Thread(target=self._remove, name="mewm-remote-end").start()

    def close(self) -> None:
        """End what is left. Harmless when all is over."""
        if self._thread is not None and self._thread.is_alive():
            self.kill()
            if self._thread is not threading.current_thread() and self._id is not None:
                self._thread.join(5.0)

    def _work(self, job: Job) -> None:
        try:
            with tempfile.TemporaryDirectory(prefix="mewm-remote-", ignore_cleanup_errors=True) as folder:
                self._result = self._run(job, Path(folder))
        except BaseException as error:
            self._error = error
        finally:
            self._remove()

    def _remove(self) -> None:
        with self._lock:
            if self._id is None or self._removed:
                return
            self._removed = True
        # the server removes it itself after a while
        with contextlib.suppress(MeWMError):
            self._client.remove(self._id)

    def _run(self, job: Job, folder: Path) -> dict[str, Any]:
        target = Target(job)
        try:
            self._send(job, folder)
            end = self._follow(target)
            if end.kind == "error":
                # what was finished is worth having; the error itself must not be lost to a second one
                with contextlib.suppress(MeWMError):
                    self._download(target)
                raise error_from_json({key: str(value) for key, value in end.data.items()})
            self._download(target)
        finally:
            target.leave()
        self._tell(end)
        return target.named(end.data)

    def _send(self, job: Job, folder: Path) -> None:
        host = self._client.address.host
        self._tell(Event("progress", "upload", 0.0, message=f"Asking {host}"))
        info = self._client.version()
        self._check_stop()
        if info.jobs >= info.max_jobs:
            raise ServerBusyError(
                what="The server is busy",
                given=f"{info.jobs} of at most {info.max_jobs} jobs are running on {host}",
                remedy="Try again when they are done, or choose this computer",
            )
        if job.bundle is not None and job.bundle not in [name for name, _sha256 in info.bundles]:
            raise BundleError(
                what=f"The server has no model called {Path(job.bundle).name}",
                given="it has " + (", ".join(name for name, _sha256 in info.bundles) or "none"),
                remedy="Choose one that it has",
            )
        self._tell(Event("progress", "upload", 0.0, message=f"Preparing what is sent to {host}"))
        packed = pack(job, folder)
        if packed.bytes > info.max_upload_bytes:
            raise UploadTooLargeError(
                what="The files are larger than what the server takes",
                given=f"{packed.bytes / 1024**2:.0f} MB, at most {info.max_upload_bytes / 1024**2:.0f} MB",
                remedy="Crop the CT around the liver, or start the server with a larger --max-upload-mb",
            )
        with self._upload(packed, host) as upload:
            job_id = self._client.new_job(upload)
        with self._lock:
            self._id = job_id
        size = f"{packed.bytes / 1024**2:.1f} MB"
        self._tell(Event("log", "upload", message=f"Sent to {self._client.address.url}: {_named(packed)}, {size}"))
        self._check_stop()

    def _upload(self, packed: Packed, host: str) -> Upload:
        begun, said = time.monotonic(), [0.0]

        def on_sent(share: float) -> None:
            now = time.monotonic()
            if share < 1.0 and now - said[0] < 0.2:
                return
            said[0] = now
            eta = (now - begun) * (1.0 / share - 1.0) if share > 0.03 else None
            megabytes = f"{packed.bytes / 1024**2:.1f} MB"
            self._tell(Event("progress", "upload", share, eta, message=f"Sending {megabytes} to {host}"))

        header = upload_header(packed.job, tuple(entry for entry, _path in packed.files))
        stopped = lambda: self._killed.is_set() or self._cancelled_at is not None  # noqa: E731
        return Upload(header, [path for _entry, path in packed.files], on_sent, stopped)

    def _follow(self, target: Target) -> Event:
        """Deliver the events until the last one, which is returned."""
        assert self._id is not None
        offset = failures = 0
        while True:
            try:
                for event in self._client.events(self._id, offset):
                    failures = 0
                    self._check_stop()
                    if event is None:
                        continue
                    offset += 1
                    if event.kind in ("result", "error"):
                        return event
                    if event.kind == "partial" and target.folder is not None:
                        self._fetch_into(target, PLAN, None)
                    self._tell(event)
                raise ServerUnreachableError(what="The server ended the connection before the job was done")
            except ServerUnreachableError as error:
                failures += 1
                self._pause(failures, error)
            except UnknownJobError as error:
                self._check_stop()
                raise ServerError(
                    what="The server lost the job",
                    given=f"{self._client.address.url} does not know it any more",
                    remedy="The server was probably started anew: start the job again",
                ) from error

    def _pause(self, failures: int, error: ServerUnreachableError) -> None:
        """Wait before the next try.

        Raises:
            ServerUnreachableError: there were enough.
        """
        if failures > len(self._retry_s):
            raise ServerUnreachableError(
                what="The server is unreachable: it was lost while the job ran",
                given=f"{self._client.address.url}, tried {len(self._retry_s)} times again ({error.what})",
                remedy="See whether `mewm serve` still runs there, then start the job again",
            ) from error
        message = f"The connection to the server broke; trying again ({failures} of {len(self._retry_s)})"
        self._tell(Event("log", message=message))
        until = time.monotonic() + self._retry_s[failures - 1]
        while time.monotonic() < until:
            self._killed.wait(0.1)
            self._check_killed()
            if self._cancelled_at is not None and not self._told_cancel:
                raise CancelledError(
                    what="The job was stopped while the server could not be reached",
                    given=self._client.address.url,
                    remedy="The server ends the job itself when nobody asks for it; the best so far is kept",
                )
            self._check_overdue()

    def _download(self, target: Target) -> None:
        if not target.wants_files:
            return
        assert self._id is not None
        entries = self._again(lambda: self._client.files(self._id or ""))
        # plan.json names the others, so it comes last
        entries.sort(key=lambda entry: entry.name == PLAN)
        total, done = max(1, sum(entry.bytes for entry in entries)), 0
        for entry in entries:
            self._check_killed()
            message = f"Fetching {entry.name} from {self._client.address.host}"
            self._tell(Event("progress", "download", done / total, message=message))
            self._again(lambda entry=entry: self._take(target, entry))  # type: ignore[misc]
            done += entry.bytes
        if entries:
            self._tell(Event("progress", "download", 1.0, message="The results are here"))

    def _take(self, target: Target, entry: FileEntry) -> None:
        if target.folder is not None:
            self._fetch_into(target, entry.name, entry.sha256)
        elif target.file is not None and entry.name == target.name:
            with io.atomic_path(target.file) as path:
                self._client.fetch(self._id or "", entry.name, path, entry.sha256)

    def _fetch_into(self, target: Target, name: str, sha256: str | None) -> None:
        assert target.folder is not None
        with target.folder.receive(name) as path:
            self._client.fetch(self._id or "", name, path, sha256)
            if name == PLAN:
                target.give_names_back(path)

    def _again(self, call: Callable[[], Any]) -> Any:
        """Call until the connection holds."""
        failures = 0
        while True:
            try:
                return call()
            except ServerUnreachableError as error:
                failures += 1
                self._pause(failures, error)

    def _check_killed(self) -> None:
        if self._killed.is_set() or self._callback_error is not None:
            raise CancelledError(what="The job was stopped")

    def _check_stop(self) -> None:
        """Pass a wish to stop on to the server, or end what did not stop in time."""
        self._check_killed()
        if self._cancelled_at is None:
            return
        if self._id is None:
            raise CancelledError(what="The job was stopped before it was sent")
        if not self._told_cancel:
            self._client.cancel(self._id)
            self._told_cancel = True
        self._check_overdue()

    def _check_overdue(self) -> None:
        if self._cancelled_at is not None and time.monotonic() - self._cancelled_at > self._grace_s:
            raise CancelledError(
                what="The job was stopped", remedy="What was finished until then is kept where it was written"
            )

    def _tell(self, event: Event) -> None:
        try:
            self._on_event(event)
        except BaseException as error:  # it must reach the caller of wait(), not die with this thread
            self._callback_error = self._callback_error or error


def _named(packed: Packed) -> str:
    return ", ".join(entry.name for entry, _path in packed.files) or "the settings of the job"
