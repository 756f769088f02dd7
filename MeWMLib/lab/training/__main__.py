"""`python -m MeWMLib.lab.training PART`, started by `mewm train`: train a bundle on drawn patients or on a cohort."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from MeWMLib.core.bundles import write_part
from MeWMLib.core.errors import InputError
from MeWMLib.dynamics.actions import known_agents
from MeWMLib.lab.evaluation.baselines import FULL, RETRAINED
from MeWMLib.lab.program import Options, Part, Tell, run_program
from MeWMLib.lab.torch_state import kept_torch_state
from MeWMLib.lab.training.own import commands
from MeWMLib.lab.training.own.commands import own_or
from MeWMLib.lab.training.segmenter_commands import codec_of, codec_or_none, segmenter, segmenter_data
from MeWMLib.world.machine import choose_device


def _autoencoder(args: argparse.Namespace, tell: Tell) -> dict[str, float]:
    from MeWMLib.lab.training.autoencoder import AutoencoderTraining, train

    channels = args.channels or AutoencoderTraining.channels
    model, figures = train(AutoencoderTraining(channels, args.patients, seed=args.seed), tell)
    write_part(args.bundle, "autoencoder", model.part_config(), model.tensors())
    return figures


def _cohort(args: argparse.Namespace, tell: Tell) -> dict[str, float]:
    from MeWMLib.lab.training.prepare import prepare

    codec = codec_of(args.bundle)
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
    codec = codec_or_none(args.bundle)
    with ranks(args.device) as mine:
        model, figures = train(args.cohort, args.work, settings, tell if mine.first else None, mine, codec)
        if not mine.first:
            return {}  # only one of several processes speaks
        write_part(args.bundle, "dynamics", model.part_config(), model.tensors())
    return figures


def _ablations(args: argparse.Namespace, tell: Tell) -> str:
    from MeWMLib.lab.evaluation.metrics import without_folder
    from MeWMLib.lab.training.ablations import train_ablations
    from MeWMLib.lab.training.dynamics_settings import DynamicsTraining, read_settings

    if args.steps is not None and args.minutes is not None:
        raise InputError(
            what="The end of the rows is told twice",
            given=f"--steps {args.steps} --minutes {args.minutes:g}",
            remedy="Give the steps of each row, or the minutes of all",
        )
    base = read_settings(args.config) if args.config else DynamicsTraining()
    given = {name: getattr(args, name) for name in ("steps", "batch", "seed") if getattr(args, name) is not None}
    folders = {name: without_folder(str(getattr(args, name))) for name in ("bundle", "cohort", "work", "out")}
    more = {"config": args.config and args.config.name, "minutes": args.minutes} | given
    words = [f"--{name} {value}" for name, value in (folders | more).items() if value is not None]
    return train_ablations(
        args.bundle, args.cohort, args.work, args.out, replace(base, **given), args.rows, args.minutes,
        choose_device(args.device), " ".join(["mewm train ablations", *words]), tell,
    )  # fmt: skip


def _bundle(args: argparse.Namespace, tell: Tell) -> dict[str, float]:
    from MeWMLib.lab.training.assemble import assemble, named_sources

    return assemble(args.bundle, named_sources(args.take), args.eight_bits, version=args.version)


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
_DISK: Options = {"--cohort": _path("cohort on disk whose patients are learnt (docs/COHORTS.md)")}
_START: Options = {"--start": _number(0, "first number, so that several processes can share the work")}
#: Attributes of every kind of settings of the dynamics part.
_SET_BY_OPTIONS = ("steps", "minutes", "seed", "learning_rate")
#: Attributes of `DynamicsTraining` that baselines and ablations set, by their flags.
_ABLATIONS = {
    "action_blind": "--action-blind", "text": "--no-text", "attenuation": "--no-attenuation",
    "contrastive_weight": "--no-ccl",
}  # fmt: skip
ABLATION_ROWS = (FULL, *RETRAINED)
#: Options of a fine-tuning.
_OF_PAIRS = {"pairs": "--pairs", "data": "--data", "hold_out": "--hold-out", "hold_out_share": "--hold-out-share"}
_SEGMENTER: Options = {
    **_BUNDLE, **_SEED, **_loop(), **_DISK, **commands.OPTIONS,
    "--batch": _number(2),
    "--data": _path("folder of `mewm train assistant-data`; with a cohort on disk learnt beside it"),
    "--save": _number(500, "with a cohort on disk: steps between two checkpoints"),
    "--start": _path("bundle whose segmenter is trained on"),
    "--codec": _path("bundle with the codec, if not the one that is written to"),
    "--shares": {
        "type": float, "nargs": 3, "default": (0.4, 0.25, 0.35), "metavar": ("PATIENTS", "ABDOMENS", "SCENES"),
        "help": "of the crops",
    },
    "--filters": {"type": int, "nargs": "+", "help": "channels at each resolution"},
    "--learning-rate": {"type": float, "help": "default 0.001; of a start on a cohort on disk 0.0002"},
    "--layout": {"choices": ("channels-last", "contiguous"), "default": "channels-last"},
    "--readers": _number(1, "threads that read crops"),
    "--keep": _path("folder of a bundle into which the averaged weights are written every minute"),
    "--validation": _number(60, "files of each kind that are validated on at the end"),
}  # fmt: skip
PARTS: dict[str, Part] = {
    "autoencoder": (
        own_or(commands.autoencoder, _autoencoder, {}),
        "fit the block codec (minutes)",
        {
            **_BUNDLE, **_SEED, **_DISK, **commands.OPTIONS,
            "--channels": {"type": int, "help": "of the latent (default 16, or those of the start)"},
            "--patients": _number(60, "drawn patients, without --cohort"),
            "--work": _path("with a cohort on disk: folder of the run (default: BUNDLE-work)"),
            "--start": {"help": "with a cohort on disk: bundle whose codec is trained on (default mewm-small)"},
        },
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
        segmenter_data,
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
        own_or(commands.dynamics, _dynamics, {**_OF_PAIRS, **_ABLATIONS}),
        "train the dynamics model, or fine-tune it on real pairs or a cohort on disk",
        {
            **_BUNDLE, **_loop(None, None), **commands.OPTIONS, **commands.DRAWN,
            "--first-config": _path("with --from-nothing: JSON file of settings of the training on drawn patients"),
            "--model": {
                "choices": ("maps", "latent"), "default": "maps",
                "help": "on coarse maps (default), or the latent diffusion of the paper",
            },
            "--cohort": _path(
                "cohort on disk, or folder of `mewm train maps-cohort` (latent: of `mewm train cohort`)", True
            ),
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
    "ablations": (
        _ablations,
        "train the rows that leave a part of the latent model out, and the full one beside them, with one budget",
        {
            **_loop(None, None),
            "--minutes": {"type": float, "help": "choose the steps of each row so that all rows take about so long"},
            "--bundle": _path("bundle whose autoencoder encoded the cohort; its other parts are copied", True),
            **_COHORT,
            "--out": _path("folder for a bundle of each row, and budget.json", True),
            "--rows": {"nargs": "+", "choices": ABLATION_ROWS, "default": ABLATION_ROWS, "help": "default: all"},
            "--config": _path("JSON file of settings of the full row; options given here count more"),
            "--seed": {"type": int},
            "--batch": {"type": int, "help": "outcomes"},
        },
    ),
    # on the CPU a stopped survival training goes on to exactly the same weights
    "survival": (
        own_or(commands.survival, _survival, {}),
        "train the survival network",
        {
            **_BUNDLE, **_SEED, **_loop(device="cpu"), **commands.OPTIONS,
            "--cohort": _path("cohort on disk, or folder of `mewm train cohort` or `maps-cohort`", True),
            "--start": {"help": "with a cohort on disk: bundle whose survival network is trained on"},
            "--world": {
                "type": int, "choices": (2, 3), "default": 2,
                "help": "of the cohort: 2 by `mewm train cohort`, 3 by `mewm train maps-cohort`",
            },
            "--plain": {"action": "store_true", "help": "a Cox model of the viable volume alone, without images"},
        },
    ),
    "segmenter": (own_or(commands.segmenter, segmenter, {}), "train the segmenter", _SEGMENTER),
    "assistant": (own_or(commands.segmenter, segmenter, {}), "another name of segmenter", _SEGMENTER),
    "bundle": (
        _bundle,
        "put trained parts into one bundle",
        {
            **_BUNDLE, "--version": {"default": "1", "help": "of the bundle (default 1)"},
            "--take": {"nargs": "+", "required": True, "metavar": "PART=FOLDER", "help": "parts of other bundles"},
            "--eight-bits": {"nargs": "+", "default": (), "metavar": "PART", "help": "parts stored as int8"},
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
