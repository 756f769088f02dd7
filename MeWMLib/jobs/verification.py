"""`mewm verify`: is a result as it was written, do its numbers follow from its files, and what was it computed from?

Every file of a plan's folder is named with its SHA-256 in plan.json (what the plan wrote) or in run.json (what was made
of the plan); these two carry checksums of themselves. So a changed bit, a file too many, too few or under another
name is found. What is measured again, and how exactly, is `jobs.verified_numbers`.
"""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import MeWMLib
from MeWMLib.core import bundles
from MeWMLib.core.errors import InputError, MeWMError, UnreadableFileError
from MeWMLib.core.image_files import read_image_file
from MeWMLib.core.inputs_used import InputUsed
from MeWMLib.core.io import IMAGE_SUFFIXES
from MeWMLib.core.plan_document import BundleFacts
from MeWMLib.core.plan_folder import JOURNAL, MADE_FROM, PLAN, RUN, PlanFolder
from MeWMLib.core.sealed import FILES, read_sealed, sha256_of
from MeWMLib.jobs.verified_numbers import Wrong, assessed_numbers, plan_numbers
from MeWMLib.planning import journal

#: Topics of findings.
FILE, NUMBER, BUNDLE, INPUT, VERSION, RERUN = "file", "number", "bundle", "input", "version", "rerun"
#: So many folders beside a result are looked into for its inputs.
_NEARBY = 100


@dataclass(frozen=True)
class Finding:
    """One thing that was found.

    Attributes:
        topic: `FILE`, `NUMBER`, `BUNDLE`, `INPUT`, `VERSION` or `RERUN`.
        wrong: the result is not as it was written, or a number does not follow; else a remark.
        text: one sentence.
    """

    topic: str
    wrong: bool
    text: str


@dataclass
class Verified:
    """What was verified.

    Attributes:
        what: the folder or file.
        files, numbers: how many were checked.
        findings: in the order of checking.
    """

    what: str
    files: int = 0
    numbers: int = 0
    findings: list[Finding] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        """True if nothing is wrong."""
        return not any(one.wrong for one in self.findings)

    def wrong(self, topic: str, text: str) -> None:
        """Note something that is wrong."""
        self.findings.append(Finding(topic, True, text))

    def remark(self, topic: str, text: str) -> None:
        """Note something that could not be checked, or that a reader should know."""
        self.findings.append(Finding(topic, False, text))


def verify(path: Path, inputs: Sequence[Path] = (), bundle: str | None = None) -> Verified:
    """Verify a result.

    Args:
        path: the folder of a plan, the JSON file of an assessment, or an image or label file that MeWM wrote.
        inputs: folders where the files that it was computed from are looked for, beside those of the result itself.
        bundle: name or folder of the bundle that is compared; by default the one of the name that the result says.

    Raises:
        InputError: there is nothing that MeWM writes.
    """
    found = Verified(path.name or str(path))
    if path.is_dir():
        _folder(path, inputs, bundle, found)
    elif not path.is_file():
        raise InputError(what="There is no such file or folder", given=str(path), remedy="Check the path")
    elif path.name.lower().endswith(".json"):
        _assessment(path, inputs, bundle, found)
    elif path.name.lower().endswith(IMAGE_SUFFIXES):
        _image(path, found)
    else:
        raise InputError(
            what="This is nothing that mewm verify knows",
            given=path.name,
            remedy="Give the folder of a plan, the JSON file of an assessment, or an image that MeWM wrote",
        )
    return found


