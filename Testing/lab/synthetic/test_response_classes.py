"""Classes of response: thresholds, reading them, and how often they are drawn."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from MeWMLib.core.errors import InputError
from MeWMLib.lab.synthetic import response_classes
from MeWMLib.lab.synthetic.calibration import CRITERIA, REGIMENS, Reference
from MeWMLib.lab.synthetic.response_classes import CLASSES, class_of, drawn_changes, drawn_classes, read_classes

READERS = (1, 2, 3)


@pytest.mark.parametrize(
    ("change", "name"),
    [(-1.0, "CR"), (-0.99, "PR"), (-0.3, "PR"), (-0.299, "SD"), (0.0, "SD"), (0.199, "SD"), (0.2, "PD"), (3.0, "PD")],
)
def test_classes_begin_where_the_criteria_say(change: float, name: str) -> None:
    assert class_of(change) == name


def table(path: Path, codes: list[str]) -> Path:
    columns = [f"{reader}_{criterion}" for criterion in CRITERIA for reader in READERS]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows([[code] * len(columns) for code in codes])
    return path


def test_classes_are_read_for_every_reader(tmp_path: Path) -> None:
    found = read_classes(table(tmp_path / "t.csv", ["1.0", "2", "", "4.0", "3"]))
    assert all([one.tolist() for one in found[c]] == [[0, 1, 3, 2]] * 3 for c in CRITERIA)
    with pytest.raises(InputError, match=r"(?s)not 1 to 4.*1_RECIST"):
        read_classes(table(tmp_path / "u.csv", ["1", "5"]))
    with pytest.raises(InputError, match="no class by one of the readers"):
        read_classes(table(tmp_path / "v.csv", ["NA", "NA"]))


def test_a_table_without_the_columns_is_refused(tmp_path: Path) -> None:
    (tmp_path / "w.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="lacks columns"):
        read_classes(tmp_path / "w.csv")


def reference() -> dict[str, Reference]:
    still = {c: np.zeros(10) for c in CRITERIA}
    return {r: Reference(still, dict.fromkeys(CRITERIA, 0.02), np.ones(10), np.ones(10, bool)) for r in REGIMENS}


def test_shares_add_up_and_labile_sizes_lengthen_the_tails() -> None:
    known = reference()
    two, three = (drawn_classes(known, drawn_changes(known, world)) for world in (2, 3))
    for shares in (*two.values(), *three.values()):
        assert set(shares) == set(CLASSES) and sum(shares.values()) == pytest.approx(1)
    for name in ("PR", "PD"):
        assert three["RECIST"][name] > two["RECIST"][name] + 0.03
    changes = [drawn_changes(known, world)["conventional"]["RECIST"] for world in (2, 3)]
    assert np.median(changes[0]) == pytest.approx(np.median(changes[1]), abs=0.03)


@pytest.mark.real_data
def test_the_readers_classes_are_drawn_as_often_as_they_were_given(
    shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert response_classes.main([str(shared_data / "tables" / "hcc_tace_seg_clinical_80.csv")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["patients"] == {"RECIST": [73, 73, 72], "mRECIST": [73, 73, 72]}
    # two standard errors of a share of one half of 73 patients are 0.12, those of a share of 0.1 are 0.07
    for row in found["classes"].values():
        allowed = 2 * np.sqrt(max(row["real"] * (1 - row["real"]), 0.02) / 73)
        assert abs(row["world 3"] - row["real"]) < allowed
    assert all(row["world 3"]["p"] > 0.05 for row in found["ks"].values())
