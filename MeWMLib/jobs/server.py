"""The server: `mewm serve`. It takes jobs over HTTP and runs them as the local runner does, in child processes.

Only this file imports FastAPI and uvicorn (the extra `server`). Every request needs the token.

| request | what |
|---|---|
| `GET /version` | protocol, version, bundles with sha256, device, limits |
| `POST /jobs` | a job and its files, see `wire`; answers the id |
| `GET /jobs/ID/events?offset=N` | events from the N-th on, a JSON object a line, to the end; empty lines keep alive |
| `POST /jobs/ID/cancel` | stop and keep what is finished |
| `GET /jobs/ID/files`, `GET /jobs/ID/files/NAME` | what was written, with sha256 |
| `DELETE /jobs/ID` | end the job, remove its data |
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.requests import ClientDisconnect

import MeWMLib
from MeWMLib.core import bundles
from MeWMLib.core.errors import (
    InputError,
    MeWMError,
    ServerBusyError,
    ServerTokenError,
    UnknownJobError,
    UploadTooLargeError,
    output_error,
)
from MeWMLib.core.records import to_plain
from MeWMLib.jobs.job import Job
from MeWMLib.jobs.server_jobs import JobStore, Limits, ServerJob, probe_device, require_whole_nrrd
from MeWMLib.jobs.server_token import same
from MeWMLib.jobs.wire import MAX_HEADER_BYTES, PROTOCOL, FileEntry, read_upload_header, too_large_error

_POLL_S, KEEP_ALIVE_S, _SWEEP_S = 0.05, 1.0, 30.0
_BLOCK = 1 << 18
_STATUS: tuple[tuple[type[MeWMError], int], ...] = (
    (ServerTokenError, 401),
    (ServerBusyError, 503),
    (UnknownJobError, 404),
    (UploadTooLargeError, 413),
    (InputError, 400),
    (MeWMError, 500),
)


@dataclass(frozen=True)
class Settings:
    """How a server is started.

    Attributes:
        data: folder for the jobs.
        token: what every request must carry.
        host, port: where it listens; port 0 takes a free one.
        limits: see `Limits`.
        certificate, key: PEM files; with them the server speaks HTTPS.
        worker: command of the worker, for tests.
        python: interpreter that is asked for its devices; None for a worker that is not MeWM's own.
    """

    data: Path
    token: str
    host: str = "127.0.0.1"
    port: int = 0
    limits: Limits = Limits()
    certificate: Path | None = None
    key: Path | None = None
    worker: Sequence[str] | None = None
    python: str | None = sys.executable


def make_app(settings: Settings) -> FastAPI:
    """The application over a fresh store; `app.state.store` is it.

    Raises:
        OutputError: the data folder cannot be written.
    """
    store = JobStore(settings.data, settings.limits, settings.worker)
    device = ["not yet known" if settings.python is not None else "not known"]

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async def sweep() -> None:
            while True:
                await asyncio.sleep(min(_SWEEP_S, settings.limits.retention_s, settings.limits.unheard_s))
                await asyncio.to_thread(store.sweep)

        if settings.python is not None:
            probe_device(settings.python, lambda name: device.__setitem__(0, name))
        task = asyncio.create_task(sweep())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.to_thread(store.close)

    def authorised(request: Request) -> None:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not same(given.strip(), settings.token):
            raise ServerTokenError(
                what="The server does not know this token" if given else "The server asks for a token",
                remedy="Give the token that `mewm serve` printed at its first start",
            )

    # no page that describes the interface: without the token nobody learns anything
    app = FastAPI(
        lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None, dependencies=[Depends(authorised)]
    )
    app.state.store = store

    @app.exception_handler(MeWMError)
    async def answer_error(request: Request, error: MeWMError) -> JSONResponse:
        status = next(code for kind, code in _STATUS if isinstance(error, kind))
        headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
        return JSONResponse({"error": error.to_json()}, status, headers)

    @app.get("/version")
    def version() -> dict[str, Any]:
        return {
            "mewm_protocol": PROTOCOL,
            "mewm": MeWMLib.__version__,
            "device": device[0],
            "bundles": _bundles(),
            "default_bundle": bundles.DEFAULT_BUNDLE,
            "jobs": store.running,
            "max_jobs": settings.limits.max_jobs,
            "max_upload_bytes": settings.limits.max_upload_bytes,
        }

    @app.post("/jobs")
    async def new_job(request: Request) -> dict[str, Any]:
        try:
            record = store.reserve()
        except ServerBusyError:
            # a client that is still sending would see a broken pipe instead of the answer
            await _read_away(request, settings.limits.max_upload_bytes)
            raise
        try:
            job = await _receive(request, record, settings.limits.max_upload_bytes)
            await asyncio.to_thread(store.start, record, job)
        except BaseException as error:
            with contextlib.suppress(UnknownJobError):
                store.remove(record.id)
            if isinstance(error, ClientDisconnect):
                raise InputError(what="The client went away while it sent the job") from error
            if isinstance(error, OSError):
                raise output_error(error, Path("the data folder of the server")) from error
            raise
        return {"id": record.id}

    @app.get("/jobs/{job_id}/events")
    async def events(job_id: str, offset: int = 0) -> StreamingResponse:
        record = store.get(job_id)
        if offset < 0:
            raise InputError(what="The offset must be 0 or more", given=str(offset))
        return StreamingResponse(_lines(record, offset), media_type="application/x-ndjson")

    @app.post("/jobs/{job_id}/cancel")
    def cancel(job_id: str) -> dict[str, Any]:
        store.cancel(job_id)
        return {"cancelled": True}

    @app.get("/jobs/{job_id}/files")
    def files(job_id: str) -> dict[str, Any]:
        return {"files": to_plain(store.files(job_id))}

    @app.get("/jobs/{job_id}/files/{name:path}")
    def file(job_id: str, name: str) -> StreamingResponse:
        # one handle for size and content: the worker may put a newer plan.json in its place meanwhile
        stream = store.file(job_id, name).open("rb")
        size = os.fstat(stream.fileno()).st_size

        def blocks() -> Iterator[bytes]:
            with stream:
                while block := stream.read(_BLOCK):
                    yield block

        return StreamingResponse(blocks(), media_type="application/octet-stream", headers={"Content-Length": str(size)})

    @app.delete("/jobs/{job_id}")
    def remove(job_id: str) -> dict[str, Any]:
        store.remove(job_id)
        return {"removed": True}

    return app


async def _lines(record: ServerJob, offset: int) -> AsyncIterator[bytes]:
    silent_s = 0.0
    while not record.removed:
        record.heard()
        # in this order, so that everything said before the end is read once the end is seen
        over = record.ended_at is not None
        new = record.lines[offset:]
        offset += len(new)
        if new or silent_s >= KEEP_ALIVE_S:
            silent_s = 0.0
            yield "".join(line + "\n" for line in new or [""]).encode()
        if over:
            return
        await asyncio.sleep(_POLL_S)
        silent_s += _POLL_S


async def _read_away(request: Request, most: int) -> None:
    seen = 0
    with contextlib.suppress(ClientDisconnect):
        async for chunk in request.stream():
            seen += len(chunk)
            if seen > most:
                return


class _Body:
    """The body of a request, read piece by piece."""

    def __init__(self, request: Request) -> None:
        self._chunks, self._pending = request.stream(), b""

    async def piece(self, most: int) -> bytes:
        """The next bytes; b"" at the end."""
        self._pending = self._pending or await anext(self._chunks, b"")
        now, self._pending = self._pending[:most], self._pending[most:]
        return now

    async def line(self) -> bytes:
        """The first line."""
        while b"\n" not in self._pending:
            if len(self._pending) > MAX_HEADER_BYTES:
                raise InputError(what="The header of the upload is too long")
            chunk = await anext(self._chunks, b"")
            if not chunk:
                raise InputError(what="The upload stopped in the middle of its header")
            self._pending += chunk
        head, _, self._pending = self._pending.partition(b"\n")
        return head


async def _receive(request: Request, record: ServerJob, most: int) -> Job:
    """Read an upload into the folder of a job; see `wire`."""
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > most + MAX_HEADER_BYTES:
        raise too_large_error(most)
    body = _Body(request)
    job, entries = read_upload_header(await body.line())
    if sum(entry.bytes for entry in entries) > most:
        raise too_large_error(most)
    for entry in entries:
        await _receive_file(record, entry, body)
        require_whole_nrrd(record.inputs / entry.name)
    if await body.piece(1):
        raise InputError(what="The upload is longer than its header says")
    return job


async def _receive_file(record: ServerJob, entry: FileEntry, body: _Body) -> None:
    digest, left = hashlib.sha256(), entry.bytes
    with (record.inputs / entry.name).open("wb") as stream:
        while left:
            now = await body.piece(left)
            if not now:
                raise InputError(what="The upload stopped in the middle of a file", given=entry.name)
            # a client with a long upload over a slow line is still there
            record.heard()
            left -= len(now)
            digest.update(now)
            stream.write(now)
    if digest.hexdigest() != entry.sha256:
        raise InputError(
            what="A file was damaged on its way to the server", given=entry.name, remedy="Start the job again"
        )


@lru_cache
def _checksum(bundle: Path, changed_at: float) -> str:
    return bundles.open_bundle(bundle).sha256


def _bundles() -> list[dict[str, str]]:
    """Names and checksums of the bundles; those that are damaged are left out."""
    found = []
    for name, path in bundles.list_bundles():
        with contextlib.suppress(MeWMError, OSError):
            found.append({"name": name, "sha256": _checksum(path, (path / bundles.MANIFEST).stat().st_mtime)})
    return found


def serve(settings: Settings, on_ready: Callable[[str], None] = lambda url: None) -> None:
    """Serve until the process is told to end (Ctrl-C, SIGTERM); then every job is ended and all data are removed.

    Args:
        settings: see `Settings`.
        on_ready: called with the address once the port is bound.

    Raises:
        InputError: the port or the certificate cannot be used.
        OutputError: the data folder cannot be written.
    """
    server, bound = prepared(settings)
    with bound:
        scheme = "https" if settings.certificate else "http"
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        on_ready(f"{scheme}://{host}:{bound.getsockname()[1]}")
        server.run(sockets=[bound])


def prepared(settings: Settings) -> tuple[uvicorn.Server, socket.socket]:
    """The server and its bound socket; tests run them on a thread.

    Raises:
        InputError, OutputError: as `serve`.
    """
    if (settings.certificate is None) != (settings.key is None):
        raise InputError(what="A certificate and its key belong together", remedy="Give both --certificate and --key")
    if not 0 <= settings.port < 1 << 16:
        raise InputError(what="The server cannot listen there: ports go from 0 to 65535", given=str(settings.port))
    config = uvicorn.Config(
        make_app(settings),
        log_level="warning",
        access_log=False,
        server_header=False,
        ws="none",
        timeout_graceful_shutdown=2,
        ssl_certfile=settings.certificate,
        ssl_keyfile=settings.key,
    )
    try:
        config.load()
    except OSError as error:
        given = f"{settings.certificate}, {settings.key} ({error.strerror or error})"
        raise InputError(
            what="The certificate or its key cannot be used", given=given, remedy="Give PEM files"
        ) from error
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        # it listens at once: anyone who reads the address, which is printed next, may connect
        bound = socket.create_server((settings.host, settings.port), family=family)
    except OSError as error:
        raise InputError(
            what=f"The server cannot listen there ({error.strerror or error})",
            given=f"{settings.host}:{settings.port}",
            remedy="Choose another --port or --host",
        ) from error
    return uvicorn.Server(config), bound
