"""The arguments of the commands around a server and its jobs; `arguments` adds them to those of the others."""

from __future__ import annotations

from typing import Any

from MeWMLib.jobs.wire import DEFAULT_PORT

Option = tuple[tuple[str, ...], dict[str, Any]]


def _option(*names: str, **more: Any) -> Option:
    return names, more


_JSON = _option("--json", action="store_true", help="print the result as JSON, and nothing else")
_DATA = _option("--data", metavar="DIR", help="folder of the server (default: in the user's data folder)")
_GIB = "largest image that is read, in GiB of voxels (default 2, or MEWM_MAX_GIB)"
_SERVE = (
    _option("--host", default="127.0.0.1", help="address to listen at (default 127.0.0.1: this computer)"),
    _option("--port", type=int, default=DEFAULT_PORT, help=f"default {DEFAULT_PORT}; 0 takes a free one"),
    _option("--token-file", metavar="F", help="file with one token for all; else MEWM_SERVER_TOKEN, else `mewm token`"),
    _DATA,
    _option(
        "--max-jobs", type=int, default=1, metavar="N", help="jobs at a time, one for each graphics card (default 1)"
    ),
    _option(
        "--engine", default="local", help="where workers are: local, or ray://HOST:PORT for those of a Ray cluster"
    ),
    _option("--max-queue", type=int, default=1000, metavar="N", help="jobs that may wait (default 1000)"),
    _option(
        "--max-per-user", type=int, default=200, metavar="N", help="jobs of one user that wait or run (default 200)"
    ),
    _option("--max-gib", metavar="N", help=_GIB),
    _option("--max-upload-mb", type=int, default=4096, metavar="N", help="largest job (default 4096)"),
    _option("--max-memory-gb", type=float, default=0.0, metavar="N", help="memory of a worker (default: 80 %% of all)"),
    _option("--job-minutes", type=float, default=1440.0, metavar="N", help="longest job (default 1440)"),
    _option("--keep-minutes", type=float, default=1440.0, metavar="N", help="data of ended jobs (default 1440)"),
    _option("--keep-gb", type=float, default=100.0, metavar="N", help="data of ended jobs together (default 100)"),
    _option("--connections", type=int, default=64, metavar="N", help="connections of one address (default 64)"),
    _option("--certificate", metavar="PEM", help="serve HTTPS with this certificate"),
    _option("--key", metavar="PEM", help="key of the certificate"),
    _option(
        "--insecure", action="store_true", help="let others reach the server without HTTPS (a lab without patients)"
    ),
    _option("--log", choices=("text", "json"), default="text", help="form of the log (default text)"),
    _option(
        "--check", action="store_true", help="start nothing: say whether the server could be, and what protects it"
    ),
    _JSON,
)
_WHERE = (
    _option("--server", metavar="URL", help="the jobs on this server; without it those that this computer knows"),
    _option("--token-file", metavar="F", help="file with its token (default: MEWM_SERVER_TOKEN, keyring)"),
)
#: Name, function, what it does, an example, options.
SERVER: tuple[tuple[str, str, str, str, tuple[Option, ...]], ...] = (
    (
        "app",
        "MeWMLib.cli.app:app",
        "open MeWM in the browser of this computer, without 3D Slicer",
        "mewm app",
        (
            _option("--no-open", action="store_true", help="print the address, and open no browser"),
            _option("--port", type=int, default=0, help="default 0: a free one"),
            _option("--data", metavar="DIR", help="keep cases and results there, and go on with those that are there"),
            _option("--bundle", metavar="B", help="name of a model bundle (default mewm-small)"),
            _option("--max-gib", metavar="N", help=_GIB),
        ),
    ),
    (
        "serve",
        "MeWMLib.cli.serve:serve",
        "take jobs from other computers over HTTP",
        "mewm serve --host 127.0.0.1 --port 8642",
        _SERVE,
    ),
    (
        "token",
        "MeWMLib.cli.token:token",
        "make, list or revoke the named tokens of a server on this computer",
        "mewm token create anna --days 90",
        (
            _option("action", choices=("create", "list", "revoke")),
            _option("name", nargs="?", metavar="NAME", help="of the user"),
            _option("--days", type=float, default=0.0, metavar="N", help="the token expires after so long"),
            _option("--scopes", default="jobs", metavar="WHAT", help="jobs, metrics, or both (default jobs)"),
            _option("--out", metavar="F", help="write the new token to this file, for its owner alone"),
            _DATA,
            _JSON,
        ),
    ),
    (
        "jobs",
        "MeWMLib.cli.known_jobs:jobs",
        "list, attach to or cancel jobs, also those that a killed command line or Slicer left",
        "mewm jobs list",
        (
            _option("action", choices=("list", "attach", "cancel")),
            _option("id", nargs="?", metavar="ID", help="begin of the id of a job, see `mewm jobs list`"),
            *_WHERE,
            _option("--out", metavar="PATH", help="where the result goes, if not where the job was to write it"),
            _option("--quiet", action="store_true", help="no progress"),
            _JSON,
        ),
    ),
)