def _folder(path: Path, inputs: Sequence[Path], bundle: str | None, found: Verified) -> None:
    folder = PlanFolder(path)
    if not (path / PLAN).is_file():
        raise InputError(
            what="There is no plan in this folder", given=str(path), remedy="Give a folder that mewm plan wrote"
        )
    document, made, listed, run_known = None, {}, {}, True
    found.files += 1
    try:
        document = folder.read(verify="none")
        listed = dict(document.files_sha256)
    except UnreadableFileError as error:
        found.wrong(FILE, f"{PLAN} is not as it was written: {error.what}.")
    if (path / RUN).is_file():
        found.files += 1
        try:
            run = folder.read_run()
            made = dict(run.get(FILES, {}))
            if document is not None and run.get(MADE_FROM, sha256_of(path / PLAN)) != sha256_of(path / PLAN):
                found.wrong(
                    FILE, f"Report, pictures and scene were made from another {PLAN}: one of the two was replaced."
                )
        except UnreadableFileError as error:
            run_known = False
            found.wrong(FILE, f"{RUN} is not as it was written: {error.what}.")
    elif document is not None and not document.plan.cancelled:
        found.wrong(FILE, f"{RUN} is missing.")
    if document is not None:
        named = set(document.file_names)
        for name in sorted(named - set(listed)):
            found.remark(FILE, f"{name} has no checksum: it was written by an older version.")
            made.setdefault(name, "")
    _compare(path, {**listed, **made}, found, known=document is not None and run_known)
    if document is None:
        found.remark(NUMBER, f"No number was measured again, since {PLAN} cannot be trusted.")
        return
    _bundle(document.bundle, bundle, found)
    _versions(document.versions, found)
    _inputs(document.inputs, [path, path.parent, *inputs], _nearby(path), found)
    if any(one.wrong and one.topic == FILE for one in found.findings):
        found.remark(NUMBER, "No number was measured again, since the files are not as they were written.")
    else:
        _told(found, plan_numbers(folder, document))


def _compare(path: Path, sums: dict[str, str], found: Verified, known: bool) -> None:
    """Files of a folder against their checksums."""
    there = {file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()} - {PLAN, RUN}
    system = {name for name in there if _of_the_system(name)} - set(sums)
    for name in sorted(system):
        found.remark(FILE, f"{name} is no file of this result: file browsers leave such files.")
    there -= system
    unlisted = sorted(there - set(sums) - {JOURNAL})
    if unlisted and not known:
        found.remark(
            FILE, f"{len(unlisted)} files could not be checked, as the file that lists them cannot be trusted."
        )
    gone = {name: digest for name, digest in sums.items() if name not in there}
    for name in sorted(there & set(sums)):
        found.files += 1
        if sums[name] and sha256_of(path / name) != sums[name]:
            found.wrong(FILE, f"{name} is not as it was written: its checksum is wrong.")
    for name in sorted(there - set(sums)):
        if name == JOURNAL:
            found.files += 1
            if not journal.is_whole(path / name):
                found.wrong(FILE, f"{name}, the journal of a stopped search, is not as it was written.")
            continue
        if not known:
            continue
        digest = sha256_of(path / name)
        former = next((old for old, one in gone.items() if one == digest), None)
        if former is None:
            found.wrong(FILE, f"{name} is no file of this result: it was put there later.")
        else:
            del gone[former]
            found.wrong(FILE, f"{former} was renamed to {name}.")
    for name in sorted(gone):
        found.wrong(FILE, f"{name} is missing.")


def _of_the_system(name: str) -> bool:
    """True for what file browsers of Windows and macOS leave in folders."""
    last = name.rsplit("/", 1)[-1]
    return last.lower() in {".ds_store", "thumbs.db", "desktop.ini"} or last.startswith("._")


def _assessment(path: Path, inputs: Sequence[Path], bundle: str | None, found: Verified) -> None:
    found.files += 1
    try:
        data = read_sealed(path, "The result", "Run the job again")
    except UnreadableFileError as error:
        found.wrong(FILE, f"{path.name} is not as it was written: {error.what}.")
        return
    if not isinstance(data, dict) or "registration" not in data or FILES not in data:
        raise InputError(
            what="This JSON file is no assessment with checksums",
            given=path.name,
            remedy="Give the file that mewm assess of this version wrote, or the folder of a plan",
        )
    for name, digest in data[FILES].items():
        beside = path.parent / Path(name).name
        found.files += 1
        if not beside.is_file():
            found.wrong(FILE, f"{name} is missing.")
        elif sha256_of(beside) != digest:
            found.wrong(FILE, f"{name} is not as it was written: its checksum is wrong.")
    facts = data.get("bundle") or {}
    _bundle(BundleFacts(str(facts.get("name", "")), str(facts.get("sha256", ""))), bundle, found)
    _versions(data.get("versions") or {}, found)
    used = {key: InputUsed(**one) for key, one in (data.get("inputs") or {}).items()}
    places = _inputs(used, [path.parent, *inputs], _nearby(path), found)
    _told(found, assessed_numbers(data, places))


