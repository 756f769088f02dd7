"""Clinical tables: slips of spelling, blanks, and times whose unit must be known."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from MeWMLib.cohorts import clinical_table, hcc_tace
from MeWMLib.cohorts.clinical_table import parse_regimen
from MeWMLib.core.errors import ClinicalDataError, UnreadableFileError


@pytest.mark.parametrize(
    ("text", "agents", "said"),
    [
        ("Cisplastin, doxorubicin, Mitomycin-C", ("Cisplatin", "Mitomycin", "Doxorubicin"), 0),
        ("doxorubicin LC beads", ("Doxorubicin", "LC beads"), 0),
        ("Doxorubcin and mitomicin C", ("Mitomycin", "Doxorubicin"), 2),
        ("THP / lipiodol", ("Pirarubicin", "Lipiodol"), 0),
        ("Epirubicin 30 mg + Lipiodol 10 ml", ("Epirubicin", "Lipiodol"), 0),
    ],
)
def test_regimens_are_read_and_slips_are_said(text, agents, said):
    protocol, notes = parse_regimen(text)
    assert protocol.agents == agents and len(notes) == said


@pytest.mark.parametrize("text", ["water", "doxorubicin, water", "rubicin", "platin"])
def test_what_is_not_understood_is_unknown_and_said(text):
    protocol, notes = parse_regimen(text)
    assert protocol is None and "something unknown" in notes[-1]


def test_a_blank_is_unknown_and_nothing_to_say():
    assert parse_regimen("  ") == (None, ())


def write(path: Path, *rows: str) -> Path:
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def test_times_keep_their_units(tmp_path):
    table = write(
        tmp_path / "t.csv", "patient;os_days;os_weeks;os_months;event", "a;70;;;1", "b;;10;;0", "c;;;2.3;", "d;;;;"
    )
    found = clinical_table.read_table(table)
    assert found["a"].months == pytest.approx(found["b"].months) == pytest.approx(70 / 30.4375)
    assert found["c"].months == pytest.approx(2.3) and found["d"].months is None
    assert [found[p].event for p in "abcd"] == [True, False, None, None]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (("patient,os", "a,3"), "does not name its unit"),
        (("patient,OS", "a,3"), "does not name its unit"),
        (("patient,TTP,event", "a,3,1"), "does not name its unit"),
        (("patient,os_days,os_months", "a,30,1"), "two units"),
        (("patient,os_days", "a,soon"), "not a time"),
        (("patient,os_days", "a,-3"), "not a time"),
        (("patient,os_days", "a,inf"), "not a time"),
        (("patient,event", "a,maybe"), "0 or 1"),
        (("patient,treatment_date", "a,5.3.2001"), "YYYY-MM-DD"),
        (("patient,event", "a,1", "a,0"), "twice"),
        (("name,event", "a,1"), "no column `patient`"),
        (("patient,child_pugh_class", "a,Q"), "child_pugh_class"),
        (("patient,age_years", "a,old"), "age_years"),
    ],
)
def test_tables_that_cannot_be_are_refused(tmp_path, rows, message):
    with pytest.raises(ClinicalDataError, match=message):
        clinical_table.read_table(write(tmp_path / "t.csv", *rows))


def test_files_that_are_no_table(tmp_path):
    with pytest.raises(UnreadableFileError, match="cannot be read"):
        clinical_table.read_table(tmp_path / "missing.csv")
    (tmp_path / "t.xlsx").write_bytes(b"PK\x03\x04\xff\xfe")
    with pytest.raises(UnreadableFileError, match="CSV file in UTF-8"):
        clinical_table.read_table(tmp_path / "t.xlsx")
    with pytest.raises(UnreadableFileError, match="no row"):
        clinical_table.read_table(write(tmp_path / "e.csv", "patient,event"))


def tace_row(**changes) -> dict[str, str]:
    row = {
        "TCIA_ID": "HCC_900", "OS": "20.428571", "TTP": "10", "Death_1_StillAliveorLostToFU_0": "1",
        "Censored_0_progressed_1": "0", "chemotherapy": "Cisplastin, Mitomycin-C", "age": "71", "Sex": "2", "AFP": "5",
        "CPS": "A", "BCLC": "Stage-B", "Portal Vein Thrombosis": "1", "Metastasis": "0", "Lymphnodes": "0",
        "1_RECIST_BL": "44.5", "2_RECIST_BL": "43", "3_RECIST_BL": "",
    }  # fmt: skip
    return {**row, **changes}


def write_tace(path: Path, *rows: dict[str, str]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_the_public_table(tmp_path):
    blank = tace_row(TCIA_ID="HCC_901", OS="", TTP="", chemotherapy="", age="", Sex="", AFP="", CPS="", BCLC="")
    found = hcc_tace.read_table(write_tace(tmp_path / "t.csv", tace_row(), blank))
    one, none = found["HCC_900"], found["HCC_901"]
    assert one.protocol.agents == ("Cisplatin", "Mitomycin", "Lipiodol") and "Lipiodol was added" in one.notes[-1]
    assert one.months == pytest.approx(20.428571 / 4.345) and one.event is True and one.progressed is False
    assert one.clinical.to_json() == {
        "age_years": 71.0, "sex": "female", "afp_ng_per_ml": 5.0, "child_pugh_class": "A", "bclc_stage": "B",
        "extrahepatic_spread": False,
    }  # fmt: skip
    assert one.response["recist_before_mm"] == [44.5, 43.0, None]
    assert none.protocol is None and none.months is None and none.progression_months is None
    assert none.clinical.to_json() == {"extrahepatic_spread": False}


def test_months_are_not_taken_for_weeks(tmp_path):
    rows = [tace_row(TCIA_ID=f"HCC_{n}", OS=f"{(30 * n + 11) / 7 / 4.345:.6f}") for n in range(20)]
    with pytest.raises(ClinicalDataError, match="not in weeks"):
        hcc_tace.read_table(write_tace(tmp_path / "t.csv", *rows))
    rows = [tace_row(TCIA_ID=f"HCC_{n}", OS=f"{(30 * n + 11) / 7:.6f}") for n in range(20)]
    assert len(hcc_tace.read_table(write_tace(tmp_path / "t.csv", *rows))) == 20


def test_another_table_is_refused(tmp_path):
    with pytest.raises(ClinicalDataError, match="without TCIA_ID"):
        hcc_tace.read_table(write(tmp_path / "t.csv", "patient,OS", "a,3"))
    with pytest.raises(ClinicalDataError, match="0 or 1"):
        hcc_tace.read_table(write_tace(tmp_path / "t.csv", tace_row(Death_1_StillAliveorLostToFU_0="?")))


@pytest.mark.real_data
def test_the_real_table_agrees_with_the_paper(shared_data):
    """Months and regimens that arXiv 2506.02327 prints in its Table 4, of the patients whom the table here holds."""
    found = hcc_tace.read_table(shared_data / "tables" / "hcc_tace_seg_clinical_80.csv")
    assert len(found) == 80 and sum(one.protocol is not None for one in found.values()) == 68
    printed = {
        "HCC_009": (4.7, 1),
        "HCC_051": (12.9, 1),
        "HCC_058": (87.0, 0),
        "HCC_067": (90.9, 0),
        "HCC_079": (42.5, 1),
    }
    known = {p: (round(found[p].months, 1), int(found[p].event)) for p in printed if p in found}
    assert known.items() <= printed.items() and len(known) >= 4
    assert set(found["HCC_009"].protocol.agents) == {"Cisplatin", "Doxorubicin", "Mitomycin", "Lipiodol"}
    beads = [one for one in found.values() if one.protocol is not None and "LC beads" in one.protocol.agents]
    assert len(beads) == 24 and {one.protocol.text for one in beads} == {"Doxorubicin + Lipiodol + LC beads"}
