"""The exhaustive search against plain enumeration of all subsets."""

from __future__ import annotations

import random
from functools import partial
from itertools import chain, combinations

import pytest

from MeWMLib.core.errors import RuleError
from MeWMLib.core.plan import PlanSettings
from MeWMLib.core.protocol import ActionSpace, Protocol, vocabulary
from MeWMLib.planning.exhaustive import all_protocols
from MeWMLib.planning.search import Batch, Problem, RiskError, SearchResult, in_turn
from MeWMLib.planning.searches import expected_evaluations
from MeWMLib.planning.searches import search as exhaustive_search

Once = partial(PlanSettings, search="exhaustive", replicas=1)

SPACE = ActionSpace(
    ("Doxorubicin", "Cisplatin", "Mitomycin", "Oxaliplatin"), ("Lipiodol", "PVA", "Gelatin Sponge"), {}, "test"
)


def rules(protocol: Protocol) -> bool:
    platinum = [a for a in protocol.agents if vocabulary()[a].agent_class == "platinum"]
    return len(platinum) < 2 and not {"PVA", "Gelatin Sponge"} <= set(protocol.agents)


def table(seed: int) -> dict[Protocol, float]:
    """A risk drawn for every set of agents of the space, without any structure."""
    rng = random.Random(seed)
    names = (*SPACE.drugs, *SPACE.embolics)
    subsets = chain.from_iterable(combinations(names, n) for n in range(len(names) + 1))
    return {Protocol.of(subset): rng.gauss(0, 1) for subset in subsets}


def brute_force(risks: dict[Protocol, float], settings: PlanSettings) -> list[tuple[Protocol, float]]:
    drugs, embolics = set(SPACE.drugs[: settings.drugs]), set(SPACE.embolics[: settings.embolics])
    found = [
        (p, r)
        for p, r in risks.items()
        if 1 <= len(p.drugs) <= settings.drug_horizon
        and 1 <= len(p.embolics) <= settings.embolic_horizon
        and set(p.agents) <= drugs | embolics
        and rules(p)
    ]
    return sorted(found, key=lambda pair: (pair[1], pair[0].text))


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(("d", "e", "hd", "he"), [(4, 3, 2, 2), (5, 4, 9, 9), (4, 3, 1, 1), (3, 2, 3, 1)])
def test_finds_what_brute_force_finds(seed: int, d: int, e: int, hd: int, he: int) -> None:
    risks, settings = table(seed), Once(drugs=d, embolics=e, drug_horizon=hd, embolic_horizon=he)
    calls: list[Protocol] = []

    def judge(batch: Batch) -> list[float]:
        assert 1 <= len(batch) <= 4
        calls.extend(p for p, _ in batch)
        return [risks[p] for p, _ in batch]

    result = exhaustive_search(SPACE, settings, in_turn(judge), rules, batch=4)
    assert list(result.ranked) == brute_force(risks, settings)
    assert len(calls) == len(set(calls)) == result.evaluated == expected_evaluations(SPACE, settings, rules)
    assert [t.child for t in result.tree] == calls
    assert [t.child for t in result.tree if t.kept] == [result.best]
    assert result.stopped_by == "finished"


def test_small_protocols_come_first_and_the_policy_s_choice_before_all() -> None:
    protocols = all_protocols(Problem(SPACE, Once(), rules))
    assert protocols[0] == Protocol.parse("Doxorubicin + Lipiodol")
    sizes = [len(p.actions) for p in protocols]
    assert sizes == sorted(sizes)


def test_cancel_at_every_moment_leaves_a_valid_prefix() -> None:
    risks, settings = table(1), Once()
    full = exhaustive_search(SPACE, settings, in_turn(lambda batch: [risks[p] for p, _ in batch]), rules, batch=2)
    order = [t.child for t in full.tree]
    for stop in range(len(order) // 2 + 1):
        asked = iter(range(1000))
        seen: list[SearchResult] = []
        result = exhaustive_search(
            SPACE,
            settings,
            in_turn(lambda batch: [risks[p] for p, _ in batch]),
            rules,
            seen.append,
            cancelled=lambda a=asked, s=stop: next(a) >= s,
            batch=2,
        )
        if result.stopped_by == "finished":
            assert result == full
            continue
        expected = sorted(((p, risks[p]) for p in order[: 2 * stop]), key=lambda pair: (pair[1], pair[0].text))
        assert list(result.ranked) == expected
        assert [t.child for t in result.tree] == order[: 2 * stop]
        assert result.stopped_by == "cancelled"
        if stop:
            assert seen[-1] == result
        else:
            assert result.best is None


def test_equal_in_any_batch_size() -> None:
    risks = table(2)
    runs = [
        exhaustive_search(SPACE, Once(), in_turn(lambda batch: [risks[p] for p, _ in batch]), rules, batch=batch)
        for batch in (1, 4, 100)
    ]
    assert runs[0] == runs[1] == runs[2]


def test_no_protocol_left_is_an_error() -> None:
    with pytest.raises(RuleError, match="every complete protocol"):
        exhaustive_search(SPACE, Once(), in_turn(lambda batch: [0.0] * len(batch)), lambda p: False)
    with pytest.raises(RuleError):
        expected_evaluations(SPACE, Once(), lambda p: not p.complete)


def test_a_risk_that_is_no_number_names_the_protocol() -> None:
    with pytest.raises(RiskError, match=r"nan for Doxorubicin \+ Lipiodol"):
        exhaustive_search(SPACE, Once(), in_turn(lambda batch: [float("nan")] * len(batch)), rules)
