"""Autoencoders to choose among, each with the same small budget of training on the same images.

All work on companded intensities (`dynamics.autoencoder.compand`) and are trained on their mean squared error, the
error whose minimum the principal components of the block codec are. Adam, a cosine from `LEARNING_RATE` to zero over
the budget. The budget is CPU time of the process, so that a machine that is shared does not favour anyone.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol as Interface

import numpy as np
import torch
from monai.networks.nets import VQVAE, AutoencoderKL
from numpy.typing import NDArray
from torch import Tensor, nn

from MeWMLib.core.errors import InputError
from MeWMLib.dynamics.autoencoder import Autoencoder, compand, expand, fit, from_blocks, to_blocks
from MeWMLib.lab.codecs.space_to_depth import SpaceToDepth, SpaceToDepthConfig
from MeWMLib.lab.codecs.vqgan import VQGAN
from MeWMLib.lab.synthetic.cases import SPLITS, draw_case

LEARNING_RATE = 1e-3
#: Crops of a step, their edge in voxels, and the share of them that is centred on a tumour voxel.
BATCH, EDGE, ON_TUMOUR = 4, 32, 0.8
#: Which outcomes of a training patient are taken beside the CT before treatment: what was given, and two protocols
#: with other embolics.
OUTCOMES = (0, 3, 4)
#: Weight of the Kullback-Leibler term (Rombach 2022, arXiv 2112.10752, appendix G).
KL_WEIGHT = 1e-6


class Trial(Interface):
    """What every candidate can do; `y` is a companded image (N, 1, D, H, W), sizes divisible by 4."""

    def encode(self, y: Tensor) -> Tensor:
        """Latents (N, C, D/4, H/4, W/4)."""
        ...

    def decode(self, latent: Tensor) -> Tensor:
        """Companded image (N, 1, D, H, W)."""
        ...

    def losses(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Reconstruction, and what is added to its error."""
        ...


class BlockTrial(nn.Module):
    """The linear block codec; it is fitted, not trained."""

    def __init__(self, codec: Autoencoder) -> None:
        super().__init__()
        self.codec = codec

    def encode(self, y: Tensor) -> Tensor:  # noqa: D102
        latent = ((to_blocks(y) - self.codec.mean) @ self.codec.basis.T) / self.codec.scale
        return latent.permute(0, 4, 1, 2, 3).contiguous()

    def decode(self, latent: Tensor) -> Tensor:  # noqa: D102
        blocks = (latent.permute(0, 2, 3, 4, 1) * self.codec.scale) @ self.codec.basis + self.codec.mean
        return from_blocks(blocks)


class SpaceToDepthTrial(nn.Module):
    """Space to depth; with `start` its 1^3 convolutions begin as those of a codec, so that it begins as that codec."""

    def __init__(self, start: Autoencoder | None = None) -> None:
        super().__init__()
        self.network = SpaceToDepth(SpaceToDepthConfig(start.channels) if start else None)
        if start is not None:
            begin_as(self.network, start)

    def encode(self, y: Tensor) -> Tensor:  # noqa: D102
        return self.network.encode(y)

    def decode(self, latent: Tensor) -> Tensor:  # noqa: D102
        return self.network.decode(latent)

    def losses(self, y: Tensor) -> tuple[Tensor, Tensor]:  # noqa: D102
        return self.network(y), y.new_zeros(())


class VqganTrial(nn.Module):
    """The paper's layout with the loss of its codebook; no adversarial and no perceptual term."""

    def __init__(self) -> None:
        super().__init__()
        self.network = VQGAN()

    def encode(self, y: Tensor) -> Tensor:  # noqa: D102
        return self.network.encode(y)

    def decode(self, latent: Tensor) -> Tensor:  # noqa: D102
        return self.network.decode(latent)

    def losses(self, y: Tensor) -> tuple[Tensor, Tensor]:  # noqa: D102
        reconstruction, loss = self.network(y)
        return reconstruction, loss


class MonaiVqvaeTrial(nn.Module):
    """VQVAE of MONAI, 4x down, 1,024 codes of 16 numbers."""

    def __init__(self) -> None:
        super().__init__()
        down, up = ((2, 4, 1, 1),) * 2, ((2, 4, 1, 1, 0),) * 2
        self.network = VQVAE(3, 1, 1, (32, 64), 1, (32, 64), down, up, num_embeddings=1024, embedding_dim=16)

    def encode(self, y: Tensor) -> Tensor:  # noqa: D102
        return self.network.encode(y)

    def decode(self, latent: Tensor) -> Tensor:  # noqa: D102
        return self.network.decode(self.network.quantize(latent)[0])

    def losses(self, y: Tensor) -> tuple[Tensor, Tensor]:  # noqa: D102
        reconstruction, loss = self.network(y)
        return reconstruction, loss


