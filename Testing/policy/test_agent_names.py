"""Names and classes of agents: one list, whatever the spelling."""

from __future__ import annotations

import pytest

from MeWMLib.core.errors import UnknownAgentError
from MeWMLib.core.protocol import vocabulary
from MeWMLib.policy.agent_names import by_letters, classes, letters, members, offered, pattern_of


def test_every_agent_is_in_exactly_one_class() -> None:
    assert sorted(name for names in classes().values() for name in names) == sorted(vocabulary())
    assert members("drug-eluting bead") == ("LC beads",) and members("oil") == ("Lipiodol",)
    with pytest.raises(UnknownAgentError, match=r"gold.*Known classes: .*platinum"):
        members("gold")


def test_what_is_offered_keeps_the_order_of_the_vocabulary() -> None:
    assert offered("embolic", ["LC beads", "Cisplatin", "Lipiodol"]) == ("Lipiodol", "LC beads")
    assert len(offered("drug")) + len(offered("embolic")) == len(vocabulary())


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("LC-Beads", "LC beads"),
        ("ethiodised oil", "Lipiodol"),
        ("GEL FOAM", "Gelatin Sponge"),
        ("l ohp", "Oxaliplatin"),
    ],
)
def test_spelling_is_free(text: str, name: str) -> None:
    assert by_letters()[letters(text)] == name


def test_short_names_in_capitals_are_matched_as_such_only() -> None:
    pattern = pattern_of(["IDA", "Cisplatin", "LC beads"])
    assert [m[0] for m in pattern.finditer("IDA, ida, IDAs, cisPLATIN, lc-bead, xLC bead")] == [
        "IDA", "IDAs", "cisPLATIN", "lc-bead",
    ]  # fmt: skip
