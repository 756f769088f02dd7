"""What a running server consists of, and how it is started: the port, the locked data folder, the jobs, the tokens."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI

from MeWMLib.core import bundles
from MeWMLib.core.errors import InputError, MeWMError, OutputError, output_error
from MeWMLib.core.locks import FileLock
from MeWMLib.jobs.processes import find_devices
from MeWMLib.jobs.ray_workers import Cluster
from MeWMLib.jobs.server_guard import Doorway, guarded
from MeWMLib.jobs.server_jobs import ServerJobs
from MeWMLib.jobs.server_limits import Limits
from MeWMLib.jobs.server_notes import Notes
from MeWMLib.jobs.server_users import BackOff, Tokens
from MeWMLib.jobs.wire import is_loopback

LOCK, AUDIT = "server.lock", "audit.log"
_SWEEP_S = 30.0


@dataclass(frozen=True)
class Settings:
    """How a server is started.

    Attributes:
        data: folder for the jobs.
        token: one that is known beside those of the data folder; "" for none.
        host, port: where it listens; port 0 takes a free one.
        limits: see `Limits`.
        certificate, key: PEM files; with them the server speaks HTTPS.
        insecure: an address that others reach is allowed without them.
        worker: command of the worker, for tests.
        python: interpreter that is asked for its devices; None for a worker that is not MeWM's own.
        json_log: the log is one JSON object a line.
        engine: "" for workers of this computer, "ray" or "ray://HOST:PORT" for those of a cluster.
    """

    data: Path
    token: str = ""
    host: str = "127.0.0.1"
    port: int = 0
    limits: Limits = Limits()
    certificate: Path | None = None
    key: Path | None = None
    insecure: bool = False
    worker: Sequence[str] | None = None
    python: str | None = sys.executable
    json_log: bool = False
    engine: str = ""

    def check(self) -> None:
        """Refuse what cannot or must not be served.

        Raises:
            InputError: see above.
        """
        if (self.certificate is None) != (self.key is None):
            raise InputError(
                what="A certificate and its key belong together", remedy="Give both --certificate and --key"
            )
        if not 0 <= self.port < 1 << 16:
            raise InputError(what="The server cannot listen there: ports go from 0 to 65535", given=str(self.port))
        if not is_loopback(self.host) and self.certificate is None and not self.insecure:
            raise InputError(
                what="Other computers can reach this address, and CTs and tokens would travel unencrypted",
                given=self.host,
                remedy="Give --certificate and --key, listen at 127.0.0.1 behind an HTTPS proxy (docs/SERVER.md), or "
                "say --insecure in a lab without patients",
            )


class State:
    """The parts of a running server; it holds the lock of the data folder until `close`.

    Args:
        settings: see `Settings`.

    Raises:
        OutputError: another server uses the folder, or it cannot be written.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        data = settings.data
        try:
            data.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise output_error(error, data) from error
        self._lock = locked(data)
        try:
            self.notes = Notes(data / AUDIT, settings.json_log)
            self.tokens = Tokens(data, settings.token)
            self.tokens.all()  # a damaged file is said now
            self.back_off = BackOff()
            self.device = "not yet known" if settings.python is not None else "not known"
            self._probed = threading.Event()
            self.sweep_s = min(_SWEEP_S, settings.limits.retention_s, settings.limits.upload_quiet_s)
            self._cluster = Cluster(settings.engine) if settings.engine else None
            elsewhere = self._cluster.worker if self._cluster is not None else None
            self.jobs = ServerJobs(data, settings.limits, settings.worker, self.notes, self._card, elsewhere)
        except BaseException:
            if hasattr(self, "notes"):
                self.notes.close()
            self._lock.release()
            raise

    def begin(self) -> None:
        """Ask for the device; say that the server has started."""
        if self.settings.python is not None:
            probe_device(self.settings.python, self._found)
        else:
            self._probed.set()
        self.notes.audit("server started", "")

    def close(self) -> None:
        """Stop: what is at work goes on at the next start."""
        self.notes.audit("server stopped", "")
        self.jobs.close()
        if self._cluster is not None:
            self._cluster.close()
        self.notes.close()
        self._lock.release()

    def _found(self, device: str) -> None:
        self.device = device
        self._probed.set()

    def _card(self, slot: int) -> dict[str, str]:
        """The environment of a slot: with several jobs at a time each has a graphics card of its own."""
        if self.settings.limits.max_jobs == 1 or os.environ.get("CUDA_VISIBLE_DEVICES"):
            return {}
        self._probed.wait(120.0)
        cards = self.device.count("cuda (")
        return {"CUDA_VISIBLE_DEVICES": str(slot % cards)} if cards > 1 else {}

    def not_ready(self) -> str:
        """Why the server takes no jobs; "" if it does."""
        with contextlib.suppress(OSError):
            if shutil.disk_usage(self.settings.data).free < self.settings.limits.spare_bytes:
                return "disk\n"
        return "" if bundles.list_bundles() else "models\n"

    def bundles(self) -> list[dict[str, str]]:
        """Names and checksums of the bundles; those that are damaged are left out."""
        found = []
        for name, path in bundles.list_bundles():
            with contextlib.suppress(MeWMError, OSError):
                found.append({"name": name, "sha256": _checksum(path, (path / bundles.MANIFEST).stat().st_mtime)})
        return found

    def without_paths(self, told: dict[str, Any]) -> dict[str, Any]:
        """An error for a client: where the server keeps its data is nobody's business."""
        paths = {str(self.settings.data), str(self.settings.data.absolute()), str(self.settings.data.resolve())}
        pattern = re.compile("|".join(re.escape(one) for one in sorted(paths, key=len, reverse=True)))
        return {key: pattern.sub("DATA", one) if isinstance(one, str) else one for key, one in told.items()}

    def gauges(self) -> dict[str, tuple[str, float]]:
        """What is measured at this moment."""
        jobs = self.jobs
        waiting, disk = jobs.store.find(states=("queued",)), shutil.disk_usage(self.settings.data)
        found = {
            "mewm_jobs_running": ("jobs at work", float(jobs.running)),
            "mewm_jobs_queued": ("jobs that wait", float(len(waiting))),
            "mewm_users_waiting": ("users who wait for a job", float(len({row.owner for row in waiting}))),
            "mewm_jobs_uploading": ("jobs that are being sent", float(jobs.store.count(states=("uploading",)))),
            "mewm_jobs_removing": (
                "jobs whose data could not be removed yet",
                float(jobs.store.count(states=("removing",))),
            ),
            "mewm_worker_memory_bytes": ("memory of all workers", float(sum(one.memory_bytes() for one in jobs.slots))),
            "mewm_disk_free_bytes": ("free bytes of the data folder's disk", float(disk.free)),
        }
        return {**found, **_graphics_memory()}


