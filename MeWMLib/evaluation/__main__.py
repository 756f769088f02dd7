"""`python -m MeWMLib.evaluation NAME`: one figure or table. `mewm evaluate` starts this."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from MeWMLib.bundles import find_bundle
from MeWMLib.cohorts.layout import Cohort
from MeWMLib.cohorts.synthetic.write import held_out_seeds
from MeWMLib.core.errors import InputError, MeWMError
from MeWMLib.core.io import parse_label_values, read_labels, read_volume, write_json
from MeWMLib.core.protocol import Protocol, agent
from MeWMLib.evaluation.metrics import Rows, table, write_metrics


def _say(stage: str, fraction: float) -> None:
    sys.stderr.write(f"\r{stage}: {100 * fraction:5.1f} %")
    sys.stderr.flush()


def _generation(args: argparse.Namespace) -> tuple[Rows, str]:
    from MeWMLib.evaluation.generation import GenerationSettings, evaluate_generation
    from MeWMLib.evaluation.montage import write_montage

    others = tuple(_row(text) for text in args.row)
    seeds = held_out_seeds(Cohort.read(args.cohort)) if args.cohort else ()
    patients = len(seeds) or args.patients
    settings = GenerationSettings(
        args.bundle, patients, args.seed, args.replicas, args.steps, others, args.workers, seeds=seeds
    )
    rows, pictures, about = evaluate_generation(settings, _say)
    args.out.mkdir(parents=True, exist_ok=True)
    write_json(about, args.out / "perceptual.json")
    write_montage(args.out / "montage.png", pictures)
    of = f"patients of {args.cohort.name}" if args.cohort else "test patients"
    return rows, f"synthetic world v2, {patients} {of}"


def _planning(args: argparse.Namespace) -> tuple[Rows, str]:
    from MeWMLib.evaluation.planning import DRUGS, EMBOLICS, PlanningSettings, evaluate_planning

    seeds = held_out_seeds(Cohort.read(args.cohort)) if args.cohort else ()
    patients = len(seeds) or args.patients
    drugs = tuple(agent(n).name for n in args.drugs.split(",")) if args.drugs else DRUGS
    embolics = tuple(agent(n).name for n in args.embolics.split(",")) if args.embolics else EMBOLICS
    settings = PlanningSettings(
        args.bundle, patients, args.seed, args.replicas, args.steps, tuple(_row(text) for text in args.row),
        args.workers, seeds, drugs, embolics, args.drug_horizon, args.embolic_horizon, args.beams, not args.no_oracles,
    )  # fmt: skip
    rows, choices = evaluate_planning(settings, _say)
    args.out.mkdir(parents=True, exist_ok=True)
    write_json({"patients": [c.to_json() for c in choices]}, args.out / "choices.json")
    of = f"patients of {args.cohort.name}" if args.cohort else "test patients"
    return rows, f"synthetic world v2, {patients} {of}, {len(settings.protocols())} protocols to choose from"


def _row(text: str) -> tuple[str, str]:
    name, equals, bundle = text.partition("=")
    if not (name and equals and bundle):
        raise InputError(what="Not a row", given=text, remedy="Write NAME=BUNDLE, as action_blind=path/to/bundle")
    return name, bundle


def _real_pair(args: argparse.Namespace) -> tuple[Rows, str]:
    from MeWMLib.evaluation.real_pair import evaluate_real_pair

    before = read_volume(args.before)
    values = parse_label_values(args.label_values)
    labels = read_labels(args.labels, before.geometry, resample=True, values=values)
    rows = evaluate_real_pair(
        find_bundle(args.bundle), before, labels, read_volume(args.after), Protocol.parse(args.protocol), args.out,
        args.replicas, args.seed, on_step=_say,
    )  # fmt: skip
    return rows, "one real pair"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="mewm evaluate", description=__doc__)
    names = parser.add_subparsers(dest="name", required=True)

    def part(name: str, run: object, text: str) -> argparse.ArgumentParser:
        sub = names.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run)
        sub.add_argument("--bundle", help="name or folder; the default bundle if left out")
        sub.add_argument("--seed", type=int, default=0)
        sub.add_argument("--out", type=Path, required=True, help="folder for metrics.json, table.md and pictures")
        return sub

    sub = part("generation", _generation, "does the simulated CT answer to the action (synthetic test patients)")
    sub.add_argument("--cohort", type=Path, metavar="DIR", help="synthetic cohort whose patients are taken")
    sub.add_argument("--patients", type=int, default=60, help="without --cohort: how many patients of the test split")
    sub.add_argument("--replicas", type=int, default=1)
    sub.add_argument("--steps", type=int, default=8, help="of the sampler")
    sub.add_argument("--workers", type=int, default=1, help="processes")
    sub.add_argument("--row", action="append", default=[], metavar="NAME=BUNDLE", help="another model to compare")
    sub = part("planning", _planning, "is the planned protocol a good one (synthetic test patients; Tables 2 and 3)")
    sub.add_argument("--cohort", type=Path, metavar="DIR", help="synthetic cohort whose patients are taken")
    sub.add_argument("--patients", type=int, default=60, help="without --cohort: how many patients of the test split")
    sub.add_argument("--replicas", type=int, default=1)
    sub.add_argument("--steps", type=int, default=4, help="of the sampler")
    sub.add_argument("--beams", type=int, default=3)
    sub.add_argument("--drugs", metavar="A,B", help="drugs to choose from; by default one of each class")
    sub.add_argument("--embolics", metavar="A,B", help="embolics to choose from; by default one of each class")
    sub.add_argument("--drug-horizon", type=int, default=2)
    sub.add_argument("--embolic-horizon", type=int, default=1)
    sub.add_argument("--workers", type=int, default=1, help="processes")
    sub.add_argument(
        "--no-oracles", action="store_true", help="leave out the row oracle_dynamics, which draws true CTs"
    )
    sub.add_argument("--row", action="append", default=[], metavar="NAME=BUNDLE", help="another model to compare")
    sub = part("real-pair", _real_pair, "a simulated CT beside the real CT after treatment, which is registered first")
    sub.add_argument("--before", required=True, help="CT before treatment")
    sub.add_argument("--labels", required=True, help="liver and tumour on it")
    sub.add_argument("--label-values", default="1=liver,2=tumour", help="meaning of the values")
    sub.add_argument("--after", required=True, help="CT after treatment, same phase")
    sub.add_argument("--protocol", required=True, help='what was given, as "Doxorubicin + Lipiodol"')
    sub.add_argument("--replicas", type=int, default=3)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Evaluate; the table goes to standard output, the files to --out."""
    args = _parser().parse_args(argv)
    try:
        rows, cohort = args.run(args)
        write_metrics(args.out, cohort, args.seed, rows)
    except MeWMError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    sys.stdout.write("\n" + table(rows))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