def _image(path: Path, found: Verified) -> None:
    found.files += 1
    try:
        file = read_image_file(path)
    except MeWMError as error:
        found.wrong(FILE, f"{path.name} cannot be read: {error.what}.")
        return
    if path.name.lower().endswith((".nrrd", ".mha", ".nii.gz")) and _sealed(path):
        mark = "a SIMULATED volume" if file.metadata.get("MeWM_SIMULATED") == "1" else "an image"
        found.remark(FILE, f"{path.name} is {mark} as MeWM wrote it: its checksum is right.")
    else:
        found.wrong(FILE, f"{path.name} carries no checksum of MeWM: nobody can tell whether it was changed.")


def _sealed(path: Path) -> bool:
    with path.open("rb") as file:
        return b"MeWM, SHA-256 of all other bytes: " in file.read(1 << 10)


def _bundle(facts: BundleFacts, given: str | None, found: Verified) -> None:
    try:
        bundle = bundles.find_bundle(given or facts.name or None)
    except MeWMError as error:
        found.remark(BUNDLE, f"The bundle {facts.name} cannot be compared: {error.what}.")
        return
    if bundle.sha256 == facts.sha256:
        found.remark(BUNDLE, f"The bundle {facts.name} is here, every part of it as it was used.")
        return
    text = f"The bundle {bundle.name} is another one ({bundle.sha256[:12]}...) than was used ({facts.sha256[:12]}...)"
    if given:
        found.wrong(BUNDLE, f"{text}.")
    else:
        found.remark(BUNDLE, f"{text}: give the one that was used with --bundle.")


def _versions(then: dict[str, str], found: Verified) -> None:
    """Compare versions of packages with those that are installed here."""
    differ = []
    for name, value in then.items():
        here = _installed(name)
        if here and here != value:
            differ.append(f"{name} {value} (here {here})")
    if differ:
        found.remark(VERSION, f"It was computed with other versions: {', '.join(differ)}.")
    elif then:
        found.remark(VERSION, "The versions are those of this installation.")


def _installed(name: str) -> str:
    """Version of what a result names; "" where it is not here or no package."""
    if name == "python":
        return platform.python_version()
    if name == "mewm":
        return MeWMLib.__version__
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _nearby(path: Path) -> list[Path]:
    """Folders that may hold an input, though nobody said so: the current one, and those beside the result."""
    beside = sorted(one for one in path.absolute().parent.iterdir() if one.is_dir())
    return [Path.cwd(), *beside[:_NEARBY]]


def _inputs(
    used: dict[str, InputUsed], where: Sequence[Path], nearby: Sequence[Path], found: Verified
) -> dict[str, Path]:
    """Look for the inputs by name, since a result keeps no paths; returns those that are the same.

    A file in `where` that differs is wrong. One in `nearby` is only told where it is the same: it may be a file of
    another patient.
    """
    places = {}
    for key, one in used.items():
        if not one.sha256:
            found.remark(
                INPUT, f"{one.name} ({key}) is a sample or a folder: its voxels are compared in the folder alone."
            )
            continue
        files = [file for folder in where if (file := folder / Path(one.name).name).is_file()]
        further = [file for folder in nearby if (file := folder / Path(one.name).name).is_file()]
        same = next((file for file in [*files, *further] if sha256_of(file) == one.sha256), None)
        if same is not None:
            places[key] = same
            found.remark(INPUT, f"{one.name} ({key}) is the file that was used.")
        elif files:
            found.wrong(INPUT, f"{one.name} ({key}) is another file than the one that was used.")
        else:
            found.remark(
                INPUT,
                f"{one.name} ({key}) was not found here or beside the result, which keeps its name and no path. Give "
                "the folder that holds it: --inputs FOLDER.",
            )
    return places


def _told(found: Verified, result: tuple[int, list[Wrong], list[str]]) -> None:
    count, wrong, remarks = result
    found.numbers += count
    for one in wrong:
        found.wrong(NUMBER, one.text)
    for text in remarks:
        found.remark(NUMBER, text)
