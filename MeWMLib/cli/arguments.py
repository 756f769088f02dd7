"""The arguments of each command; every command's help shows one example.

The help of `mewm` itself needs the names of the commands only, so the arguments of a command are added when it was
chosen, and the module that runs it is imported after that.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import MeWMLib
from MeWMLib.core.devices import DEVICES
from MeWMLib.jobs.table import KINDS, JobKind

_SETTINGS = {
    "beams": "B, parallel protocols",
    "drugs": "D, drugs that the policy proposes",
    "embolics": "E, embolics that the policy proposes",
    "drug_horizon": "Hd, most drugs in a protocol",
    "embolic_horizon": "He, most embolics in a protocol",
    "replicas": "T, simulations of each protocol",
    "steps": "sampling steps of the dynamics model",
    "guidance": "classifier-free guidance; 1 means none",
    "keep": "how many of the best are written as volumes",
    "dose_levels": "doses of each agent that a second stage tries for the best; 0 leaves doses out",
    "toxicity_weight": "added to the log-risk for each clinical rule that warns of a protocol",
    "complexity_weight": "added to the log-risk for each agent beyond two",
    "uncertainty_weight": "weight of the standard deviation over the replicas",
}
#: Commands that start a program of their own: what each can do, an example, and what it is for.
_PROGRAMS = {
    "cohort": (
        ("synthesize", "counterfactual", "import", "download", "findings"),
        "mewm cohort synthesize --n 60 --split test --out out/cohort",
        "write synthetic patients, import DICOM folders, download a public collection, measure lesions",
    ),
    "train": (
        ("cohort", "autoencoder", "dynamics", "assistant", "assistant-data", "followup", "survival"),
        "mewm train dynamics --help",
        "train one part on the synthetic TACE world (arguments go to the training program)",
    ),
    "evaluate": (
        (
            "generation",
            "planning",
            "real-pair",
            "policy",
            "autoencoder",
            "survival",
            "segmentation",
            "registration",
            "closed-loop",
        ),
        "mewm evaluate generation --cohort out/cohort --out out/generation",
        "measure a bundle (arguments go to the evaluation program)",
    ),
}
_PROGRAM = "MeWMLib.cli.housekeeping:program"
Parser = argparse.ArgumentParser


class Command(NamedTuple):
    """A command: the function that runs it as "module:function", what it does, an example, what adds its arguments."""

    run: str
    help: str
    example: str
    add: Callable[[Parser], object]


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the arguments; argparse ends the process with 2 and one sentence if they are wrong.

    Returns:
        the arguments; `command` names the function to call as "module:function".
    """
    # everything after `mewm train PART` belongs to the training program, its --help too
    if len(argv) > 1 and (argv[0] == "plan-cohort" or argv[1] in _parts(argv[0])):
        return argparse.Namespace(command=_PROGRAM, program=argv[0], part=argv[1], rest=list(argv[2:]))
    parser = Parser(
        prog="mewm",
        description="MeWM simulates a liver tumour's CT after TACE, assesses it by survival analysis and searches "
        "for the protocol of lowest predicted risk. Research use only.",
        epilog="example: mewm plan sample:lits-117 --out out/demo",
    )
    parser.add_argument("--version", action="version", version=f"mewm {MeWMLib.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    chosen = next((word for word in argv if not word.startswith("-")), "")
    for command_name, command in _commands().items():
        description = f"{command.help[0].upper()}{command.help[1:]}."
        sub = commands.add_parser(
            command_name, help=command.help, description=description, epilog=f"example: {command.example}"
        )
        sub.set_defaults(command=command.run)
        if command_name == chosen:
            command.add(sub)
    return parser.parse_args(argv)


def _commands() -> dict[str, Command]:
    found = {
        name: Command("MeWMLib.cli.jobs:run", kind.help, kind.example, partial(_job, kind=kind))
        for name, kind in KINDS.items()
    }
    cohort_help = "plan every patient of a folder, also on several processes or computers (arguments go to the program)"
    cohort_example = "mewm plan-cohort out/cohort --out out/plans --engine worker --workers 2"
    found |= _COMMANDS
    found["plan-cohort"] = Command(_PROGRAM, cohort_help, cohort_example, _plan_cohort)
    for name, (_, example, text) in _PROGRAMS.items():
        found[name] = Command(_PROGRAM, text, example, partial(_program, name=name))
    return found


def _job(parser: Parser, kind: JobKind) -> None:
    """The arguments of a job: its inputs, its output, the machine, its settings."""
    parser.set_defaults(kind=kind.name, json=False)
    for entry in kind.inputs:
        if entry.type == "flag":
            parser.add_argument(entry.flag, dest=entry.name, action="store_true", help=entry.help)
        elif entry.flag:
            parser.add_argument(
                entry.flag, required=entry.required, default=entry.default, metavar=entry.metavar, help=entry.help
            )
        else:
            parser.add_argument(entry.name, metavar=entry.metavar, help=entry.help)
    if kind.output is not None:
        metavar = "DIR" if kind.output.is_folder else "FILE"
        parser.add_argument("--out", required=kind.output.required, metavar=metavar, help=kind.output.help)
    parser.add_argument("--seed", type=int, default=0, help="seed of every random draw (default 0)")
    parser.add_argument("--device", default="auto", choices=DEVICES, help="where networks run")
    parser.add_argument("--bundle", metavar="B", help="name or folder of a model bundle (default mewm-small)")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    group = parser.add_argument_group("on a server (docs/SERVER.md)")
    group.add_argument("--server", metavar="URL", help="compute on this MeWM server; the CT is sent there")
    group.add_argument("--token-file", metavar="F", help="file with its token (default: MEWM_SERVER_TOKEN, keyring)")
    group.add_argument("--yes-send-images", action="store_true", help="agree to that without being asked")
    if kind.output is not None and kind.output.is_folder:
        parser.add_argument("--no-report", action="store_true", help="write no report.html")
        parser.add_argument("--no-scene", action="store_true", help="write no scene.mrb")
    else:
        _json(parser)
    if kind.settings:
        _settings(parser, kind.settings)


def _settings(parser: Parser, names: Sequence[str]) -> None:
    from MeWMLib.core.plan import SEARCH_NAMES, PlanSettings

    group = parser.add_argument_group("settings (a letter is that of Algorithm 1 of the paper)")
    for name in names:
        default = getattr(PlanSettings(), name)
        if name == "search":
            group.add_argument("--search", choices=SEARCH_NAMES, help=f"default {default}")
        else:
            flag, text = "--" + name.replace("_", "-"), f"{_SETTINGS[name]} (default {default:g})"
            group.add_argument(flag, type=type(default), metavar="N", help=text)


def _json(parser: Parser) -> None:
    parser.add_argument("--json", action="store_true", help="print the result as JSON, and nothing else")


def _rules(parser: Parser) -> None:
    parser.add_argument("action", choices=("check", "list"))
    parser.add_argument("protocol", nargs="?", metavar="PROTOCOL", help="agents with optional doses, joined by +")
    parser.add_argument("--clinical", metavar="JSON", help="file with clinical data, such as child_pugh_class")
    parser.add_argument("--partial", action="store_true", help="do not ask for a drug and an embolic agent")
    parser.add_argument("--rules", metavar="FILE", help="rules of your own instead of those of MeWM")
    _json(parser)


def _report(parser: Parser) -> None:
    parser.add_argument("action", choices=("parse",))
    parser.add_argument("file", metavar="FILE", help="text file in UTF-8; - reads standard input")
    parser.add_argument("--endpoint", metavar="NAME", help="let this language model read it too, and show differences")
    parser.add_argument("--preview", metavar="FILE", help="send nothing: write the exact bytes that would be sent")
    _json(parser)


def _endpoint(parser: Parser) -> None:
    parser.add_argument("action", choices=("list", "allow", "revoke", "audit", "forget"))
    parser.add_argument("name", nargs="?", metavar="NAME", help="name of the endpoint")
    parser.add_argument("--yes", action="store_true", help="agree without being asked")
    _json(parser)


def _sample(parser: Parser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="without it the samples are listed")
    parser.add_argument("--out", metavar="DIR", help="folder to write ct.nrrd and labels.seg.nrrd into")


def _serve(parser: Parser) -> None:
    from MeWMLib.jobs.wire import DEFAULT_PORT

    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (default 127.0.0.1: this computer)")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help=f"default {DEFAULT_PORT}; 0 takes a free one")
    parser.add_argument(
        "--token-file", metavar="F", help="file with the token; else MEWM_SERVER_TOKEN, else one is made"
    )
    parser.add_argument("--data", metavar="DIR", help="folder for the jobs' files (default: in the user's data folder)")
    parser.add_argument("--max-jobs", type=int, default=1, metavar="N", help="jobs at a time (default 1)")
    parser.add_argument("--max-upload-mb", type=int, default=4096, metavar="N", help="largest job (default 4096)")
    parser.add_argument("--keep-minutes", type=float, default=60.0, metavar="N", help="data of ended jobs (default 60)")
    parser.add_argument("--certificate", metavar="PEM", help="serve HTTPS with this certificate")
    parser.add_argument("--key", metavar="PEM", help="key of the certificate")


def _bundle(parser: Parser) -> None:
    parser.add_argument("action", choices=("list", "verify", "import", "delete"))
    parser.add_argument("name", nargs="?", metavar="NAME", help="name, folder, or the .zip to import")
    _json(parser)


def _plan_cohort(parser: Parser) -> None:
    parser.set_defaults(program="plan-cohort")
    parser.add_argument("part", metavar="DIR", help="a sub-folder with pre.nrrd for each patient")
    parser.add_argument("rest", nargs=argparse.REMAINDER, metavar="...", help="see `mewm plan-cohort --help`")


def _parts(program: str) -> tuple[str, ...]:
    return _PROGRAMS[program][0] if program in _PROGRAMS else ()


def _program(parser: Parser, name: str) -> None:
    parser.set_defaults(program=name)
    parser.add_argument("part", choices=_parts(name))
    parser.add_argument("rest", nargs=argparse.REMAINDER, metavar="...", help=f"see `mewm {name} PART --help`")


_COMMANDS = {
    "rules": Command(
        "MeWMLib.cli.policy:rules",
        "say which clinical rules a protocol touches and why, or list them",
        'mewm rules check "Cisplatin 60 mg + Lipiodol 10 ml"',
        _rules,
    ),
    "report": Command(
        "MeWMLib.cli.policy:report",
        "read a TACE operation report: agents, doses, routes and attenuation level",
        "mewm report parse report.txt --json",
        _report,
    ),
    "endpoint": Command(
        "MeWMLib.cli.policy:endpoint",
        "list language-model endpoints, agree to one or take it back, show what was sent when",
        "mewm endpoint allow llama-cpp",
        _endpoint,
    ),
    "sample": Command(
        "MeWMLib.cli.housekeeping:sample",
        "write a sample case as files, or list the samples",
        "mewm sample lits-117 --out out/lits-117",
        _sample,
    ),
    "doctor": Command(
        "MeWMLib.cli.doctor:run",
        "say what is installed, what is missing and how to get it",
        "mewm doctor --json",
        _json,
    ),
    "serve": Command(
        "MeWMLib.cli.serve:serve",
        "take jobs from other computers over HTTP",
        "mewm serve --host 127.0.0.1 --port 8642",
        _serve,
    ),
    "bundle": Command(
        "MeWMLib.cli.housekeeping:bundle",
        "list, verify, import or delete model bundles",
        "mewm bundle import mewm-large.zip",
        _bundle,
    ),
}
