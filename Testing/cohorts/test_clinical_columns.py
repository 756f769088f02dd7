"""Columns as people name them: read where they can mean one thing only, else named; no survival is lost in silence."""

from __future__ import annotations

import pytest

from MeWMLib.cohorts.clinical_columns import NAMES, meaning
from MeWMLib.cohorts.clinical_table import read_table
from MeWMLib.core.errors import ClinicalDataError, InputError


@pytest.fixture
def read(tmp_path):
    def run(*lines: str):
        path = tmp_path / "t.csv"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return read_table(path)

    return run


@pytest.mark.parametrize(
    ("name", "means"),
    [
        ("OS_MONTHS", "os_months"), ("Overall Survival (Months)", "os_months"), ("survival_months", "os_months"),
        ("Survival in months", "os_months"), ("OSDays", "os_days"), ("OS.time (days)", "os_days"),
        ("os_wk", "os_weeks"),
        ("days_os", "os_days"), ("TTP-months", "ttp_months"), ("OS years", "os_years"), ("OS_STATUS", "event"),
        ("Overall Survival Status", "event"), ("Patient's Vital Status", "event"), ("death", "event"),
        ("Died", "event"), ("vital_status", "event"), ("PATIENT_ID", "patient"), ("Patient ID", "patient"),
        ("submitter_id", "patient"), ("AGE", "age_years"), ("gender", "sex"), ("Child-Pugh", "child_pugh_class"),
        ("PFS_MONTHS", ""), ("OS.time", ""), ("os", ""), ("status", ""), ("name", ""), ("afp", ""), ("", ""),
        ("days_to_death", ""), ("months", ""),
    ],
)  # fmt: skip
def test_what_a_name_means(name, means):
    assert meaning(name) == means


def test_every_column_has_its_own_name():
    assert all(meaning(name) == meaning(name.upper().replace("_", " ")) == name for name in NAMES)


def test_names_of_cbioportal(read):
    found = read(
        "#Patient Identifier\tOverall Survival\tStatus\tSex\tOther",
        "#STRING\tNUMBER\tSTRING\tSTRING\tSTRING",
        "PATIENT_ID\tOS_MONTHS\tOS_STATUS\tSEX\tPFS_MONTHS",
        "p1\t12\t1:DECEASED\tMale\t3",
        "p2\t8.5\t0:LIVING\tFemale\tNA",
        "p3\tNA\t1:DECEASED\tNA\t",
        "p4\t7\t[Not Available]\t\t",
    )
    assert [(r.months, r.event) for r in found.values()] == [(12, True), (8.5, False), (None, True), (7, None)]
    assert [r.clinical.sex for r in found.values()] == ["male", "female", None, None]
    assert found["p1"].notes == () and "no time" in found["p3"].notes[0] and "whether death" in found["p4"].notes[0]
    renamed, unread = found.notes
    assert "'OS_STATUS' as event" in renamed and "'PATIENT_ID' as patient" in renamed and "OS_MONTHS" not in renamed
    assert "'PFS_MONTHS' (another endpoint" in unread


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("patient,os_months,evnt", "'evnt' (did you mean event?)"),
        ("patient,os_months,event,AFP", "'AFP' (call it afp_ng_per_ml (in ng/ml) if it is that)"),
        ("patient,os_months,event,colour", "not read: 'colour'"),
        ("patient,surv_time,event", "'surv_time' (if it is survival"),
        ("patient,days_to_death,event", "'days_to_death' (one column os_days is read"),
        # never the name of another unit
        ("patient,os_months,bilirubin_umol_per_l", "'bilirubin_umol_per_l' (convert it to mg/dl and call it"),
        ("patient,os_months,Albumin (g/l)", "(convert it to g/dl and call it albumin_g_per_dl)"),
        ("patient,follow_up_months,event", "'follow_up_months' (call it os_days, os_weeks or os_months"),
        ("patient,months,event", "no column of survival times"),
        ("patient,os_months,state", "there is no column `event`"),
        (",patient,os_months,event", "(no name)"),
    ],
)
def test_columns_that_nobody_reads_are_named(read, header, said):
    cells = ",".join("p" if name == "patient" else "1" for name in header.split(","))
    found = read(header, cells)
    assert said in " | ".join(found.notes)
    (record,) = found.values()
    assert record.notes or (record.months is not None and record.event is not None)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("patient,OS.time", "a,3"), "OS.time does not name its unit.*os_days, os_weeks or os_months"),
        (("patient,Overall Survival", "a,3"), "does not name its unit"),
        (("patient,survival_time", "a,3"), "does not name its unit"),
        (("patient,time to progression", "a,3"), "ttp_days, ttp_weeks"),
        (("patient,os_days,OS_MONTHS", "a,30,1"), "os is given in two units"),
        (("patient,os_months,Overall Survival (Months)", "a,1,1"), "Two columns .* mean os_months"),
        (("patient,event,vital_status", "a,1,1"), "Two columns .* mean event.*'event' and 'vital_status'"),
        (("patient_id,submitter_id", "a,b"), "Two columns .* mean patient"),
        (("name,event", "a,1"), "no column `patient`.*'name', 'event'"),
        (("patient,event,EVENT", "a,1,1"), "is in the clinical table twice"),
        (("patient,os_months", "a,12 months"), "os_months is not a time.*'12 months'"),
        (("patient,os_months", "a,>60"), "os_months is not a time.*'>60'"),
        (("patient,os_months", "a,900"), "not a time.*'900'.*in the unit"),  # days, most likely
        # 1 is alive in some registries; in R's example data 1 is censored and 2 dead
        (("patient,vital_status", "a,1"), "does not say what 1 means.*column 'vital_status'.*dead/alive"),
        (("patient,Patient's Vital Status", "a,0"), "does not say what 0 means"),
        (("patient,survival_status", "a,yes"), "does not say what yes means"),
        (("patient,event", "a,1", "b,2"), "0 or 1.*line 3"),
        (("patient,os_years", "a,101"), "0 to 50 years"),
        (("patient,OS_STATUS", "a,1:LIVING"), "0 or 1.*column 'OS_STATUS'"),
        (("patient,afp_ng_per_ml", "a,>400"), "afp_ng_per_ml is not a number"),
        (("patient,extrahepatic_spread", "a,maybe"), "extrahepatic_spread must be 0 or 1"),
        (("patient,age_years", "a,140"), "age_years is not possible.*line 2.*'140'"),
        (("patient,child_pugh_class", "a,A9"), "Child-Pugh do not belong.*A, 9 points.*line 2"),
        (("patient,sex", "a,1"), "sex is not known"),
        (("patient,treatment_date", "a,2001-02-31"), "YYYY-MM-DD"),
        (("patient,os_months", ",3"), "names no patient.*line 2"),
        (("patient,os_months", "a,3", "a,4"), "twice.*line 3"),
    ],
)
def test_what_is_not_clear_is_refused(read, lines, message):
    with pytest.raises(ClinicalDataError, match=message):
        read(*lines)


