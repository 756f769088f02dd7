"""Run a job on a MeWM server. Nothing here makes the caller's thread wait."""

from __future__ import annotations

import contextlib
import secrets
import shutil
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
    ServerSlowError,
    ServerUnreachableError,
    UnknownJobError,
    error_from_json,
)
from MeWMLib.core.plan_folder import PLAN
from MeWMLib.jobs.job import Event, Job
from MeWMLib.jobs.known import SEND, KnownJob, Record
from MeWMLib.jobs.remote_files import Packed, Target, pack
from MeWMLib.jobs.remote_http import QUEUE, ServerClient
from MeWMLib.jobs.remote_upload import Rate, send_files
from MeWMLib.jobs.runner import GRACE_S, Runner, stopped_error
from MeWMLib.jobs.store import UPLOADING
from MeWMLib.jobs.wire import FileEntry, busy_error, too_large_error, upload_header

R = TypeVar("R")
#: Seconds before each new try after the connection broke; when all are used up, the server counts as lost.
RETRY_S: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0, 8.0)
#: The server itself ends a worker that does not stop; this is for a server that does not even do that.
_EXTRA_GRACE_S = 15.0


class RemoteRunner(Runner):
    """One job on a server.

    The user must have agreed that images are sent to this address. A job that was sent is one of `known`: it goes on
    there whatever happens here, and `take_up` follows it again.

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
        #: The job is to go on without us.
        self._left = False
        self._record: Record | None = None

    def take_up(self, known: KnownJob) -> None:
        super().take_up(known)
        self._id = known.row.far_id or None

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
        record = self._record = Record(job, self._client.address.url, self._known, self._about)
        try:
            with contextlib.ExitStack() as stack:
                # what is sent lies with the record: a killed process leaves it nowhere else, and it is removed with it
                stack.callback(_empty, record.folder)
                given = record.folder / SEND if record.folder is not None else None
                if given is not None:
                    given.mkdir(mode=0o700, exist_ok=True)
                else:
                    made = tempfile.TemporaryDirectory(prefix="mewm-remote-", ignore_cleanup_errors=True)
                    given = Path(stack.enter_context(made))
                self._result = self._run(job, given)
        except BaseException as error:
            self._error = error
        finally:
            if self._left and not self._killed.is_set():
                record.leave()
            else:
                self._remove()
                record.end()

    def _remove(self) -> None:
        with self._lock:
            if self._id is None or self._removed:
                return
            self._removed = True
        # the server removes it itself after a while
        with contextlib.suppress(MeWMError):
            if not self._client.remove(self._id):
                self._tell(Event("log", message="The server could not remove all data of the job yet; it tries again"))

    def _run(self, job: Job, folder: Path) -> dict[str, Any]:
        target = Target(job)
        with target.locked():
            self._drop_if_half_sent()
            if self._id is None:
                self._send(job, folder)
            end = self._follow(target)
            if end.kind == "error":
                # what was finished is worth having; the error itself must not be lost to a second one
                with contextlib.suppress(MeWMError):
                    self._download(target)
                raise error_from_json(end.data)
            self._download(target)
        self._tell(end)
        return target.named(end.data)

    def _drop_if_half_sent(self) -> None:
        """A job that is taken up whose sender was killed while it sent would never begin: it is sent anew."""
        if self._id is None:
            return
        with contextlib.suppress(UnknownJobError):  # that it is gone is said where it is followed
            if self._again(partial(self._client.job, self._id)).state == UPLOADING:
                self._again(partial(self._client.remove, self._id))
                with self._lock:
                    self._id = None

    def _send(self, job: Job, folder: Path) -> None:
        host = self._client.address.host
        self._tell(Event("progress", "upload", 0.0, message=f"Asking {host}"))
        info = self._client.version()
        self._check_stop()
        if info.jobs + info.queued >= info.max_jobs + info.max_queued:
            raise busy_error(info.jobs, info.max_jobs, f" on {host}, and {info.queued} wait")
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
        header = upload_header(packed.job, tuple(entry for entry, _path in packed.files), secrets.token_hex(16))
        sent = self._again(partial(self._client.begin, header))
        with self._lock:
            self._id = sent.id
        if self._record is not None:
            self._record.sent(sent.id)
        self._again(partial(self._upload, packed, host))
        state = self._again(partial(self._client.finish, sent.id))
        named = ", ".join(entry.name for entry, _path in packed.files) or "the settings of the job"
        size = f"{packed.bytes / 1024**2:.1f} MB"
        place = f"; place {state.position} in the queue" if state.position else ""
        self._tell(Event("log", "upload", message=f"Sent to {self._client.address.url}: {named}, {size}{place}"))
        self._check_stop()

    def _upload(self, packed: Packed, host: str) -> None:
        """Send what the server does not have yet; after a cut only the rest."""
        rate, said = Rate(packed.bytes), [0.0]

        def on_sent(done: int) -> None:
            self._check_stop()
            self._failures = 0
            share, eta, text = rate.tell(done)
            now = time.monotonic()
            if share == 1.0 or now - said[0] >= 0.2:
                said[0] = now
                self._tell(Event("progress", "upload", share, eta, message=f"Sending {text} to {host}"))

        send_files(self._client, self._client.offsets(self._id or ""), packed.files, on_sent)

    def _follow(self, target: Target) -> Event:
        """Deliver the events until the last one, which is returned."""
        try:
            return self._again(partial(self._listen, target))
        except UnknownJobError as error:
            self._check_stop()
            raise ServerError(
                what="The server lost the job",
                given=f"{self._client.address.url} does not know it any more",
                remedy="It was removed there, by somebody with the same token or because it was kept long enough",
            ) from error

    def _listen(self, target: Target) -> Event:
        for event in self._client.events(self._id or "", self._heard):
            self._failures = 0
            self._check_stop()
            if event is None:
                continue
            if event.stage == QUEUE:
                self._tell(event)
                continue
            self._heard += 1
            if event.kind in ("result", "error"):
                return event
            if event.kind == "partial" and target.folder is not None:
                self._fetch(target, PLAN)
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
            except (ServerUnreachableError, ServerSlowError) as error:
                self._failures += 1
                if self._failures > len(self._retry_s):
                    self._left = self._id is not None
                    raise ServerUnreachableError(
                        what="The server is unreachable: it was lost while the job ran",
                        given=f"{self._client.address.url}, tried {len(self._retry_s)} times again ({error.what})",
                        remedy=self._way_back(),
                    ) from error
                self._pause()

    def _way_back(self) -> str:
        number = self._record.id[:8] if self._record is not None else ""
        if not number or self._id is None:
            return "See whether `mewm serve` still runs there, then start the job again"
        return f"The job goes on there: once the server answers, `mewm jobs attach {number}` fetches what it has"

    def _pause(self) -> None:
        """Wait before the next try."""
        message = f"The connection to the server broke; trying again ({self._failures} of {len(self._retry_s)})"
        self._tell(Event("log", message=message))
        until = time.monotonic() + self._retry_s[self._failures - 1]
        while time.monotonic() < until:
            self._killed.wait(0.1)
            self._check_killed()
            if self._cancelled_at is not None and not self._told_cancel:
                self._left = self._id is not None
                number = self._record.id[:8] if self._record is not None else ""
                raise CancelledError(
                    what="The job was stopped while the server could not be reached",
                    given=self._client.address.url,
                    remedy=f"It goes on there: `mewm jobs cancel {number}` ends it once the server answers",
                )
            self._check_overdue()

    def _download(self, target: Target) -> None:
        if target.name is None:
            return
        entries = self._again(lambda: self._client.files(self._id or ""))
        # plan.json names the others, so it comes last
        entries.sort(key=lambda entry: entry.name == PLAN)
        total, done = sum(entry.bytes for entry in entries), 0
        rate = Rate(total)
        for entry in entries:
            self._check_killed()

            def on_bytes(there: int, entry: FileEntry = entry, done: int = done) -> None:
                self._check_killed()
                self._failures = 0
                share, eta, text = rate.tell(done + there)
                message = f"Fetching {entry.name} from {self._client.address.host} ({text})"
                self._tell(Event("progress", "download", share, eta, message=message))

            on_bytes(0)
            with target.receive(entry.name) as path:
                if path is not None:
                    fetch = partial(self._client.fetch, self._id or "", entry.name, path, entry.sha256, on_bytes)
                    self._again(fetch)
            done += entry.bytes
        if entries:
            self._tell(Event("progress", "download", 1.0, message="The results are here"))

    def _fetch(self, target: Target, name: str) -> None:
        with target.receive(name) as path:
            if path is not None:
                self._client.fetch(self._id or "", name, path)

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


def _empty(folder: Path | None) -> None:
    """Remove what was written to be sent."""
    if folder is not None:
        shutil.rmtree(folder / SEND, ignore_errors=True)
