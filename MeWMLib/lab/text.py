"""Frozen text embeddings phi(a) of the agents (sigma1's input in eq. 1 of arXiv 2506.02327).

The vocabulary is finite, so its embeddings are computed once and shipped: training needs no text model, and simulation
finds the embeddings among the network's weights. The paper uses the text encoder of CLIP; `ClipTextEncoder` computes
the cache from one. The cache that ships was computed by MiniLM, a general sentence encoder (its name and licence are
in the file).
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MeWMLib.core.errors import DependencyError, InputError, UnreadableFileError, install_command
from MeWMLib.core.protocol import agent
from MeWMLib.core.records import dump_json, parse_json, read_json

CACHE = Path(__file__).with_name("action_embeddings.npz")
FloatArray = NDArray[np.float32]


def sentence(name: str) -> str:
    """The sentence that a text encoder is given about an agent.

    Raises:
        UnknownAgentError: the vocabulary has no such agent.
    """
    known = agent(name)
    effect = "a cytotoxic drug" if known.kind == "drug" else "an embolic that stops the blood flow"
    return (
        f"{known.name} is {effect} of the class {known.agent_class}, "
        f"{' or '.join(known.routes)} through the hepatic artery to treat hepatocellular carcinoma."
    )


class _Encoder:
    """A frozen text model of `transformers`; texts to embeddings (N, W) of unit length."""

    name: str
    _tokenizer: Any
    _model: Any

    def __call__(self, texts: Sequence[str]) -> FloatArray:
        """Embeddings (N, W) of unit length."""
        import torch

        rows = self._tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt")
        with torch.inference_mode():
            values = self._pooled(self._model(**rows), rows["attention_mask"][..., None])
        array = np.asarray(values.cpu().numpy(), np.float32)
        return np.asarray(array / np.linalg.norm(array, axis=1, keepdims=True), np.float32)

    def _pooled(self, output: Any, mask: Any) -> Any:
        raise NotImplementedError


class SentenceEncoder(_Encoder):
    """A BERT-like sentence encoder from a local folder: mean of the last hidden states, normalised.

    Args:
        folder: as `transformers` saves it, weights as safetensors.

    Raises:
        InputError: the folder does not hold a model.
        DependencyError: the optional package `transformers` is missing.
    """

    def __init__(self, folder: Path) -> None:
        transformers = _transformers()
        if not (folder / "model.safetensors").is_file():
            raise InputError(
                what="This folder does not hold a text encoder",
                given=f"{folder}, without model.safetensors",
                remedy="Name the folder of a sentence encoder with its tokenizer",
            )
        self.name = str(read_json(folder / "config.json", require={}).get("_name_or_path", folder))
        self._tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self._model = transformers.AutoModel.from_pretrained(folder, local_files_only=True, use_safetensors=True).eval()

    def _pooled(self, output: Any, mask: Any) -> Any:
        hidden = output.last_hidden_state  # (N, L, W)
        weight = mask.to(hidden.dtype)
        return (hidden * weight).sum(1) / weight.sum(1)


class ClipTextEncoder(_Encoder):
    """The text half of a CLIP model: projected embeddings, normalised.

    Args:
        source: a local folder, or a name on the hub if `hub` allows it to be fetched.
        hub: fetch from the hub; otherwise only local files are read.

    Raises:
        DependencyError: the optional package `transformers` is missing.
    """

    def __init__(self, source: str | Path, hub: bool = False) -> None:
        transformers = _transformers()
        self.name = str(source)
        options: dict[str, Any] = {"local_files_only": not hub}
        self._tokenizer = transformers.AutoTokenizer.from_pretrained(source, **options)
        self._model = transformers.CLIPTextModelWithProjection.from_pretrained(
            source, use_safetensors=True, **options
        ).eval()

    def _pooled(self, output: Any, mask: Any) -> Any:
        return output.text_embeds


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise DependencyError(
            what="The package transformers is needed to compute text embeddings",
            given="not installed",
            remedy=f"Install it with {install_command('text')}; the embeddings that ship need nothing",
        ) from error
    return transformers


def spread(embeddings: FloatArray) -> FloatArray:
    """Centre embeddings (A, W) and scale them to a root-mean-square norm of 1.

    Sentences from one template have similar embeddings; without their common part the agents can be told apart.
    """
    centred = embeddings - embeddings.mean(0)
    return np.asarray(centred / np.sqrt((centred**2).sum(1).mean()), np.float32)


def write_cache(
    path: Path, agents: Sequence[str], encode: Callable[[Sequence[str]], FloatArray], model: str, licence: str
) -> None:
    """Compute the embeddings of agents and write them with the name of the model that computed them."""
    texts = [sentence(name) for name in agents]
    about = {"model": model, "licence": licence, "agents": list(agents), "sentences": texts}
    with path.open("wb") as file:
        np.savez(
            file,
            embeddings=spread(encode(texts)).astype(np.float16),
            about=np.frombuffer(dump_json(about).encode(), np.uint8),
        )


@lru_cache(maxsize=2)
def read_cache(path: Path = CACHE) -> tuple[dict[str, Any], FloatArray]:
    """The record of what computed the cache (with its sha256), and the embeddings (A, W).

    Raises:
        UnreadableFileError: missing or damaged.
    """
    remedy = "Install MeWM again, or compute them with `python -m MeWMLib.lab.training.embed_actions`"
    what = "The text embeddings of the agents"
    try:
        raw = path.read_bytes()
        with np.load(io.BytesIO(raw), allow_pickle=False) as data:
            about = parse_json(
                bytes(data["about"]), what, UnreadableFileError, remedy, {"agents": list}, given=path.name
            )
            embeddings = data["embeddings"].astype(np.float32)
        if len(about["agents"]) != len(embeddings):
            raise ValueError(f"{len(embeddings)} embeddings of {len(about['agents'])} agents")  # noqa: EM102
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise UnreadableFileError(
            what=f"{what} cannot be read", given=f"{path.name}: {error}", remedy=remedy
        ) from error
    return {**about, "sha256": hashlib.sha256(raw).hexdigest()}, embeddings


def cached_embeddings(agents: Sequence[str], path: Path = CACHE) -> FloatArray:
    """Text embeddings (A, W) of agents, in their order.

    Raises:
        InputError: an agent is not in the cache.
        UnreadableFileError: the cache is missing or damaged.
    """
    about, embeddings = read_cache(path)
    rows = {name: n for n, name in enumerate(about["agents"])}
    missing = [name for name in agents if name not in rows]
    if missing:
        raise InputError(
            what="There is no text embedding of an agent",
            given=", ".join(missing),
            remedy="Compute the cache again with `python -m MeWMLib.lab.training.embed_actions`",
        )
    return np.asarray(embeddings[[rows[name] for name in agents]], np.float32)
