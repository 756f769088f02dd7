"""The planning study: F1 without and with MeWM, paired, and the size of such a study."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from MeWMLib.core.errors import StudyError
from MeWMLib.lab.reader_study.__main__ import main
from MeWMLib.lab.reader_study.forms import read_forms
from MeWMLib.lab.reader_study.planning import flips, judge, read_choices
from MeWMLib.lab.reader_study.size import PAPER_GAIN, cases_needed, patients_needed, power
from MeWMLib.lab.reader_study.statistics import share

ROWS = (
    ("R1", "A", "Cisplatin + Lipiodol", "Epirubicin + Lipiodol", "Epirubicin + Lipiodol"),  # 1/2 to 1
    ("R1", "B", "Epirubicin", "Epirubicin + PVA", "Epirubicin + Lipiodol + PVA"),  # 1/2 to 4/5
    ("R1", "C", "", "Cisplatin", "Epirubicin + Lipiodol"),  # 0 to 0
    ("R2", "A", "Epirubicin 50 mg + Lipiodol 10 ml", "Epirubicin + Lipiodol", "Epirubicin + Lipiodol"),  # 1 to 1
    ("R2", "B", "PVA", "PVA", "Epirubicin + Lipiodol + PVA"),  # 1/2 to 1/2
    ("R2", "C", "Lipiodol", "Epirubicin", "Epirubicin + Lipiodol"),  # 2/3 to 2/3
)
HEAD = "reader,patient,without,with,gold"


def table(path, rows, head=HEAD):
    path.write_text("\n".join([head, *(",".join(row) for row in rows)]) + "\n", encoding="utf-8")
    return path


def test_f1_by_hand(tmp_path):
    result = judge(read_choices(table(tmp_path / "choices.csv", ROWS)), seed=1)
    first, all_ = result.gains["R1"]["f1"], result.gains["all"]["f1"]
    assert first.without == pytest.approx(1 / 3) and first.with_mewm == pytest.approx(0.6)
    assert all_.gain == pytest.approx((0.5 + 0.3) / 6)
    assert result.gains["R2"]["f1"].gain == 0 and result.gains["R2"]["f1"].p_signed_rank == 1
    assert result.gains["R2"]["precision"].gain == 0
    assert result.changed == {"R1": 3, "R2": 1} and result.patients == ("A", "B", "C")
    # patients' differences, averaged over the readers: 0.25, 0.15, 0
    assert result.sd == pytest.approx(np.std([0.25, 0.15, 0.0], ddof=1))
    assert all_.p_flips == pytest.approx(0.5)  # of four patterns of two signs two are as extreme
    assert any("second look" in note for note in result.notes)


def test_tests_are_those_of_scipy_and_of_all_patterns_of_signs(tmp_path):
    rng = np.random.default_rng(3)
    values = rng.normal(0.2, 0.5, 9)
    patterns = [np.dot(s, values) for s in itertools.product((-1, 1), repeat=9)]
    assert flips(values, rng) == pytest.approx(np.mean(np.abs(patterns) >= abs(values.sum()) - 1e-12))
    found = stats.permutation_test((values,), np.mean, permutation_type="samples", alternative="two-sided")
    assert flips(values, rng) == pytest.approx(found.pvalue, abs=0.01)
    many = rng.normal(0.3, 1, 60)
    assert flips(many, rng) == pytest.approx(stats.ttest_1samp(many, 0).pvalue, abs=0.02)
    assert flips(np.zeros(4), rng) == 1.0


def test_patients_that_not_everybody_judged_are_left_out_and_named(tmp_path):
    rows = [*ROWS, ("R1", "D", "PVA", "PVA", "PVA")]
    result = judge(read_choices(table(tmp_path / "c.csv", rows)))
    assert result.patients == ("A", "B", "C") and result.left_out == ("D",)
    assert "alone" in " ".join(judge(read_choices(table(tmp_path / "c.csv", ROWS[:3]))).notes)
    with pytest.raises(StudyError, match="Too few"):
        judge(read_choices(table(tmp_path / "c.csv", ROWS[:1])))


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (("R1", "A", "Aspirin", "PVA", "PVA"), "cannot be read"),
        (("R1", "A", "PVA", "PVA", ""), "not known what was given"),
        (("", "A", "PVA", "PVA", "PVA"), "needs its reader"),
    ],
)
def test_what_cannot_be_judged_is_refused_with_its_line(tmp_path, row, said):
    with pytest.raises(StudyError, match=said) as refused:
        read_choices(table(tmp_path / "choices.csv", [ROWS[1], row]))
    assert "line 3" in str(refused.value)
    with pytest.raises(StudyError, match="twice"):
        read_choices(table(tmp_path / "choices.csv", [ROWS[0], ROWS[0]]))
    with pytest.raises(StudyError, match="lacks columns"):
        read_choices(table(tmp_path / "choices.csv", [("R1", "A")], "reader,patient"))


def test_filled_forms_and_gold_of_its_own_are_scored_by_the_command(tmp_path, capsys):
    forms = tmp_path / "forms"
    forms.mkdir()
    for reader in ("R1", "R2"):
        rows = [row for row in ROWS if row[0] == reader]
        table(forms / f"without_{reader}.csv", [(r[0], r[1], r[2]) for r in rows], "reader,patient,protocol")
        table(forms / f"with_{reader}.csv", [(r[0], r[1], "PVA", r[3]) for r in rows[::-1]],
              "reader,patient,mewm_protocol,protocol")  # fmt: skip
    gold = table(tmp_path / "gold.csv", [(r[1], r[4]) for r in ROWS[:3]], "patient,gold")
    assert main(["planning-score", str(forms), "--gold", str(gold), "--out", str(tmp_path / "out")]) == 0
    assert "R1: F1 33.3 % without, 60.0 % with MeWM, gain +26.7 points" in capsys.readouterr().out
    assert (tmp_path / "out" / "planning.json").is_file() and (tmp_path / "out" / "planning.csv").is_file()
    table(forms / "with_R2.csv", [("R2", "A", "PVA")], "reader,patient,protocol")
    with pytest.raises(StudyError, match="other patients"):
        read_forms(forms)
    table(forms / "with_R2.csv", [("R1", "A", "PVA")], "reader,patient,protocol")
    with pytest.raises(StudyError, match="another reader"):
        read_forms(forms)
    with pytest.raises(StudyError, match="no forms"):
        read_forms(tmp_path)


def test_the_size_of_a_study_has_the_power_that_is_said():
    rng = np.random.default_rng(0)
    n = patients_needed(PAPER_GAIN, 0.25, 0.8)
    assert power(n, PAPER_GAIN, 0.25) >= 0.8 > power(n - 1, PAPER_GAIN, 0.25)
    drawn = rng.normal(PAPER_GAIN, 0.25, (4000, n))
    found = stats.ttest_1samp(drawn, 0, axis=1).pvalue < 0.05
    assert found.mean() == pytest.approx(0.8, abs=0.03)
    # by the normal distribution alone, which is a little too small
    rough = ((stats.norm.isf(0.025) + stats.norm.isf(0.2)) * 0.25 / PAPER_GAIN) ** 2
    assert 0 <= n - rough < 4
    assert patients_needed(-PAPER_GAIN, 0.25) == n and power(1, 1.0, 1.0) == 0
    assert math.isclose(power(50, 40 / math.sqrt(50), 1.0), 1.0)
    for bad in ((0.0, 0.2), (0.1, 0.0), (0.1, float("nan"))):
        with pytest.raises(StudyError):
            patients_needed(*bad)
    with pytest.raises(StudyError, match="More than"):
        patients_needed(1e-4, 1.0)


def test_cases_for_an_interval():
    n = cases_needed(0.75, 0.1)
    found, before = share(round(0.75 * n), n), share(round(0.75 * (n - 1)), n - 1)
    assert found.high - found.low <= 0.2 < before.high - before.low
    with pytest.raises(StudyError):
        cases_needed(1.2, 0.1)


def test_the_command_says_sizes_also_from_a_pilot(tmp_path, capsys):
    assert main(["size"]) == 0
    assert "12.7 points" in capsys.readouterr().out
    assert main(["size", "--pilot", str(table(tmp_path / "c.csv", ROWS))]) == 0
    assert "SD of the differences 0.126" in capsys.readouterr().out
    assert main(["size", "--gain", "0"]) == 2
