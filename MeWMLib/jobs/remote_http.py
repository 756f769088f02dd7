"""The HTTP client of a MeWM server: one method for each request, every foreign error translated here."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

import MeWMLib
from MeWMLib.core.errors import (
    InputError,
    MeWMError,
    NotAServerError,
    ServerBusyError,
    ServerError,
    ServerTokenError,
    ServerUnreachableError,
    UploadTooLargeError,
    error_from_json,
)
from MeWMLib.core.records import from_plain, parse_json
from MeWMLib.core.sealed import sha256_of
from MeWMLib.jobs.job import Event
from MeWMLib.jobs.wire import PROTOCOL, Address, FileEntry, is_plain_name

#: Seconds to connect, and between two pieces of an answer.
CONNECT_S, ANSWER_S = 6.0, 30.0
#: The server has to read and check a whole upload before it answers.
UPLOAD_ANSWER_S = 300.0
#: Seconds to wait for an answer while a piece of a file goes out over a slow line.
PIECE_S = 300.0
SHA256_HEADER = "X-MeWM-SHA256"
#: Stage of an event that tells of the place in the queue.
QUEUE = "queue"
#: No more than this is read of an answer that is not a file (bytes).
_MOST_ANSWER = 4 << 20
_BLOCK = 1 << 16
_CHECK = "Check the address, and that `mewm serve` runs there"
#: What an answer that is not MeWM's own means, such as that of a proxy in front of the server.
_BY_STATUS: dict[int, tuple[type[ServerError], str, str]] = {
    **dict.fromkeys((401, 403), (ServerTokenError, "The server does not let us in", "Check the token")),
    413: (UploadTooLargeError, "The files are larger than what the server takes", "Crop the CT"),
    **dict.fromkeys((429, 503), (ServerBusyError, "The server is busy", "Try again later")),
    408: (ServerUnreachableError, "The server does not get the request in time", _CHECK),
    **dict.fromkeys((502, 504), (ServerUnreachableError, "The proxy in front of the server does not reach it", _CHECK)),
}
_UNREACHABLE = "The server is unreachable"
_BROKE = f"{_UNREACHABLE}: the connection broke"
#: What is found in the types and the text of an error of requests, and what it means; the first that fits counts.
_FAILURES: tuple[tuple[str, type[ServerError], str, str], ...] = (
    (
        "SSLError.*(WRONG_VERSION_NUMBER|RECORD_LAYER)",
        ServerError,
        "The server does not speak HTTPS",
        "Write http:// if that is what it speaks",
    ),
    (
        "SSLError",
        ServerError,
        "The certificate of the server is not trusted",
        "Name the file of its authority in REQUESTS_CA_BUNDLE, or correct the server's certificate",
    ),
    ("Timeout|timed out", ServerUnreachableError, "The server does not answer in time", _CHECK),
    ("ProxyError", ServerUnreachableError, f"{_UNREACHABLE}: the proxy refuses", "Check HTTPS_PROXY and NO_PROXY"),
    ("NameResolution|getaddrinfo", ServerUnreachableError, f"{_UNREACHABLE}: its name is not known", _CHECK),
    ("refused", ServerUnreachableError, f"{_UNREACHABLE}: nothing answers there", _CHECK),
    ("ConnectionError|ChunkedEncodingError", ServerUnreachableError, _BROKE, _CHECK),
    ("", ServerError, "The server cannot be asked", _CHECK),
)
#: requests takes proxies from the environment; this computer is never behind one.
_NO_PROXY: Any = {"http": None, "https": None, "all": None}


@dataclass(frozen=True)
class ServerInfo:
    """What a server says about itself."""

    mewm: str
    device: str
    bundles: tuple[tuple[str, str], ...]
    jobs: int
    max_jobs: int
    max_upload_bytes: int
    queued: int = 0
    max_queued: int = 0


@dataclass(frozen=True)
class Sent:
    """How much of a job the server has: bytes of each file by its name."""

    id: str
    state: str
    files: dict[str, int] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class JobState:
    """Where a job on the server stands."""

    id: str
    kind: str
    state: str
    position: int = 0
    expected_wait_s: float = 0.0
    created: float = 0.0
    outcome: str = ""


class ServerClient:
    """Speaks to one server. Nothing is asked before the first method is called.

    Args:
        address: where it is.
        token: gives the token; called once, when it is needed.
    """

    def __init__(self, address: Address, token: Callable[[], str]) -> None:
        self.address = address
        self._find_token = token
        self._token = ""

    def version(self, connect_s: float = CONNECT_S, answer_s: float = ANSWER_S) -> ServerInfo:
        """Ask what the server is.

        Raises:
            ServerError: another protocol, not a MeWM server, or no answer.
        """
        with self._request("GET", "/version", timeout=(connect_s, answer_s)) as response:
            data = self._json(response, mewm_protocol=str)
        protocol = data["mewm_protocol"]
        if protocol != PROTOCOL:
            there = f"MeWM {str(data.get('mewm', '?'))[:40]}, protocol {protocol[:20]}"
            raise ServerError(
                what="The server speaks another version of the protocol",
                given=f"server: {there}; here: MeWM {MeWMLib.__version__}, protocol {PROTOCOL}",
                remedy="Install the same version of MeWM on both sides",
            )
        try:
            bundles = [(str(b["name"]), str(b["sha256"])) for b in data["bundles"]]
            return from_plain(ServerInfo, {**data, "bundles": bundles}, strict=False)
        except (KeyError, TypeError, InputError) as error:
            raise self._not_a_server(why=f"its answer lacks something ({error})") from error

    def begin(self, header: bytes) -> Sent:
        """Announce a job; a header that was sent before gives the same job again. See `wire.upload_header`."""
        with self._request("POST", "/uploads", data=header) as response:
            found = self._sent(response)
        if not found.id.replace("-", "").replace("_", "").isalnum():
            raise self._not_a_server(why="it gave no id of a job")
        return found

    def offsets(self, job_id: str) -> Sent:
        """How much of each file of a job is there."""
        with self._request("GET", f"/jobs/{job_id}/upload") as response:
            return self._sent(response)

    def send(self, job_id: str, name: str, offset: int, piece: bytes) -> int:
        """Send a piece of a file; returns where the next one begins.

        Raises:
            UploadOffsetError: the server's file does not end at `offset`.
        """
        headers = {"Content-Type": "application/octet-stream", SHA256_HEADER: hashlib.sha256(piece).hexdigest()}
        path, timeout = f"/jobs/{job_id}/upload/{name}", (CONNECT_S, PIECE_S)
        with self._request("PUT", path, timeout, params={"offset": offset}, data=piece, headers=headers) as response:
            end: int = self._json(response, offset=int)["offset"]
        return end

    def finish(self, job_id: str) -> JobState:
        """Say that everything was sent: the job goes into the queue."""
        with self._request("POST", f"/jobs/{job_id}/upload", (CONNECT_S, UPLOAD_ANSWER_S)) as response:
            return self._state(self._json(response, id=str))

    def _sent(self, response: requests.Response) -> Sent:
        return from_plain(Sent, self._json(response, id=str, state=str, files=dict), "an upload", strict=False)

    def _state(self, data: dict[str, Any]) -> JobState:
        return from_plain(JobState, data, "a job of the server", strict=False)

    def jobs(self) -> list[JobState]:
        """The user's jobs on the server."""
        with self._request("GET", "/jobs") as response:
            return [self._state(one) for one in self._json(response, jobs=list)["jobs"]]

    def job(self, job_id: str) -> JobState:
        """One of them."""
        with self._request("GET", f"/jobs/{job_id}") as response:
            return self._state(self._json(response, id=str))

    def events(self, job_id: str, offset: int) -> Iterator[Event | None]:
        """Events from the `offset`-th on, as they come; None is a sign of life.

        One of the stage `QUEUE` tells of the place in the queue and counts for nothing in `offset`.
        """
        with self._request("GET", f"/jobs/{job_id}/events", params={"offset": offset}) as response:
            for line in response.iter_lines(_BLOCK):
                if not line:
                    yield None
                    continue
                try:
                    yield (
                        _place(line)
                        if line.startswith(b'{"queue"')
                        else Event.from_json(line.decode("utf-8", "replace"))
                    )
                except InputError as error:
                    raise ServerError(what="The server sent an event that cannot be read", given=error.given) from error

    def cancel(self, job_id: str) -> None:
        """Ask the worker to stop and to keep what it has."""
        with self._request("POST", f"/jobs/{job_id}/cancel"):
            pass

    def remove(self, job_id: str) -> bool:
        """End the job and remove its data; False if something of them is still there, which the server tries again."""
        with self._request("DELETE", f"/jobs/{job_id}") as response:
            gone: bool = self._json(response, removed=bool)["removed"]
        return gone

    def files(self, job_id: str) -> list[FileEntry]:
        """What the worker has written so far."""
        with self._request("GET", f"/jobs/{job_id}/files") as response:
            listed = self._json(response, files=list)["files"]
        return [from_plain(FileEntry, entry, "a file of the server") for entry in listed]

    def fetch(
        self,
        job_id: str,
        name: str,
        path: Path,
        sha256: str | None = None,
        on_bytes: Callable[[int], None] = lambda number: None,
    ) -> None:
        """Write a file of a job to `path`; what is there already is the begin of it, and only the rest is fetched.

        Args:
            job_id, name: of the job and the file.
            path: where it goes.
            sha256: its checksum; without one the whole file is fetched, for it may have changed.
            on_bytes: told how many bytes are there, again and again.

        Raises:
            ServerError: it does not have the checksum; then nothing is left at `path`.
        """
        assert is_plain_name(name)
        there = path.stat().st_size if sha256 is not None and path.exists() else 0
        headers = {"Range": f"bytes={there}-"} if there else {}
        with self._request("GET", f"/jobs/{job_id}/files/{name}", headers=headers) as response:
            there = there if response.status_code == 206 else 0
            with path.open("ab" if there else "wb") as stream:
                for block in response.iter_content(1 << 18):
                    stream.write(block)
                    there += len(block)
                    on_bytes(there)
        if sha256 is not None and sha256_of(path) != sha256:
            path.unlink()
            raise ServerError(
                what="A result was damaged on its way from the server", given=name, remedy="Start the job again"
            )

    @contextmanager
    def _request(
        self, method: str, path: str, timeout: tuple[float, float] = (CONNECT_S, ANSWER_S), **more: Any
    ) -> Iterator[requests.Response]:
        """One request; the errors of requests inside the block are translated too."""
        self._token = self._token or self._find_token()
        if self.address.is_loopback:
            more["proxies"] = _NO_PROXY
        try:
            # a session for each request: the runner's threads share this object
            with requests.request(
                method,
                f"{self.address.url}{path}",
                auth=self._authorise,
                timeout=timeout,
                stream=True,
                # a redirect could carry images and token to somebody else
                allow_redirects=False,
                **more,
            ) as response:
                if not response.ok or response.is_redirect:
                    raise self._refusal(response)
                yield response
        except requests.RequestException as error:
            raise self._translated(error) from error

    def _authorise(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Set the token; given as `auth`, so that a .netrc file cannot put something else in its place."""
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request

    def _json(self, response: requests.Response, **require: type) -> dict[str, Any]:
        """The answer, a JSON object with these keys."""
        found: dict[str, Any]
        try:
            found = parse_json(_begin_of(response), require=require)
        except InputError as error:
            raise self._not_a_server(why="its answer is not that of MeWM") from error
        return found

    def _not_a_server(self, why: str) -> NotAServerError:
        return NotAServerError(
            what="This is not a MeWM server", given=f"{self.address.url}: {why}", remedy="Check address and port"
        )

    def _refusal(self, response: requests.Response) -> MeWMError:
        """The error behind a refusal: ours as it was sent, else by its status."""
        status = response.status_code
        with contextlib.suppress(InputError):
            described = parse_json(_begin_of(response), require={"error": dict})["error"]
            if isinstance(described.get("type"), str):
                return error_from_json(described)
        if status == 404 or 300 <= status < 400:
            return self._not_a_server(why=f"it answered {status}")
        kind, what, remedy = _BY_STATUS.get(status, (ServerError, "The server refused the request", _CHECK))
        return kind(what, given=f"{self.address.url} answered {status}", remedy=remedy)

    def _translated(self, error: requests.RequestException) -> MeWMError:
        """Turn an error of requests into one of ours: the only place where that is done."""
        text = str(error)
        found = " ".join([kind.__name__ for kind in type(error).__mro__] + [text])
        _pattern, ours, what, remedy = next(row for row in _FAILURES if re.search(row[0], found, re.DOTALL))
        if what == _BROKE and not self.address.is_encrypted:
            remedy = f"{remedy}; if it speaks HTTPS, write https://"
        return ours(what, given=f"{self.address.url}: {_innermost(text)}", remedy=remedy)


def _place(line: bytes) -> Event:
    """What a line about the queue says, for people."""
    told = parse_json(line, require={"queue": dict})["queue"]
    place, wait = told.get("position"), told.get("expected_wait_s")
    if not isinstance(place, int) or not isinstance(wait, (int, float)):
        raise InputError(what="A line about the queue lacks something", given=repr(told)[:80])
    minutes = f"about {wait / 60:.0f} min" if wait >= 90 else f"about {wait:.0f} s"
    return Event("progress", QUEUE, 0.0, float(wait), message=f"Place {place} in the queue of the server, {minutes}")


def _begin_of(response: requests.Response) -> bytes:
    """The answer, up to a size that no honest one has."""
    read = b""
    for block in response.iter_content(_BLOCK):
        read += block
        if len(read) > _MOST_ANSWER:
            return b""
    return read


def _innermost(text: str) -> str:
    """What the innermost of the nested errors of requests says."""
    return text.rpartition("(")[2].strip(" ')\"")[:160] or text[:160]
