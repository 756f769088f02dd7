"""Text embeddings of the agents: the cache that ships, what is said of a bad one, and the encoders that make it."""

import importlib.util
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from MeWMLib.core.errors import InputError, UnknownAgentError, UnreadableFileError
from MeWMLib.core.protocol import agents_of
from MeWMLib.dynamics.actions import known_agents
from MeWMLib.lab import text
from MeWMLib.lab.training import embed_actions

COMMAND = "python -m MeWMLib.lab.training.embed_actions"
needs_transformers = pytest.mark.skipif(
    importlib.util.find_spec("transformers") is None, reason="the optional package transformers is not installed"
)


def planted(texts: Sequence[str]) -> np.ndarray:
    """Embeddings that depend on the text alone."""
    rows = [np.random.default_rng(sum(t.encode())).normal(size=6) for t in texts]
    return np.asarray(rows, np.float32)


def test_the_cache_covers_the_vocabulary() -> None:
    about, embeddings = text.read_cache()
    assert set(about["agents"]) >= set(known_agents()) == {*agents_of("drug"), *agents_of("embolic")}
    assert embeddings.shape[0] == len(about["agents"]) and np.isfinite(embeddings).all()
    assert about["model"] and about["licence"] and len(about["sha256"]) == 64
    assert about["sentences"] == [text.sentence(name) for name in about["agents"]]


def test_rows_follow_the_argument() -> None:
    names = known_agents()
    straight = text.cached_embeddings(names)
    assert np.array_equal(text.cached_embeddings(names[::-1]), straight[::-1])
    assert np.array_equal(text.cached_embeddings(["Lipiodol"])[0], straight[names.index("Lipiodol")])


def test_every_two_agents_can_be_told_apart() -> None:
    rows = text.cached_embeddings(known_agents())
    away = np.linalg.norm(rows[:, None] - rows[None], axis=2) + np.eye(len(rows)) * 9
    assert away.min() > 0.1  # of a root-mean-square norm of 1
    assert np.sqrt((rows**2).sum(1).mean()) == pytest.approx(1, abs=0.01)


def test_an_agent_that_the_cache_lacks_is_named_with_the_command() -> None:
    with pytest.raises(InputError) as caught:
        text.cached_embeddings(["Lipiodol", "Sorafenib"])
    assert caught.value.given == "Sorafenib" and COMMAND in caught.value.remedy


def _missing(path: Path) -> None:
    pass


def _no_archive(path: Path) -> None:
    path.write_bytes(b"no archive at all")


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _truncated(path: Path) -> None:
    whole = text.CACHE.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


def _flipped(path: Path) -> None:
    whole = bytearray(text.CACHE.read_bytes())
    whole[len(whole) // 3] ^= 0xFF
    path.write_bytes(whole)


def _without_embeddings(path: Path) -> None:
    np.savez(path, about=np.frombuffer(b"{}", np.uint8))


def _without_agents(path: Path) -> None:
    np.savez(path, about=np.frombuffer(b"{}", np.uint8), embeddings=np.zeros((2, 3), np.float16))


def _of_other_length(path: Path) -> None:
    about = json.dumps({"agents": ["Lipiodol", "PVA", "NBCA"]}).encode()
    np.savez(path, about=np.frombuffer(about, np.uint8), embeddings=np.zeros((2, 3), np.float16))


def _pickled(path: Path) -> None:
    np.savez(path, about=np.frombuffer(b"{}", np.uint8), embeddings=np.array([{"a": 1}], dtype=object))


@pytest.mark.parametrize(
    "damage",
    [
        _missing,
        _no_archive,
        _empty,
        _truncated,
        _flipped,
        _without_embeddings,
        _without_agents,
        _of_other_length,
        _pickled,  # would run code if it were unpickled
    ],
    ids=lambda f: f.__name__.strip("_"),
)
def test_a_cache_that_cannot_be_read_is_said_with_the_command(tmp_path: Path, damage) -> None:
    damage(tmp_path / "cache.npz")
    with pytest.raises(UnreadableFileError) as caught:
        text.cached_embeddings(["Lipiodol"], tmp_path / "cache.npz")
    assert "cache.npz" in caught.value.given and COMMAND in caught.value.remedy


def test_spread_is_centred_with_a_root_mean_square_norm_of_one() -> None:
    # Mean (2, 3); centred (-1, -3), (1, 3): squared norms 10 and 10.
    out = text.spread(np.array([[1, 0], [3, 6]], np.float32))
    assert np.allclose(out, np.array([[-1, -3], [1, 3]]) / np.sqrt(10), atol=1e-6)
    many = text.spread(np.random.default_rng(0).normal(5, 2, (7, 4)).astype(np.float32))
    assert np.allclose(many.mean(0), 0, atol=1e-6) and np.mean(np.sum(many**2, 1)) == pytest.approx(1, abs=1e-5)


def test_a_written_cache_is_read_again(tmp_path: Path) -> None:
    names = ["PVA", "Cisplatin", "Lipiodol"]
    text.write_cache(tmp_path / "own.npz", names, planted, "planted", "none")
    about, rows = text.read_cache(tmp_path / "own.npz")
    assert about["agents"] == names and about["model"] == "planted" and about["licence"] == "none"
    expected = text.spread(planted([text.sentence(n) for n in names]))
    assert np.allclose(rows, expected, atol=2e-3)  # kept as float16
    assert np.array_equal(text.cached_embeddings(["Lipiodol"], tmp_path / "own.npz")[0], rows[2])


def test_a_sentence_says_what_the_agent_is() -> None:
    assert "cytotoxic drug" in text.sentence("Doxorubicin") and "anthracycline" in text.sentence("Doxorubicin")
    assert "embolic" in text.sentence("Lipiodol") and "cytotoxic" not in text.sentence("Lipiodol")
    with pytest.raises(UnknownAgentError):
        text.sentence("Water")


@pytest.mark.parametrize("option", ["--sentence-encoder", "--clip"])
def test_without_transformers_the_program_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)  # importing it raises ImportError
    out = tmp_path / "cache.npz"
    code = embed_actions.main([option, str(tmp_path), "--name", "x", "--licence", "y", "--out", str(out)])
    said = capsys.readouterr().err
    assert code == 3 and "pip install" in said and "[text]" in said and "Traceback" not in said
    assert not out.exists()


def test_a_folder_without_a_model_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "_transformers", lambda: None)
    with pytest.raises(InputError, match=r"without model\.safetensors"):
        text.SentenceEncoder(tmp_path)


@needs_transformers
def test_a_sentence_encoder_gives_unit_rows_that_padding_does_not_change(tmp_path: Path) -> None:
    import torch
    import transformers

    words = sorted({w for n in known_agents() for w in text.sentence(n).lower().replace(".", " .").split()})
    (tmp_path / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]))
    transformers.BertTokenizerFast(str(tmp_path / "vocab.txt")).save_pretrained(tmp_path)
    torch.manual_seed(0)
    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = transformers.BertConfig(vocab_size=len(words) + 5, **size)
    transformers.BertModel(config).save_pretrained(tmp_path, safe_serialization=True)
    encode = text.SentenceEncoder(tmp_path)
    short, long = text.sentence("PVA"), text.sentence("Doxorubicin") + " " + text.sentence("Lipiodol")
    both, alone = encode([short, long]), encode([short])
    assert both.shape == (2, 16) and np.allclose(np.linalg.norm(both, axis=1), 1, atol=1e-5)
    assert np.allclose(both[0], alone[0], atol=1e-5) and not np.allclose(both[0], both[1], atol=1e-3)
