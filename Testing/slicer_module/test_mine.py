"""My protocol beside a ranked one: a search saves the pair, and a button takes an action over and simulates."""

from __future__ import annotations

from typing import Any

from MeWMLib.core.beside import swaps
from MeWMLib.core.protocol import Protocol

MINE = Protocol.parse("Epirubicin 30 mg + Lipiodol 10 ml + Gelatin Sponge")


def _explored(user: Any, compare: bool) -> Any:
    user.load_sample()
    user.click("segmentation", "measureButton")
    user.wait(lambda: user.front.parameters.findings)
    user.wait_idle()
    user.front.actions.add("Mine", MINE)
    user.front.parameters.exploration.replicas = user.front.parameters.simulation.replicas = 1
    user.front.refresh()
    user.widget("exploration", "mineBox").setChecked(compare)
    user.click("exploration", "exploreButton")
    user.wait(lambda: user.front.comparison)
    user.wait_idle()
    user.front.refresh()
    return user.front.comparison


def test_a_search_saves_the_pair_and_the_panel_shows_it(user: Any) -> None:
    document = _explored(user, compare=True).document
    assert document.beside is not None and document.beside.mine.protocol == MINE
    label = user.front.outcome.mine.label
    told = document.beside.difference
    ends = " to ".join(f"{end:+.2f}" for end in told.interval)
    assert f"{document.beside.risk_difference:+.2f}" in label.text and f"95 % interval {ends};" in label.text
    chance = max(told.better, 1 - told.better)
    assert f"truly better with a probability of {100 * chance:.0f} %" in label.text
    assert ("CANNOT BE TOLD APART" in label.text) != told.told_apart
    texts = [button.text for button in user.front.outcome.mine.buttons]
    assert len(texts) == len(document.beside.swaps)
    for text, swap in zip(texts, document.beside.swaps, strict=True):
        assert swap.text in text and (swap.risk_change is None or f"({swap.risk_change:+.2f}, " in text)
        one = swap.difference
        assert one is None or ("cannot be told apart" in text) != one.told_apart


def test_a_button_takes_an_action_over_and_simulates_again(user: Any) -> None:
    best = _explored(user, compare=False).candidates[0]
    section = user.front.outcome.mine
    assert "not simulated yet" in section.label.text
    wanted = swaps(MINE, best.protocol)
    assert [b.text for b in section.buttons] == [
        f"&{n}  Take over: {swap.text}" for n, swap in enumerate(wanted, start=1)
    ]
    before = user.front.comparison
    section.buttons[0].click()
    user.wait(lambda: user.front.comparison is not before)
    user.wait_idle()
    user.front.refresh()
    assert user.front.actions.selected == ("Mine", wanted[0].protocol)
    assert [c.protocol for c in user.front.comparison.candidates] == [wanted[0].protocol]
    # still beside the first of the search, with the steps that are left
    assert f"rank {best.rank}" in section.label.text
    assert [b.text for b in section.buttons] == [
        f"&{n}  Take over: {s.text}" for n, s in enumerate(swaps(wanted[0].protocol, best.protocol), start=1)
    ]


def test_an_outdated_comparison_is_compared_with_nothing(user: Any) -> None:
    _explored(user, compare=True)
    section = user.front.outcome.mine
    assert section.buttons
    user.front.parameters.clinical.age_years = 63
    user.look()
    user.front.refresh()
    assert not section.buttons and section.label.text == ""
