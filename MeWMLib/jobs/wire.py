"""What goes over the line between the remote runner and the server: addresses, names of files, one form of upload.

An upload is one request body: a line of JSON (the header), then the bytes of the files in the order of the header.
Nothing is pickled, and no name in it is ever used as a path before it was looked up in the lists below.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from MeWMLib.core.errors import InputError
from MeWMLib.jobs.job import VERSION, Job

#: Form of the requests, and form of jobs and events. Both sides must have the same.
PROTOCOL = f"1.{VERSION}"
DEFAULT_PORT = 8642
#: The header of an upload is a job and a list of files; more is a mistake or an attack (bytes).
MAX_HEADER_BYTES = 256 * 1024
#: Input of a job to the name of its file.
INPUT_FILES = {"case": "ct.nrrd", "labels": "labels.nrrd", "post": "post.nrrd", "post_labels": "post_labels.nrrd"}
#: What `Job.out` may be on the line, by kind of job; the client puts the files where the user wants them.
OUTPUTS = {
    "plan": ("plan",),
    "simulate": ("plan",),
    "segment": ("labels.seg.nrrd", "labels.nrrd", "labels.nii", "labels.nii.gz"),
    "assess": ("assess.json",),
    "propose": (),
}
#: Inputs that a server never takes: whom a language-model policy sends data to is agreed on the user's own computer.
LOCAL_ONLY = ("policy", "preview")
#: Inputs that the client has used up when it read the files, and that no server needs.
USED_UP = ("series", "post_series", "resample_labels", "label_values")
SAMPLE_PREFIX = "sample:"
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def is_plain_name(name: object) -> bool:
    """True for a name that can be a file's in a given folder and nothing else: no separator, no drive, no "..":"""
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
        good = is_plain_name(self.name) and _SHA256.fullmatch(str(self.sha256)) is not None
        whole = isinstance(self.bytes, int) and not isinstance(self.bytes, bool) and self.bytes >= 0
        if not (good and whole):
            raise InputError(what="A file is described wrongly", given=repr((self.name, self.bytes))[:120])

    def to_json(self) -> dict[str, Any]:
        """JSON-ready; `from_json` reads it."""
        return {"name": self.name, "bytes": self.bytes, "sha256": self.sha256}

    @classmethod
    def from_json(cls, data: Any) -> FileEntry:
        """Read an entry.

        Raises:
            InputError: it is no description of a file.
        """
        if not isinstance(data, dict) or set(data) != {"name", "bytes", "sha256"}:
            raise InputError(what="A file is described wrongly", given=repr(data)[:120])
        return cls(**data)


def upload_header(job: Job, files: tuple[FileEntry, ...]) -> bytes:
    """The first line of an upload."""
    data = {"protocol": PROTOCOL, "job": json.loads(job.to_json()), "files": [f.to_json() for f in files]}
    return json.dumps(data, allow_nan=False, separators=(",", ":")).encode() + b"\n"


def read_upload_header(line: bytes) -> tuple[Job, tuple[FileEntry, ...]]:
    """Read the first line of an upload and refuse every job that could touch something else than its own folder.

    Raises:
        InputError: no JSON, another protocol, a job that names a path, files that do not fit to the job.
    """
    try:
        data = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(what="The upload does not begin with a line of JSON", given=str(error)[:120]) from error
    if not isinstance(data, dict) or data.get("protocol") != PROTOCOL:
        given = data.get("protocol") if isinstance(data, dict) else data
        raise InputError(
            what=f"The upload is not of protocol {PROTOCOL}",
            given=repr(given)[:80],
            remedy="Use the same version of MeWM on both sides",
        )
    job = Job.from_json(json.dumps(data.get("job")))
    listed = data.get("files")
    if not isinstance(listed, list):
        raise InputError(what="The upload lists no files", given=repr(listed)[:80])
    files = tuple(FileEntry.from_json(entry) for entry in listed)
    _require_own_folder_only(job, {f.name for f in files})
    if len({f.name for f in files}) != len(files):
        raise InputError(what="The upload lists a file twice")
    return job, files


def _require_own_folder_only(job: Job, names: set[str]) -> None:
    named = set()
    for key, file in INPUT_FILES.items():
        value = job.inputs.get(key)
        if value is None:
            continue
        sample = str(value).removeprefix(SAMPLE_PREFIX)
        if key == "case" and str(value).startswith(SAMPLE_PREFIX) and is_plain_name(sample):
            continue
        if value != file:
            raise InputError(what=f"The input {key} must be the uploaded {file}", given=repr(value)[:80])
        named.add(file)
    if named != names:
        raise InputError(
            what="The files of the upload are not those that the job names",
            given=f"job: {', '.join(sorted(named)) or 'none'}; upload: {', '.join(sorted(names)) or 'none'}",
        )
    used_up = sorted({*USED_UP, *LOCAL_ONLY} & set(job.inputs))
    if used_up:
        raise InputError(what="An input is only for the client", given=", ".join(used_up))
    if job.out is not None and job.out not in OUTPUTS[job.kind]:
        raise InputError(what=f"A {job.kind} job cannot write this", given=repr(job.out)[:80])
    if job.bundle is not None and not is_plain_name(job.bundle):
        raise InputError(
            what="A model bundle of a server is known by its name only", given=repr(job.bundle)[:80], remedy="Name it"
        )


@dataclass(frozen=True)
class Address:
    """Where a server is.

    Attributes:
        url: "http://HOST:PORT" or "https://HOST:PORT", with a path where a reverse proxy has put the server into one.
    """

    url: str

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read what a user typed: "gpu-box", "gpu-box:8642", "https://mewm.example.org/tace".

        Raises:
            InputError: no address, another scheme than http and https, or one that holds a password or a query.
        """
        given = text.strip()
        remedy = f"Write it as in http://gpu-box:{DEFAULT_PORT} or https://mewm.example.org"
        whole = given if "://" in given else f"http://{given}"
        try:
            parts = urlsplit(whole)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise InputError(what="This is no address of a server", given=given[:120], remedy=remedy) from error
        if not host or parts.scheme not in ("http", "https") or re.search(r"\s", whole):
            raise InputError(what="This is no address of a server", given=given[:120], remedy=remedy)
        if parts.username is not None or parts.query or parts.fragment:
            raise InputError(
                what="The address of a server holds neither a password nor a query",
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


def is_loopback(host: str) -> bool:
    """True if a name or number means this computer only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def sha256_of(path: Path) -> str:
    """Checksum of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
