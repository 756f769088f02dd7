"""`mewm serve --check`: whether a server could be started here, and what it would be protected by."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from MeWMLib.core import bundles
from MeWMLib.core.errors import MeWMError
from MeWMLib.jobs import server_state
from MeWMLib.jobs.server_slots import Slot, WorkerLimits
from MeWMLib.jobs.server_users import Tokens
from MeWMLib.jobs.wire import is_loopback


def check(settings: server_state.Settings) -> tuple[bool, list[str]]:
    """Look at everything that a server needs; nothing is left behind.

    Returns:
        whether something is wrong, and one line for each thing that was looked at.
    """
    wrong, lines = False, []

    def tell(good: bool, text: str) -> None:
        nonlocal wrong
        wrong = wrong or not good
        lines.append(f"{'ok  ' if good else 'BAD '} {text}")

    data = settings.data
    try:
        with server_state.bound(settings) as bound:
            port = bound.getsockname()[1]
        if data.exists():
            lock = server_state.locked(data)
            lock.release()
        if settings.certificate is not None:
            server_state.require_certificate(settings)
        users = len(Tokens(data).all()) + bool(settings.token)
        tell(True, f"{settings.host}:{port} is free, and the data folder {data} can be used")
        tell(
            users > 0, f"{users} token{'s' * (users != 1)}" + ("" if users else ": `mewm token create NAME` makes one")
        )
    except MeWMError as error:
        tell(False, str(error))
    encrypted = settings.certificate is not None
    tell(encrypted or is_loopback(settings.host), "HTTPS" if encrypted else "this computer alone, without encryption")
    free = shutil.disk_usage(data if data.exists() else data.parent if data.parent.exists() else Path("/")).free
    tell(free > settings.limits.spare_bytes, f"{free / 1024**3:.0f} GB of the disk are free")
    found = [name for name, _path in bundles.list_bundles()]
    tell(bool(found), "models: " + (", ".join(found) or "none"))
    if os.name == "posix" and os.getuid() == 0:
        lines.append("note the server would run as root: give it a user of its own")
    told = confinement()
    for what in ("files", "network", "limits"):
        weak = told.get(what, "not applied")
        lines.append(f"{'note' if weak.startswith(('open', 'not')) else 'ok  '} worker, {what}: {weak}")
    lines.append(
        f"ok   {settings.limits.max_jobs} at a time, each at most "
        f"{settings.limits.worker_memory_bytes / 1024**3:.1f} GB and {settings.limits.job_s / 60:.0f} minutes; "
        f"{settings.limits.max_queued} may wait"
    )
    return wrong, lines


def confinement() -> dict[str, str]:
    """What a worker is confined by on this computer; found out by confining a process that does nothing."""
    from MeWMLib.jobs.processes import end_tree
    from MeWMLib.jobs.runner import started

    with tempfile.TemporaryDirectory(prefix="mewm-check-") as folder:
        limits = WorkerLimits(4 * 1024**3, 60.0)
        slot = Slot(0, Path(folder), [sys.executable, "-I", "-S", "-c", "pass"], limits, dict)
        process = started(slot.command())
        try:
            process.wait(30.0)
        finally:
            end_tree(process)
            with process:
                pass
        return slot.confined
