"""`python -m MeWMLib.lab.evaluation NAME`: one figure or table. `mewm evaluate` starts this."""

from __future__ import annotations

import argparse
import importlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from MeWMLib.cohorts.layout import SIDES, read_manifest
from MeWMLib.core.bundles import PARTS
from MeWMLib.core.errors import DependencyError, InputError, MeWMError, install_command
from MeWMLib.core.plan import FREE, SPACES
from MeWMLib.core.protocol import agent
from MeWMLib.core.terminal import bars
from MeWMLib.lab.evaluation.cohort_pairs import SIDES as SIDES_ASKED
from MeWMLib.lab.evaluation.metrics import stamp, table, write_metrics

POLICIES = ["guideline", "constant", "frequency_prior", "random"]
Option = tuple[str, dict[str, Any]]


#: Parts that measure real patients of a cohort by another module.
_OWN = {"survival": "survival_own", "generation": "real_pairs"}


@dataclass(frozen=True)
class Command:
    """One evaluation.

    Attributes:
        name: on the command line.
        text: help.
        parts: of the bundle that the figures rest on.
        options: beside --bundle, --seed and --out.
    """

    name: str
    text: str
    parts: tuple[str, ...]
    options: tuple[Option, ...]

    def module(self, args: argparse.Namespace) -> str:
        """Of this package; its `run(args, say)` returns the rows, and in words on whom they were measured."""
        cohort = getattr(args, "cohort", None)
        if self.name in _OWN and cohort is not None and not read_manifest(cohort).get("synthetic"):
            return _OWN[self.name]
        if self.name == "survival":
            if args.table:
                return "survival_external" if getattr(args, "external", None) else "survival_real"
            return "survival_study" if args.maps else "survival_synthetic"
        return self.name.replace("-", "_")

    def used(self, args: argparse.Namespace) -> tuple[str, ...]:
        """Parts of the bundle that these arguments use."""
        if getattr(args, "table", None):
            return ()
        return PARTS if getattr(args, "simulated", 0) else self.parts


def _row(text: str) -> tuple[str, str]:
    name, equals, bundle = text.partition("=")
    if not (name and equals and bundle):
        raise InputError(what="Not a row", given=text, remedy="Write NAME=BUNDLE, as action_blind=path/to/bundle")
    return name, bundle


def _agents(text: str) -> tuple[str, ...]:
    return tuple(agent(name).name for name in text.split(","))


def _option(flag: str, text: str, default: Any = None, **more: Any) -> Option:
    """A flag with its help; the type is that of a number that it defaults to."""
    if type(default) in (int, float):
        more.setdefault("type", type(default))
    return flag, {"help": text, "default": default, **more}


def _choice(flag: str, text: str, **more: Any) -> Option:
    """A flag that may be left out of the settings, which have a default of their own."""
    return _option(flag, text, argparse.SUPPRESS, **more)


_COHORT = _option("--cohort", "cohort on disk (docs/COHORTS.md)", type=Path, metavar="DIR")
_DRAWN = _option("--cohort", "synthetic cohort whose patients are taken", type=Path, metavar="DIR")
_EITHER = _option("--cohort", "synthetic cohort, or one of real patients", type=Path, metavar="DIR")
_LABEL_VALUES = _option("--label-values", "meaning of the values", "1=liver,2=tumour")
_WORKERS = _option("--workers", "processes", 1)
_PATIENTS = _option("--patients", "without --cohort: how many patients of the test split", 60)
_WORLD = _option(
    "--world", "version of the synthetic world; if left out the newest that the dynamics model fits", type=int,
    choices=(2, 3),
)  # fmt: skip
_REPLICAS = _option("--replicas", "of each simulation", 1)
_JUDGING = _option("--judging", "open patients who are for judging only; the run is logged", False, action="store_true")
_SIDES = (
    _option("--side", "who of a cohort on disk (default: test, or all where there are no splits)", choices=SIDES_ASKED),
    _option("--splits", "splits of the cohort (default: its splits.json)", type=Path, metavar="FILE"),
)
_LISTED = (
    _option("--pairs", "list of real pairs (docs/JUDGE.md)", type=Path, metavar="CSV"),
    _COHORT,
    *_SIDES,
    _option("--data", "folders that hold the files of the list", [], type=Path, nargs="+", metavar="DIR"),
    _option("--patient", "patients of the list; all if left out", [], nargs="+", metavar="NAME"),
    _JUDGING,
)
_ROWS = _option(
    "--row", "another model to compare", [], dest="others", action="append", type=_row, metavar="NAME=BUNDLE"
)


def _pair() -> tuple[Option, ...]:
    return (
        _option("--before", "CT before treatment", required=True),
        _option("--labels", "liver and tumour on it", required=True),
        _LABEL_VALUES,
        _option("--after", "CT after treatment, same phase", required=True),
    )


