"""The commands around the method: sample, bundle, train, evaluate."""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

from rich.table import Table

from MeWMLib.cli.output import Output
from MeWMLib.core import bundles, io
from MeWMLib.core.errors import DependencyError, InputError
from MeWMLib.jobs.runner import child_environment


def sample(arguments: argparse.Namespace, output: Output) -> int:
    """`mewm sample`: write a sample as files, or list the samples."""
    from MeWMLib.cohorts import samples

    if arguments.name is None:
        table = Table(title="Samples")
        table.add_column("Name", no_wrap=True)
        table.add_column("What", overflow="fold")
        for name, info in samples.SAMPLES.items():
            output.row(table, name, info.title)
        output.table(table)
        output.result("Use one as sample:NAME, or write it as files with `mewm sample NAME --out DIR`.")
        return 0
    if not arguments.out:
        raise InputError(what="No folder was given", remedy="Give one with --out")
    name = arguments.name.removeprefix("sample:")
    if not samples.terms_shown(name):
        output.notice(samples.SAMPLES[name].terms)
        samples.mark_terms_shown(name)
    found = samples.load_sample(name, progress=output.say)
    folder = Path(arguments.out)
    io.write_volume(found.ct, folder / "ct.nrrd")
    output.result(f"Written: {folder / 'ct.nrrd'}")
    io.write_labels(found.labels, folder / "labels.seg.nrrd")
    output.result(f"Written: {folder / 'labels.seg.nrrd'}")
    return 0


def bundle(arguments: argparse.Namespace, output: Output) -> int:
    """`mewm bundle list|verify|import|delete`."""
    action, name = arguments.action, arguments.name
    if action in ("import", "delete") and not name:
        raise InputError(what=f"`mewm bundle {action}` needs a name", remedy="See `mewm bundle --help`")
    if action == "list":
        return _list(output)
    if action == "delete":
        folder = bundles.delete_bundle(name)
        if not output.json({"deleted": str(folder)}):
            output.result(f"Deleted: {folder}")
        return 0
    found = bundles.import_bundle(name) if action == "import" else bundles.find_bundle(name)
    if not output.json(_described(found)):
        output.result(f"{found.name}: every checksum is right ({found.path})")
        for part, checksum in found.part_sha256.items():
            output.result(f"  {part:<12} {checksum}")
        output.result(f"  {'bundle':<12} {found.sha256}")
    return 0


def _described(found: bundles.Bundle) -> dict[str, Any]:
    return {"name": found.name, "path": str(found.path), "sha256": found.sha256, "parts": found.part_sha256}


def _list(output: Output) -> int:
    found = bundles.list_bundles()
    if output.json([{"name": name, "path": str(path)} for name, path in found]):
        return 0
    table = Table(title="Model bundles (unverified; see `mewm bundle verify NAME`)")
    table.add_column("Name", no_wrap=True)
    table.add_column("Folder", overflow="fold")
    for name, path in found:
        output.row(table, name + (" (default)" if name == bundles.DEFAULT_BUNDLE else ""), str(path))
    output.table(table)
    if not found:
        output.result("None was found. Looked in: " + ", ".join(str(p) for p in bundles.search_path()))
    return 0


#: Modules of the programs; nobody imports them, so that the command line stays light.
_MODULES = {
    "cohort": "MeWMLib.cohorts",
    "cohort synthesize": "MeWMLib.lab.synthetic",
    "cohort counterfactual": "MeWMLib.lab.synthetic",
    "train": "MeWMLib.lab.training",
    "evaluate": "MeWMLib.lab.evaluation",
    "plan-cohort": "MeWMLib.jobs.plan_cohort",
}


def program(arguments: argparse.Namespace, output: Output) -> int:
    """`mewm cohort`, `train`, `evaluate` and `plan-cohort`: a program of its own in a process of its own.

    Raises:
        DependencyError: the program belongs to the lab, which is not installed.
    """
    name = f"{arguments.program} {arguments.part}"
    module = _MODULES.get(name) or _MODULES[arguments.program]
    if module.startswith("MeWMLib.lab") and importlib.util.find_spec("MeWMLib.lab") is None:
        raise DependencyError(
            what="This command belongs to the research part of MeWM, which is not installed here",
            given=f"mewm {name}",
            remedy='Install the library with: pip install "mewm[lab]"',
        )
    rest = [a for a in arguments.rest if a != "--"]
    command = [sys.executable, "-m", module, arguments.part, *rest]
    # same terminal, same process group: Ctrl-C reaches the program itself, which knows how to stop
    process = subprocess.Popen(command, env=child_environment())
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            output.say("Stopping.")
