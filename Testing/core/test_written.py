"""What a reader is told of numbers: growth, ranges that exist, which sample was written, months and their interval."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from MeWMLib.core import io
from MeWMLib.core.image_files import read_image_file
from MeWMLib.core.outcome import Risk, TumourChange
from MeWMLib.core.outcome_words import interval_note, months_text, ratio_text
from MeWMLib.core.plan import Candidate
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.tissue_labels import read_tissue
from MeWMLib.core.volume import Geometry, LabelMap, Provenance
from MeWMLib.core.written import Criterion, Sample, WrittenNumbers, change_in_words, joined, judged_lesions, small_ones

MONTHS = tuple(float(m) for m in range(121))


def exponential(rate: float) -> tuple[float, ...]:
    return tuple(math.exp(-rate * m) for m in MONTHS)


def test_lesions_that_are_judged_alike_stand_in_one_line() -> None:
    names = [f"LI-RADS treatment response, lesion {n}" for n in (1, 2, 3, 5, 6, 9)]
    dark = ("portal phase",)
    judged = [Criterion("RECIST 1.1", "SD", ("+2 %",)), *(Criterion(n, None, dark) for n in names)]
    judged.append(Criterion("LI-RADS treatment response, lesion 4", "LR-TR viable", ("10 mm",)))
    told = [one.name for one in joined(judged)]
    head = "LI-RADS treatment response"
    assert told == ["RECIST 1.1", f"{head}, lesions 1 to 3, 5 to 6 and 9", f"{head}, lesion 4"]
    assert [one.category for one in joined(judged)] == ["SD", None, "LR-TR viable"] and joined([]) == ()


def test_specks_share_one_line_and_lesions_that_merged_keep_their_numbers() -> None:
    head = "LI-RADS treatment response"
    judged = [
        Criterion(f"{head}, lesion {n}", ("viable", "nonviable")[n % 2], (f"a piece of {n} mm",)) for n in range(3, 71)
    ]
    judged += [Criterion(f"{head}, lesion 1", "viable", ("x",)), Criterion(f"{head}, lesion 2, 71", "viable", ("y",))]
    assert len(joined(judged)) == 70
    big, both, rest = joined(judged, small_ones({1: 60.0, 2: 10.0, **dict.fromkeys(range(3, 72), 9.9)}))
    assert big.name == f"{head}, lesion 1" and both.name == f"{head}, lesions 2 and 71"
    assert rest.name == f"{head}, lesions 3 to 70 under 10 mm" and rest.category == "nonviable 34, viable 34"
    result = {
        "before": {"lesions": [{"diameter_mm": mm} for mm in (50.0, 9.0, 8.0)]},
        "lirads": [{"before": [n], "category": "viable", "reasons": [f"{n} mm"]} for n in (1, 2, 3)],
    }
    assert [one.name for one in judged_lesions(result)] == [f"{head}, lesion 1", f"{head}, lesions 2 to 3 under 10 mm"]
    (alone,) = joined([Criterion(f"{head}, lesion 4", None, ("dark",))], {4})
    assert alone.text == f"{head}, lesion 4 under 10 mm: cannot be judged (dark)"


def test_what_grows_is_said_to_grow() -> None:
    change = TumourChange(10.0, 15.0, 8.0, 3.0, None, 30.0, 31.0, 0.4)
    assert change.growth == ("The tumour GROWS from 10.0 to 15.0 ml.",)
    assert TumourChange(10.0, 10.05, 8.0, 3.0, 0.0, 30.0, 30.0).growth == ()
    assert change_in_words(10.0, 5.0) == "falls from 10.0 to 5.0 ml" and "about the same" in change_in_words(10.0, 10.0)
    assert TumourChange.mean([change, change]) == change
    measured = TumourChange(10.0, 15.0, 8.0, 3.0, 1.0, 30.0, 31.0, 0.4)
    assert TumourChange.mean([change, measured]).lipiodol_ml_after is None


def test_one_replica_has_no_range() -> None:
    one = Risk((0.37,), MONTHS, exponential(0.02))
    assert one.range_text == "" and "one replica" in repr(one) and Risk((0.1, 0.3)).range_text == "+0.10 to +0.30"
    candidate = Candidate(Protocol.parse("Cisplatin + Lipiodol"), one, TumourChange(1, 1, 1, 1, 1, 1, 1))
    assert candidate.to_json()["risk_interval"] is None
    assert candidate.to_json()["median_interval_months"] is None
    assert months_text(one) == f"{one.median_survival_months:.1f} months" and "no interval" in interval_note(one)
    assert months_text(Risk((0.1,))) == "not predicted" and "no months" in interval_note(Risk((0.1,)))


def test_the_interval_of_the_months_follows_from_the_spread_of_the_log_risk() -> None:
    # of an exponential the median is ln 2 / rate, and a log-risk higher by d multiplies the rate by exp(d)
    risk = Risk((-0.1, 0.1), MONTHS, exponential(0.02))
    low, high = risk.median_interval_months or (0.0, 0.0)
    off = 1.645 * float(np.std((-0.1, 0.1), ddof=1))
    assert low == pytest.approx(math.log(2) / 0.02 * math.exp(-off), rel=1e-3)
    assert high == pytest.approx(math.log(2) / 0.02 * math.exp(off), rel=1e-3)
    beyond = Risk((-2.0, 2.0), MONTHS, exponential(0.02))
    assert beyond.median_interval_months is not None and beyond.median_interval_months[1] is None
    assert "to over 120)" in months_text(beyond)


def test_hazard_ratios_are_told_against_the_average_and_against_no_treatment() -> None:
    risk = Risk((0.0,), untreated=math.log(2))
    assert risk.hazard_ratio_treated == pytest.approx(0.5) and "50 % lower than" in ratio_text(risk)
    assert "no treatment" not in ratio_text(Risk((0.0,))) and "as high as" in ratio_text(Risk((0.0,), untreated=0.0))


def test_a_written_volume_says_which_sample_it_is_and_carries_its_numbers() -> None:
    numbers = WrittenNumbers(
        Sample(4, 3), "portal", 10.0, 12.0, 9.0, 4.0, 6.0, 1.5, 0.7, 30.0, 33.0,
        criteria=(Criterion("mRECIST", None, ("no arterial phase",)),),
    )  # fmt: skip
    text = " ".join(numbers.told())
    assert "of 3 simulated samples the one nearest to their mean (seed 4)" in text
    assert "tumour GROWS from 10.0 to 12.0 ml" in text and "0.7 ml of tissue beside its outline became so too" in text
    seen = replace(numbers, seen_viable_ml=6.5, hidden_ml=1.0)
    assert "6.5 ml of the tumour look viable" in " ".join(seen.told())
    assert numbers.criteria[0].text == "mRECIST: cannot be judged (no arterial phase)"
    candidate = Candidate(Protocol.parse("Lipiodol"), Risk((0.1,)), TumourChange(1, 1, 1, 1, 1, 1, 1))
    data = {**candidate.to_json(), "written": numbers.to_json()}
    assert Candidate.from_json(data).written == numbers
    assert "the one sample" in Sample(2, 1).text


def test_tissue_is_written_as_segments_beside_the_labels_and_marked(tmp_path) -> None:
    geometry = Geometry((6, 8, 10), np.diag([-1.0, -1.0, 2.0, 1.0]))
    array = np.ones(geometry.shape, np.uint8)
    array[2:5, 2:6, 2:8] = 2
    labels, masks = LabelMap(array, geometry), {}
    for n, name in enumerate(("Viable tumour", "Necrosis", "Lipiodol")):
        masks[name] = np.zeros(geometry.shape, bool)
        masks[name][2:5, 2:6, 2 + 2 * n : 4 + 2 * n] = True
    path = tmp_path / "a.seg.nrrd"
    io.write_outcome_labels(labels, masks, Provenance("A + B", 3, "tiny", "ab" * 32), path)
    assert (io.read_labels(path, geometry).array == array).all()
    for name, mask in read_tissue(path).items():
        assert (mask == masks[name]).all()
    header = read_image_file(path).metadata
    assert header["MeWM_SIMULATED"] == "1" and header["MeWM_protocol"] == "A + B" and header["MeWM_seed"] == "3"
    named = {
        header[f"Segment{n}_Name"]: (header[f"Segment{n}_Layer"], header[f"Segment{n}_LabelValue"]) for n in range(5)
    }
    assert named["Liver"] == ("0", "1") and named["Viable tumour"] == ("1", "3") and named["Lipiodol"] == ("1", "5")
    io.write_outcome_labels(labels, {"Lipiodol": masks["Lipiodol"]}, Provenance("A", 3, "tiny", "ab" * 32), path)
    assert list(read_tissue(path)) == ["Lipiodol"]
    io.write_labels(labels, path)
    assert read_tissue(path) == {}
