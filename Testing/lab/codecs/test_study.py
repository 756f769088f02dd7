"""The comparison of codecs: what is measured, and what is kept of a run."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from MeWMLib.cohorts.synthetic.world import Rendering
from MeWMLib.core.errors import InputError
from MeWMLib.dynamics.autoencoder import Autoencoder, compand, fit, to_blocks
from MeWMLib.lab.codecs import study
from MeWMLib.lab.codecs.study import AutoencoderSettings, Outcome, Treated, bootstrap_psnr, measure, through
from MeWMLib.lab.evaluation.__main__ import _parser
from MeWMLib.lab.synthetic.cases import Case
from MeWMLib.lab.training.autoencoder import blocks_of


def image(seed: int, size: int = 16) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.asarray(np.kron(rng.normal(90, 60, (size // 4,) * 3), np.ones((4, 4, 4))) + rng.normal(0, 9, (size,) * 3))


@pytest.fixture(scope="module")
def codec() -> Autoencoder:
    blocks = [
        to_blocks(compand(torch.tensor(image(n), dtype=torch.float32))[None, None]).reshape(-1, 64) for n in range(9)
    ]
    return fit(torch.cat(blocks), 16)


def patient(seed: int) -> Treated:
    after, where = image(seed + 50).astype(np.float32), np.zeros((16,) * 3, bool)
    where[4:12, 4:12, 4:12] = True
    return Treated(image(seed).astype(np.float32), (Outcome(after, where, where & (after > 150)),))


def test_the_codec_is_measured_as_the_dynamics_model_uses_it(codec: Autoencoder) -> None:
    """In companded intensities the change is Dec(z_post) - Dec(z_pre), for a codec that is linear."""
    someone = patient(0)
    _, alone, residual = next(iter(through(codec, someone)))
    before, after = (compand(torch.from_numpy(a)[None, None]) for a in (someone.before, someone.outcomes[0].hu))

    def again(y: torch.Tensor) -> torch.Tensor:
        blocks = to_blocks(y) - codec.mean
        kept = blocks @ codec.basis.T @ codec.basis + codec.mean
        return kept.reshape(1, 4, 4, 4, 4, 4, 4).permute(0, 1, 4, 2, 5, 3, 6).reshape(1, 1, 16, 16, 16)

    def expanded(y: torch.Tensor) -> torch.Tensor:
        return (60 + 100 * torch.sinh(y)).clamp(-175, 600)[0, 0]

    assert np.allclose(alone, expanded(again(after)), atol=1e-2)
    assert np.allclose(residual, expanded(before + again(after) - again(before)), atol=1e-2)


def test_psnr_is_that_of_the_errors() -> None:
    class Off:
        """Ten HU too bright by itself, three HU in a change."""

        def encode(self, hu: torch.Tensor) -> torch.Tensor:
            return hu

        def decode(self, latent: torch.Tensor) -> torch.Tensor:
            return latent + 10

        def decode_change(self, hu: torch.Tensor, change: torch.Tensor) -> torch.Tensor:
            return hu + change + 3

    flat = np.full((16,) * 3, 60, np.float32)
    everywhere = np.ones((16,) * 3, bool)
    rows = measure(Off(), [Treated(flat, (Outcome(flat, everywhere, ~everywhere),))] * 3)  # type: ignore[arg-type]
    assert rows["tumour_psnr_db"]["mean"] == pytest.approx(20 * np.log10(775 / 10), abs=1e-3)
    assert rows["tumour_residual_psnr_db"]["mean"] == pytest.approx(20 * np.log10(775 / 3), abs=1e-3)
    assert rows["tumour_psnr_db"]["n"] == 3
    assert rows["lipiodol_psnr_db"]["n"] == 0 and np.isnan(rows["lipiodol_psnr_db"]["mean"])


def test_psnr_is_pooled_over_voxels_and_the_interval_over_patients() -> None:
    found = bootstrap_psnr([(100.0, 1), (100.0 * 99, 99), (0.0, 0)])
    for key in ("mean", "low", "high"):  # both patients have the same error a voxel
        assert found[key] == pytest.approx(10 * np.log10(775**2 / 100))
    assert found["n"] == 2
    spread = bootstrap_psnr([(1000.0, 10), (90.0, 10)])
    assert spread["mean"] == pytest.approx(10 * np.log10(775**2 / 54.5))
    assert spread["low"] < spread["mean"] < spread["high"]


def drawn(seed: int) -> Rendering:
    """A tumour in the last of 64 blocks."""
    labels = np.ones((16,) * 3, np.uint8)
    labels[12:, 12:, 12:] = 2
    return Rendering(image(seed).astype(np.float32), labels, labels == 2, labels == 2)


def case(seed: int, size: int = 16) -> Case:
    outcomes = tuple(drawn(seed + n) for n in range(1, 9))
    return Case(seed, 1.0, drawn(seed), (), outcomes, (), 1.0, True)


def test_blocks_of_tumours_are_fitted_as_often_as_others() -> None:
    found = blocks_of(case(0), np.random.default_rng(0), (0, 3))
    assert found.shape == (3 * 2, 64)  # of each image the block of the tumour, and one other that is drawn
    last = compand(torch.from_numpy(drawn(4).hu))[12:, 12:, 12:].reshape(-1)
    assert torch.allclose(found[4], last)


def test_settings_that_cannot_be_are_refused(tmp_path: Path) -> None:
    good = AutoencoderSettings(tmp_path)
    for change in ({"patients": 0}, {"validation": 0}, {"channels": (65,)}, {"channels": (0,)}):
        with pytest.raises(InputError):
            replace(good, **change)
    args = _parser().parse_args(["autoencoder", "--work", "w", "--out", "o"])
    assert (args.patients, args.validation, tuple(args.channels)) == (good.patients, good.validation, good.channels)


def test_what_was_fitted_is_kept_and_measured_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def noted(seed: int, size: int) -> Case:
        asked.append(seed)
        return case(seed, size)

    monkeypatch.setattr(study, "draw_case", noted)
    settings = AutoencoderSettings(tmp_path, (4, 8), 3, 2, size=16)
    rows, again = (study.evaluate_autoencoder(settings, real=patient(3)) for _ in range(2))
    assert asked == [0, 1, 2, 100_000, 100_001, 100_000, 100_001]  # fitted once
    assert list(rows) == ["codec_4", "codec_8"]
    for name in ("tumour_psnr_db", "lipiodol_residual_psnr_db", "real_tumour_psnr_db", "latent_channels"):
        assert again["codec_8"][name] == rows["codec_8"][name]
    assert rows["codec_8"]["latent_channels"]["mean"] == 8 and rows["codec_8"]["parameters"]["mean"] == 8 * 65 + 64
    assert rows["codec_8"]["tumour_psnr_db"]["n"] == 2 and rows["codec_8"]["real_tumour_psnr_db"]["n"] == 1
    assert rows["codec_8"]["encode_seconds"]["mean"] >= 0
    assert rows["codec_4"]["tumour_psnr_db"]["mean"] < rows["codec_8"]["tumour_psnr_db"]["mean"]
