"""Clinical data: units, other names, what follows from what, and what contradicts what."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset

from MeWMLib.core.clinical import Clinical
from MeWMLib.core.clinical_dicom import prefilled
from MeWMLib.core.errors import ClinicalDataError


@pytest.mark.parametrize(
    ("data", "field", "value"),
    [
        # molar masses: bilirubin 584.66 g/mol, creatinine 113.12 g/mol
        ({"bilirubin_umol_per_l": 34.2}, "bilirubin_mg_per_dl", 34.2e-6 * 584.66 * 1000 / 10),
        ({"creatinine_umol_per_l": 120}, "creatinine_mg_per_dl", 120e-6 * 113.12 * 1000 / 10),
        ({"creatinine_mg_per_dl": {"value": 120, "unit": "\u00b5mol/L"}}, "creatinine_mg_per_dl", 1.357),
        ({"creatinine_mg_per_dl": {"value": 120, "unit": "\u03bcmol/l"}}, "creatinine_mg_per_dl", 1.357),
        ({"albumin_g_per_l": 35}, "albumin_g_per_dl", 3.5),
        ({"albumin_g_per_dl": {"value": 3.5, "unit": "g/dl"}}, "albumin_g_per_dl", 3.5),
        ({"platelets_per_ul": 48000}, "platelets_10e9_per_l", 48),
    ],
)
def test_other_units_are_converted(data: dict[str, Any], field: str, value: float) -> None:
    assert getattr(Clinical.from_json(data), field) == pytest.approx(value, rel=2e-3)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"sex": "M"}, {"sex": "male"}),
        ({"sex": "Female"}, {"sex": "female"}),
        ({"sex": "weiblich"}, {"sex": "female"}),
        ({"sex": "M\u00e4nnlich"}, {"sex": "male"}),
        ({"child_pugh_class": "b8"}, {"child_pugh_class": "B", "child_pugh_score": 8}),
        ({"child_pugh": "Child-Pugh B (8)"}, {"child_pugh_class": "B", "child_pugh_score": 8}),
        ({"child_pugh": "A"}, {"child_pugh_class": "A"}),
        ({"child_pugh": 11}, {"child_pugh_class": "C", "child_pugh_score": 11}),
        ({"bclc_stage": "BCLC-C"}, {"bclc_stage": "C"}),
        ({"bclc_stage": 0}, {"bclc_stage": "0"}),
        ({"portal_vein_thrombosis": "Vp4"}, {"portal_vein_thrombosis": "main"}),
        ({"portal_vein_thrombosis": "VP 2"}, {"portal_vein_thrombosis": "segmental"}),
        ({"heart_failure": "NYHA III"}, {"heart_failure": "III"}),
        ({"heart_failure": False}, {"heart_failure": "none"}),
        ({"ascites": True}, {"ascites": "unspecified"}),
        ({"encephalopathy": 2}, {"encephalopathy": "2"}),
        ({"allergies": "Jod; CDDP; penicillin"}, {"allergies": ["iodine", "Cisplatin", "penicillin"]}),
        ({"allergies": "none"}, {"allergies": []}),
        ({"ecog": None}, {}),
    ],
)
def test_usual_ways_to_write_it_are_read(given: dict[str, Any], expected: dict[str, Any]) -> None:
    found = Clinical.from_json(given)
    assert found.to_json() == expected
    assert Clinical.from_json(found.to_json()) == found


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"child_pugh": "A9"}, "points of Child-Pugh do not belong"),
        ({"child_pugh_class": "B8", "child_pugh_score": 9}, "different points"),
        ({"bilirubin_mg_per_dl": 2, "bilirubin_umol_per_l": 34}, "bilirubin_mg_per_dl is given twice"),
        ({"bilirubin_mg_per_dl": 171}, "for \u00b5mol/l use bilirubin_umol_per_l"),
        ({"bilirubin_umol_per_l": 5000}, "from 0.855 to 1026"),
        ({"creatinine_mg_per_dl": {"value": 1, "unit": "mmol/l"}}, "unit that is not understood.*mmol/l"),
        ({"creatinine_mg_per_dl": {"value": 1}}, "unit that is not understood"),
        ({"albumin_g_per_dl": {"value": "3", "unit": "g/dl"}}, "unit that is not understood"),
        ({"lvef_percent": 0.35}, "lvef_percent is not possible.*0.35"),
        ({"ecog": 5}, "ecog is not possible"),
        ({"platelets_10e9_per_l": 150000}, "platelets_per_ul"),
        ({"portal_vein_thrombosis": "lobar", "main_portal_vein_thrombosis": True}, "contradict"),
        ({"previous_tace": ["Aspirin"]}, "previous_tace: Unknown drug"),
        ({"previous_tace": ["Cisplatin + PVA"] * 2, "previous_tace_sessions": 1}, "More previous protocols"),
        ({"allergies": ["12"]}, "must be the name of a substance"),
        ({"allergies": {"iodine": True}}, "allergies must be a list"),
        ({"heart_failure": "V"}, "heart_failure is not known"),
    ],
)
def test_what_cannot_be_is_refused_with_what_was_given(data: dict[str, Any], said: str) -> None:
    with pytest.raises(ClinicalDataError, match=said):
        Clinical.from_json(data)


@pytest.mark.parametrize(
    ("bilirubin_umol", "albumin_g_per_l", "grade"),
    [(10, 42, 1), (20, 35, 2), (60, 24, 3)],
)
def test_the_albi_grade(bilirubin_umol: float, albumin_g_per_l: float, grade: int) -> None:
    found = Clinical.from_json({"bilirubin_umol_per_l": bilirubin_umol, "albumin_g_per_l": albumin_g_per_l})
    score = math.log10(bilirubin_umol) * 0.66 + albumin_g_per_l * -0.085
    assert found.albi_score == pytest.approx(score, abs=1e-9)
    assert found.albi_grade == grade == (1 if score <= -2.6 else 2 if score <= -1.39 else 3)
    assert Clinical(bilirubin_mg_per_dl=1).albi_grade is None


def test_what_follows_from_another_field() -> None:
    assert Clinical(child_pugh_score=9).known("child_pugh_class") == "B"
    assert Clinical(portal_vein_thrombosis="main").known("main_portal_vein_thrombosis") is True
    assert Clinical(portal_vein_thrombosis="lobar").known("main_portal_vein_thrombosis") is False
    assert Clinical(portal_vein_thrombosis="unspecified").known("main_portal_vein_thrombosis") is None
    assert Clinical(main_portal_vein_thrombosis=True).known("portal_vein_thrombosis") == "main"


def test_files_of_older_versions_are_read() -> None:
    old = {
        "age_years": 61, "sex": "male", "afp_ng_per_ml": 412.0, "child_pugh_class": "A", "bclc_stage": "B",
        "bilirubin_mg_per_dl": 1.1, "creatinine_mg_per_dl": 0.9, "albumin_g_per_dl": 3.9,
        "main_portal_vein_thrombosis": False, "extrahepatic_spread": False,
    }  # fmt: skip
    assert Clinical.from_json(old).to_json() == old


def _slice(folder: Path, name: str, **tags: str) -> None:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = pydicom.uid.CTImageStorage
    meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    header = FileDataset(str(folder / name), {}, file_meta=meta, preamble=b"\0" * 128)
    header.PatientName = "Nobody^Here"
    for tag, value in tags.items():
        setattr(header, tag, value)
    header.save_as(folder / name, enforce_file_format=True)


def test_age_and_sex_come_from_dicom_only_where_asked(tmp_path: Path) -> None:
    _slice(tmp_path, "a.dcm", PatientAge="061Y", PatientSex="F")
    _slice(tmp_path, "b.dcm", PatientAge="061Y", PatientSex="F")
    (tmp_path / "notes.txt").write_text("not DICOM", encoding="utf-8")
    assert prefilled(Clinical(), tmp_path, ["age"]).to_json() == {"age_years": 61.0}
    assert prefilled(Clinical(age_years=50), tmp_path, ["age", "sex"]).to_json() == {"age_years": 50, "sex": "female"}


def test_the_age_follows_from_the_dates(tmp_path: Path) -> None:
    _slice(tmp_path, "a.dcm", PatientBirthDate="19600615", StudyDate="20240614")
    assert prefilled(Clinical(), tmp_path, ["age"]).age_years == 63


@pytest.mark.parametrize(
    ("wanted", "said"), [(["name"], "not taken from DICOM"), ([], "not taken"), (["sex"], "agree")]
)
def test_dicom_headers_that_cannot_be_used(tmp_path: Path, wanted: list[str], said: str) -> None:
    _slice(tmp_path, "a.dcm", PatientSex="F")
    _slice(tmp_path, "b.dcm", PatientSex="M")
    with pytest.raises(ClinicalDataError, match=said):
        prefilled(Clinical(), tmp_path, wanted)


def test_a_folder_without_dicom_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not DICOM", encoding="utf-8")
    with pytest.raises(ClinicalDataError, match="no DICOM file"):
        prefilled(Clinical(), tmp_path, ["age"])
