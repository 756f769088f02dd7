"""`mewm export`, `mewm pull`, `mewm push`, and studies of a PACS as the input of other commands (docs/DICOM.md)."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from MeWMLib.cli.output import Output
from MeWMLib.cohorts.identity import Identity, load_key
from MeWMLib.core.errors import ConsentError, InputError
from MeWMLib.core.plan_folder import PLAN
from MeWMLib.core.terminal import agreed
from MeWMLib.exchange.address import PacsAddress, is_address
from MeWMLib.jobs.job import Event
from MeWMLib.jobs.table import kind_of

#: Name of the folder that a study of a PACS is fetched into: it becomes the name of the case, and must name nobody.
_FETCHED = "pacs-study"


def export(arguments: argparse.Namespace, output: Output) -> int:
    """`mewm export FOLDER --to dicom`: a plan, or every plan of a cohort, as DICOM objects."""
    from MeWMLib.exchange.export import ExportSettings, export_plan, subject_of
    from MeWMLib.exchange.mark import told
    from MeWMLib.exchange.segments import BINARY, LABELMAP

    source = Path(arguments.folder).expanduser()
    # beside the plan and not in it, where every file is one of the plan's
    source = source.absolute()
    target = Path(arguments.out).expanduser() if arguments.out else source.with_name(f"{source.name}-dicom")
    plans = [source] if (source / PLAN).is_file() else sorted(p.parent for p in source.glob(f"*/{PLAN}"))
    if not plans:
        raise InputError(
            what="There is no plan in the folder", given=str(source), remedy="Give a folder that mewm plan wrote"
        )
    cohort = plans != [source]
    if cohort and arguments.reference:
        raise InputError(
            what="One reference cannot be that of several patients",
            given=f"{len(plans)} plans",
            remedy="Export each plan by itself, or leave --reference out",
        )
    settings = ExportSettings(
        series=arguments.series,
        identity=Identity(load_key(None if not arguments.key_file else Path(arguments.key_file)))
        if arguments.deidentify
        else None,
        mark=not arguments.no_mark,
        kind=LABELMAP if arguments.labelmap else BINARY,
    )
    done = []
    with _reference(arguments.reference, output) as reference:
        settings = replace(settings, reference=reference)
        for plan in plans:
            out = target / f"sub-{subject_of(plan.name)}" if cohort else target
            with _progress(output, "Export") as show:
                done.append(export_plan(plan, out, settings, show))
    if output.json([{**asdict(one), "folder": str(one.folder)} for one in done]):
        return 0
    for one in done:
        output.result(f"Written: {one.folder} ({one.objects} DICOM objects, study {one.study})")
        for note in one.notes:
            output.notice(note)
    burned = told(sum(one.marked for one in done), sum(one.simulated for one in done))
    output.result(f"Research use only. Simulated CTs are no scans: {burned}")
    return 0


def pull(arguments: argparse.Namespace, output: Output) -> int:
    """`mewm pull ADDRESS --out DIR`: fetch a study or a series from a PACS."""
    from MeWMLib.exchange import transfer
    from MeWMLib.exchange.clients import connect

    address = PacsAddress.parse(arguments.address)
    target = Path(arguments.out).expanduser()
    _warn_if_open(address, output)
    with _counted(output, "Fetch") as show:
        count = transfer.pull(connect(address), address, target, progress=show)
    output.show({"objects": count, "folder": str(target)}, f"Written: {target} ({count} DICOM objects)")
    return 0


def push(arguments: argparse.Namespace, output: Output) -> int:
    """`mewm push FOLDER ADDRESS`: send an export to a PACS, after the user has agreed to this address."""
    from MeWMLib.exchange import transfer
    from MeWMLib.exchange.clients import connect
    from MeWMLib.exchange.verify import verify_export

    address = PacsAddress.parse(arguments.address, need_study=False)
    folder = Path(arguments.folder).expanduser()
    found = verify_export(folder)
    if address.study and address.study != found.study:
        raise InputError(
            what="The export belongs to another study than the address names",
            given=f"{found.study} and {address.study}",
            remedy="Leave ?study= out: the objects name their study themselves",
        )
    pacs = connect(address)
    if not arguments.yes_send_images:
        output.notice(
            f"{found.objects} DICOM objects will be sent to {address.place}, with the name, the id and the dates of "
            "the patient where the export was made with --reference and without --deidentify."
        )
        _warn_if_open(address, output)
        if not agreed("Send them?"):
            raise ConsentError(
                what="You have not agreed that images are sent to the PACS; nothing was sent",
                given=address.place,
                remedy="Agree with --yes-send-images",
            )
    with _counted(output, "Send") as show:
        pushed = transfer.push(pacs, folder, show)
    if output.json({"study": pushed.study, "objects": [asdict(one) for one in pushed.statuses]}):
        return 0
    output.result(pushed.text)
    return 0


@contextmanager
def local_copies(arguments: argparse.Namespace, output: Output) -> Iterator[None]:
    """Fetch the CTs that a job's arguments name by the address of a PACS, for as long as the block runs."""
    named = {
        entry.name: getattr(arguments, entry.name)
        for entry in kind_of(arguments.kind).inputs
        if entry.type == "ct" and is_address(str(getattr(arguments, entry.name) or ""))
    }
    if not named:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="mewm-") as name:
        for n, (key, text) in enumerate(named.items()):
            folder = Path(name) / str(n) / _FETCHED
            folder.parent.mkdir()
            _fetch_ct(PacsAddress.parse(text), folder, output)
            setattr(arguments, key, str(folder))
        yield


@contextmanager
def _reference(text: str | None, output: Output) -> Iterator[Path | None]:
    """The folder of a reference that is a path, or the address of a PACS."""
    if text is None:
        yield None
    elif not is_address(text):
        yield Path(text).expanduser()
    else:
        with tempfile.TemporaryDirectory(prefix="mewm-") as name:
            folder = Path(name) / _FETCHED
            _fetch_ct(PacsAddress.parse(text), folder, output)
            yield folder


def _fetch_ct(address: PacsAddress, folder: Path, output: Output) -> None:
    from MeWMLib.exchange import transfer
    from MeWMLib.exchange.clients import connect

    _warn_if_open(address, output)
    with _counted(output, "Fetch") as show:
        count = transfer.pull(connect(address), address, folder, "CT", show)
    output.say(f"{count} CT images were fetched from {address.place}.")


def _warn_if_open(address: PacsAddress, output: Output) -> None:
    if address.is_open:
        output.notice(f"The connection to {address.place} is NOT encrypted: anyone in between can read it.")


@contextmanager
def _progress(output: Output, title: str) -> Iterator[Callable[[float, str], None]]:
    with output.progress(lambda _: title) as show:
        yield lambda share, text: show(_event(share, text))


@contextmanager
def _counted(output: Output, title: str) -> Iterator[Callable[[int, int, str], None]]:
    with output.progress(lambda _: title) as show:
        yield lambda done, total, text: show(_event(done / max(total, 1), f"{done} of {total}  {text}".rstrip()))


def _event(share: float, text: str) -> Any:
    return Event("progress", stage="exchange", fraction=share, message=text)
