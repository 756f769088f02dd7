"""The arguments of each command; every command's help shows one example."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import MeWMLib
from MeWMLib.cli import doctor, housekeeping, jobs, policy, serve
from MeWMLib.core.plan import SEARCH_NAMES, PlanSettings
from MeWMLib.jobs.wire import DEFAULT_PORT

_CASE_HELP = "a DICOM folder, a NIfTI, NRRD or MetaImage file, or sample:NAME (see `mewm sample`)"
#: Commands that start a program of their own: what each can do, an example, and what it is for.
_PROGRAMS = {
    "cohort": (
        ("synthesize", "counterfactual", "import", "download", "findings"),
        "mewm cohort synthesize --n 60 --split test --out out/cohort",
        "write synthetic patients, import DICOM folders, download a public collection, measure lesions",
    ),
    "train": (
        ("cohort", "autoencoder", "dynamics", "assistant", "assistant-data", "survival"),
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


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the arguments; argparse ends the process with 2 and one sentence if they are wrong."""
    argv = list(argv)
    # everything after `mewm train PART` belongs to the training program, its --help too
    if len(argv) > 2 and argv[0] in _PROGRAMS and argv[1] in _PROGRAMS[argv[0]][0]:
        return argparse.Namespace(command=housekeeping.program, program=argv[0], part=argv[1], rest=argv[2:])
    if len(argv) > 1 and argv[0] == "plan-cohort":
        return argparse.Namespace(command=housekeeping.program, program=argv[0], part=argv[1], rest=argv[2:])
    return _parser().parse_args(argv)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mewm",
        description="MeWM simulates a liver tumour's CT after TACE, judges it by survival analysis and searches the "
        "protocol of lowest predicted risk. Research use only.",
        epilog="example: mewm plan sample:lits-117 --out out/demo",
    )
    parser.add_argument("--version", action="version", version=f"mewm {MeWMLib.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _plan(commands)
    _simulate(commands)
    _segment(commands)
    _propose(commands)
    _assess(commands)
    _policy(commands)
    _housekeeping(commands)
    return parser


def _command(commands: Any, name: str, function: Any, text: str, example: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=text, description=text[0].upper() + text[1:] + ".", epilog=f"example: {example}"
    )
    parser.set_defaults(command=function)
    return parser


def _case(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("case", metavar="CASE", help=_CASE_HELP)
    parser.add_argument("--series", metavar="N", help="which series of a DICOM folder: number, UID, or N/ACQUISITION")
    parser.add_argument("--labels", metavar="FILE", help="your own segmentation: 1 liver, 2 tumour; it is not changed")
    parser.add_argument("--resample-labels", action="store_true", help="accept labels on another grid than the CT's")
    parser.add_argument("--label-values", metavar="TEXT", help="what other values mean, such as 6=liver,7=tumour")


def _chosen_policy(parser: argparse.ArgumentParser) -> None:
    text = "who proposes: guideline (default), constant:TEXT, prior:FILE, llm:ENDPOINT[+REFINER] (docs/POLICY.md)"
    parser.add_argument("--policy", metavar="NAME", help=text)


def _patient(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--clinical", metavar="JSON", help="file with clinical data, such as child_pugh_class")
    parser.add_argument("--goal", default="", metavar="TEXT", help="what the treatment shall reach")


def _machine(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=int, default=0, help="seed of every random draw (default 0)")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda", "mps"), help="where networks run")
    parser.add_argument("--bundle", metavar="B", help="name or folder of a model bundle (default mewm-small)")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    group = parser.add_argument_group("on a server (docs/SERVER.md)")
    group.add_argument("--server", metavar="URL", help="compute on this MeWM server; the CT is sent there")
    group.add_argument("--token-file", metavar="F", help="file with its token (default: MEWM_SERVER_TOKEN, keyring)")
    group.add_argument("--yes-send-images", action="store_true", help="agree to that without being asked")


def _json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the result as JSON, and nothing else")


def _settings(parser: argparse.ArgumentParser, names: Sequence[str]) -> None:
    group = parser.add_argument_group("settings (a letter is that of Algorithm 1 of the paper)")
    texts = {
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
    defaults = PlanSettings()
    if "search" in names:
        group.add_argument("--search", choices=SEARCH_NAMES, help=f"default {defaults.search}")
    for name in names:
        if name in texts:
            default = getattr(defaults, name)
            flag = "--" + name.replace("_", "-")
            group.add_argument(flag, type=type(default), metavar="N", help=f"{texts[name]} (default {default:g})")


def _pictures(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--no-report", action="store_true", help="write no report.html")
    parser.add_argument("--no-scene", action="store_true", help="write no scene.mrb")
    parser.add_argument("--no-segment", action="store_true", help="do not try the assistant where labels are there")


def _plan(commands: Any) -> None:
    parser = _command(
        commands,
        "plan",
        jobs.plan,
        "search the TACE protocol of lowest predicted risk and simulate the best ones",
        "mewm plan ct.nrrd --labels labels.seg.nrrd --clinical patient.json --out out/plan",
    )
    _case(parser)
    _chosen_policy(parser)
    parser.add_argument("--out", required=True, metavar="DIR", help="folder to write")
    _patient(parser)
    _machine(parser)
    _pictures(parser)
    _settings(parser, jobs.PLAN_SETTINGS)


def _simulate(commands: Any) -> None:
    parser = _command(
        commands,
        "simulate",
        jobs.simulate,
        "simulate the CT after one protocol that you name",
        'mewm simulate sample:lits-117 --protocol "Epirubicin 30 mg + Lipiodol 10 ml" --out out/simulated',
    )
    _case(parser)
    parser.add_argument("--protocol", required=True, metavar="TEXT", help="agents with optional doses, joined by +")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder to write")
    _patient(parser)
    _machine(parser)
    _pictures(parser)
    _settings(parser, jobs.SIMULATE_SETTINGS)


def _segment(commands: Any) -> None:
    text = "segment liver and tumour with the assistant"
    parser = _command(commands, "segment", jobs.segment, text, "mewm segment ct.nrrd --out labels.seg.nrrd")
    _case(parser)
    parser.add_argument("--out", required=True, metavar="FILE", help="label file to write (.seg.nrrd, .nrrd, .nii.gz)")
    _machine(parser)
    _json(parser)


def _propose(commands: Any) -> None:
    text = "propose drugs and embolics for a patient, with reasons"
    parser = _command(commands, "propose", jobs.propose, text, "mewm propose ct.nrrd --labels labels.seg.nrrd --json")
    _case(parser)
    _chosen_policy(parser)
    _patient(parser)
    _machine(parser)
    parser.add_argument("--no-segment", action="store_true", help="do not try the assistant where labels are there")
    parser.add_argument(
        "--preview", metavar="FILE", help="send nothing: write the exact bytes that --policy would send"
    )
    _settings(parser, ("drugs", "embolics"))
    _json(parser)


def _assess(commands: Any) -> None:
    parser = _command(
        commands,
        "assess",
        jobs.assess,
        "predict the risk from a real CT before and a real CT after treatment",
        "mewm assess pre.nrrd --labels pre.seg.nrrd --post post.nrrd --json",
    )
    _case(parser)
    parser.add_argument("--post", required=True, metavar="FILE", help="the CT after treatment")
    parser.add_argument("--post-series", metavar="N", help="which series, if --post is a DICOM folder")
    parser.add_argument("--post-labels", metavar="FILE", help="labels on the CT after treatment")
    parser.add_argument("--out", metavar="FILE", help="JSON file to write")
    _patient(parser)
    _machine(parser)
    parser.add_argument("--no-segment", action="store_true", help="do not try the assistant where labels are there")
    _json(parser)


def _policy(commands: Any) -> None:
    text = "say which clinical rules a protocol touches and why, or list them"
    parser = _command(commands, "rules", policy.rules, text, 'mewm rules check "Cisplatin 60 mg + Lipiodol 10 ml"')
    parser.add_argument("action", choices=("check", "list"))
    parser.add_argument("protocol", nargs="?", metavar="PROTOCOL", help="agents with optional doses, joined by +")
    parser.add_argument("--clinical", metavar="JSON", help="file with clinical data, such as child_pugh_class")
    parser.add_argument("--partial", action="store_true", help="do not ask for a drug and an embolic agent")
    parser.add_argument("--rules", metavar="FILE", help="rules of your own in the place of those of MeWM")
    _json(parser)

    text = "read a TACE operation report: agents, doses, routes and attenuation level"
    parser = _command(commands, "report", policy.report, text, "mewm report parse report.txt --json")
    parser.add_argument("action", choices=("parse",))
    parser.add_argument("file", metavar="FILE", help="text file in UTF-8; - reads standard input")
    parser.add_argument("--endpoint", metavar="NAME", help="let this language model read it too, and show differences")
    parser.add_argument("--preview", metavar="FILE", help="send nothing: write the exact bytes that would be sent")
    _json(parser)

    text = "list language-model endpoints, agree to one or take it back, show what was sent when"
    parser = _command(commands, "endpoint", policy.endpoint, text, "mewm endpoint allow llama-cpp")
    parser.add_argument("action", choices=("list", "allow", "revoke", "audit", "forget"))
    parser.add_argument("name", nargs="?", metavar="NAME", help="name of the endpoint")
    parser.add_argument("--yes", action="store_true", help="agree without being asked")
    _json(parser)


def _housekeeping(commands: Any) -> None:
    text = "write a sample case as files, or list the samples"
    parser = _command(commands, "sample", housekeeping.sample, text, "mewm sample lits-117 --out out/lits-117")
    parser.add_argument("name", nargs="?", metavar="NAME", help="without it the samples are listed")
    parser.add_argument("--out", metavar="DIR", help="folder to write ct.nrrd and labels.seg.nrrd into")

    text = "say what is installed, what is missing and how to get it"
    parser = _command(commands, "doctor", doctor.run, text, "mewm doctor --json")
    _json(parser)

    text = "take jobs from other computers over HTTP"
    parser = _command(commands, "serve", serve.serve, text, "mewm serve --host 127.0.0.1 --port 8642")
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

    text = "list, verify, import or delete model bundles"
    parser = _command(commands, "bundle", housekeeping.bundle, text, "mewm bundle import mewm-large.zip")
    parser.add_argument("action", choices=("list", "verify", "import", "delete"))
    parser.add_argument("name", nargs="?", metavar="NAME", help="name, folder, or the .zip to import")
    _json(parser)

    text = "plan every patient of a folder, also on several processes or computers (arguments go to the program)"
    example = "mewm plan-cohort out/cohort --out out/plans --engine worker --workers 2"
    parser = _command(commands, "plan-cohort", housekeeping.program, text, example)
    parser.set_defaults(program="plan-cohort")
    parser.add_argument("part", metavar="DIR", help="a sub-folder with pre.nrrd for each patient")
    parser.add_argument("rest", nargs=argparse.REMAINDER, metavar="...", help="see `mewm plan-cohort --help`")

    for program, (parts, example, text) in _PROGRAMS.items():
        parser = _command(commands, program, housekeeping.program, text, example)
        parser.set_defaults(program=program)
        parser.add_argument("part", choices=parts)
        parser.add_argument("rest", nargs=argparse.REMAINDER, metavar="...", help=f"see `mewm {program} PART --help`")