class MonaiKlTrial(nn.Module):
    """AutoencoderKL of MONAI, 4x down, 16 channels, no attention."""

    def __init__(self) -> None:
        super().__init__()
        self.network = AutoencoderKL(
            3, num_res_blocks=1, channels=(16, 32, 64), attention_levels=(False,) * 3, latent_channels=16,
            norm_num_groups=8, with_encoder_nonlocal_attn=False, with_decoder_nonlocal_attn=False,
        )  # fmt: skip

    def encode(self, y: Tensor) -> Tensor:  # noqa: D102
        return self.network.encode(y)[0]

    def decode(self, latent: Tensor) -> Tensor:  # noqa: D102
        return self.network.decode(latent)

    def losses(self, y: Tensor) -> tuple[Tensor, Tensor]:  # noqa: D102
        reconstruction, mean, deviation = self.network(y)
        kl = 0.5 * (mean.square() + deviation.square() - 2 * deviation.log() - 1)
        return reconstruction, KL_WEIGHT * kl.sum((1, 2, 3, 4)).mean()


#: Name to what builds it from the codec of as many channels that was fitted on the same images.
TRAINED: dict[str, Callable[[Autoencoder], nn.Module]] = {
    "space_to_depth": lambda codec: SpaceToDepthTrial(),
    "space_to_depth_from_codec": SpaceToDepthTrial,
    "monai_vqvae": lambda codec: MonaiVqvaeTrial(),
    "monai_autoencoder_kl": lambda codec: MonaiKlTrial(),
    "vqgan": lambda codec: VqganTrial(),
}


def trained_named(name: str) -> Callable[[Autoencoder], nn.Module]:
    """What builds a candidate.

    Raises:
        InputError: there is none of this name.
    """
    if name not in TRAINED:
        raise InputError(
            what="There is no such autoencoder to train", given=name, remedy=f"Take some of {', '.join(TRAINED)}"
        )
    return TRAINED[name]


def begin_as(network: SpaceToDepth, codec: Autoencoder) -> None:
    """Make a space-to-depth network compute what a codec computes; its residual branches begin at zero anyway.

    Raises:
        InputError: another number of channels, or a network narrower than a block.
    """
    config, size = network.config, codec.basis.shape[1]
    if config.channels != codec.channels or config.width < size:
        raise InputError(
            what="The network cannot begin as this codec",
            given=f"{config.channels} channels and width {config.width} for {codec.channels} and {size}",
            remedy="Give as many channels as the codec has and a width of 64 or more",
        )
    encode, decode = codec.basis / codec.scale[:, None], codec.basis * codec.scale[:, None]  # (C, 64) both
    same = torch.zeros(config.width, size)
    same[:size] = torch.eye(size)
    first, last = network.encoder[0], network.encoder[-1]
    begin, end = network.decoder[0], network.decoder[-1]
    values = [
        (first, same, torch.zeros(config.width)),
        (last, encode @ same.T, -encode @ codec.mean),
        (begin, same @ decode.T, same @ codec.mean),
        (end, same.T, torch.zeros(size)),
    ]
    with torch.no_grad():
        for layer, weight, bias in values:
            layer.weight.copy_(weight[..., None, None, None])
            layer.bias.copy_(bias)


