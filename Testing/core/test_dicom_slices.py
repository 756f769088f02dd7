"""Where slices lie: both readers of DICOM headers share this."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from MeWMLib.core.dicom_slices import in_order, is_dicom, normal_of, numbers, places_of, uneven_steps


@dataclass(frozen=True)
class One:
    position: tuple[float, ...]
    axes: tuple[float, ...] = (1, 0, 0, 0, 1, 0)


def test_slices_are_ordered_along_their_normal() -> None:
    axial = [One((0, 0, z)) for z in (5.0, -2.0, 1.0)]
    assert [one.position[2] for one in in_order(axial)] == [-2.0, 1.0, 5.0]
    coronal = [One((3, y, 7), (1, 0, 0, 0, 0, -1)) for y in (4.0, 9.0)]  # rows to the left, columns down
    assert normal_of(coronal[0]).tolist() == [0, 1, 0] and places_of(coronal).tolist() == [4, 9]
    assert places_of(coronal[::-1]).tolist() == [9, 4]


@pytest.mark.parametrize(
    ("places", "wrong"), [((0, 2.5, 5, 7.5), []), ((0, 2.5, 5, 10), [2]), ((0, 1, 2.05, 3), []), ((4,), [])]
)
def test_steps_that_differ_by_more_than_a_tenth_are_uneven(places: tuple[float, ...], wrong: list[int]) -> None:
    assert uneven_steps(np.array(places, float)).tolist() == wrong


def test_a_file_is_dicom_by_its_first_bytes() -> None:
    assert is_dicom(b"\0" * 128 + b"DICM") and is_dicom(b"\x08\x00\x08\x00UI")
    assert not is_dicom(b"") and not is_dicom(b"DICM") and not is_dicom(b"text " * 40)


def test_numbers_of_a_value() -> None:
    assert numbers("0.8\\0.7") == (0.8, 0.7) and numbers("") == () and numbers("1\\x") == ()