COMMANDS = (
    Command("generation", "does the simulated CT answer to the action (synthetic test patients; a cohort of real ones "
            "is judged as by real-pairs)", PARTS, (
        _EITHER, *_SIDES, *_LISTED[4:], _option("--pairs", argparse.SUPPRESS), _PATIENTS, _REPLICAS, _WORKERS, _ROWS,
        _option("--steps", "of the sampler", 8),
        _WORLD,
    )),
    Command("planning", "is the planned protocol a good one (synthetic test patients; Tables 2 and 3)", PARTS, (
        _DRAWN, _PATIENTS, _REPLICAS, _WORKERS, _ROWS, _WORLD,
        _option("--steps", "of the sampler", 4),
        _option("--beams", "of the beam search", 3),
        _choice("--drugs", "drugs to choose from; by default one of each class", type=_agents, metavar="A,B"),
        _choice("--embolics", "embolics to choose from; by default one of each class", type=_agents, metavar="A,B"),
        _option("--drug-horizon", "most drugs in a plan", 2),
        _option("--embolic-horizon", "most embolics in a plan", 1),
        _option("--split", "patients of the test split, or those that figures are chosen on", "test",
                choices=("test", "validation")),
        _option("--no-oracles", "leave out the row oracle_dynamics, which draws true CTs", True, dest="oracles",
                action="store_false"),
    )),
    Command("fast-plans", "does the fast way to a plan find what float32 and all simulations find", PARTS, (
        _DRAWN, _option("--patients", "without --cohort: how many patients of the test split", 20), _WORKERS,
        _option("--replicas", "of each protocol", 3),
        _option("--samples", "sample cases beside them", [], nargs="+", metavar="NAME"),
        _option("--case", "files of a case beside them", [], dest="cases", nargs=2, action="append",
                metavar=("CT", "LABELS")),
        _LABEL_VALUES,
    )),
    Command("real-pair", "simulated CT and baselines beside the CT after treatment, which is registered", PARTS, (
        *_pair(),
        _option("--protocol", 'what was given, as "Doxorubicin + Lipiodol"', required=True),
        _option("--before-native", "voxels of the scanner before treatment, for volumes of Lipiodol", metavar="CT"),
        _option("--after-native", "the same after treatment", metavar="CT"),
        _option("--side", "half of the tumour that the treated artery fed", "whole", choices=SIDES),
        _option("--weeks", "from treatment to the scan after", type=float),
        _option("--patient", "name", "patient"),
        _JUDGING,
        _option("--replicas", "of the simulation", 3),
    )),
    Command("real-pairs", "the same for every pair of a list, leaving one out for the baselines", PARTS, (
        *_LISTED,
        _option("--replicas", "of each simulation", 3),
    )),
    Command("look", "Lipiodol, noise and contrast of real, drawn and simulated scans as numbers", PARTS, (
        *_LISTED,
        _option("--protocol", "of the drawn patients", "Cisplatin + Doxorubicin + Mitomycin + Lipiodol"),
        _option("--drawn", "patients of the synthetic world", 12),
        _option("--world", "version of the synthetic world", 3, choices=(2, 3)),
        _option("--replicas", "of each simulation", 3),
    )),
    Command("two-sample", "can a small classifier tell real treated tissue from drawn and simulated", PARTS, (
        *_LISTED,
        _option("--protocol", "of the drawn patients", "Cisplatin + Doxorubicin + Mitomycin + Lipiodol"),
        _option("--drawn", "patients of the synthetic world", 24),
        _option("--world", "version of the synthetic world", 3, choices=(2, 3)),
        _option("--replicas", "of each simulation", 3),
    )),
    Command("codecs", "what linear codecs over 2^3 and 4^3 voxels keep of real treated tissue", ("autoencoder",), (
        *_LISTED,
        _option("--protocol", "of the drawn patients", "Cisplatin + Doxorubicin + Mitomycin + Lipiodol"),
        _option("--drawn", "patients of the synthetic world that the codecs are fitted on", 24),
    )),
    Command("policy", "does a policy name the agents that were given (F1, Jaccard, precision, recall)", (), (
        _COHORT,
        _option("--table", "clinical table of HCC-TACE-Seg (version 2)", type=Path, metavar="CSV"),
        _option("--policy", "rows (default: all but llm:NAME)", POLICIES, nargs="+", metavar="NAME"),
        _option("--constant", "the constant plan, joined by +", metavar="TEXT"),
        _option("--repeats", "times that the patients are split anew", 20),
        _option("--folds", "parts of each split", 5),
        _option("--space", "protocols that fill a template, or all combinations (constant and prior: as is)", FREE,
                choices=SPACES),
        _option("--drug-horizon", "Hd, most drugs in a plan (default: that of the space)", type=int),
        _option("--embolic-horizon", "He, most embolics in a plan", 2),
    )),
    Command("survival", "survival models: tables of real patients, or the network on synthetic ones", ("survival",), (
        _option("--table", "hcc-tace-seg, dtsdhcc, or the file of one of them", metavar="NAME|FILE"),
        _option("--external", "the other table: models fitted on each are judged on the other", metavar="NAME|FILE"),
        _option("--folds", "of the cross-validation", 5),
        _option("--repeats", "of the cross-validation", 10),
        _option("--permutations", "of the outcomes, against leakage; 0 leaves it out", 20),
        _EITHER, *_SIDES,
        _option("--patients", "without --cohort: how many patients of the test split", 1000),
        _option("--trained-on", "training patients for the Cox baselines", 600),
        _option("--maps", "cohort of coarse maps, whose validation patients are taken: version 3 of the world",
                type=Path, metavar="DIR"),
        _option("--simulated", "how many of them are simulated as well (a minute each)", 0),
        _option("--cache", "folder of drawn patients; OUT/patients if left out", type=Path),
        _WORKERS,
    )),
    Command("public-cohort", "who of HCC-TACE-Seg has what, and how many patients written rules leave", (), (
        _option("--table", "clinical table of HCC-TACE-Seg (version 2), by name or file", "hcc-tace-seg",
                metavar="NAME|FILE"),
        _option("--index", "series of the collection as CSV; that of idc-index if left out", type=Path, metavar="CSV"),
    )),
    Command("response", "classes of response from the readers' diameters, and who is predicted to respond", (), (
        _option("--table", "clinical table of HCC-TACE-Seg (version 2), by name or file", "hcc-tace-seg",
                metavar="NAME|FILE"),
        _option("--folds", "of the cross-validation", 5),
        _option("--repeats", "of the cross-validation", 10),
    )),
    Command("segmentation", "liver and tumour against known labels, beside region growing", ("assistant",), (
        _option("--sample", "a sample case, as lits-117", "", metavar="NAME"),
        _option("--case", "files of a case", [], dest="cases", nargs=2, action="append", metavar=("CT", "LABELS")),
        _LABEL_VALUES, _COHORT, *_SIDES,
        _option("--patients", "synthetic test patients, before and after treatment", 0),
        _option("--world", "version of the synthetic world", 3, choices=(2, 3)),
        _option("--nnunet", "result folder of nnU-Net v2 to compare", type=Path, metavar="DIR"),
    )),
    Command("registration", "a scan after treatment brought to the one before: rigid to deformable", (), (
        _option("--pair", "files of a pair; - for no labels after", [], dest="pairs", nargs=4, action="append",
                metavar=("BEFORE", "LABELS", "AFTER", "LABELS_AFTER")),
        _LABEL_VALUES,
        _option("--slices", "of BEFORE, where the outlines are good: for Dice", nargs=2, type=int,
                metavar=("FIRST", "LAST")),
        _option("--patients", "synthetic test patients, bent by a known map", 0),
    )),
    Command("comparisons", "when one protocol is said to be better than another, how often is it", PARTS, (
        _option("--risks", "folder of `mewm evaluate planning --world 3`: measured on", type=Path, required=True),
        _option("--fit", "the same of other patients (--split validation): fitted on", type=Path, required=True),
        _option("--level", "probability from which on two protocols are told apart", 0.9),
    )),
    Command("closed-loop", "volumes measured on simulated outcomes against what the world and the model say", PARTS, (
        _option("--assistant", "another bundle whose segmenter measures", metavar="BUNDLE"),
        _option("--patients", "of the test split; in version 3 of the world of the validation split", 20),
        _WORLD, _WORKERS,
        _option("--steps", "of the sampler", 4),
    )),
)  # fmt: skip


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="mewm evaluate", description=__doc__)
    names = parser.add_subparsers(dest="name", required=True)
    for command in COMMANDS:
        sub = names.add_parser(command.name, help=command.text, description=command.text)
        sub.set_defaults(command=command)
        sub.add_argument("--bundle", help="name or folder; the default bundle if left out")
        sub.add_argument("--seed", type=int, default=0)
        sub.add_argument("--out", type=Path, required=True, help="folder for metrics.json, table.md and pictures")
        for flag, how in command.options:
            sub.add_argument(flag, **how)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Evaluate; the table goes to standard output, the files to --out."""
    argv = sys.argv[1:] if argv is None else argv
    try:
        args = _parser().parse_args(argv)
        with bars(quiet=False) as shown:
            rows, cohort = _run(args, lambda stage, done, total=1.0: shown.step(stage, *_percent(done, total)))
        write_metrics(args.out, cohort, args.seed, rows, stamp(args, argv, args.command.used(args), rows))
    except MeWMError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    sys.stdout.write("\n" + table(rows))
    return 0


def _percent(done: float, total: float) -> tuple[float, float]:
    return (100 * done / total, 100) if total else (done, 0)


def _run(args: argparse.Namespace, say: Any) -> Any:
    """Run the evaluation; its module is imported here, since most of them load torch.

    Raises:
        DependencyError: a package of the lab is not installed.
    """
    try:
        module = importlib.import_module(f"MeWMLib.lab.evaluation.{args.command.module(args)}")
        return module.run(args, say)
    except ModuleNotFoundError as error:
        if str(error.name).startswith("MeWMLib"):
            raise
        raise DependencyError(
            what="A package that the evaluations need is not installed",
            given=str(error.name),
            remedy=f"Install it with: {install_command('lab')}",
        ) from error


if __name__ == "__main__":
    raise SystemExit(main())
