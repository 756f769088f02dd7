"""Sides of a cohort: by person, in proportion, the same for a seed, kept when patients come, no leak."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from MeWMLib.cohorts.__main__ import main
from MeWMLib.cohorts.identity import is_judged, patient_mark
from MeWMLib.cohorts.layout import Cohort, PatientRow, write_manifest, write_table
from MeWMLib.cohorts.splits import (
    FILE,
    JUDGING,
    PARTS,
    TEST,
    TRAIN,
    VALIDATION,
    Splits,
    make_splits,
    marks_of,
    read_splits,
    require_unseen,
    splits_of,
    stratum,
)
from MeWMLib.core.errors import CohortError, InputError


def row(n: int, **more: object) -> PatientRow:
    protocol = ("Doxorubicin + Lipiodol", "Doxorubicin + Lipiodol + Gelatin Sponge", "")[n % 3]
    return PatientRow(f"p{n:03d}", protocol, 12.0, n % 2 == 0, has_after=n % 5 != 0, **more)  # type: ignore[arg-type]


ROWS = [row(n) for n in range(120)]


def write(folder: Path, rows: list[PatientRow]) -> Cohort:
    folder.mkdir(parents=True, exist_ok=True)
    write_table(folder, rows)
    write_manifest(folder, {"complete": True, "synthetic": False})
    return Cohort.read(folder)


def test_sides_have_the_shares_and_the_strata_in_proportion() -> None:
    splits = make_splits(ROWS, 3, 0.2, 0.1)
    sizes = {side: len(splits.part(side)) for side in PARTS}
    assert sizes == {TRAIN: 84, VALIDATION: 24, TEST: 12, JUDGING: 0}
    assert sorted(name for side in PARTS for name in splits.part(side)) == [one.id for one in ROWS]
    for side, share in ((TEST, 0.1), (VALIDATION, 0.2), (TRAIN, 0.7)):
        found = Counter(stratum(one) for one in ROWS if one.id in splits.part(side))
        for name, whole in Counter(map(stratum, ROWS)).items():
            assert abs(found[name] - share * whole) <= 1.5, (side, name)
    assert {name: sum(sides.values()) for name, sides in splits.strata.items()} == Counter(map(stratum, ROWS))


def test_a_seed_gives_the_same_sides_and_another_one_others() -> None:
    assert make_splits(ROWS, 3) == make_splits(ROWS, 3)
    assert set(make_splits(ROWS, 3).test) == set(make_splits(list(reversed(ROWS)), 3).test)
    assert set(make_splits(ROWS, 4).test) != set(make_splits(ROWS, 3).test)


def test_all_sessions_of_a_person_are_on_one_side() -> None:
    rows = [row(n, person=f"person{n // 3}") for n in range(60)]
    splits = make_splits(rows, 0)
    for side in (TRAIN, VALIDATION, TEST):
        for other in (TRAIN, VALIDATION, TEST):
            if side != other:
                persons = [{one.whose for one in rows if one.id in splits.part(s)} for s in (side, other)]
                assert not persons[0] & persons[1]


def test_patients_who_come_later_change_nobodys_side(tmp_path: Path) -> None:
    before, path = splits_of(write(tmp_path, ROWS[:40]))
    assert path == tmp_path / FILE
    after, _ = splits_of(write(tmp_path, ROWS))
    for side in (TRAIN, VALIDATION, TEST):
        assert set(before.part(side)) <= set(after.part(side))
    assert {side: len(after.part(side)) for side in (VALIDATION, TEST)} == {VALIDATION: 24, TEST: 24}
    assert read_splits(path) == after and splits_of(Cohort.read(tmp_path))[0] == after


def test_who_is_for_judging_is_on_no_side() -> None:
    rows = [*ROWS[:10], row(10, judging=True), PatientRow("HCC_009", "", None, None), row(12, person="hcc-009")]
    splits = make_splits(rows, 0)
    assert splits.judging == ("p010", "HCC_009", "p012")


@pytest.mark.parametrize("side", [TRAIN, VALIDATION, TEST])
def test_a_judged_patient_put_on_a_side_by_hand_is_refused(tmp_path: Path, side: str) -> None:
    cohort = write(tmp_path, [*ROWS[:5], PatientRow("HCC_009", "", None, None)])
    sides = {TRAIN: ("p000", "p001", "p002"), VALIDATION: ("p003",), TEST: ("p004",)}
    Splits(**{**sides, side: (*sides[side], "HCC_009")}).write(tmp_path / FILE)
    with pytest.raises(CohortError, match="(?s)judging only.*HCC_009"):
        splits_of(cohort)


def test_files_that_leak_or_are_none_are_refused(tmp_path: Path) -> None:
    cohort = write(tmp_path, [row(n, person="one" if n < 2 else None) for n in range(5)])
    Splits(train=("p000",), test=("p001",)).write(tmp_path / FILE)
    with pytest.raises(CohortError, match="(?s)one person.*one"):
        splits_of(cohort)
    Splits(train=("p000", "p002"), test=("p002",)).write(tmp_path / FILE)
    with pytest.raises(CohortError, match="two sides"):
        splits_of(cohort)
    (tmp_path / FILE).write_text('{"format": "other/1"}')
    with pytest.raises(CohortError, match="another format"):
        splits_of(cohort)
    (tmp_path / FILE).write_text('{"format": "mewm-splits/1", "train": "p000"}')
    with pytest.raises(CohortError, match="train"):
        splits_of(cohort)
    for shares in ((0.6, 0.4), (-0.1, 0.2), (1.0, 0.0)):
        with pytest.raises(InputError, match="nobody to train on"):
            make_splits(cohort.rows, 0, *shares)
    with pytest.raises(CohortError, match="left to train on"):
        make_splits([PatientRow("HCC_009", "", None, None)])


def test_a_bundle_that_knows_a_patient_is_not_tested_on_it() -> None:
    rows = [*ROWS[:4], row(5, person="Someone 7")]
    splits = Splits(train=("p000",), test=("p001", "p005"))
    require_unseen(splits, rows, marks_of(rows, ["p000"]), "b")
    with pytest.raises(CohortError, match="(?s)test side.*p001; bundle b"):
        require_unseen(splits, rows, [patient_mark("P_001")], "b")
    with pytest.raises(CohortError, match="p005"):  # by the person, not by the session
        require_unseen(splits, rows, [patient_mark("someone-7")], "b")


def test_marks_are_of_persons_and_do_not_depend_on_spelling() -> None:
    assert patient_mark("HCC_011") == patient_mark("hcc-011") == patient_mark("Hcc 011") != patient_mark("HCC_012")
    assert len(patient_mark("x")) == 16 and "011" not in patient_mark("HCC_011")[:2] + "x"
    assert is_judged("x/HCC-009_post.nii") and not is_judged("HCC_0091", "HCC_010")


def test_the_command_keeps_what_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, ROWS[:20])
    assert main(["split", str(tmp_path), "--seed", "5", "--test", "0.1", "--quiet"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["test"] == 2 and told["validation"] == 4 and told["train"] == 14
    kept = (tmp_path / FILE).read_bytes()
    assert main(["split", str(tmp_path), "--seed", "6", "--quiet"]) == 2
    assert "written already" in capsys.readouterr().err and (tmp_path / FILE).read_bytes() == kept
    assert main(["split", str(tmp_path), "--seed", "6", "--out", str(tmp_path / "other.json"), "--quiet"]) == 0
