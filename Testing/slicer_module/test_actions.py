"""Panel Actions: why agents are suggested, and where that stands."""

from __future__ import annotations

import json

import pytest


def measured(user):
    user.load_sample()
    user.click("segmentation", "measureButton")
    user.wait(lambda: user.front.parameters.proposal)
    user.wait_idle()


def test_a_suggestion_shows_its_reasons_and_sources(user):
    view = user.widget("actions", "reasonView")
    assert not view.isVisible(), "nothing is suggested yet"
    measured(user)
    view = user.widget("actions", "reasonView")
    text = view.toPlainText()
    assert view.isVisible() and "Suggested by: fake" in text
    for name, place in (("Epirubicin", "drug 1"), ("Cisplatin", "drug 2"), ("Lipiodol", "embolic 1")):
        assert f"{name} ({place}): because [Note of {name}; Some et al." in text
    assert '<a href="https://doi.org/10.1000/lipiodol">' in view.toHtml()


def test_the_agent_of_the_selected_row_comes_first(user):
    measured(user)
    user.click("actions", "suggestButton")
    names = [agent.name for agent in user.front.actions._agents]
    user.click_cell("actions", "agentTable", names.index("Lipiodol"), 0)
    lines = user.widget("actions", "reasonView").toPlainText().splitlines()
    assert lines[1].startswith("Lipiodol (embolic 1)")


def test_what_a_model_says_is_shown_as_text(user):
    measured(user)
    proposal = json.loads(user.front.parameters.proposal)
    proposal["reasons"]["Epirubicin"] = "Epirubicin: <a href='https://evil.example'>look</a> <b>now</b>"
    proposal["sources"] = {"Epirubicin": "<img src='https://evil.example/x'> https://doi.org/10.1/a\" onclick=x"}
    user.front.parameters.proposal = json.dumps(proposal)
    user.front.actions.refresh()
    view = user.widget("actions", "reasonView")
    assert "<a href='https://evil.example'>look</a> <b>now</b>" in view.toPlainText()
    assert 'href="https://evil.example"' not in view.toHtml() and "<img" not in view.toHtml()


def test_a_scene_of_an_older_version_has_no_sources(user):
    measured(user)
    proposal = json.loads(user.front.parameters.proposal)
    del proposal["sources"]
    user.front.parameters.proposal = json.dumps(proposal)
    user.front.actions.refresh()
    assert "Epirubicin (drug 1): because" in user.widget("actions", "reasonView").toPlainText()


def test_every_title_of_the_table_of_agents_can_be_read(user):
    user.load_sample()
    header = user.widget("actions", "agentTable").horizontalHeader()
    for column in range(5):
        assert header.sectionSize(column) >= header.sectionSizeFromContents(column).width()


def test_rules_are_read_before_a_protocol_is_judged(user, monkeypatch):
    """On a thread when the module is opened: reading their files takes a while."""
    import pathlib

    from MeWMPanels import node_texts

    from MeWMLib.core.protocol import Protocol
    from MeWMLib.policy import rules

    rules.load_rules.cache_clear()
    node_texts.read_rules()
    monkeypatch.setattr(pathlib.Path, "read_bytes", lambda path: pytest.fail(f"{path} is read"))
    assert node_texts.explained(Protocol.parse("Cisplatin + Lipiodol"), user.front.parameters)
