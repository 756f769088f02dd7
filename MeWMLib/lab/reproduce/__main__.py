"""`mewm reproduce`: every table and figure of the paper that a cohort allows, in one run (docs/REPRODUCE.md)."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from MeWMLib.core.errors import DependencyError, InputError, MeWMError, install_command
from MeWMLib.core.protocol import Protocol, agent
from MeWMLib.core.terminal import bars

PROG = "mewm reproduce"


def _row(text: str) -> tuple[str, str]:
    name, equals, bundle = text.partition("=")
    if not (name and equals and bundle):
        raise InputError(what="Not a row", given=text, remedy="Write NAME=BUNDLE, as no_ccl=path/to/bundle")
    return name, bundle


def _agents(text: str) -> tuple[str, ...]:
    return tuple(agent(name).name for name in text.split(","))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=PROG, description=__doc__)

    def option(flag: str, text: str, default: Any = None, **more: Any) -> None:
        if type(default) in (int, float):
            more.setdefault("type", type(default))
        parser.add_argument(flag, help=text, default=default, **more)

    option("--cohort", "cohort on disk (docs/COHORTS.md)", type=Path, required=True, metavar="DIR")
    option("--out", "folder for reproduce.html and reproduce.json; a run that was stopped goes on there", type=Path,
           required=True, metavar="DIR")  # fmt: skip
    option("--bundle", "name or folder; the default bundle if left out")
    option("--seed", "of replicas, splits and bootstrap", 0)
    option("--workers", "processes", 1)
    option("--patients", "only so many, from the first on", type=int, metavar="N")
    option("--judging", "open patients who are for judging only; the run is logged", False, action="store_true")
    option("--replicas", "simulations of what was given", 3)
    option("--searched", "T, simulations of each protocol in a search", 1)
    option("--steps", "of the sampler", 8)
    option("--drugs", "D, drugs that the policy proposes to the search", 4)
    option("--embolics", "E, embolics that the policy proposes to the search", 3)
    option("--drug-horizon", "Hd, most drugs in a plan", 2)
    option("--embolic-horizon", "He, most embolics in a plan", 2)
    option("--beams", "B, of the beam search", 3)
    option("--assistant-patients", "so many are also searched with the segmenter's outline of every simulation", 12)
    option("--fitted-on", "synthetic training patients for the hand-made baselines", 8)
    option("--no-baselines", "leave out SynTumor and Pixel2Cancer", True, dest="baselines", action="store_false")
    option("--no-planning", "leave out the searches of Tables 2 and 3", True, dest="planning", action="store_false")
    option("--among", "agents to choose from; by default the public collection's five where all that was given lies "
           "among them, else the whole vocabulary", (), type=_agents, metavar="A,B")  # fmt: skip
    option("--constant", "the constant plan, joined by +", metavar="TEXT")
    option("--assume", "protocol to simulate in patients whose own is not recorded", "", metavar="TEXT")
    option("--row", "another model to compare", [], dest="others", action="append", type=_row, metavar="NAME=BUNDLE")
    option("--backbone", "published feature network for FID and LPIPS (TorchScript)", type=Path, metavar="FILE")
    option(
        "--language",
        "rows of language models: PRESET, PRESET=ENDPOINT, llm:ENDPOINT[+REFINER] or stages:OBSERVER+ACTOR",
        [],
        nargs="+",
        metavar="ROW",
    )
    option("--physicians", "what physicians chose without and with MeWM", type=Path, metavar="CSV")
    option("--readers", "scores of a reader study, by `mewm study score`", type=Path, metavar="DIR")
    option("--results", "folder of stamped results, for rows without weights", type=Path, metavar="DIR")
    option("--hold-out", "share of patients that is held out of what policies are fitted on, as the paper's 0.2; by "
           "default a cross-validation", 0.0)  # fmt: skip
    option("--folds", "of a cross-validation", 5)
    option("--repeats", "of a cross-validation", 5)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Reproduce; where page and JSON are goes to standard output, progress to standard error."""
    argv = list(sys.argv[1:] if argv is None else argv)
    try:
        args = _parser().parse_args(argv)
        with bars(quiet=False) as shown:
            out = _run(args, argv, shown)
    except MeWMError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("Stopped; what was finished is kept, and the same command goes on from there.\n")
        return 130
    sys.stdout.write(f"{out / 'reproduce.html'}\n{out / 'reproduce.json'}\n")
    return 0


def _run(args: argparse.Namespace, argv: Sequence[str], shown: Any) -> Path:
    try:
        from MeWMLib.lab.evaluation.metrics import without_folder
        from MeWMLib.lab.evaluation.work import settings_from
        from MeWMLib.lab.reproduce.run import Request, reproduce
        from MeWMLib.lab.reproduce.settings import ReproduceSettings
        from MeWMLib.lab.reproduce.tables import RESULTS, TableSettings
    except ModuleNotFoundError as error:
        if str(error.name).startswith("MeWMLib"):
            raise
        raise DependencyError(
            what="A package that the tables need is not installed",
            given=str(error.name),
            remedy=f"Install it with: {install_command('lab')}",
        ) from error
    if args.workers < 1 or (args.patients is not None and args.patients < 1) or args.folds < 2 or args.repeats < 1:
        raise InputError(
            what="A number of the command is too small",
            given=f"workers {args.workers}, patients {args.patients}, folds {args.folds}, repeats {args.repeats}",
            remedy="Give at least 1, and at least 2 folds",
        )
    settings = settings_from(ReproduceSettings, args, assumed=Protocol.parse(args.assume).text if args.assume else "")
    tables = TableSettings(
        folds=args.folds, repeats=args.repeats, hold_out=args.hold_out, backbone=args.backbone,
        language=tuple(args.language), physicians=args.physicians, readers=args.readers,
        results=args.results or RESULTS,
    )  # fmt: skip
    if args.constant:
        tables = tables.chosen((), Protocol.parse(args.constant))
    command = " ".join([PROG, *(without_folder(word) for word in argv)])
    request = Request(settings, tables, args.judging, args.patients, args.workers, command, bool(args.constant))

    def show(stage: str, done: float, total: float, text: str, left_s: float | None) -> None:
        shown.step(stage, done, total, text, left_s)
        if stage == "patients" and not shown.drawn:
            shown.line(f"patients: {text}")

    reproduce(request, show)
    return settings.out


if __name__ == "__main__":
    raise SystemExit(main())
