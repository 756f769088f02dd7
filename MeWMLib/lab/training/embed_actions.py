"""`python -m MeWMLib.lab.training.embed_actions`: compute the text embeddings of the vocabulary anew."""

from __future__ import annotations

import argparse
from pathlib import Path

from MeWMLib.dynamics.actions import known_agents
from MeWMLib.lab.program import Tell, finish
from MeWMLib.lab.text import CACHE, ClipTextEncoder, SentenceEncoder, write_cache


def main(argv: list[str] | None = None) -> int:
    """Compute and write the cache."""
    parser = argparse.ArgumentParser(description=__doc__)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--sentence-encoder", type=Path, help="folder of a BERT-like sentence encoder")
    source.add_argument("--clip", help="folder or hub name of a CLIP model")
    parser.add_argument("--hub", action="store_true", help="let --clip be fetched from the hub")
    parser.add_argument("--name", required=True, help="name of the model, to be kept beside the embeddings")
    parser.add_argument("--licence", required=True, help="its licence")
    parser.add_argument("--out", type=Path, default=CACHE)
    args = parser.parse_args(argv)

    def work(tell: Tell) -> None:
        folder = args.sentence_encoder
        encoder = SentenceEncoder(folder) if folder else ClipTextEncoder(args.clip, args.hub)
        write_cache(args.out, known_agents(), encoder, args.name, args.licence)

    return finish(work)


if __name__ == "__main__":
    raise SystemExit(main())
