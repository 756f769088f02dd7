"""What a user may say of the lesions to be treated."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from MeWMLib.core.errors import TargetError
from MeWMLib.core.targets import Targets
from MeWMLib.core.territory import SEGMENTS, Territory


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("1", "1"),
        ("3, 1", "1,3"),
        ("1;1 2", "1,2"),
        ("ALL", "all"),
        (" Largest ", "largest"),
        ("segment:RIGHT", "segment:right lobe"),
        ("segment: left", "segment:left lobe"),
        ("segments:5,8", "segment:segments 5, 8"),
        ("Segment:VIII", "segment:segment 8"),
        ("segment:caudate", "segment:caudate lobe"),
    ],
)
def test_what_is_read(text: str, canonical: str) -> None:
    assert Targets.parse(text).text == canonical and Targets.parse(canonical) == Targets.parse(text)


@pytest.mark.parametrize(
    "text",
    ["", " ", "0", "-1", "1,x", "1.5", "everything", "segment:", "segment:9", "segment:RIPA", "segment:painted region",
     "lesion:1", "1" * 5000, "\u0661", "999999999"],
)  # fmt: skip
def test_what_is_refused(text: str) -> None:
    with pytest.raises(TargetError) as raised:
        Targets.parse(text)
    assert raised.value.what


@given(st.sets(st.integers(1, 99999), min_size=1), st.sets(st.sampled_from(SEGMENTS), min_size=1))
def test_round_trip(numbers: set[int], segments: set[str]) -> None:
    for one in (Targets(tuple(sorted(numbers))), Targets(place=Territory.of_segments(segments))):
        assert Targets.parse(one.text) == one
