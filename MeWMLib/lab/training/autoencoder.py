"""`mewm train autoencoder`: fit the block codec on synthetic patients and gate it on the PSNR inside tumours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from MeWMLib.core.errors import InputError
from MeWMLib.core.structures import CT_WINDOW_HU
from MeWMLib.dynamics.autoencoder import Autoencoder, compand, fit, to_blocks
from MeWMLib.lab.synthetic.cases import SPLITS, Case, draw_case

#: The codec is refused below this PSNR inside validation tumours, Lipiodol included (dB over the 775 HU window).
GATE_DB = 30.0


@dataclass(frozen=True)
class AutoencoderTraining:
    """Settings: latent channels, number of patients to fit on and to gate on, seed of the block choice."""

    channels: int = 16
    patients: int = 60
    validation_patients: int = 20
    seed: int = 0


def _image(hu: np.ndarray) -> Tensor:
    return torch.from_numpy(np.asarray(hu, np.float32))[None, None]


def blocks_of(case: Case, rng: np.random.Generator, outcomes: Sequence[int] = (0, 1)) -> Tensor:
    """Companded blocks (M, 64): all that touch tumour and as many others, before treatment and in some outcomes."""
    chosen = []
    for drawn in (case.before, *(case.after[n] for n in outcomes)):
        blocks = to_blocks(compand(_image(drawn.hu))).reshape(-1, 64)
        tumour = to_blocks(_image(drawn.labels == 2)).reshape(-1, 64).amax(1) > 0
        others = rng.integers(0, len(blocks), int(tumour.sum()))
        chosen += [blocks[tumour], blocks[torch.from_numpy(others)]]
    return torch.cat(chosen)


def tumour_psnr(model: Autoencoder, cases: Sequence[Case]) -> dict[str, float]:
    """PSNR (dB, 775 HU range) of the changed image inside post-treatment tumours, and inside Lipiodol alone."""
    low, high = CT_WINDOW_HU
    errors: list[np.ndarray] = []
    oil: list[np.ndarray] = []
    with torch.inference_mode():
        for case in cases:
            before = _image(case.before.hu)
            latent = model.encode(before)
            for drawn in case.after:
                after = _image(drawn.hu)
                again = model.decode_change(before, model.encode(after) - latent)
                square = (again - after.clamp(low, high)).square()[0, 0].numpy()
                errors.append(square[drawn.labels == 2])
                oil.append(square[drawn.lipiodol])

    def psnr(parts: list[np.ndarray]) -> float:
        return float(10 * np.log10((high - low) ** 2 / np.concatenate(parts).mean()))

    return {"tumour_psnr_db": psnr(errors), "lipiodol_psnr_db": psnr(oil)}


def train(
    settings: AutoencoderTraining, on_step: Callable[[str, float], None] | None = None
) -> tuple[Autoencoder, dict[str, float]]:
    """Fit and measure.

    Returns:
        The codec and its figures on validation patients.

    Raises:
        InputError: the gate is not met.
    """
    rng = np.random.default_rng(settings.seed)
    seeds = list(SPLITS["train"])[: settings.patients]
    blocks = []
    for n, seed in enumerate(seeds):
        blocks.append(blocks_of(draw_case(seed), rng))
        if on_step is not None:
            on_step("autoencoder", (n + 1) / (len(seeds) + settings.validation_patients))
    model = fit(torch.cat(blocks), settings.channels)
    held_out = [draw_case(s) for s in list(SPLITS["validation"])[: settings.validation_patients]]
    figures = tumour_psnr(model, held_out)
    if figures["tumour_psnr_db"] < GATE_DB:
        raise InputError(
            what=f"The codec does not reach {GATE_DB:g} dB inside validation tumours",
            given=f"{settings.channels} channels, {figures['tumour_psnr_db']:.1f} dB",
            remedy="Give more with --channels",
        )
    return model, figures
