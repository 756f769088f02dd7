"""The commands around the method: sample, bundle, train, evaluate."""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
from pathlib import Path

from MeWMLib.cli.output import Output
from MeWMLib.core import bundles, io
from MeWMLib.core.errors import DependencyError, InputError, install_command
from MeWMLib.jobs.processes import child_environment


def sample(arguments: argparse.Namespace, output: Output) -> int:
    """`mewm sample`: write a sample as files, or list the samples."""
    from MeWMLib.cohorts import samples

    if arguments.name is None:
        output.rows("Samples", ("Name", "What"), [(name, info.title) for name, info in samples.SAMPLES.items()])
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
    written = [("ct.nrrd", "labels.seg.nrrd", found.ct, found.labels)]
    if name in samples.TREATED:
        after = samples.load_treated(name)
        written.append(("after.nrrd", "after.seg.nrrd", after.ct, after.labels))
    for ct, labels, volume, outline in written:
        io.write_volume(volume, folder / ct)
        output.result(f"Written: {folder / ct}")
        io.write_labels(outline, folder / labels)
        output.result(f"Written: {folder / labels}")
    if name in samples.TREATED:
        output.result(
            f"after.nrrd is {after.weeks:.0f} weeks after {after.protocol}. Judge it with `mewm assess "
            f"{folder / 'ct.nrrd'} --labels {folder / 'labels.seg.nrrd'} --post {folder / 'after.nrrd'} "
            f"--post-labels {folder / 'after.seg.nrrd'}`, or at once with `mewm assess sample:{name} --post "
            f"sample:{name}`."
        )
    return 0


def bundle(arguments: argparse.Namespace, output: Output) -> int:
    """`mewm bundle list|verify|import|delete|fetch|export-monai`."""
    action, name = arguments.action, arguments.name
    if action == "fetch":
        return _fetch(arguments, output)
    if action == "export-monai":
        return _export_monai(arguments)
    if action in ("import", "delete") and not name:
        raise InputError(what=f"`mewm bundle {action}` needs a name", remedy="See `mewm bundle --help`")
    if action == "list":
        return _list(output)
    if action == "delete":
        folder = bundles.delete_bundle(name)
        output.show({"deleted": str(folder)}, f"Deleted: {folder}")
        return 0
    found = bundles.import_bundle(name) if action == "import" else bundles.find_bundle(name)
    parts = found.part_sha256
    output.show(
        {"name": found.name, "path": str(found.path), "sha256": found.sha256, "parts": parts},
        f"{found.name}: every checksum is right ({found.path})",
        *(f"  {part:<12} {checksum}" for part, checksum in [*parts.items(), ("bundle", found.sha256)]),
    )
    return 0


def _list(output: Output) -> int:
    found = bundles.list_bundles()
    if output.json([{"name": name, "path": str(path)} for name, path in found]):
        return 0
    default = {bundles.DEFAULT_BUNDLE: " (default)"}
    rows = [(name + default.get(name, ""), str(path)) for name, path in found]
    output.rows("Model bundles (unverified; see `mewm bundle verify NAME`)", ("Name", "Folder"), rows)
    if not found:
        output.result("None was found. Looked in: " + ", ".join(str(p) for p in bundles.search_path()))
    return 0


def _fetch(arguments: argparse.Namespace, output: Output) -> int:
    """List the bundles of a list, or fetch one of them."""
    from MeWMLib.core.bundle_list import fetch_bundle, read_list
    from MeWMLib.core.terminal import bars

    if not arguments.list:
        raise InputError(
            what="No list of bundles was given",
            remedy="Give its address or file with --list; MeWM publishes none yet, whoever trained a bundle can "
            "(docs/YOUR_COHORT.md)",
        )
    listed = read_list(arguments.list)
    if not arguments.name:
        if not output.json([one.__dict__ for one in listed]):
            rows = [(one.name, f"{one.bytes / 1e6:.1f} MB", one.licence, one.description) for one in listed]
            output.rows("Bundles of the list", ("Name", "Size", "Licence", "What"), rows)
        return 0
    one = next((one for one in listed if one.name == arguments.name), None)
    if one is None:
        known = ", ".join(one.name for one in listed)
        raise InputError(what="The list has no such bundle", given=arguments.name, remedy=f"It has: {known}")
    output.notice(f"{one.name}: {one.bytes / 1e6:.1f} MB, licence {one.licence}")
    with bars(quiet=arguments.json) as shown:
        found = fetch_bundle(one, shown.step)
    output.show(
        {"name": found.name, "path": str(found.path), "sha256": found.sha256, "licence": one.licence},
        f"{found.name}: fetched and verified ({found.path})",
    )
    return 0


def _export_monai(arguments: argparse.Namespace) -> int:
    """Write the segmenter of a bundle as a bundle of MONAI; networks are built in a process of their own."""
    if not arguments.out:
        raise InputError(what="No folder was given", remedy="Give one with --out")
    words = [*([arguments.name] if arguments.name else []), "--out", arguments.out, *["--label"] * arguments.label]
    command = [sys.executable, "-m", "MeWMLib.perception.monai_bundle", *words]
    return subprocess.run(command, env=child_environment(), check=False).returncode


#: Modules of the programs; nobody imports them, so that the command line stays light.
_MODULES = {
    "cohort": "MeWMLib.cohorts",
    "cohort download": "MeWMLib.lab.public",
    "cohort synthesize": "MeWMLib.lab.synthetic",
    "cohort counterfactual": "MeWMLib.lab.synthetic",
    "train": "MeWMLib.lab.training",
    "evaluate": "MeWMLib.lab.evaluation",
    "plan-cohort": "MeWMLib.lab.cohort_plans",
    "study": "MeWMLib.lab.reader_study",
    "reproduce": "MeWMLib.lab.reproduce",
}


def program_module(program: str, part: str) -> str:
    """The module that `mewm PROGRAM PART` runs."""
    return _MODULES.get(f"{program} {part}") or _MODULES[program]


def program(arguments: argparse.Namespace, output: Output) -> int:
    """`mewm cohort`, `train`, `evaluate`, `reproduce`, `study` and `plan-cohort`: a program in a process of its own.

    Raises:
        DependencyError: the program belongs to the lab, which is not installed.
    """
    module = program_module(arguments.program, arguments.part)
    if module.startswith("MeWMLib.lab") and importlib.util.find_spec("MeWMLib.lab") is None:
        raise DependencyError(
            what="This command belongs to the research part of MeWM, which is not installed here",
            given=f"mewm {arguments.program} {arguments.part}",
            remedy=f"Install the library with: {install_command('lab')}",
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
