"""Territories: what is read, what it feeds, and that a text is read back; alone and in a protocol."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from MeWMLib.core.errors import ProtocolError, TerritoryError
from MeWMLib.core.outcome import ReplicaScore, Risk, TumourChange
from MeWMLib.core.plan import Candidate
from MeWMLib.core.protocol import Action, Protocol, vocabulary
from MeWMLib.core.templates import described
from MeWMLib.core.territory import PAINTED, SEGMENTS, Territory, known_parts

#: What people write, the canonical text, and what it feeds (by hand, "?" for unknown).
TABLE = [
    ("whole liver", "whole liver", "1 2 3 4a 4b 5 6 7 8"),
    ("Both lobes", "whole liver", "1 2 3 4a 4b 5 6 7 8"),
    ("Right Lobe", "right lobe", "5 6 7 8"),
    ("left hemiliver", "left lobe", "2 3 4a 4b"),
    ("caudate", "caudate lobe", "1"),
    ("left lateral segment", "left lateral section", "2 3"),
    ("right-anterior section", "right anterior section", "5 8"),
    ("segments 5, 8", "segments 5, 8", "5 8"),
    ("8, 5", "segments 5, 8", "5 8"),
    ("S8/S5", "segments 5, 8", "5 8"),
    ("S5/8", "segments 5, 8", "5 8"),
    ("segments 5 8", "segments 5, 8", "5 8"),
    ("Couinaud's segments V and VIII", "segments 5, 8", "5 8"),
    ("seg. 6", "segment 6", "6"),
    ("8th segment", "segment 8", "8"),
    ("IV", "segment 4", "4a 4b"),
    ("segment IVa", "segment 4a", "4a"),
    ("4a, 4b", "segment 4", "4a 4b"),
    ("segment 4a/b", "segment 4", "4a 4b"),
    ("segments V-VIII", "segments 5, 6, 7, 8", "5 6 7 8"),
    ("segments 5\u20138", "segments 5, 6, 7, 8", "5 6 7 8"),
    ("segments 2 to 4", "segments 2, 3, 4", "2 3 4a 4b"),
    ("4b-5", "segments 4b, 5", "4b 5"),
    ("\u2167", "segment 8", "8"),
    ("common hepatic artery", "common hepatic artery", "1 2 3 4a 4b 5 6 7 8"),
    ("PHA", "proper hepatic artery", "1 2 3 4a 4b 5 6 7 8"),
    ("RHA", "right hepatic artery", "5 6 7 8"),
    ("the right hepatic artery", "right hepatic artery", "5 6 7 8"),
    ("left hepatic artery", "left hepatic artery", "2 3 4a 4b"),
    ("middle hepatic artery", "middle hepatic artery", "4a 4b"),
    ("anterior branch of the right hepatic artery", "right anterior hepatic artery", "5 8"),
    ("posterior branch", "right posterior hepatic artery", "6 7"),
    ("tumour-feeding branches of A8", "A8", "8"),
    ("segment 8 branch", "A8", "8"),
    ("A4", "A4", "4a 4b"),
    ("A5/8", "A5 and A8", "5 8"),
    ("A6-7", "A6 and A7", "6 7"),
    ("right hepatic artery and A4", "right hepatic artery and A4", "4a 4b 5 6 7 8"),
    ("A4 + right lobe, S1", "right lobe and segment 1 and A4", "1 4a 4b 5 6 7 8"),
    ("right inferior phrenic artery", "right inferior phrenic artery", "?"),
    ("RIPA & A7", "A7 and right inferior phrenic artery", "?"),
    ("right internal mammary artery", "right internal thoracic artery", "?"),
    ("painted region", "painted region", "?"),
    (" Painted  REGION  Upper dome, 2 + 3 ", "painted region Upper dome, 2 + 3", "?"),
]


@pytest.mark.parametrize(("text", "canonical", "fed"), TABLE)
def test_what_people_write(text, canonical, fed):
    territory = Territory.parse(text)
    assert territory.text == canonical and Territory.parse(canonical) == territory
    assert territory.segments == (None if fed == "?" else frozenset(fed.split()))
    assert territory.is_whole == (len(fed.split()) == 9)
    assert territory.is_painted == canonical.startswith(PAINTED)


@pytest.mark.parametrize(
    "text",
    ["", "  ", ",", "spleen", "segment 9", "segment 0", "segments", "segment 5c", "S5 and kidney", "8-5", "IX", "a\0b",
     "right", "5,,x", "x" * 2500, "painted region and segment 5\ud800"],
)  # fmt: skip
def test_what_is_no_territory(text):
    with pytest.raises(TerritoryError) as raised:
        Territory.parse(text)
    assert raised.value.remedy and isinstance(raised.value, ProtocolError)


def test_errors_name_what_is_known_and_what_is_near():
    with pytest.raises(TerritoryError, match="Did you mean right hepatic artery.*segments 1 to 8.*left lobe.*A8"):
        Territory.parse("right hepatic arterie")
    with pytest.raises(TerritoryError, match="5-8"):
        Territory.parse("segments 8-5")


@pytest.mark.parametrize("parts", [(), ("kidney",), ("segments 9",), ("painted region", "A8"), ("segment",)])
def test_parts_that_are_none(parts):
    with pytest.raises(TerritoryError):
        Territory(parts)


def test_unknown_beds_are_named():
    territory = Territory.parse("A7 and RIPA")
    assert territory.unknown == ("right inferior phrenic artery",) and "not known" in territory.described
    assert Territory.parse("right lobe").described == "right lobe (segments 5, 6, 7, 8)"
    assert Territory.parse("5,8").described == "segments 5, 8"


def test_of_segments_and_painted():
    assert Territory.of_segments(["VIII", "5"]) == Territory.parse("segments 5, 8")
    assert Territory.painted("dome").text == "painted region dome"
    with pytest.raises(TerritoryError):
        Territory.of_segments([])


@pytest.mark.parametrize("data", [5, None, ["right lobe"], {}, "nowhere"])
def test_json_that_is_no_territory(data):
    with pytest.raises(TerritoryError):
        Territory.from_json(data)


_NAMED = st.lists(st.sampled_from((*known_parts(), *(f"segment {s}" for s in SEGMENTS))), min_size=1).map(tuple)
_PAINTED_NAMES = st.text(st.characters(exclude_categories=("C",)), max_size=40)
_TERRITORIES = st.one_of(_NAMED.map(Territory), _PAINTED_NAMES.map(Territory.painted))
_ACTIONS = st.lists(st.sampled_from(list(vocabulary())), min_size=1, unique=True).map(
    lambda names: tuple(Action(name, 7.5) for name in names)
)


@given(_TERRITORIES)
def test_text_and_json_are_read_back(territory):
    assert Territory.parse(territory.text) == territory
    assert Territory.from_json(json.loads(json.dumps(territory.to_json()))) == territory


@given(_NAMED, st.sampled_from((", ", " + ", " & ", "/", " AND ", "; ")), st.booleans())
def test_any_join_and_case_say_the_same(parts, join, upper):
    text = join.join(parts)
    assert Territory.parse(text.upper() if upper else text) == Territory(parts)


@given(_ACTIONS, st.none() | _TERRITORIES)
def test_a_protocol_with_a_territory_is_read_back(actions, territory):
    protocol = Protocol(actions, territory)
    assert Protocol.parse(protocol.text) == protocol
    assert Protocol.from_json(json.loads(json.dumps(protocol.to_json()))) == protocol
    score = ReplicaScore(0.1, (1.0, 2.0), (0.9, 0.8), TumourChange(1, 1, 1, 1, 0, 1, 1))
    candidate = Candidate(protocol, Risk.over([score]), score.change)
    assert Candidate.from_json(json.loads(json.dumps(candidate.to_json()))).protocol == protocol


def test_a_territory_is_part_of_a_protocol():
    text = "Epirubicin 30 mg + Lipiodol 10 ml @ segments 5, 8"
    protocol = Protocol.parse("Lipiodol 10 ml, Epirubicin 30 mg @ S5 + S8")
    assert protocol.text == text and protocol.agents_text == "Epirubicin 30 mg + Lipiodol 10 ml"
    plain = protocol.fed(None)
    assert plain != protocol and plain.text == protocol.agents_text and plain.fed(protocol.territory) == protocol
    assert protocol.plus(Action("PVA")).territory == protocol.territory
    assert Protocol((), protocol.territory) == Protocol(())
    assert described(protocol).endswith(", into segments 5, 8")
    assert replace(protocol, actions=()).text == ""


@pytest.mark.parametrize("text", ["Lipiodol @", "Lipiodol @ spleen", "@ segment 5", "Lipiodol @ 5 @ 6"])
def test_protocols_with_territories_that_are_none(text):
    with pytest.raises(ProtocolError):
        Protocol.parse(text)


def test_a_plan_of_an_older_version_has_no_territory():
    score = ReplicaScore(0.1, (1.0,), (0.9,), TumourChange(1, 1, 1, 1, 0, 1, 1))
    old = Candidate(Protocol.of(["Lipiodol"]), Risk.over([score]), score.change).to_json()
    del old["territory"]
    assert Candidate.from_json(old).protocol == Protocol.of(["Lipiodol"])
