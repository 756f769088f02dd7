"""`python -m MeWMLib.lab.training PART`, started by `mewm train`: train a bundle on the synthetic TACE world."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

import torch

from MeWMLib.core.bundles import find_bundle, write_part
from MeWMLib.core.errors import BundleError, MeWMError
from MeWMLib.dynamics.actions import known_agents
from MeWMLib.dynamics.autoencoder import Autoencoder

#: How fine patches may be that a new assistant sees as they are (`SegmenterConfig.finest`; older bundles name none).
FINEST = 0.6


def _say(stage: str, fraction: float) -> None:
    sys.stderr.write(f"\r{stage}: {100 * fraction:5.1f} %")
    sys.stderr.flush()


def _codec(bundle: Path) -> Autoencoder:
    return Autoencoder.from_part(*find_bundle(bundle.resolve(), require=("autoencoder",)).part("autoencoder"))


def _codec_or_none(bundle: Path) -> Autoencoder | None:
    """The codec; None, and a word about it, where the bundle holds none yet."""
    try:
        return _codec(bundle)
    except BundleError:
        sys.stderr.write(f"{bundle} holds no autoencoder: all channels of the latent count alike\n")
        return None


def _autoencoder(args: argparse.Namespace) -> dict[str, float]:
    from MeWMLib.lab.training.autoencoder import AutoencoderTraining, train

    model, figures = train(AutoencoderTraining(args.channels, args.patients), _say)
    write_part(args.bundle, "autoencoder", model.part_config(), model.tensors())
    return figures


def _cohort(args: argparse.Namespace) -> dict[str, float]:
    from MeWMLib.lab.training.prepare import prepare

    prepare(
        _codec(args.bundle), known_agents(), args.cohort, args.split, args.patients, args.start, _say, args.scans_only
    )
    return {"patients": float(args.patients)}


def _dynamics(args: argparse.Namespace) -> dict[str, float]:
    from MeWMLib.lab.training.distributed import ranks
    from MeWMLib.lab.training.dynamics import train
    from MeWMLib.lab.training.dynamics_settings import DynamicsTraining, read_settings

    base = read_settings(args.config) if args.config else DynamicsTraining()
    # What is given on the command line counts more than the file.
    names = ("steps", "minutes", "batch", "seed", "start", "learning_rate")
    given = {name: getattr(args, name) for name in names}
    flags = {
        "action_blind": True if args.action_blind else None,
        "text": False if args.no_text else None,
        "attenuation": False if args.no_attenuation else None,
        "contrastive_weight": 0.0 if args.no_ccl else None,
    }
    settings = replace(base, **{name: value for name, value in (given | flags).items() if value is not None})
    codec = _codec_or_none(args.bundle)
    with ranks() as mine:
        model, figures = train(args.cohort, args.work, settings, _say if mine.first else None, mine, codec)
        if not mine.first:
            return {}
        write_part(args.bundle, "dynamics", model.part_config(), model.tensors())
    return figures


def _assistant(args: argparse.Namespace) -> dict[str, float]:
    from MeWMLib.lab.training.assistant import GATE_R, AssistantTraining, passes_gate, train
    from MeWMLib.lab.training.assistant_crops import Mix
    from MeWMLib.perception.segmenter import SegmenterConfig
    from MeWMLib.world.machine import choose_device

    settings = AssistantTraining(
        steps=args.steps, minutes=args.minutes, seed=args.seed, learning_rate=args.learning_rate, readers=args.readers,
        channels_last=args.layout == "channels-last",
        mix=Mix(batch=args.batch, shares=tuple(args.shares), seed=args.seed),
        config=replace(SegmenterConfig(finest=FINEST), **({"filters": tuple(args.filters)} if args.filters else {})),
    )  # fmt: skip
    start = find_bundle(args.start, require=("assistant",)).part("assistant") if args.start else None
    codec = _codec(args.codec or args.bundle)
    model, figures = train(args.work, settings, args.data, codec, start, choose_device(args.device), _say)
    into = args.bundle
    if not passes_gate(figures):
        into = args.work / "below-gate"
        sys.stderr.write(f"\nVolumes on simulated outcomes correlate below {GATE_R}: the weights go to {into} only\n")
    write_part(into, "assistant", model.part_config(), model.tensors())
    return figures


def _assistant_data(args: argparse.Namespace) -> dict[str, float]:
    from MeWMLib.dynamics.model import DynamicsModel
    from MeWMLib.lab.training.assistant_data import draw_data

    dynamics = None
    if args.bundle:
        bundle = find_bundle(args.bundle.resolve(), require=("autoencoder", "dynamics"))
        dynamics = DynamicsModel.from_parts(bundle.part("autoencoder"), bundle.part("dynamics"), torch.device("cpu"))
    counts = {"patient": args.patients, "abdomen": args.abdomens, "scene": args.scenes if args.labels else 0}
    draw_data(args.data, args.labels, args.split, counts, args.start, dynamics, _say)
    return {kind: float(count) for kind, count in counts.items()}


def _followup(args: argparse.Namespace) -> dict[str, float]:
    from MeWMLib.lab.training.followup import FollowUpTraining, train

    settings = FollowUpTraining(steps=args.steps, minutes=args.minutes, batch=args.batch, seed=args.seed)
    model, figures = train(args.work, settings, _codec(args.bundle), _say)
    write_part(args.bundle, "followup", model.part_config(), model.tensors())
    return figures


def _survival(args: argparse.Namespace) -> dict[str, float]:
    from MeWMLib.lab.training.survival_cohort import train_on_cohort

    return train_on_cohort(args.cohort, args.work, args.bundle, args.steps, args.seed, _say, args.minutes)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="mewm train", description=__doc__)
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0 takes torch's default")
    parts = parser.add_subparsers(dest="part", required=True)

    def part(name: str, run: object, text: str) -> argparse.ArgumentParser:
        sub = parts.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run)
        if name != "assistant-data":
            sub.add_argument("--bundle", type=Path, required=True, help="folder of the bundle that is written to")
            sub.add_argument("--seed", type=int, default=0)
        return sub

    sub = part("autoencoder", _autoencoder, "fit the block codec (minutes)")
    sub.add_argument("--channels", type=int, default=16)
    sub.add_argument("--patients", type=int, default=60)
    sub = part("cohort", _cohort, "draw and encode synthetic patients for the other parts")
    sub.add_argument("--cohort", type=Path, required=True)
    sub.add_argument("--split", choices=("train", "validation", "test"), default="train")
    sub.add_argument("--patients", type=int, default=800)
    sub.add_argument("--start", type=int, default=0, help="first patient, so that several processes can share the work")
    sub.add_argument("--scans-only", action="store_true", help="no outcomes: quick patients for the response head")
    sub = part("assistant-data", _assistant_data, "draw scans for the assistant into a folder")
    sub.add_argument("--data", type=Path, required=True, help="the folder; files that are there stay")
    sub.add_argument("--labels", type=Path, help="folder of label maps, liver 1 and tumour 2 (docs/SHAPES.md)")
    sub.add_argument("--split", choices=("train", "validation"), default="train")
    sub.add_argument("--patients", type=int, default=200, help="treated patches of patients of the synthetic world")
    sub.add_argument("--abdomens", type=int, default=100, help="whole abdomens of such patients")
    sub.add_argument("--scenes", type=int, default=500, help="scenes around label maps")
    sub.add_argument("--bundle", type=Path, help="bundle that simulates the outcomes of the patients too")
    sub.add_argument("--start", type=int, default=0, help="first number, so that several processes can share the work")
    for name, run, text in (
        ("dynamics", _dynamics, "train the action-conditioned denoiser"),
        ("survival", _survival, "train the survival network"),
        ("assistant", _assistant, "train the segmenter"),
        ("followup", _followup, "train the network that says what became of a known tumour"),
    ):
        sub = part(name, run, text)
        if name in ("dynamics", "survival"):
            sub.add_argument("--cohort", type=Path, required=True, help="folder made by `mewm train cohort`")
        sub.add_argument(
            "--work", type=Path, required=True, help="folder of checkpoints and curves; a run resumes from it"
        )
        if name == "dynamics":
            sub.add_argument("--config", type=Path, help="JSON file of settings; options given here count more")
            sub.add_argument("--start", type=Path, help="bundle whose denoiser is trained on")
            sub.add_argument("--action-blind", action="store_true", help="baseline: never told the action")
            sub.add_argument("--learning-rate", type=float)
            sub.add_argument("--no-text", action="store_true", help="ablation: no text embeddings")
            sub.add_argument("--no-attenuation", action="store_true", help="ablation: no attenuated image")
            sub.add_argument("--no-ccl", action="store_true", help="ablation: no combo contrastive learning")
        if name == "assistant":
            sub.add_argument("--data", type=Path, required=True, help="folder made by `mewm train assistant-data`")
            sub.add_argument("--start", type=Path, help="bundle whose assistant is trained on")
            sub.add_argument("--codec", type=Path, help="bundle with the codec, if not the one that is written to")
            sub.add_argument(
                "--shares", type=float, nargs=3, default=(0.4, 0.25, 0.35), metavar=("PATIENTS", "ABDOMENS", "SCENES"),
                help="of the crops",
            )  # fmt: skip
            sub.add_argument("--filters", type=int, nargs="+", help="channels at each resolution")
            sub.add_argument("--learning-rate", type=float, default=1e-3)
            sub.add_argument("--device", default="auto", help="auto, cpu or cuda")
            sub.add_argument("--layout", choices=("channels-last", "contiguous"), default="channels-last")
            sub.add_argument("--readers", type=int, default=1, help="threads that read crops")
        sub.add_argument("--steps", type=int, default=2000)
        sub.add_argument("--minutes", type=float, default=0.0, help="stop after so many minutes (0: after --steps)")
        sub.add_argument("--batch", type=int, default=2 if name == "assistant" else 4)
        if name == "dynamics":
            # Nothing given: the file decides, else the defaults of DynamicsTraining.
            sub.set_defaults(steps=None, minutes=None, batch=None, seed=None)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one part; figures go to standard output as JSON."""
    args = _parser().parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    try:
        figures = args.run(args)
    except MeWMError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    if figures:  # only one of several processes speaks
        sys.stdout.write(json.dumps(figures, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
