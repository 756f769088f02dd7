"""Where slices lie: in order, evenly or not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from MeWMLib.core.dicom.headers import is_dicom
from MeWMLib.core.dicom.records import (
    FileHeader,
    PixelLayout,
    SliceRecord,
    in_order,
    normal_of,
    numbers,
    places_of,
    uneven_steps,
    upper_parts,
)

FILE = FileHeader(
    path=Path("a"), size=1, kind="ct", sop_class="", sop="1", modality="CT", study="1", series="1", series_number="1",
    description="", date="", patient_id="", patient_name="", identity_removed=True, frame_of_reference="",
    image_type=(), lossy=False,
)  # fmt: skip
LAYOUT = PixelLayout(
    rows=4, columns=4, frames=1, samples=1, bits=16, stored=16, high=15, signed=True, little_endian=True, syntax="",
    compressed=False, start=0,
)  # fmt: skip


def one(position: tuple[float, ...], axes: tuple[float, ...] = (1, 0, 0, 0, 1, 0)) -> SliceRecord:
    return SliceRecord(file=FILE, layout=LAYOUT, spacing=(1.0, 1.0), axes=axes, position=position)


def test_slices_are_ordered_along_their_normal() -> None:
    axial = [one((0, 0, z)) for z in (5.0, -2.0, 1.0)]
    assert [each.position[2] for each in in_order(axial)] == [-2.0, 1.0, 5.0]
    coronal = [one((3, y, 7), (1, 0, 0, 0, 0, -1)) for y in (4.0, 9.0)]  # rows to the left, columns down
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


def test_a_slice_knows_whether_it_is_a_scout() -> None:
    scout = replace(one((0, 0, 0)), image_type=upper_parts("Derived\\Localizer "))
    assert scout.localizer and scout.image_type == ("DERIVED", "LOCALIZER") and not one((0, 0, 0)).localizer


def test_numbers_of_a_value() -> None:
    assert numbers("0.8\\0.7") == (0.8, 0.7) and numbers("") == () and numbers("1\\x") == ()
    assert numbers("nan") == numbers("1\\inf") == ()
