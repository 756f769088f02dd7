"""docs/CLINICAL.md shows the table of clinical fields. `python Testing/core/test_clinical_page.py` writes it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest

from MeWMLib.core.clinical import Clinical, field_table, template
from MeWMLib.core.clinical_schema import json_schema, markdown_table
from MeWMLib.core.errors import ClinicalDataError

PAGE = Path(__file__).resolve().parents[2] / "docs" / "CLINICAL.md"
_TABLE = re.compile(r"(<!-- clinical fields -->\n).*?(<!-- /clinical fields -->)", re.DOTALL)


def _with_table(text: str) -> str:
    return _TABLE.sub(lambda m: f"{m[1]}{markdown_table()}\n{m[2]}", text)


def test_the_page_shows_the_table_of_fields() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text == _with_table(text), "run python Testing/core/test_clinical_page.py"
    assert all(f"`{name}`" in text for name in field_table())


def test_the_example_of_the_page_is_read_and_follows_the_schema() -> None:
    example = json.loads(re.search(r"```json\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[1])
    found = Clinical.from_json(example)
    assert (found.sex, found.child_pugh_class, found.child_pugh_score) == ("male", "B", 8)
    assert found.albumin_g_per_dl == pytest.approx(3.4) and found.portal_vein_thrombosis == "lobar"
    assert found.heart_failure == "II"


def test_the_template_and_what_is_written_follow_the_schema() -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(template(), schema)
    assert Clinical.from_json(template()) == Clinical()
    whole = Clinical(
        age_years=60.5, sex="female", child_pugh_class="B", child_pugh_score=8, allergies=("iodine",), ascites="mild",
        previous_tace=("Doxorubicin + Lipiodol",), portal_vein_thrombosis="main", renal_failure=False, ecog=1,
    )  # fmt: skip
    jsonschema.validate(whole.to_json(), schema)


@pytest.mark.parametrize(
    "data",
    [
        {"shoe_size": 44},
        {"age_years": 121},
        {"age_years": "60"},
        {"bilirubin_umol_per_l": 100000},
        {"albumin_g_per_dl": {"value": 34, "unit": "stones"}},
        {"ecog": 1.5},
        {"ascites": "some"},
        {"renal_failure": 1},
        {"allergies": [""]},
        {"allergies": 3},
    ],
)
def test_the_schema_refuses_what_the_reader_refuses(data: dict[str, object]) -> None:
    broken = not jsonschema.Draft202012Validator(json_schema()).is_valid(data)
    if data == {"allergies": [""]}:
        assert broken and Clinical.from_json(data).allergies == ()
        return
    with pytest.raises(ClinicalDataError):
        Clinical.from_json(data)
    assert broken


if __name__ == "__main__":
    PAGE.write_text(_with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8", newline="\n")
