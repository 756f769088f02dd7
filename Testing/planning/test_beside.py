"""A physician's protocol beside the first of a search: every figure is a simulation, and swaps are single steps."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from MeWMLib.core.beside import ADD, DROP, REPLACE, Beside, swaps, without
from MeWMLib.core.comparison import Comparison
from MeWMLib.core.outcome import Risk, TumourChange
from MeWMLib.core.plan import Candidate
from MeWMLib.core.protocol import Protocol
from MeWMLib.planning.beside import beside
from MeWMLib.planning.explain import contributions

MINE = Protocol.parse("Epirubicin 30 mg + Lipiodol 10 ml + Gelatin Sponge")
FIRST = Protocol.parse("Doxorubicin 50 mg + Cisplatin 50 mg + Lipiodol 12 ml + PVA")
#: What each action adds to the log-risk in the toy world.
EFFECTS = {
    "Epirubicin": -0.3, "Doxorubicin": -0.5, "Cisplatin": -0.2, "Lipiodol": -0.4, "Gelatin Sponge": -0.1, "PVA": -0.35
}  # fmt: skip


def _risk(protocol: Protocol) -> float:
    return sum(EFFECTS[a.agent] - 0.001 * (a.dose or 0.0) for a in protocol.actions)


def _candidate(protocol: Protocol) -> Candidate:
    return Candidate(protocol, Risk((_risk(protocol),)), TumourChange(9, 8, 7, 6, 0, 30, 20))


class _Judge:
    def __init__(self) -> None:
        self.asked: list[Protocol] = []

    def __call__(self, protocols: Sequence[Protocol]) -> list[Candidate]:
        self.asked += protocols
        return [_candidate(p) for p in protocols]


def test_swaps_are_the_single_steps_from_one_to_the_other() -> None:
    found = {(s.kind, s.action, s.instead_of): s.protocol.text for s in swaps(MINE, FIRST)}
    assert found == {
        (REPLACE, "Doxorubicin 50 mg", "Epirubicin 30 mg"): "Doxorubicin 50 mg + Lipiodol 10 ml + Gelatin Sponge",
        (ADD, "Cisplatin 50 mg", ""): "Epirubicin 30 mg + Cisplatin 50 mg + Lipiodol 10 ml + Gelatin Sponge",
        (REPLACE, "Lipiodol 12 ml", "Lipiodol 10 ml"): "Epirubicin 30 mg + Lipiodol 12 ml + Gelatin Sponge",
        (REPLACE, "PVA", "Gelatin Sponge"): "Epirubicin 30 mg + Lipiodol 10 ml + PVA",
    }
    (drop,) = swaps(FIRST, Protocol.parse("Doxorubicin 50 mg + Lipiodol 12 ml + PVA"))
    assert (drop.kind, drop.action, drop.text) == (DROP, "Cisplatin 50 mg", "leave out Cisplatin 50 mg")
    assert swaps(MINE, MINE) == ()


def test_all_swaps_together_lead_to_the_other_protocol() -> None:
    protocol = MINE
    for _ in range(10):
        left = swaps(protocol, FIRST)
        if not left:
            break
        protocol = left[0].protocol
    assert protocol == FIRST


def test_every_figure_is_a_simulation_and_nothing_known_is_simulated_again() -> None:
    judge = _Judge()
    known = _candidate(Protocol.parse("Doxorubicin 50 mg + Lipiodol 12 ml + PVA"))
    pair = beside(MINE, _candidate(FIRST), judge, lambda p: ["one-rule"] if "Cisplatin" in p.agents else [], [known])
    assert len(judge.asked) == len(set(judge.asked)) and not {FIRST, known.protocol} & set(judge.asked)
    assert pair.risk_difference == pytest.approx(_risk(MINE) - _risk(FIRST))
    for candidate in (pair.mine, pair.first):
        assert [m.action for m in candidate.contributions] == [a.text for a in candidate.protocol.actions]
        for action, moved in zip(candidate.protocol.actions, candidate.contributions, strict=True):
            assert moved.risk_change == pytest.approx(EFFECTS[action.agent] - 0.001 * (action.dose or 0.0))
    for swap in pair.swaps:
        if swap.action.startswith("Cisplatin"):
            assert swap.forbidden == ("one-rule",) and swap.log_risk is None and swap.protocol not in judge.asked
        else:
            assert swap.log_risk == pytest.approx(_risk(swap.protocol))
            assert swap.risk_change == pytest.approx(_risk(swap.protocol) - _risk(MINE))
    assert Beside.from_json(pair.to_json()).to_json() == pair.to_json()


def test_every_difference_has_its_spread_by_the_comparison_of_the_plan() -> None:
    comparison = Comparison(gain=0.5, error=0.3, spread=0.0, level=0.9, measured=True)
    pair = beside(MINE, _candidate(FIRST), _Judge(), lambda p: [], comparison=comparison)
    assert pair.difference == comparison.difference(pair.mine.risk, pair.first.risk)
    assert pair.difference is not None and pair.difference.change == pair.risk_difference
    moved = [m for c in (pair.mine, pair.first) for m in c.contributions]
    for one in (*moved, *pair.swaps):
        assert one.difference is not None and one.difference.change == one.risk_change
        # by hand: the world of this test has one replica and no members, so that the error alone is left
        assert one.difference.deviation == pytest.approx(0.3)
        assert one.difference.interval == pytest.approx(
            (0.5 * one.risk_change - 0.588, 0.5 * one.risk_change + 0.588), abs=1e-4
        )
    assert Beside.from_json(pair.to_json()) == pair
    alone = beside(MINE, _candidate(FIRST), _Judge(), lambda p: [])
    assert alone.difference is None and not any(s.difference for s in alone.swaps)


def test_a_single_agent_has_nothing_to_leave_out() -> None:
    alone = Protocol.parse("PVA")
    pair = beside(alone, _candidate(alone), _Judge(), lambda p: [])
    assert pair.swaps == () and pair.risk_difference == 0 and pair.mine.contributions[0].risk_change is None


def test_without_lipiodol_nothing_is_an_emulsion() -> None:
    emulsion = Protocol.parse("Doxorubicin 50 mg (emulsion) + Lipiodol 10 ml (emulsion) + PVA")
    drug, oil, beads = emulsion.actions
    assert without(emulsion, oil).text == "Doxorubicin 50 mg + PVA"
    assert without(emulsion, beads).text == "Doxorubicin 50 mg (emulsion) + Lipiodol 10 ml (emulsion)"
    moved = contributions(emulsion, {emulsion: Risk((0.0,)), without(emulsion, oil): Risk((0.25,))})
    assert [(m.part, m.risk_change) for m in moved] == [
        ("Doxorubicin 50 mg", None),
        ("Lipiodol 10 ml", -0.25),
        ("PVA", None),
    ]
    assert [m.action for m in moved] == [drug.text, oil.text, beads.text]
