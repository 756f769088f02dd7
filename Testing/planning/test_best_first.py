"""Best-first search against the exhaustive one, on random spaces with effects, interactions and noisy replicas."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from MeWMLib.core.plan import PlanSettings
from MeWMLib.core.protocol import ActionSpace, Protocol, agents_of, vocabulary
from MeWMLib.planning.search import Batch, SearchResult, in_turn
from MeWMLib.planning.searches import expected_evaluations, search


def best_first_search(space, settings, *args, **more) -> SearchResult:
    return search(space, replace(settings, search="best_first"), *args, **more)


def exhaustive_search(space, settings, *args, **more) -> SearchResult:
    return search(space, replace(settings, search="exhaustive"), *args, **more)


CLASS = {name: known.agent_class for name, known in vocabulary().items()}


def rules(protocol: Protocol) -> bool:
    platinum = [a for a in protocol.agents if CLASS[a] == "platinum"]
    return len(platinum) < 2 and not {"PVA", "Gelatin Sponge"} <= set(protocol.agents)


def draw(*key: object) -> float:
    """A number that looks drawn from a normal distribution, the same for one key everywhere."""
    return random.Random(hashlib.sha256(repr(key).encode()).digest()).gauss(0, 1)


def toy(seed: int, noise: float) -> Callable[[Protocol, int], float]:
    """Effects of agents, of pairs, of each set itself, of each replica, and noise of both together."""

    def risk(protocol: Protocol, replica: int) -> float:
        agents = sorted(protocol.agents)
        value = sum(draw(seed, a) for a in agents) + 0.4 * sum(draw(seed, *pair) for pair in combinations(agents, 2))
        return value + 0.1 * draw(seed, agents) + draw(seed, replica) + noise * draw(seed, agents, replica)

    return risk


def random_space(seed: int) -> tuple[ActionSpace, PlanSettings]:
    rng = random.Random(seed)
    space = ActionSpace(
        tuple(rng.sample(agents_of("drug"), rng.randint(2, 7))),
        tuple(rng.sample(agents_of("embolic"), rng.randint(2, 5))),
        {},
        "test",
    )
    horizons = {"drug_horizon": rng.randint(1, 2), "embolic_horizon": rng.randint(1, 2)}
    return space, PlanSettings(drugs=7, embolics=5, replicas=rng.randint(1, 5), **horizons)


def run(seed: int, noise: float, **changes: object) -> tuple[SearchResult, SearchResult, list[tuple[Protocol, int]]]:
    (space, settings), risk = random_space(seed), toy(seed, noise)
    asked: list[tuple[Protocol, int]] = []

    def judge(batch: Batch) -> list[float]:
        asked.extend(batch)
        return [risk(p, n) for p, n in batch]

    found = best_first_search(space, settings, in_turn(judge), rules, **changes)  # type: ignore[arg-type]
    asked_by_it = list(asked)
    same = {name: changes[name] for name in ("score",) if name in changes}
    return found, exhaustive_search(space, settings, in_turn(judge), rules, **same), asked_by_it


def test_finds_what_the_exhaustive_search_finds_on_100_random_spaces() -> None:
    needed = wanted = 0
    for seed in range(100):
        found, full, asked = run(seed, noise=0.2)
        assert found.ranked[0] == full.ranked[0], f"seed {seed}"
        assert len(asked) == len(set(asked)) == found.simulations <= full.simulations
        needed, wanted = needed + found.simulations, wanted + full.simulations
    assert needed < 0.6 * wanted


@pytest.mark.parametrize("weight", [0.5, -0.5])
def test_a_race_is_run_by_the_score_and_not_by_the_risk_alone(weight: float) -> None:
    """Of protocols that are judged once, the score of many agents must not be foretold with the mean of the others."""

    def score(protocol: Protocol, replicas: Sequence[float]) -> float:
        return float(np.mean(replicas)) + weight * len(protocol.agents)

    for seed in range(40):
        found, full, asked = run(seed, noise=0.02, score=score)
        assert found.ranked[0] == full.ranked[0], f"seed {seed}"
        ranked, whole = dict(found.ranked), dict(full.ranked)
        for step in found.tree:  # what lost a race stands there with the score that was foretold
            assert step.risk == pytest.approx(whole[step.child], abs=0.15 if step.child not in ranked else 1e-9)


def test_what_is_ranked_has_all_replicas_and_its_true_score() -> None:
    for seed in range(20):
        found, full, _ = run(seed, noise=0.5)
        assert dict(found.ranked).items() <= dict(full.ranked).items()
        assert [r for _, r in found.ranked] == sorted(r for _, r in found.ranked)
        assert found.ruled_out == len(full.ranked) - len(found.ranked)
        assert [t.child for t in found.tree if t.kept] == [found.best]
        assert {p for p, _ in found.ranked} <= {t.child for t in found.tree}


def test_racing_gives_up_hopeless_protocols_after_one_replica() -> None:
    space = ActionSpace(agents_of("drug")[:7], agents_of("embolic")[:5], {}, "test")
    settings = PlanSettings(drugs=7, embolics=5, drug_horizon=2, embolic_horizon=2, replicas=5)
    risk = toy(3, noise=0.02)
    asked: dict[Protocol, int] = {}

    def judge(batch: Batch) -> list[float]:
        for p, _ in batch:
            asked[p] = asked.get(p, 0) + 1
        return [risk(p, n) for p, n in batch]

    found = best_first_search(space, settings, in_turn(judge), rules)
    assert sum(n == 1 for n in asked.values()) > 0 and set(asked.values()) <= {1, 2, 3, 4, 5}
    assert found.evaluated == len(asked) <= expected_evaluations(space, replace(settings, search="best_first"), rules)
    # what lost a race stands in the tree with what was foretold of it, near the truth as the noise is small
    lost = [t for t in found.tree if asked[t.child] < 5]
    for step in lost:
        truth = sum(risk(step.child, n) for n in range(5)) / 5
        assert step.risk == pytest.approx(truth, abs=0.15)


@pytest.mark.parametrize("stop", [0, 1, 2, 3])
def test_a_cancel_leaves_what_was_judged(stop: int) -> None:
    counted = iter(range(1000))
    found, full, asked = run(0, noise=0.2, cancelled=lambda: next(counted) >= stop)
    assert found.stopped_by == "cancelled"
    assert dict(found.ranked).items() <= dict(full.ranked).items()
    assert found.simulations == len(asked) and bool(asked) == (stop > 0)


def test_equal_runs_are_equal_and_reports_grow() -> None:
    seen: list[SearchResult] = []
    one, _, asked = run(11, 0.3, on_step=seen.append)
    again, _, asked_again = run(11, 0.3)
    assert (one, asked) == (again, asked_again)
    assert [r.simulations for r in seen] == sorted(r.simulations for r in seen)
    assert seen[-1].ranked == one.ranked


def hinted(seed: int, kind: str) -> tuple[SearchResult, SearchResult, SearchResult]:
    """Best-first with a hint, without one, and exhaustive."""
    (space, settings), risk = random_space(seed), toy(seed, 0.2)
    judge = in_turn(lambda batch: [risk(p, n) for p, n in batch])

    def hint(protocols: Sequence[Protocol]) -> np.ndarray:
        truth = np.array([np.mean([risk(p, n) for n in range(settings.replicas)]) for p in protocols])
        noise = np.random.default_rng(seed).normal(size=(len(truth), 2))
        roughly = np.stack([truth + 0.3 * truth.std() * noise[:, 0], noise[:, 1]], 1)
        return {"rough": roughly, "noise": noise, "flat": np.ones_like(noise)}[kind]

    with_it = best_first_search(space, settings, judge, rules, hint=hint)
    return with_it, best_first_search(space, settings, judge, rules), exhaustive_search(space, settings, judge, rules)


@pytest.mark.parametrize("kind", ["rough", "noise", "flat"])
def test_a_hint_saves_simulations_and_a_useless_one_does_no_harm(kind: str) -> None:
    needed = without = right = 0
    for seed in range(30):
        found, plain, full = hinted(seed, kind)
        right += found.ranked[0] == full.ranked[0]
        assert dict(found.ranked).items() <= dict(full.ranked).items()
        needed, without = needed + found.simulations, without + plain.simulations
    assert right >= 29
    assert needed < (0.75 if kind == "rough" else 1.0) * without


def test_searches_pass_the_hint_to_best_first_alone() -> None:
    space, settings = random_space(2)
    risk = toy(2, 0.1)
    asked: list[int] = []

    def hint(protocols: Sequence[Protocol]) -> np.ndarray:
        asked.append(len(protocols))
        return np.zeros((len(protocols), 1))

    judge = in_turn(lambda batch: [risk(p, n) for p, n in batch])
    for name, times in (("beam", 0), ("exhaustive", 0), ("best_first", 1)):
        search(space, replace(settings, search=name, space="free"), judge, rules, hint=hint)
        assert len(asked) == times
