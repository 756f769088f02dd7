"""Allergens by whatever name they are written."""

from __future__ import annotations

import pytest

from MeWMLib.core.allergens import GROUPS, UNRELATED, allergen, is_known
from MeWMLib.core.errors import ClinicalDataError
from MeWMLib.core.protocol import vocabulary


def test_every_name_of_the_table_leads_to_its_group_however_it_is_written() -> None:
    for group, words in GROUPS.items():
        for word in words.split("|"):
            for written in (word, word.upper(), f"anaphylaxis to {word}", f"{word} rash", f"severe {word} allergy"):
                assert allergen(written) == group, written


def test_agents_are_allergens_by_their_synonyms() -> None:
    for name, agent in vocabulary().items():
        for written in (name, *agent.synonyms):
            assert allergen(written) == name and is_known(name)


def test_what_is_in_no_agent_is_known_and_what_nobody_knows_is_not() -> None:
    assert all(is_known(allergen(name)) for name in UNRELATED)
    assert allergen("Penicillin rash") == "penicillin"
    for strange in ("unknown", "xyzol", "some drug"):
        assert not is_known(allergen(strange))


@pytest.mark.parametrize("text", ["", "1234", "x" * 41, "anaphylaxis", "a"])
def test_what_names_no_substance_is_refused(text: str) -> None:
    if text == "anaphylaxis":
        assert not is_known(allergen(text))
        return
    with pytest.raises(ClinicalDataError, match="name of a substance"):
        allergen(text)
