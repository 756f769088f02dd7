"""`mewm app`: the app in the browser of this computer. FastAPI and uvicorn are imported when it runs, not before."""

from __future__ import annotations

import argparse
import contextlib
import html
import logging
import os
import secrets
import signal
import sys
import threading
import webbrowser
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from MeWMLib.cli.output import Output
from MeWMLib.core.errors import optional_packages
from MeWMLib.core.private_files import private

_OPENER = "open.html"


def app(arguments: argparse.Namespace, output: Output) -> int:
    """Serve the app until Ctrl-C; nothing of a patient stays unless the user asked for it."""
    with optional_packages("The app", "server"):
        from MeWMLib.app import server as app_server
        from MeWMLib.app.folder import app_folder
        from MeWMLib.jobs import server_state
    former = os.umask(0o077)
    kept = Path(arguments.data).expanduser().absolute() if arguments.data else None
    try:
        with app_folder(kept) as folder:
            token = secrets.token_urlsafe(32)
            worker = arguments.worker
            settings = server_state.Settings(
                folder / "server", token, port=arguments.port, worker=worker, python=None if worker else sys.executable
            )
            own = app_server.AppSettings(folder, kept is not None, arguments.bundle)
            make = partial(app_server.make_app, settings=own)
            server, listening = server_state.prepared(settings, make)
            with listening, _ending(server):
                address = f"http://127.0.0.1:{listening.getsockname()[1]}/#token={token}"
                output.result(f"MeWM is open at {address}\nCtrl-C ends it.")
                where = f"It stays in {kept}." if kept else "It is removed when the app ends (--data DIR keeps it)."
                output.notice(f"What you open stays on this computer. {where}")
                if not arguments.no_open:
                    _open(address, folder)
                server.run(sockets=[listening])
                (folder / _OPENER).unlink(missing_ok=True)
            return 0
    finally:
        os.umask(former)


@contextlib.contextmanager
def _ending(server: object) -> Iterator[None]:
    """End in order, whatever ends the app: Ctrl-C, SIGTERM, or that its terminal is closed."""

    def stop(*_: object) -> None:
        server.should_exit = True  # type: ignore[attr-defined]

    def tells(record: logging.LogRecord) -> bool:
        # a page that listens is cut off at the end: that is meant, and nothing to be told of in a terminal
        return not server.should_exit  # type: ignore[attr-defined]

    log = logging.getLogger("uvicorn.error")
    log.addFilter(tells)
    names = [name for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    if threading.current_thread() is not threading.main_thread():
        names = []
    former = {name: signal.signal(getattr(signal, name), stop) for name in names}
    try:
        yield
    finally:
        log.removeFilter(tells)
        for name, handler in former.items():
            signal.signal(getattr(signal, name), handler)


def _open(address: str, folder: Path) -> None:
    """Open the address in the browser by a file that only its owner reads: arguments of a process are seen by all."""
    file = folder / _OPENER
    with private(file, "w") as stream:
        stream.write(
            '<!doctype html><meta charset="utf-8"><title>MeWM</title>'
            f'<meta http-equiv="refresh" content="0; url={html.escape(address)}">'
            f'<p><a href="{html.escape(address)}">Open MeWM</a></p>\n'
        )
    threading.Thread(target=webbrowser.open, args=(file.as_uri(),), daemon=True).start()
