"""`mewm evaluate autoencoder`: which autoencoder holds a treated tumour best, for how many seconds.

An equal small budget, not the best that each could reach: see `autoencoder_trials` and docs/AUTOENCODERS.md.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import nn

from MeWMLib.core.bundles import Bundle
from MeWMLib.core.errors import GeometryMismatchError, InputError
from MeWMLib.core.io import atomic_path, write_json
from MeWMLib.core.structures import CT_WINDOW_HU
from MeWMLib.core.volume import TUMOUR, LabelMap, Volume
from MeWMLib.dynamics.autoencoder import Autoencoder, compand, expand
from MeWMLib.lab.codecs.trials import (
    TRAINED,
    BlockTrial,
    TrainingImages,
    Trial,
    fitted_codecs,
    seconds_of,
    train_trial,
    trained_named,
)
from MeWMLib.lab.evaluation.metrics import DRAWS, Rows
from MeWMLib.lab.evaluation.real_pair import DENSE_HU
from MeWMLib.lab.synthetic.cases import SPLITS, draw_case
from MeWMLib.perception.preprocess import patch_geometry, resample
from MeWMLib.perception.registration import Registration, register

FloatArray = NDArray[np.float32]
Mask = NDArray[np.bool_]
Say = Callable[[str, float], None]
#: Which outcomes of a validation patient are measured: what was given, and a protocol with another embolic.
OUTCOMES = (0, 3)


@dataclass(frozen=True)
class AutoencoderSettings:
    """What to compare.

    Attributes:
        work: folder of what was trained; a candidate that lies there is not trained again.
        minutes: of CPU time on one thread, for each candidate that is trained.
        trained: names in `autoencoder_trials.TRAINED`.
        channels: of the block codecs; 16 is among them, since others begin from it.
        patients: of the training range.
        validation: patients of the validation range.
        seed: of weights, crops, blocks and intervals.
        size: edge of the patches in voxels.

    Raises:
        InputError: a setting that cannot be.
    """

    work: Path
    minutes: float = 6.0
    trained: tuple[str, ...] = tuple(TRAINED)
    channels: tuple[int, ...] = (16, 20, 24, 32)
    patients: int = 20
    validation: int = 12
    seed: int = 0
    size: int = 96

    def __post_init__(self) -> None:
        for name in self.trained:
            trained_named(name)
        if not (self.minutes > 0 and self.patients > 0 and self.validation > 0):
            raise InputError(
                what="The comparison needs a budget and patients",
                given=f"{self.minutes} minutes, {self.patients} and {self.validation} patients",
                remedy="Give positive numbers",
            )
        if self.channels and not all(1 <= n <= 64 for n in self.channels):
            raise InputError(
                what="A block has 64 voxels, so a block codec has 1 to 64 channels",
                given=", ".join(map(str, self.channels)),
                remedy="Give --channels 16 24 32",
            )


@dataclass(frozen=True, eq=False)
class Outcome:
    """A patch after treatment (D, H, W): HU, where the tumour is, and where Lipiodol."""

    hu: FloatArray
    tumour: Mask
    lipiodol: Mask


@dataclass(frozen=True, eq=False)
class Treated:
    """A patch before treatment (D, H, W) HU, and what became of it."""

    before: FloatArray
    outcomes: tuple[Outcome, ...]


def evaluate_autoencoder(
    settings: AutoencoderSettings, bundle: Bundle | None = None, real: Treated | None = None, on_step: Say | None = None
) -> Rows:
    """Train, measure and time.

    Rows: `codec_shipped` (the bundle's), `codec_N` (block codecs of N channels fitted on the same training images),
    and the names of `settings.trained`.

    Metrics (PSNR over the 775 HU of the window, pooled over voxels, intervals over patients):

    - `tumour_psnr_db`, `lipiodol_psnr_db`: the image after treatment encoded and decoded by itself, in the tumour and
      in what holds Lipiodol.
    - `tumour_residual_psnr_db`, `lipiodol_residual_psnr_db`: as the dynamics model uses an autoencoder, x_pre +
      Dec(z_post) - Dec(z_pre) in companded intensities. For a linear codec this is x_pre + Dec(z_post - z_pre).
    - the same with `real_` before it, of `real`.
    - `encode_seconds`, `decode_seconds`: CPU time of one patch (on one thread: that of a free core).
    - `parameters`, `latent_channels`, `train_steps`, `train_error`.

    Returns:
        The rows.
    """
    say = on_step or (lambda stage, share: None)
    images: TrainingImages | None = None

    def drawn() -> TrainingImages:
        nonlocal images
        if images is None:
            images = TrainingImages.draw(settings.patients, settings.size, lambda s: say("training images", s))
        return images

    trials: dict[str, tuple[nn.Module, dict[str, float]]] = {}
    if bundle is not None:
        trials["codec_shipped"] = BlockTrial(Autoencoder.from_part(*bundle.part("autoencoder"))), {}
    codecs = _codecs(settings, drawn)
    trials |= {f"codec_{n}": (BlockTrial(codecs[n]), {}) for n in settings.channels}
    for name in settings.trained:
        trials[name] = _trained(name, settings, codecs[16], drawn, say)
    patients = [_patient(seed, settings.size) for seed in SPLITS["validation"][: settings.validation]]
    rows: dict[str, dict[str, dict[str, float]]] = {}
    for n, (name, (trial, figures)) in enumerate(trials.items()):
        own = measure(trial, patients, settings.seed)
        if real is not None:
            own |= {f"real_{k}": v for k, v in measure(trial, [real], settings.seed).items()}
        side = (settings.size,) * 3
        numbers = {
            **seconds_of(trial, side),  # type: ignore[arg-type]
            "parameters": float(sum(t.numel() for t in trial.state_dict().values())),
            "latent_channels": float(trial.encode(torch.zeros(1, 1, 16, 16, 16)).shape[1]),
            **figures,
        }
        rows[name] = own | {k: {"mean": v, "low": v, "high": v, "n": 1} for k, v in numbers.items()}
        say("measures", (n + 1) / len(trials))
    return rows


def _codecs(settings: AutoencoderSettings, images: Callable[[], TrainingImages]) -> dict[int, Autoencoder]:
    """Block codecs, read from the folder of work or fitted."""
    folder = settings.work / "codecs"
    found: dict[int, Autoencoder] = {}
    wanted = sorted({16, *settings.channels})
    missing = [n for n in wanted if not (folder / f"{n}.safetensors").is_file()]
    for n, codec in (fitted_codecs(images(), missing, settings.seed) if missing else {}).items():
        _save(folder / f"{n}.safetensors", codec)
    for n in wanted:
        state = safetensors.torch.load_file(folder / f"{n}.safetensors")
        found[n] = Autoencoder.from_part({"channels": n}, {k: v.numpy() for k, v in state.items()})
    return found


def _trained(
    name: str, settings: AutoencoderSettings, codec: Autoencoder, images: Callable[[], TrainingImages], say: Say
) -> tuple[nn.Module, dict[str, float]]:
    """A candidate, read from the folder of work or trained and kept there."""
    weights, about = settings.work / f"{name}.safetensors", settings.work / f"{name}.json"
    budget = {"minutes": settings.minutes, "patients": settings.patients, "seed": settings.seed}
    if weights.is_file() and about.is_file():
        trial = trained_named(name)(codec)
        kept = json.loads(about.read_text(encoding="utf-8"))
        if kept["budget"] != budget:
            raise InputError(
                what="The folder of work holds a candidate that was trained with another budget",
                given=f"{about}: {kept['budget']}, asked for {budget}",
                remedy="Give a new folder with --work",
            )
        safetensors.torch.load_model(trial, weights)
        return trial.eval(), kept["figures"]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        trial = trained_named(name)(codec)
        figures = train_trial(trial, images(), 60 * settings.minutes, settings.seed, lambda s: say(name, s))
    _save(weights, trial)
    write_json({"budget": budget, "figures": figures}, about)
    return trial, figures


def _save(path: Path, module: nn.Module) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as part:
        safetensors.torch.save_model(module, str(part))


def _patient(seed: int, size: int) -> Treated:
    case = draw_case(seed, size)
    chosen = [case.after[n] for n in OUTCOMES]
    return Treated(case.before.hu, tuple(Outcome(a.hu, a.labels == TUMOUR, a.lipiodol) for a in chosen))


def measure(trial: Trial, patients: Iterable[Treated], seed: int = 0) -> dict[str, dict[str, float]]:
    """The four PSNRs of `evaluate_autoencoder` over patients, each with several outcomes."""
    names = ("tumour_psnr_db", "lipiodol_psnr_db", "tumour_residual_psnr_db", "lipiodol_residual_psnr_db")
    sums: dict[str, list[tuple[float, int]]] = {name: [] for name in names}
    for patient in patients:
        own = {name: [0.0, 0] for name in names}
        for outcome, alone, residual in through(trial, patient):
            truth = np.clip(outcome.hu, *CT_WINDOW_HU)
            for kind, image in (("", alone), ("residual_", residual)):
                square = (image.astype(np.float64) - truth) ** 2
                for where, mask in (("tumour", outcome.tumour), ("lipiodol", outcome.lipiodol)):
                    total = own[f"{where}_{kind}psnr_db"]
                    total[0] += float(square[mask].sum())
                    total[1] += int(mask.sum())
        for name, (square_sum, count) in own.items():
            sums[name].append((square_sum, int(count)))
    return {name: bootstrap_psnr(values, seed) for name, values in sums.items()}


def through(trial: Trial, patient: Treated) -> Iterator[tuple[Outcome, FloatArray, FloatArray]]:
    """Each outcome with its image through an autoencoder (D, H, W) HU: by itself, and as a residual on `before`."""

    def companded(hu: FloatArray) -> torch.Tensor:
        return compand(torch.from_numpy(np.ascontiguousarray(hu, np.float32)))[None, None]

    with torch.inference_mode():
        before = companded(patient.before)
        known = trial.decode(trial.encode(before))
        for outcome in patient.outcomes:
            decoded = trial.decode(trial.encode(companded(outcome.hu)))
            yield outcome, expand(decoded)[0, 0].numpy(), expand(before + decoded - known)[0, 0].numpy()


def bootstrap_psnr(sums: list[tuple[float, int]], seed: int = 0) -> dict[str, float]:
    """PSNR (dB) pooled over voxels, with a 95 % percentile bootstrap interval over patients.

    Args:
        sums: squared errors (HU^2) and voxels of each patient; patients without voxels are left out.
        seed: of the resampling.
    """
    known = np.array([s for s in sums if s[1] > 0], float).reshape(-1, 2)
    if not len(known):
        return {"mean": float("nan"), "low": float("nan"), "high": float("nan"), "n": 0}
    width = CT_WINDOW_HU[1] - CT_WINDOW_HU[0]
    rng = np.random.default_rng(seed)
    drawn = known[rng.integers(0, len(known), (DRAWS, len(known)))].sum(1)  # (DRAWS, 2)

    def decibel(pooled: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(10 * np.log10(width**2 / np.maximum(pooled[..., 0] / pooled[..., 1], 1e-12)))

    low, high = np.percentile(decibel(drawn), [2.5, 97.5])
    return {"mean": float(decibel(known.sum(0))), "low": float(low), "high": float(high), "n": len(known)}


def real_scan(
    before: Volume, labels: LabelMap, after: Volume, size: int = 96, registration: Registration | None = None
) -> Treated:
    """The treated patch of a real pair, the scan after treatment registered to the one before.

    Raises:
        NoTumourError: the labels hold no tumour.
        GeometryMismatchError: the scans do not overlap, or the one after treatment does not reach the tumour.
    """
    moved = register(before, labels, after, registration or Registration())
    geometry = patch_geometry(labels, size)
    hu, post = (resample(a, before.geometry, geometry).astype(np.float32) for a in (before.array, moved.ct.array))
    tumour = resample(labels.array, before.geometry, geometry, "nearest", 0) == TUMOUR
    reached = resample(moved.covered.astype(np.uint8), before.geometry, geometry, "nearest", 0) > 0
    counted = tumour & reached
    if counted.sum() < 0.5 * tumour.sum():
        raise GeometryMismatchError(
            what="The registered scan after treatment does not cover the tumour",
            given=f"{100 * counted.sum() / tumour.sum():.0f} % of the tumour in the patch",
            remedy="Give a scan of the whole liver",
        )
    return Treated(hu, (Outcome(post, counted, counted & (post >= DENSE_HU)),))
