"""Settings of the map network's training and fine-tuning, on the command line or in a JSON file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from MeWMLib.core.errors import InputError
from MeWMLib.core.records import from_plain, read_json
from MeWMLib.lab.training.dynamics_settings import PRECISIONS, require_setting

_WHAT = "The training configuration"
_WHOLE, _POSITIVE, _ZERO = "Use a whole number from 1 on", "Use a positive number", "Use 0 or more"
_SHARE = "Use a share from 0 to 1"
#: Settings of either, what their values must be, and how to say so.
_RANGES: Mapping[str, tuple[Callable[[float], bool], str]] = {
    **dict.fromkeys(("steps", "rows", "sessions", "head_steps", "every", "drawn_rows"), (lambda v: v >= 1, _WHOLE)),
    **dict.fromkeys(("learning_rate", "head_rate", "time_power"), (lambda v: v > 0, _POSITIVE)),
    **dict.fromkeys(("minutes", "seed"), (lambda v: v >= 0, _ZERO)),
    **dict.fromkeys(("average", "mean_share"), (lambda v: 0 <= v <= 1, _SHARE)),
    "workers": (lambda v: 0 <= v <= 256, "Use a whole number from 0 to 256"),
    "condition": (lambda v: 1 <= v <= 4096, "Use a whole number from 1 to 4096"),
}
#: Channels of a width are normalised in so many groups; regions have whole cells on so many levels.
_GROUPS, _LEVELS = 8, 3
_Settings = TypeVar("_Settings", "MapTraining", "FineTuning")


@dataclass(frozen=True)
class MapTraining:
    """Settings of a training.

    Attributes:
        minutes, steps: where it ends, the head's own training not counted; 0 minutes for no limit.
        rows, sessions: of a batch, and how many sessions of each patient.
        learning_rate, average: AdamW, and decay of the averaged weights.
        mean_share: share of rows that are asked for the mean of all outcomes.
        time_power: times are drawn as u^time_power; more than 1 for more early ones.
        widths, condition: of a new network: channels at each resolution (1 to 3 multiples of 8), condition vector.
        head_steps, head_rate: of the response head, which is trained alone and first.
        every: steps between two checkpoints, each with a look at the validation patients.
        workers: processes that make batches; 0 makes them in between. The batches are the same. On a GPU, as many as
            cores.
        precision: "float32"; "bfloat16" for mixed precision; "auto" takes that where the hardware computes in it.
        seed: of everything that is drawn.

    Raises:
        InputError: a setting that cannot be.
    """

    minutes: float = 0.0
    steps: int = 20000
    rows: int = 16
    sessions: int = 2
    learning_rate: float = 6e-4
    average: float = 0.998
    mean_share: float = 0.35
    time_power: float = 1.5
    widths: tuple[int, ...] = (48, 96, 192)
    condition: int = 128
    head_steps: int = 12000
    head_rate: float = 1.2e-3
    every: int = 100
    workers: int = 0
    precision: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        _require_ranges(self)
        sizes = 1 <= len(self.widths) <= _LEVELS and all(w > 0 and w % _GROUPS == 0 for w in self.widths)
        require_setting(sizes, "widths", list(self.widths), f"Give 1 to {_LEVELS} positive multiples of {_GROUPS}")


@dataclass(frozen=True)
class FineTuning:
    """Settings of a fine-tuning.

    Attributes:
        minutes, steps: at most; 0 minutes for no limit.
        every: steps between two looks at the held-out pairs.
        rows, drawn_rows: of a batch from real pairs and from drawn patients.
        learning_rate, average: AdamW, and decay of the averaged weights.
        precision: as in `MapTraining`.
        seed: of everything that is drawn.

    Raises:
        InputError: a setting that cannot be.
    """

    minutes: float = 0.0
    steps: int = 300
    every: int = 20
    rows: int = 8
    drawn_rows: int = 8
    learning_rate: float = 1e-4
    average: float = 0.97
    precision: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        _require_ranges(self)


def _require_ranges(settings: MapTraining | FineTuning) -> None:
    for name, value in vars(settings).items():
        if name in _RANGES:
            fits, remedy = _RANGES[name]
            require_setting(fits(value), name, value, remedy)
    known = settings.precision in PRECISIONS
    require_setting(known, "precision", settings.precision, f"Use {' or '.join(PRECISIONS)}")


def read_map_settings(path: Path | None, kind: type[_Settings], given: Mapping[str, object]) -> _Settings:
    """Settings from a JSON object whose keys are attributes of `kind`, and what is given beside it.

    Args:
        path: of the file, or None.
        kind: `MapTraining` or `FineTuning`.
        given: values that count more than the file; None leaves a setting to it.

    Raises:
        UnreadableFileError: the file is missing, or is not JSON.
        InputError: not an object, a key that `kind` does not have (the settings of the latent model are others), a
            value of the wrong type or out of its range.
    """
    remedy = "Give a JSON file of settings (docs/TRAINING.md)"
    plain = {} if path is None else read_json(path, _WHAT, remedy=remedy)
    if isinstance(plain, dict):  # anything else is refused below
        plain |= {k: v for k, v in given.items() if v is not None}
    latent = "; for those of the latent model add --model latent"
    return from_plain(kind, plain, _WHAT, InputError, f"Use the settings of {kind.__name__} (docs/TRAINING.md){latent}")
