"""Linear block codecs: what they keep and what they lose, and how large they are."""

from pathlib import Path

import numpy as np
import pytest
import torch

from MeWMLib.core.protocol import Protocol
from MeWMLib.dynamics.autoencoder import fit
from MeWMLib.lab.evaluation import codecs
from MeWMLib.lab.evaluation.codecs import BlockCodec, blocks_of, drawn_blocks, figures, pair_rows, sizes
from MeWMLib.lab.evaluation.pair_prepared import PreparedPair
from MeWMLib.lab.evaluation.pairs import PairFiles
from MeWMLib.lab.synthetic.cases import SPLITS
from Testing.perception.moved_pair import COARSE, moved_pair

GIVEN = Protocol.parse("Doxorubicin + Lipiodol")


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return np.random.default_rng(0).uniform(-100, 500, (8, 12, 16)).astype(np.float32)


def some_blocks(block: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((400, block**3)).astype(np.float32)


def test_a_whole_basis_keeps_everything_and_a_short_one_less(image: np.ndarray) -> None:
    after = image[::-1].copy()
    errors = []
    for channels in (8, 6, 4, 1):
        codec = BlockCodec.fit(some_blocks(2), 2, channels)
        errors.append(float(np.abs(codec.alone(image) - image).mean()))
        assert codec.change(image, image) == pytest.approx(image, abs=0.01)
        assert (codec.change(image, after) == pytest.approx(after, abs=0.05)) == (channels == 8)
    assert errors[0] < 0.05 and errors == sorted(errors) and errors[1] > 5
    # beyond the window of the companding everything is lost
    assert BlockCodec.fit(some_blocks(2), 2, 8).alone(image + 2000).max() == pytest.approx(600, abs=0.1)


def test_a_codec_is_the_same_as_the_autoencoder(image: np.ndarray) -> None:
    model = fit(torch.from_numpy(some_blocks(4)), 16)
    codec, after = BlockCodec.of(model), image[:, ::-1].copy()
    one, two = (torch.from_numpy(x)[None, None] for x in (image, after))
    with torch.inference_mode():
        alone = model.decode(model.encode(one))[0, 0].numpy()
        change = model.decode_change(one, model.encode(two) - model.encode(one))[0, 0].numpy()
    assert codec.alone(image) == pytest.approx(alone, abs=0.05)
    assert codec.change(image, after) == pytest.approx(change, abs=0.05)
    again = BlockCodec.fit(some_blocks(4), 4, 16)
    assert again.alone(image) == pytest.approx(alone, abs=0.5)


def test_blocks_are_cubes_of_neighbours(image: np.ndarray) -> None:
    blocks = blocks_of(image, 2)
    assert blocks.shape == (8 * 12 * 16 // 8, 8)
    assert (blocks[0] == image[:2, :2, :2].ravel()).all() and (blocks[-1] == image[-2:, -2:, -2:].ravel()).all()


def test_sizes_are_those_of_the_latents() -> None:
    fine, coarse = BlockCodec.fit(some_blocks(2), 2, 6), BlockCodec.fit(some_blocks(4), 4, 16)
    assert sizes(fine) == {"latent_patch": 6 * 48**3, "latent_region": 6 * 90**3, "step_by_coarse": 64}
    assert sizes(coarse) == {"latent_patch": 16 * 24**3, "latent_region": 16 * 45**3, "step_by_coarse": 8}


def test_drawn_blocks_are_of_both_sizes_and_half_of_them_tumour() -> None:
    seed = next(s for s in SPLITS["train"] if codecs.StudyPatient.draw(s).nodules[0].radius < 15)
    (found,) = drawn_blocks([seed], GIVEN)
    for block in (2, 4):
        assert found[block].shape[1] == block**3 and 0 < len(found[block]) <= codecs.BLOCKS
        assert np.isfinite(found[block]).all() and abs(found[block]).max() < 3


def test_rows_of_a_pair() -> None:
    before, labels, after, _ = moved_pair()
    nowhere = Path("nowhere.nii")
    files = PairFiles("P1", nowhere, nowhere, nowhere, GIVEN)
    pair = PreparedPair.of(files, before, labels, after, None, None, COARSE)
    tried = {"real": None, "2x_8": BlockCodec.fit(some_blocks(2), 2, 8), "2x_1": BlockCodec.fit(some_blocks(2), 2, 1)}
    rows = pair_rows(pair, tried)
    assert set(rows) == {f"P1/{where}/{what}" for where in ("1mm", "native") for what in tried}
    for where in ("1mm", "native"):
        real, whole, poor = (rows[f"P1/{where}/{what}"] for what in tried)
        assert "tumour_psnr_db" not in real and real["share_300_percent"] > 10
        assert whole["tumour_psnr_db"] > 60 > poor["tumour_psnr_db"]
        assert whole["share_300_percent"] == pytest.approx(real["share_300_percent"], abs=0.1)
    assert np.isnan(
        figures(tried["2x_8"], None, np.zeros((4, 4, 4), np.float32), np.zeros((4, 4, 4), bool), (1, 1, 1))[
            "tumour_psnr_db"
        ]
    )
