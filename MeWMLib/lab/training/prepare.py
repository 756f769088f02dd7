"""Encode a synthetic cohort once, so that training reads arrays and need not draw and encode patients again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from MeWMLib.cohorts.synthetic.fields import derive_seed
from MeWMLib.cohorts.synthetic.law import Response, Traits, respond
from MeWMLib.cohorts.synthetic.world import Rendering, SyntheticPatient
from MeWMLib.core.errors import InputError
from MeWMLib.core.protocol import Protocol
from MeWMLib.dynamics.actions import encode_protocols
from MeWMLib.dynamics.appearance import appearance
from MeWMLib.dynamics.attenuation import attenuate
from MeWMLib.dynamics.autoencoder import Autoencoder
from MeWMLib.dynamics.maps import tumour_maps
from MeWMLib.dynamics.model import treated_window
from MeWMLib.lab.synthetic.cases import SPLITS, Case, case_geometry, draw_case, draw_protocol
from MeWMLib.lab.synthetic.survival import attenuation_level
from MeWMLib.lab.training.response_head import VIABLE_FLOOR
from MeWMLib.perception.findings import viable_mask
from MeWMLib.survival.config import size_covariates
from MeWMLib.survival.patches import half_resolution

#: Protocols of each patient whose answer is noted without drawing its CT (they train the response head).
NOTED = 48
#: Folders of patients without outcomes in a cohort, by split; nothing is read from those of another.
SCANS = {"train": "scans", "validation": "scans_validation"}


def encode_case(case: Case, codec: Autoencoder, agents: list[str]) -> dict[str, NDArray[Any]]:
    """Arrays of one patient, P protocols with a drawn CT and `NOTED` others.

    Returns:
        before (C, d, h, w) float16 latent; changes (P, C, d, h, w) float16 latents after minus before; attenuated (4,
        C, d, h, w) float16 latents minus before of the CT attenuated to levels 1 to 4; masks (2, d, h, w) float16
        share of tumour and liver; appearance (F,), see `dynamics.appearance`; after_tumour (P, D*H*W/8) uint8, packed
        bits of the tumour afterwards; actions (P, A, 3), levels (P,), responses (P, 4) float32, see
        `dynamics.response`; noted_actions (N, A, 3), noted_responses (N, 4); spacing () mm; images (1 + P, 2, D/2,
        H/2, W/2) float16 before and after for the survival network; covariates (P, 4); true_log_risk (P,);
        months (), event (), seed ().
    """
    patient = SyntheticPatient.draw(case.seed)
    labels = case.before.labels
    dimmed = np.stack([attenuate(case.before.hu, labels, level, case.spacing_mm) for level in (1, 2, 3, 4)])
    with torch.inference_mode():
        before = codec.encode(torch.from_numpy(case.before.hu)[None, None])
        after = codec.encode(torch.from_numpy(np.stack([a.hu for a in case.after]))[:, None])
        attenuated = codec.encode(torch.from_numpy(dimmed)[:, None])
    masks = _shares(labels)
    return {
        **_noted(case.seed, patient.traits, agents),
        "before": before[0].half().numpy(),
        "appearance": seen(before[0].numpy(), masks, case.spacing_mm),
        "changes": (after - before).half().numpy(),
        "attenuated": (attenuated - before).half().numpy(),
        "masks": masks.astype(np.float16),
        "after_tumour": np.stack([np.packbits(a.labels == 2) for a in case.after]),
        "actions": encode_protocols(case.protocols, agents).numpy(),
        # what a report would state; 0 without an embolic
        "levels": np.array([attenuation_level(patient.response(p)) if p.embolics else 0 for p in case.protocols]),
        "responses": np.stack([responses(patient.response(p)) for p in case.protocols]),
        "spacing": np.float32(case.spacing_mm),
        "images": np.stack([half_resolution(d.hu, d.labels == 2) for d in (case.before, *case.after)]),
        "covariates": np.stack([covariates(case.before, d, case.spacing_mm) for d in case.after]),
        "true_log_risk": np.float32(case.true_log_risk),
        "months": np.float32(case.months),
        "event": np.bool_(case.event),
    }


def encode_scan(seed: int, codec: Autoencoder, agents: list[str]) -> dict[str, NDArray[Any]]:
    """What the response head learns from: a patient before treatment and `NOTED` protocols with their response.

    No outcome is drawn, so it takes a fifth of the time of `encode_case`. The responses are the expected ones: chance
    (`law.Traits`) is left out, which would only blur what the scan shows. How far the truth deviates from the head is
    measured on patients whose responses include it.

    Returns:
        appearance, noted_actions, noted_responses, seed as in `encode_case`.
    """
    patient = SyntheticPatient.draw(seed)
    geometry = case_geometry(patient)
    drawn = patient.render(geometry)
    with torch.inference_mode():
        before = codec.encode(torch.from_numpy(drawn.hu)[None, None])
    foreseen = replace(patient.traits, response_noise=0.0, volume_noise=0.0)
    appearance = seen(before[0].numpy(), _shares(drawn.labels), geometry.spacing[0])
    return {**_noted(seed, foreseen, agents), "appearance": appearance}


def _noted(seed: int, traits: Traits, agents: list[str]) -> dict[str, NDArray[Any]]:
    noted = noted_protocols(seed)
    return {
        "noted_actions": encode_protocols(noted, agents).numpy(),
        "noted_responses": np.stack([responses(respond(traits, p)) for p in noted]),
        "seed": np.int64(seed),
    }


def _shares(labels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Shares (2, d, h, w) of tumour and of liver with tumour in the blocks of a label map."""
    return np.stack([block_share(labels == 2), block_share(labels >= 1)])


