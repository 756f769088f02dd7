"""`mewm evaluate autoencoder`: the study of `lab.codecs` from the command line (docs/AUTOENCODERS.md)."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from MeWMLib.core.bundles import find_bundle
from MeWMLib.core.io import read_volume
from MeWMLib.lab.codecs.study import AutoencoderSettings, evaluate_autoencoder, real_scan
from MeWMLib.lab.evaluation.metrics import Rows
from MeWMLib.lab.evaluation.work import Say, read_case, settings_from


def run(args: argparse.Namespace, say: Say) -> tuple[Rows, str]:
    """Fit and measure the codecs that the arguments ask for; rows, and on whom."""
    torch.set_num_threads(1)
    real = None
    if args.before:
        real = real_scan(*read_case(args.before, args.labels, args.label_values), read_volume(Path(args.after)))
    rows = evaluate_autoencoder(settings_from(AutoencoderSettings, args), find_bundle(args.bundle), real, say)
    return rows, f"synthetic world v2, {args.validation} validation patients" + (" and one real pair" if real else "")