def test_words_of_clinical_data(read):
    found = read(
        "patient,sex,child_pugh_class,bclc_stage,extrahepatic_spread,age",
        "a,F,A5,Stage-B,yes,61",
        "b,Male,b (7),bclc c,0,unknown",
    )
    assert found["a"].clinical.to_json() == {
        "age_years": 61.0, "sex": "female", "child_pugh_class": "A", "child_pugh_score": 5, "bclc_stage": "B",
        "extrahepatic_spread": True,
    }  # fmt: skip
    assert found["b"].clinical.to_json() == {
        "sex": "male", "child_pugh_class": "B", "child_pugh_score": 7, "bclc_stage": "C", "extrahepatic_spread": False
    }  # fmt: skip


def test_every_field_of_the_clinical_data_is_a_column(read):
    found = read(
        "patient,ecog,allergies,heart failure,ascites,portal_vein_thrombosis,renal_failure,previous_tace",
        "a,1,Cisplatin; iodine,III,none,1,no,Cisplatin + Lipiodol",
        "b,unknown,none,unknown,mild,Vp4,yes,",
        "c,,,no,,0,,n/a",
    )
    assert [record.clinical.to_json() for record in found.values()] == [
        {"ecog": 1, "allergies": ["Cisplatin", "iodine"], "heart_failure": "III", "ascites": "none",
         "portal_vein_thrombosis": "unspecified", "renal_failure": False, "previous_tace": ["Cisplatin + Lipiodol"]},
        {"allergies": [], "ascites": "mild", "portal_vein_thrombosis": "main", "renal_failure": True},
        {"heart_failure": "none", "portal_vein_thrombosis": "none"},
    ]  # fmt: skip


def test_the_column_patient_is_taken_before_a_hospital_id(read):
    found = read("PATIENT_ID,patient,os_months,event", "4711,case 7,12,1")
    assert set(found) == {"case 7"} and "'PATIENT_ID'" in found.notes[0] and "not read" in found.notes[0]


def test_errors_do_not_name_the_patient(read):
    with pytest.raises(InputError) as caught:
        read("patient,os_months", "Erika Mustermann,soon")
    assert "Erika" not in str(caught.value)


def test_a_table_in_which_everybody_died_is_noted(read):
    assert any("all 2 patients" in note for note in read("patient,os_months,event", "a,3,1", "b,4,1").notes)
    for lines in (("a,3,1", "b,4,0"), ("a,3,1", "b,4,")):
        assert not any("was seen in all" in note for note in read("patient,os_months,event", *lines).notes)


@pytest.mark.parametrize("date", ["2001-02-03 00:00:00", "2001-02-03T00:00", "2001-02-03 00:00:00.000", "20010203"])
def test_a_day_as_spreadsheets_and_pandas_write_it(read, date):
    assert read("patient,treatment_date", f"a,{date}")["a"].treated == "20010203"


def test_who_was_lost_was_not_seen_to_die(read):
    assert read("patient,os_months,event", "a,3,Lost to follow-up")["a"].event is False


def test_times_with_another_hour_are_no_days(read):
    with pytest.raises(ClinicalDataError, match="YYYY-MM-DD"):
        read("patient,treatment_date", "a,2001-02-03 14:30:00")
