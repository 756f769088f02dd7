"""The server: `mewm serve`. It takes jobs over HTTP, keeps them in a queue and runs them in confined workers.

Only the modules `server*` import FastAPI and uvicorn (the extra `server`). Every request but those of `/healthz` and
`/readyz` needs a token.

| request | what |
|---|---|
| `GET /version` | protocol, version, bundles with sha256, device, limits |
| `POST /jobs` | a job and its files in one body, see `wire`; answers the id |
| `POST /uploads` | a job whose files follow in pieces; answers the id and where each file ends |
| `GET /jobs/ID/upload`, `PUT /jobs/ID/upload/NAME?offset=N`, `POST /jobs/ID/upload` | where they end; piece; end |
| `GET /jobs`, `GET /jobs/ID` | the user's jobs; state, place in the queue and expected wait of one |
| `GET /jobs/ID/events?offset=N` | events from the N-th on, a JSON object a line, to the end; empty lines keep alive |
| `POST /jobs/ID/cancel` | stop and keep what is finished |
| `GET /jobs/ID/files`, `GET /jobs/ID/files/NAME` | what was written, with sha256; one file, or its rest |
| `DELETE /jobs/ID` | end the job, remove its data |
| `GET /metrics`, `GET /openapi.json` | measures for Prometheus; this table for programs |
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, BinaryIO

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse

import MeWMLib
from MeWMLib.core import bundles
from MeWMLib.core.errors import (
    InputError,
    MeWMError,
    OutputError,
    ServerBusyError,
    ServerLockedError,
    ServerSlowError,
    ServerTokenError,
    UnknownJobError,
    UploadOffsetError,
    UploadTooLargeError,
)
from MeWMLib.core.records import to_plain
from MeWMLib.jobs.job import Event, error_event
from MeWMLib.jobs.server_jobs import ServerJobs
from MeWMLib.jobs.server_state import State
from MeWMLib.jobs.server_upload import Uploads, state_of
from MeWMLib.jobs.server_users import JOBS, METRICS, User, refusal
from MeWMLib.jobs.store import ENDED, QUEUED, REMOVING, Row
from MeWMLib.jobs.wire import PROTOCOL

KEEP_ALIVE_S, _BREATH_S = 1.0, 0.02
_BLOCK = 1 << 18
_STATUS: tuple[tuple[type[MeWMError], int], ...] = (
    (ServerTokenError, 401),
    (ServerLockedError, 429),
    (ServerBusyError, 503),
    (ServerSlowError, 408),
    (UploadOffsetError, 409),
    (UnknownJobError, 404),
    (UploadTooLargeError, 413),
    (InputError, 400),
    (OutputError, 507),
    (MeWMError, 500),
)
#: The end of a job that nobody could write down.
_UNSAID = OutputError(
    what="The job has ended, and the server could not write down how",
    given="most likely its disk was full",
    remedy="Start the job again, or ask who runs the server",
)
_RANGE = re.compile(r"bytes=(\d{1,15})-")


def make_app(state: State) -> FastAPI:
    """The application over the jobs of a server."""
    jobs, notes, tokens, back_off = state.jobs, state.notes, state.tokens, state.back_off
    uploads = Uploads(jobs)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async def sweep() -> None:
            while True:
                await asyncio.sleep(state.sweep_s)
                with contextlib.suppress(MeWMError, OSError):
                    await asyncio.to_thread(jobs.sweep)

        state.begin()
        task = asyncio.create_task(sweep())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.to_thread(state.close)

    def given_token(request: Request) -> str:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        return given.strip() if scheme.lower() == "bearer" else ""

    def known_as(given: str) -> User | None:
        try:
            return tokens.user(given) if given else None
        except MeWMError as error:
            # who asks may be anybody: which file it is, the log says
            notes.log("error", str(error))
            raise ServerBusyError(
                what="The server cannot read its tokens", remedy="Ask who runs the server to look at its log"
            ) from error

    def known(request: Request) -> User:
        """Who asks.

        Raises:
            ServerTokenError: no token, or one that is wrong, expired or revoked.
            ServerLockedError: too many wrong ones came from this address.
        """
        given = given_token(request)
        address = request.client.host if request.client else "?"
        user = known_as(given)
        wait = back_off.wait_s(address, user.name if user else "")
        if wait > 0.0 and given:
            notes.count("mewm_requests_refused_total", reason="locked")
            raise ServerLockedError(
                what="Too many wrong tokens came from this address",
                given=f"it has to wait for {wait:.0f} s",
                remedy="Wait, then give the right token",
            )
        if user is None:
            if given:
                back_off.wrong(address)
                notes.audit("token refused", "", address=address)
            notes.count("mewm_requests_refused_total", reason="token")
            raise refusal(bool(given))
        back_off.right(address, user.name)
        return user

    def with_scope(scope: str) -> Callable[[Request], User]:
        def check(request: Request) -> User:
            user = known(request)
            if scope not in user.scopes:
                raise ServerTokenError(
                    what=f"This token is not for {scope}", given=user.name, remedy="Ask who runs the server"
                )
            return user

        return check

    owner, anybody, watcher = Depends(with_scope(JOBS)), Depends(known), Depends(with_scope(METRICS))

    # no pages that describe the interface: without a token nobody learns anything
    app = FastAPI(title="MeWM", version=PROTOCOL, lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.server, app.state.uploads = state, uploads
    # for routes that others add
    app.state.owner = owner

    @app.exception_handler(MeWMError)
    async def answer_error(request: Request, error: MeWMError) -> JSONResponse:
        status = next(code for kind, code in _STATUS if isinstance(error, kind))
        headers = {401: {"WWW-Authenticate": "Bearer"}, 408: {"Connection": "close"}, 429: {"Retry-After": "5"}}
        return JSONResponse({"error": state.without_paths(error.to_json())}, status, headers.get(status))

    @app.exception_handler(RequestValidationError)
    async def answer_invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        where = ", ".join(".".join(map(str, one["loc"])) for one in error.errors())
        return await answer_error(request, InputError(what="The request cannot be understood", given=where[:120]))

    @app.exception_handler(Exception)
    async def answer_unexpected(request: Request, error: Exception) -> JSONResponse:
        # what it says could name a file: that is for the log alone
        notes.log("error", f"A request failed with {type(error).__name__}: {error}")
        body = MeWMError(what="The server failed with an unexpected error", given=type(error).__name__).to_json()
        return JSONResponse({"error": body}, 500)

    @app.get("/healthz", response_class=PlainTextResponse)
    def healthy() -> str:
        return "ok\n"

    @app.get("/readyz", response_class=PlainTextResponse)
    def ready() -> PlainTextResponse:
        missing = state.not_ready()
        return PlainTextResponse(missing or "ok\n", 503 if missing else 200)

    @app.get("/version")
    def version(user: User = anybody) -> dict[str, Any]:
        return {
            "mewm_protocol": PROTOCOL,
            "mewm": MeWMLib.__version__,
            "device": state.device,
            "bundles": state.bundles(),
            "default_bundle": bundles.DEFAULT_BUNDLE,
            "jobs": jobs.running,
            "max_jobs": jobs.limits.max_jobs,
            "queued": jobs.queued,
            "max_queued": jobs.limits.max_queued,
            "max_upload_bytes": jobs.limits.max_upload_bytes,
            "user": user.name,
        }

    @app.get("/metrics", response_class=PlainTextResponse)
    def metrics(user: User = watcher) -> str:
        return notes.exposition(state.gauges())

    @app.get("/openapi.json")
    def openapi(user: User = anybody) -> JSONResponse:
        return JSONResponse(app.openapi())

    @app.post("/jobs")
    async def new_job(request: Request, user: User = owner) -> dict[str, Any]:
        return {"id": (await uploads.whole(request, user.name)).id}

    @app.get("/jobs")
    def listed(user: User = owner) -> dict[str, Any]:
        return {"jobs": [state_of(jobs, row) for row in jobs.listed(user.name)]}

    @app.post("/uploads")
    async def begin(request: Request, user: User = owner) -> dict[str, Any]:
        row = await uploads.begin(request, user.name)
        return {"id": row.id, "state": row.state, "files": jobs.folder(row).offsets()}

    @app.get("/jobs/{job_id}/upload")
    def offsets(job_id: str, user: User = owner) -> dict[str, Any]:
        row = jobs.get(job_id, user.name)
        return {"id": row.id, "state": row.state, "files": jobs.folder(row).offsets()}

    @app.put("/jobs/{job_id}/upload/{name}")
    async def piece(request: Request, job_id: str, name: str, offset: int, user: User = owner) -> dict[str, Any]:
        row = await asyncio.to_thread(jobs.get, job_id, user.name)
        return {"offset": await uploads.piece(request, row, name, offset)}

    @app.post("/jobs/{job_id}/upload")
    async def finish(job_id: str, user: User = owner) -> dict[str, Any]:
        row = await asyncio.to_thread(jobs.get, job_id, user.name)
        return state_of(jobs, await uploads.finish(row))

    @app.get("/jobs/{job_id}")
    def one(job_id: str, user: User = owner) -> dict[str, Any]:
        return state_of(jobs, jobs.get(job_id, user.name))

    @app.get("/jobs/{job_id}/events")
    async def events(request: Request, job_id: str, offset: int = 0, user: User = owner) -> StreamingResponse:
        row = await asyncio.to_thread(jobs.get, job_id, user.name)
        if offset < 0:
            raise InputError(what="The offset must be 0 or more", given=str(offset))
        token = given_token(request)
        # a token that is revoked while somebody listens counts at once, too
        lines = _lines(jobs, row, offset, lambda: known_as(token) == user)
        return StreamingResponse(lines, media_type="application/x-ndjson")

    @app.post("/jobs/{job_id}/cancel")
    def cancel(job_id: str, user: User = owner) -> dict[str, Any]:
        jobs.cancel(jobs.get(job_id, user.name))
        return {"cancelled": True}

    @app.get("/jobs/{job_id}/files")
    def files(job_id: str, user: User = owner) -> dict[str, Any]:
        return {"files": to_plain(jobs.files(jobs.get(job_id, user.name)))}

    @app.get("/jobs/{job_id}/files/{name:path}")
    def file(request: Request, job_id: str, name: str, user: User = owner) -> Response:
        row = jobs.get(job_id, user.name)
        # one handle for size and content: the worker may put a newer plan.json in its place meanwhile
        stream = jobs.open_file(row, name)
        size = os.fstat(stream.fileno()).st_size
        wanted = _RANGE.fullmatch(request.headers.get("range", ""))
        begin = min(int(wanted[1]), size) if wanted else 0
        notes.audit("fetched", user.name, kind=row.kind, job=row.folder[:8], bytes=size - begin)
        headers = {"Content-Length": str(size - begin), "Accept-Ranges": "bytes"}
        if wanted:
            headers["Content-Range"] = f"bytes {begin}-{max(begin, size - 1)}/{size}"

        def blocks() -> Iterator[bytes]:
            with stream:
                stream.seek(begin)
                while block := stream.read(_BLOCK):
                    yield block

        kind = "application/octet-stream"
        return StreamingResponse(blocks(), 206 if wanted else 200, headers, kind)

    @app.delete("/jobs/{job_id}")
    def remove(job_id: str, user: User = owner) -> JSONResponse:
        gone = jobs.remove(jobs.get(job_id, user.name))
        more = {} if gone else {"remedy": "Something could not be removed; the server tries again until it is gone"}
        return JSONResponse({"removed": gone, **more}, 200 if gone else 202)

    return app


def _is_final(line: bytes) -> bool:
    with contextlib.suppress(InputError):
        return Event.from_json(line.decode("utf-8", "replace")).kind in ("result", "error")
    return False


async def _lines(jobs: ServerJobs, row: Row, offset: int, allowed: Callable[[], bool]) -> AsyncIterator[bytes]:
    """Events as they come; while a job waits, lines that say where it stands in the queue, which count as none."""
    told, quiet_from, asked_at, pending, last = (0, 0.0), 0.0, 0.0, b"", b""

    def look(quiet: bool, ask: bool) -> tuple[Row | None, tuple[int, float], bool]:
        """The job now, where it was quiet its place, and whether who listens still may: one way to a thread."""
        now = jobs.store.get(row.id)
        place = jobs.place_of(now) if quiet and now is not None and now.state == QUEUED else (0, 0.0)
        return now, place, not ask or allowed()

    with jobs.news.of(row.id) as news, contextlib.ExitStack() as open_files:
        stream: BinaryIO | None = None
        while True:
            # in this order, so that everything said before the end is read once the end is seen
            news.clear()
            moment = asyncio.get_running_loop().time()
            quiet = moment - quiet_from >= KEEP_ALIVE_S
            # a job that has much to say is never quiet
            ask = moment - asked_at >= KEEP_ALIVE_S
            now, place, may = await asyncio.to_thread(look, quiet, ask)
            if not may:
                return
            asked_at = moment if ask else asked_at
            over = now is None or now.state in ENDED or now.state == REMOVING
            if stream is None:
                with contextlib.suppress(OSError):
                    stream = open_files.enter_context(jobs.folder(row).events.open("rb"))
            pending += stream.read() if stream is not None else b""
            *whole, pending = pending.split(b"\n")
            last = whole[-1] if whole else last
            new, offset = whole[offset:], max(0, offset - len(whole))
            if new:
                quiet_from = moment
                yield b"".join(line + b"\n" for line in new)
            elif quiet:
                quiet_from = moment
                line = {"position": place[0], "expected_wait_s": round(place[1], 1)}
                yield (json.dumps({"queue": line}) if place[0] and place != told else "").encode() + b"\n"
                told = place
            if over:
                if now is not None and now.state in ENDED and not _is_final(last):
                    yield error_event(_UNSAID).to_json().encode() + b"\n"
                return
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(news.wait(), KEEP_ALIVE_S)
                # what is said in one breath goes in one piece
                await asyncio.sleep(_BREATH_S)
