"""`mewm jobs`: what is at work, what a killed command line or Slicer left, and the jobs of the user on a server."""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from MeWMLib.cli.jobs import interrupts
from MeWMLib.cli.output import Output
from MeWMLib.core.errors import InputError, MeWMError, UnknownJobError, error_from_json
from MeWMLib.core.io import atomic_path
from MeWMLib.jobs import runner, server_token
from MeWMLib.jobs.known import KnownJob, KnownJobs
from MeWMLib.jobs.runner import Runner
from MeWMLib.jobs.table import kind_of
from MeWMLib.jobs.wire import Address

if TYPE_CHECKING:
    from MeWMLib.jobs.remote_http import ServerClient


def jobs(arguments: argparse.Namespace, output: Output) -> int:
    """List, attach or cancel."""
    if arguments.action != "list" and not arguments.id:
        raise InputError(what=f"`mewm jobs {arguments.action}` needs the id of a job", remedy="See `mewm jobs list`")
    if arguments.server:
        client = _client(Address.parse(arguments.server), arguments)
        there: dict[str, Callable[[ServerClient, argparse.Namespace, Output], int]] = {
            "list": _list_there,
            "attach": _fetch_there,
            "cancel": _cancel_there,
        }
        return there[arguments.action](client, arguments, output)
    if arguments.action == "list":
        return _list(output)
    with KnownJobs() as known:
        found = known.find(arguments.id)
    return _attach(found, arguments, output) if arguments.action == "attach" else _cancel(found, arguments, output)


def _client(address: Address, arguments: argparse.Namespace) -> ServerClient:
    from MeWMLib.jobs.remote_http import ServerClient

    return ServerClient(address, lambda: server_token.find(address.url, arguments.token_file))


def _list(output: Output) -> int:
    with KnownJobs() as known:
        found = known.all()
    told = [
        {"id": one.row.id, "kind": one.row.kind, "state": one.state, "server": one.row.place, "out": _out(one)}
        for one in found
    ]
    if output.json(told):
        return 0
    rows = [
        (one.row.id[:8], one.row.kind, one.state, _day(one.row.created), one.row.place or "this computer", _out(one))
        for one in found
    ]
    output.rows("Jobs", ("Id", "Kind", "State", "Begun", "Where", "Writes"), rows)
    if any(not one.alive for one in found):
        output.result("`mewm jobs attach ID` takes one up that nobody follows, `mewm jobs cancel ID` forgets it.")
    elif not found:
        output.result("There is none.")
    return 0


def _out(one: KnownJob) -> str:
    with contextlib.suppress(MeWMError):
        return one.job().out or ""
    return "?"


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds)) if seconds else ""


def _attach(found: KnownJob, arguments: argparse.Namespace, output: Output) -> int:
    """Take up a job that was left: here from what is finished, on a server where it goes on."""
    if found.alive:
        raise InputError(
            what="This job is followed by another program",
            given=f"process {found.row.pid}",
            remedy="Wait until it is done, or end that program first",
        )
    job = found.job()
    if arguments.out:
        job = replace(job, out=str(Path(arguments.out).expanduser().absolute()))

    def make() -> Runner:
        if found.row.place:
            from MeWMLib.jobs.remote import RemoteRunner

            # the user agreed when the job was begun
            one: Runner = RemoteRunner(_client(Address.parse(found.row.place), arguments))
        else:
            one = runner.LocalRunner(arguments.worker)
        one.take_up(found)
        return one

    with interrupts(output) as stops, output.progress(kind_of(job.kind).stage_title) as show:
        result = runner.run(job, show, lambda: bool(stops), make=make)
    output.show(result, *([f"Written: {job.out}"] if job.out else ["Done; see --json for the result."]))
    return 0


def _cancel(found: KnownJob, arguments: argparse.Namespace, output: Output) -> int:
    """Forget a job that was left, and end it on its server."""
    if found.alive:
        raise InputError(
            what="This job is followed by another program",
            given=f"process {found.row.pid}",
            remedy="Press Ctrl-C or Cancel there",
        )
    if found.row.far_id:
        with contextlib.suppress(UnknownJobError):
            _client(Address.parse(found.row.place), arguments).remove(found.row.far_id)
    with KnownJobs() as known:
        known.forget(found.row.id)
    output.show({"cancelled": found.row.id}, f"Cancelled: {found.row.id[:8]}. What it has written stays where it is.")
    return 0


def _list_there(client: ServerClient, arguments: argparse.Namespace, output: Output) -> int:
    found = client.jobs()
    if output.json([asdict(one) for one in found]):
        return 0
    rows = [
        (one.id[:8], one.kind, one.state, f"{one.position}" if one.position else "", _day(one.created), one.outcome)
        for one in found
    ]
    output.rows(f"Jobs on {client.address.url}", ("Id", "Kind", "State", "Place", "Sent", "Outcome"), rows)
    return 0


def _one_there(client: ServerClient, begin: str) -> str:
    found = [one.id for one in client.jobs() if one.id.startswith(begin)]
    if len(found) != 1:
        raise InputError(
            what="No job on the server has this id" if not found else "Several jobs have an id that begins so",
            given=begin[:80],
            remedy="See `mewm jobs list --server URL`",
        )
    return str(found[0])


def _fetch_there(client: ServerClient, arguments: argparse.Namespace, output: Output) -> int:
    """Wait for a job that was sent from elsewhere and fetch its files as the server has them."""
    if not arguments.out:
        raise InputError(
            what="This computer does not know where the job was to write", remedy="Name a folder with --out"
        )
    job_id, out = _one_there(client, arguments.id), Path(arguments.out).expanduser()
    last = None
    with output.progress(kind_of("plan").stage_title) as show:
        for event in client.events(job_id, 0):
            if event is not None:
                show(event)
                last = event
    for entry in client.files(job_id):
        with atomic_path(out / entry.name) as path:
            path.unlink()
            client.fetch(job_id, entry.name, path, entry.sha256)
    if last is not None and last.kind == "error":
        raise error_from_json(last.data)
    output.show(last.data if last is not None else {}, f"Written: {out}")
    return 0


def _cancel_there(client: ServerClient, arguments: argparse.Namespace, output: Output) -> int:
    job_id = _one_there(client, arguments.id)
    gone = client.remove(job_id)
    output.show(
        {"cancelled": job_id, "removed": gone},
        "Cancelled, and its data are removed." if gone else "Cancelled; the server still tries to remove its data.",
    )
    return 0
