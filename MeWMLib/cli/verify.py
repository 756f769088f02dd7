"""`mewm verify`: is a result as it was written, and do its numbers follow from its files?"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import asdict
from pathlib import Path

from MeWMLib.cli.output import Output
from MeWMLib.core.errors import MeWMError, UnreadableFileError
from MeWMLib.core.plan_folder import PLAN, PlanFolder
from MeWMLib.exchange.verify import is_export, verify_export
from MeWMLib.jobs import runner
from MeWMLib.jobs.rerun import compared, job_again
from MeWMLib.jobs.table import kind_of
from MeWMLib.jobs.verification import FILE, RERUN, Verified, verify
from MeWMLib.jobs.verified_numbers import TOLERANCE

#: Something is not as it was written, or a number does not follow from the files.
WRONG = 4


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Verify a result; 0 if nothing is wrong, 4 if something is, 2 if there is nothing to verify.

    Raises:
        MeWMError: there is nothing that MeWM writes, or the plan cannot be made again.
    """
    path = Path(arguments.path).expanduser()
    if path.is_dir() and not (path / PLAN).is_file() and is_export(path):
        return _export(path, output)
    inputs = [Path(one).expanduser() for one in arguments.inputs or ()]
    found = verify(path, inputs, bundle=arguments.bundle)
    if arguments.rerun and found.whole:
        _again(path, inputs, arguments, output, found)
    data = {"what": found.what, "whole": found.whole, "files": found.files, "numbers": found.numbers,
            "tolerance": TOLERANCE, "findings": [asdict(one) for one in found.findings]}  # fmt: skip
    if not output.json(data):
        for one in found.findings:
            output.result(f"{'WRONG' if one.wrong else 'note'} ({one.topic}): {one.text}")
        count = sum(one.wrong for one in found.findings)
        verdict = "as it was written" if found.whole else f"NOT as it was written: {count} finding{'s'[: count != 1]}"
        output.result(
            f"{found.what}: {verdict}. {found.files} files and {found.numbers} numbers were checked (tolerance "
            f"{TOLERANCE:g} of each number)."
        )
        if not found.whole:
            output.result("Do not rely on it: take it from a copy that is whole, or make it again from its inputs.")
    return 0 if found.whole else WRONG


def _export(path: Path, output: Output) -> int:
    """Verify a folder of exported DICOM; a rerun, a bundle or inputs have nothing to do with it."""
    try:
        found = verify_export(path)
    except UnreadableFileError as error:
        finding = {"topic": FILE, "wrong": True, "text": str(error)}
        output.show({"what": path.name, "whole": False, "findings": [finding]}, f"WRONG ({FILE}): {error}")
        return WRONG
    data = {"what": path.name, "whole": True, "files": found.objects, "listed": found.listed, "findings": []}
    output.show(data, f"{path.name}: {found.text}.")
    return 0


def _again(path: Path, inputs: list[Path], arguments: argparse.Namespace, output: Output, found: Verified) -> None:
    """Make a plan again and compare."""
    if not path.is_dir():
        found.remark(RERUN, "Only the folder of a plan can be made again.")
        return
    document = PlanFolder(path).read(verify="plan")
    with tempfile.TemporaryDirectory(prefix="mewm-verify-") as folder:
        out = Path(folder) / "again"
        places = {
            key: file
            for key, one in document.inputs.items()
            for place in (path.parent, *inputs)
            if (file := (place / Path(one.name).name).absolute()).is_file()
        }
        try:
            job = job_again(path, document, places, arguments.bundle, out)
            with output.progress(kind_of(job.kind).stage_title) as show:
                runner.run(job, show, command=arguments.worker)
        except MeWMError as error:
            found.wrong(RERUN, f"The plan could not be made again: {error}")
            return
        count, wrong, remarks = compared(path, out)
    found.numbers += count
    for one in wrong:
        found.wrong(RERUN, one.text)
    for text in remarks:
        found.remark(RERUN, text)
