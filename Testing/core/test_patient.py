"""Clinical data and patients: what they refuse, and that files are read as they were written."""

from __future__ import annotations

import json

import numpy as np
import pytest

from MeWMLib.core.errors import ClinicalDataError, GeometryMismatchError
from MeWMLib.core.patient import Clinical, Findings, Lesion, Patient
from MeWMLib.core.volume import Geometry, LabelMap, Volume


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("age_years", -1),
        ("age_years", 121),
        ("age_years", "60"),
        ("age_years", True),
        ("age_years", float("nan")),
        ("afp_ng_per_ml", -0.1),
        ("bilirubin_mg_per_dl", 61),
        ("creatinine_mg_per_dl", 31),
        ("albumin_g_per_dl", 42),  # g/l in the field for g/dl
        ("sex", "x"),
        ("child_pugh_class", "D"),
        ("child_pugh_class", "A9"),
        ("bclc_stage", "E"),
        ("main_portal_vein_thrombosis", "no"),
        ("extrahepatic_spread", 2),
    ],
)
def test_impossible_values_are_refused_by_name(field, value):
    said = "Child-Pugh" if value == "A9" else field
    with pytest.raises(ClinicalDataError, match=said):
        Clinical(**{field: value})


def test_files_round_trip_and_unknown_stays_out(tmp_path):
    clinical = Clinical(age_years=61, sex="male", child_pugh_class="B", main_portal_vein_thrombosis=False)
    path = tmp_path / "clinical.json"
    path.write_text(json.dumps(clinical.to_json()), encoding="utf-8")
    assert Clinical.load(path) == clinical
    assert "bclc_stage" not in clinical.to_json() and Clinical().to_json() == {}


def test_unreadable_files_and_unknown_fields(tmp_path):
    path = tmp_path / "clinical.json"
    for content in (b"", b"{", b"\xff\xfe"):
        path.write_bytes(content)
        with pytest.raises(ClinicalDataError, match="cannot be read"):
            Clinical.load(path)
    with pytest.raises(ClinicalDataError, match="cannot be read"):
        Clinical.load(tmp_path / "missing.json")
    with pytest.raises(ClinicalDataError, match="Given: age, name.*Known fields: age_years"):
        Clinical.from_json({"name": "x", "age": 3})
    with pytest.raises(ClinicalDataError, match="one JSON object"):
        Clinical.from_json([1])


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ({"sex": "M"}, {"sex": "male"}),
        ({"sex": " Female "}, {"sex": "female"}),
        ({"sex": "weiblich"}, {"sex": "female"}),
        ({"child_pugh_class": "A5"}, {"child_pugh_class": "A", "child_pugh_score": 5}),
        ({"child_pugh_class": "Child B"}, {"child_pugh_class": "B"}),
        ({"child_pugh_class": "Child-Pugh b (8)"}, {"child_pugh_class": "B", "child_pugh_score": 8}),
        ({"bclc_stage": "b"}, {"bclc_stage": "B"}),
        ({"bclc_stage": "BCLC C"}, {"bclc_stage": "C"}),
        ({"bclc_stage": 0}, {"bclc_stage": "0"}),
    ],
)
def test_words_are_those_of_the_tables(written, read):
    assert Clinical.from_json(written).to_json() == read


@pytest.mark.parametrize(
    "written", [{"child_pugh_class": "A7"}, {"sex": 1}, {"bclc_stage": 1}, {"bclc_stage": False}, {"sex": "x"}]
)
def test_words_that_mean_nothing_stay_refused(written):
    with pytest.raises(ClinicalDataError, match=next(iter(written))):
        Clinical.from_json(written)


@pytest.mark.parametrize(
    "text",
    [
        '{"age_years": 61,}',
        '{"age_years": 61} // of 2001',
        "{'age_years': 61}",
        '{"age_years": NaN}',
    ],
)
def test_what_is_no_json_is_told_how_to_write_it(tmp_path, text):
    path = tmp_path / "clinical.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ClinicalDataError, match='"sex": "male".*double quotes.*no comma after'):
        Clinical.load(path)


def test_findings_add_up():
    one = Lesion(1, 10.0, 30.0, (0, 0, 0), 80.0, 10.0, 0.1, 0.2, 7.0)
    two = Lesion(2, 4.0, 20.0, (1, 1, 1), 80.0, 10.0, 0.0, 0.0, 4.0)
    findings = Findings(1500.0, 110.0, (one, two))
    assert findings.tumour_ml == 14.0 and findings.viable_ml == 11.0
    assert json.loads(json.dumps(findings.to_json()))["lesions"][1]["volume_ml"] == 4.0
    assert Findings(1500.0, 110.0, ()).tumour_ml == 0


def test_the_labels_of_a_patient_lie_on_the_ct():
    near, far = Geometry((2, 2, 2), np.eye(4)), Geometry((2, 2, 2), np.diag([1.0, 1.0, 1.1, 1.0]))
    ct = Volume(np.zeros((2, 2, 2), np.int16), near)
    findings = Findings(0.0, 0.0, ())
    assert Patient("p1", ct, LabelMap(np.zeros((2, 2, 2), np.uint8), near), findings).clinical == Clinical()
    with pytest.raises(GeometryMismatchError, match="grid of the CT"):
        Patient("p1", ct, LabelMap(np.zeros((2, 2, 2), np.uint8), far), findings)
