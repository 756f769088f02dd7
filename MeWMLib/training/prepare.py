"""Encode a synthetic cohort once, so that training reads arrays instead of drawing and encoding patients again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from MeWMLib.cohorts.synthetic.cases import SPLITS, Case, draw_case
from MeWMLib.cohorts.synthetic.world import Rendering
from MeWMLib.dynamics.actions import encode_protocols
from MeWMLib.dynamics.autoencoder import Autoencoder
from MeWMLib.perception.findings import LIPIODOL_HU, NECROSIS_HU
from MeWMLib.survival.config import size_covariates
from MeWMLib.survival.patches import half_resolution


def encode_case(case: Case, codec: Autoencoder, agents: list[str]) -> dict[str, NDArray[Any]]:
    """Arrays of one patient.

    Returns:
        before (C, d, h, w) float16 latent; changes (P, C, d, h, w) float16 latents after minus before; masks (2, d,
        h, w) float16 share
        of tumour and liver; actions (P, A, 3) float32; spacing () mm; images (1 + P, 2, D/2, H/2, W/2) float16 before
        and after for the
        survival network; covariates (P, 4); true_log_risk (P,); months (), event (), seed ().
    """
    with torch.inference_mode():
        before = codec.encode(torch.from_numpy(case.before.hu)[None, None])
        after = codec.encode(torch.from_numpy(np.stack([a.hu for a in case.after]))[:, None])
    labels = case.before.labels
    return {
        "before": before[0].half().numpy(),
        "changes": (after - before).half().numpy(),
        "masks": np.stack([block_share(labels == 2), block_share(labels >= 1)]).astype(np.float16),
        "actions": encode_protocols(case.protocols, agents).numpy(),
        "spacing": np.float32(case.spacing_mm),
        "images": np.stack([half_resolution(d.hu, d.labels == 2) for d in (case.before, *case.after[:3])]),
        "covariates": np.stack([covariates(case.before, d, case.spacing_mm) for d in case.after]),
        "true_log_risk": np.float32(case.true_log_risk),
        "months": np.float32(case.months),
        "event": np.bool_(case.event),
        "seed": np.int64(case.seed),
    }


def prepare(
    codec: Autoencoder,
    agents: list[str],
    folder: Path,
    split: str,
    count: int,
    start: int = 0,
    on_step: Callable[[str, float], None] | None = None,
) -> None:
    """Write the first `count` patients of a split, from number `start` on; patients already there are kept."""
    target = folder / split
    target.mkdir(parents=True, exist_ok=True)
    for n in range(start, count):
        seed = SPLITS[split][n]
        path = target / f"{seed:06d}.npz"
        if not path.exists():
            save_case(path, encode_case(draw_case(seed), codec, agents))
        if on_step is not None:
            on_step(f"cohort ({split})", (n + 1 - start) / max(1, count - start))


def block_share(mask: NDArray[np.bool_], block: int = 4) -> NDArray[np.float32]:
    """Share of a mask (D, H, W) in each block: (D/4, H/4, W/4)."""
    d, h, w = (n // block for n in mask.shape)
    return np.asarray(mask.reshape(d, block, h, block, w, block).mean((1, 3, 5)), np.float32)


def covariates(before: Rendering, after: Rendering, spacing_mm: float) -> NDArray[np.float32]:
    """Size covariates of the survival network, measured on the image as `perception.findings` does it."""
    ml = spacing_mm**3 / 1000.0
    tumour = after.labels == 2
    viable = tumour & (after.hu >= NECROSIS_HU) & (after.hu < LIPIODOL_HU)
    return size_covariates(
        spacing_mm, float((before.labels == 2).sum() * ml), float(tumour.sum() * ml), float(viable.sum() * ml)
    )


def save_case(path: Path, arrays: dict[str, Any]) -> None:
    """Write one case's arrays as .npz, whole or not at all."""
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        np.savez(file, **arrays)
    part.replace(path)
