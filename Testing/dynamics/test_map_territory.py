"""Territories that samples draw."""

from __future__ import annotations

import numpy as np

from MeWMLib.dynamics.map_territory import WHOLE, drawn_territory


def ball(radius: float = 5.0) -> np.ndarray:
    index = np.stack(np.meshgrid(*[np.arange(24)] * 3, indexing="ij"), -1)
    return (np.linalg.norm(index - 11.5, axis=-1) < radius).astype(np.float32)


def test_a_seed_draws_the_same_territory_again() -> None:
    assert np.array_equal(drawn_territory(ball(), 4), drawn_territory(ball(), 4))
    assert (drawn_territory(np.zeros((4, 4, 4), np.float32), 1) == 1).all()


def test_some_are_whole_and_the_others_feed_a_part_of_the_tumour() -> None:
    tumour = ball()
    shares = [float((drawn_territory(tumour, n) * tumour).sum() / tumour.sum()) for n in range(300)]
    whole = np.mean([s > 0.9999 for s in shares])
    assert abs(whole - WHOLE) < 0.1
    part = [s for s in shares if s <= 0.9999]
    assert min(part) < 0.2
    assert max(part) > 0.8
    assert 0.4 < np.mean(part) < 0.6
