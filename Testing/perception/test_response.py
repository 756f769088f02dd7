"""RECIST 1.1, mRECIST and LI-RADS on constructed lesions: every category, every limit, and what cannot be judged."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from MeWMLib.perception.response import (
    ARTERIAL_ONLY,
    EQUIVOCAL,
    NONEVALUABLE,
    NONVIABLE,
    VIABLE,
    category_of,
    mrecist,
    recist,
    response_of,
)
from MeWMLib.perception.response_lesions import LesionMatch, MeasuredLesion, ScanLesions
from MeWMLib.perception.viability import LiverReference


def lesion(index: int, mm: float, viable: float | None = None, bright: float | None = None, **more: float):
    values = {"volume_ml": 20.0, "lipiodol_ml": 0.0, "viable_ml": 10.0, "necrotic_ml": 10.0, "unknown_ml": 0.0, **more}
    viable = mm if viable is None else viable
    return MeasuredLesion(index, centre_ras_mm=(0.0, 0.0, 0.0), diameter_mm=mm, viable_diameter_mm=viable,
                          bright_diameter_mm=viable if bright is None else bright, **values)  # fmt: skip


def scan(*lesions: MeasuredLesion, phase: str = "arterial", slice_mm: float = 2.5, **more) -> ScanLesions:
    return ScanLesions(lesions, LiverReference(phase, 70.0, 4.0, 900.0), 1500.0, slice_mm, **more)


def same(*pairs: tuple[int, int]) -> tuple[LesionMatch, ...]:
    return tuple(LesionMatch((b,), (a,), "same", 0.0, 1.0) for b, a in pairs)


def gone(*numbers: int) -> tuple[LesionMatch, ...]:
    return tuple(LesionMatch((n,), (), "gone", None, 1.0) for n in numbers)


def new(*numbers: int) -> tuple[LesionMatch, ...]:
    return tuple(LesionMatch((), (n,), "new", None, 1.0) for n in numbers)


def oracle(before: float, after: float, least_growth: float) -> str:
    """The published limits in exact fractions."""
    first, second = Fraction(str(before)), Fraction(str(after))
    change = (second - first) / first
    if second == 0:
        return "CR"
    if change <= Fraction(-30, 100):
        return "PR"
    if change >= Fraction(20, 100) and second - first >= Fraction(str(least_growth)):
        return "PD"
    return "SD"


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (100.0, 0.0, "CR"),
        (100.0, 70.0, "PR"),  # exactly -30.0 %
        (100.0, 70.1, "SD"),
        (49.3, 34.51, "PR"),
        (100.0, 119.9, "SD"),
        (100.0, 120.0, "PD"),  # exactly +20 %
        (20.0, 24.9, "SD"),  # +24.5 %, but less than 5 mm
        (20.0, 25.0, "PD"),  # exactly 5 mm
        (10.0, 14.0, "SD"),
        (25.0, 30.0, "PD"),
        (100.0, 100.0, "SD"),
    ],
)
def test_recist_at_its_limits(before: float, after: float, expected: str) -> None:
    lesions = (lesion(1, after),) if after else ()
    found = recist(scan(lesion(1, before)), scan(*lesions), same((1, 1)) if after else gone(1))
    assert found.category == expected == oracle(before, after, 5.0)
    assert found.before_mm == before and found.after_mm == after
    assert found.percent == pytest.approx(100 * (after / before - 1)) and found.targets == (1,)


def test_every_tenth_of_a_millimetre_agrees_with_exact_fractions() -> None:
    for before in (10.0, 10.1, 23.7, 25.0, 60.3, 110.7):
        for tenths in range(int(before * 14)):
            after = tenths / 10
            for growth in (5.0, 0.0):
                assert category_of(before, after, growth) == oracle(before, after, growth), (before, after)


def test_at_most_two_targets_the_largest_that_can_be_measured() -> None:
    before = scan(lesion(1, 30.0), lesion(2, 9.9), lesion(3, 41.0), lesion(4, 12.0))
    after = scan(lesion(1, 30.0), lesion(2, 9.9), lesion(3, 20.0), lesion(4, 40.0))
    found = recist(before, after, same((1, 1), (2, 2), (3, 3), (4, 4)))
    assert found.targets == (3, 1) and (found.before_mm, found.after_mm) == (71.0, 50.0)
    assert found.category == "SD"  # -29.6 %


def test_lesions_that_cannot_be_measured_are_no_targets() -> None:
    small = recist(scan(lesion(1, 9.9)), scan(lesion(1, 30.0)), same((1, 1)))
    assert small.category is None and "10 mm" in small.reasons[0] and small.before_mm is None
    exact = recist(scan(lesion(1, 10.0)), scan(lesion(1, 10.0)), same((1, 1)))
    assert exact.category == "SD"
    thick = recist(scan(lesion(1, 15.0), slice_mm=8.0), scan(lesion(1, 15.0)), same((1, 1)))
    assert thick.category is None and "16 mm" in thick.reasons[0]
    none = recist(scan(), scan(), ())
    assert none.category is None


def test_nodes_and_other_organs_are_said_to_be_left_out() -> None:
    found = recist(scan(lesion(1, 30.0)), scan(lesion(1, 30.0)), same((1, 1)))
    assert "lymph nodes" in found.reasons[-1]


def test_a_new_lesion_is_progression_if_a_person_outlined_it() -> None:
    before, matches = scan(lesion(1, 50.0)), (*same((1, 1)), *new(2))
    for mm, expected in ((10.0, "PD"), (9.9, "PR")):
        assert recist(before, scan(lesion(1, 20.0), lesion(2, mm)), matches).category == expected
    machine = recist(before, scan(lesion(1, 20.0), lesion(2, 14.0), outlined_by_user=False), matches)
    assert machine.category == "PR" and any("14 mm" in r and "not confirmed" in r for r in machine.reasons)
    assert mrecist(before, scan(lesion(1, 20.0), lesion(2, 14.0, 5.0)), matches).category == "PR"  # not viable
    assert mrecist(before, scan(lesion(1, 20.0), lesion(2, 14.0, 12.0)), matches).category == "PD"


def test_a_response_is_complete_only_if_the_other_lesions_are_gone_too() -> None:
    before = scan(lesion(1, 50.0), lesion(2, 40.0), lesion(3, 20.0))
    partly = recist(before, scan(lesion(1, 18.0)), (*gone(1, 2), *same((3, 1))))
    assert partly.category == "PR" and any("not complete" in r for r in partly.reasons)
    assert recist(before, scan(), gone(1, 2, 3)).category == "CR"


def test_merged_lesions_count_once_and_parts_are_added_up() -> None:
    before = scan(lesion(1, 40.0), lesion(2, 30.0))
    merged = (LesionMatch((1, 2), (1,), "merged", 0.0, 1.0),)
    found = recist(before, scan(lesion(1, 80.0)), merged)
    assert found.after_mm == 80.0 and found.category == "SD" and any("merged" in r for r in found.reasons)
    # a bare number could be how many there are
    assert "lesions 1, 2 have merged into lesion 1 of the scan after, measured as one" in found.reasons
    split = (LesionMatch((1,), (1, 2), "split", 0.0, 1.0), *gone(2))
    found = recist(before, scan(lesion(1, 20.0), lesion(2, 15.0)), split)
    assert found.after_mm == 35.0 and found.category == "PR" and any("fallen apart" in r for r in found.reasons)
    assert "lesion 1 has fallen apart into lesions 1, 2 of the scan after, which are added up" in found.reasons


@pytest.mark.parametrize("kind", ["split", "merged"])
def test_pieces_that_lie_in_the_bed_of_a_smaller_tumour_are_no_progression(kind: str) -> None:
    mine = (1,) if kind == "split" else (1, 2)
    before = scan(*(replace(lesion(n, 100.0), volume_ml=400.0) for n in mine))
    pieces = [replace(lesion(n, mm), volume_ml=ml) for n, (mm, ml) in enumerate([(90, 200), (40, 20), (30, 10)], 1)]
    match = (LesionMatch(mine, (1, 2, 3), kind, 0.0, 1.0),)
    first = 100.0 * len(mine)
    found = recist(before, scan(*pieces), match)
    assert found.after_mm == min(160.0, first) and found.category in ("SD", "PR")
    assert any("together they are smaller" in r for r in found.reasons) == (first < 160)
    # pieces that together hold more are growth
    grown = recist(before, scan(*(replace(one, volume_ml=450.0) for one in pieces)), match)
    assert grown.after_mm == 160.0 and (grown.category == "PD") == (first < 130)


def test_what_the_scan_after_does_not_show_is_not_judged() -> None:
    hidden = (LesionMatch((1,), (), "not covered", None, 0.4),)
    found = response_of(scan(lesion(1, 40.0)), scan(), hidden)
    assert found.recist.category is found.mrecist.category is None
    assert "does not show target lesion 1" in found.recist.reasons[0]
    assert found.lirads[0].category == NONEVALUABLE


def test_a_segmenter_that_does_not_know_the_lesion_does_not_say_that_it_is_gone() -> None:
    found = response_of(scan(lesion(1, 40.0)), scan(outlined_by_user=False, doubt="it cannot tell"), gone(1))
    assert found.recist.category is found.mrecist.category is None
    assert found.recist.reasons == found.lirads[0].reasons == ("it cannot tell",)
    assert found.lirads[0].category == NONEVALUABLE


@pytest.mark.parametrize(("before", "after"), [("portal", "arterial"), ("arterial", "portal"), ("unknown", "unknown")])
def test_mrecist_needs_the_arterial_phase_of_both(before: str, after: str) -> None:
    found = mrecist(scan(lesion(1, 40.0), phase=before), scan(lesion(1, 40.0), phase=after), same((1, 1)))
    assert found.category is None and ARTERIAL_ONLY in found.reasons[0]
    assert ("of unknown phase" if before == "unknown" else "is portal") in found.reasons[0]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [(50.0, 0.0, "CR"), (50.0, 35.0, "PR"), (50.0, 35.1, "SD"), (20.0, 24.0, "PD"), (20.0, 23.9, "SD")],
)
def test_mrecist_goes_by_viable_diameters_without_the_five_millimetres(before, after, expected) -> None:
    found = mrecist(scan(lesion(1, 60.0, before)), scan(lesion(1, 60.0, after)), same((1, 1)))
    assert found.category == expected == oracle(before, after, 0.0)
    assert (found.before_mm, found.after_mm) == (before, after)


def test_mrecist_targets_are_viable() -> None:
    """The larger lesion was dead before treatment: it is a target of RECIST and none of mRECIST."""
    before, after = scan(lesion(1, 60.0, 4.0), lesion(2, 30.0)), scan(lesion(1, 60.0, 0.0), lesion(2, 12.0))
    matches = same((1, 1), (2, 2))
    assert recist(before, after, matches).targets == (1, 2)
    found = mrecist(before, after, matches)
    assert found.targets == (2,) and found.category == "PR"
    dead = mrecist(scan(lesion(1, 60.0, 4.0)), after, same((1, 1)))
    assert dead.category is None and "viable diameter" in dead.reasons[0]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (lesion(1, 40.0, 40.0, 40.0), lesion(1, 40.0, 12.0, 10.0), VIABLE),
        (lesion(1, 40.0, 40.0, 40.0), lesion(1, 40.0, 12.0, 9.9), EQUIVOCAL),  # as dense as the liver, no denser
        (lesion(1, 40.0, 40.0, 0.0), lesion(1, 40.0, 12.0, 0.0), VIABLE),  # that is how it was before
        (lesion(1, 40.0, 40.0, 40.0), lesion(1, 40.0, 9.0, 5.0), EQUIVOCAL),
        (lesion(1, 40.0, 40.0, 40.0), lesion(1, 40.0, 9.0, 4.9), NONVIABLE),
        (lesion(1, 40.0, 40.0, 40.0), lesion(1, 40.0, 0.0, 0.0), NONVIABLE),
        (lesion(1, 40.0, 40.0, 40.0), lesion(1, 40.0, 0.0, 0.0, lipiodol_ml=8.0, unknown_ml=2.0), EQUIVOCAL),
        (lesion(1, 40.0, 40.0, 40.0), lesion(1, 40.0, 0.0, 0.0, lipiodol_ml=8.0, unknown_ml=1.9), NONVIABLE),
    ],
)
def test_lirads_categories(before: MeasuredLesion, after: MeasuredLesion, expected: str) -> None:
    (found,) = response_of(scan(before), scan(after), same((1, 1))).lirads
    assert found.category == expected and len(found.reasons) == 1


def test_lirads_of_lesions_that_are_gone_or_scanned_in_another_phase() -> None:
    first = scan(lesion(1, 40.0))
    assert response_of(first, scan(), gone(1)).lirads[0].category == NONVIABLE
    for phase in ("portal", "delayed", "non-contrast", "unknown"):
        (found,) = response_of(first, scan(lesion(1, 40.0), phase=phase), same((1, 1))).lirads
        assert found.category == NONEVALUABLE and found.viable_mm is None and ARTERIAL_ONLY in found.reasons[0]
    # a lesion that is new was not treated
    assert response_of(first, scan(lesion(1, 40.0), lesion(2, 20.0)), (*same((1, 1)), *new(2))).lirads[0].after == (1,)
