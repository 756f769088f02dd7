"""Which slices make one volume: splits that must be made, and one header lie for each reason to leave slices out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from MeWMLib.core.dicom.records import SAME_PLACE_MM, FileHeader, PixelLayout, SliceRecord
from MeWMLib.core.dicom.stacks import stacks_of


def header(n: int, place: float, acquisition: str = "1", **changes) -> SliceRecord:
    file = FileHeader(
        path=Path(f"f{n}"), size=1, kind="ct", sop_class="1.2.840.10008.5.1.4.1.1.2", sop=f"1.2.{n}", modality="CT",
        study="1", series="1.2", series_number="4", description="", date="20010101", patient_id="P", patient_name="P",
        identity_removed=True, frame_of_reference="9", image_type=("ORIGINAL",), lossy=False,
    )  # fmt: skip
    layout = PixelLayout(
        rows=512, columns=512, frames=1, samples=changes.pop("samples", 1), bits=16, stored=16, high=15, signed=True,
        little_endian=True, syntax="", compressed=False, start=0,
    )  # fmt: skip
    base = SliceRecord(
        file=file, layout=layout, spacing=(0.8, 0.8), axes=(1, 0, 0, 0, 1, 0), position=(-200.0, -200.0, place),
        slope=1.0, intercept=0.0, image_type=("ORIGINAL",), thickness=2.5, acquisition=acquisition, instance=n,
    )  # fmt: skip
    return replace(base, **changes)


def column(count=40, step=2.5, start=0.0, first=0, acquisition="1", **changes) -> list[SliceRecord]:
    return [header(first + n, start + step * n, acquisition, **changes) for n in range(count)]


def ids(stack) -> list[int]:
    return [one.instance for one in stack.slices]


def test_one_volume_is_ordered_by_place():
    slices = column()
    good, out = stacks_of(slices[::-1])
    assert out == [] and len(good) == 1 and good[0].part == "" and good[0].notes == ()
    assert ids(good[0]) == list(range(40)) and good[0].name == "series 4, 40 slices"


def test_two_acquisitions_at_the_same_places_are_split_by_their_number():
    good, out = stacks_of(column(30) + column(36, first=100, acquisition="2"))
    assert [s.part for s in good] == ["acquisition 1", "acquisition 2"] and out == []
    assert [len(s.slices) for s in good] == [30, 36]
    assert all(s.slices[0].instance % 100 == 0 and "2 acquisitions were stacked" in s.notes[0] for s in good)


def test_without_a_number_they_are_split_where_places_repeat():
    good, _ = stacks_of(column(30) + column(36, first=100))
    assert [s.part for s in good] == ["part 1 of 2", "part 2 of 2"]
    assert ids(good[0]) == list(range(30)) and ids(good[1]) == list(range(100, 136))


def test_volumes_that_were_stored_place_by_place_are_split_by_turn():
    slices = [header(2 * n + phase, 2.5 * n) for n in range(30) for phase in (0, 1)]
    good, _ = stacks_of(slices)
    assert [ids(s) for s in good] == [list(range(0, 60, 2)), list(range(1, 60, 2))]


def test_phases_whose_slices_lie_between_each_other_are_split():
    good, _ = stacks_of(column(30, 5.0) + column(30, 5.0, start=2.5, first=100, acquisition="2"))
    assert [s.part for s in good] == ["acquisition 1", "acquisition 2"]


def test_acquisitions_that_follow_one_another_along_the_body_are_one_volume():
    chest = column(40, start=100.0, first=100, acquisition="2")
    good, _ = stacks_of(column(40) + chest)
    assert len(good) == 1 and len(good[0].slices) == 80 and good[0].part == ""
    each = [header(n, 2.5 * n, str(n)) for n in range(40)]  # a number for every slice
    assert len(stacks_of(each)[0]) == 1


def test_copies_of_slices_are_dropped_and_said():
    slices = column()
    good, _ = stacks_of([*slices, *slices[:5]])
    assert len(good[0].slices) == 40 and "5 copies of the same slices were dropped" in good[0].notes


def test_a_mixed_series_keeps_its_axial_slices():
    scout = header(900, 0.0, image_type=("ORIGINAL", "PRIMARY", "LOCALIZER"))
    good, out = stacks_of([scout, *column()])
    assert len(good[0].slices) == 40 and "the series is mixed: 2 kinds of slices" in good[0].notes
    assert [one.reason for one in out] == ["a localiser (scout)"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"samples": 3}, "in colour"),
        ({"image_type": ("ORIGINAL", "PRIMARY", "LOCALIZER")}, "localiser"),
        ({"position": ()}, "ImagePositionPatient"),
        ({"axes": (1.0, 0.0)}, "ImageOrientationPatient"),
        ({"spacing": ()}, "PixelSpacing"),
        ({"spacing": (8.0, 8.0)}, "field of view of 4096 x 4096 mm"),
        ({"spacing": (0.0, 0.0)}, "PixelSpacing cannot be true"),
        ({"axes": (1, 0, 0, 0, 0, -1)}, "not axial"),
        ({"spacing": (0.8, -0.8)}, "PixelSpacing cannot be true"),
        ({"axes": (0, 0, 0, 0, 0, 0)}, "ImageOrientationPatient cannot be true"),
        ({"axes": (1, 0, 0, 1, 0, 0)}, "ImageOrientationPatient cannot be true"),
        ({"axes": (1, 0, 0, 0.1, 0.995, 0)}, "ImageOrientationPatient cannot be true"),
        ({"position": (1e30, 0.0, 0.0)}, "ImagePositionPatient cannot be true"),
    ],
)
def test_what_is_no_axial_ct_is_left_out_with_its_reason(changes, reason):
    stacks, out = stacks_of(column(**changes))
    assert len(stacks) + len(out) == 1 and reason in [*(s.doubt for s in stacks), *(one.reason for one in out)][0]


def test_short_stacks_and_bolus_tracking_are_left_out():
    assert "too short to show a liver (5 slices over 10 mm)" in stacks_of(column(5))[0][0].doubt
    assert "too short" in stacks_of(column(40, 1.0))[0][0].doubt  # many slices, but 39 mm
    assert "too short" in stacks_of(column(1))[0][0].doubt
    assert stacks_of(column())[0][0].doubt == ""
    tracking = [header(n, 5.0) for n in range(20)]
    good, out = stacks_of(tracking)
    assert good == [] and out[0].reason == "20 slices at one place (bolus tracking)"


def test_places_that_differ_by_printing_are_one_place():
    again = column(first=100)
    moved = [replace(one, position=(*one.position[:2], one.position[2] + 0.4 * SAME_PLACE_MM)) for one in again]
    good, _ = stacks_of(column() + moved)
    assert [len(s.slices) for s in good] == [40, 40]


@pytest.mark.parametrize(
    ("name", "field"), [("temporal position", "temporal"), ("StackID", "stack"), ("Bolus", "contrast")]
)
def test_other_tags_tell_phases_apart_where_acquisitions_do_not(name, field):
    mixed = [
        one for pair in zip(column(**{field: "b"}), column(first=100, **{field: "a"}), strict=True) for one in pair
    ]
    good, _ = stacks_of(mixed)
    assert [s.part for s in good] == ["part 1 of 2", "part 2 of 2"] and name in good[0].notes[0]
    assert [s.slices[0].instance for s in good] == [100, 0]  # in the order of the values


def test_slices_without_a_place_among_those_with_one_are_a_fault_with_names():
    slices = column()
    slices[7] = replace(slices[7], position=())
    good, out = stacks_of(slices)
    assert (
        [s.files for s in good] == [("f7",)]
        and "no position" in good[0].fault
        and "ImagePositionPatient" in out[0].reason
    )


def test_one_name_for_two_slices_is_a_fault():
    slices = column()
    other = slices[21]
    slices[20] = replace(slices[20], file=replace(slices[20].file, sop=other.file.sop))
    (good,), _ = stacks_of(slices)
    assert "one SOPInstanceUID" in good.fault and set(good.files) == {"f20", "f21"}


def test_few_other_slices_at_places_that_are_taken_are_a_fault(monkeypatch):
    monkeypatch.setattr("MeWMLib.core.dicom.stacks.same_slice", lambda a, b: False)
    (good,), _ = stacks_of([*column(), header(900, 2.5 * 25)])
    assert "same places" in good.fault and set(good.files) == {"f25", "f900"}
    monkeypatch.setattr("MeWMLib.core.dicom.stacks.same_slice", lambda a, b: True)
    (good,), _ = stacks_of([*column(), header(900, 2.5 * 25)])
    assert good.fault == "" and len(good.slices) == 40 and "stored twice" in good.notes[0]


def pure(stacks) -> bool:
    """True if each stack holds slices of one of two volumes, whose slices are called f0 ... and f100 ..."""
    return all(len({int(one.file.path.name[1:]) >= 100 for one in stack.slices}) == 1 for stack in stacks)


def twice(first: dict, second: dict, start: float = 0.0) -> list[SliceRecord]:
    """Two volumes that count their slices alike, mixed by the names of their files."""
    one = column(30, **first)
    other = [replace(s, instance=n) for n, s in enumerate(column(30, start=start, first=100, **second))]
    names = sorted(range(60), key=lambda n: n * 37 % 60)
    return [([*one, *other])[n] for n in names]


@pytest.mark.parametrize("start", [0.0, 1.25])
@pytest.mark.parametrize("field", ["kernel", "time"])
def test_reconstructions_and_times_tell_volumes_apart(field, start):
    good, _ = stacks_of(twice({field: "a"}, {field: "b"}, start))
    assert [len(s.slices) for s in good] == [30, 30] and pure(good)


@pytest.mark.parametrize("field", ["image_type", "description", "path"])
def test_what_may_differ_within_a_volume_tells_those_at_the_same_places_apart(field):
    values = {"image_type": (("A",), ("B",)), "description": ("a", "b"), "path": ("a/f{}", "b/f{}")}[field]

    def changed(one):
        value = values[int(one.file.path.name[1:]) >= 100]
        if field == "image_type":
            return replace(one, image_type=value)
        number = one.file.path.name[1:]
        return replace(one, file=replace(one.file, **{field: Path(value.format(number)) if field == "path" else value}))

    good, _ = stacks_of([changed(one) for one in twice({}, {})])
    assert [len(s.slices) for s in good] == [30, 30] and pure(good)
    # along one volume they part nothing
    values = values[::-1]
    whole = [changed(one) for one in (*column(20, 5.0), *column(20, 5.0, start=2.5, first=100))]
    good, _ = stacks_of([replace(one, instance=0) for one in whole])
    assert [len(s.slices) for s in good] == [40]


def test_three_volumes_of_which_two_meet_are_told_apart_by_the_type_of_image():
    slices = [
        replace(one, image_type=(str(n),), instance=k)
        for n in range(3)
        for k, one in enumerate(column(30, 5.0, 2.5 * n, 100 * n))
    ]
    good, _ = stacks_of(slices)
    assert [len(s.slices) for s in good] == [30] * 3 and all(len({o.image_type for o in s.slices}) == 1 for s in good)


def test_volumes_that_nothing_tells_apart_are_not_parted_by_the_names_of_their_files(monkeypatch):
    monkeypatch.setattr("MeWMLib.core.dicom.stacks.same_slice", lambda a, b: False)
    mixed = [replace(one, file=replace(one.file, path=Path(f"x{n}"))) for n, one in enumerate(twice({}, {}))]
    (stack,), _ = stacks_of(mixed)
    assert "nothing says which belong together" in stack.fault and len(stack.files) == 60


def test_names_that_follow_the_body_twice_tell_volumes_apart(monkeypatch):
    monkeypatch.setattr("MeWMLib.core.dicom.stacks.same_slice", lambda a, b: False)
    slices = [replace(one, instance=0) for one in column(30) + column(30, -2.5, 72.5, 100)]
    good, _ = stacks_of(slices)  # f0, f1 ... f29, f100 ...: by number, not by letters
    assert [len(s.slices) for s in good] == [30, 30] and pure(good)


def test_a_series_stored_twice_under_other_names_is_one_volume(monkeypatch):
    monkeypatch.setattr("MeWMLib.core.dicom.stacks.same_slice", lambda a, b: True)
    (stack,), _ = stacks_of(twice({}, {}))
    assert len(stack.slices) == 30 and not stack.fault and "30 slices were stored twice" in stack.notes[0]


def test_an_order_that_is_none_parts_nothing():
    """Frames of two volumes in any order, or numbers that were drawn."""
    numbers = sorted(range(60), key=lambda n: n * 37 % 60)
    slices = [replace(one, instance=n) for one, n in zip(column(30) + column(30, first=100), numbers, strict=True)]
    (stack,), _ = stacks_of(slices)
    assert "nothing says which belong together" in stack.fault
    # the table went to and fro: blocks of ten slices, each once for either volume, with their own times
    blocks = [
        replace(one, time=f"10{block:02d}{phase:02d}", instance=0)
        for phase, volume in enumerate((column(30), column(30, first=100)))
        for n, one in enumerate(volume)
        for block in (n // 10,)
    ]
    good, _ = stacks_of(blocks)
    assert [len(s.slices) for s in good] == [30, 30] and pure(good)


def test_volumes_between_each_other_that_were_stored_one_after_another_are_split():
    for backwards in (False, True):
        slices = column(30, 5.0) + column(30, 5.0, start=2.5, first=100)
        if backwards:
            slices = [replace(one, instance=-one.instance) for one in slices]
        good, _ = stacks_of(slices)
        assert [len(s.slices) for s in good] == [30, 30] and pure(good)
    # numbers that are there twice, or times, say it as well
    joined = [replace(one, instance=one.instance % 100) for one in column(30, 5.0) + column(30, 5.0, 2.5, 100)]
    mixed = column(30, 5.0) + column(30, 5.0, 2.5, 100)
    timed = [replace(one, time=f"{one.instance:06d}", instance=one.instance * 37 % 101) for one in mixed]
    for slices in (joined, timed):
        good, _ = stacks_of(slices)
        assert [len(s.slices) for s in good] == [30, 30] and pure(good)
    body = [replace(one, instance=one.instance % 100) for one in column(30) + column(30, start=75.0, first=100)]
    assert [len(s.slices) for s in stacks_of(body)[0]] == [60]  # chest, then abdomen
    # the numbers of one volume may follow its places in any way but going round again
    for numbers in (range(60), range(60, 0, -1), [n * 37 % 60 for n in range(60)], [0] * 60):
        shuffled = [replace(one, instance=n) for one, n in zip(column(60), numbers, strict=True)]
        assert [len(s.slices) for s in stacks_of(shuffled)[0]] == [60]
