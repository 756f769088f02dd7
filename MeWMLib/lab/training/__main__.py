"""`python -m MeWMLib.lab.training PART`, started by `mewm train`: train a bundle on the synthetic TACE world."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from MeWMLib.core.bundles import find_bundle, write_part
from MeWMLib.core.errors import BundleError, InputError
from MeWMLib.dynamics.actions import known_agents
from MeWMLib.dynamics.autoencoder import Autoencoder
from MeWMLib.dynamics.map_model import MapModel, is_maps
from MeWMLib.dynamics.model import DynamicsModel
from MeWMLib.lab.program import Options, Part, Tell, run_program
from MeWMLib.lab.torch_state import kept_torch_state
from MeWMLib.lab.training.assistant_patients import Simulators
from MeWMLib.world.machine import choose_device

#: How fine patches may be that a new segmenter sees as they are (`SegmenterConfig.finest`; older bundles name none).
FINEST = 0.6


def _codec(bundle: Path) -> Autoencoder:
    return Autoencoder.from_part(*find_bundle(bundle.resolve(), require=("autoencoder",)).part("autoencoder"))


def _codec_or_none(bundle: Path) -> Autoencoder | None:
    """The codec; None, and a note about it, where the bundle holds none yet."""
    try:
        return _codec(bundle)
    except BundleError:
        sys.stderr.write(f"{bundle} holds no autoencoder: all channels of the latent count alike\n")
        return None


def _autoencoder(args: argparse.Namespace, tell: Tell) -> dict[str, float]:
    from MeWMLib.lab.training.autoencoder import AutoencoderTraining, train

    model, figures = train(AutoencoderTraining(args.channels, args.patients, seed=args.seed), tell)
    write_part(args.bundle, "autoencoder", model.part_config(), model.tensors())
    return figures


def _cohort(args: argparse.Namespace, tell: Tell) -> dict[str, float]:
    from MeWMLib.lab.training.prepare import prepare

    codec = _codec(args.bundle)
    prepare(codec, known_agents(), args.cohort, args.split, args.patients, args.start, tell, args.scans_only)
    return {"patients": float(args.patients)}


def _maps_cohort(args: argparse.Namespace, tell: Tell) -> dict[str, float]:
    from MeWMLib.lab.training.map_cohort import prepare_split

    prepare_split(args.cohort, args.split, args.patients, args.start, args.scans_only, tell)
    return {"patients": float(args.patients)}


def _dynamics(args: argparse.Namespace, tell: Tell) -> dict[str, Any]:
    """The dynamics part: on coarse maps, fine-tuned on real pairs, or latent; options of another one are refused."""
    refused = _OF_PAIRS if args.model == "latent" else _ABLATIONS
    named = refused | (_OF_PAIRS if args.pairs is None else {})
    if wrong := [flag for name, flag in named.items() if getattr(args, name) is not None]:
        if args.model == "latent":
            remedy = "Leave out --model latent: real pairs are learnt by the model on coarse maps"
        elif set(wrong) <= set(_OF_PAIRS.values()):
            remedy = "Give the folder of real pairs with --pairs"
        else:
            remedy = "Add --model latent: the model on coarse maps has no such input or loss and hides protocols itself"
        raise InputError(
            what="An option does not belong to this training of the dynamics model",
            given=" ".join(wrong),
            remedy=remedy,
        )
    if args.model == "latent":
        return _latent(args, tell)
    return _maps(args, tell) if args.pairs is None else _pairs(args, tell)


def _maps(args: argparse.Namespace, tell: Tell) -> dict[str, float]:
    from MeWMLib.lab.training.distributed import ranks
    from MeWMLib.lab.training.map_bundle import train_into
    from MeWMLib.lab.training.map_settings import MapTraining, read_map_settings

    given = {**{name: getattr(args, name) for name in _SET_BY_OPTIONS}, "rows": args.batch}
    settings = read_map_settings(args.config, MapTraining, given)
    with ranks(args.device) as mine:
        speaks = tell if mine.first else None
        return train_into(args.bundle, args.cohort, args.work, settings, speaks, args.start, mine)


def _pairs(args: argparse.Namespace, tell: Tell) -> dict[str, Any]:
    from MeWMLib.lab.training.map_bundle import tune_into
    from MeWMLib.lab.training.map_settings import FineTuning, read_map_settings
    from MeWMLib.lab.training.pair_cohort import VALIDATION

    if args.start is None:
        raise InputError(
            what="Real pairs are too few to train a network from the start",
            given="--pairs without --start",
            remedy="Give the bundle whose map network is fine-tuned with --start",
        )
    if args.hold_out is not None and args.hold_out_share is not None:
        raise InputError(
            what="Who is held out is told twice", given="--hold-out and --hold-out-share", remedy="Give one of them"
        )
    held_out: list[str] | float = VALIDATION if args.hold_out_share is None else args.hold_out_share
    if args.hold_out is not None:
        held_out = [name.strip() for name in args.hold_out.split(",") if name.strip()]
    given = {name: getattr(args, name) for name in _SET_BY_OPTIONS}
    given |= {"rows": args.batch, "drawn_rows": args.batch}
    settings = read_map_settings(args.config, FineTuning, given)
    told = tune_into(
        args.bundle, args.pairs, args.cohort, args.work, args.start, settings, args.data or (), held_out,
        choose_device(args.device), tell,
    )  # fmt: skip
    if not told["held_out"]:
        sys.stderr.write(f"\nNo pair is held out: all {told['steps']} steps are taken, and nothing says if they help\n")
    return told


def _latent(args: argparse.Namespace, tell: Tell) -> dict[str, float]:
    from MeWMLib.lab.training.distributed import ranks
    from MeWMLib.lab.training.dynamics import train
    from MeWMLib.lab.training.dynamics_settings import DynamicsTraining, read_settings

    base = read_settings(args.config) if args.config else DynamicsTraining()
    # What is given on the command line counts more than the file.
    given = {name: getattr(args, name) for name in (*_SET_BY_OPTIONS, "batch", "start", *_ABLATIONS)}
    settings = replace(base, **{name: value for name, value in given.items() if value is not None})
    codec = _codec_or_none(args.bundle)
    with ranks(args.device) as mine:
        model, figures = train(args.cohort, args.work, settings, tell if mine.first else None, mine, codec)
        if not mine.first:
            return {}  # only one of several processes speaks
        write_part(args.bundle, "dynamics", model.part_config(), model.tensors())
    return figures


def _assistant(args: argparse.Namespace, tell: Tell) -> dict[str, float]:
    from MeWMLib.lab.training.assistant import GATE_R, AssistantTraining, passes_gate, train
    from MeWMLib.lab.training.assistant_crops import Mix
    from MeWMLib.perception.segmenter import Segmenter, SegmenterConfig

    settings = AssistantTraining(
        steps=args.steps, minutes=args.minutes, seed=args.seed, learning_rate=args.learning_rate, readers=args.readers,
        validation=args.validation,
        channels_last=args.layout == "channels-last",
        mix=Mix(batch=args.batch, shares=tuple(args.shares), seed=args.seed),
        config=replace(SegmenterConfig(finest=FINEST), **({"filters": tuple(args.filters)} if args.filters else {})),
    )  # fmt: skip
    start = find_bundle(args.start, require=("assistant",)).part("assistant") if args.start else None
    codec = _codec(args.codec or args.bundle)

    def keep(found: Segmenter) -> None:
        if args.keep is not None:
            write_part(args.keep, "assistant", found.part_config(), found.tensors())

    model, figures = train(args.work, settings, args.data, codec, start, choose_device(args.device), tell, keep)
    into = args.bundle
    if not passes_gate(figures):
        into = args.work / "below-gate"
        sys.stderr.write(f"\nVolumes on simulated outcomes correlate below {GATE_R}: the weights go to {into} only\n")
    write_part(into, "assistant", model.part_config(), model.tensors())
    return figures


def _assistant_data(args: argparse.Namespace, tell: Tell) -> dict[str, float]:
    from MeWMLib.lab.training.assistant_data import draw_data

    counts = {"patient": args.patients, "abdomen": args.abdomens, "scene": args.scenes if args.labels else 0}
    draw_data(
        args.data, args.labels, args.split, counts, args.start, _simulators(args.bundle or ()), tell, args.seconds
    )
    return {kind: float(count) for kind, count in counts.items()}


def _simulators(bundles: Sequence[Path]) -> Simulators:
    """The dynamics models of some bundles, one of each kind at most."""
    found: dict[str, Any] = {}
    for path in bundles:
        bundle = find_bundle(path.resolve(), require=("dynamics",))
        config, tensors = bundle.part("dynamics")
        kind = "maps" if is_maps(config) else "latent"
        if kind in found:
            raise InputError(
                what="Two bundles hold a dynamics model of one kind",
                given=" ".join(map(str, bundles)),
                remedy="Give one bundle whose dynamics model works on coarse maps, and one with a latent model",
            )
        if kind == "maps":
            found[kind] = MapModel.from_part(config, tensors, torch.device("cpu"))
        else:
            found[kind] = DynamicsModel.from_parts(bundle.part("autoencoder"), (config, tensors), torch.device("cpu"))
    return Simulators(**found)


def _survival(args: argparse.Namespace, tell: Tell) -> dict[str, Any]:
    from MeWMLib.lab.training.survival_cohort import train_on_cohort
    from MeWMLib.lab.training.survival_study import PLAIN, train_on_maps

    device = str(choose_device(args.device))
    if args.world == 3:
        given = args.cohort, args.work, args.bundle, args.steps, args.seed, tell, args.minutes, device
        return train_on_maps(*given, PLAIN) if args.plain else train_on_maps(*given)
    if args.plain:
        raise InputError(
            what="A survival model without images is trained in version 3 of the world only",
            given="--plain",
            remedy="Add --world 3, and a cohort of `mewm train maps-cohort`",
        )
    return train_on_cohort(args.cohort, args.work, args.bundle, args.steps, args.seed, tell, args.minutes, device)


def _number(default: float, text: str = "") -> dict[str, Any]:
    return {"type": type(default), "default": default, "help": text or None}


def _path(text: str, required: bool = False) -> dict[str, Any]:
    return {"type": Path, "required": required, "help": text}


def _switch(text: str, setting: str, value: float) -> dict[str, Any]:
    """A flag that gives an attribute of `DynamicsTraining` another value."""
    return {"action": "store_const", "help": text, "dest": setting, "const": value}


_THREADS: dict[str, Any] = _number(0, "CPU threads; 0 takes torch's default")


def _loop(steps: int | None = 2000, minutes: float | None = 0.0, device: str = "auto") -> Options:
    """Options of what is trained step by step; None leaves it to a file of settings."""
    return {
        "--work": _path("folder of checkpoints and curves; a run resumes from it", True),
        "--steps": {"type": int, "default": steps},
        "--minutes": {"type": float, "default": minutes, "help": "stop after so many minutes (0: after --steps)"},
        "--device": {"default": device, "help": f"auto, cpu, cuda or mps (default {device})"},
        "--threads": _THREADS | {"default": argparse.SUPPRESS},  # that before the part counts where it is left out
    }


_BUNDLE: Options = {"--bundle": _path("folder of the bundle that is written to", True)}
_SEED: Options = {"--seed": _number(0)}
_COHORT: Options = {"--cohort": _path("folder of `mewm train cohort`", True)}
_START: Options = {"--start": _number(0, "first number, so that several processes can share the work")}
#: Attributes of every kind of settings of the dynamics part.
_SET_BY_OPTIONS = ("steps", "minutes", "seed", "learning_rate")
#: Attributes of `DynamicsTraining` that baselines and ablations set, by their flags.
_ABLATIONS = {
    "action_blind": "--action-blind", "text": "--no-text", "attenuation": "--no-attenuation",
    "contrastive_weight": "--no-ccl",
}  # fmt: skip
#: Options of a fine-tuning.
_OF_PAIRS = {"pairs": "--pairs", "data": "--data", "hold_out": "--hold-out", "hold_out_share": "--hold-out-share"}
PARTS: dict[str, Part] = {
    "autoencoder": (
        _autoencoder,
        "fit the block codec (minutes)",
        {**_BUNDLE, **_SEED, "--channels": _number(16), "--patients": _number(60)},
    ),
    "cohort": (
        _cohort,
        "draw and encode synthetic patients for the other parts",
        {
            **_BUNDLE, **_START,
            "--cohort": _path("folder that is written to", True),
            "--split": {"choices": ("train", "validation", "test"), "default": "train"},
            "--patients": _number(800),
            "--scans-only": {"action": "store_true", "help": "no outcomes: for the response head"},
        },
    ),
    "assistant-data": (
        _assistant_data,
        "draw scans for the segmenter into a folder",
        {
            **_START,
            "--data": _path("the folder; files that it holds stay", True),
            "--labels": _path("folder of label maps, liver 1 and tumour 2 (docs/SHAPES.md)"),
            "--split": {"choices": ("train", "validation"), "default": "train"},
            "--patients": _number(200, "treated patches of patients of the synthetic world"),
            "--abdomens": _number(100, "whole abdomens of such patients"),
            "--scenes": _number(500, "scenes around label maps"),
            "--bundle": {
                "type": Path, "nargs": "+",
                "help": "bundles that simulate outcomes of the patients too: one on coarse maps, one latent",
            },
            "--seconds": _number(0.0, "stop after so many, even before all are drawn (0: draw all)"),
        },
    ),
    "maps-cohort": (
        _maps_cohort,
        "draw synthetic patients as coarse maps for the dynamics model",
        {
            **_START,
            "--cohort": _path("folder that is written to; files that it holds stay", True),
            "--split": {"choices": ("train", "validation"), "default": "train"},
            "--patients": _number(3000, "how many, from --start on"),
            "--scans-only": {"action": "store_true", "help": "no outcomes: for the response head"},
        },
    ),
    "dynamics": (
        _dynamics,
        "train the dynamics model, or fine-tune it on real pairs",
        {
            **_BUNDLE, **_loop(None, None),
            "--model": {
                "choices": ("maps", "latent"), "default": "maps",
                "help": "on coarse maps (default), or the latent diffusion of the paper",
            },
            "--cohort": _path("folder of `mewm train maps-cohort` (latent: of `mewm train cohort`)", True),
            "--seed": {"type": int},
            "--batch": {"type": int, "help": "rows; of --pairs so many real ones and so many drawn ones"},
            "--config": _path("JSON file of settings; options given here count more"),
            "--start": {"help": "bundle whose dynamics model is trained on"},
            "--learning-rate": {"type": float},
            "--pairs": _path("fine-tune on real pairs: folder with their list pairs.csv (docs/JUDGE.md)"),
            "--data": {"type": Path, "nargs": "+", "metavar": "DIR", "help": "further folders of the pairs' files"},
            "--hold-out": {"metavar": "NAME,NAME", "help": "patients of the list that are kept for validation"},
            "--hold-out-share": {"type": float, "metavar": "SHARE", "help": "share of them, by name (default 0.2)"},
            "--action-blind": _switch("latent, baseline: never sees the action", "action_blind", True),
            "--no-text": _switch("latent, ablation: no text embeddings", "text", False),
            "--no-attenuation": _switch("latent, ablation: no attenuated image", "attenuation", False),
            "--no-ccl": _switch("latent, ablation: no combo contrastive learning", "contrastive_weight", 0.0),
        },
    ),
    # on the CPU a stopped survival training goes on to exactly the same weights
    "survival": (
        _survival,
        "train the survival network",
        {
            **_BUNDLE, **_SEED, **_COHORT, **_loop(device="cpu"),
            "--world": {
                "type": int, "choices": (2, 3), "default": 2,
                "help": "of the cohort: 2 by `mewm train cohort`, 3 by `mewm train maps-cohort`",
            },
            "--plain": {"action": "store_true", "help": "a Cox model of the viable volume alone, without images"},
        },
    ),
    "assistant": (
        _assistant,
        "train the segmenter",
        {
            **_BUNDLE, **_SEED, **_loop(),
            "--batch": _number(2),
            "--data": _path("folder of `mewm train assistant-data`", True),
            "--start": _path("bundle whose segmenter is trained on"),
            "--codec": _path("bundle with the codec, if not the one that is written to"),
            "--shares": {
                "type": float, "nargs": 3, "default": (0.4, 0.25, 0.35), "metavar": ("PATIENTS", "ABDOMENS", "SCENES"),
                "help": "of the crops",
            },
            "--filters": {"type": int, "nargs": "+", "help": "channels at each resolution"},
            "--learning-rate": _number(1e-3),
            "--layout": {"choices": ("channels-last", "contiguous"), "default": "channels-last"},
            "--readers": _number(1, "threads that read crops"),
            "--keep": _path("folder of a bundle into which the averaged weights are written every minute"),
            "--validation": _number(60, "files of each kind that are validated on at the end"),
        },
    ),
}  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    """Run one part."""
    shared = {"--threads": _THREADS}
    with kept_torch_state():
        return run_program(
            "mewm train",
            __doc__,
            PARTS,
            argv,
            shared,
            lambda args: args.threads and torch.set_num_threads(args.threads),
        )


if __name__ == "__main__":
    raise SystemExit(main())
