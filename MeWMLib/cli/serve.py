"""`mewm serve`: take jobs from other computers. FastAPI and uvicorn are imported when it runs, not before."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from MeWMLib.cli.output import Output
from MeWMLib.core import bundles
from MeWMLib.core.errors import optional_packages
from MeWMLib.jobs import server_token
from MeWMLib.jobs.server_jobs import Limits
from MeWMLib.jobs.wire import is_loopback


def serve(arguments: argparse.Namespace, output: Output) -> int:
    """Serve until Ctrl-C or SIGTERM."""
    with optional_packages("The server", "server"):
        from MeWMLib.jobs import server
    data = Path(arguments.data).expanduser() if arguments.data else bundles.user_bundles().parent / "server"
    token = _token(arguments, data, output)
    limits = Limits(
        max_jobs=arguments.max_jobs,
        max_upload_bytes=arguments.max_upload_mb * 1024**2,
        retention_s=arguments.keep_minutes * 60.0,
    )
    settings = server.Settings(
        data=data,
        token=token,
        host=arguments.host,
        port=arguments.port,
        limits=limits,
        certificate=Path(arguments.certificate) if arguments.certificate else None,
        key=Path(arguments.key) if arguments.key else None,
        worker=arguments.worker,
        python=sys.executable if arguments.worker is None else None,
    )
    if not is_loopback(arguments.host) and settings.certificate is None:
        output.notice(
            f"Warning: {arguments.host} can be reached from other computers, and CTs travel unencrypted. "
            "Give --certificate and --key, or put an HTTPS proxy in front (docs/SERVER.md)."
        )
    server.serve(settings, lambda url: output.result(f"MeWM is serving at {url} (Ctrl-C stops it)"))
    return 0


def _token(arguments: argparse.Namespace, data: Path, output: Output) -> str:
    """The token that was given, else that of the data folder, which is made and shown at the first start."""
    # the workers are children: they have no use for it
    given = os.environ.pop(server_token.VARIABLE, "")
    if arguments.token_file:
        return server_token.read_file(Path(arguments.token_file).expanduser())
    if given:
        return server_token.check(given, f"the environment variable {server_token.VARIABLE}")
    file = data / "token"
    if file.is_file():
        return server_token.read_file(file)
    token = server_token.make(file)
    output.notice(f"A new token was created and saved in {file}; it is shown only once:\n{token}")
    return token