@dataclass(frozen=True, eq=False)
class TrainingImages:
    """Companded images (M, 1, D, H, W) of training patients, and tumour voxels (n, 3) of each."""

    images: Tensor
    tumours: tuple[NDArray[np.int64], ...]

    @classmethod
    def draw(cls, patients: int, size: int = 96, on_step: Callable[[float], None] | None = None) -> TrainingImages:
        """Draw the first patients of the training range: before treatment and after `OUTCOMES` protocols."""
        images, tumours = [], []
        for n, seed in enumerate(SPLITS["train"][:patients]):
            case = draw_case(seed, size)
            for drawn in (case.before, *(case.after[n] for n in OUTCOMES)):
                images.append(compand(torch.from_numpy(drawn.hu)).half())
                tumours.append(np.argwhere(drawn.labels == 2))
            if on_step is not None:
                on_step((n + 1) / patients)
        return cls(torch.stack(images)[:, None], tuple(tumours))

    def batch(self, rng: np.random.Generator, size: int = BATCH, edge: int = EDGE) -> Tensor:
        """Random crops (size, 1, edge, edge, edge)."""
        crops = []
        whole = np.array(self.images.shape[2:])
        for number in rng.integers(len(self.images), size=size):
            spots = self.tumours[number]
            on_tumour = len(spots) and rng.random() < ON_TUMOUR
            middle = spots[rng.integers(len(spots))] if on_tumour else rng.integers(0, whole)
            k, j, i = (int(n) for n in np.clip(middle - edge // 2, 0, whole - edge))
            crops.append(self.images[number, :, k : k + edge, j : j + edge, i : i + edge])
        return torch.stack(crops).float()

    def blocks(self, rng: np.random.Generator) -> Tensor:
        """Blocks (n, 64) for the codec: all that touch tumour and as many others."""
        chosen = []
        for image, spots in zip(self.images, self.tumours, strict=True):
            blocks = to_blocks(image[None].float())[0]  # (d, h, w, 64)
            touched = np.zeros(blocks.shape[:3], bool)
            touched[tuple((spots // 4).T)] = True
            flat = blocks.reshape(-1, blocks.shape[-1])
            others = rng.integers(0, len(flat), int(touched.sum()))
            chosen += [flat[torch.from_numpy(touched.ravel())], flat[torch.from_numpy(others)]]
        return torch.cat(chosen)


def fitted_codecs(images: TrainingImages, channels: Sequence[int], seed: int = 0) -> dict[int, Autoencoder]:
    """Block codecs of several numbers of channels, all fitted on the same blocks."""
    blocks = images.blocks(np.random.default_rng(seed))
    return {n: fit(blocks, n) for n in channels}


def train_trial(
    trial: nn.Module,
    images: TrainingImages,
    cpu_seconds: float,
    seed: int = 0,
    on_step: Callable[[float], None] | None = None,
    clock: Callable[[], float] = time.process_time,
) -> dict[str, float]:
    """Train in place until the budget is spent.

    Args:
        trial: see `Trial`.
        images: to cut crops from.
        cpu_seconds: CPU time of this process.
        seed: of the crops.
        on_step: told the share of the budget that is spent.
        clock: seconds by which the budget is counted.

    Returns:
        train_steps, train_cpu_seconds and train_error, the mean squared error (companded) of the last tenth of steps.
    """
    rng = np.random.default_rng(seed)
    optimiser = torch.optim.Adam(trial.parameters(), LEARNING_RATE)
    trial.train()
    errors: list[float] = []
    begun = clock()
    while (spent := clock() - begun) < cpu_seconds:
        for group in optimiser.param_groups:
            group["lr"] = LEARNING_RATE * 0.5 * (1 + math.cos(math.pi * spent / cpu_seconds))
        y = images.batch(rng)
        again, more = trial.losses(y)
        error = (again - y).square().mean()
        optimiser.zero_grad()
        (error + more).backward()
        nn.utils.clip_grad_norm_(trial.parameters(), 1.0)
        optimiser.step()
        errors.append(float(error.detach()))
        if on_step is not None:
            on_step(spent / cpu_seconds)
    trial.eval()
    last = errors[-max(1, len(errors) // 10) :]
    return {
        "train_steps": float(len(errors)),
        "train_cpu_seconds": clock() - begun,
        "train_error": float(np.mean(last)),
    }


def seconds_of(trial: Trial, shape: tuple[int, int, int] = (96, 96, 96), repeats: int = 5) -> dict[str, float]:
    """Median CPU seconds of encoding and of decoding one image from and to HU, after one of each.

    CPU time, so that others on the machine do not count; on one thread it is the time of a free core.
    """
    hu = torch.linspace(-175, 600, math.prod(shape)).reshape(1, 1, *shape)
    encode, decode = [], []
    with torch.inference_mode():
        for _ in range(repeats + 1):
            begun = time.process_time()
            latent = trial.encode(compand(hu))
            between = time.process_time()
            expand(trial.decode(latent))
            encode.append(between - begun)
            decode.append(time.process_time() - between)
    return {"encode_seconds": float(np.median(encode[1:])), "decode_seconds": float(np.median(decode[1:]))}
