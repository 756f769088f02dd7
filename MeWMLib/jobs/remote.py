"""Run a job on a MeWM server. Nothing here makes the caller's thread wait."""

from __future__ import annotations

import contextlib
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from MeWMLib.core.errors import (
    BundleError,
    CancelledError,
    MeWMError,
    ServerError,
    ServerUnreachableError,
    UnknownJobError,
    error_from_json,
)
from MeWMLib.core.plan_folder import PLAN
from MeWMLib.jobs.job import Event, Job
from MeWMLib.jobs.remote_files import Packed, Target, pack
from MeWMLib.jobs.remote_http import ServerClient, Upload
from MeWMLib.jobs.runner import GRACE_S, Runner, stopped_error
from MeWMLib.jobs.wire import busy_error, too_large_error, upload_header

R = TypeVar("R")
#: Seconds before each new try after the connection broke; when all are used up, the server counts as lost.
RETRY_S: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0, 8.0)
#: The server itself ends a worker that does not stop; this is for a server that does not even do that.
_EXTRA_GRACE_S = 15.0


class RemoteRunner(Runner):
    """One job on a server.

    The user must have agreed that images are sent to this address.

    Args:
        client: speaks to the server.
        grace_s: seconds between `cancel` and the end of the job by force.
        retry_s: see `RETRY_S`.
    """

    def __init__(
        self, client: ServerClient, grace_s: float = GRACE_S + _EXTRA_GRACE_S, retry_s: Sequence[float] | None = None
    ) -> None:
        super().__init__(grace_s)
        self._client = client
        self._retry_s = tuple(RETRY_S if retry_s is None else retry_s)
        self._thread: threading.Thread | None = None
        self._id: str | None = None
        self._result: dict[str, Any] | None = None
        self._error: BaseException | None = None
        self._told_cancel = False
        #: Events that were delivered, and how often the connection broke since the last one.
        self._heard = self._failures = 0
        self._killed = threading.Event()
        self._removed = False

    def _begin(self, job: Job | None) -> None:
        self._thread = threading.Thread(target=self._work, args=(job,), name="mewm-remote", daemon=True)
        self._thread.start()

    def cancel(self) -> None:
        if self._cancelled_at is None:
            self._cancelled_at = time.monotonic()

    def _wait(self, until: float | None) -> dict[str, Any] | None:
        assert self._thread is not None
        while self._thread.is_alive():
            left = 0.1 if until is None else min(0.1, until - time.monotonic())
            if left <= 0.0:
                return None
            self._thread.join(left)
            if self._cancelled_at is not None and self._id is None and self._thread.is_alive():
                # a server that does not answer must not delay a user who wants to stop; the thread does the rest
                self._killed.set()
                raise CancelledError(what="The job was stopped before it was sent")
        error = self._callback_error or self._error
        if error is not None:
            raise error
        return self._result

    def kill(self) -> None:
        self._killed.set()
        if self._id is not None:
            # not a daemon thread: this process may be about to end, and the worker on the server must end with it
            threading.Thread(target=self._remove, name="mewm-remote-end").start()

    def close(self) -> None:
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
                raise error_from_json(end.data)
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
            raise busy_error(info.jobs, info.max_jobs, f" on {host}")
        models = [name for name, _sha256 in info.bundles]
        if job.bundle is not None and job.bundle not in models:
            raise BundleError(
                what=f"The server has no model called {Path(job.bundle).name}",
                given="it has " + (", ".join(models) or "none"),
                remedy="Choose one that it has",
            )
        self._tell(Event("progress", "upload", 0.0, message=f"Preparing what is sent to {host}"))
        packed = pack(job, folder)
        if packed.bytes > info.max_upload_bytes:
            raise too_large_error(info.max_upload_bytes, packed.bytes)
        with contextlib.closing(self._body(packed, host)) as body:
            job_id = self._client.new_job(body)
        with self._lock:
            self._id = job_id
        named = ", ".join(entry.name for entry, _path in packed.files) or "the settings of the job"
        size = f"{packed.bytes / 1024**2:.1f} MB"
        self._tell(Event("log", "upload", message=f"Sent to {self._client.address.url}: {named}, {size}"))
        self._check_stop()

    def _body(self, packed: Packed, host: str) -> Upload:
        begun, said = time.monotonic(), [0.0]

        def on_sent(share: float) -> None:
            self._check_stop()
            now = time.monotonic()
            if share < 1.0 and now - said[0] < 0.2:
                return
            said[0] = now
            eta = (now - begun) * (1.0 / share - 1.0) if share > 0.03 else None
            megabytes = f"{packed.bytes / 1024**2:.1f} MB"
            self._tell(Event("progress", "upload", share, eta, message=f"Sending {megabytes} to {host}"))

        header = upload_header(packed.job, tuple(entry for entry, _path in packed.files))
        return Upload(header, [path for _entry, path in packed.files], on_sent)

    def _follow(self, target: Target) -> Event:
        """Deliver the events until the last one, which is returned."""
        try:
            return self._again(partial(self._listen, target))
        except UnknownJobError as error:
            self._check_stop()
            raise ServerError(
                what="The server lost the job",
                given=f"{self._client.address.url} does not know it any more",
                remedy="The server was probably restarted: start the job again",
            ) from error

    def _listen(self, target: Target) -> Event:
        for event in self._client.events(self._id or "", self._heard):
            self._failures = 0
            self._check_stop()
            if event is None:
                continue
            self._heard += 1
            if event.kind in ("result", "error"):
                return event
            if event.kind == "partial" and target.folder is not None:
                self._fetch(target, PLAN, None)
            self._tell(event)
        raise ServerUnreachableError(what="The server ended the connection before the job was done")

    def _again(self, call: Callable[[], R]) -> R:
        """Call until the connection holds; it may break some times in a row.

        Raises:
            ServerUnreachableError: it broke too often.
        """
        self._failures = 0
        while True:
            try:
                return call()
            except ServerUnreachableError as error:
                self._failures += 1
                if self._failures > len(self._retry_s):
                    raise ServerUnreachableError(
                        what="The server is unreachable: it was lost while the job ran",
                        given=f"{self._client.address.url}, tried {len(self._retry_s)} times again ({error.what})",
                        remedy="See whether `mewm serve` still runs there, then start the job again",
                    ) from error
                self._pause()

    def _pause(self) -> None:
        """Wait before the next try."""
        message = f"The connection to the server broke; trying again ({self._failures} of {len(self._retry_s)})"
        self._tell(Event("log", message=message))
        until = time.monotonic() + self._retry_s[self._failures - 1]
        while time.monotonic() < until:
            self._killed.wait(0.1)
            self._check_killed()
            if self._cancelled_at is not None and not self._told_cancel:
                raise CancelledError(
                    what="The job was stopped while the server could not be reached",
                    given=self._client.address.url,
                    remedy="The server stops the job once no client asks about it; the best so far is kept",
                )
            self._check_overdue()

    def _download(self, target: Target) -> None:
        if target.name is None:
            return
        entries = self._again(lambda: self._client.files(self._id or ""))
        # plan.json names the others, so it comes last
        entries.sort(key=lambda entry: entry.name == PLAN)
        total, done = max(1, sum(entry.bytes for entry in entries)), 0
        for entry in entries:
            self._check_killed()
            message = f"Fetching {entry.name} from {self._client.address.host}"
            self._tell(Event("progress", "download", done / total, message=message))
            self._again(partial(self._fetch, target, entry.name, entry.sha256))
            done += entry.bytes
        if entries:
            self._tell(Event("progress", "download", 1.0, message="The results are here"))

    def _fetch(self, target: Target, name: str, sha256: str | None) -> None:
        with target.receive(name) as path:
            if path is not None:
                self._client.fetch(self._id or "", name, path, sha256)

    def _check_killed(self) -> None:
        if self._killed.is_set() or self._callback_error is not None:
            raise CancelledError(what="The job was stopped")

    def _check_stop(self) -> None:
        """Pass a cancel on to the server, or end what did not stop in time."""
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
        if self._overdue():
            raise stopped_error()
