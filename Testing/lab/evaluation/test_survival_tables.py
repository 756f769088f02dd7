"""Tables of real patients: what may enter a model, units, and that nothing leaks."""

from __future__ import annotations

import json

import numpy as np
import pytest

from MeWMLib.core.errors import InputError, SurvivalDataError, UnreadableFileError
from MeWMLib.lab.evaluation.survival_metrics import Concordance, calibration_slope
from MeWMLib.lab.evaluation.survival_real import (
    Model,
    TableSettings,
    cross_validate,
    evaluate_table,
    models_of,
    shuffled_c_index,
)
from MeWMLib.lab.evaluation.survival_tables import (
    CLINICAL,
    DTSDHCC_BEFORE,
    HCC_TACE_AFTER,
    HCC_TACE_BEFORE,
    Endpoint,
    find_table,
    read_table,
    require_before,
)

pd = pytest.importorskip("pandas")
FILE = "hcc_tace_seg_clinical_80.csv"


def _endpoint(n: int = 120, seed: int = 0, effect: float = 1.0) -> Endpoint:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, len(CLINICAL)))
    months = rng.exponential(20 * np.exp(-effect * x[:, 0])) + 0.1
    end = rng.uniform(5, 90, n)
    x[rng.random(x.shape) < 0.05] = np.nan
    covariates = {name: x[:, k] for k, name in enumerate(CLINICAL)}
    return Endpoint("os", covariates, CLINICAL, (), np.minimum(months, end), months <= end)


@pytest.fixture(scope="module")
def table(shared_data):
    return shared_data / "tables" / FILE


@pytest.mark.real_data
def test_units_and_endpoints(table):
    overall, progression, landmark = read_table("hcc-tace-seg", table)
    frame = pd.read_csv(table)
    assert len(overall.months) == 80 and overall.events.sum() == 71
    # the paper prints 4.7 months for HCC_009
    row = int(np.flatnonzero(frame["TCIA_ID"] == "HCC_009")[0])
    assert overall.months[row] == pytest.approx(4.7, abs=0.05)
    assert progression.events.sum() == 35 and progression.months[0] == pytest.approx(197 / 4.345, abs=0.01)
    assert 40 < len(landmark.months) < 80 and set(landmark.response) == set(HCC_TACE_AFTER)
    assert overall.response == progression.response == ()


@pytest.mark.real_data
def test_what_happens_after_treatment_changes_no_pre_treatment_covariate(table, tmp_path):
    """Every column outside the written list is replaced by the outcome itself: the covariates stay as they are."""
    frame = pd.read_csv(table)
    named = {c for source in HCC_TACE_BEFORE.values() for c in ((source,) if isinstance(source, str) else source)}
    outcome = {"TCIA_ID", "OS", "TTP", "Death_1_StillAliveorLostToFU_0", "Censored_0_progressed_1", "Interval_FU"}
    leaky = frame.copy()
    others = [c for c in frame.columns if c not in named | outcome]
    assert "1_mRECIST_FU" in others and "1_EASL" in others and "chemotherapy" in others
    for column in others:
        leaky[column] = frame["OS"] if not column.endswith("_BL") else frame[column]
    leaky.to_csv(tmp_path / FILE, index=False)
    for clean, other in zip(
        read_table("hcc-tace-seg", table)[:2], read_table("hcc-tace-seg", tmp_path / FILE)[:2], strict=True
    ):
        assert list(clean.covariates) == list(other.covariates) == list(HCC_TACE_BEFORE)
        for name, values in clean.covariates.items():
            np.testing.assert_array_equal(values, other.covariates[name])


@pytest.mark.real_data
def test_the_landmark_model_holds_only_who_reached_it(table):
    landmark = read_table("hcc-tace-seg", table)[2]
    assert landmark.months.min() > 0 and np.isfinite(landmark.covariates["mrecist_change"]).all()
    assert {m.row for m in models_of(landmark)} >= {"response_cox", "clinical_and_response_cox"}


def test_a_late_covariate_is_refused():
    late = {"age_years": np.ones(3), "mrecist_change": np.ones(3)}
    with pytest.raises(SurvivalDataError, match="was not known before treatment"):
        Endpoint("os", late, ("age_years",), (), np.ones(3), np.ones(3, bool))
    with pytest.raises(SurvivalDataError, match="cannot predict from before"):
        Endpoint("os", late, ("age_years",), ("mrecist_change",), np.ones(3), np.ones(3, bool))
    for forbidden in ("OS", "TTP", "Interval_FU", *HCC_TACE_AFTER):
        with pytest.raises(SurvivalDataError):
            require_before((forbidden,), "os")


@pytest.mark.real_data
def test_the_large_table_has_one_row_a_patient(shared_data):
    (overall,) = read_table("dtsdhcc", shared_data / "tables" / "dtsdhcc.csv.gz")
    assert len(overall.months) == 2360 and 0.5 < overall.events.mean() < 0.7
    assert np.median(overall.months) == pytest.approx(18.9, abs=0.1)
    assert np.nanmin(overall.covariates["age_years"]) > 0


@pytest.mark.parametrize("kind", ["cox", "elastic net", "forest"])
def test_models_find_what_is_there(kind):
    endpoint = _endpoint()
    found = cross_validate(Model("m", CLINICAL, kind), endpoint, folds=4, repeats=1)
    figure = Concordance.harrell(endpoint.months, endpoint.events).of(found.risks, found.folds)
    assert figure["low"] > 0.54 and figure["mean"] > 0.6
    assert found.survival.shape == (120, 4) and (np.diff(found.survival, axis=1) <= 1e-9).all()
    assert 0 <= found.percentiles.min() and found.percentiles.max() <= 1


