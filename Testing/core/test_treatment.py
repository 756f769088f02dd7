"""The kind of treatment: what completes a protocol, and in which stages it is built."""

from __future__ import annotations

import itertools
from dataclasses import fields

import pytest

from MeWMLib.core.plan import PlanSettings
from MeWMLib.core.protocol import ActionSpace, Protocol, vocabulary
from MeWMLib.core.treatment import DRUG, EMBOLIC, TACE, Stage, TreatmentKind


def test_a_search_adds_a_drug_and_an_embolic_and_a_protocol_needs_the_embolic():
    assert TACE.missing([]) == (DRUG, EMBOLIC)
    assert TACE.missing([DRUG, DRUG]) == (EMBOLIC,)
    assert TACE.missing([EMBOLIC, DRUG]) == ()
    for one, two in itertools.combinations(vocabulary().values(), 2):
        assert Protocol.of([one.name, two.name]).complete is (EMBOLIC in (one.kind, two.kind))
    assert Protocol.of(["Cisplatin"]).lacking == TACE.lacking([DRUG]) == (EMBOLIC,)
    assert Protocol.of(["PVA"]).lacking == TACE.lacking([EMBOLIC]) == (), "embolisation alone is TAE"


def test_stages_name_settings_and_kinds_that_exist():
    assert {stage.kind for stage in TACE.stages} == {known.kind for known in vocabulary().values()}
    assert {stage.horizon for stage in TACE.stages} <= {field.name for field in fields(PlanSettings)}
    space = ActionSpace(("Cisplatin",), ("PVA",), {}, "test")
    assert [space.of_kind(stage.kind) for stage in TACE.stages] == [("Cisplatin",), ("PVA",)]
    with pytest.raises(KeyError):
        space.of_kind("probe")


def test_another_kind_has_its_own_rule():
    ablation = TreatmentKind("ablation", "Ablation", (Stage("probe", "probe_horizon"),), ("probe",), ("ablated share",))
    assert ablation.missing([DRUG]) == ablation.lacking([DRUG]) == ("probe",) and ablation.missing(["probe"]) == ()
