"""The beam search against a slow second writing of Algorithm 1, and what it promises at any moment."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import combinations

import pytest

from MeWMLib.core.errors import PlanSettingsError, RuleError
from MeWMLib.core.plan import PlanSettings
from MeWMLib.core.protocol import ActionSpace, Protocol, agents_of, vocabulary
from MeWMLib.planning.search import Batch, Evaluate, RiskError, SearchResult, first_protocol, in_turn
from MeWMLib.planning.searches import expected_evaluations, search

#: One replica, where replicas are not what is tested.
Once = partial(PlanSettings, search="beam", replicas=1)


def beam_search(space, settings, *args, **more) -> SearchResult:
    return search(space, replace(settings, search="beam"), *args, **more)


def exhaustive_search(space, settings, *args, **more) -> SearchResult:
    return search(space, replace(settings, search="exhaustive"), *args, **more)


CLASS = {name: known.agent_class for name, known in vocabulary().items()}


def rules(protocol: Protocol) -> bool:
    """A rule of the kind that is used: at most one of a class, and one pair that must not meet."""
    classes = [CLASS[a] for a in protocol.agents if CLASS[a] in ("platinum", "anthracycline", "drug-eluting bead")]
    return len(classes) == len(set(classes)) and not {"Cisplatin", "LC beads"} <= set(protocol.agents)


def anything(_: Protocol) -> bool:
    return True


def toy(seed: int) -> Callable[[Protocol], float]:
    """A world in which each set of agents has a risk of its own: effects of agents and of pairs."""

    def draw(*names: str) -> float:
        digest = hashlib.sha256(f"{seed} {sorted(names)}".encode()).digest()
        return int.from_bytes(digest[:4], "big") / 2**32 - 0.5

    def risk(protocol: Protocol) -> float:
        return sum(draw(a) for a in protocol.agents) + sum(draw(*pair) for pair in combinations(protocol.agents, 2))

    return risk


def random_case(seed: int) -> tuple[ActionSpace, PlanSettings]:
    rng = random.Random(seed)
    drugs = tuple(rng.sample(agents_of("drug"), rng.randint(1, 6)))
    embolics = tuple(rng.sample(agents_of("embolic"), rng.randint(1, 4)))
    settings = Once(
        beams=rng.randint(1, 5),
        drugs=rng.randint(1, 6),
        embolics=rng.randint(1, 4),
        drug_horizon=rng.randint(1, 3),
        embolic_horizon=rng.randint(1, 3),
    )
    return ActionSpace(drugs, embolics, {}, "test"), settings


def each(risk: Callable[[Protocol], float]) -> Evaluate:
    return in_turn(lambda batch: [risk(p) for p, _ in batch])


Line = tuple[int, int, str, str, float, bool]


def reference(
    space: ActionSpace, s: PlanSettings, risk: Callable[[Protocol], float], allowed: Callable[[Protocol], bool]
) -> tuple[list[Line], set[str]]:
    """Algorithm 1 with names only, no memo and no sharing: the tree, and the complete protocols that were judged."""
    drugs, embolics = space.drugs[: s.drugs], space.embolics[: s.embolics]

    def value(names: frozenset[str]) -> tuple[float, str]:
        return risk(Protocol.of(names)), Protocol.of(names).text

    def text(names: frozenset[str]) -> str:
        return Protocol.of(names).text

    def viable(names: frozenset[str]) -> bool:
        if not allowed(Protocol.of(names)):
            return False
        return bool(names & set(embolics)) or any(allowed(Protocol.of(names | {e})) for e in embolics)

    complete: set[str] = set()
    lines: list[Line] = []
    for total in range(len(drugs) + len(embolics)):
        pairs = [
            frozenset({drugs[i], embolics[total - i]}) for i in range(len(drugs)) if 0 <= total - i < len(embolics)
        ]
        pairs = [p for p in pairs if allowed(Protocol.of(p))]
        if pairs:
            complete.add(text(pairs[0]))
            lines.append((0, 0, "", text(pairs[0]), value(pairs[0])[0], False))
            break
    plans: list[frozenset[str]] = [frozenset() for _ in range(s.beams)]
    for step in range(1, s.drug_horizon + s.embolic_horizon + 1):
        names = drugs if step <= s.drug_horizon else embolics
        before, options_of = list(plans), []
        for b in range(s.beams):
            children = [before[b] | {n} for n in names if n not in before[b] and viable(before[b] | {n})]
            options_of.append(children)
            stay = [before[b]] if (before[b] & set(names)) or not children else []
            ordered = sorted(children + stay, key=value)
            nth = sum(before[c] == before[b] for c in range(b))
            plans[b] = ordered[nth] if nth < len(ordered) else ordered[-1]
        taken = list(plans)
        worst = max(range(s.beams), key=lambda b: (value(taken[b]), b))
        plans[worst] = min(taken, key=value)
        for b in range(s.beams):
            for child in options_of[b]:
                kept = taken[b] == child and plans[b] == child
                lines.append((step, b + 1, text(before[b]), text(child), value(child)[0], kept))
                if child & set(drugs) and child & set(embolics):
                    complete.add(text(child))
    return lines, complete


@pytest.mark.parametrize("allowed", [rules, anything])
@pytest.mark.parametrize("seed", range(60))
def test_equals_the_slow_reference_step_by_step(seed: int, allowed: Callable[[Protocol], bool]) -> None:
    (space, settings), risk = random_case(seed), toy(seed)
    try:
        result = beam_search(space, settings, each(risk), allowed)
    except RuleError:
        chosen = ActionSpace(space.drugs[: settings.drugs], space.embolics[: settings.embolics], {}, "test")
        assert not any(allowed(Protocol.of([d, e])) for d in chosen.drugs for e in chosen.embolics)
        return
    lines, complete = reference(space, settings, risk, allowed)
    assert [(t.step, t.beam, t.parent.text, t.child.text, t.risk, t.kept) for t in result.tree] == lines
    assert {p.text for p, _ in result.ranked} == complete
    assert result.stopped_by == "finished"
    assert result.best == result.ranked[0][0]


def _check_ranked(result: SearchResult, risk: Callable[[Protocol], float]) -> None:
    keys = [(r, p.text) for p, r in result.ranked]
    assert keys == sorted(set(keys))
    for protocol, value in result.ranked:
        assert protocol.complete and rules(protocol) and value == risk(protocol)
    assert len(result.ranked) <= result.evaluated
    assert {p for p, _ in result.ranked} <= {t.child for t in result.tree}


@pytest.mark.parametrize("seed", range(40))
def test_nothing_is_judged_twice_and_batches_are_small(seed: int) -> None:
    (space, settings), risk = random_case(seed), toy(seed)
    calls: list[tuple[Protocol, ...]] = []

    def judge(batch: Batch) -> list[float]:
        calls.append(tuple(p for p, _ in batch))
        return [risk(p) for p, _ in batch]

    try:
        bound = expected_evaluations(space, settings, rules)
    except RuleError:
        return
    for batch in (1, 3, 4):
        calls.clear()
        result = beam_search(space, settings, in_turn(judge), rules, batch=batch)
        judged = [p for call in calls for p in call]
        assert len(judged) == len(set(judged)) == result.evaluated <= bound
        assert max(map(len, calls)) <= batch
        assert all(rules(p) and p.actions for p in judged)
        assert {p for p in judged if p.complete} == {p for p, _ in result.ranked}


FIVE = ActionSpace(
    ("Cisplatin", "Doxorubicin", "Mitomycin", "Oxaliplatin", "Raltitrexed"),
    ("LC beads", "Lipiodol", "PVA", "NBCA"),
    {},
    "test",
)


def test_horizon_one_with_enough_beams_finds_the_optimum() -> None:
    for seed in range(30):
        settings = Once(beams=6, drug_horizon=1, embolic_horizon=1)
        beam = beam_search(FIVE, settings, each(toy(seed)), rules)
        full = exhaustive_search(FIVE, settings, each(toy(seed)), rules)
        # One beam more than drugs: the worst one is a copy, and the replacement costs no drug.
        assert beam.ranked[0] == full.ranked[0]


def test_regret_shrinks_with_beams() -> None:
    def regret(beams: int) -> float:
        total = 0.0
        for seed in range(40):
            settings = Once(beams=beams)
            best = exhaustive_search(FIVE, settings, each(toy(seed)), rules).ranked[0][1]
            total += beam_search(FIVE, settings, each(toy(seed)), rules).ranked[0][1] - best
        return total / 15

    assert 0 <= regret(8) < regret(3) < regret(1)


def test_the_tie_goes_to_fewer_agents_and_then_to_the_canonical_text() -> None:
    result = beam_search(FIVE, Once(), each(lambda p: 0.0), rules)
    found = [(len(p.actions), p.text) for p, _ in result.ranked]
    assert found == sorted(found) and len({count for count, _ in found}) > 1


def test_a_shorter_protocol_wins_where_more_makes_it_worse() -> None:
    result = beam_search(FIVE, Once(), each(lambda p: float(len(p.actions))), rules)
    assert result.best is not None and len(result.best.actions) == 2


@pytest.mark.parametrize("batch", [1, 4])
def test_cancel_at_every_moment_leaves_a_valid_prefix(batch: int) -> None:
    risk, settings = toy(3), Once()
    seen: list[SearchResult] = []
    full = beam_search(FIVE, settings, each(risk), rules, seen.append, batch=batch)
    moments = sum(1 for n in range(len(seen)) if n == 0 or seen[n].evaluated > seen[n - 1].evaluated)
    last = None
    for stop in range(moments + 1):
        asked = iter(range(1000))
        result = beam_search(
            FIVE, settings, each(risk), rules, cancelled=lambda a=asked, s=stop: next(a) >= s, batch=batch
        )
        _check_ranked(result, risk)
        assert result.stopped_by == ("finished" if stop == moments else "cancelled")
        assert dict(result.ranked).items() <= dict(full.ranked).items()
        assert bool(result.ranked) == (stop > 0)
        if stop == 0:
            assert result.best is None and result.tree == ()
        elif stop < moments:
            # What a cancel leaves is what the last report showed.
            assert result in seen
        last = result
    assert last == full


def test_reports_grow_and_end_with_the_whole_result() -> None:
    seen: list[SearchResult] = []
    risk = toy(5)
    result = beam_search(FIVE, Once(), each(risk), rules, seen.append)
    assert [r.evaluated for r in seen] == sorted(r.evaluated for r in seen)
    best = [r.ranked[0][1] for r in seen]
    assert best == sorted(best, reverse=True)
    assert {r.stopped_by for r in seen} == {"cancelled"}
    assert (seen[-1].ranked, seen[-1].tree) == (result.ranked, result.tree)
    for so_far in seen:
        _check_ranked(so_far, risk)


def test_the_same_search_twice_gives_the_same() -> None:
    runs = [beam_search(FIVE, Once(), each(toy(8)), rules, batch=batch) for batch in (1, 4, 4)]
    assert runs[0] == runs[1] == runs[2]


def test_a_drug_that_no_embolic_may_follow_is_not_taken() -> None:
    space = ActionSpace(("Cisplatin", "Mitomycin"), ("LC beads",), {}, "test")
    result = beam_search(space, Once(), each(lambda p: -10.0 * ("Cisplatin" in p.agents)), rules)
    assert [p.text for p, _ in result.ranked] == ["Mitomycin + LC beads"]


def test_no_protocol_left_is_an_error() -> None:
    space = ActionSpace(("Cisplatin",), ("LC beads",), {}, "test")
    with pytest.raises(RuleError, match=r"every complete protocol.*Cisplatin.*LC beads"):
        beam_search(space, Once(), each(toy(0)), rules)
    with pytest.raises(RuleError):
        expected_evaluations(space, Once(), rules)
    with pytest.raises(RuleError, match="none"):
        beam_search(ActionSpace((), ("PVA",), {}, "test"), Once(), each(toy(0)), rules)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_risk_that_is_no_number_names_the_protocol(bad: float) -> None:
    with pytest.raises(RiskError, match="Mitomycin"):
        beam_search(FIVE, Once(), each(lambda p: bad if "Mitomycin" in p.agents else 0.0), rules)


def test_too_few_risks_are_refused() -> None:
    with pytest.raises(RiskError, match="one risk for each simulation"):
        beam_search(FIVE, Once(), in_turn(lambda batch: [0.0] * (len(batch) - 1)), rules)


def test_a_batch_of_nothing_is_refused() -> None:
    with pytest.raises(PlanSettingsError, match="batch"):
        beam_search(FIVE, Once(), each(toy(0)), rules, batch=0)


def test_a_search_of_all_combinations_says_that_it_needs_a_drug() -> None:
    """As where a goal asks for bland embolisation; the templates hold that."""
    with pytest.raises(RuleError, match=r"needs a drug.*templates"):
        first_protocol(ActionSpace((), ("Lipiodol", "PVA"), {}, "goal"), lambda protocol: True)
