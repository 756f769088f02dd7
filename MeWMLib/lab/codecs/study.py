"""`mewm evaluate autoencoder`: which block codec holds a treated tumour best, for how many seconds.

What is compared, and what was found: docs/AUTOENCODERS.md.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray

from MeWMLib.core.bundles import Bundle
from MeWMLib.core.errors import GeometryMismatchError, InputError
from MeWMLib.core.io import atomic_path
from MeWMLib.core.structures import CT_WINDOW_HU
from MeWMLib.core.volume import TUMOUR, LabelMap, Volume
from MeWMLib.dynamics.autoencoder import Autoencoder, fit
from MeWMLib.lab.evaluation.metrics import DRAWS, Rows
from MeWMLib.lab.evaluation.real_pair import DENSE_HU
from MeWMLib.lab.registration import Registration, register
from MeWMLib.lab.synthetic.cases import SPLITS, draw_case
from MeWMLib.lab.training.autoencoder import blocks_of
from MeWMLib.perception.preprocess import patch_geometry, resample

FloatArray = NDArray[np.float32]
Mask = NDArray[np.bool_]
Say = Callable[[str, float], None]
#: Which outcomes of a validation patient are measured: what was given, and a protocol with another embolic.
OUTCOMES = (0, 3)
#: Which outcomes of a training patient are fitted to, beside the CT before treatment: one embolic more.
FITTED_OUTCOMES = (0, 3, 4)


@dataclass(frozen=True)
class AutoencoderSettings:
    """What to compare.

    Attributes:
        work: folder of the codecs that were fitted; one that it holds is not fitted again.
        channels: of the block codecs.
        patients: of the training range.
        validation: patients of the validation range.
        seed: of the choice of blocks and of the intervals.
        size: edge of the patches in voxels.

    Raises:
        InputError: a setting that cannot be.
    """

    work: Path
    channels: tuple[int, ...] = (16, 20, 24, 32)
    patients: int = 20
    validation: int = 12
    seed: int = 0
    size: int = 96

    def __post_init__(self) -> None:
        if not (self.patients > 0 and self.validation > 0):
            raise InputError(
                what="The comparison needs patients",
                given=f"{self.patients} and {self.validation} patients",
                remedy="Give positive numbers",
            )
        if not all(1 <= n <= 64 for n in self.channels):
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
    """Fit, measure and time.

    Rows: `codec_shipped` (the bundle's) and `codec_N` (block codecs of N channels fitted on the same training images).

    Metrics (PSNR over the 775 HU of the window, pooled over voxels, intervals over patients):

    - `tumour_psnr_db`, `lipiodol_psnr_db`: the image after treatment encoded and decoded by itself, in the tumour and
      in what holds Lipiodol.
    - `tumour_residual_psnr_db`, `lipiodol_residual_psnr_db`: as the dynamics model uses a codec, x_pre +
      Dec(z_post - z_pre) in companded intensities.
    - the same with `real_` before it, of `real`.
    - `encode_seconds`, `decode_seconds`: CPU time of one patch (on one thread: that of a free core).
    - `parameters`, `latent_channels`.

    Returns:
        The rows.
    """
    say = on_step or (lambda stage, share: None)
    codecs: dict[str, Autoencoder] = {}
    if bundle is not None:
        codecs["codec_shipped"] = Autoencoder.from_part(*bundle.part("autoencoder"))
    codecs |= {f"codec_{n}": codec for n, codec in _fitted(settings, say).items()}
    patients = [_patient(seed, settings.size) for seed in SPLITS["validation"][: settings.validation]]
    rows: dict[str, dict[str, dict[str, float]]] = {}
    for n, (name, codec) in enumerate(codecs.items()):
        own = measure(codec, patients, settings.seed)
        if real is not None:
            own |= {f"real_{k}": v for k, v in measure(codec, [real], settings.seed).items()}
        numbers = {
            **seconds_of(codec, (settings.size,) * 3),
            "parameters": float(sum(t.numel() for t in codec.state_dict().values())),
            "latent_channels": float(codec.channels),
        }
        rows[name] = own | {k: {"mean": v, "low": v, "high": v, "n": 1} for k, v in numbers.items()}
        say("measures", (n + 1) / len(codecs))
    return rows


def _fitted(settings: AutoencoderSettings, say: Say) -> dict[int, Autoencoder]:
    """Block codecs, read from the folder of work or fitted, all on the same blocks."""
    files = {n: settings.work / "codecs" / f"{n}.safetensors" for n in settings.channels}
    missing = [n for n, path in files.items() if not path.is_file()]
    if missing:
        rng = np.random.default_rng(settings.seed)
        chosen = []
        for n, seed in enumerate(SPLITS["train"][: settings.patients]):
            chosen.append(blocks_of(draw_case(seed, settings.size), rng, FITTED_OUTCOMES))
            say("training images", (n + 1) / settings.patients)
        blocks = torch.cat(chosen)
        for n in missing:
            with atomic_path(files[n]) as part:
                safetensors.torch.save_file(fit(blocks, n).state_dict(), part)
    found = {}
    for n, path in files.items():
        state = safetensors.torch.load_file(path)
        found[n] = Autoencoder.from_part({"channels": n}, {k: v.numpy() for k, v in state.items()})
    return found


def _patient(seed: int, size: int) -> Treated:
    case = draw_case(seed, size)
    chosen = [case.after[n] for n in OUTCOMES]
    return Treated(case.before.hu, tuple(Outcome(a.hu, a.labels == TUMOUR, a.lipiodol) for a in chosen))


def measure(codec: Autoencoder, patients: Iterable[Treated], seed: int = 0) -> dict[str, dict[str, float]]:
    """The four PSNRs of `evaluate_autoencoder` over patients, each with several outcomes."""
    names = ("tumour_psnr_db", "lipiodol_psnr_db", "tumour_residual_psnr_db", "lipiodol_residual_psnr_db")
    sums: dict[str, list[tuple[float, int]]] = {name: [] for name in names}
    for patient in patients:
        own = {name: [0.0, 0] for name in names}
        for outcome, alone, residual in through(codec, patient):
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


def through(codec: Autoencoder, patient: Treated) -> Iterator[tuple[Outcome, FloatArray, FloatArray]]:
    """Each outcome with its image through a codec (D, H, W) HU: by itself, and as a change of `before`."""
    with torch.inference_mode():
        before = torch.from_numpy(patient.before)[None, None]
        known = codec.encode(before)
        for outcome in patient.outcomes:
            latent = codec.encode(torch.from_numpy(outcome.hu)[None, None])
            alone, residual = codec.decode(latent), codec.decode_change(before, latent - known)
            yield outcome, alone[0, 0].numpy(), residual[0, 0].numpy()


def seconds_of(codec: Autoencoder, shape: Sequence[int] = (96, 96, 96), repeats: int = 5) -> dict[str, float]:
    """Median CPU seconds of encoding and of decoding one image from and to HU, after one of each.

    CPU time, so that others on the machine do not count; on one thread it is the time of a free core.
    """
    hu = torch.linspace(*CT_WINDOW_HU, math.prod(shape)).reshape(1, 1, *shape)
    encode, decode = [], []
    with torch.inference_mode():
        for _ in range(repeats + 1):
            begun = time.process_time()
            latent = codec.encode(hu)
            between = time.process_time()
            codec.decode(latent)
            encode.append(between - begun)
            decode.append(time.process_time() - between)
    return {"encode_seconds": float(np.median(encode[1:])), "decode_seconds": float(np.median(decode[1:]))}


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
