"""How the files of a job come to a server: all in one request, or in pieces that can be sent again after a cut.

A job that is being sent has no slot and no place in the queue; it gets one when all of it is here and was checked.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import Request

from MeWMLib.core.errors import InputError, MeWMError, UploadOffsetError, UploadTooLargeError, output_error
from MeWMLib.core.private_files import private
from MeWMLib.core.records import parse_json
from MeWMLib.jobs.server_files import JobFolder, unknown_job
from MeWMLib.jobs.server_guard import BodyReader
from MeWMLib.jobs.server_jobs import ServerJobs
from MeWMLib.jobs.store import COHORT, INTERACTIVE, UPLOADING, Row
from MeWMLib.jobs.wire import MAX_CHUNK_BYTES, MAX_HEADER_BYTES, FileEntry, read_upload_header, too_large_error

#: What a client may say of a job beside it: a key of its own, and whether somebody waits for the result.
_KEY = re.compile(r"[A-Za-z0-9_-]{8,64}")
PRIORITIES = {"interactive": INTERACTIVE, "cohort": COHORT}
SHA256_HEADER = "X-MeWM-SHA256"


@dataclass(frozen=True)
class _Wanted:
    key: str
    priority: int


def _wanted(line: bytes) -> _Wanted:
    data = parse_json(line, "The first line of the upload", require={})
    key, priority = data.get("key", ""), data.get("priority", "interactive")
    if not isinstance(key, str) or (key and not _KEY.fullmatch(key)):
        raise InputError(what="The key of an upload is 8 to 64 letters, digits and lines", given=repr(key)[:80])
    if not isinstance(priority, str) or priority not in PRIORITIES:
        raise InputError(what="Unknown priority", given=repr(priority)[:80], remedy="Use " + " or ".join(PRIORITIES))
    return _Wanted(key, PRIORITIES[priority])


class Uploads:
    """Takes uploads.

    Args:
        jobs: of the server.
    """

    def __init__(self, jobs: ServerJobs) -> None:
        self._jobs = jobs
        #: Files that a request is writing to just now.
        self._busy: set[Path] = set()

    @property
    def busy(self) -> bool:
        """True while a request writes to a file."""
        return bool(self._busy)

    async def whole(self, request: Request, owner: str) -> Row:
        """Take a job with all its files in one request; see `wire`.

        Raises:
            MeWMError: it is refused; nothing of it is left.
        """
        limits = self._jobs.limits
        body = BodyReader(request, limits)
        _require_length(request, limits.max_upload_bytes + MAX_HEADER_BYTES, limits.max_upload_bytes)
        line = await body.line(MAX_HEADER_BYTES)
        row = await self._created(line, owner, body)
        if row.state != UPLOADING:
            await body.drain(limits.max_upload_bytes)
            return row
        folder = self._jobs.folder(row)
        parts = {folder.part(entry.name) for entry in folder.entries()}
        if parts & self._busy:
            await body.drain(limits.max_upload_bytes)
            raise UploadOffsetError(
                what="Another request is sending the same job", remedy="Wait for that one, or give another key"
            )
        self._busy |= parts
        try:
            for entry in folder.entries():
                folder.part(entry.name).unlink(missing_ok=True)
                await self._received(row, entry, folder, body, entry.bytes)
            if await body.piece(1):
                raise InputError(what="The upload is longer than its header says")
            return await asyncio.to_thread(self._jobs.submit, row)
        except BaseException as error:
            await asyncio.shield(asyncio.to_thread(self._jobs.remove, row))
            if isinstance(error, OSError):
                raise _failed(error) from error
            raise
        finally:
            self._busy -= parts

    async def begin(self, request: Request, owner: str) -> Row:
        """Make room for a job whose files will come in pieces; the same key gives the same job again."""
        body = BodyReader(request, self._jobs.limits)
        return await self._created(await body.whole(MAX_HEADER_BYTES), owner, None)

    async def piece(self, request: Request, row: Row, name: str, offset: int) -> int:
        """Take a piece of a file; returns where the next one begins.

        Raises:
            UploadOffsetError: the file ends elsewhere, another request writes to it, or it is queued already.
            InputError: the piece is damaged, too long, or of no file of the job.
        """
        limits, folder = self._jobs.limits, self._jobs.folder(row)
        _require_length(request, MAX_CHUNK_BYTES, MAX_CHUNK_BYTES)
        entry = folder.entry(name)
        part = folder.part(name)
        there = folder.offsets()[name]
        if row.state != UPLOADING or part in self._busy or offset != there:
            raise UploadOffsetError(
                what="The piece of the upload does not begin where the server's file ends",
                given=f"{name}: {offset}, it ends at {there}",
                remedy="Ask where it ends (GET /jobs/ID/upload) and go on from there",
            )
        self._busy.add(part)
        try:
            body = BodyReader(request, limits)
            sha256 = request.headers.get(SHA256_HEADER, "")
            if len(sha256) != 64:
                raise InputError(what=f"A piece of an upload needs its checksum in {SHA256_HEADER}")
            await self._received(row, entry, folder, body, min(entry.bytes - offset, MAX_CHUNK_BYTES), sha256, offset)
        except OSError as error:
            raise _failed(error) from error
        finally:
            self._busy.discard(part)
        return folder.offsets()[name]

    async def finish(self, row: Row) -> Row:
        """Check what was sent and put the job into the queue. A job whose files are refused is removed.

        Raises:
            UploadOffsetError: a request still writes to a file of it.
            MeWMError: as `ServerJobs.submit`.
        """
        folder = self._jobs.folder(row)
        if any(folder.part(entry.name) in self._busy for entry in folder.entries()):
            raise UploadOffsetError(
                what="A file of the job is still being sent", remedy="Wait for that request, then say the end again"
            )
        try:
            return await asyncio.to_thread(self._jobs.submit, row)
        except (InputError, UploadTooLargeError):
            await asyncio.to_thread(self._jobs.remove, row)
            raise
        except OSError as error:
            raise _failed(error) from error

    async def _created(self, line: bytes, owner: str, body: BodyReader | None) -> Row:
        most = self._jobs.limits.max_upload_bytes
        job, entries = read_upload_header(line)
        wanted = _wanted(line)
        if sum(entry.bytes for entry in entries) > most:
            raise too_large_error(most)
        try:
            return await asyncio.to_thread(self._jobs.create, owner, job, entries, wanted.key, wanted.priority)
        except MeWMError:
            if body is not None:
                await body.drain(most)
            raise

    async def _received(
        self,
        row: Row,
        entry: FileEntry,
        folder: JobFolder,
        body: BodyReader,
        most: int,
        sha256: str = "",
        offset: int = 0,
    ) -> None:
        """Append to a file what a request holds of it; a piece that is refused leaves the file as it was."""
        total, left = hashlib.sha256(), most
        whole = not sha256
        part = folder.part(entry.name)
        try:
            with private(part, "ab") as stream:
                while left:
                    now = await body.piece(left)
                    if not now:
                        if whole:
                            raise InputError(what="The upload stopped in the middle of a file", given=entry.name)
                        break
                    # a client with a long upload over a slow line is still there
                    self._jobs.heard(row)
                    left -= len(now)
                    total.update(now)
                    stream.write(now)
            if sha256:
                if await body.piece(1):
                    raise InputError(what="The piece is longer than what is left of the file", given=entry.name)
                if total.hexdigest() != sha256:
                    raise InputError(
                        what="A piece of a file was damaged on its way to the server",
                        given=entry.name,
                        remedy="Send the piece again",
                    )
        except BaseException:
            if part.exists():
                with part.open("r+b") as stream:
                    stream.truncate(offset)
            raise


def _failed(error: OSError) -> MeWMError:
    """Why a file could not be written: the job was removed meanwhile, or the disk does not take it."""
    if isinstance(error, FileNotFoundError):
        return unknown_job()
    return output_error(error, Path("the data folder of the server"))


def _require_length(request: Request, most: int, told: int) -> None:
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > most:
        raise too_large_error(told)


def state_of(jobs: ServerJobs, row: Row) -> dict[str, Any]:
    """What a user is told about a job of theirs."""
    place, wait = jobs.place_of(row) if row.state == "queued" else (0, 0.0)
    return {
        "id": row.id,
        "kind": row.kind,
        "state": row.state,
        "position": place,
        "expected_wait_s": round(wait, 1),
        "created": row.created,
        "attempts": row.attempts,
        "outcome": row.outcome,
    }
