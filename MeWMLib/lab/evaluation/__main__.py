"""`python -m MeWMLib.lab.evaluation NAME`: one figure or table. `mewm evaluate` starts this."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from MeWMLib.cohorts.layout import Cohort
from MeWMLib.core.bundles import find_bundle
from MeWMLib.core.errors import InputError, MeWMError
from MeWMLib.core.io import parse_label_values, read_labels, read_volume, write_json
from MeWMLib.core.protocol import Protocol, agent
from MeWMLib.lab.evaluation.metrics import Rows, table, write_metrics
from MeWMLib.lab.synthetic.write import held_out_seeds


def _say(stage: str, fraction: float) -> None:
    sys.stderr.write(f"\r{stage}: {100 * fraction:5.1f} %")
    sys.stderr.flush()


def _generation(args: argparse.Namespace) -> tuple[Rows, str]:
    from MeWMLib.lab.evaluation.generation import GenerationSettings, evaluate_generation
    from MeWMLib.lab.evaluation.montage import write_montage

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
    from MeWMLib.lab.evaluation.planning import DRUGS, EMBOLICS, PlanningSettings, evaluate_planning

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
    from MeWMLib.lab.evaluation.real_pair import evaluate_real_pair

    before = read_volume(args.before)
    values = parse_label_values(args.label_values)
    labels = read_labels(args.labels, before.geometry, resample=True, values=values)
    rows = evaluate_real_pair(
        find_bundle(args.bundle), before, labels, read_volume(args.after), Protocol.parse(args.protocol), args.out,
        args.replicas, args.seed, on_step=_say,
    )  # fmt: skip
    return rows, "one real pair"


def _policy(args: argparse.Namespace) -> tuple[Rows, str]:
    from MeWMLib.lab.evaluation.policy_command import run

    return run(args)


def _autoencoder(args: argparse.Namespace) -> tuple[Rows, str]:
    import torch

    from MeWMLib.lab.codecs.study import AutoencoderSettings, evaluate_autoencoder, real_scan

    torch.set_num_threads(1)
    settings = AutoencoderSettings(args.work, tuple(args.channels), args.patients, args.validation, args.seed)
    real = None
    if args.before:
        before = read_volume(args.before)
        labels = read_labels(args.labels, before.geometry, True, parse_label_values(args.label_values))
        real = real_scan(before, labels, read_volume(args.after))
    rows = evaluate_autoencoder(settings, find_bundle(args.bundle), real, _say)
    return rows, f"synthetic world v2, {args.validation} validation patients" + (" and one real pair" if real else "")


def _survival(args: argparse.Namespace) -> tuple[Rows, str]:
    from MeWMLib.lab.evaluation.survival import evaluate_survival

    return evaluate_survival(args, _say)


def _segmentation(args: argparse.Namespace) -> tuple[Rows, str]:
    from MeWMLib.lab.evaluation.segmentation import SegmentationSettings, evaluate_segmentation

    cases = tuple((ct, labels) for ct, labels in args.case)
    settings = SegmentationSettings(
        args.bundle, args.sample, cases, args.label_values, args.cohort, args.patients, args.nnunet, args.seed
    )
    parts = [args.sample, *(Path(ct).name for ct, _ in cases), args.cohort.name if args.cohort else ""]
    parts.append(f"{args.patients} synthetic test patients" if args.patients else "")
    return evaluate_segmentation(settings, args.out, _say), ", ".join(p for p in parts if p)


def _registration(args: argparse.Namespace) -> tuple[Rows, str]:
    from MeWMLib.lab.evaluation.registration import RegistrationSettings, evaluate_registration

    pairs = tuple((a, b, c, "" if d == "-" else d) for a, b, c, d in args.pair)
    slices = tuple(args.slices) if args.slices else None
    settings = RegistrationSettings(pairs, args.label_values, slices, args.patients, seed=args.seed)
    about = [f"{len(pairs)} pairs of files"] * bool(pairs) + [f"{args.patients} bent test patients"] * bool(
        args.patients
    )
    return evaluate_registration(settings, args.out, _say), " and ".join(about)


def _closed_loop(args: argparse.Namespace) -> tuple[Rows, str]:
    from MeWMLib.lab.evaluation.closed_loop import ClosedLoopSettings, evaluate_closed_loop

    settings = ClosedLoopSettings(args.bundle, args.assistant, args.patients, args.steps, args.seed)
    return evaluate_closed_loop(settings, _say), f"synthetic world v2, {args.patients} test patients"


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
    sub = part("policy", _policy, "does a policy name the agents that were given (F1, Jaccard, precision, recall)")
    where = sub.add_mutually_exclusive_group(required=True)
    where.add_argument("--cohort", type=Path, metavar="DIR", help="cohort on disk (docs/COHORTS.md)")
    where.add_argument("--table", type=Path, metavar="CSV", help="clinical table of HCC-TACE-Seg (version 2)")
    policies = ["guideline", "constant", "frequency_prior", "random"]
    sub.add_argument("--policy", nargs="+", default=policies, metavar="NAME", help="rows (default: all but llm:NAME)")
    sub.add_argument("--constant", metavar="TEXT", help="the constant plan, joined by +")
    sub.add_argument("--repeats", type=int, default=20, help="times that the patients are split anew")
    sub.add_argument("--folds", type=int, default=5)
    sub.add_argument("--drug-horizon", type=int, default=2, help="Hd, most drugs in a plan (constant and prior: as is)")
    sub.add_argument("--embolic-horizon", type=int, default=2, help="He, most embolics in a plan")
    sub = part("autoencoder", _autoencoder, "block codecs of several sizes: PSNR in treated tumours, seconds")
    sub.add_argument("--work", type=Path, required=True, help="folder of the fitted codecs; a stopped run goes on")
    sub.add_argument("--channels", nargs="*", type=int, default=(16, 20, 24, 32), help="of the block codecs")
    sub.add_argument("--patients", type=int, default=20, help="to fit on")
    sub.add_argument("--validation", type=int, default=12, help="patients to measure on")
    sub.add_argument("--before", help="CT of a real pair before treatment")
    sub.add_argument("--labels", help="liver and tumour on it")
    sub.add_argument("--label-values", default="1=liver,2=tumour", help="meaning of the values")
    sub.add_argument("--after", help="CT after treatment, same phase")
    sub = part("survival", _survival, "survival models: tables of real patients, or the network on synthetic ones")
    sub.add_argument("--table", metavar="NAME|FILE", help="hcc-tace-seg, dtsdhcc, or the file of one of them")
    sub.add_argument("--folds", type=int, default=5)
    sub.add_argument("--repeats", type=int, default=10, help="of the cross-validation")
    sub.add_argument("--permutations", type=int, default=20, help="of the outcomes, against leakage; 0 leaves it out")
    sub.add_argument("--cohort", type=Path, metavar="DIR", help="synthetic cohort whose patients are taken")
    sub.add_argument("--patients", type=int, default=1000, help="without --cohort: how many patients of the test split")
    sub.add_argument("--trained-on", type=int, default=600, help="training patients for the Cox baselines")
    sub.add_argument("--simulated", type=int, default=0, help="how many of them are simulated as well (a minute each)")
    sub.add_argument("--cache", type=Path, help="folder of drawn patients; OUT/patients if left out")
    sub.add_argument("--workers", type=int, default=1, help="processes")
    sub = part("segmentation", _segmentation, "liver and tumour against known labels, beside region growing")
    sub.add_argument("--sample", default="", metavar="NAME", help="a sample case, as lits-117")
    sub.add_argument("--case", nargs=2, action="append", default=[], metavar=("CT", "LABELS"), help="files of a case")
    sub.add_argument("--label-values", default="1=liver,2=tumour", help="meaning of the values")
    sub.add_argument("--cohort", type=Path, metavar="DIR", help="cohort on disk (docs/COHORTS.md)")
    sub.add_argument("--patients", type=int, default=0, help="synthetic test patients, before and after treatment")
    sub.add_argument("--nnunet", type=Path, metavar="DIR", help="result folder of nnU-Net v2 to compare")
    sub = part("registration", _registration, "a scan after treatment brought to the one before: rigid to deformable")
    sub.add_argument(
        "--pair", nargs=4, action="append", default=[], metavar=("BEFORE", "LABELS", "AFTER", "LABELS_AFTER"),
        help="files of a pair; - for no labels after",
    )  # fmt: skip
    sub.add_argument("--label-values", default="1=liver,2=tumour", help="meaning of the values")
    sub.add_argument(
        "--slices",
        nargs=2,
        type=int,
        metavar=("FIRST", "LAST"),
        help="of BEFORE, where the outlines are good: for Dice",
    )
    sub.add_argument("--patients", type=int, default=0, help="synthetic test patients, bent by a known map")
    sub = part("closed-loop", _closed_loop, "volumes measured on simulated outcomes against the world's truth")
    sub.add_argument("--assistant", metavar="BUNDLE", help="another bundle whose assistant measures")
    sub.add_argument("--patients", type=int, default=20, help="of the test split")
    sub.add_argument("--steps", type=int, default=4, help="of the sampler")
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
