"""`mewm train segmenter` and `assistant-data`: the segmenter on drawn scans, and what these are."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from MeWMLib.core.bundles import find_bundle, write_part
from MeWMLib.core.errors import BundleError, InputError
from MeWMLib.dynamics.autoencoder import Autoencoder
from MeWMLib.dynamics.map_model import MapModel, is_maps
from MeWMLib.dynamics.model import DynamicsModel
from MeWMLib.lab.program import Tell
from MeWMLib.lab.training.assistant import GATE_R, AssistantTraining, passes_gate, train
from MeWMLib.lab.training.assistant_crops import Mix
from MeWMLib.lab.training.assistant_patients import Simulators
from MeWMLib.perception.segmenter import Segmenter, SegmenterConfig
from MeWMLib.world.machine import choose_device

#: How fine patches may be that a new segmenter sees as they are (`SegmenterConfig.finest`; older bundles name none).
FINEST = 0.6


def codec_of(bundle: Path) -> Autoencoder:
    """The codec of a bundle."""
    return Autoencoder.from_part(*find_bundle(bundle.resolve(), require=("autoencoder",)).part("autoencoder"))


def codec_or_none(bundle: Path) -> Autoencoder | None:
    """The codec; None, and a note about it, where the bundle holds none yet."""
    try:
        return codec_of(bundle)
    except BundleError:
        sys.stderr.write(f"{bundle} holds no autoencoder: all channels of the latent count alike\n")
        return None


def settings_of(args: argparse.Namespace) -> AssistantTraining:
    """Settings by the options."""
    return AssistantTraining(
        steps=args.steps, minutes=args.minutes, seed=args.seed, readers=args.readers,
        learning_rate=args.learning_rate or AssistantTraining.learning_rate,
        validation=args.validation,
        channels_last=args.layout == "channels-last",
        mix=Mix(batch=args.batch, shares=tuple(args.shares), seed=args.seed),
        config=SegmenterConfig(filters=tuple(args.filters or SegmenterConfig.filters), finest=FINEST),
    )  # fmt: skip


def segmenter(args: argparse.Namespace, tell: Tell) -> dict[str, float]:
    """Train on drawn scans."""
    if not args.data:
        raise InputError(
            what="There is nothing to train the segmenter on",
            given="neither --data nor --cohort",
            remedy="Give a folder of `mewm train assistant-data` with --data, or a cohort with --cohort",
        )
    settings = settings_of(args)
    start = find_bundle(args.start, require=("assistant",)).part("assistant") if args.start else None
    codec = codec_of(args.codec or args.bundle)

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


def segmenter_data(args: argparse.Namespace, tell: Tell) -> dict[str, float]:
    """Draw scans."""
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