def seen(before: NDArray[np.float32], shares: NDArray[np.float32], spacing_mm: float) -> NDArray[np.float32]:
    """Appearance (F,) from latent (C, d, h, w) and shares (2, d, h, w), as `DynamicsModel.encode` has it."""
    window = treated_window(shares[0])
    depth = tumour_maps(before[0], shares)[2]
    part = (slice(None), *window)
    return appearance(before[part], shares[part], depth[window], spacing_mm)


def noted_protocols(seed: int) -> list[Protocol]:
    """Protocols of a patient whose response is noted; the same for one seed."""
    rng = np.random.default_rng(derive_seed("noted", seed))
    return [draw_protocol(rng) for _ in range(NOTED)]


def responses(answer: Response) -> NDArray[np.float32]:
    """The numbers (4,) of `lab.training.response_head.RESPONSES` of a response."""
    left = 1 - answer.shrinkage
    viable = left * (1 - answer.necrosis)
    return np.array(
        [answer.necrosis, np.log(left), answer.necrosis * answer.lipiodol, np.log(viable + VIABLE_FLOOR)], np.float32
    )


def prepare(
    codec: Autoencoder,
    agents: list[str],
    folder: Path,
    split: str,
    count: int,
    start: int = 0,
    on_step: Callable[[str, float], None] | None = None,
    scans_only: bool = False,
) -> None:
    """Write the first `count` patients of a split, from number `start` on; files that exist are kept.

    `scans_only` writes `encode_scan` of each into the split's folder of `SCANS`, and no outcome.

    Raises:
        InputError: scans of a split that no training reads.
    """
    if scans_only and split not in SCANS:
        raise InputError(
            what="Scans without outcomes are read from two splits alone",
            given=split,
            remedy=f"Use {' or '.join(SCANS)}, or leave out --scans-only",
        )
    target = folder / (SCANS[split] if scans_only else split)
    target.mkdir(parents=True, exist_ok=True)
    for n in range(start, count):
        seed = SPLITS[split][n]
        path = target / f"{seed:06d}.npz"
        if not path.exists():
            arrays = encode_scan(seed, codec, agents) if scans_only else encode_case(draw_case(seed), codec, agents)
            save_case(path, arrays)
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
    viable = viable_mask(after.hu, tumour)
    return size_covariates(
        spacing_mm, float((before.labels == 2).sum() * ml), float(tumour.sum() * ml), float(viable.sum() * ml)
    )


def save_case(path: Path, arrays: dict[str, Any]) -> None:
    """Write one case's arrays as .npz, whole or not at all."""
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        np.savez(file, **arrays)
    part.replace(path)
