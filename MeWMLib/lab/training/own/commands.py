"""`mewm train PART --cohort DIR` where DIR is a cohort on disk: the four parts by their options."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from MeWMLib.cohorts.check import AUTOENCODER, DYNAMICS, SEGMENTER, SURVIVAL
from MeWMLib.core.bundles import DEFAULT_BUNDLE
from MeWMLib.core.errors import InputError
from MeWMLib.lab.evaluation.metrics import jsonable
from MeWMLib.lab.program import Options, Tell
from MeWMLib.lab.training.distributed import Ranks, ranks
from MeWMLib.lab.training.own.cohort import Own, is_cohort

#: Options of every part that a cohort on disk can be given to.
OPTIONS: Options = {
    "--from-nothing": {"action": "store_true", "help": "with a cohort on disk: start from no bundle"},
    "--splits": {"type": Path, "metavar": "FILE", "help": "with a cohort on disk: its splits (default: splits.json)"},
}
#: Those of the dynamics besides.
DRAWN: Options = {
    "--drawn": {"type": Path, "metavar": "DIR", "help": "drawn patients beside those of a cohort on disk"},
    "--drawn-patients": {
        "type": int, "help": "how many are drawn into --work where --drawn is left out (default 200)"
    },
}  # fmt: skip
_OWN_FLAGS = {"from_nothing": "--from-nothing", "splits": "--splits", "drawn": "--drawn"}
#: Rate at which a segmenter that is started from is trained on; a new one needs more.
TUNING_RATE = 2e-4


def own_or(
    own: Callable[[argparse.Namespace, Tell], Any],
    drawn: Callable[[argparse.Namespace, Tell], Any],
    other: Mapping[str, str],
) -> Callable[[argparse.Namespace, Tell], Any]:
    """What runs a part: `own` where --cohort is a cohort on disk, `drawn` where it is not.

    Args:
        own, drawn: what runs it.
        other: options by attribute that a cohort on disk does not take.
    """

    def run(args: argparse.Namespace, tell: Tell) -> Any:
        mine = is_cohort(args.cohort)
        flags = other if mine else _OWN_FLAGS
        wrong = [flag for name, flag in flags.items() if getattr(args, name, None) not in (None, False)]
        if wrong:
            raise InputError(
                what="An option does not belong to this training",
                given=" ".join(wrong),
                remedy="Leave it out: --cohort is a cohort on disk"
                if mine
                else "Give a cohort on disk (docs/COHORTS.md) with --cohort, or leave it out",
            )
        if mine and args.from_nothing and args.start is not None:
            raise InputError(what="What is started from is told twice", given="--start and --from-nothing")
        return jsonable(own(args, tell)) if mine else drawn(args, tell)

    return run


def _opened(args: argparse.Namespace, part: str, mine: Ranks) -> Own:
    """The cohort of the options; the first of several processes writes the splits."""
    start = None if args.from_nothing else str(args.start or DEFAULT_BUNDLE)

    def say(text: str) -> None:
        if mine.first:
            sys.stderr.write(f"{text}\n")

    def once() -> Own:
        return Own.open(args.cohort, part, args.work, args.bundle, start, args.splits, say)

    found = once() if mine.first else None
    mine.from_first(None)
    return found or once()


def autoencoder(args: argparse.Namespace, tell: Tell) -> dict[str, Any]:
    """Fit the codec; one process is enough."""
    from MeWMLib.lab.training.own.autoencoder import train_autoencoder

    args.work = args.work or args.bundle.with_name(f"{args.bundle.name}-work")
    own = _opened(args, AUTOENCODER, Ranks())
    return train_autoencoder(own, args.bundle, args.work, args.channels, args.seed, tell)


def dynamics(args: argparse.Namespace, tell: Tell) -> dict[str, Any]:
    """Fine-tune on the pairs of the cohort."""
    from MeWMLib.lab.training.map_settings import FineTuning, MapTraining, read_map_settings
    from MeWMLib.lab.training.own.dynamics import train_dynamics

    if args.model == "latent":
        raise InputError(
            what="The latent model is trained on drawn patients alone",
            given="--model latent with a cohort on disk",
            remedy="Leave out --model latent: real pairs are learnt by the model on coarse maps",
        )
    given: dict[str, Any] = {name: getattr(args, name) for name in ("steps", "minutes", "seed", "learning_rate")}
    tuning = read_map_settings(args.config, FineTuning, given | {"rows": args.batch, "drawn_rows": args.batch})
    # from nothing, --steps counts for either training; a file of settings is of the fine-tuning
    first = read_map_settings(args.first_config, MapTraining, {"seed": args.seed}) if args.from_nothing else None
    with ranks(args.device) as mine:
        own = _opened(args, DYNAMICS, mine)
        count = 200 if args.drawn_patients is None else args.drawn_patients
        speaks = tell if mine.first else None
        told = train_dynamics(own, args.bundle, args.work, tuning, args.drawn, count, first, speaks, mine)
    if mine.first and not told["held_out"]:
        sys.stderr.write(f"\nNo pair is held out: all {told['steps']} steps are taken, and nothing says if they help\n")
    return told


def segmenter(args: argparse.Namespace, tell: Tell) -> dict[str, Any]:
    """Train on the outlined scans of the cohort, and on drawn ones of --data."""
    from MeWMLib.core.bundles import write_part
    from MeWMLib.lab.training.own.segmenter import train_segmenter
    from MeWMLib.lab.training.segmenter_commands import settings_of
    from MeWMLib.perception.segmenter import Segmenter

    def keep(found: Segmenter) -> None:
        if args.keep is not None:
            write_part(args.keep, "assistant", found.part_config(), found.tensors())

    with ranks(args.device) as mine:
        own = _opened(args, SEGMENTER, mine)
        drawn = [] if args.data is None else [args.data]
        settings = replace(settings_of(args), save=args.save)
        if own.start is not None and args.learning_rate is None:
            settings = replace(settings, learning_rate=TUNING_RATE)
        speaks = tell if mine.first else None
        return train_segmenter(own, args.bundle, args.work, settings, drawn, speaks, mine, keep)


def survival(args: argparse.Namespace, tell: Tell) -> dict[str, Any]:
    """Train on the observed deaths of the cohort."""
    from MeWMLib.lab.training.own.survival import RATE_IMAGES, RATE_PLAIN, train_survival
    from MeWMLib.lab.training.survival import TrainSurvivalConfig
    from MeWMLib.lab.training.survival_study import FORMS, NETWORK, PLAIN

    form = FORMS[PLAIN if args.plain else NETWORK]
    with ranks(args.device) as mine:
        own = _opened(args, SURVIVAL, mine)
        settings = TrainSurvivalConfig(
            network=form,
            steps=args.steps,
            minutes=args.minutes,
            patients=24,
            learning_rate=RATE_IMAGES if form.images else RATE_PLAIN,
            calibration_patients=400,
            seed=args.seed,
            device=str(mine.device),
        )
        return train_survival(own, args.bundle, args.work, settings, tell if mine.first else None, mine)
