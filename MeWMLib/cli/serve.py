"""`mewm serve`: take jobs from other computers. FastAPI and uvicorn are imported when it runs, not before."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from MeWMLib.cli.output import Output
from MeWMLib.core.errors import optional_packages
from MeWMLib.core.folders import data_folder
from MeWMLib.jobs import server_token
from MeWMLib.jobs.wire import is_loopback

if TYPE_CHECKING:
    from MeWMLib.jobs.server_state import Settings


def server_folder(arguments: argparse.Namespace) -> Path:
    """The data folder of the server of this computer."""
    return Path(arguments.data).expanduser() if arguments.data else data_folder() / "server"


def serve(arguments: argparse.Namespace, output: Output) -> int:
    """Serve until Ctrl-C or SIGTERM; with `--check` only say whether it could."""
    with optional_packages("The server", "server"):
        from MeWMLib.jobs import server, server_state
    # what is written from here on is for the owner alone, whoever writes it
    former = os.umask(0o077)
    try:
        return _serve(arguments, output, server_state, server)
    finally:
        os.umask(former)


def _serve(arguments: argparse.Namespace, output: Output, server_state: ModuleType, server: ModuleType) -> int:
    settings = _settings(arguments, output)
    settings.check()
    if arguments.check:
        from MeWMLib.jobs.server_check import check

        wrong, lines = check(settings)
        output.show({"ready": not wrong, "found": lines}, *lines)
        return 2 if wrong else 0
    if not is_loopback(settings.host) and settings.certificate is None:
        output.notice(f"Warning: --insecure: everybody on the network of {settings.host} can read CTs and tokens.")
    server_state.serve(
        settings, server.make_app, lambda url: output.result(f"MeWM is serving at {url} (Ctrl-C stops it)")
    )
    return 0


def _settings(arguments: argparse.Namespace, output: Output) -> Settings:
    from MeWMLib.jobs.server_limits import Limits
    from MeWMLib.jobs.server_state import Settings

    data = server_folder(arguments)
    limits = Limits(
        max_jobs=arguments.max_jobs,
        max_queued=arguments.max_queue,
        max_per_user=arguments.max_per_user,
        max_upload_bytes=arguments.max_upload_mb * 1024**2,
        worker_memory_bytes=int(arguments.max_memory_gb * 1024**3),
        job_s=arguments.job_minutes * 60.0,
        retention_s=arguments.keep_minutes * 60.0,
        keep_bytes=int(arguments.keep_gb * 1024**3),
        connections_per_address=arguments.connections,
    )
    settings = Settings(
        data=data,
        host=arguments.host,
        port=arguments.port,
        limits=limits,
        certificate=Path(arguments.certificate) if arguments.certificate else None,
        key=Path(arguments.key) if arguments.key else None,
        insecure=arguments.insecure,
        worker=arguments.worker,
        python=sys.executable if arguments.worker is None else None,
        json_log=arguments.log == "json",
        engine="" if arguments.engine == "local" else arguments.engine,
    )
    settings.check()
    return _with_token(settings, arguments, data, output)


def _with_token(settings: Settings, arguments: argparse.Namespace, data: Path, output: Output) -> Settings:
    """The settings with the token that was given; without one and without any named one, one is made."""
    from dataclasses import replace

    from MeWMLib.jobs.server_users import Tokens

    # the workers are children: they have no use for it
    given = os.environ.pop(server_token.VARIABLE, "")
    if arguments.token_file:
        return replace(settings, token=server_token.read_file(Path(arguments.token_file).expanduser()))
    if given:
        return replace(settings, token=server_token.check(given, f"the environment variable {server_token.VARIABLE}"))
    file = data / "token"
    if file.is_file():
        return replace(settings, token=server_token.read_file(file))
    if arguments.check or Tokens(data).all():
        return settings
    token = server_token.make(file)
    if sys.stderr.isatty():
        output.notice(f"A new token was created and saved in {file}; it is shown only once:\n{token}")
    else:
        # what a service writes lands in a journal, where others read it for years
        output.notice(f"A new token was created and saved in {file}, which only its owner can read.")
    return replace(settings, token=token)
