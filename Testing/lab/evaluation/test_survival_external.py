"""External validation, decision curves, classes of response and the public cohort by rules, against other code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from lifelines import KaplanMeierFitter
from sklearn.metrics import roc_auc_score

from MeWMLib.core.errors import InputError, SurvivalDataError, UnreadableFileError
from MeWMLib.lab.evaluation.public_cohort import RULES, evaluate_public, public_patients, read_index
from MeWMLib.lab.evaluation.response import CRITERIA, evaluate_response
from MeWMLib.lab.evaluation.survival_decision import THRESHOLDS, net_benefit
from MeWMLib.lab.evaluation.survival_external import SHARED, SharedTable, evaluate_external, shared_table
from MeWMLib.lab.evaluation.survival_tables import Endpoint, find_table, read_table
from MeWMLib.lab.evaluation.two_sample import area


def drawn(name: str, count: int, seed: int, strength: float = 1.0) -> SharedTable:
    """Patients whose hazard follows size and AFP."""
    rng = np.random.default_rng(seed)
    columns = {n: rng.normal(size=count) for n in SHARED}
    for n in ("multinodular", "vascular_invasion", "lymph_nodes", "metastasis"):
        columns[n] = (rng.random(count) < 0.4).astype(float)
    risk = strength * (columns["log_size_mm"] + 0.5 * columns["log_afp"])
    months = rng.exponential(25 * np.exp(-risk))
    censored = rng.exponential(60, count)
    columns["log_afp"][::9] = np.nan
    clip = np.round(risk) if name == "hcc-tace-seg" else None
    return SharedTable(name, columns, np.minimum(months, censored), months <= censored, clip)


def test_a_signal_that_both_tables_share_is_found_in_both_directions(tmp_path: Path) -> None:
    first, second = drawn("hcc-tace-seg", 120, 0), drawn("dtsdhcc", 160, 1)
    rows = evaluate_external(first, second, tmp_path)
    for name in ("hcc-tace-seg", "dtsdhcc"):
        found = rows[f"{name}.clinical_cox"]
        assert found["c_index"]["low"] > 0.6 and abs(found["calibration_in_the_large"]["mean"]) < 0.2
        assert 0.4 < found["calibration_slope"]["mean"] < 2 and found["brier_24m"]["mean"] < 0.25
        assert (tmp_path / f"decision_{name}.png").exists() and (tmp_path / f"reliability_{name}.png").exists()
    assert "hcc-tace-seg.clip" in rows and "dtsdhcc.clip" not in rows
    assert rows["dtsdhcc.single:log_size_mm"]["c_index"]["mean"] > rows["dtsdhcc.single:age_years"]["c_index"]["mean"]


def test_the_shared_form_has_the_same_units() -> None:
    size = np.array([20.0, 60.0, np.nan])
    base = {n: np.zeros(3) for n in ("age_years", "vascular_invasion", "lymph_nodes", "metastasis", "log_afp")}
    theirs = base | {"child_pugh_points": np.array([5.0, 7, 11]), "lesions": np.array([1.0, 2, 4]),
                     "log_size_mm": np.log1p(np.array([20.0, 60.0, 0.0]))}  # fmt: skip
    other = shared_table("dtsdhcc", Endpoint("os", theirs, (), (), np.ones(3), np.ones(3, bool)))
    assert other.covariates["child_pugh"].tolist() == [0, 1, 2] and other.covariates["multinodular"].tolist() == [
        0,
        1,
        1,
    ]
    ours = base | {"child_pugh": np.array([0.0, 1, 2]), "multinodular": np.array([0.0, 1, 1]),
                   "clip_score": np.zeros(3), "log_size_mm": np.log(size)}  # fmt: skip
    own = shared_table("hcc-tace-seg", Endpoint("os", ours, (), (), np.ones(3), np.ones(3, bool)))
    # a diameter of 0 there, and a blank here, mean that none was measured
    np.testing.assert_allclose(own.covariates["log_size_mm"], other.covariates["log_size_mm"], rtol=1e-12)
    with pytest.raises(InputError, match="no shared form"):
        shared_table("other", Endpoint("os", ours, (), (), np.ones(3), np.ones(3, bool)))


def test_net_benefit_by_hand_and_with_censoring_by_lifelines() -> None:
    # nobody censored: at 0.5, three of four are flagged, of whom two die by month 12: (2 - 1) / 4
    risk, months = np.array([0.9, 0.8, 0.7, 0.1]), np.array([3.0, 5.0, 20.0, 30.0])
    found = net_benefit(risk, months, np.ones(4, bool), 12.0, draws=20)
    at = THRESHOLDS.index(0.5)
    assert found["model"][at]["mean"] == pytest.approx(0.25) and found["all"][at]["mean"] == pytest.approx(0.0)
    assert found["beyond_all"][at]["mean"] == pytest.approx(0.25)
    rng = np.random.default_rng(0)
    times, died, risk = rng.exponential(20, 80), rng.random(80) < 0.6, rng.random(80)
    chosen = risk >= 0.3
    dead = 1 - float(KaplanMeierFitter().fit(times[chosen], died[chosen]).predict(12.0))
    expected = chosen.mean() * (dead - (1 - dead) * 0.3 / 0.7)
    found = net_benefit(risk, times, died, 12.0, draws=20)
    assert found["model"][THRESHOLDS.index(0.3)]["mean"] == pytest.approx(expected, abs=1e-9)
    with pytest.raises(SurvivalDataError, match="probability"):
        net_benefit(np.array([0.5, 1.5]), [1.0, 2.0], [True, True], 1.0)


@pytest.mark.parametrize(
    ("criterion", "before", "after", "expected"),
    [
        (0, 100.0, 70.0, "PR"), (0, 100.0, 70.1, "SD"), (0, 100.0, 120.0, "PD"), (0, 100.0, 0.0, "CR"),
        (0, 100.0, 119.9, "SD"), (2, 100.0, 50.0, "PR"), (2, 100.0, 51.0, "SD"), (2, 100.0, 125.0, "PD"),
        (1, 0.0, 10.0, None), (1, float("nan"), 10.0, None), (1, 44.1, 30.87, "PR"),
    ],
)  # fmt: skip
def test_classes_of_response(criterion: int, before: float, after: float, expected: str | None) -> None:
    assert CRITERIA[criterion].class_of(before, after) == expected


def test_the_area_is_that_of_sklearn() -> None:
    rng = np.random.default_rng(0)
    score, yes = np.round(rng.normal(size=60), 1), rng.random(60) < 0.4
    assert area(score[~yes], score[yes]) == pytest.approx(roc_auc_score(yes, score))


def public_table(folder: Path, *rows: str) -> Path:
    path = folder / "table.csv"
    head = "TCIA_ID,OS,Death_1_StillAliveorLostToFU_0,chemotherapy,Interval_FU,1_RECIST_BL,1_RECIST_FU"
    path.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    return path


def test_the_rules_leave_whom_they_say(tmp_path: Path) -> None:
    index = [
        *[(who, study, "CT", False) for who in ("H1", "H2", "H3", "H4", "H5") for study in (f"{who}a", f"{who}b")],
        ("H6", "H6a", "CT", False), ("H1", "H1a", "SEG", False), ("H1", "H1a", "SEG", True),
    ]  # fmt: skip
    table = public_table(
        tmp_path,
        '"H1",10,1,"Cisplatin, doxorubicin, Mitomycin-C",5,40,30', '"H2",10,0,"doxorubicin, LC beads",-3,40,30',
        '"H3",,1,Cisplatin,5,40,30', '"H4",10,1,,5,40,30',
    )  # fmt: skip
    patients = public_patients(index, table)
    rows, about = evaluate_public(patients)
    assert [step["left"] for step in about["steps"]] == [5, 4, 3, 2, 1] and len(RULES) == 5
    assert about["steps"][0]["out"] == ["H6"] and about["steps"][4]["out"] == ["H2"]
    # the constant plan hits H1 whole; of H2's three agents it has two, out of four
    assert rows["rule_4"]["f1"]["mean"] == pytest.approx((100 + 100 * 4 / 7) / 2)
    one = next(p for p in about["patients"] if p["id"] == "H1")
    assert one["masks"] == 1 and one["program_masks"] == 1 and one["ct_studies"] == 2


def test_an_index_without_its_columns_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "index.csv"
    path.write_text("PatientID,Modality\nH1,CT\n", encoding="utf-8")
    with pytest.raises((InputError, UnreadableFileError), match="lacks columns"):
        read_index(path)
    with pytest.raises(InputError, match="names no patient"):
        public_patients([], public_table(tmp_path, '"H1",10,1,Cisplatin,5,40,30'))


def test_the_readers_measures_give_their_classes_back(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEWM_SHARED_DATA", str(shared_data))
    _, file = find_table("hcc-tace-seg")
    rows, about = evaluate_response(file, repeats=1)
    for label, found in rows.items():
        if "class_agreement" in found:
            assert found["class_agreement"]["mean"] == 1.0 and 72 <= found["class_agreement"]["n"] <= 73, label
    crossed = [about["recist_by_mrecist"][f"reader{n}"] for n in (1, 2, 3)]
    assert sorted(c["SD by RECIST, CR by mRECIST"] for c in crossed) == [6, 11, 13]
    assert not any("PD by RECIST, CR by mRECIST" in c for c in crossed)
    assert all(0 <= rows[f"mRECIST.{m}"]["auc"]["low"] for m in ("before", "before_and_regimen", "size_alone"))


def test_the_public_table_leaves_68_by_the_papers_own_words(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEWM_SHARED_DATA", str(shared_data))
    _, file = find_table("hcc-tace-seg")
    patients = public_patients(read_index(shared_data / "tables" / "idc_hcc_tace_seg_series.csv"), file)
    rows, about = evaluate_public(patients)
    assert [step["left"] for step in about["steps"]] == [105, 80, 80, 68, 56]
    assert rows["rule_4"]["f1"]["mean"] == pytest.approx(84.7, abs=0.05)
    assert sum(about["printed_by_the_paper"].values()) == 4  # six of the ten that the paper prints are in no row here


def test_real_tables_in_the_shared_form(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEWM_SHARED_DATA", str(shared_data))
    medians = {}
    for name in ("hcc-tace-seg", "dtsdhcc"):
        endpoint = next(e for e in read_table(*find_table(name)) if e.name == "os")
        table = shared_table(name, endpoint)
        medians[name] = {n: float(np.nanmedian(v)) for n, v in table.covariates.items()}
    # sizes are of one unit: medians of some 70 mm in both
    assert all(np.expm1(m["log_size_mm"]) == pytest.approx(70, rel=0.15) for m in medians.values())
