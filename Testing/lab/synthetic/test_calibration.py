"""The law's constants against the real table: reading it, fitting, and how well the shipped ones do."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from MeWMLib.cohorts.synthetic.law import LAW
from MeWMLib.core.errors import InputError, UnreadableFileError
from MeWMLib.lab.synthetic import calibration
from MeWMLib.lab.synthetic.calibration import CRITERIA, REGIMENS, Population, Reference, read_reference

Row = dict[str, str]


def row(regimen: str, weeks: float, died: bool, changes: dict[str, tuple[float, float, float]]) -> Row:
    """A patient whose sums of diameters were 50 mm before, as each reader saw it."""
    out = {"chemotherapy": regimen, "OS": str(weeks), "Death_1_StillAliveorLostToFU_0": str(int(died))}
    for criterion, seen in changes.items():
        for reader, change in enumerate(seen, 1):
            out[f"{reader}_{criterion}_BL"] = "50"
            out[f"{reader}_{criterion}_FU"] = str(50 * (1 + change))
    return out


def both(*seen: float) -> dict[str, tuple[float, float, float]]:
    return {c: (seen[0], seen[1], seen[2]) for c in CRITERIA}


def written(path: Path, rows: list[Row]) -> Path:
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture
def rows() -> list[Row]:
    return [
        row("Cisplatin, doxorubicin, Mitomycin-C", 43.45, True, both(-0.1, -0.1, -0.1)),
        row("Cisplatin, doxorubicin, Mitomycin-C", 86.9, False, both(-0.2, -0.3, -0.4)),
        row("Doxorubicin LC Beads", 130.35, True, both(0.0, 0.1, 0.2)),
        row(" ", 10, True, both(0, 0, 0)),  # no regimen: left out
    ]


def test_the_table_gives_the_mean_of_the_readers_and_months(tmp_path: Path, rows: list[Row]) -> None:
    found = read_reference(written(tmp_path / "t.csv", rows))
    assert set(found) == set(REGIMENS)
    conventional, beads = found["conventional"], found["beads"]
    assert conventional.changes["RECIST"] == pytest.approx([-0.1, -0.3]) and beads.changes["mRECIST"] == pytest.approx(
        [0.1]
    )
    assert conventional.months == pytest.approx([10, 20]) and beads.months == pytest.approx([30])
    assert conventional.died.tolist() == [True, False]


def test_the_readers_deviation_is_that_of_their_mean(tmp_path: Path, rows: list[Row]) -> None:
    found = read_reference(written(tmp_path / "t.csv", rows))
    # Variances of the readers 0 and 0.01, median 0.005; the mean of three has a third of it.
    assert found["conventional"].reader_sd["RECIST"] == pytest.approx(np.sqrt(0.005 / 3))
    assert found["beads"].reader_sd["RECIST"] == pytest.approx(0.1 / np.sqrt(3))


def test_patients_that_a_reader_did_not_measure_lack_the_change_but_not_the_survival(
    tmp_path: Path, rows: list[Row]
) -> None:
    rows[0]["2_RECIST_FU"] = ""
    rows[1]["1_mRECIST_BL"] = "0"
    found = read_reference(written(tmp_path / "t.csv", rows))["conventional"]
    assert found.changes["RECIST"] == pytest.approx([-0.3]) and found.changes["mRECIST"] == pytest.approx([-0.1])
    assert len(found.months) == 2


@pytest.mark.parametrize("column", ["chemotherapy", "OS", "Death_1_StillAliveorLostToFU_0", "3_mRECIST_FU"])
def test_a_table_without_a_column_is_refused_by_its_name(tmp_path: Path, rows: list[Row], column: str) -> None:
    for r in rows:
        del r[column]
    with pytest.raises(InputError, match=rf"t\.csv without {column}"):
        read_reference(written(tmp_path / "t.csv", rows))


def test_an_empty_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("")
    with pytest.raises(InputError, match="no rows"):
        read_reference(tmp_path / "t.csv")


def test_a_survival_that_is_no_number_is_refused(tmp_path: Path, rows: list[Row]) -> None:
    rows[1]["OS"] = "long"
    with pytest.raises(InputError, match=r"OS is not a number.*column 'OS': 'long'"):
        read_reference(written(tmp_path / "t.csv", rows))


def test_a_regimen_that_nobody_got_is_refused(tmp_path: Path, rows: list[Row]) -> None:
    with pytest.raises(InputError, match="no patient of the regimen beads"):
        read_reference(written(tmp_path / "t.csv", rows[:2]))


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00\x80"])
def test_a_missing_or_binary_table_is_unreadable(
    tmp_path: Path, content: bytes | None, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(UnreadableFileError, match=r"t\.csv"):
        read_reference(tmp_path / "t.csv")
    assert calibration.main([str(tmp_path / "t.csv")]) == 2
    assert "cannot be read" in capsys.readouterr().err


def planted(law=LAW, reader_sd: float = 0.02) -> dict[str, Reference]:
    """Patients made by a law, another draw than the one that is fitted."""
    population = Population.draw(200, seed=9)
    out = {}
    for regimen in REGIMENS:
        raw = calibration.simulated(population, regimen, law)
        bare = Reference({}, dict.fromkeys(CRITERIA, reader_sd), np.zeros(0), np.zeros(0, bool))
        changes = calibration.read_by_people(population, raw, bare)
        months = np.random.default_rng(2).weibull(1.6, 200) * 40
        out[regimen] = Reference(changes, bare.reader_sd, months, np.ones(200, bool))
    return out


def test_the_distance_is_smallest_near_the_law_that_made_the_patients() -> None:
    population = Population.draw(200, seed=1)
    reference = planted()
    own = calibration.distance(LAW, population, reference)
    for other in (replace(LAW, base=-2.5), replace(LAW, shrink=1.2), replace(LAW, spread=0.1)):
        assert calibration.distance(other, population, reference) > 2 * own


@pytest.mark.slow
def test_a_fit_comes_nearer_to_a_planted_law() -> None:
    reference = planted(replace(LAW, base=-1.6, shrink=0.9))
    found = calibration.fit(reference, iterations=60)
    population = Population.draw(seed=0)
    before = calibration.distance(LAW, population, reference)
    assert calibration.distance(found, population, reference) < 0.5 * before
    assert found.base < LAW.base and all(getattr(found, n) >= 0 for n in calibration.FITTED if n != "base")
    # The planted patients live 40 x ln(2)^(1/1.6) = 31.8 months in the median.
    assert found.median_months > LAW.median_months


def test_what_nobody_sees_stays_unseen() -> None:
    population = Population.draw(3, seed=0)
    changes = {c: np.array([-1.0, -0.999, 0.0]) for c in CRITERIA}
    reference = Reference({}, dict.fromkeys(CRITERIA, 0.5), np.zeros(0), np.zeros(0, bool))
    seen = calibration.read_by_people(population, changes, reference)
    for criterion in CRITERIA:
        assert seen[criterion][0] == -1 and seen[criterion].min() >= -1
        assert seen[criterion][2] == pytest.approx(max(-1, 0.5 * population.reader[criterion][2]))


def test_diameters_are_cube_roots_of_what_the_law_leaves() -> None:
    population = Population.draw(50, seed=3)
    found = calibration.simulated(population, "beads", LAW)
    for n, traits in enumerate(population.traits):
        answer = calibration.respond(traits, REGIMENS["beads"])
        left = 1 - answer.shrinkage
        assert (1 + found["RECIST"][n]) ** 3 == pytest.approx(left)
        viable = left * (1 - answer.necrosis)
        expected = 0.0 if viable < calibration.UNSEEN_SHARE else viable
        assert (1 + found["mRECIST"][n]) ** 3 == pytest.approx(expected, abs=1e-12)


def test_the_report_is_that_of_scipy_and_numpy() -> None:
    reference = planted(replace(LAW, base=-1.2))
    rows = calibration.report(LAW, reference, seed=4)
    assert set(rows) == {f"{r} {c}" for r in REGIMENS for c in (*CRITERIA, "months")}
    population = Population.draw(seed=4)
    for regimen, real in reference.items():
        drawn = calibration.read_by_people(population, calibration.simulated(population, regimen, LAW), real)
        for criterion in CRITERIA:
            got, want = rows[f"{regimen} {criterion}"], stats.ks_2samp(drawn[criterion], real.changes[criterion])
            assert got["ks"] == pytest.approx(want.statistic) and got["p"] == pytest.approx(want.pvalue)
            assert got["real 50 %"] == pytest.approx(np.median(real.changes[criterion])) and got["n_real"] == 200


def test_the_median_survival_is_kaplan_meiers() -> None:
    lifelines = pytest.importorskip("lifelines")
    rng = np.random.default_rng(0)
    months, died = rng.exponential(20, 60).round(1), rng.random(60) < 0.7
    oracle = lifelines.KaplanMeierFitter().fit(months, died).median_survival_time_
    assert calibration._median_survival(months, died) == pytest.approx(oracle)
    assert calibration._median_survival(np.array([3.0, 9.0]), np.array([False, False])) == 9


@pytest.mark.real_data
def test_the_shipped_constants_are_spread_like_the_real_patients(
    shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = shared_data / "tables" / "hcc_tace_seg_clinical_80.csv"
    assert calibration.main([str(table)]) == 0
    rows = json.loads(capsys.readouterr().out)["comparison"]
    for regimen in REGIMENS:
        for criterion in CRITERIA:
            assert rows[f"{regimen} {criterion}"]["p"] > 0.01, (regimen, criterion)
        assert rows[f"{regimen} months"]["n_real"] >= rows[f"{regimen} RECIST"]["n_real"] > 15
