"""Settings of `mewm train dynamics --model latent`, on the command line or in a JSON file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from MeWMLib.core.errors import InputError
from MeWMLib.core.records import from_plain, read_json

PRECISIONS = ("float32", "bfloat16", "auto")
#: Groups of the denoiser's normalisation; every width is a multiple.
_GROUPS = 8
_WHAT = "The training configuration"
#: Settings, what their values must be, and how to say so.
_RANGES: tuple[tuple[tuple[str, ...], Callable[[float], bool], str], ...] = (
    (("steps", "batch", "pairs", "condition", "accumulate"), lambda v: v >= 1, "Use a whole number from 1 on"),
    (
        ("minutes", "response_weight", "contrastive_weight", "outside_weight", "seed", "head_steps"),
        lambda v: v >= 0,
        "Use 0 or more",
    ),
    (("learning_rate", "time_power"), lambda v: v > 0, "Use a positive number"),
    (("action_dropout", "average", "image_share"), lambda v: 0 <= v <= 1, "Use a share from 0 to 1"),
)


@dataclass(frozen=True)
class DynamicsTraining:
    """Settings.

    Attributes:
        steps: optimiser steps, unless `minutes` ends the run first.
        minutes: 0 means no limit.
        batch: outcomes that one process takes at once.
        learning_rate: peak; warms up over 50 steps and falls by a cosine (over the steps, or the minutes where they
            are given).
        action_dropout: share of outcomes whose action is hidden (classifier-free guidance).
        pairs: patients in a batch; each gives batch / pairs protocols, so that actions are what differs.
        response: False keeps the response from the U-Net, which then has to guess it (ablation).
        fate: False trains without the maps of order, place and their margins (ablation); they need the response.
        response_weight: of the response head's error; 0 turns the head off, which needs `response` off too.
        head_steps: optimiser steps that train the response head alone, on all patients that the cohort holds, before
            the first step of the U-Net; it is kept from then on, as is that of a bundle that is started from. 0
            trains both together.
        contrastive_weight: of combo contrastive learning; 0 turns it off (ablation).
        time_power: times are drawn as u ** time_power, u uniform; above 1 most of them are early.
        action_blind: hide every action, text and attenuation level (the baseline `action_blind`).
        reports: tell the U-Net of the treatment by the embedding of an operation report, not by agents and doses
            (baseline `textomorph`); needs `response` off and an installed sentence encoder.
        text, attenuation: False trains without that input (ablations).
        image_share: how far the channels of the latent count by what they mean in the image (the first one, the mean
            of a block, holds four fifths of the change of HU) and not all alike.
        outside_weight: loss weight of blocks that touch no tumour (they are cut away when the patch is composed).
        average: decay of the averaged weights.
        seed: of the weights and every draw.
        start: folder of the bundle whose denoiser is trained on, with its sizes; None starts from random weights.
        widths: channels of the denoiser at each resolution, finest first; multiples of 8, 1 to 4 of them.
        condition: width of the denoiser's condition vector.
        accumulate: batches whose gradients make one step; each process takes so many.
        precision: "float32"; "bfloat16" for mixed precision (weights stay float32); "auto" takes that where the
            hardware computes in it.

    Raises:
        InputError: a setting that cannot be.
    """

    steps: int = 2000
    minutes: float = 0.0
    batch: int = 12
    pairs: int = 4
    learning_rate: float = 1e-3
    action_dropout: float = 0.1
    response: bool = True
    fate: bool = True
    response_weight: float = 0.3
    head_steps: int = 0
    contrastive_weight: float = 0.02
    time_power: float = 3.0
    action_blind: bool = False
    text: bool = True
    reports: bool = False
    attenuation: bool = True
    image_share: float = 0.8
    outside_weight: float = 0.05
    average: float = 0.995
    seed: int = 0
    start: str | None = None
    widths: tuple[int, ...] = (32, 64, 128)
    condition: int = 128
    accumulate: int = 1
    precision: str = "float32"

    def __post_init__(self) -> None:
        for names, fits, remedy in _RANGES:
            for name in names:
                value = getattr(self, name)
                require_setting(fits(value), name, value, remedy)
        require_setting(
            self.response_weight > 0 or not self.response or self.action_blind, "response_weight", self.response_weight,
            "Without a trained head the U-Net cannot be told the response: set response to false too",
        )  # fmt: skip
        no_agents = not (self.reports and self.response)
        require_setting(no_agents, "reports", self.reports, "A response head knows agents: set response to false")
        require_setting(self.response or not self.fate, "fate", self.fate, "Maps of the fate need the response")
        sizes = 1 <= len(self.widths) <= 4 and all(w > 0 and w % _GROUPS == 0 for w in self.widths)
        require_setting(sizes, "widths", list(self.widths), f"Give 1 to 4 positive multiples of {_GROUPS}")
        require_setting(self.precision in PRECISIONS, "precision", self.precision, f"Use {' or '.join(PRECISIONS)}")


def require_setting(good: bool, name: str, given: object, remedy: str) -> None:
    """Refuse a setting of a training unless it is good.

    Raises:
        InputError: it is not; it names the setting.
    """
    if not good:
        raise InputError(what=f"The training setting {name} cannot be used", given=f"{name} = {given}", remedy=remedy)


def read_settings(path: Path) -> DynamicsTraining:
    """Read settings from a JSON object whose keys are attributes of `DynamicsTraining`; the others keep their default.

    Raises:
        UnreadableFileError: the file is missing, or is not JSON.
        InputError: not an object, an unknown key, a value of the wrong type or out of its range.
    """
    remedy = "Give a JSON file, for example Resources/Configs/mewm-base.json"
    return from_plain(DynamicsTraining, read_json(path, _WHAT, remedy=remedy), _WHAT)
