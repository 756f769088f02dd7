"""Batches, the stage for doses, the utility and the explanation."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest

from MeWMLib.core.errors import PlanSettingsError
from MeWMLib.core.outcome import Risk
from MeWMLib.core.plan import PlanSettings
from MeWMLib.core.protocol import Action, ActionSpace, Protocol, agent
from MeWMLib.planning import doses, utility
from MeWMLib.planning.explain import Watched, contributions
from MeWMLib.planning.search import Memo, cut, in_turn
from MeWMLib.planning.searches import SEARCHES, search
from MeWMLib.policy import rules

SPACE = ActionSpace(("Cisplatin", "Doxorubicin", "Oxaliplatin"), ("Lipiodol", "PVA", "Gelatin Sponge"), {}, "test")
A, B, C = (Protocol.parse(t) for t in ("Cisplatin + Lipiodol", "Cisplatin + PVA", "Mitomycin + Lipiodol"))


@pytest.mark.parametrize("size", [1, 2, 3, 4, 6, 7])
@pytest.mark.parametrize("replicas", [1, 2, 3, 5])
def test_batches_hold_all_trials_in_order_and_no_more_than_allowed(size: int, replicas: int) -> None:
    groups = [[(p, n) for n in range(replicas)] for p in (A, B, C)]
    batches = list(cut(groups, size))
    assert [t for b in batches for t in b] == [t for g in groups for t in g]
    assert max(map(len, batches)) <= size and min(map(len, batches)) >= 1
    if replicas <= size:
        for group in groups:
            assert any(set(group) <= set(batch) for batch in batches), "the replicas of a protocol stay together"


def test_the_mean_over_replicas_decides() -> None:
    risks = {A: (0.0, 4.0, 5.0), B: (1.0, 1.0, 2.0), C: (3.0, 3.0, 3.5)}
    memo = Memo(in_turn(lambda batch: [risks[p][n] for p, n in batch]), 3)
    memo.judge([A, B], [0])
    assert memo.result("x").ranked == () and memo.result("x").simulations == 2
    memo.judge([A, B, C])
    assert [p for p, _ in memo.result("x").ranked] == [B, A, C]
    assert memo[A] == pytest.approx(3.0) and memo.result("x").simulations == 9


def dose_risk(protocol: Protocol) -> float:
    """Best at the highest dose of the first agent and the middle of the others; no dose costs 1 each."""
    total = 0.0
    for number, action in enumerate(protocol.actions):
        known = agent(action.agent)
        if action.dose is None:
            total += 1.0
            continue
        share = (action.dose - known.dose_low) / (known.dose_high - known.dose_low)
        total += (share - (1.0 if number == 0 else 0.5)) ** 2
    return total


def test_the_stage_for_doses_finds_the_best_levels_and_stands_in_the_tree() -> None:
    settings = PlanSettings(search="exhaustive", replicas=1, drug_horizon=1, embolic_horizon=1, keep=2, dose_levels=5)
    found = search(SPACE, settings, in_turn(lambda batch: [dose_risk(p) for p, _ in batch]), lambda p: rules.allowed(p))
    assert found.ranked[0][1] == pytest.approx(0.0)
    best = found.ranked[0][0]
    assert best.actions[0].dose == agent(best.actions[0].agent).dose_high
    dosed = [t for t in found.tree if any(a.dose for a in t.child.actions)]
    assert {t.beam for t in dosed} == {1, 2} and any(t.kept for t in dosed)
    assert {p for p, _ in found.ranked} == {t.child for t in found.tree}
    plain = PlanSettings(search="exhaustive", replicas=1, drug_horizon=1, embolic_horizon=1)
    without = search(SPACE, plain, in_turn(lambda batch: [dose_risk(p) for p, _ in batch]), lambda p: True)
    assert all(a.dose is None for p, _ in without.ranked for a in p.actions)


def test_doses_respect_the_rules_and_levels_span_the_usual_range() -> None:
    assert doses.levels("Cisplatin", 3) == (10.0, 55.0, 100.0) and doses.levels("Cisplatin", 1) == (55.0,)
    memo = Memo(in_turn(lambda batch: [-sum(a.dose or 0 for a in p.actions) for p, _ in batch]), 1)
    memo.judge([A])
    doses.refine(memo, [A], 3, lambda p: all((a.dose or 0) < 90 for a in p.actions), 9)
    best = memo.result("x").ranked[0][0]
    assert best == Protocol((Action("Cisplatin", 55.0), Action("Lipiodol", 20.0)))


def test_the_utility_is_the_risk_unless_a_weight_is_set() -> None:
    warned = {A: 2, B: 0}
    plain = utility.score_of(PlanSettings(space="free"), warned.__getitem__)
    assert plain(A, [0.0, 1.0]) == 0.5
    settings = PlanSettings(toxicity_weight=0.1, complexity_weight=0.01, uncertainty_weight=2.0)
    score = utility.score_of(settings, warned.__getitem__)
    assert score(A, [0.0, 1.0]) == pytest.approx(0.5 + 0.2 + 0.0 + 2.0 * float(np.std([0.0, 1.0])))
    longer = A.plus(Action("PVA"))
    assert utility.terms(longer, [1.0], 0)["complexity"] == 1.0


@pytest.mark.parametrize("name", ["toxicity_weight", "complexity_weight", "uncertainty_weight"])
@pytest.mark.parametrize("bad", [-1.0, float("nan"), "1", True])
def test_an_impossible_weight_is_refused(name: str, bad: object) -> None:
    with pytest.raises(PlanSettingsError, match=name):
        PlanSettings(**{name: bad})  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", [-1, 10, 2.5, True])
def test_impossible_dose_levels_are_refused(bad: object) -> None:
    with pytest.raises(PlanSettingsError, match="dose_levels"):
        PlanSettings(dose_levels=bad)  # type: ignore[arg-type]


def test_an_unknown_search_is_refused_by_name() -> None:
    with pytest.raises(PlanSettingsError, match="best_first"):
        PlanSettings(search="astrology")
    assert set(SEARCHES) == {"beam", "exhaustive", "best_first"}


@pytest.mark.parametrize("name", list(SEARCHES))
def test_all_searches_agree_where_the_agents_do_not_interact(name: str) -> None:
    rng = random.Random(5)
    effect = {a: rng.gauss(0, 1) for a in (*SPACE.drugs, *SPACE.embolics)}
    settings = PlanSettings(search=name, beams=4, replicas=2)
    judge = in_turn(lambda batch: [sum(effect[a] for a in p.agents) for p, _ in batch])
    found = search(SPACE, settings, judge, lambda p: rules.allowed(p))
    every = (
        Protocol.of((*d, *e))
        for n, m in itertools.product((1, 2), (1, 2))
        for d in itertools.combinations(SPACE.drugs, n)
        for e in itertools.combinations(SPACE.embolics, m)
    )
    best = min((p for p in every if rules.allowed(p)), key=lambda p: sum(effect[a] for a in p.agents))
    assert found.best == best


def test_leave_one_out_says_what_each_action_moved() -> None:
    pair, alone = Protocol.of(("Cisplatin", "Lipiodol")), Protocol.of(("Cisplatin",))
    moved = contributions(pair, {pair: Risk((-1.0,)), alone: Risk((-0.25,))})
    assert [(c.action, c.risk_without, c.risk_change) for c in moved] == [
        ("Cisplatin", None, None),
        ("Lipiodol", -0.25, -0.75),
    ]


def test_what_the_rules_pruned_is_named_with_its_rules() -> None:
    asked: list[Protocol] = []

    def allowed(protocol: Protocol) -> bool:
        asked.append(protocol)
        return rules.allowed(protocol)

    watched = Watched(allowed, lambda p: [f.rule for f in rules.check(p, complete=False) if f.severity == "forbidden"])
    judge = in_turn(lambda batch: [0.0 for _ in batch])
    search(SPACE, PlanSettings(search="exhaustive", replicas=1), judge, watched)
    pruned = {p.protocol.text: p.rules for p in watched.pruned()}
    two = [rule for text, rules_ in pruned.items() if "Cisplatin" in text and "Oxaliplatin" in text for rule in rules_]
    assert two and all("platinum" in rule for rule in two)
    assert len(asked) == len(set(asked)), "the rules are asked once about a protocol"
