"""Child-Pugh points and ALBI against tables written out by hand."""

import itertools

import pytest

from MeWMLib.core.clinical import Clinical
from MeWMLib.core.liver_function import child_pugh_class, child_pugh_points

#: Values of one point, two and three, at the edges of each range.
BILIRUBIN = {1.0: 1, 1.99: 1, 2.0: 2, 3.0: 2, 3.01: 3}
ALBUMIN = {4.0: 1, 3.51: 1, 3.5: 2, 2.8: 2, 2.79: 3}
INR = {1.0: 1, 1.69: 1, 1.7: 2, 2.3: 2, 2.31: 3}
ASCITES = {"none": 1, "mild": 2, "moderate": 3, "severe": 3, "refractory": 3}
ENCEPHALOPATHY = {"none": 1, "1": 2, "2": 2, "3": 3, "4": 3}


def test_the_points_are_the_sum_of_five_tables() -> None:
    tables = (BILIRUBIN, ALBUMIN, INR, ASCITES, ENCEPHALOPATHY)
    for values in itertools.product(*tables):
        points = sum(table[value] for table, value in zip(tables, values, strict=True))  # type: ignore[index]
        assert child_pugh_points(*values) == points, values  # type: ignore[arg-type]


@pytest.mark.parametrize("missing", range(5))
def test_no_points_without_all_five(missing: int) -> None:
    values: list[object] = [1.0, 4.0, 1.0, "none", "none"]
    values[missing] = None
    assert child_pugh_points(*values) is None  # type: ignore[arg-type]
    values[missing] = "unspecified"
    if missing > 2:
        assert child_pugh_points(*values) is None  # type: ignore[arg-type]


def test_the_class_of_points() -> None:
    found = {points: child_pugh_class(points) for points in (None, 0, 4, 5, 6, 7, 9, 10, 15, 16)}
    assert found == {None: None, 0: None, 4: None, 5: "A", 6: "A", 7: "B", 9: "B", 10: "C", 15: "C", 16: None}


def test_what_is_stated_counts_before_what_is_computed() -> None:
    values = {
        "bilirubin_mg_per_dl": 3.2, "albumin_g_per_dl": 2.5, "inr": 2.0, "ascites": "mild", "encephalopathy": "none",
    }  # fmt: skip
    found = Clinical.from_json(values)
    assert (found.computed_child_pugh, found.known("child_pugh_score"), found.known("child_pugh_class")) == (
        11,
        11,
        "C",
    )
    stated = Clinical.from_json({**values, "child_pugh_class": "B"})
    assert stated.known("child_pugh_class") == "B" and stated.known("child_pugh_score") is None
    assert stated.computed_child_pugh == 11