def test_a_covariate_that_copies_the_outcome_is_found():
    """The check against leakage can fail: with a copy of the outcome the C-index is nearly 1."""
    endpoint = _endpoint(effect=0.0)
    leak = dict(endpoint.covariates) | {"bclc_stage": -endpoint.months}
    leaky = Endpoint("os", leak, CLINICAL, (), endpoint.months, endpoint.events)
    found = cross_validate(Model("m", CLINICAL), leaky, folds=4, repeats=1)
    assert Concordance.harrell(leaky.months, leaky.events).share(found.risks, found.folds) > 0.9


@pytest.mark.parametrize("kind", ["cox", "elastic net"])
def test_shuffled_outcomes_give_one_half(kind, tmp_path):
    endpoint = _endpoint()
    figure = shuffled_c_index(
        Model("m", CLINICAL, kind), endpoint, TableSettings("x", tmp_path, folds=4, permutations=12, seed=1)
    )
    assert figure["low"] < 0.5 < figure["high"] and figure["mean"] == pytest.approx(0.5, abs=0.04)


def test_too_few_events_for_the_folds_is_refused():
    endpoint = _endpoint(20)
    few = Endpoint("os", endpoint.covariates, CLINICAL, (), endpoint.months, np.arange(20) < 3)
    with pytest.raises(SurvivalDataError, match="fewer events than folds"):
        cross_validate(Model("m", CLINICAL), few, folds=5, repeats=1)


def test_calibration_slope_of_the_truth_is_one():
    rng = np.random.default_rng(1)
    risk = rng.normal(size=1500)
    months = rng.exponential(20 / np.exp(risk))
    truth = np.exp(-np.exp(risk) * 12 / 20)
    slope = calibration_slope(truth, months, np.ones(1500, bool))
    assert slope["low"] < 1 < slope["high"]
    overstated = np.exp(-np.exp(2 * risk) * 12 / 20)
    assert calibration_slope(overstated, months, np.ones(1500, bool))["mean"] == pytest.approx(0.5, abs=0.05)
    assert np.isnan(calibration_slope(np.full(1500, 0.4), months, np.ones(1500, bool))["mean"])


@pytest.mark.real_data
@pytest.mark.slow
def test_the_whole_table(table, tmp_path):
    """Two folds, one repetition: every file is there and says what it should."""
    settings = TableSettings("hcc-tace-seg", table, folds=3, repeats=1, permutations=2, single=False)
    rows = evaluate_table(settings, tmp_path)
    assert {"os.clinical_cox", "ttp.elastic_net_cox", "landmark_os.response_cox", "os.kaplan_meier"} <= set(rows)
    assert {
        "c_index",
        "c_index_uno",
        "auc_24m",
        "brier_24m",
        "log_rank_p",
        "calibration_slope",
        "c_index_shuffled",
    } <= set(rows["os.clinical_cox"])
    for name in ("kaplan_meier", "reliability", "c_index"):
        for endpoint in ("os", "ttp", "landmark_os"):
            assert (tmp_path / f"{name}_{endpoint}.png").read_bytes()[:4] == b"\x89PNG"
    about = json.loads((tmp_path / "survival.json").read_text())
    assert about["endpoints"]["os"]["measured_after_treatment"] == []
    assert "mrecist_change" in about["endpoints"]["landmark_os"]["measured_after_treatment"]


def test_tables_are_found(tmp_path, monkeypatch):
    monkeypatch.setenv("MEWM_SHARED_DATA", str(tmp_path))
    assert find_table("dtsdhcc") == ("dtsdhcc", tmp_path / "tables" / "dtsdhcc.csv.gz")
    own = tmp_path / "mine.csv"
    own.write_text("a\n")
    assert find_table(str(own)) == ("hcc-tace-seg", own)
    monkeypatch.delenv("MEWM_SHARED_DATA")
    with pytest.raises(InputError, match="folder of the tables"):
        find_table("hcc-tace-seg")
    with pytest.raises(InputError, match="no such table"):
        find_table(str(tmp_path / "nothing.csv"))


def test_unusable_tables_are_refused(tmp_path):
    own = tmp_path / "mine.csv"
    own.write_text("TCIA_ID,OS\na,1\n")
    with pytest.raises(UnreadableFileError, match="lacks a column"):
        read_table("hcc-tace-seg", own)
    own.write_text("TCIA_ID,OS\na,1\na,2\n")
    with pytest.raises(SurvivalDataError, match="is twice"):
        read_table("hcc-tace-seg", own)
    own.write_text("")
    with pytest.raises(UnreadableFileError, match="no rows"):
        read_table("hcc-tace-seg", own)
    own.write_text("TCIA_ID,OS\na,1,2\n")  # pandas would take the first column for an index
    with pytest.raises(InputError, match="another number of cells"):
        read_table("hcc-tace-seg", own)
    own.write_text("ID,Date,Status_of_death,OStime_day," + ",".join(DTSDHCC_BEFORE.values()) + "\na,1,2,3" + ",1" * 8)
    with pytest.raises(UnreadableFileError, match="Status_of_death must be 0 or 1"):
        read_table("dtsdhcc", own)
    with pytest.raises(SurvivalDataError, match="Unknown table"):
        read_table("other", own)
