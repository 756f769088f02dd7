"""What goes over the line between the remote runner and the server: addresses, names of files, one form of upload.

An upload is one request body: a line of JSON (the header), then the bytes of the files in the order of the header.
Nothing is pickled, and no name in it is used as a path before it was looked up in the table of jobs.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from MeWMLib.core.errors import InputError, ServerBusyError, UploadTooLargeError
from MeWMLib.core.records import dump_json, from_plain, parse_json
from MeWMLib.jobs.job import VERSION, Job
from MeWMLib.jobs.table import SAMPLE_PREFIX, kind_of

#: Form of the requests, and form of jobs and events. Both sides must have the same.
PROTOCOL = f"2.{VERSION}"
DEFAULT_PORT = 8642
#: The header of an upload is a job and a list of files; more is a mistake or an attack (bytes).
MAX_HEADER_BYTES = 256 * 1024
#: A file may be sent in pieces of at most this, each with its checksum (bytes).
MAX_CHUNK_BYTES = 8 * 1024**2
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def is_plain_name(name: object) -> bool:
    """True for a name that can only be that of a file in a given folder: no separator, no drive, no "..":"""
    return isinstance(name, str) and _PLAIN_NAME.fullmatch(name) is not None


@dataclass(frozen=True)
class FileEntry:
    """One file of an upload or of a result.

    Attributes:
        name: plain.
        bytes: its size.
        sha256: its checksum.
    """

    name: str
    bytes: int
    sha256: str

    def __post_init__(self) -> None:
        if not is_plain_name(self.name) or not _SHA256.fullmatch(self.sha256) or self.bytes < 0:
            raise InputError(what="A file is described wrongly", given=repr((self.name, self.bytes))[:120])

    @classmethod
    def of(cls, path: Path) -> FileEntry:
        """Describe a file."""
        with path.open("rb") as stream:
            return cls.read(path.name, stream)

    @classmethod
    def read(cls, name: str, stream: BinaryIO) -> FileEntry:
        """Describe a file that is open, from its begin to its end."""
        digest, size = hashlib.sha256(), 0
        while block := stream.read(1 << 20):
            digest.update(block)
            size += len(block)
        return cls(name, size, digest.hexdigest())


@dataclass(frozen=True)
class _Header:
    protocol: str
    job: dict[str, Any]
    files: tuple[FileEntry, ...]
    key: str = ""
    priority: str = "interactive"


def upload_header(job: Job, files: tuple[FileEntry, ...], key: str = "", priority: str = "interactive") -> bytes:
    """The first line of an upload.

    Args:
        job: without a path of this computer.
        files: in the order of sending.
        key: of the client's own; a request with the same key makes no second job.
        priority: "interactive", or "cohort" where nobody waits for the result.
    """
    return dump_json(_Header(PROTOCOL, job.to_plain(), files, key, priority)).encode() + b"\n"


def read_upload_header(line: bytes) -> tuple[Job, tuple[FileEntry, ...]]:
    """Read the first line of an upload and refuse every job that could touch anything outside its own folder.

    Raises:
        InputError: not JSON, another protocol, a job that names a path, files that do not belong to the job.
    """
    data = parse_json(line, "The first line of the upload", require={})
    if data.get("protocol") != PROTOCOL:
        raise InputError(
            what=f"The upload is not of protocol {PROTOCOL}",
            given=repr(data.get("protocol"))[:80],
            remedy="Use the same version of MeWM on both sides",
        )
    header = from_plain(_Header, data, "the upload")
    job = Job.from_plain(header.job)
    _require_own_folder_only(job, {f.name for f in header.files})
    if len({f.name for f in header.files}) != len(header.files):
        raise InputError(what="The upload lists a file twice")
    return job, header.files


def _require_own_folder_only(job: Job, names: set[str]) -> None:
    kind, named = kind_of(job.kind), set()
    kind.check(job.inputs, job.out)
    for key, file in kind.files.items():
        value = job.inputs.get(key)
        if value is None or (kind.input(key).type == "ct" and _is_sample(value)):
            continue
        if value != file:
            raise InputError(what=f"The input {key} must be the uploaded {file}", given=repr(value)[:80])
        named.add(file)
    if named != names:
        raise InputError(
            what="The files of the upload are not those that the job names",
            given=f"job: {', '.join(sorted(named)) or 'none'}; upload: {', '.join(sorted(names)) or 'none'}",
        )
    # paths of the client, and whom a language-model policy may ask: agreed on the user's own computer
    staying = sorted(set(kind.staying("used", "private")) & set(job.inputs))
    if staying:
        raise InputError(what="An input is only for the client", given=", ".join(staying))
    if job.out is not None and (kind.output is None or job.out not in kind.output.names):
        raise InputError(what=f"A {job.kind} job cannot write this", given=repr(job.out)[:80])
    if job.bundle is not None and not is_plain_name(job.bundle):
        raise InputError(
            what="A model bundle of a server is known by its name only", given=repr(job.bundle)[:80], remedy="Name it"
        )


def _is_sample(value: object) -> bool:
    return str(value).startswith(SAMPLE_PREFIX) and is_plain_name(str(value).removeprefix(SAMPLE_PREFIX))


def busy_error(running: int, most: int, where: str = "") -> ServerBusyError:
    """A server that takes no more jobs."""
    return ServerBusyError(
        what="The server is busy",
        given=f"{running} of at most {most} jobs are running{where}",
        remedy="Try again when they are done, or choose this computer",
    )


def too_large_error(most: int, given: int | None = None) -> UploadTooLargeError:
    """Files of more than `most` bytes."""
    size = "more than" if given is None else f"{given / 1024**2:.0f} MB, at most"
    return UploadTooLargeError(
        what="The files are larger than what the server takes",
        given=f"{size} {most / 1024**2:.0f} MB",
        remedy="Crop the CT around the liver, or start the server with a larger --max-upload-mb",
    )


@dataclass(frozen=True)
class Address:
    """Where a server is.

    Attributes:
        url: "http://HOST:PORT" or "https://HOST:PORT", with a path where a reverse proxy serves it below one.
    """

    url: str

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read what a user typed: "gpu-box", "gpu-box:8642", "https://mewm.example.org/tace".

        Raises:
            InputError: not an address, another scheme than http and https, or one that holds a password or a query.
        """
        given = text.strip()
        wrong = InputError(
            what="This is not the address of a server",
            given=given[:120],
            remedy=f"Write it as in http://gpu-box:{DEFAULT_PORT} or https://mewm.example.org",
        )
        whole = given if "://" in given else f"http://{given}"
        try:
            parts = urlsplit(whole)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise wrong from error
        if not host or parts.scheme not in ("http", "https") or re.search(r"\s", whole):
            raise wrong
        if parts.username is not None or parts.query or parts.fragment:
            raise InputError(
                what="A server address must not contain a password or a query",
                given=f"an address of {host}",
                remedy="Give the token by a file or by MEWM_SERVER_TOKEN",
            )
        if port is None and parts.scheme == "http":
            port = DEFAULT_PORT
        name = f"[{host}]" if ":" in host else host
        return cls(f"{parts.scheme}://{name}{f':{port}' if port else ''}{parts.path.rstrip('/')}")

    @property
    def host(self) -> str:
        """Name or number of the server."""
        return urlsplit(self.url).hostname or ""

    @property
    def is_loopback(self) -> bool:
        """True if it is this computer."""
        return is_loopback(self.host)

    @property
    def is_encrypted(self) -> bool:
        """True for https."""
        return self.url.startswith("https://")

    @property
    def is_open(self) -> bool:
        """True if others on the network can read what is sent there."""
        return not self.is_encrypted and not self.is_loopback


def is_loopback(host: str) -> bool:
    """True if a name or number means this computer only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