def _graphics_memory() -> dict[str, tuple[str, float]]:
    """Memory of the graphics cards in use, where NVIDIA's tool tells it."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return {}
    import subprocess

    command = [tool, "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=5.0, check=True).stdout
        used = sum(float(line) for line in said.split("\n") if line.strip())
    except (OSError, subprocess.SubprocessError, ValueError):
        return {}
    return {"mewm_gpu_memory_bytes": ("memory in use on all graphics cards", used * 1024**2)}


@lru_cache
def _checksum(bundle: Path, changed_at: float) -> str:
    return bundles.open_bundle(bundle).sha256


def probe_device(python: str, report: Callable[[str], None]) -> None:
    """Find out on a thread what the worker computes on."""

    def probe() -> None:
        try:
            report(find_devices(python))
        except MeWMError:
            report("not known: torch did not respond on the server")

    threading.Thread(target=probe, name="mewm-device", daemon=True).start()


def serve(settings: Settings, make: Callable[[State], FastAPI], on_ready: Callable[[str], None]) -> None:
    """Serve until the process is told to end (Ctrl-C, SIGTERM); what is at work goes on at the next start.

    Args:
        settings: see `Settings`.
        make: `server.make_app`.
        on_ready: called with the address once the port is bound.

    Raises:
        InputError: the port or the certificate cannot be used, or the address needs one.
        OutputError: another server uses the data folder, or it cannot be written.
    """
    server, listening = prepared(settings, make)
    with listening:
        scheme = "https" if settings.certificate else "http"
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        on_ready(f"{scheme}://{host}:{listening.getsockname()[1]}")
        server.run(sockets=[listening])


def prepared(settings: Settings, make: Callable[[State], FastAPI]) -> tuple[uvicorn.Server, socket.socket]:
    """The server and its bound socket; tests run them on a thread. Nothing is touched before the port is ours.

    Raises:
        InputError, OutputError: as `serve`.
    """
    settings.check()
    listening = bound(settings)
    try:
        if settings.certificate is not None:
            require_certificate(settings)
        state = State(settings)
        door = Doorway(listening, settings.limits, state.notes) if settings.certificate is not None else None
        listening = door or listening
        config = uvicorn.Config(
            make(state),
            http=guarded(settings.limits, state.notes, door),
            log_level="warning",
            access_log=False,
            server_header=False,
            ws="none",
            timeout_graceful_shutdown=2,
            ssl_certfile=settings.certificate,
            ssl_keyfile=settings.key,
        )
        config.load()
    except BaseException:
        listening.close()
        raise
    return uvicorn.Server(config), listening


def locked(data: Path) -> FileLock:
    """The lock of a data folder.

    Raises:
        OutputError: another server uses it.
    """
    lock = FileLock(data / LOCK)
    if not lock.acquire():
        raise OutputError(
            what="Another server uses this data folder", given=str(data), remedy="Stop it, or give another --data"
        )
    return lock


def require_certificate(settings: Settings) -> None:
    """Refuse a certificate that cannot be used, before anything is touched.

    Raises:
        InputError: a file cannot be read, or the key is not that of the certificate.
    """
    assert settings.certificate is not None
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(settings.certificate, settings.key)
    except OSError as error:
        given = f"{settings.certificate}, {settings.key} ({error.strerror or error})"
        raise InputError(
            what="The certificate or its key cannot be used", given=given, remedy="Give PEM files"
        ) from error


def bound(settings: Settings) -> socket.socket:
    """The socket of a server, which listens.

    Raises:
        InputError: it cannot.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        # it listens at once: anyone who reads the address, which is printed next, may connect
        return socket.create_server((settings.host, settings.port), family=family)
    except OSError as error:
        raise InputError(
            what=f"The server cannot listen there ({error.strerror or error})",
            given=f"{settings.host}:{settings.port}",
            remedy="Choose another --port or --host",
        ) from error
