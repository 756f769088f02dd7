"""The arguments of each command; every command's help shows one example.

The help of `mewm` itself needs the names of the commands only, so the arguments of a command are added when it was
chosen, and the module that runs it is imported after that.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import MeWMLib
from MeWMLib.cli.exchange_commands import EXCHANGE
from MeWMLib.cli.server_commands import SERVER
from MeWMLib.core.devices import DEVICES
from MeWMLib.jobs.table import KINDS, JobKind

_SETTINGS = {
    "search": "how protocols are searched; beam is Algorithm 1 of the paper, in the free space",
    "space": "protocols that are given, with doses, or all combinations of agents without doses or weights",
    "beams": "B, parallel protocols",
    "drugs": "D, drugs that the policy proposes",
    "embolics": "E, embolics that the policy proposes",
    "drug_horizon": "Hd, most drugs in a protocol; 2 in the free space",
    "embolic_horizon": "He, most embolics in a protocol",
    "replicas": "T, simulations of each protocol",
    "steps": "sampling steps of the dynamics model",
    "guidance": "classifier-free guidance; 1 means none",
    "weeks": "from treatment to the simulated scan; for a dynamics model on coarse maps",
    "judge": "what the risk goes by: the simulated image, the same with the outline that the segmenter sees in it, or "
    "what the model predicts; for a dynamics model on coarse maps",
    "keep": "how many of the best are written as volumes",
    "dose_levels": "doses of each agent that a second stage tries for the best; 0 leaves doses out",
    "toxicity_weight": "added to the log-risk for each clinical rule that warns of a protocol; 0 in the free space",
    "complexity_weight": "added to the log-risk for each agent beyond two; 0 in the free space. Protocols are ranked "
    "by the risk plus these weights, so that the first need not have the lowest risk",
    "uncertainty_weight": "weight of the standard deviation over the replicas",
}
#: Commands that start a program of their own: what each can do.
_PARTS = {
    "cohort": ("synthesize", "counterfactual", "import", "download", "findings", "check", "split", "page"),
    "train": (
        "cohort",
        "maps-cohort",
        "autoencoder",
        "dynamics",
        "ablations",
        "segmenter",
        "assistant",
        "assistant-data",
        "survival",
        "bundle",
    ),
    "evaluate": (
        "generation",
        "planning",
        "real-pair",
        "real-pairs",
        "look",
        "two-sample",
        "codecs",
        "policy",
        "public-cohort",
        "response",
        "survival",
        "segmentation",
        "registration",
        "comparisons",
        "closed-loop",
        "fast-plans",
    ),
    "study": ("simulate", "make", "score", "planning-make", "planning-score", "size"),
}
_JOB, _PROGRAM = "MeWMLib.cli.jobs:run", "MeWMLib.cli.housekeeping:program"
#: Arguments of `add_argument`.
Option = tuple[tuple[str, ...], dict[str, Any]]


class Command(NamedTuple):
    """A command that runs no job: the function that does it as "module:function", what it does, and an example."""

    name: str
    run: str
    help: str
    example: str
    options: tuple[Option, ...]


def _option(*names: str, **more: Any) -> Option:
    return names, more


def _program_options(name: str, **part: Any) -> tuple[Option, ...]:
    rest = _option("rest", nargs=argparse.REMAINDER, metavar="...", help=f"see `mewm {name} --help`")
    return _option("part", **part), rest


_MAX_GIB = _option(
    "--max-gib", metavar="N", help="largest image that is read, in GiB of voxels (default 2, or MEWM_MAX_GIB)"
)
_JSON = _option("--json", action="store_true", help="print the result as JSON, and nothing else")
_NO_VOLUMES = _option(
    "--no-volumes", action="store_true", help="leave the CT and the simulated volumes out of report.html"
)
_COMMANDS = (
    Command(
        "rules",
        "MeWMLib.cli.policy:rules",
        "say which clinical rules a protocol touches and why, or list them",
        'mewm rules check "Cisplatin 60 mg + Lipiodol 10 ml"',
        (
            _option("action", choices=("check", "list")),
            _option("protocol", nargs="?", metavar="PROTOCOL", help="agents with optional doses, joined by +"),
            _option("--clinical", metavar="JSON", help="file with clinical data, such as child_pugh_class"),
            _option("--partial", action="store_true", help="do not ask for a drug and an embolic agent"),
            _option("--rules", metavar="FILE", help="rules of your own instead of those of MeWM"),
            _JSON,
        ),
    ),
    Command(
        "clinical",
        "MeWMLib.cli.clinical:clinical",
        "print a form for clinical data, its JSON schema, or how a file is read (docs/CLINICAL.md)",
        "mewm clinical template",
        (
            _option("action", choices=("template", "schema", "check")),
            _option("file", nargs="?", metavar="FILE", help="the file to check, or a new one to write to"),
            _JSON,
        ),
    ),
    Command(
        "report",
        "MeWMLib.cli.policy:report",
        "read a TACE operation report: agents, doses, routes, territory, attenuation level, and what is not read",
        "mewm report parse report.txt --json",
        (
            _option("action", choices=("parse",)),
            _option("file", metavar="FILE", help="text file in UTF-8; - reads standard input"),
            _option("--endpoint", metavar="NAME", help="let this language model read it too, and show differences"),
            _option("--preview", metavar="FILE", help="send nothing: write the exact bytes that would be sent"),
            _JSON,
        ),
    ),
    Command(
        "endpoint",
        "MeWMLib.cli.policy:endpoint",
        "list language-model endpoints, agree to one or take it back, show what was sent when",
        "mewm endpoint allow llama-cpp",
        (
            _option("action", choices=("list", "allow", "revoke", "audit", "forget")),
            _option("name", nargs="?", metavar="NAME", help="name of the endpoint"),
            _option("--yes", action="store_true", help="agree without being asked"),
            _JSON,
        ),
    ),
    Command(
        "sample",
        "MeWMLib.cli.housekeeping:sample",
        "write a sample case as files, or list the samples",
        "mewm sample lits-117 --out out/lits-117",
        (
            _option("name", nargs="?", metavar="NAME", help="without it the samples are listed"),
            _option("--out", metavar="DIR", help="folder to write ct.nrrd and labels.seg.nrrd into"),
        ),
    ),
    Command(
        "render",
        "MeWMLib.cli.pictures:render",
        "make the report and the scene of an existing plan again",
        "mewm render out/plan --no-scene",
        (
            _option("folder", metavar="DIR", help="folder that `mewm plan` or `mewm simulate` wrote"),
            _option("--no-report", action="store_true", help="leave out report.html and the pictures"),
            _option("--no-scene", action="store_true", help="leave out scene.mrb"),
            _NO_VOLUMES,
            _option("--quiet", action="store_true", help="no progress"),
        ),
    ),
    *(Command(*one) for one in EXCHANGE),
    Command(
        "verify",
        "MeWMLib.cli.verify:run",
        "check that a result is as it was written, and that its numbers follow from its files",
        "mewm verify out/plan",
        (
            _option("path", metavar="PATH", help="folder of a plan, JSON file of an assessment, or an image of MeWM"),
            _option("--inputs", metavar="DIR", action="append", help="folder with files that it was computed from"),
            _option("--rerun", action="store_true", help="also make the plan again and compare"),
            _option("--bundle", metavar="B", help="name or folder of the bundle that was used"),
            _option("--quiet", action="store_true", help="no progress"),
            _JSON,
        ),
    ),
    Command(
        "doctor",
        "MeWMLib.cli.doctor:run",
        "say what is installed, what is missing and how to get it",
        "mewm doctor --json",
        (_JSON,),
    ),
    *(Command(*one) for one in SERVER),
    Command(
        "bundle",
        "MeWMLib.cli.housekeeping:bundle",
        "list, verify, import, delete, fetch model bundles, or export one for MONAI",
        "mewm bundle import mewm-large.zip",
        (
            _option("action", choices=("list", "verify", "import", "delete", "fetch", "export-monai")),
            _option("name", nargs="?", metavar="NAME", help="name, folder, or the .zip to import"),
            _option("--list", metavar="FILE|URL", help="fetch: list of bundles with addresses and checksums"),
            _option("--out", metavar="DIR", help="export-monai: new folder"),
            _option("--label", action="store_true", help="export-monai: weights for MONAI Label too (a pickle)"),
            _JSON,
        ),
    ),
    Command(
        "plan-cohort",
        _PROGRAM,
        "plan every patient of a folder, also on several processes or computers (arguments go to the program)",
        "mewm plan-cohort out/cohort --out out/plans --engine worker --workers 2",
        _program_options("plan-cohort", metavar="DIR", help="a sub-folder with pre.nrrd for each patient"),
    ),
    Command(
        "reproduce",
        _PROGRAM,
        "the paper's tables and figures on a cohort on disk, in one page (arguments go to the program)",
        "mewm reproduce --cohort out/cohort --out out/reproduce",
        _program_options("reproduce", metavar="--cohort DIR --out DIR", help="what, and where to"),
    ),
    Command(
        "cohort",
        _PROGRAM,
        "write synthetic patients, import DICOM folders, check, split and describe a cohort, measure lesions",
        "mewm cohort synthesize --n 60 --split test --out out/cohort",
        _program_options("cohort PART", choices=_PARTS["cohort"]),
    ),
    Command(
        "train",
        _PROGRAM,
        "train one part on drawn patients or on a cohort (arguments go to the training program)",
        "mewm train dynamics --help",
        _program_options("train PART", choices=_PARTS["train"]),
    ),
    Command(
        "evaluate",
        _PROGRAM,
        "measure a bundle (arguments go to the evaluation program)",
        "mewm evaluate generation --cohort out/cohort --out out/generation",
        _program_options("evaluate PART", choices=_PARTS["evaluate"]),
    ),
    Command(
        "study",
        _PROGRAM,
        "make and score reader studies: can readers tell simulated scans, do they choose better with MeWM",
        "mewm study make --cohort out/cohort --simulated mewm=out/plans --out out/study",
        _program_options("study PART", choices=_PARTS["study"]),
    ),
)


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the arguments; argparse ends the process with 2 and one sentence if they are wrong.

    Returns:
        the arguments; `command` names the function to call as "module:function".
    """
    # everything after `mewm train PART` belongs to the training program, its --help too
    if len(argv) > 1 and (argv[0] in ("plan-cohort", "reproduce") or argv[1] in _PARTS.get(argv[0], ())):
        limit, rest = _limit_in(argv[2:])
        return argparse.Namespace(command=_PROGRAM, program=argv[0], part=argv[1], rest=rest, max_gib=limit)
    parser = argparse.ArgumentParser(
        prog="mewm",
        description="MeWM simulates a liver tumour's CT after TACE, assesses it by survival analysis and searches "
        "for the protocol of lowest predicted risk. Research use only.",
        epilog="example: mewm plan sample:lits-117 --out out/demo",
    )
    parser.add_argument("--version", action="version", version=f"mewm {MeWMLib.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    chosen = next((word for word in argv if not word.startswith("-")), "")
    for kind in KINDS.values():
        sub = _command(commands, kind.name, _JOB, kind.help, kind.example)
        if kind.name == chosen:
            _job(sub, kind)
    for command in _COMMANDS:
        sub = _command(commands, command.name, command.run, command.help, command.example)
        for names, more in command.options if command.name == chosen else ():
            sub.add_argument(*names, **more)
    return parser.parse_args(argv)


def _limit_in(words: Sequence[str]) -> tuple[str | None, list[str]]:
    """The one option that a program shares with the other commands, and the words that are left to the program."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, argument_default=None)
    names, more = _MAX_GIB
    parser.add_argument(*names, **more)
    found, rest = parser.parse_known_args(list(words))
    return found.max_gib, rest


def _command(commands: Any, name: str, run: str, text: str, example: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=text, description=f"{text[0].upper()}{text[1:]}.", epilog=f"example: {example}"
    )
    parser.set_defaults(command=run, program=name)
    return parser


def _job(parser: argparse.ArgumentParser, kind: JobKind) -> None:
    """The arguments of a job: its inputs, its output, the machine, its settings."""
    parser.set_defaults(kind=kind.name, json=False)
    for entry in kind.inputs:
        if entry.type in ("on", "off"):
            parser.add_argument(entry.option, dest=entry.name, action="store_true", help=entry.help)
        elif entry.option:
            parser.add_argument(entry.option, required=entry.required, metavar=entry.metavar, help=entry.help)
        else:
            parser.add_argument(entry.name, metavar=entry.metavar, help=entry.help)
    if kind.output is not None:
        metavar = "DIR" if kind.output.is_folder else "FILE"
        parser.add_argument("--out", required=kind.output.required, metavar=metavar, help=kind.output.help)
    if any(entry.type == "clinical" for entry in kind.inputs):
        text = "take age, sex or both from the DICOM headers where --clinical does not give them, such as age,sex"
        parser.add_argument("--from-dicom", metavar="WHAT", help=text)
    parser.add_argument("--seed", type=int, default=0, help="seed of every random draw (default 0)")
    parser.add_argument("--device", default="auto", choices=DEVICES, help="where networks run")
    parser.add_argument("--bundle", metavar="B", help="name or folder of a model bundle (default mewm-small)")
    names, more = _MAX_GIB
    parser.add_argument(*names, **more)
    parser.add_argument("--quiet", action="store_true", help="no progress")
    group = parser.add_argument_group("on a server (docs/SERVER.md)")
    group.add_argument("--server", metavar="URL", help="compute on this MeWM server; the CT is sent there")
    group.add_argument("--token-file", metavar="F", help="file with its token (default: MEWM_SERVER_TOKEN, keyring)")
    group.add_argument("--yes-send-images", action="store_true", help="agree to that without being asked")
    if kind.output is not None and kind.output.is_folder:
        parser.add_argument("--no-report", action="store_true", help="write no report.html")
        parser.add_argument("--no-scene", action="store_true", help="write no scene.mrb")
        names, more = _NO_VOLUMES
        parser.add_argument(*names, **more)
        formats = ("nrrd", "nifti", "mha")  # of `core.copies`, which the help need not load
        parser.add_argument("--format", choices=formats, default="nrrd", help="a copy of the volumes in another format")
    else:
        names, more = _JSON
        parser.add_argument(*names, **more)
    if kind.settings:
        _settings(parser, kind.settings)


def _settings(parser: argparse.ArgumentParser, names: Sequence[str]) -> None:
    from MeWMLib.core.plan import JUDGES, SEARCH_NAMES, SPACES, PlanSettings

    choices = {"search": SEARCH_NAMES, "space": SPACES, "judge": JUDGES}

    group = parser.add_argument_group("settings (a letter is that of Algorithm 1 of the paper)")
    for name in names:
        default = getattr(PlanSettings(), name)
        if name in choices:
            group.add_argument(f"--{name}", choices=choices[name], help=f"{_SETTINGS[name]} (default {default})")
        else:
            flag, text = "--" + name.replace("_", "-"), f"{_SETTINGS[name]} (default {default:g})"
            group.add_argument(flag, type=_finite if isinstance(default, float) else int, metavar="N", help=text)


def _finite(text: str) -> float:
    """A number of the command line; "nan" and "inf" are none that a setting may have."""
    number = float(text)
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError("not a finite number: " + text)
    return number
