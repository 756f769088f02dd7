"""Agents, actions and protocols: synonyms, order, doses and their text."""

from __future__ import annotations

import itertools
import json

import pytest

from MeWMLib.core.errors import ProtocolError, UnknownAgentError
from MeWMLib.core.protocol import DRUG, EMBOLIC, Action, ActionSpace, Protocol, agent, agents_of, vocabulary


def test_the_vocabulary_is_sound():
    assert len(agents_of(DRUG)) == 11 and len(agents_of(EMBOLIC)) == 7
    assert agents_of(DRUG) + agents_of(EMBOLIC) == tuple(vocabulary())
    for known in vocabulary().values():
        assert known.dose_unit in ("mg", "ml") and 0 < known.dose_low < known.dose_high
        assert known.routes and known.source
        for name in (known.name, *known.synonyms):
            assert agent(name) is known


@pytest.mark.parametrize(
    ("name", "canonical"),
    [("THP", "Pirarubicin"), ("mitomycin-c", "Mitomycin"), (" gelatin  sponge ", "Gelatin Sponge")],
)
def test_synonyms(name, canonical):
    assert agent(name).name == Action(name).agent == canonical


def test_unknown_agents_are_refused_with_a_hint():
    with pytest.raises(UnknownAgentError, match="Epirubicin"):
        agent("Epirubicine")
    with pytest.raises(UnknownAgentError, match="Known agents: Raltitrexed"):
        Action("water")


@pytest.mark.parametrize("dose", [0, -5, float("nan"), float("inf"), True, "30"])
def test_a_dose_that_is_not_one(dose):
    with pytest.raises(ProtocolError, match="dose of Epirubicin"):
        Action("Epirubicin", dose)


def test_a_route_that_does_not_exist():
    with pytest.raises(ProtocolError, match="Possible: "):
        Action("Epirubicin", route="swallowed")


def test_order_does_not_matter():
    actions = [Action("Epirubicin", 30), Action("Cisplatin"), Action("Lipiodol", 10, "emulsion")]
    protocols = {Protocol(order) for order in itertools.permutations(actions)}
    assert len(protocols) == 1 and len({p.text for p in protocols}) == 1
    one = protocols.pop()
    assert one.drugs == ("Epirubicin", "Cisplatin") and one.embolics == ("Lipiodol",) and one.complete
    assert one != Protocol.of(["Epirubicin", "Cisplatin", "Lipiodol"])  # doses count
    assert not Protocol.of(["Epirubicin"]).complete and Protocol.of(["Lipiodol"]).complete
    assert Protocol(()).plus(actions[0]).plus(actions[1]) == Protocol.of(["Cisplatin"]).plus(actions[0])


def test_text_and_json_are_read_back():
    for known in vocabulary().values():
        for action in (Action(known.name), Action(known.name, 7.5), Action(known.name, 12, known.routes[-1])):
            protocol = Protocol((action, Action("Lipiodol" if known.name != "Lipiodol" else "PVA", 3)))
            assert Protocol.parse(protocol.text) == protocol
            assert Protocol.from_json(json.loads(json.dumps(protocol.to_json()))) == protocol
    read = Protocol.parse("lipiodol 10ml (Emulsion); THP 20 mg, PVA")
    assert read.text == "Pirarubicin 20 mg + Lipiodol 10 ml (emulsion) + PVA"


@pytest.mark.parametrize("data", [[{"dose": 3}], [{"agent": "Lipiodol", "dose": "3"}], ["Lipiodol"], [{"agent": 1}]])
def test_json_that_is_not_a_protocol(data):
    with pytest.raises(ProtocolError, match="action"):
        Protocol.from_json(data)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", ProtocolError),
        ("Epirubicin + ", ProtocolError),
        ("Epirubicin 30 ml", ProtocolError),
        ("Epirubicin -3 mg", ProtocolError),
        ("Epirubicin 1.2.3 mg", ProtocolError),
        ("Epirubicin + EPI", ProtocolError),
        ("Epirubicin (by mouth)", UnknownAgentError),
        ("Epirubicin + water", UnknownAgentError),
    ],
)
def test_texts_that_are_not_a_protocol(text, error):
    with pytest.raises(error):
        Protocol.parse(text)


@pytest.mark.parametrize(
    ("text", "what", "remedy"),
    [
        ("Doxorubicin 50 + Lipiodol 5", "The dose of Doxorubicin has no unit", "Doxorubicin 50 mg"),
        ("PVA + Lipiodol 10", "The dose of Lipiodol has no unit", "Lipiodol 10 ml"),
        ("Doxorubicin 50 (emulsion) + PVA", "The dose of Doxorubicin has no unit", "Doxorubicin 50 mg"),
        ("Doxorubicin 50 g + Lipiodol", "Doxorubicin is dosed in mg", "20 to"),
        ("adriamycin 50 mg/m2 + Lipiodol", "Doxorubicin is dosed in mg", "in mg"),
        ("Lipiodol 10 cc", "Lipiodol is dosed in ml", "in ml"),
        ("Doxorubicin 50 ml", "Doxorubicin is dosed in mg", "in mg"),
        ("Raltitrexed 0,5 mg + PVA", "comma stands between the digits", "Write 0.5 with a decimal point"),
        ("Lipiodol 1,5", "comma stands between the digits", "1.5"),
        ("50 mg Doxorubicin + Lipiodol", "The dose stands before the agent", "Write Doxorubicin 50 mg"),
        ("10 ml of Lipiodol", "The dose stands before the agent", "Write Lipiodol 10 ml"),
    ],
)
def test_what_is_wrong_with_a_dose_is_named(text, what, remedy):
    with pytest.raises(ProtocolError) as caught:
        Protocol.parse(text)
    assert what in caught.value.what and remedy in caught.value.remedy


@pytest.mark.parametrize("text", ["Aspirin 50 + PVA", "Aspirin 50 g", "water 10 ml"])
def test_an_agent_that_is_unknown_is_told_before_its_dose(text):
    with pytest.raises(UnknownAgentError):
        Protocol.parse(text)


def test_an_action_space_keeps_drugs_and_embolics_apart():
    space = ActionSpace(("Cisplatin",), ("Lipiodol",), {"Cisplatin": "why", "Lipiodol": "why"}, "guideline")
    assert space.drugs == ("Cisplatin",)
    with pytest.raises(ProtocolError, match="Lipiodol as drug"):
        ActionSpace(("Lipiodol",), (), {}, "x")
    with pytest.raises(ProtocolError, match="Cisplatin as embolic"):
        ActionSpace((), ("Cisplatin",), {}, "x")
