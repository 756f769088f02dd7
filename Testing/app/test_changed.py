"""What was changed after a result was computed is told: all that a job is asked with, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from MeWMLib.app.case import Outline, Record, Run
from MeWMLib.app.changed import changed_since, of_form
from MeWMLib.core.errors import ClinicalDataError

FORM = {
    "clinical": {"child_pugh_class": "A", "ecog": ""}, "goal": " no cisplatin ", "target": "1", "territory": "",
    "protocol": "Cisplatin + Lipiodol", "further": "x",
}  # fmt: skip
OUTLINE = Outline(3, "you", 1000.0, 20.0)
CHANGES = {
    "clinical": ({"child_pugh_class": "B"}, "the clinical data"),
    "goal": ("prefer LC beads", "the goal"),
    "target": ("all", "which lesions are treated"),
    "territory": ("right lobe", "what the artery feeds"),
    "protocol": ("Cisplatin + PVA", "the protocol"),
}
COUNT = {
    "simulate": {"clinical", "goal", "target", "territory", "protocol"},
    "plan": {"clinical", "goal", "target", "territory"},
    "assess": {"clinical", "goal"},
    "segment": set(),
}


def record(**form) -> Record:
    return Record("c", "case", 0.0, outline=OUTLINE, form={**FORM, **form})


def run(kind: str) -> Run:
    asked = {**of_form(kind, FORM), **({"post": "after-1"} if kind == "assess" else {})}
    return Run("r", kind, "title", 0.0, outline=3, asked=asked)


@pytest.mark.parametrize("kind", COUNT)
def test_what_a_job_is_asked_with_counts_and_nothing_else(kind: str) -> None:
    assert set(of_form(kind, FORM)) | {"territory"} == COUNT[kind] | {"territory"}, "an empty text is not sent"
    assert changed_since(record(), run(kind), "after-1") == []
    assert changed_since(record(goal="no cisplatin", further="y"), run(kind), "after-1") == [], "the same to a job"
    for name, (value, words) in CHANGES.items():
        found = changed_since(record(**{name: value}), run(kind), "after-1")
        assert found == ([words] if name in COUNT[kind] else []), name
    other = replace(record(), outline=replace(OUTLINE, edition=4))
    assert changed_since(other, run(kind), "after-1") == ([] if kind == "segment" else ["the outline"])
    assert changed_since(record(), run(kind), "after-2") == (["the CT after treatment"] if kind == "assess" else [])


def test_all_changes_are_told_in_the_order_of_the_steps() -> None:
    everything = {name: value for name, (value, _words) in CHANGES.items()}
    found = changed_since(replace(record(**everything), outline=replace(OUTLINE, edition=4)), run("simulate"))
    assert found == [
        "the outline", "the clinical data", "the goal", "the protocol", "which lesions are treated",
        "what the artery feeds",
    ]  # fmt: skip


def test_a_value_that_is_half_typed_is_not_what_it_was() -> None:
    wrong = {"clinical": {"bilirubin_mg_per_dl": 1e9}}
    with pytest.raises(ClinicalDataError):
        of_form("plan", wrong)
    assert changed_since(record(**wrong), run("plan")) == ["the clinical data"]
    assert changed_since(record(protocol=""), run("simulate")) == [], "an empty field names no other protocol"


def test_a_result_that_an_older_version_kept_tells_its_outline_alone() -> None:
    old = replace(run("simulate"), asked=None)
    assert changed_since(record(goal="another"), old) == []
    assert changed_since(replace(record(), outline=replace(OUTLINE, edition=4)), old) == ["the outline"]
