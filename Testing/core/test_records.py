"""JSON is read in one place: limits, required keys, dataclasses by their annotations."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import pytest

from MeWMLib.core.errors import BundleError, InputError, UnreadableFileError
from MeWMLib.core.records import MAX_DEPTH, dump_json, from_plain, parse_json, read_json, to_plain


@dataclass(frozen=True)
class Inner:
    name: str
    weight: float = 1.0


@dataclass(frozen=True)
class Outer:
    count: int
    pair: tuple[float, float]
    inner: tuple[Inner, ...] = ()
    note: str | None = None
    table: dict[str, float] = field(default_factory=dict)
    flag: bool = False


WHOLE = Outer(3, (1.0, 2.5), (Inner("a"), Inner("b", 0.1)), "n", {"x": 1.0}, True)


def test_a_dataclass_comes_back_from_its_json():
    assert from_plain(Outer, json.loads(dump_json(WHOLE))) == WHOLE
    assert from_plain(Outer, {"count": 1, "pair": [1, 2]}) == Outer(1, (1.0, 2.0))
    assert to_plain({"a": (WHOLE,)})["a"][0]["inner"][1] == {"name": "b", "weight": 0.1}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"count": 1.5}, "count of Outer must be a whole number"),
        ({"count": True}, "count of Outer must be a whole number"),
        ({"pair": [1]}, "must hold 2 values"),
        ({"pair": "ab"}, "must be a list"),
        ({"inner": [{"weight": 1}]}, "lacks a field. Given: name"),
        ({"inner": [{"name": 1}]}, "name of inner of Outer, entry 0 must be a text"),
        ({"table": {"x": "1"}}, "x of table of Outer must be a number"),
        ({"table": []}, "must be one JSON object"),
        ({"note": 5}, "note of Outer must be a text"),
        ({"flag": 1}, "must be true or false"),
        ({"other": 1}, "Unknown field of Outer"),
    ],
)
def test_what_does_not_fit_is_named(change, said):
    with pytest.raises(BundleError) as caught:
        from_plain(Outer, {**to_plain(WHOLE), **change}, error=BundleError)
    assert said in str(caught.value)


def test_unknown_fields_of_a_later_version_can_be_passed_over():
    assert from_plain(Outer, {**to_plain(WHOLE), "later": 1}, strict=False) == WHOLE


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "nan", '{"a": NaN}', "[" * 100_000, "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1),
        "1" * 5000, b"\xff\xfe", "[]", '{"b": 1}', '{"a": "text"}',
    ],
)  # fmt: skip
def test_a_text_that_is_not_what_was_asked_for_is_one_of_our_errors(text):
    with pytest.raises(InputError, match="The answer cannot be read as JSON"):
        parse_json(text, "The answer", require={"a": int})


def test_brackets_inside_of_texts_do_not_count_as_depth():
    assert parse_json(json.dumps({"a": "[" * 1000, "b": ['"' * 3 + "{" * 200]}))["a"] == "[" * 1000


def test_files(tmp_path):
    file = tmp_path / "a.json"
    file.write_text('{"a": 1}', encoding="utf-8")
    assert read_json(file, require={"a": int}) == {"a": 1}
    for name in ("none.json", "."):
        with pytest.raises(UnreadableFileError, match="The plan cannot be read"):
            read_json(tmp_path / name, "The plan")


def test_nothing_without_a_form_in_json_is_written():
    for value in (float("nan"), {1, 2}, object()):
        with pytest.raises(InputError, match="cannot be written as JSON"):
            dump_json({"a": value})
