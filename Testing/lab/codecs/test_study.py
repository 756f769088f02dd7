"""The comparison of autoencoders: what is measured, one budget for all, and how a network begins as a codec."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from MeWMLib.lab.codecs.space_to_depth import SpaceToDepth, SpaceToDepthConfig
from MeWMLib.lab.codecs.trials import TRAINED, BlockTrial, TrainingImages, begin_as, train_trial
from torch import nn

from MeWMLib.core.errors import InputError
from MeWMLib.dynamics.autoencoder import Autoencoder, compand, fit, to_blocks
from MeWMLib.lab.codecs import study as autoencoder
from MeWMLib.lab.codecs import trials as autoencoder_trials
from MeWMLib.lab.codecs.study import AutoencoderSettings, Outcome, Treated, bootstrap_psnr, measure, through
from MeWMLib.lab.evaluation.__main__ import AUTOENCODERS, _parser


def image(seed: int, size: int = 16) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.asarray(np.kron(rng.normal(90, 60, (size // 4,) * 3), np.ones((4, 4, 4))) + rng.normal(0, 9, (size,) * 3))


@pytest.fixture(scope="module")
def codec() -> Autoencoder:
    blocks = [
        to_blocks(compand(torch.tensor(image(n), dtype=torch.float32))[None, None]).reshape(-1, 64) for n in range(9)
    ]
    return fit(torch.cat(blocks), 16)


@pytest.fixture(scope="module")
def images() -> TrainingImages:
    stack = torch.stack([compand(torch.tensor(image(n), dtype=torch.float32)) for n in range(3)])[:, None]
    return TrainingImages(stack.half(), tuple(np.array([[9, 9, 9], [10, 9, 9]]) for _ in range(3)))


def patient(seed: int) -> Treated:
    after, where = image(seed + 50).astype(np.float32), np.zeros((16,) * 3, bool)
    where[4:12, 4:12, 4:12] = True
    return Treated(image(seed).astype(np.float32), (Outcome(after, where, where & (after > 150)),))


def test_the_codec_is_measured_as_the_dynamics_model_uses_it(codec: Autoencoder) -> None:
    someone = patient(0)
    _, alone, residual = next(iter(through(BlockTrial(codec), someone)))
    before, after = (torch.from_numpy(a)[None, None] for a in (someone.before, someone.outcomes[0].hu))
    assert np.allclose(alone, codec.decode(codec.encode(after))[0, 0], atol=1e-2)
    changed = codec.decode_change(before, codec.encode(after) - codec.encode(before))
    assert np.allclose(residual, changed[0, 0], atol=1e-2)


def test_psnr_is_that_of_the_errors(codec: Autoencoder) -> None:
    class Off(nn.Module):
        """Ten HU too bright at 60 HU, where the companded scale has 100 HU a unit."""

        def encode(self, y: torch.Tensor) -> torch.Tensor:
            return y

        def decode(self, latent: torch.Tensor) -> torch.Tensor:
            return latent + 0.1

    flat = np.full((16,) * 3, 60, np.float32)
    everywhere = np.ones((16,) * 3, bool)
    rows = measure(Off(), [Treated(flat, (Outcome(flat, everywhere, ~everywhere),))] * 3)
    assert rows["tumour_psnr_db"]["mean"] == pytest.approx(20 * np.log10(775 / (100 * np.sinh(0.1))), abs=1e-3)
    assert rows["tumour_psnr_db"]["n"] == 3 and rows["tumour_residual_psnr_db"]["mean"] > 60  # the error cancels
    assert rows["lipiodol_psnr_db"]["n"] == 0 and np.isnan(rows["lipiodol_psnr_db"]["mean"])


def test_psnr_is_pooled_over_voxels_and_the_interval_over_patients() -> None:
    found = bootstrap_psnr([(100.0, 1), (100.0 * 99, 99), (0.0, 0)])
    for key in ("mean", "low", "high"):  # both patients have the same error a voxel
        assert found[key] == pytest.approx(10 * np.log10(775**2 / 100))
    assert found["n"] == 2
    spread = bootstrap_psnr([(1000.0, 10), (90.0, 10)])
    assert spread["mean"] == pytest.approx(10 * np.log10(775**2 / 54.5))
    assert spread["low"] < spread["mean"] < spread["high"]


def test_space_to_depth_can_begin_as_a_codec(codec: Autoencoder) -> None:
    network = SpaceToDepth(SpaceToDepthConfig(16))
    y = compand(torch.tensor(image(20), dtype=torch.float32))[None, None]
    plain = BlockTrial(codec)
    assert (network(y) - plain.decode(plain.encode(y))).abs().max() > 0.1
    begin_as(network, codec)
    assert torch.allclose(network.encode(y), plain.encode(y), atol=1e-4)
    assert torch.allclose(network(y), plain.decode(plain.encode(y)), atol=1e-4)
    for config in (SpaceToDepthConfig(8), SpaceToDepthConfig(16, width=32)):
        with pytest.raises(InputError, match="begin as this codec"):
            begin_as(SpaceToDepth(config), codec)


@pytest.mark.parametrize("name", list(TRAINED))
def test_every_candidate_is_four_times_smaller_and_learns(
    name: str, codec: Autoencoder, images: TrainingImages
) -> None:
    torch.manual_seed(0)
    trial = TRAINED[name](codec)
    y = images.batch(np.random.default_rng(0), 2, 16)
    again, more = trial.losses(y)
    assert again.shape == y.shape and torch.isfinite(more) and more.ndim == 0
    assert trial.encode(y).shape[2:] == (4, 4, 4) and trial.decode(trial.encode(y)).shape == y.shape
    ((again - y).square().mean() + more).backward()
    for part in ("encoder", "decoder"):
        weights = [p for n, p in trial.named_parameters() if part in n]
        assert weights and any(p.grad is not None and p.grad.abs().max() > 0 for p in weights)


def test_training_spends_the_budget_and_lowers_the_error(
    codec: Autoencoder, images: TrainingImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(autoencoder_trials, "EDGE", 16)
    monkeypatch.setattr(TrainingImages.batch, "__defaults__", (2, 16))
    shares: list[float] = []
    torch.manual_seed(0)
    trial = TRAINED["space_to_depth"](codec)
    with torch.no_grad():
        y = images.batch(np.random.default_rng(0))
        first = float((trial.losses(y)[0] - y).square().mean())
    ticks = iter(range(1000))  # a clock that goes on by a second whenever it is read: no machine is too slow
    figures = train_trial(trial, images, 25.0, 0, shares.append, lambda: float(next(ticks)))
    assert figures["train_steps"] == len(shares) == 24 and figures["train_cpu_seconds"] == 26
    assert figures["train_error"] < 0.7 * first and not trial.training
    assert shares == pytest.approx([n / 25 for n in range(1, 25)])


def test_crops_lie_on_tumours(images: TrainingImages) -> None:
    corner = TrainingImages(images.images, tuple(np.array([[15, 15, 15]]) for _ in range(3)))
    crops = corner.batch(np.random.default_rng(0), 40, 8)
    ends = images.images[:, :, 8:, 8:, 8:].float()
    on = sum(any(torch.equal(c, e) for e in ends) for c in crops)
    assert on >= 0.6 * len(crops)
    touching = corner.blocks(np.random.default_rng(0))
    assert touching.shape == (3 * 2, 64)  # one block of each image touches the tumour, and one other is drawn


def test_settings_that_cannot_be_are_refused(tmp_path: Path) -> None:
    good = AutoencoderSettings(tmp_path)
    for change in ({"trained": ("gan",)}, {"minutes": 0.0}, {"patients": 0}, {"channels": (65,)}):
        with pytest.raises(InputError):
            replace(good, **change)
    assert tuple(AUTOENCODERS) == tuple(TRAINED) == good.trained
    args = _parser().parse_args(["autoencoder", "--work", "w", "--out", "o"])
    assert (args.minutes, args.patients, args.validation, tuple(args.channels)) == (
        good.minutes, good.patients, good.validation, good.channels,
    )  # fmt: skip


def test_what_was_trained_is_kept_and_another_budget_is_refused(
    tmp_path: Path, codec: Autoencoder, images: TrainingImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[float] = []

    def quick(trial: nn.Module, _: TrainingImages, cpu_seconds: float, *rest: object) -> dict[str, float]:
        calls.append(cpu_seconds)
        nn.init.ones_(trial.network.decoder[-1].bias)
        trial.eval()
        return {"train_steps": 7.0}

    monkeypatch.setattr(autoencoder, "train_trial", quick)
    monkeypatch.setattr(autoencoder, "_patient", lambda seed, size: patient(seed))
    monkeypatch.setattr(TrainingImages, "draw", classmethod(lambda cls, *rest: images))
    settings = AutoencoderSettings(tmp_path, 2.0, ("space_to_depth",), (16,), 1, 2, size=16)
    rows = autoencoder.evaluate_autoencoder(settings, real=patient(3))
    again = autoencoder.evaluate_autoencoder(settings, real=patient(3))
    assert calls == [120.0] and list(rows) == ["codec_16", "space_to_depth"]
    for name in ("tumour_psnr_db", "real_tumour_psnr_db", "train_steps", "latent_channels"):
        assert again["space_to_depth"][name] == rows["space_to_depth"][name]
    assert rows["space_to_depth"]["train_steps"]["mean"] == 7 and rows["codec_16"]["latent_channels"]["mean"] == 16
    assert rows["codec_16"]["tumour_psnr_db"]["n"] == 2 and rows["codec_16"]["real_tumour_psnr_db"]["n"] == 1
    assert rows["codec_16"]["encode_seconds"]["mean"] >= 0
    with pytest.raises(InputError, match="another budget"):
        autoencoder.evaluate_autoencoder(replace(settings, minutes=3.0))
